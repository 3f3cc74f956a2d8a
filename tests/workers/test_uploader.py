"""The uploader: objects, then the row, then the journal, then the spool; each step made to fail, and the order seen."""

from __future__ import annotations

import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from pathlib import Path
from typing import Any

import pytest

from ipc.jobs import Job
from ipc.journal import Journal
from ipc.messages import MAX_BYTES, Ready, Report, Wake, encode
from ipc.retry import RetryPolicy
from tests.instance import HOME, wait_for
from tests.workers.desk import CHANNEL, LADDER, Desk
from workers import uploader as module
from workers.breaker import Breaker
from workers.catalog import SqliteCatalog
from workers.rows import rows_of
from workers.storage import FileStorage
from workers.uploader import Uploader, main

FAILURES = 3
KEYS = ("320.webp", "320.avif", "640.webp", "original.jpg")
OPTIONS = {
    "storage": {"public_url": "", "prefix": ""},
    "catalog": {},
    "breaker": {"failures": FAILURES, "timeout_seconds": 60.0},
}


class Watched(FileStorage):
    """A real storage that counts what it is asked."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[str] = []
        self.before_put: Callable[[str], None] = lambda key: None

    def put(self, key: str, source: Path, content_type: str) -> bool:
        self.asked.append(key)
        self.before_put(key)
        return super().put(key, source, content_type)


class House:
    """An uploader with real services around it, and what a test needs to break them."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ipc.database.BUSY_SECONDS", 0.02)
        self.desk = desk
        self.storage = Watched(desk.media)
        self.path = desk.state_dir / "catalog.db"
        self.catalog = SqliteCatalog(self.path)
        self.journal = Journal.open(desk.state_dir / "journal.db", durable=True)
        self.storage_breaker, self.catalog_breaker = Breaker(FAILURES, 60.0), Breaker(FAILURES, 60.0)
        self.uploader = Uploader(
            context=desk.context(),
            journal=self.journal,
            spool=desk.spool,
            storage=self.storage,
            catalog=self.catalog,
            prefix="",
            policy=RetryPolicy(max_attempts=1, base_seconds=60.0),
            storage_breaker=self.storage_breaker,
            catalog_breaker=self.catalog_breaker,
        )

    def close(self) -> None:
        self.catalog.close()
        self.journal.close()

    def rows(self, table: str = "messages") -> list[dict[str, Any]]:
        with closing(sqlite3.connect(self.path)) as database:
            database.row_factory = sqlite3.Row
            return [dict(row) for row in database.execute(f"SELECT * FROM {table} ORDER BY 1, 2")]

    def published(self) -> list[int]:
        """The message ids of the rows."""
        return [row["message_id"] for row in self.rows()]

    @contextmanager
    def storage_out(self) -> Iterator[None]:
        """Meanwhile a file lies where the media folder should be: it stops root too."""
        aside = self.desk.media.with_name("aside")
        self.desk.media.rename(aside)
        self.desk.media.write_text("in the way")
        yield
        self.desk.media.unlink()
        aside.rename(self.desk.media)

    @contextmanager
    def catalog_out(self) -> Iterator[None]:
        """Meanwhile somebody else holds the catalogue's write lock."""
        with closing(sqlite3.connect(self.path, isolation_level=None)) as other:
            other.execute("BEGIN IMMEDIATE")
            yield
            other.execute("ROLLBACK")

    def times_up(self) -> None:
        """An open breaker's time is up."""
        for breaker in (self.storage_breaker, self.catalog_breaker):
            if breaker.opened_at is not None:
                breaker.opened_at -= breaker.timeout_seconds


