"""What is published otherwise than the settings want: counted, and put right, from wherever a run before was killed."""

from __future__ import annotations

import io
import sqlite3
import time
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ipc.files.object_layout import Layout, Published
from ipc.intake import withdraw
from ipc.jobs import Job
from ipc.journal import addresses, figures, leases, pictures, queue, transitions
from ipc.retry import RetryPolicy
from tests import checking
from tests.ipc.tables import sql
from tests.workers.desk import CHANNEL, LADDER, POSTED, Desk
from tests.workers.publisher import Publisher
from workers import stripping
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.republish import SchemaOutdated, check, fill_rows, replace_originals, write_rows_again
from workers.publishing.republish.originals import OriginalsScope, Replaced, replace_all
from workers.publishing.service.breaker import Breaker
from workers.publishing.storage import Storage, StorageFault
from workers.stripping import strip
from workers.uploader import Services

MARK = b"PLANTED-52.5200N-13.4050E"


def photo(number: int) -> bytes:
    """A picture that says where it was taken."""
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (number, 0, 0)).save(buffer, "JPEG", comment=MARK)
    return buffer.getvalue()


class Publishing:
    """An uploader over files, a bucket, or whatever the options name, with settings that may change."""

    def __init__(self, desk: Desk, storage: dict[str, Any]) -> None:
        self.desk = desk
        self.options: dict[str, Any] = {
            "state_dir": str(desk.state_dir),
            "catalog": {"backend": "sqlite"},
            "storage": {"prefix": "p/", "public_url": "https://old.example.org", "originals": "as_is", **storage},
        }

    def set(self, **settings: str) -> None:
        self.options["storage"].update(settings)

    def storage(self) -> Storage:
        return storages.make(self.options)

    def publish(self) -> None:
        """Do what is due, as an uploader does that has just been started with these settings."""
        settings = self.options["storage"]
        storage, catalog = self.storage(), catalogs.make(self.options)
        uploader = Publisher(
            self.desk.context(),
            self.desk.journal,
            Services(
                storage=storage,
                catalog=catalog,
                layout=Layout(settings["prefix"], settings["originals"]),
                policy=RetryPolicy(1, 60.0),
                storage_breaker=Breaker(5, 60.0),
                catalog_breaker=Breaker(5, 60.0),
            ),
        )
        while uploader.publish_due():
            pass
        storage.close()
        catalog.close()

    def publish_as_it_came(self, *numbers: int) -> None:
        for number in numbers:
            self.desk.render(number, photo(number))
        self.publish()

    def objects(self) -> dict[str, bytes]:
        storage = self.storage()
        found = {one.key: storage.read(one.key) or b"" for one in storage.list()}
        storage.close()
        return found

    def original(self, number: int, name: str) -> str:
        sha256 = str(self.desk.of(number).sha256)
        return f"p/{sha256[:2]}/{sha256}/{name}.jpg"

    def replace(self) -> list[Replaced]:
        return sorted(replace_originals(self.options), key=lambda one: one.key)

    def rows(self) -> dict[int, tuple[int, str]]:
        """Revision and address of the first rendition, by message."""
        with sqlite3.connect(self.desk.state_dir / "catalog.db") as database:
            query = """SELECT message_id, revision, json_extract(renditions, '$[0].url')
                       FROM messages JOIN images USING (channel_id, message_id)"""
            return {number: (revision, url) for number, revision, url in database.execute(query)}


@pytest.fixture
def publishing(desk: Desk) -> Publishing:
    return Publishing(desk, {"backend": "files"})


@pytest.fixture(params=["files", "r2"])
def any_publishing(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Publishing]:
    if request.param == "files":
        yield Publishing(desk, {"backend": "files"})
        return
    objects = request.getfixturevalue("object_server")
    names = ("endpoint", "access_key_id", "secret_access_key")
    with objects.bucket() as bucket:
        given = {name: getattr(objects, name) for name in names}
        yield Publishing(desk, {"backend": "r2", "bucket": bucket, "concurrency": 8, **given})


