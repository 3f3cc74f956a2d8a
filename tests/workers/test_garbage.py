"""Garbage: what no row names is found and removed; what is named, on its way, young or not ours never is.

Each of it with files and SQLite, and with a real S3 server and a Supabase-like stack.
"""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest

from ipc.intake import withdraw
from ipc.jobs import Job
from ipc.journal import Journal
from ipc.retry import RetryPolicy
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import CHANNEL, LADDER, Desk
from workers import catalog as catalogs
from workers import garbage as module
from workers import storage as storages
from workers.breaker import Breaker
from workers.catalog import Catalog
from workers.garbage import Garbage, collect, find, remove
from workers.rows import objects_of
from workers.storage import Storage, StorageFault
from workers.uploader import Uploader

SECTIONS = {
    "files": {"storage": {"backend": "files", "public_url": ""}, "catalog": {"backend": "sqlite"}},
}


class Yard:
    """A desk with both services, and an uploader between them. `prefix` is that of the settings."""

    def __init__(self, desk: Desk, sections: dict[str, Any], prefix: str) -> None:
        self.desk = desk
        self.prefix = prefix
        self.options = {
            "state_dir": str(desk.state_dir),
            "catalog": sections["catalog"],
            "storage": {**sections["storage"], "prefix": prefix},
        }
        self.storage: Storage = storages.make(self.options)
        self.catalog: Catalog = catalogs.make(self.options)
        self.uploader = Uploader(
            context=desk.context(),
            journal=desk.journal,
            spool=desk.spool,
            storage=self.storage,
            catalog=self.catalog,
            prefix=prefix,
            policy=RetryPolicy(max_attempts=1, base_seconds=60.0),
            storage_breaker=Breaker(5, 60.0),
            catalog_breaker=Breaker(5, 60.0),
        )

    def close(self) -> None:
        self.catalog.close()
        self.storage.close()

    def publish(self, number: int, data: bytes = b"") -> Job:
        job = self.desk.render(number, data)
        self.uploader.publish_due()
        assert self.desk.of(number).state == "published"
        return job

    def delete(self, number: int) -> None:
        """The message goes, and its tombstone is published."""
        withdraw(self.desk.journal, CHANNEL, [number], time.time())
        self.uploader.publish_due()
        assert self.desk.of(number).state == "published"

    def put(self, key: str) -> None:
        """An object of somebody else's."""
        source = self.desk.state_dir / "foreign"
        source.write_bytes(b"not ours")
        self.storage.put(key, source, "text/plain")

    def names(self) -> set[str]:
        return {one.key for one in self.storage.list()}

    def keys_of(self, job: Job) -> set[str]:
        return {one.key for one in objects_of(job, self.prefix)}

    def find(self, before: float | None = None) -> list[Garbage]:
        before = time.time() + 60 if before is None else before
        return list(find(self.storage, self.catalog, self.desk.journal, self.prefix, before))

    def collect(self, *, delete: bool = True, grace_seconds: float = -60.0) -> list[Garbage]:
        """As the command does it."""
        return list(collect(self.options, delete=delete, grace_seconds=grace_seconds))


@pytest.fixture(params=["files", "hosted"])
def make_yard(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Callable[..., Yard]]:
    with ExitStack() as stack:
        sections: dict[str, Any] = SECTIONS["files"]
        if request.param == "hosted":
            objects: ObjectServer = request.getfixturevalue("object_server")
            rows: RowServer = request.getfixturevalue("row_server")
            rows.empty()
            sections = {
                "storage": {
                    "backend": "r2",
                    "endpoint": objects.endpoint,
                    "bucket": stack.enter_context(objects.bucket()),
                    "access_key_id": objects.access_key_id,
                    "secret_access_key": objects.secret_access_key,
                    "public_url": "",
                    "concurrency": 8,
                },
                "catalog": {"backend": "supabase", "url": rows.url, "key": rows.keys.service_role},
            }

        def make(prefix: str = "") -> Yard:
            yard = Yard(desk, sections, prefix)
            stack.callback(yard.close)
            return yard

        yield make


@pytest.fixture
def yard(make_yard: Callable[..., Yard]) -> Yard:
    return make_yard()


def digests(found: list[Garbage]) -> list[str]:
    return sorted(one.sha256 for one in found)


# What is garbage


def test_nothing_of_what_rows_name(yard: Yard) -> None:
    for number in (1, 2, 3):
        yard.publish(number)
    before = yard.names()
    assert len(before) == 3 * (len(LADDER) + 1)
    assert yard.find() == yard.collect() == []
    assert yard.names() == before


def test_the_picture_of_a_deleted_message(yard: Yard) -> None:
    gone, stays = yard.publish(1), yard.publish(2)
    yard.delete(1)
    (found,) = yard.find()
    assert found.sha256 == gone.sha256
    assert {one.key for one in found.objects} == yard.keys_of(gone)
    assert found.bytes == sum(map(len, LADDER.values())) + len(b"original 1")
    assert not found.removed
    (listed,) = yard.collect(delete=False)
    assert listed == found
    assert yard.keys_of(gone) <= yard.names()
    (removed,) = yard.collect()
    assert removed.removed and removed.objects == found.objects
    assert yard.names() == yard.keys_of(stays)
    assert yard.collect() == []


