"""How a kind of documents stands, as the uploader reports it for /status under the topic of that name."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import structlog

from ipc.text.timestamps import iso
from ipc.transport.messages import clip

ERROR_BYTES = 600
REPORT_SECONDS = 2.0
"""How often a count that has changed is reported, at most. A failure and what has been written are told at once."""

log = structlog.get_logger()


class Progress:
    """`report(topic, **facts)` is the context's; `clock` in Unix seconds."""

    def __init__(self, topic: str, report: Callable[..., None], clock: Callable[[], float] = time.time) -> None:
        self._topic = topic
        self._report = report
        self._clock = clock
        self._facts: dict[str, Any] = {"waiting": 0, "written_at": None, "failing_since": None, "error": ""}
        self._reported: dict[str, Any] = {}
        self._reported_at = 0.0

    def went_on(self, waiting: int) -> None:
        """A step has succeeded. `waiting` posts wait for a quiet moment before they are written."""
        self._facts.update(waiting=waiting, failing_since=None, error="")
        self._send()

    def wrote(self, documents: int) -> None:
        """Everything that was due is written. `documents` is the number of those that changed."""
        if documents:
            self._facts["written_at"] = iso(self._clock())
            log.info("documents.written", output=self._topic, documents=documents)

    def removed(self, documents: int) -> None:
        """The documents are turned off, and all are gone."""
        log.info("documents.removed", output=self._topic, documents=documents)

    def failed(self, error: Exception) -> None:
        """A step has failed."""
        text = str(error) or type(error).__name__
        since = self._facts["failing_since"] or iso(self._clock())
        self._facts.update(failing_since=since, error=clip(text, ERROR_BYTES))
        self._send()

    def _send(self) -> None:
        waited = self._clock() - self._reported_at
        without_count = {**self._facts, "waiting": self._reported.get("waiting")}
        if self._facts == self._reported or (without_count == self._reported and 0 <= waited < REPORT_SECONDS):
            return
        self._reported, self._reported_at = dict(self._facts), self._clock()
        self._report(self._topic, **self._facts)
