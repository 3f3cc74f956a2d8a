"""The pictures' bytes: from Telegram into the spool, several at once, in the order that the journal gives.

Promises. An original counts as fetched when it is whole (as long as Telegram said) and on the disk; whether it can be
decoded an image worker finds out, and sends it back if not. Nothing is downloaded while the spool or its disk is full.
Only the picture's own fault costs an attempt: a flood, an outage or a lost connection does not. However a try ends, the
job moves on: it is fetched, withdrawn, put off or dead (`workers.sources.settle`).

No channel keeps another one waiting: of those with something to fetch, the one with the fewest downloads under way is
next, and one whose files are asked for in vain never has all of them.
"""

from __future__ import annotations

import asyncio
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Final

import structlog

from ipc.files.spool import Spool
from ipc.jobs import Job
from ipc.journal import Journal, lookup, queue, transitions
from ipc.retry import RetryPolicy
from workers.sources.settle import FetchEnd, NoRoom, TooLarge, settle
from workers.sources.telegram.downloads.failures import Complaint, DownloadFailures
from workers.sources.telegram.downloads.fetcher import SMALL_BYTES, Download, Fetcher
from workers.sources.telegram.downloads.references import FileReferences, PictureGone
from workers.sources.telegram.downloads.spool_writer import SpoolWriter
from workers.sources.telegram.history.history import History
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import ConnectionLost, Flooded, Unanswered
from workers.sources.telegram.wire.media import File, Message

POLL_SECONDS: Final = 2.0

MAX_IN_HAND: Final = 4
"""Files in hand for each of the downloads at once, with those that wait for the disk."""

ROOM_SECONDS: Final = 0.2
"""How long the spool counts as having room without another look, unless SMALL_BYTES have been begun."""

DISK_PAUSE_SECONDS: Final = 30.0

CHECK_SECONDS: Final = 5.0
"""How often the disk and the failed downloads are looked at again."""

log = structlog.get_logger()