def test_the_picture_that_was_replaced_by_an_edit(yard: Yard) -> None:
    first = yard.publish(1, b"first")
    yard.desk.take(1, picture="b", edited_at=first.posted_at + 9)
    assert yard.find() == []  # until the new one is published, the row names it
    second = yard.publish(1, b"second")
    assert digests(yard.collect()) == [first.sha256]
    assert yard.names() == yard.keys_of(second)


def test_a_picture_that_another_message_shows_as_well_stays(yard: Yard) -> None:
    job = yard.publish(1, b"the same")
    yard.publish(2, b"the same")
    yard.delete(1)
    assert yard.collect() == []
    assert yard.names() == yard.keys_of(job)
    yard.delete(2)
    assert digests(yard.collect()) == [job.sha256]
    assert yard.names() == set()


def test_objects_of_a_job_that_was_never_published(yard: Yard) -> None:
    """Its message was deleted while it was on its way, after its objects were put."""
    job = yard.desk.render(1)
    yard.storage.put_all(yard.uploader.storing._pictures([job])[job.id])
    assert yard.find() == []
    yard.delete(1)
    assert digests(yard.collect()) == [job.sha256]


# What is none


@pytest.mark.parametrize("stage", ["fetched", "rendered", "stored", "dead"])
def test_a_picture_on_its_way_is_none(yard: Yard, stage: str) -> None:
    """Another message's picture lies there already, and nobody but the journal knows that it is wanted again."""
    first = yard.publish(1, b"the same")
    yard.delete(1)
    job = yard.desk.fetch(2, b"the same")
    if stage != "fetched":
        assert yard.desk.journal.record_rendered(yard.desk.write_ladder(job))
    if stage == "stored":
        assert yard.desk.journal.record_stored([job])
    if stage == "dead":
        assert yard.desk.journal.bury(yard.desk.of(2), "for a test")
    assert yard.collect() == []
    assert yard.keys_of(first) <= yard.names()


def test_what_is_younger_than_the_grace_is_none(yard: Yard) -> None:
    yard.publish(1)
    yard.delete(1)
    assert yard.find(before=time.time() - 60) == []
    assert yard.collect(grace_seconds=3600) == []
    assert len(yard.find()) == 1


def test_a_picture_with_one_young_object_is_none(desk: Desk) -> None:
    """Somebody is putting it just now, and has found the others there."""
    yard = Yard(desk, SECTIONS["files"], "")
    job = yard.publish(1)
    yard.delete(1)
    keys = sorted(yard.keys_of(job))
    for key in keys[:-1]:
        os.utime(desk.media / key, (0, 0))
    assert yard.find(before=time.time() - 60) == []
    os.utime(desk.media / keys[-1], (0, 0))
    assert len(yard.find(before=time.time() - 60)) == 1
    yard.close()


def test_a_foreign_key_among_a_pictures_objects_does_not_part_them(yard: Yard) -> None:
    """Listed in order, it stands between them; half a picture might then be old enough, and the other half not."""
    job = yard.publish(1)
    yard.delete(1)
    folder = sorted(yard.keys_of(job))[0].rpartition("/")[0]
    yard.put(f"{folder}/Notes.txt")
    (found,) = yard.collect()
    assert {one.key for one in found.objects} == yard.keys_of(job)
    assert yard.names() == {f"{folder}/Notes.txt"}


@pytest.mark.parametrize(
    "key",
    [
        "robots.txt",
        "ab/index.html",
        f"ab/{'ab' * 32}/original",
        f"ab/{'ab' * 32}/320.webp.bak",
        f"ab/{'ab' * 32}/more/320.webp",
        f"ab/{'AB' * 32}/320.webp",
        f"ab/{'cd' * 32}/320.webp",
        f"ab/{'ab' * 31}/320.webp",
        f"backup/ab/{'ab' * 32}/320.webp",
    ],
)
def test_a_key_that_this_program_does_not_make_is_none(yard: Yard, key: str) -> None:
    yard.put(key)
    assert yard.collect() == []
    assert yard.names() == {key}


def test_a_prefix_is_a_border(make_yard: Callable[..., Yard]) -> None:
    """Two instances share a bucket, each with its prefix: neither looks at what is the other's."""
    ours, theirs, top = make_yard("media/"), make_yard("media2/"), make_yard("")
    job = ours.publish(1)
    ours.delete(1)
    name = f"ab/{'ab' * 32}/320.webp"
    theirs.put(f"media2/{name}")
    top.put(name)
    assert {key.partition("/")[0] for key in ours.keys_of(job)} == {"media"}
    assert digests(ours.collect()) == [job.sha256]
    assert top.names() == {f"media2/{name}", name}
    assert digests(theirs.collect()) == ["ab" * 32]
    assert top.names() == {name}
    assert digests(top.collect()) == ["ab" * 32]


