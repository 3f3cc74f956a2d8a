"""The originals of what was taken: out of the bucket into the spool, some at once, each in a thread of its own.

The threads touch neither journal nor database: each leaves its outcome, which the source's own thread settles. They are
daemons: a stop does not wait for them, since what they were about is given back.
"""

from __future__ import annotations

import hashlib
import queue as handoff
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from random import random
from typing import Any

from ipc.files.spool import Spool
from ipc.jobs import Job
from ipc.journal import Journal, queue
from ipc.journal.machines import taken
from ipc.retry import RetryPolicy
from workers.publishing import storage as storages
from workers.publishing.storage import ObjectFault, Storage, StorageFault
from workers.sources.queue.decisions import FETCHES, STAY_SECONDS, silent_seconds, to_fetch
from workers.sources.settle import Failed, Fetched, FetchEnd, NoRoom, PutOff, of_os_error, settle
from workers.unforeseen import contained

NO_ROOM_SECONDS = 5.0
"""How long nothing is fetched after the spool's disk was full."""

LONGEST_SECONDS = STAY_SECONDS
"""How long one original is waited for: by then it is given back."""

LOST_RETRIES, LOST_SECONDS = 2, 60.0
"""Retries of an original that is not there or is another one, at most, and the first pause: its origin is told well
before it is given back for staying too long. An origin that still waits for it renders it itself. Of a hand-over whose
original is gone for good, as a database that was restored has some, nobody waits; other nodes could do no better.
"""

CLOSED_SECONDS = 300.0
"""For how long nothing is taken of an origin whose bucket of originals these keys don't open."""


@dataclass(frozen=True, slots=True)
class _Closed:
    """The bucket gives this node nothing, while others may get something there."""

    bucket: str
    reason: str


Ended = tuple[Job, FetchEnd | _Closed | BaseException]


@dataclass(frozen=True, slots=True)
class _UnderWay:
    """An original that is being fetched, of that announced size, since `began` (monotonic)."""

    size: int
    began: float


