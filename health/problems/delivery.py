"""Messages do not reach the people that they are for."""

from __future__ import annotations

from collections.abc import Iterator

from health.problems.problem import Problem
from health.snapshot import Snapshot


def messages_undelivered(snapshot: Snapshot) -> Iterator[Problem]:
    for one in snapshot.undelivered:
        count = one.waiting
        waits = f"; {count} notice{'s wait' if count > 1 else ' waits'}" if count else ""
        yield Problem(
            "notify.undelivered",
            f"notify {one.label}",
            f"messages to {one.label} do not arrive: {one.why}{waits}",
            "They are sent again by themselves. bin/run check --notify tries each recipient. After a change of"
            " notify.urls: bin/run reload",
            snapshot.unix(one.since),
        )
