"""The uploader: objects, then the journal, then the spool, then the rows; each step made to fail, and the order seen.

`Publisher` runs both stages here, a step at a time. `publish_due` counts steps: a picture that is stored and gets its
row in one call counts twice.
"""

from __future__ import annotations

import json
import shutil
import signal
import sqlite3
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import closing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from ipc.files.object_layout import Layout, objects_of
from ipc.files.rows import RowLayout, rows_of
from ipc.files.spool import Spool
from ipc.intake import withdraw
from ipc.jobs import Job
from ipc.journal import Journal, JournalError, breakers, figures, leases, pictures, transitions
from ipc.journal.leases import LEASE_SECONDS
from ipc.retry import RetryPolicy
from ipc.transport.messages import MAX_BYTES, Ready, Report, Wake, encode
from tests.instance import DEADLINE_SECONDS, HOME, wait_for
from tests.servers.faults import BlackHole, FaultProxy
from tests.servers.ports import free_port
from tests.workers.desk import CHANNEL, LADDER, Desk
from tests.workers.publisher import Publisher
from workers.publishing import object_stage, row_stage
from workers.publishing.catalog import MessageRows, SqliteCatalog, WriteOutcome
from workers.publishing.catalog.supabase import SupabaseCatalog, timeout_in
from workers.publishing.service.breaker import Breaker
from workers.publishing.service.suspects import ALONE_FAILURES
from workers.publishing.stage import StageHangs
from workers.publishing.storage import FileStorage, NewObject, ObjectFault, Put, StorageFault
from workers.publishing.threads import Interrupted
from workers.uploader import Services, Uploader, main

FAILURES = 3
TIMEOUT_SECONDS = 60.0
KEYS = ("320.webp", "320.avif", "640.webp", "stripped.jpg")
SPOOLED = len(KEYS) + 1
"""Files of a picture in the spool: the original as it came, besides."""
OPTIONS = {
    "storage": {"public_url": "", "prefix": "", "originals": "stripped"},
    "feeds": {"enabled": False, "items": 50, "title": "Pictures", "home_page_url": ""},
    "site": {"enabled": False, "title": ""},
    "catalog": {},
    "breaker": {"failures": FAILURES, "timeout_seconds": TIMEOUT_SECONDS},
}


class Watched(FileStorage):
    """A real storage that counts what it is asked; `before_put` may raise what a hosted one would."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.asked: list[str] = []
        self.rounds: list[int] = []
        self.settled = 0
        self.before_put: Callable[[str], None] = lambda key: None

    def _put(self, item: NewObject) -> Put:
        self.asked.append(item.key)
        self.before_put(item.key)
        return super()._put(item)

    def put_all(self, items: Iterable[NewObject], **calls: Any) -> int:
        items = list(items)
        self.rounds.append(len(items))
        return super().put_all(items, **calls)

    def sync(self) -> None:
        super().sync()
        self.settled += 1


class WatchedRows(SqliteCatalog):
    """A real catalogue that counts what it is asked."""

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.rounds: list[list[int]] = []
        self.before_write: Callable[[Sequence[MessageRows]], None] = lambda batch: None

    def write_many(self, batch: Sequence[MessageRows]) -> list[WriteOutcome]:
        self.rounds.append([entry.message["message_id"] for entry in batch])
        self.before_write(batch)
        return super().write_many(batch)


class House:
    """An uploader with real services around it, and what a test needs to break them."""

    def __init__(self, desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("ipc.database.BUSY_SECONDS", 0.02)
        self.desk = desk
        self.storage = Watched(desk.media)
        self.path = desk.state_dir / "catalog.db"
        self.catalog = WatchedRows(self.path)
        self.skipped = 0.0
        self.journal = Journal.open(
            desk.state_dir / "journal.db", durable=True, clock=lambda: time.time() + self.skipped
        )
        self.storage_breaker, self.catalog_breaker = (Breaker(FAILURES, TIMEOUT_SECONDS) for _ in range(2))
        self.uploader = Publisher(
            desk.context(),
            self.journal,
            Services(
                storage=self.storage,
                catalog=self.catalog,
                layout=Layout(""),
                policy=RetryPolicy(max_attempts=1, base_seconds=60.0),
                storage_breaker=self.storage_breaker,
                catalog_breaker=self.catalog_breaker,
            ),
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

    def later(self, seconds: float = TIMEOUT_SECONDS + 2) -> None:
        """So much time goes by; by default enough for an open breaker, and for the jobs that wait behind it."""
        self.skipped += seconds
        for breaker in (self.storage_breaker, self.catalog_breaker):
            breaker.silent_until -= seconds

    def publish_all(self) -> int:
        """Call it as the process does, until nothing goes on; how many steps that were."""
        steps = 0
        while went_on := self.uploader.publish_due():
            steps += went_on
        return steps

    def attempts(self) -> dict[int, int]:
        """By message id, of those that have had any."""
        jobs = filter(None, map(self.desk.known, range(1, 100)))
        return {job.message_id: job.attempts for job in jobs if job.attempts}


@pytest.fixture(autouse=True)
def logged() -> Iterator[Sequence[Any]]:
    """The records of the log. They are not written out: a traceback with its code and locals takes a second."""
    with capture_logs() as records:
        yield records


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
    assert house.uploader.publish_due() == 2
    assert desk.stored() == dict(zip(keys_of(job), [*LADDER.values(), b"the original"], strict=True))
    (image,) = house.rows("images")
    assert (image["message_id"], image["sha256"]) == (1, job.sha256)
    assert house.rows("channels") == [{"id": CHANNEL, "title": "Test", "name": None}]
    assert desk.of(1).state == "published"
    assert figures.totals(desk.journal) == {"processed": 1, "failed": 0, "retried": 0}
    assert desk.spooled() == set()
    assert house.uploader.publish_due() == 0


def test_the_same_picture_in_two_messages_is_stored_once(desk: Desk, house: House) -> None:
    desk.render(1, b"the same")
    desk.render(2, b"the same")
    assert house.uploader.publish_due() == 4
    assert len(desk.stored()) == len(KEYS)
    assert house.published() == [1, 2]


def test_the_original_is_put_last(desk: Desk, house: House) -> None:
    job = desk.render(1)
    house.uploader.publish_due()
    assert house.storage.asked == keys_of(job)


# Each step fails: what comes after it has not happened, and the next try finishes it


def test_an_object_fails(desk: Desk, house: House) -> None:
    desk.render(1)
    with house.storage_out():
        assert house.uploader.publish_due() == 0
        assert house.rows() == []
    job = desk.of(1)
    assert (job.state, job.stored, job.attempts) == ("rendered", False, 0)
    assert "Check the disk" in str(job.reason)
    assert len(desk.spooled()) == SPOOLED
    assert house.uploader.publish_due() == 0  # it gives others a chance to show whose fault it was
    house.later()
    assert house.uploader.publish_due() == 2
    assert house.published() == [1]


def test_the_last_object_fails(desk: Desk, house: House) -> None:
    job = desk.render(1)
    last = desk.media / keys_of(job)[-1]
    (last / "in the way").mkdir(parents=True)
    assert house.uploader.publish_due() == 0
    assert len(desk.stored()) == len(KEYS) - 1
    assert house.rows() == []
    assert (desk.of(1).state, desk.of(1).stored, desk.of(1).attempts) == ("rendered", False, 0)
    shutil.rmtree(last)
    house.later()
    assert house.uploader.publish_due() == 2
    assert house.published() == [1]


def test_the_row_fails(desk: Desk, house: House) -> None:
    desk.render(1)
    with house.catalog_out():
        assert house.uploader.publish_due() == 1
    assert len(desk.stored()) == len(KEYS)
    assert (desk.of(1).state, desk.of(1).stored, desk.of(1).attempts) == ("rendered", True, 0)
    assert desk.spooled() == set()  # what is stored needs no room in the spool
    house.later()
    assert house.uploader.publish_due() == 1
    assert house.published() == [1]
    assert len(house.storage.asked) == len(KEYS)  # what is stored is not put again


def test_the_journal_fails(desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Killed after the row and before the journal knows: all is there, and repeating it changes nothing."""
    desk.render(1)

    def fail(jobs: list[Job], *others: object) -> list[Job]:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(transitions, "record_published", lambda _journal, *args, **values: fail(*args, **values))
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
    monkeypatch.setattr(Spool, "remove", lambda spool, job_id, generation: None)
    assert house.uploader.publish_due() == 2
    monkeypatch.undo()
    assert desk.of(1).state == "published"
    assert len(desk.spooled()) == SPOOLED
    house.uploader.sweep.go_on()
    assert desk.spooled() == set()


