"""What keeps the root from starting: for good (78), or for now (1), so that what starts it tries again."""

from __future__ import annotations

import errno
import os
import sqlite3
from pathlib import Path

import pytest

from ipc.journal import Journal, JournalError, UnfitJournal
from supervisor import root
from supervisor.processes.errors import CannotStart, CommandFailed
from supervisor.settings import Settings, load


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(None, {"PICTUREDESK__STATE_DIR": str(tmp_path / "state")}, tmp_path, tmp_path)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (UnfitJournal("of a newer version"), CannotStart),
        (JournalError("database is locked"), CommandFailed),
        (OSError(errno.ENOSPC, "full"), CommandFailed),
        (OSError(errno.EMFILE, "too many open files"), CommandFailed),
        (OSError(errno.EACCES, "denied"), CannotStart),
        (OSError(errno.EROFS, "read-only"), CannotStart),
    ],
)
def test_what_may_pass_is_tried_again(
    error: Exception, expected: type[Exception], settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(path: Path) -> Journal:
        raise error

    monkeypatch.setattr(Journal, "open", refuse)
    with pytest.raises(expected, match=str(error.args[-1])):
        root._lock(settings)


def test_a_locked_journal_may_pass_and_a_damaged_one_may_not(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("ipc.database.BUSY_SECONDS", 0.1)
    path = tmp_path / "journal.db"
    Journal.open(path).close()
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("PRAGMA locking_mode = EXCLUSIVE")
    holder.execute("BEGIN EXCLUSIVE")
    with pytest.raises(JournalError, match="locked") as locked:
        Journal.open(path)
    assert not isinstance(locked.value, UnfitJournal)
    holder.close()
    path.write_bytes(os.urandom(20_000))
    with pytest.raises(UnfitJournal, match="not a database"):
        Journal.open(path)