# --- what is published of an original --------------------------------------------------------------------------


@pytest.mark.parametrize(("wanted", "name"), [("stripped", "stripped"), ("as_is", "original"), ("none", None)])
def test_what_the_settings_want_is_published(publishing: Publishing, wanted: Published, name: str | None) -> None:
    publishing.set(originals=wanted)
    job = publishing.desk.render(1, photo(1))
    publishing.publish()
    objects = publishing.objects()
    names = {key.rpartition("/")[2] for key in objects}
    assert names == {*LADDER, *([f"{name}.jpg"] if name else [])}
    assert (publishing.desk.of(1).state, publishing.desk.of(1).original) == ("published", wanted)
    assert publishing.desk.spooled() == set()
    if wanted == "as_is":
        assert objects[publishing.original(1, "original")] == photo(1)
    assert all(str(job.sha256) in key for key in objects)


def test_what_cannot_be_stripped_is_not_published_but_its_picture_is(publishing: Publishing) -> None:
    publishing.set(originals="stripped")
    job = publishing.desk.fetch(1, photo(1))
    assert transitions.record_rendered(
        publishing.desk.journal, replace(publishing.desk.write_ladder(job), stripped_bytes=0)
    )
    publishing.publish()
    assert {key.rpartition("/")[2] for key in publishing.objects()} == set(LADDER)
    assert (publishing.desk.of(1).state, publishing.desk.of(1).original) == ("published", "none")


def test_a_picture_of_no_objects_at_all_gets_its_row(publishing: Publishing) -> None:
    """Neither format, and no original: then there is nothing to be put."""
    publishing.set(originals="none")
    job = publishing.desk.fetch(1, photo(1))
    assert transitions.record_rendered(
        publishing.desk.journal, replace(publishing.desk.write_ladder(job), renditions=[])
    )
    publishing.publish()
    assert publishing.desk.of(1).state == "published"
    assert publishing.objects() == {}


def test_a_picture_that_was_rendered_before_originals_were_stripped_is_made_again(publishing: Publishing) -> None:
    publishing.set(originals="stripped")
    job = publishing.desk.fetch(1, photo(1))
    assert transitions.record_rendered(
        publishing.desk.journal, replace(publishing.desk.write_ladder(job), stripped_bytes=-1)
    )
    publishing.publish()
    assert publishing.objects() == {}
    assert publishing.desk.of(1).state == "fetched"
    assert publishing.desk.spooled() == {f"{job.id}.1/original"}
    assert transitions.record_rendered(publishing.desk.journal, publishing.desk.write_ladder(publishing.desk.of(1)))
    publishing.publish()
    assert publishing.desk.of(1).original == "stripped"


def test_a_stripped_original_that_is_there_is_never_overwritten(publishing: Publishing) -> None:
    """One that another version has made may be in a cache for a year."""
    publishing.set(originals="stripped")
    publishing.desk.render(1, photo(1))
    target = publishing.desk.media / publishing.original(1, "stripped")
    target.parent.mkdir(parents=True)
    target.write_bytes(b"of another version")
    publishing.publish()
    assert target.read_bytes() == b"of another version"
    publishing.set(originals="as_is")
    publishing.publish_as_it_came(2)
    publishing.set(originals="stripped")
    other = publishing.desk.media / publishing.original(2, "stripped")
    other.write_bytes(b"of another version")
    assert [one.became for one in publishing.replace()] == ["stripped"]
    assert other.read_bytes() == b"of another version"


# --- originals that are published as they came -----------------------------------------------------------------


