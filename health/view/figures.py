"""What the journal counts. It is opened to be read, and opened anew after each error."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from health.snapshot import Figures
from ipc.journal import Journal, JournalError, breakers, renewals, statistics
from ipc.journal import figures as journal_figures
from ipc.journal.outputs import takedowns, webhooks

QUARANTINED = 20
"""Number of quarantined pictures that are named; `bin/run dead` names all."""

STILL_SHOWN = 1000
"""Count of pictures that readers should not see any more stops here."""

BESIDES = ("takedown", "cdn")
"""Work of the uploader beside its stages whose failures the journal keeps."""

HOUR = 3600
"""Time span of the pictures-per-minute figures, in seconds."""


class JournalReader:
    """Reads the journal's figures."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._journal: Journal | None = None

    def read(self) -> tuple[Figures | None, str]:
        """The figures of this moment, or None and why the journal cannot be read."""
        try:
            if self._journal is None:
                self._journal = Journal.open_to_read(self._path)
            return _read(self._journal), ""
        except (JournalError, ValueError) as error:  # ValueError: a packed column that is damaged
            self.close()
            return None, str(error) if isinstance(error, JournalError) else f"the journal cannot be read: {error!r}"

    def hours(self) -> Mapping[int, list[tuple[int, int]]]:
        """The hours, as `ipc.journal.statistics.hours` gives them; empty where the journal cannot be read. They are not
        read for every answer: there are 24 rows a channel.
        """
        with contextlib.suppress(JournalError):
            if self._journal is not None:
                with self._journal.reading():
                    return statistics.hours(self._journal)
        return {}

    def close(self) -> None:
        if self._journal:
            self._journal.close()
        self._journal = None


def _read(journal: Journal) -> Figures:
    """All figures in one transaction: each job is counted in exactly one state."""
    now = journal.clock()
    with journal.reading():
        return Figures(
            states=journal_figures.states(journal),
            totals=journal_figures.totals(journal),
            channels=tuple(journal_figures.channels_in_full(journal)),
            waiting_for_retry=journal_figures.waiting_for_retry(journal)[0],
            spool_bytes=journal_figures.spool_bytes(journal),
            last_failure=journal_figures.last_failure(journal),
            quarantined=tuple(journal_figures.quarantined(journal, QUARANTINED)),
            stages=statistics.stages(journal),
            post_to_row=statistics.post_to_row(journal),
            outcomes=statistics.outcomes(journal),
            restarts=statistics.restarts(journal),
            oldest_waiting_seconds=statistics.oldest_waiting_seconds(journal, now),
            published_by_minute=tuple(statistics.minutes(journal, int(now) - HOUR)),
            renewals=renewals.counts(journal),
            takedowns=takedowns.counts(journal),
            still_shown=journal_figures.still_shown(journal, STILL_SHOWN),
            failures={name: found for name in BESIDES if (found := breakers.get(journal, name)) is not None},
            webhooks=tuple(webhooks.figures(journal)),
        )


class Standstill:
    """Since when pictures wait without one being finished (monotonic seconds)."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._finished: tuple[int, ...] = (0, 0, 0, 0)

    def unmoved_seconds(self, figures: Figures | None, connection: Mapping[str, Any], now: float) -> float:
        """How long pictures have waited so, in seconds. Figures that could not be read (None) change nothing."""
        if figures:
            totals = (figures.totals.get(name, 0) for name in ("processed", "failed", "renewed"))
            finished = (*totals, figures.renewals.get("failed", 0))
            if finished != self._finished or not figures.workable(connection):
                self._finished, self._since = finished, now
        return now - self._since
