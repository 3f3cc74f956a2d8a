"""Messages out of the queues into the journal: each becomes a job, with its receipt and its origin's terms.

What can't be used here (another version, another bucket, a message that the journal has as its own) is given back:
another node may do better. Not at once, since it would be the first to come again: what is behind it gets its turn
meanwhile.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import get_args

import msgpack
import structlog

from ipc.files.object_layout import Published
from ipc.files.spool import Spool
from ipc.intake import take_handed_over
from ipc.journal import Journal, lookup, taken
from ipc.machines import BadMessage
from ipc.machines.handover import Handover, Terms
from ipc.machines.receipt import Receipt
from ipc.posts import BACKFILL, LIVE
from workers.sources.queue.database import Message

PARK_SECONDS = 30.0
"""For how long a message that can't be used here is kept from coming again. It has to be less than a lease."""

TERMS_BYTES = 3000
"""Of what an image worker is told of them: it goes in one message with the rest of its request."""

OTHER_BUCKET = "other_bucket"
"""The kind of a refusal that has a problem of its own in /status."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Refusal:
    """Why a message can't be used here. `kind` is OTHER_BUCKET or "", `reason` is for people."""

    reason: str
    kind: str = ""


@dataclass(frozen=True, slots=True)
class _Parked:
    receipt: Receipt
    until: float
    refusal: Refusal


class Taking:
    """`bucket` is that of this node's storage, `clock` is monotonic."""

    def __init__(
        self,
        journal: Journal,
        spool: Spool,
        bucket: str,
        park_seconds: float = PARK_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self._bucket = bucket
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

    def enter(self, messages: Sequence[Message]) -> int:
        """Enter these into the journal; how many are of use."""
        return sum(self._enter(one) for one in messages)

    def to_give_back(self, *, all_of_them: bool = False) -> list[Receipt]:
        """The receipts of those that have been kept for long enough. They are not kept any more."""
        now = self._clock()
        due = [one for one in self._parked if all_of_them or one.until <= now]
        self._parked = [one for one in self._parked if one not in due]
        return [one.receipt for one in due]

    def _enter(self, message: Message) -> bool:
        receipt = message.receipt
        try:
            handover = Handover.unpacked(message.content)
        except BadMessage as bad:
            return self._refuse(receipt, Refusal(str(bad)))
        if taken.renew(self._journal, str(handover.key), receipt):
            log.info("handover.came_again", key=str(handover.key))
            return True
        refusal = refusal_of(handover.terms, self._bucket)
        if refusal is None and not self._take(handover, receipt):
            refusal = Refusal("this node's journal has that message as its own. Give the node a state_dir of its own")
        return refusal is None or self._refuse(receipt, refusal)

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
            lambda job: taken.put(self._journal, job, key, handover.key.origin, receipt, terms, now),
        )
        if is_new:
            log.debug("handover.taken", key=key, queue=receipt.queue)
        return is_new

    def _drop_older(self, handover: Handover) -> None:
        """An older hand-over of the message is over: its origin makes none before it has ended that."""
        known = lookup.known(self._journal, handover.post.channel_id, handover.post.message_id)
        if known is not None:
            for job_id, generation in taken.forget(self._journal, "lost", [known.id]):
                self._spool.remove(job_id, generation)

    def _refuse(self, receipt: Receipt, refusal: Refusal) -> bool:
        log.warning("handover.refused", queue=receipt.queue, reason=refusal.reason)
        self._parked.append(_Parked(receipt, self._clock() + self._park_seconds, refusal))
        return False


def refusal_of(terms: Terms, bucket: str) -> Refusal | None:
    """Why this node, with that bucket, can't do it as its origin wants it; None if it can."""
    if terms.bucket != bucket:
        reason = (
            f"an origin wants its pictures in the bucket {terms.bucket!r}, this node's is {bucket!r}."
            " Set storage.bucket, or machines.join, as the origin has it"
        )
        return Refusal(reason, OTHER_BUCKET)
    if terms.originals not in get_args(Published):
        return Refusal(f"an origin wants originals to be {terms.originals!r}, which this version does not know")
    told = {"limits": terms.limits, "ladder": terms.ladder, "strip": terms.strip}
    if len(msgpack.packb(told)) > TERMS_BYTES:
        return Refusal(
            f"an origin's images.widths are too many: at most {TERMS_BYTES} bytes of settings can be passed on"
        )
    return None
