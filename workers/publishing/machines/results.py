"""Results of nodes, a page at a time: into the journal in one transaction, then they are confirmed."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from ipc import failpoints
from ipc.files.spool import Spool
from ipc.journal import Journal, addresses, transitions
from ipc.machines import BadMessage, result
from ipc.machines.result import Dead, Published, Result, UnreadableResult
from workers.publishing.catalog.supabase.queues import Queues, Waiting

AT_ONCE = 50
"""Results of one page, and of one transaction."""

log = structlog.get_logger()


class Results:
    """Reads the results of `origin`, which is this machine. `wake(state)` hints to the process that takes such jobs.

    `misread(why)` hears of results that say nothing to this version.
    """

    def __init__(
        self,
        journal: Journal,
        spool: Spool,
        queues: Queues,
        origin: str,
        wake: Callable[[str], None],
        misread: Callable[[str], None] = lambda why: None,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._queues = queues
        self._origin = origin
        self._wake = wake
        self._misread = misread
        self._done: list[int] = []
        self._addresses: dict[result.RowAddress, int] = {}

    def read(self) -> int:
        """Confirm the last page and take the next one. Returns its number of results. Raises ServiceFault."""
        page = self._queues.results(self._origin, self._done, AT_ONCE)
        if self._done:
            failpoints.reach("machines.confirmed")
        self._done = []
        if page:
            failpoints.reach("machines.answered")
            self._record([one for waiting in page if (one := _read(waiting)) is not None])
            failpoints.reach("machines.recorded")
            self._done = [waiting.msg_id for waiting in page]
        return len(page)

    def _record(self, results: list[Result]) -> None:
        """Record them, and clear the spool of what is published. The claims end with it."""
        numbered = [(one, self._number_of(one.address) if isinstance(one, Published) else None) for one in results]
        for one, (ending, job) in zip(results, transitions.record_results(self._journal, numbered), strict=True):
            _tell(one, ending, None if job is None else job.id)
            if isinstance(one, UnreadableResult):
                self._misread(one.reason)
            if job is not None and ending in ("published", "rendered"):
                self._spool.remove(job.id, job.generation)
            if ending in ("rendered", "fetched", "seen"):
                self._wake(ending)

    def _number_of(self, address: result.RowAddress) -> int:
        """What the journal calls the beginning of the URLs in a row that a node has written."""
        if address not in self._addresses:
            values = (address.url, address.prefix, address.columns)
            self._addresses[address] = addresses.number_of(self._journal, *values)
        return self._addresses[address]


def _read(waiting: Waiting) -> Result | None:
    """None: nobody knows of what it is, though the database writes that. It is forgotten."""
    try:
        return result.read(waiting.result)
    except BadMessage as error:
        log.error("machines.result_unreadable", error=str(error))
        return None


def _tell(one: Result, ending: transitions.Ending, job: int | None) -> None:
    if isinstance(one, UnreadableResult):
        log.error("machines.result_unreadable", job=job, node=one.node, error=one.reason, outcome=ending)
    elif isinstance(one, Dead) and ending != "discarded":
        log.error("machines.dead", job=job, node=one.node, reason=one.reason, outcome=ending)
    elif ending == "discarded":
        log.info("machines.discarded", key=str(one.key), node=one.node)
    else:
        address = {"channel": one.key.channel_id, "message": one.key.message_id}
        log.info("machines.published", job=job, node=one.node, outcome=ending, **address)
