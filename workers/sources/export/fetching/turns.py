"""Which process fetches, where two processes read exports: the source, and an import beside it.

Each fetches what is due of all exports, so they must not do it at the same time: they would write the same file.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from ipc import private_files


@contextmanager
def turn(lock: Path) -> Iterator[bool]:
    """Whether it is this process's turn. The kernel gives the lock back, however its holder ends."""
    fd = private_files.open_file(lock, os.O_RDWR)
    try:
        yield _acquire(fd)
    finally:
        os.close(fd)


def _acquire(fd: int) -> bool:
    with suppress(OSError):  # a file system without locks: then there is one reader at most
        try:
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