# Edits meanwhile


def test_a_newer_revision_that_comes_meanwhile_is_written_next(desk: Desk, house: House) -> None:
    desk.render(1)
    edited: list[Job] = []

    def edit_once(batch: Sequence[MessageRows]) -> None:
        if not edited:
            edited.append(desk.take(1, caption="edited", edited_at=desk.of(1).posted_at + 9))

    house.catalog.before_write = edit_once
    assert house.uploader.publish_due() == 2
    assert desk.of(1).state == "rendered"
    assert house.rows()[0]["caption"] == "caption 1"
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
    assert figures.totals(desk.journal)["processed"] == 1


def test_another_picture_that_comes_meanwhile_is_what_is_published_in_the_end(desk: Desk, house: House) -> None:
    desk.render(1, b"first")
    house.storage.before_put = lambda key: void(
        desk.take(1, picture="b", edited_at=desk.of(1).posted_at + 9) if desk.of(1).generation == 1 else None
    )
    house.uploader.publish_due()
    assert (desk.of(1).state, desk.of(1).generation, desk.of(1).stored) == ("seen", 2, False)
    assert house.rows() == []
    assert desk.spooled() == set()
    job = desk.render(1, b"second")
    assert house.uploader.publish_due() == 2
    assert [row["sha256"] for row in house.rows("images")] == [job.sha256]


def test_a_changed_picture_replaces_the_row(desk: Desk, house: House) -> None:
    desk.render(1, b"first")
    house.uploader.publish_due()
    desk.take(1, picture="b", edited_at=desk.of(1).posted_at + 9)
    job = desk.render(1, b"second")
    assert house.uploader.publish_due() == 2
    assert [row["sha256"] for row in house.rows("images")] == [job.sha256]
    assert house.published() == [1]


def test_a_renamed_channel_gets_its_new_title(desk: Desk, house: House) -> None:
    desk.render(1)
    house.uploader.publish_due()
    desk.render(2)
    with desk.journal.transaction():
        desk.journal.run(
            "move_channel", id=CHANNEL, title="Renamed", name=None, floor=1, cursor=2, backfilled=0, ignored=b"\x80"
        )
    house.uploader.publish_due()
    assert house.rows("channels") == [{"id": CHANNEL, "title": "Renamed", "name": None}]


# What is not there


@pytest.mark.parametrize("missing", ["320.webp", "stripped", "folder"])
def test_a_lost_spool_file_sends_the_job_back(desk: Desk, house: House, missing: str) -> None:
    job = desk.render(1)
    folder = desk.spool.folder(job.id, job.generation)
    shutil.rmtree(folder) if missing == "folder" else (folder / missing).unlink()
    assert house.uploader.publish_due() == 0
    back = "seen" if missing == "folder" else "fetched"  # as far as is needed
    assert (desk.of(1).state, desk.of(1).attempts) == (back, 0)
    assert back in desk.wakes()
    assert house.rows() == []
    assert house.storage_breaker.in_a_row == 0  # no fault of the storage
    if back == "fetched":
        assert transitions.record_rendered(desk.journal, desk.write_ladder(job))
    else:
        desk.render(1)
    assert house.uploader.publish_due() == 2
    assert house.published() == [1]


