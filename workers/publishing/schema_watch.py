"""Whether the catalogue has all columns of this version: a hosted one has those of the schema that was applied last.

Rows are written either way, without what the catalogue lacks. The journal notes which ones those are, so that they can
be written again (`republish --rows`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from typing import Final

import structlog

from ipc.files import rows
from workers.publishing import threads
from workers.publishing.catalog import Catalog, CatalogFault, RowFault
from workers.publishing.stage import unforeseen_as

LOOK_SECONDS: Final = 3600.0
"""How often a catalogue is asked that has all columns."""

SOON_SECONDS: Final = 60.0
"""How often it is asked while it lacks some, or has not answered."""

log = structlog.get_logger()


class SchemaWatch:
    """Asks the catalogue now and then. The row stage's thread asks, any thread may read.

    `outdated` says why the catalogue lacks columns: None if it has them all, or if it has not been asked yet.
    """

    def __init__(self, catalog: Catalog, stop: Callable[[], bool], clock: Callable[[], float] = time.monotonic) -> None:
        self.outdated: str | None = None
        self._catalog = catalog
        self._stop = stop
        self._clock = clock
        self._is_known = False
        self._next_at = -math.inf

    def look(self) -> bool:
        """Ask if it is time to. Returns whether the catalogue answered. A failure is nobody's but this question's.

        Raises threads.Interrupted.
        """
        return self._clock() >= self._next_at and self._ask()

    def columns(self) -> int:
        """The version of the columns that rows have which were written just now. Raises threads.Interrupted."""
        if not self._is_known:
            self._ask()
        return rows.VERSION if self._is_known and self.outdated is None else 1

    def _ask(self) -> bool:
        answers: list[str | None] = []
        try:
            question = unforeseen_as(CatalogFault)(self._catalog.outdated)
            threads.run([question], threads=1, done=answers.append, stop=self._stop)
        except (CatalogFault, RowFault) as fault:
            log.warning("catalogue.schema_unknown", reason=str(fault))
            self._next_at = self._clock() + SOON_SECONDS
            return False
        (found,) = answers
        if found is not None and self.outdated is None:
            log.warning("catalogue.schema_outdated", reason=found)
        self.outdated, self._is_known = found, True
        self._next_at = self._clock() + (LOOK_SECONDS if found is None else SOON_SECONDS)
        return True
