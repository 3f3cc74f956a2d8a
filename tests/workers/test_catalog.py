"""The embedded catalogue: only a higher revision wins, a job's rows come together or not at all."""

from __future__ import annotations

import json
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
from tests.instance import HOME, wait_for
from workers.catalog import CatalogFault, RowFault, SqliteCatalog

CHANNEL = {"id": 7, "title": "Test"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "catalog.db"


@pytest.fixture
def catalog(path: Path) -> Iterator[SqliteCatalog]:
    with closing(SqliteCatalog(path)) as catalog:
        yield catalog


def message(revision: int, number: int = 1, **fields: Any) -> dict[str, Any]:
    whole = {
        "channel_id": 7,
        "message_id": number,
        "revision": revision,
        "grouped_id": None,
        "caption": f"revision {revision}",
        "posted_at": "2025-02-01T10:00:00Z",
        "edited_at": None,
        "deleted_at": None,
    }
    return {**whole, **fields}


def image(revision: int, number: int = 1, **fields: Any) -> dict[str, Any]:
    whole = {
        "channel_id": 7,
        "message_id": number,
        "photo_id": None,
        "sha256": f"{revision:064x}",
        "mime": "image/jpeg",
        "width": 640,
        "height": 400,
        "bytes": revision,
        "renditions": [{"width": 320, "format": "webp", "key": "a/ü"}],
    }
    return {**whole, **fields}


def write(catalog: SqliteCatalog, revision: int, number: int = 1) -> bool:
    return catalog.write(CHANNEL, message(revision, number), image(revision, number))


def rows(path: Path, table: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]


def revisions(path: Path) -> list[tuple[int, int]]:
    """(revision of the message, that of its image) of every message."""
    pairs = zip(rows(path, "messages"), rows(path, "images"), strict=True)
    return [(one["revision"], other["bytes"]) for one, other in pairs]


# What is written


def test_a_row_comes_out_as_it_went_in(catalog: SqliteCatalog, path: Path) -> None:
    assert write(catalog, 5)
    assert rows(path, "channels") == [CHANNEL]
    assert rows(path, "messages") == [message(5)]
    (row,) = rows(path, "images")
    assert {**row, "renditions": json.loads(row["renditions"])} == image(5)


def test_the_columns_are_those_that_others_rely_on(catalog: SqliteCatalog, path: Path) -> None:
    def columns(table: str) -> str:
        with closing(sqlite3.connect(path)) as database:
            return " ".join(row[1] for row in database.execute(f"PRAGMA table_info({table})"))

    assert columns("channels") == "id title"
    assert columns("messages") == ("channel_id message_id revision grouped_id caption posted_at edited_at deleted_at")
    assert columns("images") == "channel_id message_id photo_id sha256 mime width height bytes renditions"


def test_a_renamed_channel(catalog: SqliteCatalog, path: Path) -> None:
    write(catalog, 1)
    catalog.write({"id": 7, "title": "Renamed"}, message(2), image(2))
    assert rows(path, "channels") == [{"id": 7, "title": "Renamed"}]


# Revisions


@settings(deadline=None, max_examples=30)  # the machine is shared, and each waits for the disk
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
        assert rows(path, "messages") == [message(highest)]
    finally:
        shutil.rmtree(folder)


def test_the_same_revision_changes_nothing(catalog: SqliteCatalog, path: Path) -> None:
    write(catalog, 5)
    assert not catalog.write(CHANNEL, message(5, caption="other"), image(5, width=1))
    assert rows(path, "messages") == [message(5)]
    assert rows(path, "images")[0]["width"] == 640


def test_messages_do_not_touch_each_other(catalog: SqliteCatalog, path: Path) -> None:
    write(catalog, 9, number=1)
    write(catalog, 3, number=2)
    write(catalog, 4, number=2)
    assert revisions(path) == [(9, 9), (4, 4)]


def test_two_connections(catalog: SqliteCatalog, path: Path) -> None:
    with closing(SqliteCatalog(path)) as other:
        assert write(catalog, 5)
        assert not write(other, 5)
        assert write(other, 6)
        assert not write(catalog, 5)
    assert revisions(path) == [(6, 6)]


def test_reopened_it_holds_what_it_held(path: Path) -> None:
    for revision in (1, 2):
        with closing(SqliteCatalog(path)) as catalog:
            assert write(catalog, revision)
            assert not write(catalog, revision)
    assert revisions(path) == [(2, 2)]


# Faults of the row


@pytest.mark.parametrize(
    ("of_message", "of_image"),
    [
        pytest.param({"caption": None}, {}, id="nothing where something must be"),
        pytest.param({}, {"width": "wide"}, id="text for a number"),
        pytest.param({}, {"sha256": None}, id="no digest"),
        pytest.param({}, {"message_id": 99}, id="an image of no message"),
        pytest.param({"caption": "\ud83d"}, {}, id="half a character"),
        pytest.param({"grouped_id": 2**63}, {}, id="a number of 65 bits"),
        pytest.param({"caption": ["a"]}, {}, id="a value of no type of SQLite's"),
    ],
)
def test_a_row_that_is_refused(
    catalog: SqliteCatalog, path: Path, of_message: dict[str, Any], of_image: dict[str, Any]
) -> None:
    write(catalog, 1)
    with pytest.raises(RowFault, match=r"catalog\.db: the row is refused"):
        catalog.write({"id": 7, "title": "Renamed"}, message(2, **of_message), image(2, **of_image))
    assert revisions(path) == [(1, 1)]  # neither half of it is there
    assert rows(path, "channels") == [CHANNEL]
    assert write(catalog, 2)  # and the next one finds the catalogue in order


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
    assert catalog._connection is not None
    (pages,) = catalog._connection.execute("PRAGMA page_count").fetchone()
    catalog._connection.execute(f"PRAGMA max_page_count = {pages}")
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
    assert catalog._connection is not None
    assert tuple(catalog._connection.execute("PRAGMA synchronous").fetchone()) == (2,)


# Killed


WRITER = """
import itertools, sys
from pathlib import Path
from tests.workers.test_catalog import write
from workers.catalog import SqliteCatalog
catalog = SqliteCatalog(Path(sys.argv[1]))
for revision in itertools.count(1):
    for number in range(1, 6):
        write(catalog, revision, number)
"""


@pytest.mark.parametrize("seconds", [0.0, 0.013, 0.031, 0.057])
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
    with closing(sqlite3.connect(path)) as database:
        assert database.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    with closing(SqliteCatalog(path)) as catalog:
        assert write(catalog, 10**9)


def _has_rows(path: Path) -> bool:
    try:
        return path.exists() and bool(rows(path, "images"))
    except sqlite3.Error:
        return False