def test_lost_spool_files_of_some_keep_the_others_waiting_for_nothing(desk: Desk, house: House) -> None:
    jobs = [desk.render(number) for number in range(1, 7)]
    for job in (jobs[0], jobs[3]):
        shutil.rmtree(desk.spool.folder(job.id, job.generation))
    for _ in range(3):
        house.uploader.publish_due()
    assert house.storage.settled  # what is recorded as stored would survive a power cut
    assert [desk.of(number).state for number in (1, 4)] == ["seen", "seen"]
    assert house.published() == [2, 3, 5, 6]
    assert house.attempts() == {}
    assert house.storage_breaker.in_a_row == 0


def test_a_lost_spool_file_of_a_picture_that_another_message_has_brought(desk: Desk, house: House) -> None:
    """A process that has lost it needs it no more: the other one's object is the same."""
    desk.render(1, b"the same")
    second = desk.render(2, b"the same")
    shutil.rmtree(desk.spool.folder(second.id, second.generation))
    desk.render(3)
    for _ in range(2):
        house.uploader.publish_due()
    assert house.published() == [1, 2, 3]
    assert house.attempts() == {}


def test_what_is_rendered_again_is_not_written_into_a_stored_object(desk: Desk, house: House) -> None:
    """An object is another name of the spooled file: readers would see the half of it."""
    job = desk.render(1)
    (desk.spool.folder(job.id, 1) / "stripped").unlink()
    desk.spool.original(job.id, 1).unlink()
    house.uploader.publish_due()
    stored = desk.media / keys_of(job)[0]
    assert stored.read_bytes() == LADDER["320.webp"]
    desk.fetch(1)
    with (desk.spool.folder(job.id, 1) / "320.webp").open("wb"):
        assert stored.read_bytes() == LADDER["320.webp"]


# The breakers


def test_the_storages_breaker(desk: Desk, house: House) -> None:
    for number in range(1, 6):
        desk.render(number)
    with house.storage_out():
        for asked in (1, 2, 3):  # all of them, then one by one
            assert house.uploader.publish_due() == 0
            assert len(house.storage.asked) == asked
        assert house.storage.rounds == [5 * len(KEYS), 1, 1]  # all of them, then the first object of one
        assert house.uploader.publish_due() == 0
        assert len(house.storage.asked) == FAILURES
        facts = desk.reported()
        assert facts["r2_circuit_breaker"] == "open"
        assert facts["r2_circuit_breaker_since"] < facts["r2_next_probe_at"]
        assert facts["supabase_circuit_breaker"] == "closed"
        assert facts["supabase_circuit_breaker_since"] is facts["supabase_next_probe_at"] is None
        assert "Check the disk" in facts["storage_error"]
        house.later()
        assert house.uploader.publish_due() == 0
        assert len(house.storage.asked) == FAILURES + 1  # half-open: one asks, and its answer decides
        assert house.uploader.publish_due() == 0
        assert len(house.storage.asked) == FAILURES + 1
        assert desk.reported()["r2_circuit_breaker_since"] == facts["r2_circuit_breaker_since"]
    assert house.attempts() == {}  # none is lost
    assert house.uploader.publish_due() == 0  # open again, though the storage is back
    house.later()
    assert house.publish_all() == 10
    # The probe, and then more at once each time; the two that were probes come last.
    assert house.storage.rounds[4:] == [1, len(KEYS) - 1, 2 * len(KEYS), 2 * len(KEYS)]
    assert sorted(house.published()) == [1, 2, 3, 4, 5]
    facts = desk.reported()
    assert (facts["r2_circuit_breaker"], facts["storage_error"]) == ("closed", "")
    assert facts["r2_circuit_breaker_since"] is facts["r2_next_probe_at"] is None
    desk.render(6)
    desk.render(7)
    house.publish_all()
    assert house.storage.rounds[-1] == 2 * len(KEYS)


def test_the_catalogues_breaker(desk: Desk, house: House) -> None:
    for number in range(1, 6):
        desk.render(number)
    with house.catalog_out():
        assert [house.uploader.publish_due() for _ in range(4)] == [5, 0, 0, 0]  # the other service goes on
        assert house.catalog.rounds == [[1, 2, 3, 4, 5], [1], [2]]
        assert desk.reported()["supabase_circuit_breaker"] == "open"
        desk.render(6)
        assert house.uploader.publish_due() == 1
    assert all(desk.of(number).stored for number in range(1, 7))
    assert house.attempts() == {}
    assert house.uploader.publish_due() == 0
    house.later()
    asked = len(house.storage.asked)
    assert house.publish_all() == 6
    assert len(house.storage.asked) == asked
    assert house.catalog.rounds[3:] == [[1], [3, 4], [5, 6], [2]]  # who failed last comes last
    assert house.published() == [1, 2, 3, 4, 5, 6]
    assert desk.reported()["supabase_circuit_breaker"] == "closed"


def test_a_service_that_says_when_to_come_back_is_asked_then(desk: Desk, house: House) -> None:
    desk.render(1)
    house.storage.before_put = fail_with(StorageFault("slow down", retry_after_seconds=7.0))
    house.uploader.publish_due()
    assert desk.reported()["r2_circuit_breaker"] == "open"
    house.storage.before_put = lambda key: None
    house.later(6.5)
    assert house.uploader.publish_due() == 0
    house.later(2.0)
    assert house.uploader.publish_due() == 2


def test_a_service_that_does_not_take_our_key_is_asked_once(desk: Desk, house: House) -> None:
    for number in range(1, 6):
        desk.render(number)
    house.storage.before_put = fail_with(StorageFault("unknown key", fatal=True))
    for _ in range(5):
        house.uploader.publish_due()
    assert len(house.storage.asked) == 1
    assert desk.reported()["storage_error"] == "unknown key"
    assert house.attempts() == {}


def fail_with(fault: Exception, part_of_key: str = "") -> Callable[[str], None]:
    """For `before_put`: fail at every key that has this in it."""

    def fail(key: str) -> None:
        if part_of_key in key:
            raise fault

    return fail


