"""The text of /metrics. The only home of prometheus_client, which costs 3 MiB: imported at the first scrape."""

from __future__ import annotations

from collections.abc import Iterable

from prometheus_client.exposition import generate_latest
from prometheus_client.metrics_core import Metric
from prometheus_client.openmetrics.exposition import generate_latest as generate_openmetrics
from prometheus_client.registry import Collector
from prometheus_client.utils import floatToGoString

from health.metrics.families import FAMILIES
from health.metrics.family import Distribution, Family
from health.snapshot import Snapshot


class SnapshotCollector(Collector):
    """A collector over one snapshot, in no registry: the library's global one would add figures of this process."""

    def __init__(self, snapshot: Snapshot, families: Iterable[Family] = FAMILIES) -> None:
        self._snapshot = snapshot
        self._families = families

    def collect(self) -> Iterable[Metric]:
        """Every family, those without samples too."""
        return (_metric(family, self._snapshot) for family in self._families)


def text(snapshot: Snapshot) -> bytes:
    """Prometheus' text format, version 0.0.4."""
    return generate_latest(SnapshotCollector(snapshot))


def openmetrics(snapshot: Snapshot) -> bytes:
    """OpenMetrics, version 1.0.0."""
    body: bytes = generate_openmetrics(SnapshotCollector(snapshot))
    return body


def _metric(family: Family, snapshot: Snapshot) -> Metric:
    stem = family.name.removesuffix("_total").removesuffix("_info")
    metric = Metric(stem, family.help, family.kind, family.unit)
    suffix = family.name.removeprefix(stem)
    for sample in family.samples(snapshot):
        labels = dict(zip(family.labels, sample.labels, strict=True))
        if isinstance(sample, Distribution):
            _add_distribution(metric, sample, labels)
        else:
            metric.add_sample(f"{stem}{suffix}", labels, sample.value)
    return metric


def _add_distribution(metric: Metric, given: Distribution, labels: dict[str, str]) -> None:
    for bound, count in given.buckets:
        metric.add_sample(f"{metric.name}_bucket", {**labels, "le": floatToGoString(bound)}, count)
    metric.add_sample(f"{metric.name}_count", labels, given.buckets[-1][1])
    metric.add_sample(f"{metric.name}_sum", labels, given.total)
