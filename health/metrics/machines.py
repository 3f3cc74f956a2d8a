"""Families of many machines. With the role "all" they have no samples."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from health import machines
from health.metrics.family import Family, Sample
from health.snapshot import Snapshot


def _of_report(value: Callable[[Mapping[str, Any]], float]) -> Callable[[Snapshot], Iterator[Sample]]:
    """A family's samples: `value` of the origin's report. None before there is one, or on a node."""

    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        report = snapshot.report(machines.TOPIC)
        if machines.role(snapshot) == "origin" and report:
            yield Sample(value(report))

    return samples


def _of_nodes(name: str) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        if machines.role(snapshot) == "origin":
            for one in machines.nodes(snapshot):
                yield Sample(one.get(name, 0), (one["name"],))

    return samples


def _of_queues(name: str) -> Callable[[Snapshot], Iterator[Sample]]:
    def samples(snapshot: Snapshot) -> Iterator[Sample]:
        if machines.role(snapshot) == "origin":
            for one in machines.queues(snapshot):
                yield Sample(one.get(name) or 0, (one["name"],))

    return samples


def _nodes(snapshot: Snapshot) -> Iterator[Sample]:
    if machines.role(snapshot) == "origin" and snapshot.report(machines.TOPIC):
        yield Sample(sum(1 for _ in machines.nodes(snapshot)))


def _taken(snapshot: Snapshot) -> Iterator[Sample]:
    if machines.role(snapshot) == "node":
        yield Sample(snapshot.report(machines.TOPIC).get("in_hand", 0))


FAMILIES = (
    Family("picturedesk_machines_nodes", "gauge", "Of an origin: nodes that it knows of", _nodes),
    Family(
        "picturedesk_machines_node_workers",
        "gauge",
        "Of an origin: image workers of the node",
        _of_nodes("workers"),
        ("node",),
    ),
    Family(
        "picturedesk_machines_node_in_hand_pictures",
        "gauge",
        "Of an origin: pictures that the node has in hand",
        _of_nodes("in_hand"),
        ("node",),
    ),
    Family(
        "picturedesk_machines_node_last_seen_seconds",
        "gauge",
        "Of an origin: how long ago the node was last heard of",
        _of_nodes("last_seen_seconds"),
        ("node",),
    ),
    Family(
        "picturedesk_machines_queue_pictures",
        "gauge",
        "Of an origin: pictures in the queue, those that nodes have in hand among them",
        _of_queues("length"),
        ("queue",),
    ),
    Family(
        "picturedesk_machines_oldest_seconds",
        "gauge",
        "Of an origin: how long the oldest picture of the queue has waited; 0 for an empty one",
        _of_queues("oldest_seconds"),
        ("queue",),
    ),
    Family(
        "picturedesk_machines_outstanding_pictures",
        "gauge",
        "Of an origin: pictures that are handed over and have no result yet",
        _of_report(lambda report: report.get("outstanding", 0)),
    ),
    Family(
        "picturedesk_machines_results_waiting",
        "gauge",
        "Of an origin: results of nodes that it has not read yet",
        _of_report(lambda report: report.get("results_waiting", 0)),
    ),
    Family(
        "picturedesk_machines_needed_workers",
        "gauge",
        "Of an origin: workers of nodes that would render what its own do not get to within machines.target_seconds",
        _of_report(lambda report: report.get("needed_workers", 0)),
    ),
    Family("picturedesk_machines_taken_pictures", "gauge", "Of a node: pictures that it has in hand", _taken),
)
