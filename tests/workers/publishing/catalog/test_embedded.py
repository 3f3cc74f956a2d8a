"""The embedded catalogue: a file that survives what happens to files, and that older programs have made."""

from __future__ import annotations

import shutil
import sqlite3
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ipc import database
from tests import checking, lengths
from tests.instance import HOME, wait_for
from tests.workers.publishing.catalog.builders import CHANNEL, deletion, entry, image, message
from tests.workers.publishing.catalog.conftest import select
from workers.publishing.catalog import CatalogFault, RowFault, SqliteCatalog, check, make
from workers.publishing.catalog.embedded import VERSION

VERSION_0 = """
CREATE TABLE channels (id INTEGER PRIMARY KEY, title TEXT NOT NULL) STRICT;
CREATE TABLE messages (
    channel_id INTEGER NOT NULL REFERENCES channels (id),
    message_id INTEGER NOT NULL,
    revision   INTEGER NOT NULL,
    grouped_id INTEGER,
    caption    TEXT    NOT NULL,
    posted_at  TEXT    NOT NULL,
    edited_at  TEXT,
    deleted_at TEXT,
    PRIMARY KEY (channel_id, message_id)
) STRICT;
CREATE TABLE images (
    channel_id INTEGER NOT NULL,
    message_id INTEGER NOT NULL,
    photo_id   INTEGER,
    sha256     TEXT    NOT NULL,
    mime       TEXT    NOT NULL,
    width      INTEGER NOT NULL,
    height     INTEGER NOT NULL,
    bytes      INTEGER NOT NULL,
    renditions TEXT    NOT NULL CHECK (json_valid(renditions)),
    PRIMARY KEY (channel_id, message_id),
    FOREIGN KEY (channel_id, message_id) REFERENCES messages (channel_id, message_id)
) STRICT;
CREATE INDEX images_sha256 ON images (sha256);
"""
"""The file as the first version of the program made it."""


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[SqliteCatalog]:
    with closing(SqliteCatalog(path)) as catalog:
        yield catalog


def write(catalog: SqliteCatalog, revision: int, number: int = 1) -> bool:
    return catalog.write(CHANNEL, message(revision, number), image(revision, number))


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    return select(path, f"SELECT * FROM {table} ORDER BY 1, 2")


def revisions(path: Path) -> list[tuple[int, int]]:
    """(revision of the message, that of its image) of every message."""
    pairs = zip(rows(path, "messages"), rows(path, "images"), strict=True)
    return [(one["revision"], other["bytes"]) for one, other in pairs]


@settings(max_examples=30)  # each waits for the disk
@given(st.lists(st.integers(1, 6), min_size=1, max_size=12))
def test_the_highest_revision_wins_in_any_order(order: list[int]) -> None:
    folder = Path(tempfile.mkdtemp())
    try:
        path, highest = folder / "catalog.db", 0
        with closing(SqliteCatalog(path)) as catalog:
            for revision in order:
                assert write(catalog, revision) == (revision > highest)
                highest = max(highest, revision)
                assert revisions(path) == [(highest, highest)]
    finally:
        shutil.rmtree(folder)


def connection_of(catalog: SqliteCatalog) -> sqlite3.Connection:
    """SQLite's own: what it is asked, how full it may be and when it waits for the disk, no interface says."""
    assert catalog._connection is not None
    return catalog._connection


def test_a_batch_is_one_transaction(catalog: SqliteCatalog) -> None:
    write(catalog, 1)
    begun: list[str] = []
    connection_of(catalog).set_trace_callback(begun.append)
    catalog.write_many([entry(2, number) for number in range(10)])
    assert [one for one in begun if one.startswith(("BEGIN", "COMMIT"))] == ["BEGIN IMMEDIATE", "COMMIT"]


def test_the_settings_name_it(path: Path) -> None:
    catalog = make({"state_dir": str(path.parent), "catalog": {"backend": "sqlite"}})
    catalog.write_many([entry(1)])
    catalog.close()
    assert revisions(path) == [(1, 1)]


