"""What a node says of itself: for its own /status, and to the database, where its origins read it."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from typing import Any

from ipc.journal.machines.taken import Origin
from ipc.machines import VERSION
from ipc.transport.context import Context
from ipc.transport.messages import clip
from workers.sources.queue.handover_check import OTHER_BUCKET, Refusal
from workers.sources.reporting import Reporter

ORIGINS = 12
"""How many origins a report names, those first that something was last taken of: it is one message."""

ERROR_BYTES = 600
PROBLEM_BYTES = 200
PROBLEMS = 5

ANSWERED_SECONDS = 10
"""The precision of when the database last answered. A finer one would make a report a second."""


class QueueReport:
    """Reports on two topics: "connection", as every source, and "machines"."""

    def __init__(self, context: Context, node: str, machine_id: str) -> None:
        self._node = node
        self._id = machine_id
        self._reporter = Reporter(context, "connection", context.options["heartbeat_seconds"])

    def send(
        self,
        *,
        connected: bool,
        error: str,
        remedy: str,
        lack: str,
        answered_at: float | None,
        origins: Sequence[Origin],
        refusal: Refusal | None,
        facts: dict[str, Any],
    ) -> None:
        """`facts` are those of the source, `refusal` says why messages can't be used here, if some can't."""
        told = clip(error, ERROR_BYTES)
        self._reporter.report({"source": "queue", "connected": connected, "error": told, "behind": None, **facts})
        self._reporter.report(
            {
                "role": "node",
                "id": self._id,
                "name": self._node,
                "in_hand": sum(one.in_hand for one in origins),
                "answered_at": None if answered_at is None else answered_at - answered_at % ANSWERED_SECONDS,
                "error": told,
                "remedy": clip(remedy, ERROR_BYTES),
                "schema": clip(lack, PROBLEM_BYTES),
                "refused": clip(refusal.reason, ERROR_BYTES) if refusal else "",
                "other_bucket": bool(refusal and refusal.kind == OTHER_BUCKET),
                "taken": [asdict(one) for one in origins[:ORIGINS]],
            },
            "machines",
        )


def about(
    version: str, workers: int, bucket: str, origins: Sequence[Origin], problems: Sequence[str]
) -> dict[str, Any]:
    """What a node tells the database of itself. `published` is the total of its life. It gets pictures of that bucket,
    in versions up to what it `reads`.
    """
    return {
        "version": version,
        "workers": workers,
        "bucket": bucket,
        "reads": VERSION,
        "in_hand": sum(one.in_hand for one in origins),
        "published": sum(one.published for one in origins),
        "problems": [clip(one, PROBLEM_BYTES) for one in problems if one][:PROBLEMS],
    }


class Cached:
    """What `look` gives, asked for again after some seconds: to read it costs more than a round of the loop."""

    def __init__(
        self, look: Callable[[], list[Origin]], seconds: float, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._look = look
        self._seconds = seconds
        self._clock = clock
        self._at: float | None = None
        self._found: list[Origin] = []

    def get(self) -> list[Origin]:
        if self._at is None or self._clock() - self._at >= self._seconds:
            self._at, self._found = self._clock(), self._look()
        return self._found