def test_originals_are_replaced(any_publishing: Publishing) -> None:
    publishing = any_publishing
    publishing.publish_as_it_came(1, 2)
    publishing.desk.render(3, photo(1))  # the same picture in another message
    publishing.publish()
    rows = publishing.rows()
    assert not any("originals" in line for line in checking.faults(check, publishing.options))  # they are wanted so
    publishing.set(originals="stripped")
    assert "2 originals are published as they came" in checking.faults(check, publishing.options)[0]
    assert "bin/run republish --originals" in checking.faults(check, publishing.options)[0]
    before = publishing.objects()
    gone = {publishing.original(number, "original") for number in (1, 2)}
    assert gone <= before.keys()
    assert {(one.key, one.became) for one in publishing.replace()} == {(key, "stripped") for key in gone}
    after = publishing.objects()
    new = {publishing.original(number, "stripped"): strip(photo(number), "jpg") for number in (1, 2)}
    assert after == {key: data for key, data in before.items() if key not in gone} | new
    assert not any(MARK in data for data in after.values())
    assert [publishing.desk.of(number).original for number in (1, 2, 3)] == ["stripped"] * 3
    assert checking.faults(check, publishing.options) == []
    assert publishing.replace() == []
    assert publishing.rows() == rows
    assert leases.times(publishing.desk.journal) == {}


def test_originals_that_nobody_wants_or_shows_are_removed(publishing: Publishing) -> None:
    publishing.publish_as_it_came(1, 2)
    publishing.set(originals="stripped")
    withdraw(publishing.desk.journal, CHANNEL, [1], POSTED + 99)
    publishing.publish()
    assert [one.became for one in publishing.replace() if one.key == publishing.original(1, "original")] == ["removed"]
    assert not any(key.startswith(publishing.original(1, "")[:-5]) and "riginal" in key for key in publishing.objects())
    assert publishing.desk.of(1).original == "none"
    publishing.set(originals="as_is")
    publishing.publish_as_it_came(3)
    publishing.set(originals="none")
    assert [one.became for one in publishing.replace()] == ["removed"]
    assert publishing.original(3, "original") not in publishing.objects()
    assert publishing.original(3, "stripped") not in publishing.objects()


def test_an_original_that_cannot_be_stripped_is_removed(publishing: Publishing) -> None:
    publishing.desk.render(1, photo(1)[:-2])
    publishing.publish()
    publishing.set(originals="stripped")
    (one,) = publishing.replace()
    assert one.became == "removed" and "can't be stripped" in one.why
    assert {key.rpartition("/")[2] for key in publishing.objects()} == set(LADDER)
    assert publishing.replace() == []


class Killed(BaseException):
    """What stands for a kill -9."""


@pytest.mark.parametrize("wanted", ["stripped", "none"])
@pytest.mark.parametrize("call", ["read", "put_all", "sync", "delete", "recorded"])
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_run_that_was_killed_is_gone_on_with(
    publishing: Publishing, monkeypatch: pytest.MonkeyPatch, wanted: Published, call: str, when: str
) -> None:
    publishing.publish_as_it_came(1)
    publishing.set(originals=wanted)
    storage = publishing.storage()
    scope = OriginalsScope(storage, publishing.desk.journal, "p/", wanted)
    target, name = (pictures, "replace_original") if call == "recorded" else (storage, call)
    really = getattr(target, name)

    def dies(*words: Any, **more: Any) -> None:
        if when == "after":
            really(*words, **more)
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(target, name, dies)
        if wanted == "none" and call in ("put_all", "sync"):
            return
        with pytest.raises(Killed):
            list(replace_all(scope))
    list(replace_all(scope))
    assert publishing.desk.of(1).original == wanted
    names = {key.rpartition("/")[2] for key in publishing.objects()}
    assert names == {*LADDER, *(["stripped.jpg"] if wanted == "stripped" else [])}
    assert checking.faults(check, publishing.options) == []


