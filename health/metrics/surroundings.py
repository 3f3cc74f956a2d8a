"""Families of what the program depends on: the source, the two services, the disk; and of what /status finds wrong."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from health.metrics.family import Family, Sample, flag
from health.problems.detectors import find_problems
from health.problems.services import SERVICES
from health.snapshot import Snapshot
from health.times import unix_seconds


def _problems(snapshot: Snapshot) -> Iterator[Sample]:
    for kind, count in Counter(one.id for one in find_problems(snapshot)).items():
        yield Sample(count, (kind,))


def _ok(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(flag(not find_problems(snapshot)))


def _connected(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(flag(snapshot.is_connected))


def _channels(snapshot: Snapshot) -> Iterator[Sample]:
    """How far each channel is behind, by its id: a title may change. Not known without a connection: no sample."""
    if not snapshot.is_connected:
        return
    source = snapshot.report("connection")
    of_export = [{"id": source.get("channel"), "behind": source.get("behind")}]
    rows = {row["id"]: row["behind"] for row in (*of_export, *snapshot.channel_reports)}
    for channel, behind in rows.items():
        if channel is not None and behind is not None:
            yield Sample(behind, (str(channel),))


def _flood(snapshot: Snapshot) -> Iterator[Sample]:
    until = unix_seconds(snapshot.report("connection").get("flooded_until")) or 0.0
    yield Sample(max(0.0, until - snapshot.now))


def _breakers(snapshot: Snapshot) -> Iterator[Sample]:
    """A half-open one counts as open: no request has succeeded yet."""
    report = snapshot.report("uploader")
    for service in SERVICES:
        state = report.get(f"{service.prefix}_circuit_breaker", "closed")
        yield Sample(flag(state != "closed"), (service.error,))


def _answered(snapshot: Snapshot) -> Iterator[Sample]:
    report = snapshot.report("uploader")
    for service in SERVICES:
        at = unix_seconds(report.get(f"{service.prefix}_answered_at"))
        if at is not None:
            yield Sample(at, (service.error,))


def _spool(snapshot: Snapshot) -> Iterator[Sample]:
    """None while the journal can't be read: a zero would pass for an empty spool."""
    if snapshot.figures:
        yield Sample(snapshot.figures.spool_bytes)


def _spool_limit(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(snapshot.spool_limit_bytes)


def _disk(snapshot: Snapshot) -> Iterator[Sample]:
    if snapshot.disk_free_bytes is not None:
        yield Sample(snapshot.disk_free_bytes)


def _disk_reserve(snapshot: Snapshot) -> Iterator[Sample]:
    yield Sample(snapshot.disk_reserve_bytes)


FAMILIES = (
    Family("picturedesk_ok", "gauge", "Whether /status finds no problem: 1 or 0", _ok),
    Family("picturedesk_problems", "gauge", "Problems of /status. No sample of a kind without one", _problems, ("id",)),
    Family("picturedesk_connected", "gauge", "Whether there is a connection to the source: 1 or 0", _connected),
    Family(
        "picturedesk_channel_behind_messages",
        "gauge",
        "Messages that the channel has and the journal has not, at most. No sample while there is no connection to it",
        _channels,
        ("channel",),
    ),
    Family(
        "picturedesk_flood_wait_seconds",
        "gauge",
        "How long Telegram still wants no more requests; 0 if it does",
        _flood,
    ),
    Family(
        "picturedesk_breaker_open",
        "gauge",
        "Whether the circuit breaker of the service is open or half-open: 1 or 0",
        _breakers,
        ("service",),
    ),
    Family(
        "picturedesk_service_last_success_timestamp_seconds",
        "gauge",
        "Unix time at which the service last did something for this uploader, at most ten seconds late",
        _answered,
        ("service",),
    ),
    Family("picturedesk_spool_bytes", "gauge", "Originals and renditions on their way through the spool", _spool),
    Family("picturedesk_spool_limit_bytes", "gauge", "Size of the spool above which nothing is fetched", _spool_limit),
    Family("picturedesk_disk_free_bytes", "gauge", "Room left on the disk that state_dir is on", _disk),
    Family(
        "picturedesk_disk_reserve_bytes", "gauge", "Room on that disk below which nothing is fetched", _disk_reserve
    ),
)
