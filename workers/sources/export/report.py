"""What an export's reader reports to /status: when something has changed, and once in a while."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from ipc.intake import Taken
from ipc.transport.context import Context
from ipc.transport.messages import clip
from workers.sources.reporting import Reporter

PATH_LENGTH = 300
"""Characters of the export's path in a report, from its end."""

ERROR_BYTES = 1200
"""Longest error in a report, in bytes: with the path it goes in one message."""


class ExportReport:
    """Reports on an export, under the option `topic`.

    Options: `number` of an import, `heartbeat_seconds` between equal reports.
    """

    def __init__(self, context: Context, path: Path) -> None:
        options = context.options
        self._path = clip(str(path)[-PATH_LENGTH:], ERROR_BYTES)
        self._number: int = options.get("number", 0)
        self._reporter = Reporter(context, options.get("topic", "connection"), options["heartbeat_seconds"])

    def send(self, error: str, facts: dict[str, Any]) -> None:
        """Report these facts."""
        ours = {"source": "export", "number": self._number, "path": self._path, "error": clip(error, ERROR_BYTES)}
        self._reporter.report({**ours, **facts})


def counts_of(taken: Taken) -> dict[str, int]:
    """What the intake did with the posts, by the names of /status."""
    return {
        "new": taken.new,
        "edited": taken.edited,
        "already_published": taken.published,
        "already_dead": taken.dead,
        "already_pending": taken.pending,
    }
