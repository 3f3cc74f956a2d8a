"""The commands about what is stored, run as a user runs them: `schema` and `gc`."""

from __future__ import annotations

import os
import shutil
import socket
import sqlite3
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest

from ipc.intake import withdraw
from ipc.journal import Journal
from tests.instance import HOME, Instance, wait_for
from tests.pictures import CHANNEL, make_export

MakeInstance = Callable[..., Instance]

STRAY = f"ab/{'ab' * 32}"
"""The folder of a picture that no journal and no row knows."""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("storing") / "export", 3)


@pytest.fixture(scope="module")
def published(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Instance:
    """One that has published three pictures, and runs no more."""
    instance = Instance(tmp_path_factory.mktemp("published") / "instance", export)
    assert instance.command("import", str(export), "--exit").returncode == 0
    return instance


@pytest.fixture
def instance(published: Instance, export: Path, make_instance: MakeInstance) -> Instance:
    """A copy of it, for one test to do with what it wants."""
    instance = make_instance(export)
    shutil.copytree(published.state_dir, instance.state_dir)
    return instance


def keys(instance: Instance) -> set[str]:
    media = instance.state_dir / "media"
    return {str(path.relative_to(media)) for path in media.rglob("*") if path.is_file()}


def leave_stray(instance: Instance, name: str = "320.webp", hours: float = 100) -> str:
    """An object that no row names, put so long ago; its key."""
    path = instance.state_dir / "media" / STRAY / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(b"x" * 3 * 2**20)
    long_ago = time.time() - hours * 3600
    os.utime(path, (long_ago, long_ago))
    return f"{STRAY}/{name}"


# schema


def test_schema_is_printed_whole_whatever_the_configuration(make_instance: MakeInstance, tmp_path: Path) -> None:
    wanted = (HOME / "deploy" / "schema.sql").read_text()
    assert "ingest_messages" in wanted
    for more in ("", '[catalog]\nbackend = "supabase"'):  # the second one is refused by all that need it
        done = make_instance(tmp_path, more).command("schema")
        assert (done.returncode, done.stdout, done.stderr) == (0, wanted, "")


def test_schema_into_a_pipe_without_a_reader(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    with os.fdopen(writer, "wb") as pipe:
        done = subprocess.run(
            [sys.executable, "-P", "-m", "supervisor", "schema"],
            env={**os.environ, "PYTHONPATH": str(HOME)},
            stdout=pipe,
            stderr=subprocess.PIPE,
            text=True,
            cwd=tmp_path,
            check=False,
        )
    assert (done.returncode, done.stderr) == (1, "")


# gc


def test_gc_finds_nothing(instance: Instance) -> None:
    before = keys(instance)
    for words in ([], ["--delete"], ["--delete", "--older-than", "0"]):
        done = instance.answer("gc", *words)
        assert done.returncode == 0, done.stderr
        assert "Every object is named by a row" in done.stdout
    assert keys(instance) == before


def test_gc_removes_only_with_delete(instance: Instance) -> None:
    before = keys(instance)
    strays = {leave_stray(instance, "320.webp"), leave_stray(instance, "original.jpg")}
    listed = instance.answer("gc")
    assert listed.returncode == 0
    assert set(listed.stdout.splitlines()) == strays
    assert "2 objects of 1 pictures, 6M" in listed.stderr and "Nothing was removed" in listed.stderr
    assert "gc --delete" in listed.stderr
    assert keys(instance) == before | strays
    removed = instance.answer("gc", "--delete")
    assert removed.returncode == 0
    assert set(removed.stdout.splitlines()) == strays
    assert "Removed: 2 objects of 1 pictures, 6M" in removed.stderr and "Nothing was" not in removed.stderr
    assert keys(instance) == before
    instance.assert_published([1, 2, 3])


def test_gc_leaves_alone_what_is_young(instance: Instance) -> None:
    stray = leave_stray(instance, hours=30)
    assert stray not in instance.answer("gc", "--older-than", "31").stdout
    for words in (["gc", "--older-than", "29.5"], ["gc"]):  # a day by default
        assert stray in instance.answer(*words).stdout
    leave_stray(instance, hours=23)
    assert "younger" in instance.answer("gc", "--delete").stdout
    assert stray in keys(instance)
    assert stray in instance.answer("gc", "--delete", "--older-than", "22").stdout
    assert stray not in keys(instance)


@pytest.mark.parametrize("hours", ["-1", "nan", "inf", "soon", ""])
def test_gc_with_hours_that_are_none(hours: str, make_instance: MakeInstance, tmp_path: Path) -> None:
    refused = make_instance(tmp_path).answer("gc", f"--older-than={hours}")
    assert refused.returncode == 2
    assert "number of hours" in refused.stderr


def test_gc_beside_a_running_instance(export: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(export)
    instance.start()
    instance.wait_until_done()
    instance.assert_published([1, 2, 3])
    gone = instance.rows()[1]["sha256"]
    journal = Journal.open(instance.state_dir / "journal.db")
    withdraw(journal, CHANNEL, [2], time.time())
    wait_for("the tombstone", lambda: len(instance.rows()) == 2)
    journal.close()
    done = instance.answer("gc", "--delete", "--older-than", "0")
    assert done.returncode == 0
    assert done.stdout and {line.split("/")[1] for line in done.stdout.splitlines()} == {gone}
    instance.assert_published([1, 3])
    body = instance.status()
    assert body is not None and body["ok"]
    assert all(row["restarts"] == 0 for row in body["tree"] if "restarts" in row)
    assert instance.stop() == 0
    instance.assert_nothing_left()


def test_gc_with_a_catalogue_that_cannot_be_asked_removes_nothing(instance: Instance) -> None:
    stray = leave_stray(instance)
    before = keys(instance)
    for name in ("catalog.db-wal", "catalog.db-shm"):
        (instance.state_dir / name).unlink(missing_ok=True)
    (instance.state_dir / "catalog.db").write_bytes(b"this is no database" * 1000)
    refused = instance.answer("gc", "--delete")
    assert refused.returncode == 1
    assert "catalog.db" in refused.stderr and "Traceback" not in refused.stderr
    assert keys(instance) == before and stray in before


def test_gc_with_a_storage_that_cannot_be_asked(make_instance: MakeInstance, tmp_path: Path) -> None:
    with closing(socket.socket()) as nobody:
        nobody.bind(("127.0.0.1", 0))  # and listens
        section = f"""[storage]
backend = "r2"
endpoint = "http://127.0.0.1:{nobody.getsockname()[1]}"
bucket = "media"
access_key_id = "key-of-the-test"
secret_access_key = "secret-of-the-test"
"""
        instance = make_instance(tmp_path, section)
        instance.state_dir.mkdir()
        Journal.open(instance.state_dir / "journal.db").close()
        refused = instance.answer("gc")
    assert refused.returncode == 1
    assert "storage.endpoint" in refused.stderr and "0 objects had been found" in refused.stderr
    assert "Traceback" not in refused.stderr and "secret-of-the-test" not in refused.stderr


def test_gc_with_a_bad_configuration(make_instance: MakeInstance, tmp_path: Path) -> None:
    assert make_instance(tmp_path, "[storage]\nbackend = 7").answer("gc").returncode == 78


def test_gc_where_nothing_has_ever_run(make_instance: MakeInstance, tmp_path: Path) -> None:
    instance = make_instance(tmp_path)
    refused = instance.answer("gc", "--delete")
    assert refused.returncode == 1
    assert "no journal" in refused.stderr and "Traceback" not in refused.stderr
    assert not instance.state_dir.exists()


def test_gc_keeps_what_the_journal_still_wants(instance: Instance) -> None:
    """Rows that were lost (a catalogue moved away) can be written again, as long as the objects are there."""
    before = keys(instance)
    with closing(sqlite3.connect(instance.state_dir / "catalog.db")) as database, database:
        database.execute("DELETE FROM images WHERE message_id > 1")
    assert "Every object" in instance.answer("gc", "--delete", "--older-than", "0").stdout
    assert keys(instance) == before
