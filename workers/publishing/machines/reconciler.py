"""The thread that minds what is handed over: results come in, pictures are brought back, and nothing is forgotten."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from ipc import failpoints
from ipc.journal import Journal, transitions
from ipc.journal.machines import claims
from ipc.journal.machines.claims import Claim
from workers.publishing.catalog.supabase.answers import Missing
from workers.publishing.catalog.supabase.queues import KEYS, Queues
from workers.publishing.machines import limits
from workers.publishing.machines.fleet import Fleet
from workers.publishing.machines.keys import by_key
from workers.publishing.machines.results import Results
from workers.publishing.service.faults import ServiceFault
from workers.unforeseen import concerns_all, contained

RESULTS_SECONDS = 1.0
"""How often results are asked for while something is handed over, after a page that was empty."""

IDLE_SECONDS = 10.0
"""How often while nothing is handed over; also how often the database is asked for the nodes."""

FRUITLESS_SECONDS = 5.0
"""How long nothing is taken back after nodes turned out to hold all of it."""

log = structlog.get_logger()


class Reconciler:
    """`options` are the uploader's section `machines`. `report` tells /status what is known. `clock` is monotonic."""

    def __init__(
        self,
        options: Mapping[str, Any],
        journal: Journal,
        queues: Queues,
        results: Results,
        fleet: Fleet,
        report: Callable[[], None],
        wake: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self.queues = queues
        self._results = results
        self._fleet = fleet
        self._report = report
        self._wake = wake
        self._clock = clock
        self._keep: int = options["hand_over_above"]
        self._reconcile_seconds: float = options["reconcile_seconds"]
        self._origin = journal.machine_id()
        self._next_look = self._next_reconciliation = self._next_return = self._nothing_came_at = -math.inf
        self._below: int | None = None
        """Claims from this number on were looked at, for some to take back."""

    def step(self) -> int:
        """Do what is due. Returns how much was done. Raises ServiceFault."""
        try:
            with self._fleet.telling("results"):
                return self._each(self._look, self._read, self._reconcile, self._bring_back)
        finally:
            self._report()

    def _each(self, *parts: Callable[[], int]) -> int:
        """Do all of them, whichever fails, and raise the first error: none needs what another one asks for."""
        done = 0
        first: Exception | None = None
        for part in parts:
            try:
                done += part()
            except (ServiceFault, OSError) as fault:
                first = first or fault
            except Exception as error:
                if first is not None:  # the first one is told by the thread
                    contained(error, "the rest is done all the same")
                elif concerns_all(error):
                    raise
                first = first or error
        self._fleet.changes += done
        if first is not None:
            raise first
        return done

    def close(self) -> None:
        """Let go of the services."""
        self.queues.close()

    def _is_due(self, at: float) -> bool:
        return self._clock() >= at

    def _look(self) -> int:
        """Ask the database for the nodes and queues."""
        if self._is_due(self._next_look):
            self._fleet.note(self.queues.machines(self._origin))
            self._fleet.answered()
            self._next_look = self._clock() + IDLE_SECONDS
        return 0

    def _read(self) -> int:
        """Take results, a page at a time. The next question confirms the last page, so it is asked at once.

        How long to wait after an empty page is asked anew each time: what is handed over meanwhile may be done soon.
        """
        wait = RESULTS_SECONDS if claims.outstanding(self._journal) else IDLE_SECONDS
        if not self._is_due(self._nothing_came_at + wait):
            return 0
        found = self._results.read()
        self._fleet.answered()
        self._nothing_came_at = -math.inf if found else self._clock()
        return found

    # What the queue has lost, and what it has too much

    def _reconcile(self) -> int:
        """Have pictures handed over again that neither the queue nor the results know. Returns their number.

        What waits for this thread is not lost: a result that was read is recorded, and its claim has ended.
        """
        if not self._is_due(self._next_reconciliation):
            return 0
        self._next_reconciliation = self._clock() + self._reconcile_seconds
        before, after, lost = self._journal.clock() - self._reconcile_seconds, 0, 0
        while some := claims.handed_before(self._journal, before, after, KEYS):
            after = some[-1].number
            keys = by_key(self._journal, self._origin, some)
            known = self.queues.status(self._origin, list(keys))
            failpoints.reach("machines.compared")
            unknown = [one for key, one in keys.items() if key not in known]
            lost += claims.move(self._journal, unknown, "put")
        if lost:
            log.warning("machines.handed_over_again", jobs=lost)
        self._take_ended()
        return lost

    def _take_ended(self) -> None:
        """Take out of the queue what nobody waits for: the database was restored to a moment at which it was there, the
        journal to one at which it was not yet, or it has got there after its claim had ended.

        Nodes would find no original, and it would come before all that is new. What is in the queue had a claim before.
        """
        try:
            queued = self.queues.queued(self._origin)
        except Missing as missing:
            if not missing.is_function:
                raise
            return  # an earlier version of machines.sql
        ended = queued - by_key(self._journal, self._origin, claims.newest(self._journal, claims.ALL)).keys()
        if ended:
            log.warning("machines.ended_found", messages=len(ended))
            self.queues.take_back(self._origin, sorted(ended), untaken_only=False)

    # What our own workers have time for

    def _bring_back(self) -> int:
        """Bring some back that no node holds, the newest first. Returns their number. Without a node, soon all are."""
        outstanding = claims.outstanding(self._journal)
        if not outstanding:
            self._below = None
            return 0
        left = claims.left_to_render(self._journal, self._keep)
        wanted = limits.to_bring_back(self._keep, left, outstanding, is_alone=not self._fleet.workers())
        if not wanted or not self._is_due(self._next_return):
            return 0
        some = claims.newest(self._journal, wanted, self._below)
        if not some:  # nodes hold all of it
            self._below = None
            self._next_return = self._clock() + FRUITLESS_SECONDS
            return 0
        self._below = some[-1].number
        return self._bring_back_some(some)

    def _bring_back_some(self, some: list[Claim]) -> int:
        """The queue is asked for all of them: also one whose original is to be put, again, may be with a node."""
        keys = by_key(self._journal, self._origin, some)
        taken = self.queues.take_back(self._origin, list(keys), untaken_only=True)
        self._fleet.answered()
        failpoints.reach("machines.taken_back")
        brought = transitions.bring_back(self._journal, [one.number for key, one in keys.items() if key in taken])
        failpoints.reach("machines.brought_back")
        if brought:
            log.info("machines.brought_back", jobs=brought)
            self._wake("fetched")
        return brought
