"""A machine that is no origin any more brings home what it has handed over, and hands over nothing.

Results that wait are taken, everything else is taken out of the queue, also what nodes hold: their receipts do not hold
then, and nothing of it is written any more. Where the database can't be asked, our own workers begin all the same: that
is safe. A node that goes on writes the row of a revision that we write as well, and of two such the first is written;
objects are named by what is in them. So nothing is doubled but some work.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

import structlog

from ipc.journal import Journal, transitions
from ipc.journal.machines import claims
from ipc.journal.machines.claims import Claim
from workers.publishing.catalog.supabase.answers import Missing
from workers.publishing.catalog.supabase.queues import Queues
from workers.publishing.machines import cleanup
from workers.publishing.machines.keys import by_key
from workers.publishing.machines.results import Results
from workers.publishing.machines.wire import Wire
from workers.unforeseen import concerns_all

AT_ONCE = 100

log = structlog.get_logger()


class Decommission:
    """`wake(state)` hints to the process that takes such jobs."""

    def __init__(
        self, journal: Journal, queues: Queues, wire: Wire, results: Results, wake: Callable[[str], None]
    ) -> None:
        self._journal = journal
        self._queues = queues
        self._wire = wire
        self._results = results
        self._wake = wake
        self._origin = journal.machine_id()

    def step(self) -> int:
        """Bring some home, then clear away what is left. Returns how much was done. Raises ServiceFault."""
        if claims.outstanding(self._journal):
            return self._bring_home()
        try:
            return cleanup.clear(self._journal, self._queues, self._wire, self._origin)
        except Missing:  # it is another project, or the queues are removed from it: nothing can be in them
            return cleanup.delete(self._journal, self._wire, claims.leftovers(self._journal, AT_ONCE))

    def close(self) -> None:
        """Let go of the services."""
        self._queues.close()

    def _bring_home(self) -> int:
        try:
            while self._results.read():
                pass
            keys = by_key(self._journal, self._origin, claims.newest(self._journal, AT_ONCE))
            taken = self._queues.take_back(self._origin, list(keys), untaken_only=False)
        except Exception as error:  # nothing that the queue holds, and no error of ours, keeps the pictures away
            if concerns_all(error):
                raise
            log.warning("handover.unreachable", reason=str(error))
            self._release(claims.newest(self._journal, claims.ALL))
            raise
        return self._release(one for key, one in keys.items() if key in taken)

    def _release(self, some: Iterable[Claim]) -> int:
        brought = release(self._journal, some)
        self._wake("fetched")
        return brought


def release(journal: Journal, some: Iterable[Claim]) -> int:
    """Leave these pictures to our own workers. Returns their number."""
    brought = transitions.bring_back(journal, [one.number for one in some])
    log.info("machines.brought_back", jobs=brought)
    return brought


def give_up(journal: Journal) -> None:
    """Bring all home where there is neither queue nor bucket any more, as the settings name none."""
    release(journal, claims.newest(journal, claims.ALL))
    left = claims.leftovers(journal, claims.ALL)
    log.warning("machines.originals_left", objects=len(left))
    claims.cleared(journal, left)
