"""The bytes of one file, part by part, into memory or into an open file."""

from __future__ import annotations

import asyncio
import errno
import os
from collections.abc import Callable
from functools import partial
from typing import Final

from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import Damaged
from workers.sources.telegram.wire.media import File

PART_SECONDS: Final = 30.0
"""How long one part of a file may take. The smallest, 64 KiB, comes in that time at 2.2 kB/s."""

PARALLEL_PARTS: Final = 4
"""Parts of one file that are asked for at once. At 30 ms to Telegram, 3 times as fast as one (benchmarks/telegram)."""


async def to_memory(connection: Connection, file: File) -> bytearray:
    """Download the whole file into memory. Raises Damaged, and what the connection does."""
    data = bytearray(file.bytes)
    await _download(connection, file, partial(_put, data))
    return data


async def to_descriptor(connection: Connection, file: File, fd: int) -> None:
    """Download the whole file into an open one. Raises OSError too."""
    await _download(connection, file, partial(_write, fd))


def _put(target: bytearray, data: bytes, offset: int) -> None:
    target[offset : offset + len(data)] = data


def _write(fd: int, data: bytes, offset: int) -> None:
    if os.pwrite(fd, data, offset) != len(data):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))


async def _download(connection: Connection, file: File, put: Callable[[bytes, int], None]) -> None:
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
