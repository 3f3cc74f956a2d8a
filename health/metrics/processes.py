"""Families of the processes: the program, each child, its memory, its restarts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from health.metrics.family import Family, Sample, flag
from health.snapshot import Snapshot


def _info(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(1, (snapshot.version,))


def _started_at(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(snapshot.root["started_at"])


def _root_silent(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(max(0.0, snapshot.silent_seconds))


def _rows(snapshot: Snapshot) -> Iterator[tuple[str, Mapping[str, Any]]]:
    yield "root", snapshot.root
    yield from snapshot.tree.items()


def _up(snapshot: Snapshot) -> Iterator[Sample]:
    for name, facts in _rows(snapshot):
        yield Sample(flag(facts["state"] == "running"), (name,))


def _memory(snapshot: Snapshot) -> Iterator[Sample]:
    for name, facts in _rows(snapshot):
        if "rss_bytes" in facts:
            yield Sample(facts["rss_bytes"], (name,))


def _caps(snapshot: Snapshot) -> Iterator[Sample]:
    """No sample for a child without a cap: memory divided by its cap would be infinite."""
    for name, facts in _rows(snapshot):
        if facts["cap_bytes"]:
            yield Sample(facts["cap_bytes"], (name,))


def _available(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(snapshot.available_bytes)


FAMILIES = (
    Family("picturedesk_info", "info", "The running version; always 1", _info, ("version",)),
    Family("picturedesk_start_time_seconds", "gauge", "Unix time at which the root was started", _started_at),
    Family(
        "picturedesk_root_silent_seconds",
        "gauge",
        "Time since the root was last heard of. It speaks every two or three seconds",
        _root_silent,
    ),
    Family("picturedesk_child_up", "gauge", "Whether the process runs: 1 or 0", _up, ("child",)),
    Family(
        "picturedesk_child_memory_bytes",
        "gauge",
        "Resident memory of the process. No sample while it is down",
        _memory,
        ("child",),
    ),
    Family(
        "picturedesk_child_memory_cap_bytes",
        "gauge",
        "Memory at which the process is killed. No sample if there is no cap",
        _caps,
        ("child",),
    ),
    Family(
        "picturedesk_machine_memory_available_bytes", "gauge", "Memory that the machine could still give", _available
    ),
)
