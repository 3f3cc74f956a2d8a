"""Problems of the source: no connection, a channel or files that give nothing, a flood."""

from __future__ import annotations

import math
from collections.abc import Iterator

from health.problems.problem import Problem
from health.snapshot import GRACE_SECONDS, START_SECONDS, Snapshot
from health.times import unix_seconds


def source_not_connected(snapshot: Snapshot) -> Iterator[Problem]:
    report, is_held = snapshot.report("connection"), snapshot.child("connection").get("state") == "held"
    is_told = report.get("source") == "queue" and report.get("error")  # by machines.unreachable
    if report and not report.get("connected") and not is_told and not is_held and not _is_being_opened(snapshot):
        yield Problem(
            "source.not_connected",
            "source",
            f"the source is not connected: {report.get('error') or 'it is being opened'}",
            "See the log of the connection",
        )


def _is_being_opened(snapshot: Snapshot) -> bool:
    """Whether the connection began a moment ago, and nothing is known to be wrong yet."""
    facts = snapshot.child("connection")
    grace = GRACE_SECONDS if facts.get("restarts") else START_SECONDS
    is_new = snapshot.monotonic - facts.get("spawned", -math.inf) <= grace
    return is_new and not snapshot.report("connection").get("error")


def channels_unreadable(snapshot: Snapshot) -> Iterator[Problem]:
    for report in snapshot.channel_reports:
        if report["problem"]:
            yield Problem(
                "channel.unreadable",
                f"channel {report['address']}",
                f"channel {report['address']} can't be read: {report['problem']}",
                report["remedy"],
            )


def fetching_fails(snapshot: Snapshot) -> Iterator[Problem]:
    report = snapshot.report("connection")
    if report.get("fetch_error"):
        yield Problem(
            "source.fetching_fails",
            "fetch",
            report["fetch_error"],
            report["fetch_error_remedy"],
            unix_seconds(report["fetch_error_since"]),
        )


def flooded(snapshot: Snapshot) -> Iterator[Problem]:
    until: str | None = snapshot.report("connection").get("flooded_until")
    if (unix_seconds(until) or 0.0) > snapshot.now:
        yield Problem(
            "telegram.flood",
            "flood",
            f"Telegram asks to wait until {until} with some requests",
            "Nothing is lost; it goes on by itself. If it happens often, read fewer channels with this account",
        )