def test_nothing_is_stored_of_a_picture_meanwhile(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    publishing.publish_as_it_came(1)
    publishing.set(originals="stripped")
    storage = publishing.storage()
    really_read, waited = storage.read, list[bool]()

    def read(key: str) -> bytes | None:
        publishing.desk.render(2, photo(1))
        publishing.publish()
        waited.append(publishing.desk.of(2).state == "rendered" and not publishing.desk.of(2).stored)
        return really_read(key)

    monkeypatch.setattr(storage, "read", read)
    list(replace_all(OriginalsScope(storage, publishing.desk.journal, "p/", "stripped", threads=1)))
    assert waited == [True]
    publishing.publish()
    assert [publishing.desk.of(number).original for number in (1, 2)] == ["stripped", "stripped"]
    assert publishing.objects()[publishing.original(1, "stripped")] == strip(photo(1), "jpg")


def test_an_original_that_is_nowhere_is_not_taken_for_replaced(publishing: Publishing) -> None:
    """As under another prefix, or in another bucket: it may be public there."""
    publishing.publish_as_it_came(1)
    publishing.set(originals="stripped", prefix="q/")
    (one,) = publishing.replace()
    assert one.became == "missing" and "storage.prefix" in one.why
    publishing.set(prefix="p/")
    assert [one.became for one in publishing.replace()] == ["stripped"]


def test_what_is_not_the_original_is_left_alone(publishing: Publishing) -> None:
    publishing.publish_as_it_came(1)
    publishing.set(originals="stripped")
    target = publishing.desk.media / publishing.original(1, "original")
    target.write_bytes(b"<html>a login page</html>")
    (one,) = publishing.replace()
    assert one.became == "damaged"
    assert target.exists()


def test_a_fault_of_the_stripper_removes_nothing(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    publishing.publish_as_it_came(1)
    publishing.publish_as_it_came(2)
    publishing.set(originals="stripped")
    with monkeypatch.context() as broken:
        broken.setitem(stripping.STRIPPERS, "jpg", lambda data: dict[bytes, bytes]()[data])
        assert [one.became for one in publishing.replace()] == ["failed", "failed"]
    assert publishing.original(1, "original") in publishing.objects()
    assert [one.became for one in publishing.replace()] == ["stripped", "stripped"]


def test_a_storage_that_fails_ends_it(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    publishing.publish_as_it_came(1, 2)
    publishing.set(originals="stripped")
    storage = publishing.storage()

    def fail(key: str) -> None:
        raise StorageFault("no answer in time")

    monkeypatch.setattr(storage, "delete", fail)
    with pytest.raises(StorageFault):
        list(replace_all(OriginalsScope(storage, publishing.desk.journal, "p/", "stripped")))
    assert len(leases.times(publishing.desk.journal)) == 2  # the request may still be carried out
    assert {one.became for one in publishing.replace()} == {"stripped"}


# --- rows whose URLs are of yesterday --------------------------------------------------------------------------


def test_rows_are_written_again_under_the_new_address(publishing: Publishing) -> None:
    publishing.publish_as_it_came(1, 2)
    before = publishing.rows()
    assert all(url.startswith("https://old.example.org/p/") for _, url in before.values())
    assert checking.faults(check, publishing.options) == [] and list(write_rows_again(publishing.options)) == []
    publishing.set(public_url="https://new.example.org")
    (line,) = checking.faults(check, publishing.options)
    assert "the URLs in 2 rows do not begin with https://new.example.org/p/" in line
    assert "bin/run republish --urls" in line
    publishing.publish_as_it_came(3)
    assert list(write_rows_again(publishing.options)) == [2]
    live = publishing.desk.render(4, photo(4))
    assert (
        next(job.id for job in queue.due(publishing.desk.journal, "rendered", 9)) == live.id
    )  # before what is written again
    publishing.publish()
    after = publishing.rows()
    assert all(url.startswith("https://new.example.org/p/") for _, url in after.values())
    assert all(after[number][0] > before[number][0] for number in before)
    assert checking.faults(check, publishing.options) == [] and list(write_rows_again(publishing.options)) == []
    assert figures.totals(publishing.desk.journal)["processed"] == 4  # none of them counted twice


def test_an_edit_after_that_still_wins(publishing: Publishing) -> None:
    publishing.publish_as_it_came(1)
    publishing.set(public_url="https://new.example.org")
    list(write_rows_again(publishing.options))
    publishing.publish()
    revision, _ = publishing.rows()[1]
    assert revision >= 1000 * int(time.time() - 600)  # it outbids the rows of a journal that was lost, too
    publishing.desk.take(1, caption="edited", edited_at=POSTED + 500)
    publishing.publish()
    assert publishing.rows()[1][0] > revision


def test_rows_of_an_older_version_are_looked_at(publishing: Publishing) -> None:
    """It did not note how their URLs begin; the catalogue knows."""
    publishing.publish_as_it_came(1, 2)
    sql(publishing.desk.journal, "UPDATE jobs SET address = NULL")
    (line,) = checking.faults(check, publishing.options)
    assert line.startswith("warning: 2 rows were written without the columns that are new")
    publishing.set(public_url="https://new.example.org")
    assert "the URLs in 2 rows do not begin with" in checking.faults(check, publishing.options)[1]
    assert list(write_rows_again(publishing.options)) == [2]
    publishing.publish()
    assert {url.partition("/p/")[0] for _, url in publishing.rows().values()} == {"https://new.example.org"}


def test_rows_that_lack_columns_are_filled(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    """As a catalogue lacks them whose schema is of an earlier version."""
    with monkeypatch.context() as patch:
        patch.setattr(catalogs.SqliteCatalog, "outdated", lambda catalog: "it is old")
        publishing.publish_as_it_came(1, 2)
        with pytest.raises(SchemaOutdated, match=r"it is old\. Apply the schema"):
            list(fill_rows(publishing.options))
    publishing.desk.render(3)
    publishing.publish()
    (line,) = checking.faults(check, publishing.options)
    assert "2 rows were written without the columns that are new in this version: bin/run republish --rows" in line
    revisions = {number: revision for number, (revision, _) in publishing.rows().items()}
    assert list(fill_rows(publishing.options)) == [2]
    assert list(fill_rows(publishing.options)) == [], "each once, though they are not written yet"
    publishing.publish()
    assert checking.faults(check, publishing.options) == []
    after = {number: revision for number, (revision, _) in publishing.rows().items()}
    assert after[1] > revisions[1] and after[2] > revisions[2] and after[3] == revisions[3]
    assert figures.totals(publishing.desk.journal)["processed"] == 3


def test_rows_of_another_prefix_are_not_filled(publishing: Publishing, monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(catalogs.SqliteCatalog, "outdated", lambda catalog: "it is old")
        publishing.publish_as_it_came(1)
    publishing.set(prefix="q/")
    assert list(fill_rows(publishing.options)) == []


def test_objects_are_not_moved_to_another_prefix(publishing: Publishing) -> None:
    publishing.publish_as_it_came(1)
    publishing.set(prefix="q/")
    (line,) = checking.faults(check, publishing.options)
    assert "1 rows name objects that are not under storage.prefix 'q/'" in line
    assert list(write_rows_again(publishing.options)) == []


def test_a_tombstone_has_no_url(publishing: Publishing) -> None:
    publishing.publish_as_it_came(1)
    withdraw(publishing.desk.journal, CHANNEL, [1], POSTED + 99)
    publishing.publish()
    publishing.set(public_url="https://new.example.org")
    assert checking.faults(check, publishing.options) == [] and list(write_rows_again(publishing.options)) == []


def test_a_journal_that_is_not_there_has_nothing_to_say(tmp_path: Path) -> None:
    assert checking.faults(check, {"state_dir": str(tmp_path)}) == []


def test_jobs_know_their_address(publishing: Publishing) -> None:
    publishing.publish_as_it_came(1)
    job: Job = publishing.desk.of(1)
    (found,) = addresses.published(publishing.desk.journal)
    assert found == addresses.PublishedAddress(job.address, "https://old.example.org/p/", "p/", columns=2, rows=1)
