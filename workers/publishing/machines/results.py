"""Results of nodes, a page at a time: into the journal in one transaction, then they are confirmed.

One that the journal refuses keeps none of the others out: each is recorded by itself then.
"""

from __future__ import annotations

from collections.abc import Callable

import structlog

from ipc import failpoints
from ipc.files.spool import Spool
from ipc.jobs import Job
from ipc.journal import Journal, addresses, transitions
from ipc.machines import BadMessage, result
from ipc.machines.result import Dead, Published, Result, UnreadableResult
from ipc.transport.messages import clip
from workers.publishing.catalog.supabase.queues import Queues, Waiting
from workers.unforeseen import contained

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
        for one, ending, job in self._recorded(results):
            _tell(one, ending, None if job is None else job.id)
            if isinstance(one, UnreadableResult):
                self._misread(one.reason)
            if job is not None and ending in ("published", "rendered"):
                self._spool.remove(job.id, job.generation)
            if ending in ("rendered", "fetched", "seen"):
                self._wake(ending)

    def _recorded(self, results: list[Result]) -> list[tuple[Result, transitions.ResultEffect, Job | None]]:
        """How each ended, and its job as it was. One that can't be recorded is one that says nothing."""
        try:
            numbered = [(one, self._number_of(one) if isinstance(one, Published) else None) for one in results]
            endings = transitions.record_results(self._journal, numbered)
        except Exception as error:
            if len(results) != 1:
                contained(error, "a page of results is recorded one by one")
                return [found for one in results for found in self._recorded([one])]
            (one,) = results
            channel, message = one.key.channel_id, one.key.message_id
            why = contained(error, "a result can't be recorded", channel=channel, message=message)
            if isinstance(one, UnreadableResult):
                return []
            return self._recorded([UnreadableResult(one.key, one.node, str(why))])
        return [(one, ending, job) for one, (ending, job) in zip(results, endings, strict=True)]

    def _number_of(self, published: Published) -> int | None:
        """What the journal calls the beginning of the URLs in a row that a node has written.

        None: it is none that we have ever handed over, and objects are looked for under what is recorded.
        """
        address = published.address
        if address not in self._addresses:
            if (address.url, address.prefix) not in addresses.all_of(self._journal):
                log.warning("machines.address_unknown", node=published.node, reason=clip(address.url))
                return None
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


def _tell(one: Result, ending: transitions.ResultEffect, job: int | None) -> None:
    if isinstance(one, UnreadableResult):
        log.error("machines.result_unreadable", job=job, node=one.node, error=one.reason, outcome=ending)
    elif isinstance(one, Dead) and ending != "discarded":
        log.error("handover.given_up", job=job, node=one.node, reason=one.reason, outcome=ending)
    elif ending == "discarded":
        log.info("result.discarded", key=str(one.key), node=one.node)
    else:
        address = {"channel": one.key.channel_id, "message": one.key.message_id}
        log.info("machines.published", job=job, node=one.node, outcome=ending, **address)
