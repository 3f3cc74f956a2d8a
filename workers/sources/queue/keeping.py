"""What is in hand: its leases go on, what was lost is dropped, what is dead or stays for too long is given away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence, Set

import structlog

from ipc import failpoints
from ipc.files.spool import Spool
from ipc.jobs import FailureCause, State
from ipc.journal import Journal
from ipc.journal.machines import taken
from ipc.journal.machines.taken import Guest, GuestEnding
from ipc.machines.handover import Key
from ipc.machines.receipt import Receipt
from ipc.machines.result import Dead
from workers.sources import guests
from workers.sources.queue.database import Database
from workers.sources.queue.decisions import has_overstayed

log = structlog.get_logger()


class Keeping:
    """Keeps what the journal has in hand. `clock` is monotonic: the other one may be set meanwhile, so it says only how
    long something was in hand before this process.
    """

    def __init__(
        self,
        journal: Journal,
        spool: Spool,
        database: Database,
        node: str,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._database = database
        self._node = node
        self._clock = clock
        self._is_known = False
        self._since: dict[int, float] = {}
        """When each job was taken into hand, by the monotonic clock."""

    def extend(self) -> bool:
        """Have all leases begin anew, and drop what was lost. False: the database gave no answer."""
        asked = {one.receipt for one in taken.in_hand(self._journal)}
        if asked and not self._is_known and not self._recognise():
            return False
        holding = self._database.extend(list(asked))
        if holding is None:
            return False
        self._is_known = True
        self._drop_lost(asked - holding)
        return True

    def _recognise(self) -> bool:
        """Before the first question, check that what is in hand comes from this database. False: no answer.

        A receipt of another project may be one here too, for somebody else's message. The database knows for a day
        each node that it has given anything: what it has given to one that it does not know is lost in any case.
        """
        is_known = self._database.knows_this_node()
        if is_known is False:
            guests.forget_all(self._journal, self._spool)
        return is_known is not None

    def _drop_lost(self, lost: Set[Receipt]) -> None:
        """Forget lost pictures but those whose row is on its way: it may be there already, and its answer tells."""
        in_hand = taken.in_hand(self._journal) if lost else []
        ids = [
            one.job
            for one in in_hand
            if one.receipt in lost and not (one.state == "rendered" and one.is_stored) and one.state != "dead"
        ]
        if gone := self._forget("lost", ids):
            log.warning("handover.lost", job_ids=gone)

    def give_away(self, hopeless: Set[int] = frozenset()) -> None:
        """Tell the origins of what is dead; give back what this node does not get on with, and the jobs `hopeless`."""
        in_hand = taken.in_hand(self._journal)
        now = self._clock()
        self._since = {one.job: self._since.get(one.job, now - max(0.0, time.time() - one.taken_at)) for one in in_hand}
        self._tell_dead([one for one in in_hand if one.state == "dead"])
        self._give_back(
            [one for one in in_hand if one.job in hopeless or _has_overstayed(one, now - self._since[one.job])]
        )

    def _tell_dead(self, dead: Sequence[Guest]) -> None:
        told = [(one.receipt, dead_of(one, self._node).packed()) for one in dead]
        held = self._database.settle(told) if told else None
        if held is None:
            return
        failpoints.reach("queue.settled")
        self._forget("dead", [one.job for one in dead if one.receipt in held])
        self._forget("lost", [one.job for one in dead if one.receipt not in held])

    def _give_back(self, some: Sequence[Guest]) -> None:
        if some and self._database.settle([(one.receipt, None) for one in some]) is not None:
            gone = self._forget("returned", [one.job for one in some])
            log.warning("handover.returned", job_ids=gone)

    def give_up(self, more: Sequence[Receipt]) -> None:
        """The source ends: give back what no image worker has yet, and `more`; the rest keeps a whole lease.

        It is forgotten first: else the pool could give it to a worker meanwhile. If the database does not hear of it,
        its leases end by themselves.
        """
        in_hand = taken.in_hand(self._journal)
        gone = set(self._forget("returned", [one.job for one in in_hand], only_idle=True))
        returned = [*(one.receipt for one in in_hand if one.job in gone), *more]
        if gone:
            failpoints.reach("queue.forgotten")
            log.info("handover.returned", job_ids=sorted(gone))
        if returned and self._database.settle([(one, None) for one in returned]) is None:
            return
        if len(gone) < len(in_hand):
            self._database.extend([one.receipt for one in in_hand if one.job not in gone])

    def _forget(self, ending: GuestEnding, job_ids: Iterable[int], *, only_idle: bool = False) -> list[int]:
        """Forget these jobs, and all of them in the spool. Returns those that were forgotten."""
        states: tuple[State, ...] = ("seen", "fetched") if only_idle else ()
        return guests.forget(self._journal, self._spool, ending, job_ids, idle=only_idle, states=states)


def dead_of(one: Guest, node: str) -> Dead:
    """The result for the origin of a dead letter."""
    state = one.dead_state or "fetched"
    cause: FailureCause = "poison" if one.dead_cause == "poison" else "failure"
    is_doubtful = one.is_doubted and (state, cause) == ("fetched", "failure")
    return Dead(Key.read(one.key), node, one.revision, state, cause, one.reason or "", is_doubtful)


def _has_overstayed(one: Guest, seconds: float) -> bool:
    return has_overstayed(one.state, seconds, is_stored=one.is_stored, is_claimed=one.is_claimed)
