"""The pictures' bytes: from Telegram into the spool, several at once, in the order that the journal gives.

Promises. An original counts as fetched when it is whole (as long as Telegram said) and on the disk; whether it can be
decoded is for an image worker to say, who sends it back if not. Nothing is downloaded while the spool or its disk is
full. Only what is the picture's own fault costs an attempt: a flood, an outage or a lost connection does not. Whatever
becomes of a try, the job moves on: it is fetched, withdrawn, put off or dead.

No channel keeps another one waiting: of those with something to fetch, the one that has the fewest downloads under way
is next, and one whose files are asked for in vain never has all of them.

A file's reference holds for hours. The messages that were just read are remembered with theirs; for all others, and for
a reference that has expired, the message is read again, which also shows whether the picture is still there.
"""

from __future__ import annotations

import asyncio
import errno
import os
import time
from collections import Counter, OrderedDict
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Final

import structlog

from ipc.files.spool import Spool, has_no_room
from ipc.jobs import Job
from ipc.journal import Journal
from ipc.retry import RetryPolicy
from workers.sources.telegram.download_failures import Complaint, DownloadFailures
from workers.sources.telegram.history import History
from workers.sources.telegram.spool_writer import SpoolWriter
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import (
    ChannelFault,
    Flooded,
    ConnectionLost,
    ServerTrouble,
    StaleReference,
    Unanswered,
    Unreachable,
    Unreadable,
)
from workers.sources.telegram.wire.media import File, Message
from workers.unforeseen import contained

POLL_SECONDS: Final = 2.0
PART_SECONDS: Final = 30.0
"""How long one part of a file may take. The smallest, 64 KiB, comes in that time at 2.2 kB/s."""

MOST_IN_HAND: Final = 4
"""So many times the downloads at once there may be files in hand, with those that wait for the disk."""

SMALL_BYTES: Final = 1024 * 1024
"""A file up to this size is kept in memory until all of it has come: most photos are."""

ROOM_SECONDS: Final = 0.2
"""So long, or for SMALL_BYTES, the spool is taken to have room once it had."""

PARALLEL_PARTS: Final = 4
"""Of one file: at 30 ms to Telegram a large file comes 3 times as fast as part by part (benchmarks/telegram)."""

REMEMBERED: Final = 2000
"""Messages whose file references are remembered: some 1 KiB each."""

OUTAGE_SECONDS: Final = 86400.0
"""A picture that has failed for longer than this, while others come, is charged for it."""

DISK_PAUSE_SECONDS: Final = 30.0

CHECK_SECONDS: Final = 5.0
"""How often it is looked whether what was the matter still is."""

log = structlog.get_logger()


class Damaged(Exception):
    """What came is not the file that Telegram declared."""


class Gone(Exception):
    """The picture that the job is about is not there any more; the journal has been told, as far as it can be."""


