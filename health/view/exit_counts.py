"""Counts in the journal how the tree's processes ended: this is the only writer of these counts.

In a thread of its own, since the journal may have to be waited for, and no answer may. What cannot be written is tried
again. A new health process is told of the last ends once more: those that are counted already are passed over.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipc import database
from ipc.journal import Journal, JournalError, statistics

MOST_WAITING = 2000
"""Ends that wait for the journal; beyond that the oldest are left out."""


class ExitCounter:
    """Writes the counts into the journal at `path`."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._lock = threading.Lock()
        self._waiting: deque[tuple[str, Mapping[str, Any]]] = deque(maxlen=MOST_WAITING)
        self._thread: threading.Thread | None = None

    def add(self, child: str, facts: Mapping[str, Any]) -> None:
        """A process of the child ended: `at`, `cause`, `lived_seconds`."""
        with self._lock:
            self._waiting.append((child, facts))
        self.go_on()

    def go_on(self) -> None:
        """Have what waits written, unless that is under way."""
        with self._lock:
            if not self._waiting or (self._thread and self._thread.is_alive()) or not self._path.exists():
                return
            # A daemon: the end of this process does not wait for a journal that is not to be had.
            self._thread = threading.Thread(target=self._write_all, name="ends", daemon=True)
            self._thread.start()

    def wait(self, seconds: float) -> None:
        """Wait until what was added is written, or could not be."""
        if thread := self._thread:
            thread.join(seconds)

    def _write_all(self) -> None:
        while True:
            with self._lock:
                some = list(self._waiting)
            if not some:
                return
            try:
                _write(self._path, some)
            except (JournalError, database.Error):  # which is a problem of its own in /status
                return
            with self._lock:
                for _ in some[: len(self._waiting)]:
                    self._waiting.popleft()


def _write(path: Path, ends: list[tuple[str, Mapping[str, Any]]]) -> None:
    journal = Journal.open(path)
    try:
        with journal.transaction():
            for child, facts in ends:
                lived = float(facts.get("lived_seconds", 0.0))
                statistics.note_end(journal, child, str(facts.get("cause", "")), int(facts["at"]), lived)
    finally:
        journal.close()