# A file of an older version, and of a newer one


def make_old(path: Path) -> None:
    with closing(sqlite3.connect(path)) as database:
        database.executescript(VERSION_0)
        database.execute("INSERT INTO channels VALUES (7, 'Test')")
        database.execute(
            "INSERT INTO messages VALUES (7, 1, 5, NULL, 'revision 5', '2025-02-01T10:00:00Z', NULL, NULL)"
        )
        database.execute(
            "INSERT INTO images VALUES (7, 1, NULL, ?, 'image/jpeg', 640, 400, 5, '[]')", [image(5)["sha256"]]
        )
        database.commit()


def columns(path: Path) -> list[Any]:
    tables = ("channels", "messages", "images")
    return [select(path, f"PRAGMA table_info({table})") for table in tables]


def test_an_old_file_gets_what_it_lacks_and_keeps_its_rows(path: Path, tmp_path: Path) -> None:
    make_old(path)
    with closing(SqliteCatalog(path)) as catalog:
        assert not write(catalog, 5)
        assert rows(path, "messages") == [message(5, entities="[]")]
        assert write(catalog, 6)
        assert catalog.write_many([deletion(7)]) == [True]
    assert select(path, "PRAGMA user_version") == [{"user_version": VERSION}]
    new = tmp_path / "new.db"
    SqliteCatalog(new).close()
    assert columns(path) == columns(new)


def test_an_old_file_refuses_what_a_new_one_does(path: Path) -> None:
    make_old(path)
    with closing(SqliteCatalog(path)) as catalog, pytest.raises(RowFault):
        catalog.write(CHANNEL, message(6, forwarded_from=["a"]), None)


def test_an_old_file_that_cannot_be_changed_stays_as_it_was(path: Path) -> None:
    """What of the change is done when it fails is undone."""
    make_old(path)
    with closing(sqlite3.connect(path)) as database:
        database.execute("ALTER TABLE messages ADD COLUMN reply_to TEXT")  # somebody has been at it
    before = columns(path)
    with closing(SqliteCatalog(path)) as catalog, pytest.raises(CatalogFault, match="reply_to"):
        write(catalog, 6)
    assert columns(path) == before
    assert select(path, "PRAGMA user_version") == [{"user_version": 0}]


def test_a_newer_file_is_left_alone(path: Path) -> None:
    SqliteCatalog(path).close()
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    before = path.read_bytes()
    with closing(SqliteCatalog(path)) as catalog, pytest.raises(CatalogFault, match="newer one") as caught:
        write(catalog, 1)
    assert caught.value.fatal
    assert path.read_bytes() == before


def test_the_check(path: Path) -> None:
    options = {"state_dir": str(path.parent), "catalog": {"backend": "sqlite"}}
    assert checking.faults(check, options) == []
    assert not path.exists()
    make_old(path)
    before = path.read_bytes()
    assert checking.faults(check, options) == []
    assert path.read_bytes() == before
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION - 1}")
    assert checking.good(check, options) == [f"catalog: {path}: schema version {VERSION - 1}, will be {VERSION}"]
    with closing(sqlite3.connect(path)) as database:
        database.execute(f"PRAGMA user_version = {VERSION + 1}")
    (line,) = checking.faults(check, options)
    assert line.startswith(f"catalog: {path}: of version {VERSION + 1}. Run the program")
    path.write_bytes(b"something else entirely" * 1000)
    (line,) = checking.faults(check, options)
    assert "file is not a database" in line


# Faults of the catalogue


