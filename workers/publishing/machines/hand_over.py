"""The thread that hands pictures over. It claims them, puts their originals into the bucket, then their messages into
the queue.

Each step is recorded before the next one, and can be repeated. What is left of claims that have ended is cleared away
by the same thread, after all that it was doing itself.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import Any

import structlog

from ipc import failpoints
from ipc.files.object_layout import address_of, public_url
from ipc.files.rows import VERSION
from ipc.files.spool import Spool
from ipc.jobs import Job
from ipc.journal import Journal, addresses, figures, lookup, transitions
from ipc.journal.machines import claims
from ipc.journal.machines.claims import Claim
from ipc.machines.handover import Handover, Terms, handover_of
from ipc.posts import LIVE, Channel
from workers.publishing.catalog.protocol import RowFault
from workers.publishing.catalog.supabase.queues import Queues
from workers.publishing.machines import cleanup, limits
from workers.publishing.machines.fleet import Fleet
from workers.publishing.machines.wire import Wire
from workers.publishing.storage import StorageFault

AT_ONCE = 16
"""Pictures that are claimed, put and handed over in one go: nodes have the first ones while the next are put."""

PUT_BYTES = 64 * 2**20
"""Originals that are put in one go, together; a single one may have more. They are in memory meanwhile."""

UNDER_WAY: tuple[claims.ClaimStep, ...] = ("claimed", "put")

STRAY_SECONDS = 3600.0
"""Age from which an original of ours in the bucket that the journal knows nothing of is deleted: the journal was
restored to a moment before it was claimed, or a put without an answer was carried out later. The originals of a journal
that is lost are another id's: `gc` deletes them.
"""

log = structlog.get_logger()


class HandOver:
    """`options` are the uploader's. `wake(state)` hints to the process that takes such jobs. `clock` is monotonic."""

    def __init__(
        self,
        options: Mapping[str, Any],
        journal: Journal,
        spool: Spool,
        queues: Queues,
        fleet: Fleet,
        wake: Callable[[str], None],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._journal = journal
        self._spool = spool
        self.queues = queues
        self._fleet = fleet
        self._wake = wake
        self._clock = clock
        self._options = options
        self._keep: int = options["machines"]["hand_over_above"]
        self._look_seconds: float = options["machines"]["reconcile_seconds"]
        self._origin = journal.machine_id()
        self._wire = Wire(options, self._origin)
        self._terms = terms_of(options, self._wire)
        self._note_address()
        self._looked_at = -math.inf
        self._refused: set[int] = set()
        """Jobs that bucket or queue refuse: our own workers have them."""

    def _note_address(self) -> None:
        """Have the journal know what URLs in nodes' rows begin with: a result that names others is not believed."""
        prefix = self._terms.prefix
        url = address_of(partial(public_url, self._terms.url), prefix)
        addresses.number_of(self._journal, url, prefix, VERSION)

    def step(self) -> int:
        """Do what is due. Returns the number of claims that went a step on. Raises ServiceFault and OSError."""
        with self._fleet.telling("hand-over"):
            went_on = self._claim() + self._put() + self._hand_over()
            went_on += cleanup.clear(self._journal, self.queues, self._wire, self._origin)
            went_on += self._look_at_wire()
        self._fleet.changes += went_on
        return went_on

    def close(self) -> None:
        """Let go of the services."""
        self.queues.close()
        self._wire.close()
        self._wire = Wire(self._options, self._origin)

    def _claim(self) -> int:
        """Claim some of what our own workers don't get to, if there are nodes that have time for it.

        Not while others wait to be put or handed over: that may be long, where a service fails. Nor while what nodes
        answer can't be read.
        """
        if self._fleet.misread or any(claims.at_step(self._journal, step, 1) for step in UNDER_WAY):
            return 0
        room = limits.room(self._keep, self._fleet.workers(), claims.outstanding(self._journal))
        if not room:
            return 0
        found = claims.to_hand_over(self._journal, self._keep, min(room, AT_ONCE))
        jobs = [job for job in found if job.id not in self._refused]
        if not jobs:
            return 0
        failpoints.reach("machines.before")
        claimed = transitions.claim_for_machines(self._journal, jobs)
        failpoints.reach("machines.claimed")
        return claimed

    # Originals into the bucket

    def _put(self) -> int:
        """Put the originals of the claims into the bucket. Returns the number of those that are there."""
        due = claims.at_step(self._journal, "claimed", AT_ONCE)
        originals = self._originals(due)
        if not originals:
            return 0
        outcomes = self._wire.put(originals)
        failpoints.reach("machines.put")
        for one in due:
            if fault := outcomes.get(one.token):
                self._refuse(one, str(fault))
        put = [one for one in due if one.token in outcomes and not outcomes[one.token]]
        moved = claims.move(self._journal, put, "put")
        failpoints.reach("machines.noted")
        return moved

    def _originals(self, due: Iterable[Claim]) -> dict[str, bytes]:
        """The originals of the first of these claims by token, as many as may be in memory."""
        found: dict[str, bytes] = {}
        for one in due:
            if sum(map(len, found.values())) >= PUT_BYTES:
                break
            if (data := self._original(one)) is not None:
                found[one.token] = data
        return found

    def _original(self, claim: Claim) -> bytes | None:
        """The original in the spool. A lost or damaged one is for our own pool to settle, as any other."""
        job = self._job_of(claim)
        if job is None:
            return None
        try:
            data = self._spool.original(job.id, job.generation).read_bytes()
        except FileNotFoundError:
            data = b""
        if hashlib.sha256(data).hexdigest() == job.sha256:
            return data
        self._refuse(claim, "its original is not in the spool as it came")
        return None

    def _job_of(self, claim: Claim) -> Job | None:
        """The job, unless the claim has ended meanwhile."""
        job = lookup.job(self._journal, claim.job_id)
        return job if job and job.is_handed_over and job.generation == claim.generation else None

    def _refuse(self, claim: Claim, reason: str) -> None:
        """Leave the picture to our own workers, and don't try to hand it over again."""
        log.warning("machines.refused", job=claim.job_id, reason=reason)
        self._refused.add(claim.job_id)
        transitions.bring_back(self._journal, [claim.number])
        self._wake("fetched")

    # Into the queue

    def _hand_over(self) -> int:
        """Queue the claims whose originals are in the bucket. Returns their number."""
        due = claims.at_step(self._journal, "put", AT_ONCE)
        channels = {row["id"]: row for row in figures.channels(self._journal)} if due else {}
        sent = [(one, self._handover(one, job, channels[job.channel_id])) for one in due if (job := self._job_of(one))]
        if not sent:
            return 0
        handed = self._send(sent)
        failpoints.reach("machines.sent")
        moved = claims.move(self._journal, handed, "handed")
        failpoints.reach("machines.after")
        log.info("machines.handed_over", jobs=moved)
        return moved

    def _handover(self, claim: Claim, job: Job, channel: Mapping[str, Any]) -> Handover:
        described = Channel(job.channel_id, channel["title"], channel["name"])
        key = claims.key_of(self._origin, claim, job)
        return handover_of(job, described, key, self._wire.key(claim.token), self._terms)

    def _send(self, sent: list[tuple[Claim, Handover]]) -> list[Claim]:
        """Send the hand-overs, and return the claims that the queue has. A refused one keeps none of the others out."""
        try:
            self.queues.hand_over(
                [("live" if message.priority == LIVE else "backfill", message.packed()) for _, message in sent]
            )
        except RowFault as fault:
            if len(sent) == 1:
                self._refuse(sent[0][0], str(fault))
                return []
            return [claim for one in sent for claim in self._send([one])]
        self._fleet.answered()
        return [claim for claim, _ in sent]

    # What the bucket has lost, and what it has too much

    def _look_at_wire(self) -> int:
        """Now and then, put originals again that are missing, and delete unknown ones. Returns the number put.

        It is this thread that puts and deletes, so what is recorded is what has to be there.
        """
        if self._clock() - self._looked_at < self._look_seconds:
            return 0
        self._looked_at = self._clock()
        try:
            stored = self._wire.stored()
        except StorageFault as fault:  # a token that may not list: nothing else needs that here
            log.warning("machines.wire_unlisted", reason=str(fault))
            return 0
        put = claims.at_step(self._journal, "put", claims.ALL) + claims.at_step(self._journal, "handed", claims.ALL)
        lost = [one for one in put if one.token not in stored]
        if lost:
            log.warning("machines.originals_lost", jobs=claims.move(self._journal, lost, "claimed"))
        known, before = claims.tokens(self._journal), self._journal.clock() - STRAY_SECONDS
        self._wire.delete(token for token, one in stored.items() if token not in known and one.modified_at < before)
        return len(lost)


def terms_of(options: Mapping[str, Any], wire: Wire) -> Terms:
    """How nodes render and publish our pictures: as we would."""
    storage, images = options["storage"], options["images"]
    return Terms(
        ladder=images["ladder"],
        limits=images["limits"],
        strip=images["strip"],
        originals=storage["originals"],
        bucket=storage["bucket"],
        wire_bucket=wire.bucket,
        prefix=storage["prefix"],
        url=wire.url(),
        editor_commands=options.get("editor_commands", False),
    )