class Downloads:
    """Downloads what is due. One for the whole life of the process; connections and watches come and go."""

    def __init__(
        self,
        *,
        journal: Journal,
        spool: Spool,
        policy: RetryPolicy,
        max_bytes: int,
        room: Callable[[int], bool],
        at_once: int,
        on_fetched: Callable[[], None],
        on_doubt: Callable[[], None],
        on_flood: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`room` says whether the spool has any, with so many bytes on their way. `on_doubt` is called when a request
        got no answer, `on_flood` when Telegram asks to wait for so many seconds.
        """
        self.wake = asyncio.Event()
        self.disk_error = ""
        self.is_idle = False
        """Whether nothing could be fetched when it was last looked: what waits is not due, or of a channel that is not
        read (any more).
        """
        self._journal = journal
        self._spool = spool
        self._policy = policy
        self._max_bytes = max_bytes
        self._room = room
        self._at_once = at_once
        self._on_fetched = on_fetched
        self._on_doubt = on_doubt
        self._on_flood = on_flood
        self._files: OrderedDict[tuple[int, int], tuple[str, File]] = OrderedDict()
        self._failures = DownloadFailures()
        self._store = SpoolWriter(journal, spool)
        self._kept: set[int] = set()
        self._coming: dict[int, int] = {}
        self._had_room = False
        self._room_until = 0.0
        self._begun_bytes = 0
        self._paused_until = 0.0
        self._check_at = 0.0

    def remember(self, channel_id: int, message: Message) -> None:
        """A message was just read: its file's reference is fresh."""
        if message.post is None or message.file is None:
            return
        key = (channel_id, message.id)
        self._files[key] = (message.post.photo.identity, message.file)
        self._files.move_to_end(key)
        while len(self._files) > REMEMBERED:
            self._files.popitem(last=False)

    def complaint(self) -> Complaint | None:
        """What is the matter with the downloads, if anything is."""
        return self._failures.complaint(time.time())

    def refresh(self) -> None:
        """Find out anew what was the matter, whether or not there is anything to fetch. To be called every second."""
        self._room(sum(self._coming.values()))
        if time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + CHECK_SECONDS
        if self.disk_error and self._spool.can_be_written():
            self.disk_error, self._paused_until = "", 0.0
            self.wake.set()
        for job_id in self._failures.known():
            job = self._journal.job(job_id)
            if job is None or job.state != "seen":
                self._failures.forget(job_id)  # deleted, or dead, or another process has sent for it elsewhere

    async def run(self, connection: Connection, histories: Mapping[int, History]) -> None:
        """Fetch what is due until cancelled. `watches` by channel id: those that can be read now."""
        in_hand: dict[int, tuple[Job, asyncio.Task[None]]] = {}
        try:
            while True:
                self.wake.clear()
                while (job := self._next(in_hand, histories)) is not None:
                    in_hand[job.id] = job, asyncio.create_task(self._fetch(connection, histories[job.channel_id], job))
                waker = asyncio.create_task(self.wake.wait())
                tasks = [task for _, task in in_hand.values()]
                await asyncio.wait([waker, *tasks], timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
                waker.cancel()
                for job_id in [job_id for job_id, (_, task) in in_hand.items() if task.done()]:
                    self._kept.discard(job_id)
                    self._coming.pop(job_id, None)
                    in_hand.pop(job_id)[1].result()
        finally:
            for _, task in in_hand.values():
                task.cancel()
            await asyncio.gather(*(task for _, task in in_hand.values()), return_exceptions=True)
            await self._store.settle()  # or the next connection would have the same fetched once more
            self._kept.clear()
            self._coming.clear()

    def _next(self, in_hand: Mapping[int, tuple[Job, object]], histories: Mapping[int, History]) -> Job | None:
        """The job to begin now, if there is one and there is room for it."""
        busy = Counter(job.channel_id for job, _ in in_hand.values() if job.id not in self._kept)
        is_full = busy.total() >= self._at_once or len(in_hand) >= MOST_IN_HAND * self._at_once
        if is_full or time.monotonic() < self._paused_until or not self._has_room():
            return None
        silent = self._failures.silent_channels()
        open_to = [one for one in histories if one not in silent or busy[one] < max(1, self._at_once // 2)]
        due = self._journal.first_to_fetch(open_to, besides=in_hand)
        self.is_idle = not due and not in_hand
        return min(due, key=lambda job: (job.priority, busy[job.channel_id], job.next_at > 0, job.id), default=None)

    def _has_room(self) -> bool:
        """Whether the spool has room. Adding up what is in it takes a while: not for each small file."""
        now = time.monotonic()
        if now >= self._room_until or self._begun_bytes >= SMALL_BYTES or not self._had_room:
            self._had_room = self._room(sum(self._coming.values()))
            self._room_until, self._begun_bytes = now + ROOM_SECONDS, 0
        return self._had_room

    async def _fetch(self, connection: Connection, history: History, job: Job) -> None:
        """Take one job a step on, or note why not: whatever may be the matter with it, it is its own matter.

        Raises ConnectionLost, and what concerns the whole process.
        """
        try:
            await self._download(connection, history, job)
        except Gone as gone:
            self._move_on(job, gone)
        except (Flooded, ServerTrouble, ChannelFault, Unreadable, Unreachable) as trouble:
            self._put_off(job, trouble)
        except Unanswered as silence:
            self._on_doubt()
            self._put_off(job, silence)
        except ConnectionLost:
            raise  # of all files
        except StaleReference as stale:
            self._fail(job, f"a reference that was just given does not hold: {stale}")
        except Damaged as damage:
            self._fail(job, str(damage))
        except OSError as error:
            if not has_no_room(error):
                self._fail(job, f"cannot be written: {error}")
                return
            self.disk_error = f"the spool cannot be written: {error.strerror}"
            self._paused_until = time.monotonic() + DISK_PAUSE_SECONDS
            log.error("fetching waits", job=job.id, reason=self.disk_error)
        except Exception as error:
            what = "fetching put off for an unforeseen error"
            facts = {"job": job.id, "channel": job.channel_id, "message": job.message_id}
            self._put_off(job, contained(error, what, **facts))

    async def _file(self, connection: Connection, history: History, job: Job) -> File:
        """The file of the job's picture, with a reference that holds. Raises Gone."""
        identity, file = self._files.get((job.channel_id, job.message_id), ("", None))
        if file is not None and identity == job.identity:
            return file
        kind = "absent"
        for message in (await connection.by_ids(history.peer, [job.message_id])).messages:
            self.remember(job.channel_id, message)
            if message.post and message.file and message.post.photo.identity == job.identity:
                return message.file
            kind = message.kind
        async with history.lock:
            await history.look_at(connection, [job.message_id], everywhere=True)  # deleted, or another picture by now
        raise Gone(kind)

    def _move_on(self, job: Job, gone: Gone) -> None:
        """The picture is not there. Where that was not enough to change the job, it must not be asked for again now."""
        now = self._journal.job(job.id)
        is_unchanged = now is not None and (now.state, now.generation) == (job.state, job.generation)
        if is_unchanged and str(gone) != "preview":
            self._put_off(job, ServerTrouble(f"the message does not show the picture that it had ({gone})"))
            return
        self._failures.forget(job.id)
        if is_unchanged:
            self._bury(job, "it is the picture of a link's preview, and telegram.web_previews is off")

    async def _download(self, connection: Connection, history: History, job: Job) -> None:
        """Download the job's picture; where its reference has expired, with a new one."""
        file = await self._file(connection, history, job)
        if file.bytes > self._max_bytes:
            self._bury(job, f"its file has {file.bytes} bytes, images.max_bytes is {self._max_bytes}")
            return
        self._coming[job.id] = file.bytes
        self._begun_bytes += file.bytes
        try:
            is_wanted = await self._take_bytes(connection, job, file)
        except StaleReference:
            self._files.pop((job.channel_id, job.message_id), None)
            is_wanted = await self._take_bytes(connection, job, await self._file(connection, history, job))
        self.disk_error = ""
        if file.data is None:
            self._failures.fetched(job.id, time.time())
            for dc_id in connection.dc_ids(file):
                self._hasten(dc_id)
        else:
            self._failures.forget(job.id)  # it proves nothing of the downloads
        if is_wanted:
            self._on_fetched()
            log.debug("fetched", job=job.id, bytes=file.bytes)

    def _hasten(self, dc_id: int) -> None:
        """That data centre gives files: those that waited for it need not wait for their time."""
        for job_id in self._failures.waiting_for(dc_id):
            self._failures.forget(job_id)
            job = self._journal.job(job_id)
            if job is not None and job.state == "seen" and job.next_at > time.time():
                self._journal.postpone(job, 0.0, job.reason or "")

    async def _take_bytes(self, connection: Connection, job: Job, file: File) -> bool:
        """Download the file and have it kept; whether the job still wanted it."""
        if file.data is not None:
            self._only_waits_for_the_disk(job)
            return await self._store.keep_data(job, bytearray(file.data))
        if file.bytes <= SMALL_BYTES:
            data = bytearray(file.bytes)
            await _download_parts(connection, file, partial(_put, data))
            self._only_waits_for_the_disk(job)
            return await self._store.keep_data(job, data)
        with ExitStack() as stack:
            stack.callback(self._spool.discard_part, job.id, job.generation)
            path = self._spool.part(job.id, job.generation)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            stack.callback(os.close, fd)
            await _download_parts(connection, file, partial(_write, fd))
            stack.pop_all()
        self._only_waits_for_the_disk(job)
        return await self._store.keep_file(job, fd, file.bytes)

    def _only_waits_for_the_disk(self, job: Job) -> None:
        """Let the next download begin."""
        self._kept.add(job.id)
        self.wake.set()

    def _put_off(self, job: Job, trouble: Exception) -> None:
        """Nobody's fault that is here: the job keeps its attempts, unless this goes on for days with it alone."""
        if isinstance(trouble, Flooded):
            self._paused_until = time.monotonic() + trouble.seconds
            self._on_flood(trouble.seconds)
            log.warning("Telegram asks to wait before the next download", seconds=trouble.seconds)
            return
        if self._failures.seconds(job.id, time.time()) > OUTAGE_SECONDS and self._failures.is_the_only_one(job.id):
            self._charge(job, str(trouble))  # not forgotten: the next error costs an attempt too
            return
        seconds = self._failures.note(
            job.id,
            job.channel_id,
            trouble.why if isinstance(trouble, Unreachable) else str(trouble),
            time.time(),
            dc_id=trouble.dc_id if isinstance(trouble, Unreachable) else None,
            is_silent=isinstance(trouble, Unanswered),
        )
        if isinstance(trouble, Unreachable):
            seconds = max(seconds, trouble.seconds)
        log.warning("fetching put off", job=job.id, seconds=round(seconds, 1), reason=str(trouble))
        self._journal.postpone(job, seconds, str(trouble))

    def _fail(self, job: Job, reason: str) -> None:
        self._failures.forget(job.id)
        self._charge(job, reason)

    def _charge(self, job: Job, reason: str) -> None:
        outcome = self._journal.fail(job, f"cannot be fetched: {reason}", self._policy)
        log.warning("fetching failed", job=job.id, reason=reason, outcome=outcome)

    def _bury(self, job: Job, reason: str) -> None:
        if self._journal.bury(job, reason):
            log.error("dead letter", job=job.id, channel=job.channel_id, message=job.message_id, reason=reason)


def _put(target: bytearray, data: bytes, offset: int) -> None:
    target[offset : offset + len(data)] = data


def _write(fd: int, data: bytes, offset: int) -> None:
    if os.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def _download_parts(connection: Connection, file: File, put: Callable[[bytes, int], None]) -> None:
    """Put all parts of the file where they belong, several at a time. Raises Damaged if it is shorter or longer."""
    next_offset = 0

    async def take_parts() -> None:
        nonlocal next_offset
        while (offset := next_offset) < file.bytes:
            size = connection.part_bytes(file, offset)
            next_offset += size
            data = await connection.part(file, offset, size, PART_SECONDS)
            expected = min(size, file.bytes - offset)
            if len(data) != expected:
                raise Damaged(f"{len(data)} bytes came at {offset} of {file.bytes}, where {expected} should have")
            put(data, offset)

    if connection.part_bytes(file, 0) > file.bytes:
        await take_parts()
        return
    tasks = [asyncio.create_task(take_parts()) for _ in range(PARALLEL_PARTS)]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
