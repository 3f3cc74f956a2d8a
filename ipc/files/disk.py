"""Failures by the disk that state_dir is on: it is full, read-only or failing, or has spoilt the journal.

A full disk passes, and no picture is to blame: a process that meets it waits, and goes on when there is room. A damaged
journal does not pass: going on would be guessing.
"""

from __future__ import annotations

import errno
import os
import threading
from collections.abc import Callable, Iterator
from pathlib import Path

from ipc import database
from ipc.files.spool import has_no_room
from ipc.journal import Journal, JournalError

ROOM_BYTES = 2**20
"""Free bytes from which there is room again: less is gone with the next picture."""

PROGRESS_SECONDS = 0.5
"""How often a process that has the journal checked reports progress."""


def cannot_be_written(error: BaseException) -> str:
    """Why the disk cannot be written, if that is what `error` says; else empty."""
    for one in _chain(error):
        # A disk that fails: here it is the program's own; where a picture was read, it may be that picture's alone.
        if isinstance(one, OSError) and (has_no_room(one) or one.errno == errno.EIO):
            return str(one.strerror)
        if database.says_disk(one):
            return str(one)
    return ""


def damage(error: BaseException, journal_path: Path, progress: Callable[[], object]) -> str:
    """What is wrong with the journal, if `error` says that some database is damaged and it is this one; else empty.

    All of the file is read for it, which may take minutes: `progress` is called all the while.
    """
    if not any(map(database.says_damaged, _chain(error))):
        return ""
    try:
        journal = Journal.open_to_read(journal_path)
    except JournalError as refused:
        return str(refused)
    try:
        return "\n".join(_check(journal, progress))
    finally:
        journal.close()


def _check(journal: Journal, progress: Callable[[], object]) -> list[str]:
    """What the journal's check finds. In a thread: SQLite before 3.41 reads a whole table without a callback."""
    found: list[str] = []
    checking = threading.Thread(target=lambda: found.extend(journal.check()), name="check", daemon=True)
    try:
        checking.start()
    except RuntimeError:  # no thread to be had: then without a sign of life meanwhile
        return journal.check()
    while checking.is_alive():
        progress()
        checking.join(PROGRESS_SECONDS)
    return found


def has_room(state_dir: Path) -> bool:
    """Whether the journal is there and can be written, and some more besides. Tries it."""
    try:
        free = os.statvfs(state_dir)
        if free.f_bavail * free.f_frsize < ROOM_BYTES or not (state_dir / "journal.db").exists():
            return False  # a journal that is not there may be on a disk that is not mounted: not to be made anew
        journal = Journal.open(state_dir / "journal.db", durable=True)
    except (OSError, JournalError):
        return False
    try:
        journal.try_to_write()
    except database.Error:
        return False
    finally:
        journal.close()
    return True


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error, what it is made of, and what it came of."""
    yield error
    if isinstance(error, BaseExceptionGroup):
        for one in error.exceptions:
            yield from _chain(one)
    if error.__cause__ is not None:
        yield from _chain(error.__cause__)