# Batches


def test_several_pictures_go_in_one_batch_as_large_as_it_may_be(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_stage, "BATCH_PICTURES", 2)
    monkeypatch.setattr(row_stage, "BATCH_ENTRIES", 3)
    for number in range(1, 6):
        desk.render(number)
    assert house.publish_all() == 10
    assert house.storage.rounds == [2 * len(KEYS), 2 * len(KEYS), len(KEYS)]
    assert house.catalog.rounds == [[1, 2], [3, 4], [5]]  # nobody waits for a batch to be full
    for number in range(6, 11):
        assert transitions.record_stored(house.journal, [desk.render(number)])
    assert house.publish_all() == 5
    assert house.catalog.rounds[3:] == [[6, 7, 8], [9, 10]]


def test_pictures_are_recorded_while_others_are_on_their_way(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_stage, "RECORD_PICTURES", 2)
    jobs = [desk.render(number) for number in range(1, 6)]
    recorded: dict[str, list[bool]] = {}

    def look(key: str) -> None:
        recorded[key] = [desk.of(number).stored for number in range(1, 6)]

    house.storage.before_put = look
    assert house.uploader.publish_due() == 2 * 5
    assert recorded[keys_of(jobs[2])[0]] == [True, True, False, False, False]
    assert recorded[keys_of(jobs[4])[0]] == [True, True, True, True, False]
    assert house.storage.settled == 3
    assert figures.totals(desk.journal)["processed"] == 5


def test_a_batch_that_is_made_while_another_is_on_its_way_holds_others(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_stage, "BATCH_ENTRIES", 2)
    for number in range(1, 6):
        assert transitions.record_stored(house.journal, [desk.render(number)])

    def write_each(batches: Iterable[Sequence[MessageRows]], **_: object) -> Iterator[list[WriteOutcome]]:
        """As the hosted one: the next is asked for before the last is told."""
        before: Sequence[MessageRows] = ()
        for batch in batches:
            if before:
                yield house.catalog.write_many(before)
            before = batch
        yield house.catalog.write_many(before)

    monkeypatch.setattr(house.catalog, "write_each", write_each)
    assert house.uploader.publish_due() == 5
    assert house.catalog.rounds == [[1, 2], [3, 4], [5]]


@pytest.mark.parametrize("error", [StorageFault("what is this?"), KeyError("what is this?")])
def test_a_failure_of_the_job_s_own_costs_it_an_attempt_and_nobody_else(
    desk: Desk, house: House, error: Exception
) -> None:
    """To us it looks as if the storage failed; that others succeed shows whose fault it was. So it is with an error of
    ours that nobody foresaw."""
    jobs = [desk.render(number) for number in range(1, 7)]
    house.storage.before_put = fail_with(error, str(jobs[2].sha256))
    for _ in range(7):  # all of them, then ever more of them
        house.uploader.publish_due()
    assert house.published() == [1, 2, 4, 5, 6]
    for attempts in (0, 1):
        for round_number in range(ALONE_FAILURES):
            assert desk.of(3).attempts == attempts
            if attempts or round_number:
                house.later(3600)
                house.uploader.publish_due()  # it is nobody's fault as long as nobody else comes
            desk.render(10 * attempts + round_number + 10)
            house.uploader.publish_due()
        assert "what is this?" in str(desk.of(3).reason)
        assert desk.reported().get("r2_circuit_breaker", "closed") == "closed"
    assert (desk.of(3).state, desk.of(3).dead_state) == ("dead", "rendered")


def test_what_the_storage_never_takes_keeps_nobody_out(desk: Desk, house: House) -> None:
    """The same, but each time it looks so bad that the breaker opens at once."""
    jobs = [desk.render(number) for number in range(1, 5)]
    house.storage.before_put = fail_with(StorageFault("403", fatal=True), str(jobs[0].sha256))
    for _ in range(20):
        house.publish_all()
        house.later()
    assert house.published() == [2, 3, 4]
    desk.render(5)
    for _ in range(10):
        house.publish_all()
        house.later()
    assert house.published() == [2, 3, 4, 5]
    assert desk.of(1).attempts > 0


def test_an_object_that_is_refused_is_the_jobs_own_fault(desk: Desk, house: House) -> None:
    jobs = [desk.render(number) for number in range(1, 5)]
    house.storage.before_put = fail_with(ObjectFault("too large"), str(jobs[1].sha256))
    for _ in range(5):  # all of them, then each of them
        house.uploader.publish_due()
    assert house.published() == [1, 3, 4]
    assert house.attempts() == {2: 1}
    assert house.storage_breaker.in_a_row == 0
    assert len(desk.spooled()) == SPOOLED
    house.later(3600)
    house.uploader.publish_due()
    assert (desk.of(2).state, desk.of(2).dead_state) == ("dead", "rendered")
    assert "too large" in str(desk.of(2).reason)
    house.uploader.sweep.go_on()
    assert [name.rpartition("/")[2] for name in desk.spooled()] == ["original"]  # for `retry`
    house.storage.before_put = lambda key: None
    assert transitions.revive(desk.journal, [jobs[1].id]) == [jobs[1].id]
    assert house.uploader.publish_due() == 0  # its renditions are made again
    assert desk.of(2).state == "fetched"


