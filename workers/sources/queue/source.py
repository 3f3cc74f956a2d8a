"""The queue as the connection's source: takes what there is room for, fetches it, and keeps its leases.

One loop: leases first, then what is dead or to be given back, then new pictures. Each question to the database is a
short one; originals are fetched in threads meanwhile. The journal has all that is in hand, so a process that takes this
one's place goes on with what still holds.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Sequence
from random import random

from ipc import failpoints
from ipc.files.spool import Spool
from ipc.journal import Journal, breakers
from ipc.journal.machines import taken
from ipc.machines.names import node_name
from ipc.process.options import reading_options
from ipc.transport.context import Context
from workers.publishing.catalog.supabase.queues import Queues
from workers.sources.backpressure import Backpressure
from workers.sources.queue import decisions
from workers.sources.queue.database import Database, LeasedMessage
from workers.sources.queue.fetching import Fetching
from workers.sources.queue.keeping import Keeping
from workers.sources.queue.report import Cached, QueueReport, about
from workers.sources.queue.taking import PARK_SECONDS, Taking

LOOK_SECONDS = 0.25
"""How often the journal is looked at while something is in hand: for what is dead, and for room."""

IDLE_SECONDS = 2.0
"""How often the journal is looked at while nothing is in hand, at least."""

FETCH_SECONDS = 0.1
"""How long an original that is being fetched is waited for at once."""

COUNT_SECONDS = 0.5
"""How often what was taken is counted."""


def run(context: Context, journal: Journal, spool: Spool) -> None:
    """Take and fetch until asked to stop; then give back what no image worker has."""
    with reading_options():
        source = QueueSource(context, journal, spool)
    while not context.stopping:
        source.go_on()
    source.end()


class QueueSource:
    """A node's way into journal and spool. Options: `machines`, `storage`, `catalog`, `backpressure`, `retry`.

    Its parts: `taking` enters what came, `fetching` brings the originals, `keeping` has the leases, all by `database`.
    """

    def __init__(self, context: Context, journal: Journal, spool: Spool) -> None:
        options, machines = context.options, context.options["machines"]
        self._context = context
        self._journal = journal
        self._workers = max(1, int(machines["workers"]))
        self._version: str = options.get("version", "")
        machine_id = journal.machine_id()
        node = node_name(options, machine_id)
        lease_seconds = max(1, round(machines["lease_seconds"]))
        self._extension_seconds = decisions.extension_seconds(lease_seconds)
        self._bucket: str = options["storage"]["bucket"]
        self.database = Database(Queues.by(options["catalog"]), node, lease_seconds)
        self._backpressure = Backpressure(journal, spool, options["backpressure"])
        park_seconds = min(PARK_SECONDS, lease_seconds / 2)
        self.keeping = Keeping(journal, spool, self.database, node)
        self.fetching = Fetching(journal, spool, options, on_fetched=lambda: context.wake("fetched"))
        self.taking = Taking(journal, spool, self._bucket, self.fetching.closed, park_seconds)
        self._report = QueueReport(context, node, machine_id)
        self._origins = Cached(lambda: taken.origins(journal), COUNT_SECONDS)
        self._next_extension = self._next_poll = time.monotonic()  # at once: what is in hand may have been lost
        self._nothing_came = 0

    def go_on(self) -> None:
        """One round, and a pause."""
        self._backpressure.hear(self._context.receive(0))
        self.database.about = about(self._version, self._workers, self._bucket, self._origins.get(), self._problems())
        self._keep()
        self.fetching.settle_ended()
        self._take()
        self.fetching.start_due()
        self.report()
        self._pause()

    def end(self) -> None:
        """Give back what no image worker has, and what can't be used here."""
        self.keeping.give_up(self.taking.to_give_back(all_of_them=True))
        self.report()

    # A round's parts

    def _keep(self) -> None:
        if time.monotonic() >= self._next_extension and self.database.may_be_asked and self.keeping.extend():
            self._next_extension = time.monotonic() + self._extension_seconds
        if self.database.may_be_asked:
            self.keeping.give_away(self.fetching.hopeless)
        if self.database.may_be_asked and (unfit := self.taking.to_give_back()):
            self.database.settle([(one, None) for one in unfit])  # if it fails, the lease is over in a moment

    def _take(self) -> None:
        if time.monotonic() < self._next_poll or not self.database.may_be_asked:
            return
        count = self._room()
        messages = self.database.take(count) if count else []
        if count:
            failpoints.reach("queue.taken")
            came = self._enter(messages or [])
            self._nothing_came = 0 if came else self._nothing_came + 1
        self._next_poll = time.monotonic() + decisions.poll_seconds(self._nothing_came, random)

    def _enter(self, messages: Sequence[LeasedMessage]) -> int:
        """Enter these into the journal. Returns the number of those that are of use.

        Should the journal fail (its disk is full), this process ends: what it has not entered is given back first. Else
        each picture would wait for a lease, and be taken for one that brings down its nodes after some more of them.
        """
        came, left = 0, deque(messages)
        try:
            while left:
                came += self.taking.enter(left[0])
                left.popleft()
        except BaseException:
            self.database.settle([(one.receipt, None) for one in left])
            raise
        return came

    def _room(self) -> int:
        """How many more may be taken: none where they would only wait here."""
        if self.fetching.is_paused or self.fetching.disk_error or not self._can_be_published():
            return 0
        if not self._backpressure.has_room() or len(self.taking) >= decisions.IN_HAND * self._workers:
            return 0
        states = [one.state for one in taken.in_hand(self._journal)]
        to_render = sum(state in ("seen", "fetched") for state in states)
        room = decisions.room(self._workers, to_render, len(states))
        if self.fetching.bucket_error:  # until one shows that it works again
            return 0 if "seen" in states else min(1, room)
        return room

    def _can_be_published(self) -> bool:
        """Whether both services work, as far as the uploader knows."""
        return all(breakers.get(self._journal, service) is None for service in ("storage", "catalog"))

    def _pause(self) -> None:
        if self.fetching.is_under_way:
            self._context.progress()
            self.fetching.settle_ended(FETCH_SECONDS)
            return
        now, busy = time.monotonic(), any(one.in_hand for one in self._origins.get())
        until = min(self._next_poll - now, self._next_extension - now, LOOK_SECONDS if busy else IDLE_SECONDS)
        # A hint that there may be room again, or that nothing is to be fetched for now.
        self._backpressure.hear(self._context.receive(max(until, 0.02)))

    # What it says

    def _problems(self) -> list[str]:
        refusal = self.taking.refusal
        return [
            self.fetching.disk_error or self._backpressure.error,
            self.fetching.bucket_error,
            *(found["error"] for service in ("storage", "catalog") if (found := breakers.get(self._journal, service))),
            refusal.reason if refusal else "",
        ]

    def report(self) -> None:
        """Report to /status."""
        database = self.database
        self._report.send(
            connected=database.answered_at is not None and not database.error,
            error=database.error or self.fetching.bucket_error,
            remedy=database.remedy,
            lack=database.lack,
            answered_at=database.answered_at,
            origins=self._origins.get(),
            refusal=self.taking.refusal,
            facts={
                "spool_full": self._backpressure.is_full,
                "spool_error": self.fetching.disk_error or self._backpressure.error,
            },
        )