def test_locked_by_another(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(database, "BUSY_SECONDS", 0.05)
    with closing(SqliteCatalog(path)) as catalog, closing(sqlite3.connect(path, isolation_level=None)) as other:
        assert write(catalog, 1)
        other.execute("BEGIN IMMEDIATE")
        with pytest.raises(CatalogFault, match="locked"):
            write(catalog, 2)
        other.execute("ROLLBACK")
        assert write(catalog, 2)


def test_a_full_disk_is_named_and_outlived(catalog: SqliteCatalog, path: Path) -> None:
    assert write(catalog, 1)
    (pages,) = connection_of(catalog).execute("PRAGMA page_count").fetchone()
    connection_of(catalog).execute(f"PRAGMA max_page_count = {pages}")
    with pytest.raises(CatalogFault, match="full"):
        catalog.write(CHANNEL, message(2, caption="long" * 10_000), image(2))
    assert revisions(path) == [(1, 1)]
    assert write(catalog, 2)  # opened anew, it has room again


def test_a_table_gone_is_the_catalogues_fault(catalog: SqliteCatalog, path: Path) -> None:
    assert write(catalog, 1)
    with closing(sqlite3.connect(path)) as other:
        other.execute("DROP TABLE images")
    with pytest.raises(CatalogFault, match="no such table"):
        write(catalog, 2)
    assert [row["revision"] for row in rows(path, "messages")] == [1]


@pytest.mark.parametrize("what", ["a folder", "no database", "no such folder"])
def test_what_cannot_be_opened(path: Path, what: str) -> None:
    if what == "a folder":
        path.mkdir()
    elif what == "no database":
        path.write_bytes(b"something else entirely" * 1000)
    else:
        path = path / "in" / "nowhere.db"
    with closing(SqliteCatalog(path)) as catalog, pytest.raises(CatalogFault, match=str(path)):
        write(catalog, 1)


def test_what_cannot_be_opened_now_is_opened_later(path: Path) -> None:
    path.mkdir()
    catalog = SqliteCatalog(path)
    with pytest.raises(CatalogFault):
        write(catalog, 1)
    path.rmdir()
    assert write(catalog, 1)
    catalog.close()


def test_a_file_that_was_taken_away_is_made_anew(catalog: SqliteCatalog, path: Path) -> None:
    """Rows in a file without a name would be lost."""
    assert write(catalog, 1)
    for file in path.parent.glob("catalog.db*"):
        file.unlink()
    assert write(catalog, 2, number=2)
    assert [row["message_id"] for row in rows(path, "messages")] == [2]


def test_it_waits_for_the_disk_at_every_row(catalog: SqliteCatalog) -> None:
    """The uploader deletes spool files on the strength of it."""
    write(catalog, 1)
    assert tuple(connection_of(catalog).execute("PRAGMA synchronous").fetchone()) == (2,)


# Killed


WRITER = """
import itertools, sys
from pathlib import Path
from tests.workers.publishing.catalog.test_embedded import write
from workers.publishing.catalog import SqliteCatalog
catalog = SqliteCatalog(Path(sys.argv[1]))
for revision in itertools.count(1):
    for number in range(1, 6):
        write(catalog, revision, number)
"""


@pytest.mark.parametrize("seconds", [*([0.0, 0.031] if lengths.is_long else []), 0.013, 0.057])
def test_a_writer_killed_at_any_moment_leaves_whole_pairs(path: Path, seconds: float) -> None:
    writer = subprocess.Popen([sys.executable, "-c", WRITER, str(path)], cwd=HOME)
    try:
        wait_for("rows", lambda: _has_rows(path))
        time.sleep(seconds)
        assert writer.poll() is None
    finally:
        writer.kill()
        writer.wait()
    found = revisions(path)
    assert found
    assert all(of_message == of_image for of_message, of_image in found)
    assert select(path, "PRAGMA integrity_check") == [{"integrity_check": "ok"}]
    with closing(SqliteCatalog(path)) as catalog:
        assert write(catalog, 10**9)


def _has_rows(path: Path) -> bool:
    try:
        return path.exists() and bool(rows(path, "images"))
    except sqlite3.Error:
        return False