class Fetching:
    """`options` has `storage`. `on_fetched` is called for each original that is in the spool.

    `disk_error` is why the spool takes nothing, `bucket_error` why the bucket gives nothing; "": it is not so.
    """

    def __init__(
        self,
        journal: Journal,
        spool: Spool,
        options: Mapping[str, Any],
        on_fetched: Callable[[], None],
        clock: Callable[[], float] = time.monotonic,
        random: Callable[[], float] = random,
    ) -> None:
        self.disk_error = self.bucket_error = ""
        self._journal = journal
        self._spool = spool
        self._options = options
        retry = options["retry"]
        self._policy = RetryPolicy(min(retry["max_attempts"], LOST_RETRIES), min(retry["base_seconds"], LOST_SECONDS))
        self._on_fetched = on_fetched
        self._clock = clock
        self._random = random
        self._storages: dict[str, Storage] = {}
        self._under_way: dict[int, _UnderWay] = {}
        self.hopeless: set[int] = set()
        """Jobs that are not fetched here any more, and should be given back."""
        self._closed: dict[str, tuple[float, str]] = {}
        """Buckets of originals that these keys don't open: until when that is taken for granted, and why it is so."""
        self._ended: handoff.SimpleQueue[Ended] = handoff.SimpleQueue()
        self._failures = 0
        self._silent_until = clock()

    @property
    def is_under_way(self) -> bool:
        return bool(self._under_way)

    @property
    def is_paused(self) -> bool:
        """Whether nothing is fetched for now, since the last one failed by no fault of its own."""
        return self._clock() < self._silent_until

    def closed(self) -> dict[str, str]:
        """Why these keys don't open a bucket, by bucket. The storage's own is none of them: there a breaker opens."""
        now = self._clock()
        self._closed = {bucket: one for bucket, one in self._closed.items() if one[0] > now}
        return {bucket: reason for bucket, (_, reason) in self._closed.items()}

    def start_due(self) -> None:
        """Begin to fetch what is due, as much as may be fetched at once."""
        if self.is_paused:
            return
        if self.disk_error and not self._look_at_disk():
            return
        if self.hopeless:
            self.hopeless &= taken.of(self._journal, self.hopeless).keys()
        jobs = queue.due(self._journal, "seen", FETCHES, source="queue", exclude={*self._under_way, *self.hopeless})
        sizes = [int(job.locator.get("bytes", 0)) for job in jobs]
        count = to_fetch(sizes, len(self._under_way), sum(one.size for one in self._under_way.values()))
        count = min(count, 1) if self._failures else count
        wanted = taken.of(self._journal, [job.id for job in jobs[:count]])
        for job, size in zip(jobs[:count], sizes, strict=False):
            if job.id in wanted:
                self._start(job, size, wanted[job.id].terms["wire_bucket"])

    def _look_at_disk(self) -> bool:
        """Whether the spool's disk takes something again. Else nothing is fetched for another while."""
        if self._spool.can_be_written():
            self.disk_error = ""
            return True
        self._silent_until = self._clock() + NO_ROOM_SECONDS
        return False

    def _start(self, job: Job, size: int, bucket: str) -> None:
        try:
            arguments = (job, bucket, self._storage(bucket))
        except StorageFault as fault:  # no storage at all can be made of these settings
            self._settle(job, PutOff(str(fault), 0.0))
            return
        self._under_way[job.id] = _UnderWay(size, self._clock())
        try:
            threading.Thread(target=self._run, args=arguments, name=f"fetch of job {job.id}", daemon=True).start()
        except RuntimeError:  # the machine has no thread to give
            self._run(*arguments)

    def settle_ended(self, wait_seconds: float = 0.0) -> None:
        """Settle what has ended, after waiting that long at most for the first one. Raises what concerns all of us."""
        self._give_up_overdue()
        while True:
            try:
                job, outcome = self._ended.get(timeout=wait_seconds) if wait_seconds else self._ended.get_nowait()
            except handoff.Empty:
                return
            wait_seconds = 0.0
            self._under_way.pop(job.id, None)
            if isinstance(outcome, BaseException):
                raise outcome
            if isinstance(outcome, _Closed):
                self._closed[outcome.bucket] = self._clock() + CLOSED_SECONDS, outcome.reason
                self.hopeless.add(job.id)
            else:
                self._settle(job, outcome)

    def _give_up_overdue(self) -> None:
        """A bucket that gives a byte now and then would keep all threads for ever: these are left to themselves."""
        for job_id in [of for of, one in self._under_way.items() if self._clock() - one.began > LONGEST_SECONDS]:
            del self._under_way[job_id]
            self.hopeless.add(job_id)
            self._note_failure(f"the bucket has not given an original within {LONGEST_SECONDS:.0f} s", 0.0)

    def _settle(self, job: Job, outcome: FetchEnd) -> None:
        match outcome:
            case Fetched():
                self._failures, self.disk_error, self.bucket_error = 0, "", ""
            case NoRoom(reason):
                self.disk_error = reason
                self._silent_until = self._clock() + NO_ROOM_SECONDS
            case PutOff(reason, seconds):
                self._note_failure(reason, seconds)
                outcome = PutOff(reason, self._silent_until - self._clock())
            case _:
                self._failures, self.bucket_error = 0, ""  # the bucket has answered
        if settle(self._journal, self._spool, self._policy, job, outcome) and isinstance(outcome, Fetched):
            self._on_fetched()

    def _note_failure(self, reason: str, seconds: float) -> None:
        """Note that the bucket fails, and wait at least `seconds`. Of several failures at once, one counts."""
        self.bucket_error = reason
        if not self.is_paused:
            self._failures += 1
            self._silent_until = self._clock() + max(silent_seconds(self._failures, self._random), seconds)

    def _storage(self, bucket: str) -> Storage:
        """The storage of our settings, with this bucket."""
        if bucket not in self._storages:
            self._storages[bucket] = storages.make(self._options, bucket=bucket)
        return self._storages[bucket]

    # In a thread of its own

    def _run(self, job: Job, bucket: str, storage: Storage) -> None:
        try:
            outcome: FetchEnd | _Closed | BaseException = self._fetch(job, bucket, storage)
        except BaseException as error:
            outcome = error
        self._ended.put((job, outcome))

    def _fetch(self, job: Job, bucket: str, storage: Storage) -> FetchEnd | _Closed:
        began = self._clock()
        try:
            data = storage.read(job.locator["object"], most_bytes=int(job.locator["bytes"]))
            if data is None:
                return Failed(f"its original is not in the bucket {bucket}")
            digest = hashlib.sha256(data).hexdigest()
            if digest != job.locator["sha256"]:
                return Failed(f"what is in the bucket {bucket} is not the original that was handed over")
            self._spool.put_original(job.id, job.generation, data)
            return Fetched(digest, len(data), self._clock() - began)
        except StorageFault as fault:
            if fault.fatal and bucket != self._options["storage"]["bucket"]:
                return _Closed(bucket, str(fault))
            return PutOff(str(fault), fault.retry_after_seconds or 0.0)
        except ObjectFault as fault:
            return Failed(str(fault))
        except OSError as error:
            return of_os_error(error, str(error))
        except Exception as error:
            return Failed(str(contained(error, "fetching failed for an unforeseen error", job=job.id)))