class Downloads:
    """Downloads what is due. One for the whole life of the process; connections and histories come and go.

    `is_idle`: nothing could be fetched at the last look, as what waits is not due, or its channel is not read (now).
    """

    def __init__(
        self,
        *,
        journal: Journal,
        spool: Spool,
        policy: RetryPolicy,
        max_bytes: int,
        has_room: Callable[[int], bool],
        at_once: int,
        on_fetched: Callable[[], None],
        on_doubt: Callable[[], None],
        on_flood: Callable[[float], None] = lambda seconds: None,
    ) -> None:
        """`has_room` is asked with the number of bytes on their way. `on_doubt` is called when a request got no answer,
        `on_flood` with the seconds when Telegram asks to wait.
        """
        self.wake = asyncio.Event()
        self.disk_error = ""
        self.is_idle = False
        self._journal = journal
        self._spool = spool
        self._policy = policy
        self._ask_for_room = has_room
        self._at_once = at_once
        self._on_fetched = on_fetched
        self._on_doubt = on_doubt
        self._on_flood = on_flood
        self._references = FileReferences()
        self._failures = DownloadFailures()
        self._writer = SpoolWriter(journal, spool)
        self._fetcher = Fetcher(spool, self._writer, self._references, max_bytes, self._note_begun, self.wake.set)
        self._in_hand: dict[int, tuple[Download, asyncio.Task[None]]] = {}
        self._had_room = False
        self._room_until = 0.0
        self._begun_bytes = 0
        self._paused_until = 0.0
        self._check_at = 0.0

    def remember(self, channel_id: int, message: Message) -> None:
        """A message was just read: its file's reference is fresh."""
        self._references.remember(channel_id, message)

    def complaint(self) -> Complaint | None:
        """What is wrong with the downloads, if anything is."""
        return self._failures.complaint(time.time())

    def refresh(self) -> None:
        """Look again for what was wrong, whether or not there is anything to fetch. To be called every second."""
        self._ask_for_room(self._coming_bytes())
        if time.monotonic() < self._check_at:
            return
        self._check_at = time.monotonic() + CHECK_SECONDS
        if self.disk_error and self._spool.can_be_written():
            self.disk_error, self._paused_until = "", 0.0
            self.wake.set()
        for job_id in self._failures.known():
            job = lookup.job(self._journal, job_id)
            if job is None or job.state != "seen":
                self._failures.forget(job_id)  # deleted, or dead, or another process has fetched it elsewhere

    # What is fetched when

    async def run(self, connection: Connection, histories: Mapping[int, History]) -> None:
        """Fetch what is due until cancelled. `histories` by channel id: those that can be read now."""
        await self._give_up()  # the end of the connection before may have been cancelled while it waited for the disk
        try:
            while True:
                self.wake.clear()
                while (job := self._next(histories)) is not None:
                    download = Download(job)
                    work = self._fetch(connection, histories[job.channel_id], download)
                    self._in_hand[job.id] = download, asyncio.create_task(work)
                waker = asyncio.create_task(self.wake.wait())
                tasks = [task for _, task in self._in_hand.values()]
                await asyncio.wait([waker, *tasks], timeout=POLL_SECONDS, return_when="FIRST_COMPLETED")
                waker.cancel()
                for job_id in [job_id for job_id, (_, task) in self._in_hand.items() if task.done()]:
                    self._in_hand.pop(job_id)[1].result()
        finally:
            await self._give_up()

    async def _give_up(self) -> None:
        """End what is in hand, and wait for the disk: the next connection would have the same fetched once more."""
        tasks = [task for _, task in self._in_hand.values()]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await self._writer.finish()
        self._in_hand.clear()

    def _next(self, histories: Mapping[int, History]) -> Job | None:
        """The job to begin now, if there is one and there is room for it."""
        busy = Counter(one.job.channel_id for one, _ in self._in_hand.values() if not one.is_whole)
        is_full = busy.total() >= self._at_once or len(self._in_hand) >= MAX_IN_HAND * self._at_once
        if is_full or time.monotonic() < self._paused_until or not self._has_room():
            return None
        silent = self._failures.silent_channels()
        open_to = [one for one in histories if one not in silent or busy[one] < max(1, self._at_once // 2)]
        due = queue.first_to_fetch(self._journal, open_to, exclude=self._in_hand)
        self.is_idle = not due and not self._in_hand
        return min(due, key=lambda job: (job.priority, busy[job.channel_id], job.next_at > 0, job.id), default=None)

    def _has_room(self) -> bool:
        """Whether the spool has room. Adding up what is in it takes a while: not for each small file."""
        now = time.monotonic()
        if now >= self._room_until or self._begun_bytes >= SMALL_BYTES or not self._had_room:
            self._had_room = self._ask_for_room(self._coming_bytes())
            self._room_until, self._begun_bytes = now + ROOM_SECONDS, 0
        return self._had_room

    def _coming_bytes(self) -> int:
        return sum(one.bytes for one, _ in self._in_hand.values())

    def _note_begun(self, download: Download) -> None:
        self._begun_bytes += download.bytes

    # One picture

    async def _fetch(self, connection: Connection, history: History, download: Download) -> None:
        """Take one job a step on, or record why not: no error of one picture is another one's.

        Raises ConnectionLost, and what concerns the whole process.
        """
        job = download.job
        try:
            fetched = await self._fetcher.fetch(connection, history, download)
        except ConnectionLost:
            raise  # of all files
        except Flooded as flood:
            self._wait_out(flood)
        except PictureGone as gone:
            self._settle(job, self._failures.of_absence(job, str(gone), self._is_unchanged(job), time.time()))
        except Exception as error:
            if isinstance(error, Unanswered):
                self._on_doubt()
            self._settle(job, self._failures.of_error(job, error, time.time()))
        else:
            if isinstance(fetched, TooLarge):
                self._settle(job, fetched)
            else:
                self._note_fetched(connection, job, *fetched)

    def _note_fetched(self, connection: Connection, job: Job, file: File, was_wanted: bool) -> None:
        """The original is recorded, by the spool's writer."""
        self.disk_error = ""
        if file.data is None:
            self._failures.fetched(job.id, time.time())
            for dc_id in connection.dc_ids(file):
                self._hasten(dc_id)
        else:
            self._failures.forget(job.id)  # it proves nothing of the downloads
        if was_wanted:
            self._on_fetched()

    def _hasten(self, dc_id: int) -> None:
        """Make jobs due at once that waited for that data centre: it gives files."""
        for job_id in self._failures.waiting_for(dc_id):
            self._failures.forget(job_id)
            job = lookup.job(self._journal, job_id)
            if job is not None and job.state == "seen" and job.next_at > time.time():
                transitions.postpone(self._journal, job, 0.0, job.reason or "")

    def _is_unchanged(self, job: Job) -> bool:
        """Whether the journal has the job as it was when it was begun."""
        now = lookup.job(self._journal, job.id)
        return now is not None and (now.state, now.generation) == (job.state, job.generation)

    def _wait_out(self, flood: Flooded) -> None:
        """Telegram wants no download of any file for a while: no job is changed."""
        self._paused_until = time.monotonic() + flood.seconds
        self._on_flood(flood.seconds)
        log.warning("download.flooded", seconds=flood.seconds)

    def _settle(self, job: Job, outcome: FetchEnd) -> None:
        if isinstance(outcome, NoRoom):
            self.disk_error = outcome.reason
            self._paused_until = time.monotonic() + DISK_PAUSE_SECONDS
        settle(self._journal, self._spool, self._policy, job, outcome)
