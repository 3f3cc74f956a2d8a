"""Whole files are put on the disk and into the journal, several at a time.

A file is safe when it, its folder and the spool are on the disk, and only then the journal may speak of it. Each of
these waits costs as much for many files as for one: the files that came while the disk was busy go together, in one
thread and in one transaction. The next download need not wait for it.
"""

from __future__ import annotations

import asyncio
import errno
import hashlib
import math
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Final

from ipc.files.spool import Spool
from ipc.jobs import Job
from ipc.journal import Journal
from workers.sources.settle import Fetched, record_fetched

MAX_THREADS: Final = 8
"""Most threads that wait for the disk. It writes what they wait for together: many wait no longer than one."""


@dataclass(slots=True)
class _Whole:
    """A file that has come: `data` is all of it, or None where it is in the spool already, open as `fd`.

    `began` is when its download did (monotonic seconds). `done` says whether the job wanted it.
    """

    job: Job
    data: bytearray | None
    fd: int
    bytes: int
    began: float
    done: asyncio.Future[bool]
    sha256: str = ""
    error: OSError | None = None


class SpoolWriter:
    """Writes originals into the spool, for one process."""

    def __init__(self, journal: Journal, spool: Spool) -> None:
        self._journal = journal
        self._spool = spool
        self._waiting: list[_Whole] = []
        self._workers: set[asyncio.Task[None]] = set()

    async def keep_data(self, job: Job, data: bytearray, began: float) -> bool:
        """Have the job's original safe in the spool and recorded; False if the job does not want it any more.

        `began` is when its download did (monotonic seconds).

        Raises OSError, and then nothing is left of it. If the caller is cancelled, it is kept all the same.
        """
        return await self._keep(_Whole(job, data, -1, len(data), began, asyncio.get_running_loop().create_future()))

    async def keep_file(self, job: Job, fd: int, size: int, began: float) -> bool:
        """Like `keep_data`, for an original that is complete in its part file. `fd` is closed in any case."""
        return await self._keep(_Whole(job, None, fd, size, began, asyncio.get_running_loop().create_future()))

    async def _keep(self, one: _Whole) -> bool:
        one.done.add_done_callback(lambda done: done.cancelled() or done.exception())  # the caller may be gone
        self._waiting.append(one)
        if len(self._workers) < MAX_THREADS:
            worker = asyncio.create_task(self._work())
            self._workers.add(worker)
            worker.add_done_callback(self._workers.discard)
        return await asyncio.shield(one.done)

    async def finish(self) -> None:
        """Wait until all that was given to it is kept."""
        while self._workers:
            await asyncio.wait(set(self._workers))

    async def _work(self) -> None:
        while self._waiting:
            count = math.ceil(len(self._waiting) / MAX_THREADS)
            batch, self._waiting = self._waiting[:count], self._waiting[count:]
            try:
                await asyncio.to_thread(partial(_make_safe, self._spool, batch))
                self._record(batch)
            except Exception as error:  # the journal's: it ends the process where `done` is awaited
                for one in batch:
                    one.done.set_exception(error)

    def _record(self, batch: list[_Whole]) -> None:
        now = time.monotonic()
        safe = [(one.job, Fetched(one.sha256, one.bytes, now - one.began)) for one in batch if one.error is None]
        wanted = record_fetched(self._journal, self._spool, safe)
        for one in batch:
            if one.error is not None:
                one.done.set_exception(one.error)
            else:
                one.done.set_result(one.job.id in wanted)


def _make_safe(spool: Spool, batch: list[_Whole]) -> None:
    """Write these files to the disk under their names, with their digests. Errors are noted with each."""
    _each(batch, partial(_seal, spool))
    named = [one for one in batch if one.error is None]
    _each(named, lambda one: spool.name_original(one.job.id, one.job.generation))
    named = [one for one in named if one.error is None]
    try:
        if named:
            spool.sync()
    except OSError as error:
        for one in named:
            one.error = error
    for one in batch:
        if one.error is not None:
            spool.discard_part(one.job.id, one.job.generation)


def _each(batch: list[_Whole], work: Callable[[_Whole], None]) -> None:
    for one in batch:
        try:
            work(one)
        except OSError as error:
            one.error = error


def _seal(spool: Spool, one: _Whole) -> None:
    """Write the file's bytes to the disk, and set its `sha256`."""
    if one.data is not None:
        one.sha256 = hashlib.sha256(one.data).hexdigest()
        with open(spool.part(one.job.id, one.job.generation), "wb", buffering=0, opener=_for_us_only) as writer:
            if writer.write(one.data) != len(one.data):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fsync(writer.fileno())
        return
    with os.fdopen(one.fd, "rb") as reader:  # which closes it
        os.fsync(one.fd)
        reader.seek(0)
        one.sha256 = hashlib.file_digest(reader, "sha256").hexdigest()


def _for_us_only(path: str, flags: int) -> int:
    return os.open(path, flags, 0o600)
