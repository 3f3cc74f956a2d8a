"""Messages out of the queues into the journal: each becomes a job, with its receipt and its origin's terms.

What can't be used here (another version, another bucket, a message that the journal has as its own) is given back:
another node may do better. Not at once, since it would be the first to come again: what is behind it gets its turn
meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass

import structlog

from ipc.files.spool import Spool
from ipc.intake import take_handed_over
from ipc.journal import Journal, lookup
from ipc.journal.machines import taken
from ipc.machines.handover import Handover
from ipc.machines.receipt import Receipt
from ipc.posts import BACKFILL, LIVE
from workers.sources import guests
from workers.sources.queue import handover_check
from workers.sources.queue.database import LeasedMessage
from workers.sources.queue.handover_check import Refusal
from workers.unforeseen import contained

PARK_SECONDS = 30.0
"""For how long a message that can't be used here is kept from coming again. It has to be less than a lease."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Parked:
    receipt: Receipt
    until: float
    refusal: Refusal


class Taking:
    """`bucket` is that of this node's storage, `closed` says why it can't read others; `clock` is monotonic."""

    def __init__(
        self,
        journal: Journal,
        spool: Spool,
        bucket: str,
        closed: Callable[[], Mapping[str, str]] = dict,
        park_seconds: float = PARK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._bucket = bucket
        self._closed = closed
        self._park_seconds = park_seconds
        self._clock = clock
        self._parked: list[_Parked] = []

    def __len__(self) -> int:
        """How many messages that can't be used are kept."""
        return len(self._parked)

    @property
    def refusal(self) -> Refusal | None:
        """Why some of those are kept: one that has a problem of its own if there is any, else the newest."""
        return max(
            (one.refusal for one in reversed(self._parked)), key=lambda refusal: refusal.kind != "", default=None
        )

    def enter(self, message: LeasedMessage) -> bool:
        """Enter the message into the journal. Returns whether it is of use. Raises what concerns the whole process."""
        try:
            found = self._enter(message)
        except Exception as error:
            found = Refusal(str(contained(error, "a message can't be entered")))
        return found is None or self._refuse(message.receipt, found)

    def to_give_back(self, *, all_of_them: bool = False) -> list[Receipt]:
        """The receipts of those that have been kept for long enough. They are not kept any more."""
        now = self._clock()
        due = [one for one in self._parked if all_of_them or one.until <= now]
        self._parked = [one for one in self._parked if one not in due]
        return [one.receipt for one in due]

    def _enter(self, message: LeasedMessage) -> Refusal | None:
        handover = handover_check.read(message.content, self._bucket, self._closed())
        if isinstance(handover, Refusal):
            return handover
        if taken.renew(self._journal, message.receipt):
            log.info("handover.came_again", key=str(handover.key))
            return None
        if self._take(handover, message.receipt):
            return None
        return Refusal("this node's journal has that message as its own. Give the node a state_dir of its own")

    def _take(self, handover: Handover, receipt: Receipt) -> bool:
        """False: the journal has a job of that message which is no origin's."""
        key, now = str(handover.key), time.time()
        self._drop_older(handover)
        terms = asdict(handover.terms)
        is_new = take_handed_over(
            self._journal,
            handover.channel,
            handover.post,
            LIVE if handover.priority == LIVE else BACKFILL,
            now,
            lambda job: taken.put(self._journal, job, handover.key.origin, receipt, terms, now),
        )
        if is_new:
            log.debug("handover.taken", key=key, queue=receipt.queue)
        return is_new

    def _drop_older(self, handover: Handover) -> None:
        """An older hand-over of the message is over: its origin makes none before it has ended that."""
        known = lookup.known(self._journal, handover.post.channel_id, handover.post.message_id)
        if known is not None:
            guests.forget(self._journal, self._spool, "lost", [known.id])

    def _refuse(self, receipt: Receipt, refusal: Refusal) -> bool:
        log.warning("handover.refused", queue=receipt.queue, reason=refusal.reason)
        self._parked.append(_Parked(receipt, self._clock() + self._park_seconds, refusal))
        return False
