"""One picture's way from Telegram into the spool: its file's reference, its bytes, the disk."""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import Final

from ipc.files.spool import Spool
from ipc.jobs import Job
from workers.sources.settle import TooLarge
from workers.sources.telegram.downloads import transfer
from workers.sources.telegram.downloads.references import FileReferences
from workers.sources.telegram.downloads.spool_writer import SpoolWriter
from workers.sources.telegram.history.history import History
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import StaleReference
from workers.sources.telegram.wire.media import File

SMALL_BYTES: Final = 1024 * 1024
"""A file up to this size is kept in memory until all of it has come: most photos are."""


@dataclass(slots=True)
class Download:
    """One picture in hand since `began` (monotonic seconds).

    `bytes`, once its size is known; `is_whole`: it has come, and only waits for the disk.
    """

    job: Job
    bytes: int = 0
    is_whole: bool = False
    began: float = field(default_factory=time.monotonic)


class Fetcher:
    """`on_begun` is called once a download's size is known, `on_whole` when only the disk is waited for."""

    def __init__(
        self,
        spool: Spool,
        writer: SpoolWriter,
        references: FileReferences,
        max_bytes: int,
        on_begun: Callable[[Download], None],
        on_whole: Callable[[], None],
    ) -> None:
        self._spool = spool
        self._writer = writer
        self._references = references
        self._max_bytes = max_bytes
        self._on_begun = on_begun
        self._on_whole = on_whole

    async def fetch(self, connection: Connection, history: History, download: Download) -> TooLarge | tuple[File, bool]:
        """Fetch the picture and have it recorded; its file, and whether the job still wanted it.

        With a new reference where the old one has expired. Raises PictureGone, Damaged, OSError, and what the
        connection does.
        """
        job = download.job
        file = await self._references.find(connection, history, job)
        if file.bytes > self._max_bytes:
            return TooLarge(file.bytes, self._max_bytes)
        download.bytes = file.bytes
        self._on_begun(download)
        try:
            return file, await self._bring(connection, download, file)
        except StaleReference:
            self._references.forget(job)
            again = await self._references.find(connection, history, job)
            return file, await self._bring(connection, download, again)

    async def _bring(self, connection: Connection, download: Download, file: File) -> bool:
        """Download the file and have it recorded. Returns whether the job still wanted it."""
        job = download.job
        if file.data is not None:
            self._note_whole(download)
            return await self._writer.keep_data(job, bytearray(file.data), download.began)
        if file.bytes <= SMALL_BYTES:
            data = await transfer.to_memory(connection, file)
            self._note_whole(download)
            return await self._writer.keep_data(job, data, download.began)
        with ExitStack() as stack:
            stack.callback(self._spool.discard_part, job.id, job.generation)
            path = self._spool.part(job.id, job.generation)
            fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_TRUNC, 0o600)
            stack.callback(os.close, fd)
            await transfer.to_descriptor(connection, file, fd)
            stack.pop_all()
        self._note_whole(download)
        return await self._writer.keep_file(job, fd, file.bytes, download.began)

    def _note_whole(self, download: Download) -> None:
        download.is_whole = True
        self._on_whole()