def test_a_refused_object_is_not_blamed_on_the_first_of_its_batch(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Several are on their way at once: which one it was shows when they go singly."""
    jobs = [desk.render(number) for number in range(1, 5)]
    put_all = house.storage.put_all
    monkeypatch.setattr(house.storage, "put_all", lambda items, **calls: put_all(list(items)[::-1], **calls))
    house.storage.before_put = fail_with(ObjectFault("too large"), str(jobs[2].sha256))
    for _ in range(5):
        house.uploader.publish_due()
    assert house.published() == [1, 2, 4]
    assert house.attempts() == {3: 1}


def test_what_was_stored_before_a_failure_shows_that_the_storage_works(desk: Desk, house: House) -> None:
    jobs = [desk.render(number) for number in range(1, 4)]
    for _ in range(FAILURES - 1):
        house.storage_breaker.fail(time.monotonic(), "timed out")
    house.storage.before_put = fail_with(StorageFault("timed out"), str(jobs[2].sha256))
    house.uploader.publish_due()
    assert house.published() == [1, 2]
    assert house.storage_breaker.in_a_row == 1


def test_a_job_that_no_object_can_be_named_for_stops_nobody_else(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.render(1)
    desk.render(2)

    def choke(job: Job, prefix: str) -> Any:
        if job.message_id == 1:
            raise KeyError("jxl")
        return objects_of(job, prefix)

    monkeypatch.setattr("workers.publishing.object_stage.objects_of", choke)
    house.uploader.publish_due()
    assert house.published() == [2]
    assert house.attempts() == {1: 1}
    assert "jxl" in str(desk.of(1).reason)


def test_a_row_that_we_fail_with_ourselves_keeps_nobody_else_out(desk: Desk, house: House) -> None:
    for number in range(1, 5):
        assert transitions.record_stored(house.journal, [desk.render(number)])

    def choke(batch: Sequence[MessageRows]) -> None:
        if any(entry.message["message_id"] == 2 for entry in batch):
            raise AttributeError("no such thing")

    house.catalog.before_write = choke
    for _ in range(6):
        house.uploader.publish_due()
    assert house.published() == [1, 3, 4]
    assert desk.of(2).state == "rendered"


def test_one_refused_row_keeps_no_other_of_its_batch_out(desk: Desk, house: House) -> None:
    refuse_captions(house, "bad")
    desk.take(3, caption="bad")
    for number in range(1, 6):
        desk.render(number)
    assert house.uploader.publish_due() == 5 + 4
    assert house.published() == [1, 2, 4, 5]
    assert len(house.catalog.rounds) == 1
    assert house.attempts() == {3: 1}
    assert figures.totals(desk.journal)["processed"] == 4


# Deletions


def test_a_deletion_is_published_without_objects(desk: Desk, house: House) -> None:
    for number in (1, 2):
        desk.render(number)
    house.publish_all()
    asked = len(house.storage.asked)
    withdraw(desk.journal, CHANNEL, [1], desk.of(1).posted_at + 99)
    assert house.publish_all() == 1
    assert [(row["message_id"], bool(row["deleted_at"])) for row in house.rows()] == [(1, True), (2, False)]
    assert [row["message_id"] for row in house.rows("images")] == [2]
    assert desk.of(1).state == "published"
    assert len(house.storage.asked) == asked
    assert figures.totals(desk.journal)["processed"] == 2  # a tombstone is no picture


def test_a_message_that_is_deleted_before_it_was_published_leaves_a_tombstone(desk: Desk, house: House) -> None:
    desk.render(1)
    withdraw(desk.journal, CHANNEL, [1], desk.of(1).posted_at + 99)
    assert house.publish_all() == 1
    assert [bool(row["deleted_at"]) for row in house.rows()] == [True]
    assert house.rows("images") == []
    assert house.storage.asked == []
    assert figures.totals(desk.journal)["processed"] == 0
    house.uploader.sweep.go_on()
    assert desk.spooled() == set()


def test_a_message_that_is_deleted_while_its_objects_are_put(desk: Desk, house: House) -> None:
    desk.render(1)
    house.storage.before_put = lambda key: void(withdraw(desk.journal, CHANNEL, [1], desk.of(1).posted_at + 99))
    house.publish_all()
    assert [bool(row["deleted_at"]) for row in house.rows()] == [True]
    assert house.rows("images") == []
    assert figures.totals(desk.journal)["processed"] == 0
    assert desk.spooled() == set()


# One service is out, the other is not


def open_breaker(breaker: Breaker) -> None:
    for _ in range(FAILURES):
        breaker.fail(time.monotonic(), "out")


def test_while_the_storage_is_out_a_crowd_of_unstored_jobs_keeps_no_row_waiting(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(row_stage, "BATCH_ENTRIES", 2)
    for number in range(1, 6):
        desk.render(number)
    assert transitions.record_stored(house.journal, [desk.render(6)])
    open_breaker(house.storage_breaker)
    assert house.uploader.publish_due() == 1
    assert house.published() == [6]


def test_while_the_catalogue_is_out_a_crowd_of_stored_jobs_keeps_no_object_waiting(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(object_stage, "BATCH_PICTURES", 2)
    for number in range(1, 6):
        assert transitions.record_stored(house.journal, [desk.render(number)])
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


def test_a_row_that_nobody_was_asked_about_closes_no_breaker(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Half-open, the breaker waits for an answer of the service; here there is none, since it is gone."""
    monkeypatch.setattr(house.uploader.row_stage, "_catalog", SupabaseCatalog("http://localhost:9", "sb_secret_x"))
    desk.take(1, caption="a\0b")
    assert transitions.record_stored(house.journal, [desk.render(1)])
    open_breaker(house.catalog_breaker)
    house.later()
    house.uploader.publish_due()
    assert desk.of(1).attempts == 1
    assert "NUL" in str(desk.of(1).reason)
    assert desk.reported()["supabase_circuit_breaker"] == "open"


def test_a_row_that_stays_refused_is_a_dead_letter(desk: Desk, house: House) -> None:
    refuse_captions(house, "bad")
    desk.take(1, caption="bad")
    desk.render(1)
    house.uploader.publish_due()
    house.later(3600)
    house.uploader.publish_due()
    job = desk.of(1)
    assert (desk.of(1).state, desk.of(1).dead_state) == ("dead", "rendered")
    assert "not this one" in str(desk.of(1).reason)
    house.uploader.sweep.go_on()
    assert desk.spooled() == set()  # its original is in the storage
    assert transitions.revive(desk.journal, [job.id]) == [job.id]
    assert (desk.of(1).state, desk.of(1).stored) == ("rendered", True)


@pytest.mark.parametrize("fault", ["row", "object"])
def test_a_dead_letter_is_published_once_its_caption_is_mended(desk: Desk, house: House, fault: str) -> None:
    """Without a word of the operator's. Where the renditions went with its death, they are made again."""
    desk.take(1, caption="bad")
    job = desk.render(1)
    if fault == "row":
        refuse_captions(house, "bad")
    else:
        house.storage.before_put = fail_with(ObjectFault("too large"), str(job.sha256))
    house.uploader.publish_due()
    house.later(3600)
    house.uploader.publish_due()
    house.uploader.sweep.go_on()
    assert (desk.of(1).state, desk.of(1).dead_state) == ("dead", "rendered")
    house.storage.before_put = lambda key: None
    desk.take(1, caption="good")
    if fault == "object":
        assert house.uploader.publish_due() == 0
        assert transitions.record_rendered(desk.journal, desk.write_ladder(desk.of(1)))
    house.publish_all()
    assert (desk.of(1).state, desk.of(1).generation) == ("published", 1)
    assert [row["caption"] for row in house.rows()] == ["good"]


def test_a_job_that_no_row_can_be_made_of_stops_nobody_else(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    desk.render(1)
    desk.render(2)

    def choke(job: Job, layout: RowLayout) -> dict[str, Any]:
        if job.message_id == 1:
            raise ValueError("year 99999 is out of range")
        return rows_of(job, layout)

    monkeypatch.setattr("workers.publishing.row_stage.rows_of", choke)
    house.uploader.publish_due()
    assert house.published() == [2]
    assert (desk.of(1).state, desk.of(1).attempts) == ("rendered", 1)
    assert "99999" in str(desk.of(1).reason)


def test_the_longest_errors_go_in_one_message(desk: Desk, house: House) -> None:
    for breaker in (house.storage_breaker, house.catalog_breaker):
        breaker.fail(0.0, "🖼" * 5000)
    house.uploader.report.send()
    (report,) = desk.said()
    assert len(encode(report)) <= MAX_BYTES


def test_only_a_change_is_reported(desk: Desk, house: House) -> None:
    house.uploader.report.send()
    house.uploader.report.send()
    (before,) = reports(desk)
    desk.render(1)
    house.uploader.publish_due()
    answered = {"r2_answered_at", "supabase_answered_at"}
    for report in (after := reports(desk)):
        assert {name for name, fact in report.items() if fact != before[name]} <= answered
    assert [before[name] for name in answered] == [None, None] and all(after[-1][name] for name in answered)


def reports(desk: Desk) -> list[dict[str, Any]]:
    return [message.facts for message in desk.said() if isinstance(message, Report)]


def test_when_a_service_last_answered_is_told_to_ten_seconds(
    desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch
) -> None:
    """More often would be a report a second."""
    now = 1_700_000_003.0
    monkeypatch.setattr(time, "time", lambda: now)
    for seconds in range(7):
        now = 1_700_000_003.0 + seconds
        house.uploader.object_stage.liveness.answered()
        house.uploader.report.send()
    (report,) = reports(desk)
    assert (report["r2_answered_at"], report["supabase_answered_at"]) == ("2023-11-14T22:13:20Z", None)


# Stopping, sweeping


def test_a_stop_in_the_middle_of_a_batch_leaves_the_rest(desk: Desk, house: House) -> None:
    jobs = [desk.render(number) for number in range(1, 4)]
    house.storage.before_put = fail_with(Interrupted("stop"), keys_of(jobs[2])[1])
    assert house.uploader.publish_due() == 4  # what is complete is recorded, and gets its row
    assert [desk.of(number).state for number in (1, 2, 3)] == ["published", "published", "rendered"]
    assert house.storage.settled == 1
    assert (desk.of(3).attempts, desk.of(3).next_at, desk.of(3).reason) == (0, 0.0, None)
    assert len(desk.spooled()) == SPOOLED
    assert house.storage_breaker.in_a_row == 0
    house.storage.before_put = lambda key: None
    assert house.uploader.publish_due() == 2
    assert len(desk.stored()) == 3 * len(KEYS)


def test_after_a_stop_no_further_batch_is_begun(desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each may take as long as a stop gives it, and there is one limit for all."""
    monkeypatch.setattr(row_stage, "BATCH_ENTRIES", 1)
    for number in range(1, 5):
        assert transitions.record_stored(house.journal, [desk.render(number)])
    house.catalog.before_write = lambda batch: desk.ask_to_stop()
    assert house.uploader.publish_due() == 1
    assert house.published() == [1]


def test_the_sweep_takes_only_what_nobody_needs(desk: Desk, house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    kept = desk.render(1)
    dead = desk.render(2)
    transitions.bury(desk.journal, dead, "poison")
    house.uploader.sweep.go_on()
    (desk.state_dir / "spool" / "4711.1").mkdir()
    (desk.state_dir / "spool" / f"{kept.id}.7").mkdir()
    house.uploader.sweep.go_on()
    assert (desk.state_dir / "spool" / "4711.1").exists()  # not yet
    monkeypatch.setattr("workers.publishing.spool_sweep.SWEEP_SECONDS", -1.0)
    house.uploader.sweep.go_on()
    folders = {path.name for path in (desk.state_dir / "spool").iterdir()}
    assert folders == {f"{kept.id}.1", f"{dead.id}.1"}
    assert len(desk.spooled()) == SPOOLED + 1


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
    first, second, third, *_ = desk.said()
    assert second == Ready()
    assert isinstance(first, Report) and first == third
    assert not stray.exists()
    assert desk.spooled() == set()


@contextmanager
def at_work(desk: Desk, monkeypatch: pytest.MonkeyPatch, storage: FileStorage) -> Iterator[threading.Thread]:
    """The process's main function, with this storage; asked to stop in the end."""
    monkeypatch.setattr("workers.publishing.storage.make", lambda options: storage)
    thread = threading.Thread(target=main, args=(desk.context(**OPTIONS),))
    thread.start()
    try:
        yield thread
    finally:
        desk.ask_to_stop()
        thread.join(30)
        assert not thread.is_alive()


def test_one_with_nothing_to_do_stops_at_once(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.publishing.stage.POLL_SECONDS", 60.0)
    monkeypatch.setattr("workers.uploader.DRAIN_SECONDS", 60.0)
    with at_work(desk, monkeypatch, FileStorage(desk.media)):
        wait_for("it to be ready", lambda: threading.active_count() > 3)


class Hanging(Watched):
    """Hangs at every object until it is let go of."""

    def __init__(self, root: Path) -> None:
        super().__init__(root)
        self.let_go = threading.Event()
        self.before_put = lambda key: void(self.let_go.wait(60))


def test_a_storage_that_hangs_keeps_no_row_waiting(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.publishing.stage.POLL_SECONDS", 0.1)
    monkeypatch.setattr("workers.publishing.running.liveness.SILENT_SECONDS", 0.3)
    monkeypatch.setattr("workers.uploader.POLL_SECONDS", 0.1)
    monkeypatch.setattr("workers.uploader.DRAIN_SECONDS", 0.5)
    storage = Hanging(desk.media)
    desk.render(1)
    with at_work(desk, monkeypatch, storage):
        wait_for("the storage to hang", lambda: storage.asked)
        assert transitions.record_stored(desk.journal, [desk.render(2)])
        wait_for("the row", lambda: desk.of(2).state == "published")
        facts: dict[str, Any] = {}

        def it_alone_is_silent() -> bool:  # on a busy machine the other one may have taken its time as well
            facts.update(desk.reported())
            return bool(facts.get("r2_silent_since")) and facts["supabase_silent_since"] is None

        wait_for("its silence to be told", it_alone_is_silent)
        assert facts["r2_circuit_breaker"] == "closed"
        assert desk.of(1).state == "rendered"
        # It is stopped while the storage hangs, and leaves it behind.
    storage.let_go.set()


def test_it_is_told_when_a_silent_storage_speaks_again(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.publishing.running.liveness.SILENT_SECONDS", 0.2)
    monkeypatch.setattr("workers.uploader.POLL_SECONDS", 0.1)
    storage = Hanging(desk.media)
    desk.render(1)
    facts: dict[str, Any] = {}
    with at_work(desk, monkeypatch, storage):
        wait_for("its silence to be told", lambda: (facts.update(desk.reported()), facts.get("r2_silent_since"))[1])
        storage.let_go.set()
        wait_for("the picture", lambda: desk.of(1).state == "published")
        wait_for("its words", lambda: (facts.update(desk.reported()), facts["r2_silent_since"] is None)[1])


@pytest.mark.parametrize("answer_seconds", [0.2, 0.5, 60.0])
def test_a_catalogue_that_hangs_is_told_before_its_breaker_opens(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, answer_seconds: float
) -> None:
    """Whether its time-out is shorter than our patience, as long, or longer."""
    monkeypatch.setattr("workers.publishing.running.liveness.SILENT_SECONDS", 0.5)
    monkeypatch.setattr("workers.uploader.POLL_SECONDS", 0.1)
    monkeypatch.setattr("workers.uploader.DRAIN_SECONDS", 0.5)
    with FaultProxy(free_port()) as proxy:
        proxy.set(BlackHole())
        catalog = SupabaseCatalog(proxy.url, "sb_secret_x", timeout_in({"answer_seconds": answer_seconds}))
        monkeypatch.setattr("workers.publishing.catalog.make", lambda options: catalog)
        assert transitions.record_stored(desk.journal, [desk.render(1)])
        facts: dict[str, Any] = {}

        def it_is_told() -> bool:
            facts.update(desk.reported())
            return bool(facts.get("supabase_silent_since") or facts.get("supabase_failing_since"))

        with at_work(desk, monkeypatch, FileStorage(desk.media)):
            wait_for("its silence to be told", it_is_told)
            assert facts["supabase_circuit_breaker"] == "closed"
            assert facts["r2_silent_since"] is facts["r2_failing_since"] is None
        catalog.close()


def test_a_stage_that_gives_no_sign_of_life_ends_the_process(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.publishing.stage.HANG_SECONDS", 1.5)
    monkeypatch.setattr(
        "workers.publishing.stage.POLL_SECONDS", 0.1
    )  # which is how often one with nothing to do gives a sign
    monkeypatch.setattr("workers.uploader.POLL_SECONDS", 0.1)
    storage = Hanging(desk.media)
    monkeypatch.setattr("workers.publishing.storage.make", lambda options: storage)
    desk.render(1)
    with pytest.raises(StageHangs, match="object stage has shown no sign of life"):
        main(desk.context(**OPTIONS))
    storage.let_go.set()


@pytest.mark.parametrize("name", ["storage", "catalog"])
def test_a_stage_that_waits_for_its_probes_answer_does_not_hang(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """A service that is out may let its probe wait for as long as it may wait for an answer: minutes."""
    monkeypatch.setattr("workers.publishing.stage.HANG_SECONDS", 1.0)
    monkeypatch.setattr(
        "workers.publishing.stage.POLL_SECONDS", 0.1
    )  # which is how often one with nothing to do gives a sign
    monkeypatch.setattr("workers.uploader.POLL_SECONDS", 0.1)
    asked, let_go = threading.Event(), threading.Event()

    def hang(service: object) -> None:
        asked.set()
        let_go.wait(60)

    monkeypatch.setattr(FileStorage if name == "storage" else SqliteCatalog, "probe", hang)
    breakers.put(desk.journal, name, time.time() - 9, time.time() - 1, "out", "")
    with at_work(desk, monkeypatch, FileStorage(desk.media)) as uploader:
        wait_for("its question", asked.is_set)
        uploader.join(1.5)
        assert uploader.is_alive()
        let_go.set()
        wait_for("the breaker to close", lambda: breakers.get(desk.journal, name) is None)


def test_what_ends_a_stage_ends_the_process(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(journal: Journal, jobs: list[Job], *others: object) -> list[Job]:
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(transitions, "record_published", fail)
    monkeypatch.setattr("workers.uploader.POLL_SECONDS", 0.1)
    desk.render(1)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        main(desk.context(**OPTIONS))


@pytest.mark.parametrize("name", ["record_stored", "record_published"])
def test_what_ends_a_stage_during_the_stop_ends_the_process(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    is_draining, drain = threading.Event(), Uploader.drain

    def noted(uploader: Uploader) -> None:
        is_draining.set()
        drain(uploader)

    def fail(journal: Journal, jobs: list[Job], *others: object) -> list[Job]:
        desk.ask_to_stop()
        assert is_draining.wait(DEADLINE_SECONDS)
        raise sqlite3.OperationalError("disk I/O error")

    monkeypatch.setattr(transitions, name, fail)
    monkeypatch.setattr(Uploader, "drain", noted)
    monkeypatch.setattr("workers.uploader.POLL_SECONDS", 0.1)
    desk.render(1)
    with pytest.raises(sqlite3.OperationalError, match="disk I/O error"):
        main(desk.context(**OPTIONS))


def test_an_error_in_our_own_steps_ends_no_process_and_is_told(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever it comes from. The other stage goes on."""

    def fail(*_: object) -> None:
        raise LookupError("nobody thought of this")

    monkeypatch.setattr("workers.publishing.stage.POLL_SECONDS", 0.1)
    monkeypatch.setattr("workers.uploader.POLL_SECONDS", 0.1)
    monkeypatch.setattr("workers.publishing.object_stage.ObjectStage._pictures", fail)
    desk.render(1)
    assert transitions.record_stored(desk.journal, [desk.render(2)])
    facts: dict[str, Any] = {}
    with at_work(desk, monkeypatch, FileStorage(desk.media)):
        wait_for("the row", lambda: desk.of(2).state == "published")
        wait_for("its word", lambda: (facts.update(desk.reported()), facts.get("r2_circuit_breaker") == "open")[1])
    assert "unforeseen error, see the log: LookupError: nobody thought of this" in facts["storage_error"]
    assert facts["r2_failing_since"]
    assert facts["supabase_circuit_breaker"] == "closed"


def test_a_breaker_outlives_the_process(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    storage = Watched(desk.media)
    storage.before_put = fail_with(StorageFault("slow down", retry_after_seconds=500.0))
    desk.render(1)
    facts: dict[str, Any] = {}
    for _ in range(2):
        with at_work(desk, monkeypatch, storage):
            wait_for("its word", lambda: (facts.update(desk.reported()), facts.get("r2_circuit_breaker") == "open")[1])
        assert facts["storage_error"] == "slow down"
        facts.clear()
        desk.clear_stop()
    assert len(storage.asked) == 1


def test_an_open_breaker_is_told_before_anything_waits_for_the_disk(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nobody else would say it: what the process before this one has said is soon forgotten."""

    def refuse(path: Path, *, durable: bool = False) -> Journal:
        raise JournalError("attempt to write a readonly database")

    now = time.time()
    breakers.put(desk.journal, "storage", now - 9, now + 500, "slow down", "Wait")
    monkeypatch.setattr(Journal, "open", refuse)
    with pytest.raises(JournalError):
        main(desk.context(**OPTIONS))
    facts = desk.reported()
    assert (facts["r2_circuit_breaker"], facts["supabase_circuit_breaker"]) == ("open", "closed")
    assert (facts["storage_error"], facts["storage_remedy"]) == ("slow down", "Wait")
    assert facts["r2_next_probe_at"] > facts["r2_circuit_breaker_since"]


# What was there already


def test_the_row_names_the_size_of_what_is_there(desk: Desk, house: House) -> None:
    """A rendition of another encoder, from before: readers may have kept it for a year, so it stays."""
    job = desk.render(1, b"the original")
    keys = keys_of(job)
    for key in keys[:1]:
        (desk.media / key).parent.mkdir(parents=True, exist_ok=True)
        (desk.media / key).write_bytes(b"of another encoder")
    house.publish_all()
    assert desk.stored()[keys[0]] == b"of another encoder"
    (image,) = house.rows("images")
    named = {one["key"]: one["bytes"] for one in json.loads(image["renditions"])}
    assert named == {key: len(desk.stored()[key]) for key in keys[:-1]}
    desk.take(1, caption="edited", edited_at=desk.of(1).posted_at + 9)
    house.publish_all()
    assert house.rows("images") == [image]


def test_objects_that_are_being_removed_are_not_stored_meanwhile(desk: Desk, house: House) -> None:
    """A picture that is posted again while `gc` removes it waits, and keeps nobody else waiting."""
    first = desk.render(1, b"the same")
    house.publish_all()
    withdraw(desk.journal, CHANNEL, [1], desk.of(1).posted_at + 99)
    house.publish_all()
    sha256 = str(first.sha256)
    assert leases.begin(desk.journal, [sha256], partial(pictures.known, desk.journal)) == {sha256}
    desk.render(2, b"the same")
    desk.render(3)
    house.publish_all()
    assert house.published() == [1, 3]
    leases.end(desk.journal, [sha256])
    house.publish_all()
    assert house.published() == [1, 2, 3]


def test_a_removal_that_was_given_up_keeps_nobody_waiting_for_ever(desk: Desk, house: House) -> None:
    job = desk.render(1)
    assert leases.begin(desk.journal, [str(job.sha256)], lambda wanted: set())
    house.publish_all()
    assert house.published() == []
    house.later(LEASE_SECONDS)
    house.publish_all()
    assert house.published() == [1]
    assert not leases.renew(desk.journal, str(job.sha256)), "and the process that held it learns that it is over"


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
    house.uploader.sweep.go_on()
    house.uploader.publish_due()
    assert house.published() == [1]
    assert set(desk.stored()) == set(keys_of(job))
    assert desk.of(1).state == "published"
    assert desk.spooled() == set()
    assert figures.totals(desk.journal)["processed"] == 1
