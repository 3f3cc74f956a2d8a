"""Families of webhooks, out of the journal. Their label is the webhook's place in the settings, and its host."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from health.metrics.family import Family, Sample, flag
from health.problems.webhooks import waiting
from health.snapshot import NO_FIGURES, Snapshot


def _of_each(value: Callable[[Mapping[str, Any]], float]) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        for one in (snapshot.figures or NO_FIGURES).webhooks:
            yield Sample(value(one), (one["label"],))

    return samples


def _outcomes(snapshot: Snapshot) -> Iterator[Sample]:
    for one in (snapshot.figures or NO_FIGURES).webhooks:
        yield Sample(one["delivered"], (one["label"], "delivered"))
        yield Sample(one["failed"], (one["label"], "failed"))


FAMILIES = (
    Family(
        "picturedesk_webhook_attempts_total",
        "counter",
        "Attempts to tell the webhook something, by how they ended, over all restarts",
        _outcomes,
        ("webhook", "outcome"),
    ),
    Family(
        "picturedesk_webhook_waiting_messages",
        "gauge",
        "Messages that the webhook has still to get, at most; a rebuild: 1 or 0",
        _of_each(waiting),
        ("webhook",),
    ),
    Family(
        "picturedesk_webhook_dead_messages",
        "gauge",
        "Messages to the webhook that are dead letters now",
        _of_each(lambda one: float(one["dead"])),
        ("webhook",),
    ),
    Family(
        "picturedesk_webhook_breaker_open",
        "gauge",
        "Whether the webhook's circuit breaker is not closed, or it is gone: 1 or 0",
        _of_each(lambda one: flag(one["opened_at"] is not None or one["gone_at"] is not None)),
        ("webhook",),
    ),
)
