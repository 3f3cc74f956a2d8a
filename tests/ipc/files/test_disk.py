"""ipc.files.disk: what a failure says of the disk, with SQLite's own errors."""

from __future__ import annotations

import errno
import os
import shutil
import sqlite3
import threading
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ipc.files import disk
from ipc.journal import Journal, JournalError, lookup


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    Journal.open(path).close()
    return path


def error_of(act: Callable[[], object]) -> BaseException:
    with pytest.raises(Exception) as caught:
        act()
    return caught.value


def spoil(path: Path) -> None:
    """Its table of jobs, not the pages that are looked at when it is opened."""
    with closing(sqlite3.connect(path)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'").fetchone()
    with path.open("r+b") as file:
        file.seek((page - 1) * 4096)
        file.write(b"\xa5" * 4096)


def idle() -> None:
    """For what needs to know of no progress."""


def test_a_full_disk(path: Path) -> None:
    """A database that may have no more pages is what SQLite takes for a full disk."""
    with closing(sqlite3.connect(path)) as database:
        database.execute("PRAGMA max_page_count = 1")
        error = error_of(lambda: database.execute("CREATE TABLE large AS SELECT randomblob(1000000)"))
        assert disk.cannot_be_written(error) == "database or disk is full"


def test_a_file_that_is_read_only(path: Path) -> None:
    with closing(sqlite3.connect(f"file:{path}?mode=ro", uri=True)) as database:
        error = error_of(lambda: database.execute("UPDATE totals SET value = 1"))
    assert "readonly" in disk.cannot_be_written(error)


def test_a_journal_that_cannot_be_opened(tmp_path: Path) -> None:
    error = error_of(lambda: Journal.open(tmp_path / "gone" / "journal.db"))
    assert isinstance(error, JournalError) and disk.cannot_be_written(error) != ""


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EIO])
def test_the_systems_own_words(number: int) -> None:
    error = OSError(number, os.strerror(number))
    assert disk.cannot_be_written(error) == os.strerror(number)
    assert disk.cannot_be_written(ExceptionGroup("several", [ValueError("other"), error])) == os.strerror(number)


@pytest.mark.parametrize("error", [ValueError("x"), OSError(errno.EACCES, "no"), sqlite3.IntegrityError("doubled")])
def test_anything_else(error: Exception, path: Path) -> None:
    assert disk.cannot_be_written(error) == "" == disk.damage(error, path, idle)


def test_a_damaged_journal(path: Path) -> None:
    spoil(path)
    with closing(Journal.open(path)) as journal:
        error = error_of(lambda: lookup.job(journal, 1))
    assert disk.damage(error, path, idle) != "" == disk.cannot_be_written(error)


def test_a_journal_that_is_damaged_from_the_first_byte_on(path: Path) -> None:
    path.write_bytes(b"none of it is left " * 1000)
    error = error_of(lambda: Journal.open(path))
    assert str(path) in disk.damage(error, path, idle)


def test_another_databases_damage_is_not_the_journals(path: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.db"
    shutil.copy(path, other)
    spoil(other)
    with closing(Journal.open(other)) as journal:
        error = error_of(lambda: lookup.job(journal, 1))
    assert disk.damage(error, path, idle) == ""


def test_a_long_check_of_the_journal_is_progress(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Who is at it for minutes is not to be taken for one who hangs."""
    monkeypatch.setattr(disk, "PROGRESS_SECONDS", 0.01)
    spoil(path)
    with closing(Journal.open(path)) as journal:
        error = error_of(lambda: lookup.job(journal, 1))
    check, seen = Journal.check, threading.Event()
    rounds: list[None] = []

    def check_slowly(journal: Journal) -> list[str]:
        assert seen.wait(30)
        return check(journal)

    def note() -> None:
        rounds.append(None)
        if len(rounds) == 3:
            seen.set()

    monkeypatch.setattr(Journal, "check", check_slowly)
    assert disk.damage(error, path, note) != ""


def test_room(path: Path) -> None:
    assert disk.has_room(path.parent)


def test_no_room_where_nothing_can_be_written(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(journal: Journal) -> None:
        raise sqlite3.OperationalError("database or disk is full")

    monkeypatch.setattr(Journal, "try_to_write", full)
    assert not disk.has_room(path.parent)


def test_too_little_room(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(disk, "ROOM_BYTES", 2**70)
    assert not disk.has_room(path.parent)


def test_a_journal_that_is_gone_is_not_made_anew(tmp_path: Path) -> None:
    assert not disk.has_room(tmp_path)
    assert list(tmp_path.iterdir()) == []


def test_no_folder(tmp_path: Path) -> None:
    assert not disk.has_room(tmp_path / "gone")
