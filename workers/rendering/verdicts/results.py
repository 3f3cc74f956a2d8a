"""Takes an image worker's files: moves them to the job's folder, then checks each against what the worker says of it.

A worker that a picture has taken over may say and write anything, also while its files are looked at. So they are
moved first: into that folder it does not reach. No link is followed. A file must be a plain one of the size that was
told, that nobody has open for writing any more; it must begin as its format does, with the sides that were told. The
original must begin as what the worker takes it for. What pixels are in it all, only the worker knows.
"""

from __future__ import annotations

import errno
import fcntl
import os
import shutil
import signal
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from ipc import failpoints
from ipc.files.spool import ORIGINAL, PREVIEW, STRIPPED
from ipc.jobs import PREVIEW_SIZE, Rendition
from ipc.transport.messages import JobDone
from workers.rendering.verdicts import headers

HEAD_BYTES = 4096
"""Enough for what stands in front of the pixels in the files that our encoders write."""


class FalseResult(Exception):
    """A file is not as the worker says: which, and what is wrong."""


@dataclass(frozen=True, slots=True)
class ResultFile:
    """A file as its worker describes it. `size`: the picture's sides in px, None where they are not told."""

    name: str
    bytes: int
    format: str
    size: tuple[int, int] | None


def take(done: JobDone, out: Path, folder: Path) -> None:
    """Move the files that the answer names from `out` into the job's `folder`, all of them or, by a crash, some.

    The worker has fsynced them. Raises FalseResult, and leaves none of them there then; OSError as the disk does.
    """
    found = list(results_of(done))
    folder.mkdir(mode=0o700, exist_ok=True)
    check_original(folder / ORIGINAL, done.extension)
    with _opened(out) as source, _opened(folder) as target:
        try:
            for one in found:
                _move(one.name, source, target)
                failpoints.reach("rendered.moved")
            for one in found:
                check(one, target)
        except FalseResult:
            for one in found:
                _remove(folder / one.name)
            raise
        os.fsync(target)


def _move(name: str, source: int, target: int) -> None:
    try:
        os.rename(name, name, src_dir_fd=source, dst_dir_fd=target)
    except FileNotFoundError as error:
        raise FalseResult(f"{name}: {error.strerror}") from error


def _remove(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


@contextmanager
def _opened(folder: Path) -> Iterator[int]:
    fd = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW | os.O_CLOEXEC)
    try:
        yield fd
    finally:
        os.close(fd)


def results_of(done: JobDone) -> Iterator[ResultFile]:
    """The files that an answer names."""
    for width, height, name, size in done.renditions:
        yield ResultFile(Rendition(width, height, name, size).file, size, name, (width, height))
    if done.preview_bytes > 0:
        yield ResultFile(PREVIEW, done.preview_bytes, "jpeg", PREVIEW_SIZE)
    if done.stripped_bytes > 0:
        yield ResultFile(STRIPPED, done.stripped_bytes, done.extension, None)


def check(result: ResultFile, folder: int) -> None:
    """Raise FalseResult unless the file in the folder with that descriptor is as described."""
    try:
        # O_NONBLOCK: opening a FIFO must not wait.
        fd = os.open(result.name, os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC, dir_fd=folder)
    except OSError as error:
        raise FalseResult(f"{result.name}: {error.strerror}") from error
    try:
        found = os.fstat(fd)
        is_plain = stat.S_ISREG(found.st_mode) and found.st_nlink == 1
        head = os.pread(fd, HEAD_BYTES, 0) if is_plain else b""
        is_written_to = is_plain and _is_open_for_writing(fd)
    finally:
        os.close(fd)
    if not is_plain:
        raise FalseResult(f"{result.name}: no plain file of its own")
    if is_written_to:
        raise FalseResult(f"{result.name}: is still open for writing")
    if found.st_size != result.bytes:
        raise FalseResult(f"{result.name}: {found.st_size} bytes, not {result.bytes}")
    if not headers.begins_as(result.format, head):
        raise FalseResult(f"{result.name}: does not begin as {result.format}")
    if result.size and (size := headers.size_of(result.format, head)) != result.size:
        raise FalseResult(f"{result.name}: of {size} pixels, not {result.size}")


def check_original(original: Path, extension: str) -> None:
    """Raise FalseResult unless the original, as it came, can be what the worker takes it for.

    Where there is none any more, whoever needs it finds out.
    """
    try:
        with original.open("rb") as file:
            head = file.read(HEAD_BYTES)
    except FileNotFoundError:
        return
    if not headers.may_be(extension, head):
        raise FalseResult(f"the original is no {extension}")


def _is_open_for_writing(fd: int) -> bool:
    """Whether any process has the file open for writing, or mapped so: then the kernel grants no lease on it.

    False as well where the file system knows no leases.
    """
    try:
        fcntl.fcntl(fd, fcntl.F_SETSIG, signal.SIGURG)  # which does nothing; a lease that is broken sends SIGIO else
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_RDLCK)
        fcntl.fcntl(fd, fcntl.F_SETLEASE, fcntl.F_UNLCK)
    except OSError as error:
        return error.errno == errno.EAGAIN
    return False
