"""The disk that state_dir is on: full, read-only, or with a journal on it that is damaged or of another version."""

from __future__ import annotations

import json
import signal
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ipc.journal import VERSION
from tests.chaos.disks import SmallDisk, small_disk
from tests.instance import Instance, wait_for
from tests.ipc.journal.test_migrations import SCHEMA_1
from tests.pictures import make_export

MakeInstance = Callable[..., Instance]
COUNT = 12


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("disk") / "export", COUNT)


class OnDisk:
    """An instance whose state_dir is a small disk."""

    def __init__(self, instance: Instance, disk: SmallDisk) -> None:
        self.instance = instance
        self.disk = disk
        self._folder = instance.state_dir
        instance.through = disk.through
        instance.state_dir = disk.inside  # where it is seen from here

    def problems(self) -> str:
        return json.dumps((self.instance.status() or {"problems": ""})["problems"])

    def finish(self) -> None:
        """All is published, nobody was blamed, nothing is left."""
        self.instance.wait_until_done()
        stats = (self.instance.status() or {})["stats"]
        assert (stats["dead"], stats["retried"]) == (0, 0)
        assert self.instance.stop() == 0
        self.disk.bring_home()
        self.instance.state_dir = self._folder
        self.instance.assert_published(list(range(1, COUNT + 1)))
        self.instance.assert_nothing_left()

    def ends(self) -> list[str]:
        """What the children that ended by themselves ended of."""
        return [one["what"] for one in self.instance.records() if one["event"] == "child.exited"]


@pytest.fixture
def on_disk(export: Path, make_instance: MakeInstance) -> Iterator[OnDisk]:
    instance = make_instance(export, "[images]\nwidths = [100]\n[spool]\nmin_free_mb = 0")
    with small_disk(instance.state_dir, mib=16) as disk:
        yield OnDisk(instance, disk)
        instance.end()


@pytest.mark.reaches("state_dir.not_writable")
def test_a_full_disk_is_waited_for(on_disk: OnDisk, export: Path) -> None:
    """Nobody crashes, nothing is lost, /status says why and what to do; and it goes on by itself."""
    instance = on_disk.instance
    workers = instance.start_with_frozen_workers(export)
    wait_for("a picture in every hand", lambda: all(instance.row(name).get("job") for name in workers))
    struck = on_disk.ends()
    on_disk.disk.fill()
    for name in workers:
        instance.strike(name, signal.SIGCONT)
    wait_for("the problem", lambda: "state_dir cannot be written" in on_disk.problems())
    assert "Make room on state_dir's disk" in on_disk.problems()
    before = instance.pids()
    time.sleep(3.0)  # nobody ends in this: each child that waits tries the disk meanwhile
    assert before.items() <= instance.pids().items(), "who waits does not die"
    assert on_disk.ends() == struck
    on_disk.disk.make_room()
    wait_for("the end of the problem", lambda: instance.status() and on_disk.problems() == "[]")
    stop_while_it_is_full_and_start_again(on_disk)
    on_disk.disk.make_room()
    on_disk.finish()
    assert {*on_disk.ends()} - {*struck} <= {
        "exit code 1",
        "stopped as asked (exit code 0)",
        "stopped as asked (exit code 1)",
    }
    assert [one for one in instance.records() if one["event"] == "process.crashed"] == []


def stop_while_it_is_full_and_start_again(on_disk: OnDisk) -> None:
    """Whoever is asked to stop does, though it can't write; the next tree waits for the disk from its start on."""
    on_disk.disk.fill()
    wait_for("the problem", lambda: "state_dir cannot be written" in on_disk.problems())
    assert on_disk.instance.stop() == 0
    on_disk.disk.fill()  # it has tidied up
    on_disk.instance.start()
    wait_for("the problem", lambda: "state_dir cannot be written" in on_disk.problems())


def test_a_read_only_state_dir_is_refused_with_the_remedy(on_disk: OnDisk) -> None:
    on_disk.disk.make_read_only()
    on_disk.instance.start()
    assert on_disk.instance.wait() == 78
    assert "It must be a folder that this user can write to" in on_disk.instance.log.read_text()


def test_a_journal_that_is_none_is_refused_and_left_alone(export: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(export)
    instance.state_dir.mkdir()
    journal = instance.state_dir / "journal.db"
    journal.write_bytes(b"no database at all " * 1000)
    instance.start()
    assert instance.wait() == 78
    said = instance.log.read_text()
    assert f"{journal}: cannot be opened as the journal" in said and "restore a copy" in said
    assert journal.read_bytes() == b"no database at all " * 1000


@pytest.mark.reaches("child.held", "journal.unreadable")
def test_a_journal_that_is_damaged_within_holds_those_who_find_it(export: Path, make_instance: MakeInstance) -> None:
    """What the root looks at is sound. Nobody guesses; /status says what to do."""
    instance = make_instance(export, "[images]\nwidths = [100]")
    instance.start()
    instance.wait_until_done()
    assert instance.stop() == 0
    journal = instance.state_dir / "journal.db"
    with closing(sqlite3.connect(journal)) as database:
        (page,) = database.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'jobs'").fetchone()
        (size,) = database.execute("PRAGMA page_size").fetchone()
    with journal.open("r+b") as file:
        file.seek((page - 1) * size)
        file.write(b"\xa5" * size)
    instance.start()
    wait_for("somebody to be held", lambda: '"state": "held"' in json.dumps(instance.status()))
    body = instance.status() or {}
    assert any(
        "the journal is damaged" in one["what"] and "restore a copy" in one["remedy"] for one in body["problems"]
    )
    assert instance.stop() == 0


def test_a_journal_of_an_older_version_is_brought_up_to_date(export: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(export, "[images]\nwidths = [100]")
    instance.state_dir.mkdir()
    with closing(sqlite3.connect(instance.state_dir / "journal.db")) as old:
        old.executescript(SCHEMA_1)
        old.execute("PRAGMA user_version = 1")
    instance.start()
    instance.wait_until_done()
    assert instance.stop() == 0
    with closing(sqlite3.connect(instance.state_dir / "journal.db")) as journal:
        assert journal.execute("PRAGMA user_version").fetchone() == (VERSION,)
    instance.assert_published(list(range(1, COUNT + 1)))
