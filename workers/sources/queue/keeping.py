"""What is in hand: its leases go on, what was lost is dropped, what is dead or stays for too long is given away."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

import structlog

from ipc import failpoints
from ipc.files.spool import Spool
from ipc.jobs import State
from ipc.journal import Journal, taken
from ipc.journal.taken import Ending, InHand
from ipc.machines.handover import Key
from ipc.machines.receipt import Receipt
from ipc.machines.result import Dead
from workers.sources.queue.database import Database
from workers.sources.queue.decisions import has_overstayed

log = structlog.get_logger()


class Keeping:
    """Keeps what the journal has in hand. `wall_clock` gives Unix seconds, as the journal has them."""

    def __init__(
        self,
        journal: Journal,
        spool: Spool,
        database: Database,
        node: str,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._database = database
        self._node = node
        self._wall_clock = wall_clock

    def extend(self) -> bool:
        """Have all leases begin anew, and drop what was lost. False: the database gave no answer."""
        in_hand = taken.in_hand(self._journal)
        holding = self._database.extend([one.receipt for one in in_hand])
        if holding is None:
            return False
        self._drop_lost([one for one in in_hand if one.receipt not in holding])
        return True

    def _drop_lost(self, lost: Iterable[InHand]) -> None:
        """Not those whose row is on its way: it may be there already, and the row's own answer tells."""
        ids = [one.job for one in lost if not (one.state == "rendered" and one.is_stored) and one.state != "dead"]
        if gone := self._forget("lost", ids):
            log.warning("handover.lost", job_ids=gone)

    def give_away(self) -> None:
        """Tell the origins of what is dead; give back what this node does not get on with."""
        now = self._wall_clock()
        in_hand = taken.in_hand(self._journal)
        self._tell_dead([one for one in in_hand if one.state == "dead"])
        self._give_back([one for one in in_hand if _has_overstayed(one, now)])

    def _tell_dead(self, dead: Sequence[InHand]) -> None:
        told = [(one.receipt, dead_of(one, self._node).packed()) for one in dead]
        held = self._database.settle(told) if told else None
        if held is None:
            return
        failpoints.reach("queue.settled")
        self._forget("dead", [one.job for one in dead if one.receipt in held])
        self._forget("lost", [one.job for one in dead if one.receipt not in held])

    def _give_back(self, some: Sequence[InHand]) -> None:
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

    def _forget(self, ending: Ending, job_ids: Iterable[int], *, only_idle: bool = False) -> list[int]:
        """Those of these jobs that are forgotten; nothing of them is left in the spool."""
        states: tuple[State, ...] = ("seen", "fetched") if only_idle else ()
        gone = taken.forget(self._journal, ending, job_ids, idle=only_idle, states=states)
        for job_id, generation in gone:
            self._spool.remove(job_id, generation)
        return [job_id for job_id, _ in gone]


def dead_of(one: InHand, node: str) -> Dead:
    """What its origin is told of a dead letter."""
    state, cause = one.dead_state or "fetched", one.dead_cause or "failure"
    is_doubtful = one.is_doubted and (state, cause) == ("fetched", "failure")
    return Dead(Key.read(one.key), node, one.revision, state, cause, one.reason or "", is_doubtful)


def _has_overstayed(one: InHand, now: float) -> bool:
    seconds = now - one.taken_at
    return has_overstayed(one.state, seconds, is_stored=one.is_stored, is_claimed=one.is_claimed)
