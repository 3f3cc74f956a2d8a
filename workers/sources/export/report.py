"""What an export's reader reports to /status: when something has changed, and once in a while."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from ipc.intake import Taken
from ipc.timestamps import iso
from ipc.transport.context import Context
from ipc.transport.messages import clip

PATH_LENGTH = 300
"""Characters of the export's path in a report, from its end."""

ERROR_BYTES = 1200
"""Of an error in a report: with the path it goes in one message."""


class Reporter:
    """Reports under the option `topic`. Options: `number` of an import, `heartbeat_seconds` between equal reports."""

    def __init__(self, context: Context, path: Path) -> None:
        options = context.options
        self._context = context
        self._path = clip(str(path)[-PATH_LENGTH:], ERROR_BYTES)
        self._topic: str = options.get("topic", "connection")
        self._number: int = options.get("number", 0)
        self._heartbeat_seconds: float = options["heartbeat_seconds"]
        self._last: dict[str, Any] = {}
        self._last_at = 0.0

    def report(self, error: str, facts: dict[str, Any]) -> None:
        """Report these facts, unless the same were reported less than a heartbeat ago."""
        now = time.monotonic()
        facts = {
            "source": "export",
            "number": self._number,
            "path": self._path,
            "error": clip(error, ERROR_BYTES),
            **facts,
        }
        if facts == self._last and now - self._last_at < self._heartbeat_seconds:
            return
        self._last, self._last_at = facts, now
        self._context.report(self._topic, last_heartbeat_at=iso(time.time()), **facts)


def counts_of(taken: Taken) -> dict[str, int]:
    """What the intake did with the posts, by the names of /status."""
    return {
        "new": taken.new,
        "edited": taken.edited,
        "already_published": taken.published,
        "already_dead": taken.dead,
        "already_pending": taken.pending,
    }