def test_a_prefix_is_taken_as_it_is(make_yard: Callable[..., Yard]) -> None:
    """It may hold what means something in a pattern."""
    yard = make_yard("v1.0/")
    job = yard.publish(1)
    yard.delete(1)
    other = f"v1x0/ab/{'ab' * 32}/320.webp"
    yard.put(other)
    assert digests(yard.collect()) == [job.sha256]
    assert yard.names() == {other}


# Races


def test_the_same_picture_is_fetched_between_finding_and_removing(yard: Yard) -> None:
    job = yard.publish(1, b"the same")
    yard.delete(1)
    (found,) = yard.find()
    yard.desk.render(2, b"the same")
    assert not remove(yard.storage, yard.catalog, yard.desk.journal, found)
    yard.uploader.publish_due()
    assert yard.desk.of(2).state == "published"
    assert yard.names() == yard.keys_of(job)


def test_another_machine_writes_a_row_between_finding_and_removing(yard: Yard) -> None:
    job = yard.publish(1, b"the same")
    yard.delete(1)
    (found,) = yard.find()
    with pytest.MonkeyPatch.context() as patch:
        yard.publish(2, b"the same")
        patch.setattr(Journal, "known_pictures", lambda journal, sha256s: set())  # it is not in this journal
        assert not remove(yard.storage, yard.catalog, yard.desk.journal, found)
    assert yard.names() == yard.keys_of(job)


def test_while_a_picture_is_removed_nobody_records_it_as_fetched(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    """So whoever fetches it finds nothing there, and puts it anew."""
    monkeypatch.setattr("ipc.database.BUSY_SECONDS", 0.02)
    fetching = Desk(yard.desk.state_dir)
    yard.publish(1, b"the same")
    yard.delete(1)
    (found,) = yard.find()
    tried: list[str] = []
    really_delete = yard.storage.delete

    def delete(key: str) -> None:
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            fetching.fetch(2, b"the same")
        tried.append(key)
        really_delete(key)

    monkeypatch.setattr(yard.storage, "delete", delete)
    fetching.take(2)
    assert remove(yard.storage, yard.catalog, yard.desk.journal, found)
    assert len(tried) == len(LADDER) + 1
    assert yard.names() == set()
    fetching.close()
    job = yard.publish(2, b"the same")
    assert yard.names() == yard.keys_of(job)


def test_a_slow_storage_does_not_hold_the_journal_for_long(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    yard.publish(1)
    yard.delete(1)
    (found,) = yard.find()
    monkeypatch.setattr(module, "HOLD_SECONDS", 0.05)
    really_delete = yard.storage.delete

    def delete(key: str) -> None:
        time.sleep(0.1)
        really_delete(key)

    with monkeypatch.context() as slow:
        slow.setattr(yard.storage, "delete", delete)
        with pytest.raises(StorageFault, match="too long"):
            remove(yard.storage, yard.catalog, yard.desk.journal, found)
    assert len(yard.names()) == len(LADDER), "one of them is gone"
    yard.desk.take(2)  # the journal is let go of
    assert [one.sha256 for one in yard.collect()] == [found.sha256]
    assert yard.names() == set()


def test_it_goes_on_with_the_next_when_one_has_come_again(
    make_yard: Callable[..., Yard], monkeypatch: pytest.MonkeyPatch
) -> None:
    yard = make_yard()
    jobs = [yard.publish(number) for number in (1, 2, 3)]
    for number in (1, 2, 3):
        yard.delete(number)
    really_remove, asked = remove, list[str]()

    def come_again(storage: Storage, catalog: Catalog, journal: Journal, garbage: Garbage) -> bool:
        asked.append(garbage.sha256)
        if len(asked) == 2:
            number = next(job.message_id for job in jobs if job.sha256 == garbage.sha256)
            yard.desk.fetch(9, f"original {number}".encode())
        return really_remove(storage, catalog, journal, garbage)

    monkeypatch.setattr(module, "remove", come_again)
    assert len(yard.collect()) == 2
    (left,) = {key.split("/")[1] for key in yard.names()}
    assert left == asked[1]


def test_more_pictures_than_the_catalogue_is_asked_about_at_once(yard: Yard, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "CHUNK", 2)
    jobs = [yard.publish(number) for number in range(1, 6)]
    for number in (1, 3, 4):
        yard.delete(number)
    assert digests(yard.collect()) == sorted(str(jobs[number - 1].sha256) for number in (1, 3, 4))
    assert yard.names() == yard.keys_of(jobs[1]) | yard.keys_of(jobs[4])


def test_a_catalogue_that_cannot_be_asked_saves_everything(desk: Desk, tmp_path: Path) -> None:
    yard = Yard(desk, SECTIONS["files"], "")
    yard.publish(1)
    yard.delete(1)
    before = yard.names()
    yard.catalog.close()
    (desk.state_dir / "catalog.db").rename(tmp_path / "aside")
    (desk.state_dir / "catalog.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    for name in ("catalog.db-wal", "catalog.db-shm"):
        (desk.state_dir / name).unlink(missing_ok=True)
    with pytest.raises(catalogs.CatalogFault):
        yard.collect()
    assert yard.names() == before
    yard.close()