@pytest.fixture
def house(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> Iterator[House]:
    house = House(desk, monkeypatch)
    yield house
    house.close()


def keys_of(job: Job) -> list[str]:
    return [f"{str(job.sha256)[:2]}/{job.sha256}/{file}" for file in KEYS]


# All is well


def test_a_picture_is_published(desk: Desk, house: House) -> None:
    job = desk.render(1, b"the original")
    assert house.uploader.publish_due() == 1
    assert desk.stored() == dict(zip(keys_of(job), [*LADDER.values(), b"the original"], strict=True))
    (image,) = house.rows("images")
    assert (image["message_id"], image["sha256"]) == (1, job.sha256)
    assert house.rows("channels") == [{"id": CHANNEL, "title": "Test"}]
    assert desk.of(1).state == "published"
    assert desk.journal.totals() == {"processed": 1, "failed": 0, "retried": 0}
    assert desk.spooled() == set()
    assert house.uploader.publish_due() == 0


def test_the_same_picture_in_two_messages_is_stored_once(desk: Desk, house: House) -> None:
    desk.render(1, b"the same")
    desk.render(2, b"the same")
    assert house.uploader.publish_due() == 2
    assert len(desk.stored()) == len(KEYS)
    assert house.published() == [1, 2]


def test_the_original_is_put_last(desk: Desk, house: House) -> None:
    job = desk.render(1)
    house.uploader.publish_due()
    assert house.storage.asked == keys_of(job)


# Each step fails: what comes after it has not happened, and the next try finishes it


def test_an_object_fails(desk: Desk, house: House) -> None:
    job = desk.render(1)
    with house.storage_out():
        assert house.uploader.publish_due() == 0
        assert house.rows() == []
    assert desk.of(1) == job
    assert len(desk.spooled()) == len(KEYS)
    assert house.uploader.publish_due() == 1
    assert house.published() == [1]


def test_the_last_object_fails(desk: Desk, house: House) -> None:
    job = desk.render(1)
    last = desk.media / keys_of(job)[-1]
    (last / "in the way").mkdir(parents=True)
    assert house.uploader.publish_due() == 0
    assert len(desk.stored()) == len(KEYS) - 1
    assert house.rows() == []
    assert desk.of(1) == job
    shutil.rmtree(last)
    assert house.uploader.publish_due() == 1
    assert house.published() == [1]


def test_the_row_fails(desk: Desk, house: House) -> None:
    job = desk.render(1)
    with house.catalog_out():
        house.uploader.publish_due()
    assert len(desk.stored()) == len(KEYS)
    assert (desk.of(1).state, desk.of(1).stored, desk.of(1).attempts) == ("rendered", True, 0)
    assert desk.spooled() == set()  # what is stored needs no room in the spool
    asked = len(house.storage.asked)
    assert house.uploader.publish_due() == 1
    assert house.published() == [1]
    assert len(house.storage.asked) == asked == len(KEYS)  # what is stored is not put again
    assert desk.spooled() == set(), job


def test_the_journal_fails(desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the row and before the journal knows: all is there, and repeating it changes nothing."""
    desk.render(1)

    def fail(job: Job) -> bool:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(house.journal, "record_published", fail)
    with pytest.raises(sqlite3.OperationalError):
        house.uploader.publish_due()
    monkeypatch.undo()
    before = house.rows(), house.rows("images"), desk.stored()
    assert house.published() == [1]
    assert (desk.of(1).state, desk.of(1).attempts) == ("rendered", 0)
    assert house.uploader.publish_due() == 1
    assert (house.rows(), house.rows("images"), desk.stored()) == before
    assert desk.of(1).state == "published"
    assert desk.spooled() == set()


def test_deleting_fails(desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed before the spool files were deleted: the next start sweeps them."""
    desk.render(1)
    monkeypatch.setattr(desk.spool, "remove", lambda job_id, generation: None)
    assert house.uploader.publish_due() == 1
    monkeypatch.undo()
    assert desk.of(1).state == "published"
    assert len(desk.spooled()) == len(KEYS)
    house.uploader.sweep()
    assert desk.spooled() == set()


# Edits meanwhile


def test_a_newer_revision_that_comes_meanwhile_is_written_next(desk: Desk, house: House) -> None:
    desk.render(1)
    house.storage.before_put = lambda key: void(desk.take(1, caption="edited", edited_at=desk.of(1).posted_at + 9))
    assert house.uploader.publish_due() == 1
    assert desk.of(1).state == "rendered"
    assert house.rows()[0]["caption"] == "caption 1"
    house.storage.before_put = lambda key: None
    assert house.uploader.publish_due() == 1
    assert [(row["caption"], row["revision"]) for row in house.rows()] == [("edited", desk.of(1).revision)]
    assert desk.of(1).state == "published"
    assert desk.spooled() == set()


def void(value: object) -> None:
    """For a lambda that is called for what it does."""


def test_an_edit_of_a_published_message_puts_no_object(desk: Desk, house: House) -> None:
    desk.render(1)
    house.uploader.publish_due()
    house.storage.asked.clear()
    images = house.rows("images")
    desk.take(1, caption="edited", edited_at=desk.of(1).posted_at + 9)
    assert house.uploader.publish_due() == 1
    assert house.storage.asked == []
    assert house.rows()[0]["caption"] == "edited"
    assert house.rows("images") == images
    assert desk.journal.totals()["processed"] == 1


def test_another_picture_that_comes_meanwhile_is_what_is_published_in_the_end(desk: Desk, house: House) -> None:
    desk.render(1, b"first")
    house.storage.before_put = lambda key: void(
        desk.take(1, picture="b", edited_at=desk.of(1).posted_at + 9) if desk.of(1).generation == 1 else None
    )
    house.uploader.publish_due()
    assert (desk.of(1).state, desk.of(1).generation, desk.of(1).stored) == ("seen", 2, False)
    assert house.rows() == []
    house.uploader.sweep()
    assert desk.spooled() == set()
    job = desk.render(1, b"second")
    assert house.uploader.publish_due() == 1
    assert [row["sha256"] for row in house.rows("images")] == [job.sha256]


def test_a_changed_picture_replaces_the_row(desk: Desk, house: House) -> None:
    desk.render(1, b"first")
    house.uploader.publish_due()
    desk.take(1, picture="b", edited_at=desk.of(1).posted_at + 9)
    job = desk.render(1, b"second")
    assert house.uploader.publish_due() == 1
    assert [row["sha256"] for row in house.rows("images")] == [job.sha256]
    assert house.published() == [1]


def test_a_renamed_channel_gets_its_new_title(desk: Desk, house: House) -> None:
    desk.render(1)
    house.uploader.publish_due()
    desk.render(2)
    with desk.journal.transaction():
        desk.journal.run("put_channel", id=CHANNEL, title="Renamed", cursor=2, ignored=b"\x80")
    house.uploader.publish_due()
    assert house.rows("channels") == [{"id": CHANNEL, "title": "Renamed"}]


# What is not there


@pytest.mark.parametrize("missing", ["320.webp", "original", "folder"])
def test_a_lost_spool_file_sends_the_job_back(desk: Desk, house: House, missing: str) -> None:
    job = desk.render(1)
    folder = desk.spool.folder(job.id, job.generation)
    shutil.rmtree(folder) if missing == "folder" else (folder / missing).unlink()
    assert house.uploader.publish_due() == 0
    back = "fetched" if missing == "320.webp" else "seen"  # as far as is needed
    assert (desk.of(1).state, desk.of(1).attempts) == (back, 0)
    assert back in desk.wakes()
    assert house.rows() == []
    assert house.storage_breaker.in_a_row == 0  # no fault of the storage
    if back == "fetched":
        assert desk.journal.record_rendered(desk.write_ladder(job))
    else:
        desk.render(1)
    assert house.uploader.publish_due() == 1
    assert house.published() == [1]


def test_what_is_rendered_again_is_not_written_into_a_stored_object(desk: Desk, house: House) -> None:
    """An object is another name of the spooled file: readers would see the half of it."""
    job = desk.render(1)
    desk.spool.original(job.id, 1).unlink()
    house.uploader.publish_due()
    stored = desk.media / keys_of(job)[0]
    assert stored.read_bytes() == LADDER["320.webp"]
    desk.fetch(1)
    with (desk.spool.folder(job.id, 1) / "320.webp").open("wb"):
        assert stored.read_bytes() == LADDER["320.webp"]


# The breakers


def test_the_storages_breaker(desk: Desk, house: House) -> None:
    jobs = [desk.render(number) for number in range(1, 6)]
    with house.storage_out():
        assert house.uploader.publish_due() == 0
        assert len(house.storage.asked) == FAILURES  # the rest of the batch did not ask any more
        assert house.uploader.publish_due() == 0
        assert len(house.storage.asked) == FAILURES
        facts = desk.reported()
        assert facts["r2_circuit_breaker"] == "open"
        assert facts["supabase_circuit_breaker"] == "closed"
        assert "Check the disk" in facts["storage_error"]
        house.times_up()
        assert house.uploader.publish_due() == 0
        assert len(house.storage.asked) == FAILURES + 1  # half-open: one asks, and its answer decides
    assert [desk.of(number) for number in range(1, 6)] == jobs  # no attempt is lost
    assert house.uploader.publish_due() == 0  # open again, though the storage is back
    house.times_up()
    assert house.uploader.publish_due() == len(jobs)
    assert house.published() == [1, 2, 3, 4, 5]
    facts = desk.reported()
    assert (facts["r2_circuit_breaker"], facts["storage_error"]) == ("closed", "")


def test_the_catalogues_breaker(desk: Desk, house: House) -> None:
    for number in range(1, 6):
        desk.render(number)
    with house.catalog_out():
        assert house.uploader.publish_due() == 2  # two were stored after the breaker had opened
        assert house.catalog_breaker.in_a_row == FAILURES
        assert desk.reported()["supabase_circuit_breaker"] == "open"
    assert all(desk.of(number).stored for number in range(1, 6))  # the other service goes on
    assert {desk.of(number).attempts for number in range(1, 6)} == {0}
    assert house.uploader.publish_due() == 0
    house.times_up()
    asked = len(house.storage.asked)
    assert house.uploader.publish_due() == 5
    assert len(house.storage.asked) == asked
    assert house.published() == [1, 2, 3, 4, 5]
    assert desk.reported()["supabase_circuit_breaker"] == "closed"


def open_breaker(breaker: Breaker) -> None:
    for _ in range(FAILURES):
        breaker.fail(time.monotonic(), "out")


def test_while_the_storage_is_out_a_crowd_of_unstored_jobs_keeps_no_row_waiting(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for number in range(1, 6):
        desk.render(number)
    assert house.journal.record_stored(desk.render(6))
    open_breaker(house.storage_breaker)
    assert house.uploader.publish_due() == 1
    assert house.published() == [6]


def test_while_the_catalogue_is_out_a_crowd_of_stored_jobs_keeps_no_object_waiting(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "BATCH", 2)
    for number in range(1, 6):
        assert house.journal.record_stored(desk.render(number))
    desk.render(6)
    open_breaker(house.catalog_breaker)
    assert house.uploader.publish_due() == 1
    assert desk.of(6).stored
    assert house.rows() == []


def test_while_both_are_out_nobody_is_asked(desk: Desk, house: House) -> None:
    desk.render(1)
    open_breaker(house.storage_breaker)
    open_breaker(house.catalog_breaker)
    assert house.uploader.publish_due() == 0
    assert house.storage.asked == []


def refuse_captions(house: House, caption: str) -> None:
    """Have the catalogue refuse rows with this caption, as a constraint of the operator's would."""
    with closing(sqlite3.connect(house.path)) as database:
        database.execute(
            f"CREATE TRIGGER choosy BEFORE INSERT ON messages WHEN NEW.caption = '{caption}'"
            " BEGIN SELECT RAISE(ABORT, 'not this one'); END"
        )


def test_a_row_that_is_refused_is_the_jobs_own_fault(desk: Desk, house: House) -> None:
    refuse_captions(house, "bad")
    desk.take(1, caption="bad")
    desk.render(1)
    desk.render(2)
    house.uploader.publish_due()
    assert house.published() == [2]  # the others go on
    job = desk.of(1)
    assert (job.state, job.attempts, job.stored) == ("rendered", 1, True)
    assert "not this one" in str(job.reason)
    assert house.catalog_breaker.in_a_row == 0
    assert house.uploader.publish_due() == 0  # its next try has its time


def test_a_row_that_stays_refused_is_a_dead_letter(desk: Desk, house: House) -> None:
    refuse_captions(house, "bad")
    desk.take(1, caption="bad")
    desk.render(1)
    house.uploader.publish_due()
    late = Journal.open(desk.state_dir / "journal.db", clock=lambda: time.time() + 3600)
    (job,) = late.due("rendered", 9)
    late.close()
    house.uploader._publish(job)
    assert (desk.of(1).state, desk.of(1).dead_state) == ("dead", "rendered")
    assert "not this one" in str(desk.of(1).reason)
    house.uploader.sweep()
    assert desk.spooled() == set()  # its original is in the storage
    assert desk.journal.revive([job.id]) == [job.id]
    assert (desk.of(1).state, desk.of(1).stored) == ("rendered", True)


def test_a_job_that_no_row_can_be_made_of_stops_nobody_else(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.render(1)
    desk.render(2)

    def choke(job: Job, *rest: Any) -> dict[str, dict[str, Any]]:
        if job.message_id == 1:
            raise ValueError("year 99999 is out of range")
        return rows_of(job, *rest)

    monkeypatch.setattr("workers.uploader.rows_of", choke)
    house.uploader.publish_due()
    assert house.published() == [2]
    assert (desk.of(1).state, desk.of(1).attempts) == ("rendered", 1)
    assert "99999" in str(desk.of(1).reason)


def test_the_longest_errors_go_in_one_message(desk: Desk, house: House) -> None:
    for breaker in (house.storage_breaker, house.catalog_breaker):
        breaker.fail(0.0, "🖼" * 5000)
    house.uploader.tell()
    (report,) = desk.said()
    assert len(encode(report)) <= MAX_BYTES


def test_only_a_change_is_reported(desk: Desk, house: House) -> None:
    house.uploader.tell()
    house.uploader.tell()
    desk.render(1)
    house.uploader.publish_due()
    assert len([message for message in desk.said() if isinstance(message, Report)]) == 1


# Stopping, sweeping


def test_a_stop_in_the_middle_of_a_batch_leaves_the_rest(desk: Desk, house: House) -> None:
    for number in range(1, 4):
        desk.render(number)
    house.storage.before_put = lambda key: desk.ask_to_stop() if len(house.storage.asked) == len(KEYS) + 1 else None
    assert house.uploader.publish_due() == 2
    assert [desk.of(number).state for number in (1, 2, 3)] == ["published", "published", "rendered"]
    assert len(desk.spooled()) == len(KEYS)


def test_the_sweep_takes_only_what_nobody_needs(desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = desk.render(1)
    dead = desk.render(2)
    desk.journal.bury(dead, "poison")
    (desk.state_dir / "spool" / "4711.1").mkdir()
    (desk.state_dir / "spool" / f"{kept.id}.7").mkdir()
    house.uploader.sweep_sometimes()
    assert (desk.state_dir / "spool" / "4711.1").exists()  # not yet
    monkeypatch.setattr(module, "SWEEP_SECONDS", -1.0)
    house.uploader.sweep_sometimes()
    folders = {path.name for path in (desk.state_dir / "spool").iterdir()}
    assert folders == {f"{kept.id}.1", f"{dead.id}.1"}
    assert len(desk.spooled()) == len(KEYS) + 1


# As a process


def test_main(desk: Desk) -> None:
    stray = desk.state_dir / "spool" / "4711.1"
    stray.mkdir()
    desk.render(1)
    context = desk.context(**OPTIONS)
    thread = threading.Thread(target=main, args=(context,))
    thread.start()
    try:
        wait_for("the first picture", lambda: desk.of(1).state == "published")
        desk.render(2)
        desk.send(Wake("rendered"))
        wait_for("the second picture", lambda: desk.of(2).state == "published")
    finally:
        desk.ask_to_stop()
        thread.join(30)
    assert not thread.is_alive()
    first, *rest = desk.said()
    assert first == Ready()
    assert isinstance(rest[0], Report)
    assert not stray.exists()
    assert desk.spooled() == set()


KILLED = """
import sys
from ipc import failpoints
failpoints.arm(sys.argv[2])
import pathlib
from tests.workers.desk import Desk
from tests.workers.test_uploader import OPTIONS
from workers.uploader import main
desk = Desk(pathlib.Path(sys.argv[1]))
main(desk.context(**OPTIONS))
"""
POINTS = ["before", "put", "put:3", "stored", "recorded", "deleted", "row", "after"]


@pytest.mark.parametrize("point", POINTS)
def test_killed_anywhere_it_finishes_the_next_time(desk: Desk, house: House, point: str) -> None:
    job = desk.render(1)
    name, _, count = point.partition(":")
    words = [sys.executable, "-c", KILLED, str(desk.state_dir), f"published.{name}:{count or 1}"]
    killed = subprocess.run(words, cwd=HOME, capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert (desk.of(1).state == "published") == (point == "after")
    house.uploader.sweep()
    house.uploader.publish_due()
    assert house.published() == [1]
    assert set(desk.stored()) == set(keys_of(job))
    assert desk.of(1).state == "published"
    assert desk.spooled() == set()
    assert desk.journal.totals()["processed"] == 1
