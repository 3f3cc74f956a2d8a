"""Takes an image worker's files: each is checked against what the worker says of it, then moved to the job's folder.

A worker that a picture has taken over may say and write anything. So no link is followed, a file must be a plain one of
the size that was told, and it must begin as its format does, with the sides that were told. What pixels are in it, only
the worker knows.
"""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ipc import failpoints
from ipc.files.spool import STRIPPED, fsync_folder
from ipc.transport.messages import JobDone
from workers.rendering.verdicts import headers

HEAD_BYTES = 4096
"""Enough for what stands in front of the pixels in the files that our encoders write."""


class FalseResult(Exception):
    """A file is not as the worker says: which, and what is wrong."""


@dataclass(frozen=True, slots=True)
class Result:
    """A file as its worker describes it. `size`: the picture's sides in px, None where they are not told."""

    name: str
    bytes: int
    format: str
    size: tuple[int, int] | None


def take(done: JobDone, out: Path, folder: Path) -> None:
    """Move the files that the answer names from `out` into the job's `folder`, all of them or, by a crash, some.

    The worker has fsynced them. Raises FalseResult, and has moved nothing then; OSError as the disk does.
    """
    results = list(results_of(done))
    source = os.open(out, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    try:
        for result in results:
            check(result, source)
        folder.mkdir(mode=0o700, exist_ok=True)
        for result in results:
            os.rename(result.name, folder / result.name, src_dir_fd=source)
            failpoints.reach("rendered.moved")
    finally:
        os.close(source)
    fsync_folder(folder)


def results_of(done: JobDone) -> Iterator[Result]:
    """The files that an answer names."""
    for width, height, name, size in done.renditions:
        yield Result(f"{width}.{name}", size, name, (width, height))
    if done.stripped_bytes > 0:
        yield Result(STRIPPED, done.stripped_bytes, done.extension, None)


def check(result: Result, folder: int) -> None:
    """Raise FalseResult unless the file in the folder with that descriptor is as described."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait.
        fd = os.open(result.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise FalseResult(f"{result.name}: {error.strerror}") from error
    try:
        found = os.fstat(fd)
        head = os.pread(fd, HEAD_BYTES, 0) if stat.S_ISREG(found.st_mode) else b""
    finally:
        os.close(fd)
    if not stat.S_ISREG(found.st_mode) or found.st_nlink != 1:
        raise FalseResult(f"{result.name}: no plain file of its own")
    if found.st_size != result.bytes:
        raise FalseResult(f"{result.name}: {found.st_size} bytes, not {result.bytes}")
    if not headers.begins_as(result.format, head):
        raise FalseResult(f"{result.name}: does not begin as {result.format}")
    if result.size and (size := headers.size_of(result.format, head)) != result.size:
        raise FalseResult(f"{result.name}: of {size} pixels, not {result.size}")
