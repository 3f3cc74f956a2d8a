"""Published pictures rendered anew: their row moves over when all is there, and only then the old objects go."""

from __future__ import annotations

import io
import json
import sqlite3
from collections.abc import Iterator
from typing import Any

import pytest
from PIL import Image

from ipc.files.object_layout import Layout
from ipc.files.spool import Spool
from ipc.intake import withdraw
from ipc.jobs import Job
from ipc.journal import lookup, queue, renewals, transitions
from ipc.posts import RENEWAL
from ipc.retry import RetryPolicy
from tests.workers.desk import APPEARANCE, CHANNEL, LADDER, POSTED, RECIPE, WHOLE_LADDER, Desk
from tests.workers.publisher import Publisher
from workers.publishing import catalog as catalogs
from workers.publishing import renewals as renewing
from workers.publishing import storage as storages
from workers.publishing.gc import collect
from workers.publishing.renewals import Renewals
from workers.publishing.republish import want_renditions
from workers.publishing.service.breaker import Breaker
from workers.publishing.storage import Storage, StorageFault
from workers.uploader import Services

OLD = set(LADDER)
NEW = {f"{name.partition('.')[0]}-{RECIPE}.{name.partition('.')[2]}" for name in LADDER}


def photo(number: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (64, 48), (number, 0, 0)).save(buffer, "JPEG", comment=b"a comment")
    return buffer.getvalue()


class House:
    """An uploader whose stages are stepped by hand, and the pool's part."""

    def __init__(self, desk: Desk, storage: dict[str, Any]) -> None:
        self.desk = desk
        self.options: dict[str, Any] = {
            "state_dir": str(desk.state_dir),
            "catalog": {"backend": "sqlite"},
            "storage": {"prefix": "p/", "public_url": "", "originals": "stripped", **storage},
        }
        self.woken: list[str] = []

    def renewals(self) -> Renewals:
        work = Renewals(self.options, self.desk.journal, Spool(self.desk.state_dir / "spool"), self.woken.append)
        work.row_seconds = 0.0
        return work

    def storage(self) -> Storage:
        return storages.make(self.options)

    def publish(self) -> None:
        settings = self.options["storage"]
        storage, catalog = self.storage(), catalogs.make(self.options)
        services = Services(
            storage=storage,
            catalog=catalog,
            layout=Layout(settings["prefix"], settings["originals"]),
            policy=RetryPolicy(1, 60.0),
            storage_breaker=Breaker(5, 60.0),
            catalog_breaker=Breaker(5, 60.0),
        )
        uploader = Publisher(self.desk.context(), self.desk.journal, services)
        while uploader.publish_due():
            pass
        storage.close()
        catalog.close()

    def publish_new(self, *numbers: int) -> None:
        for number in numbers:
            self.desk.render(number, photo(number))
        self.publish()

    def want(self, recipe: str = RECIPE, **chosen: Any) -> int:
        return sum(want_renditions(self.options, recipe, **{"channels": None, "since": 0.0} | chosen))

    def step(self) -> int:
        work = self.renewals()
        done = work.step()
        work.close()
        return done

    def render(self, number: int) -> None:
        """What the pool and a worker do of today's recipe."""
        job = self.desk.of(number)
        self.desk.recipe = RECIPE
        assert transitions.record_rendered(self.desk.journal, self.desk.write_ladder(job))

    def renew(self, *numbers: int) -> None:
        self.step()
        for number in numbers:
            self.render(number)
        self.publish()

    def names(self, number: int) -> set[str]:
        """The last parts of the keys of the objects of that message's picture."""
        storage = self.storage()
        sha256 = str(self.desk.of(number).sha256)
        found = {one.key.rpartition("/")[2] for one in storage.list(f"p/{sha256[:2]}/{sha256}/")}
        storage.close()
        return found

    def row(self, number: int) -> set[str]:
        """The same of the keys that its row names."""
        with sqlite3.connect(self.desk.state_dir / "catalog.db") as database:
            query = "SELECT renditions FROM images WHERE message_id = ?"
            ((renditions,),) = database.execute(query, [number]).fetchall()
        return {one["key"].rpartition("/")[2] for one in json.loads(renditions)}

    def counts(self) -> dict[str, int]:
        return {step: count for step, count in renewals.counts(self.desk.journal).items() if count}


@pytest.fixture
def house(desk: Desk) -> House:
    return House(desk, {"backend": "files"})


@pytest.fixture(params=["files", "r2"])
def any_house(request: pytest.FixtureRequest, desk: Desk) -> Iterator[House]:
    if request.param == "files":
        yield House(desk, {"backend": "files"})
        return
    objects = request.getfixturevalue("object_server")
    given = {name: getattr(objects, name) for name in ("endpoint", "access_key_id", "secret_access_key")}
    with objects.bucket() as bucket:
        yield House(desk, {"backend": "r2", "bucket": bucket, "concurrency": 8, **given})


STRIPPED = {"stripped.jpg"}
FORMER = "4d5e6f70"


def of(recipe: str) -> set[str]:
    """The names of the objects of WHOLE_LADDER, as made by that recipe."""
    return {f"{name.partition('.')[0]}-{recipe}.{name.partition('.')[2]}" for name in WHOLE_LADDER}


def test_the_row_moves_over_when_all_is_there_then_the_old_objects_go(any_house: House) -> None:
    house = any_house
    house.publish_new(1, 2)
    before = house.desk.of(1)
    assert house.want(channels=[CHANNEL], since=POSTED + 2) == 1
    assert house.want() == 2
    assert house.counts() == {"wanted": 2}
    assert house.step() == 2
    assert house.woken == ["fetched", "fetched"]
    job = house.desk.of(1)
    assert (job.state, job.priority, job.generation) == ("fetched", RENEWAL, before.generation + 1)
    assert (house.row(1), house.names(1)) == (OLD, OLD | STRIPPED)
    house.render(1)
    house.publish()
    assert (house.row(1), house.names(1)) == (NEW, OLD | NEW | STRIPPED)
    assert house.row(2) == OLD
    after = house.desk.of(1)
    assert (after.state, after.priority, after.recipe, after.published_at) == (
        *("published", before.priority, RECIPE),
        before.published_at,
    )
    assert (after.sha256, after.bytes) == (before.sha256, before.bytes)
    assert house.counts() == {"making": 1, "moved": 1}
    assert house.step() == 1
    assert (house.names(1), house.names(2)) == (NEW | STRIPPED, OLD | STRIPPED)
    assert house.counts() == {"making": 1}
    assert house.desk.spooled() == {f"{house.desk.of(2).id}.2/original"}
    assert list(collect(house.options, delete=False, grace_seconds=0.0)) == []
    house.render(2)
    house.publish()
    house.step()
    assert house.want() == 0 and house.counts() == {}


def test_appearance_and_preview_move_over_with_their_picture(any_house: House) -> None:
    """And are back where it could not be rendered."""
    house = any_house
    house.desk.ladder, house.desk.recipe = WHOLE_LADDER, FORMER
    house.publish_new(1)
    before = house.desk.of(1)
    assert before.appearance == APPEARANCE and before.preview_bytes == len(WHOLE_LADDER["preview.jpg"])
    assert house.names(1) == of(FORMER) | STRIPPED
    assert house.want() == 1 and house.step() == 1
    on_its_way = house.desk.of(1)
    assert on_its_way.appearance is None and on_its_way.preview_bytes is None
    assert transitions.restore(house.desk.journal, on_its_way, "it was a test")
    house.publish()
    restored = house.desk.of(1)
    assert (restored.appearance, restored.preview_bytes) == (APPEARANCE, before.preview_bytes)
    assert list(collect(house.options, delete=False, grace_seconds=0.0)) == []
    assert house.want() == 1
    house.renew(1)
    assert house.names(1) == of(FORMER) | of(RECIPE) | STRIPPED
    house.step()
    assert house.names(1) == of(RECIPE) | STRIPPED
    assert list(collect(house.options, delete=False, grace_seconds=0.0)) == []
    assert house.desk.of(1).appearance == APPEARANCE


def test_what_had_no_preview_gets_one(house: House) -> None:
    house.publish_new(1)
    assert house.desk.of(1).appearance is None
    house.desk.ladder = WHOLE_LADDER
    house.want()
    house.renew(1)
    house.step()
    assert house.names(1) == of(RECIPE) | STRIPPED
    assert house.desk.of(1).appearance == APPEARANCE


def test_an_original_comes_from_where_it_is(house: House) -> None:
    """As it came where it is published so; without metadata, unless it is wanted as it came; else from its source."""
    house.options["storage"]["originals"] = "as_is"
    house.publish_new(1)
    house.options["storage"]["originals"] = "none"
    house.publish_new(2)
    house.options["storage"]["originals"] = "stripped"
    house.publish_new(3, 4)
    storage = house.storage()
    sha256 = str(house.desk.of(4).sha256)
    storage.delete(f"p/{sha256[:2]}/{sha256}/stripped.jpg")
    assert house.want() == 4
    house.step()
    jobs = [house.desk.of(number) for number in (1, 2, 3, 4)]
    assert [job.state for job in jobs] == ["fetched", "seen", "fetched", "seen"]
    assert house.desk.spool.original(jobs[0].id, jobs[0].generation).read_bytes() == photo(1)
    assert renewals.made_of_stripped(house.desk.journal, [job.id for job in jobs]) == {jobs[2].id}
    house.publish_new(5)
    house.options["storage"]["originals"] = "as_is"
    house.want()
    house.step()
    assert house.desk.of(5).state == "seen"


def test_what_is_stripped_never_becomes_an_original_as_it_came(house: House) -> None:
    house.publish_new(1)
    house.want()
    house.step()
    house.options["storage"]["originals"] = "as_is"
    house.render(1)
    house.publish()
    assert house.names(1) == OLD | NEW | STRIPPED
    assert house.desk.of(1).original == "stripped"


def test_what_cannot_be_rendered_anew_stays_as_it_is_and_is_told(house: House) -> None:
    house.publish_new(1)
    before = house.desk.of(1)
    house.want()
    house.step()
    assert not transitions.bury(house.desk.journal, house.desk.of(1), "poison", cause="poison")
    job = house.desk.of(1)
    told = ("life", "waits_since", "generation", "revision")
    assert {name: getattr(job, name) for name in Job.__slots__ if name not in told} == {
        name: getattr(before, name) for name in Job.__slots__ if name not in told
    }
    assert renewals.failed(house.desk.journal, 9) == [(CHANNEL, 1, "poison")]
    assert (house.row(1), house.names(1), house.counts()) == (OLD, OLD | STRIPPED, {"failed": 1})
    assert lookup.dead(house.desk.journal) == []
    assert house.want() == 1
    house.renew(1)
    assert house.row(1) == NEW


@pytest.mark.parametrize("how_far", ["begun", "rendered"])
def test_an_edit_waits_for_nothing(house: House, how_far: str) -> None:
    house.publish_new(1)
    house.want()
    house.step()
    if how_far == "rendered":
        house.render(1)
    stale = house.desk.of(1)
    house.desk.take(1, caption="edited", picture="a", edited_at=POSTED + 60)
    job = house.desk.of(1)
    assert (job.state, job.stored, job.caption, job.priority) == ("rendered", True, "edited", 0)
    assert transitions.record_stored(house.desk.journal, [stale]) == []
    house.publish()
    assert (house.row(1), house.names(1), house.counts()) == (OLD, OLD | STRIPPED, {"wanted": 1})
    house.renew(1)
    house.step()
    assert (house.row(1), house.names(1), house.counts()) == (NEW, NEW | STRIPPED, {})
    assert house.desk.of(1).caption == "edited"


def test_a_deletion_or_another_picture_ends_it(house: House) -> None:
    house.publish_new(1, 2)
    house.want()
    house.step()
    withdraw(house.desk.journal, CHANNEL, [1], POSTED)
    house.desk.take(2, picture="b", edited_at=POSTED + 60)
    assert house.counts() == {}
    assert [house.desk.of(number).priority for number in (1, 2)] == [0, 0]
    house.publish()
    assert house.desk.of(1).state == "published"


def test_old_objects_stay_while_another_message_names_them(house: House) -> None:
    """The same picture twice: one row is moved over, then the other."""
    for number in (1, 2):
        house.desk.render(number, photo(1))
    house.publish()
    house.want(since=POSTED + 2)
    house.renew(2)
    house.step()
    assert (house.row(1), house.row(2)) == (OLD, NEW)
    assert (house.names(1), house.counts()) == (OLD | NEW | STRIPPED, {})
    house.want()
    house.renew(1)
    house.step()
    assert (house.row(1), house.names(1), house.counts()) == (NEW, NEW | STRIPPED, {})


def test_old_objects_wait_for_a_row_with_the_same_picture_that_is_on_its_way(house: House) -> None:
    for number in (1, 2):
        house.desk.render(number, photo(1))
    house.publish()
    house.want(since=POSTED + 2)
    house.renew(2)
    house.desk.take(1, caption="edited", picture="a", edited_at=POSTED + 60)
    house.step()
    assert (house.names(1), house.counts()) == (OLD | NEW | STRIPPED, {"moved": 1})


def test_no_more_are_on_their_way_than_a_few(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "IN_FLOW", 2)
    house.publish_new(1, 2, 3)
    house.want()
    assert (house.step(), house.step()) == (2, 0)
    assert house.counts() == {"wanted": 1, "making": 2}
    house.publish_new(4)
    assert [job.message_id for job in queue.due(house.desk.journal, "fetched", 9)] == [1, 2]


def test_live_pictures_go_first(house: House) -> None:
    house.publish_new(1)
    house.want()
    house.step()
    house.desk.fetch(2, photo(2))
    assert [job.message_id for job in queue.due(house.desk.journal, "fetched", 9)] == [2, 1]


def test_what_no_source_fetches_is_given_up_after_a_day(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(renewing, "IN_FLOW", 1)
    house.options["storage"]["originals"] = "none"
    house.publish_new(1, 2)
    house.want()
    assert (house.step(), house.step()) == (1, 0)
    now = house.desk.journal.clock()
    monkeypatch.setattr(house.desk.journal, "clock", lambda: now + renewing.SOURCE_SECONDS + 60)
    assert house.step() == 1
    assert house.counts() == {"wanted": 1, "failed": 1}
    assert house.desk.of(1).state == "published" and house.row(1) == OLD


def test_a_spool_folder_that_is_being_filled_is_not_swept(house: House) -> None:
    house.publish_new(1)
    house.want()
    job = house.desk.of(1)
    house.desk.spool.write_original(job.id, job.generation + 1, lambda part: part.write_bytes(b"x"))
    list(house.desk.spool.sweeping(lambda ids: lookup.unfinished(house.desk.journal, ids)))
    assert house.desk.spooled() == {f"{job.id}.{job.generation + 1}/original"}
    renewals.end(house.desk.journal, renewals.due(house.desk.journal, "wanted", 1))
    list(house.desk.spool.sweeping(lambda ids: lookup.unfinished(house.desk.journal, ids)))
    assert house.desk.spooled() == set()


def test_a_storage_that_fails_changes_nothing(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    house.publish_new(1)
    house.want()
    work, storage = house.renewals(), house.storage()

    def fail(storage: Storage, key: str) -> bytes:
        raise StorageFault("out")

    monkeypatch.setattr(type(storage), "read", fail)
    storage.close()
    with pytest.raises(StorageFault):
        work.step()
    assert (house.counts(), house.desk.of(1).state) == ({"wanted": 1}, "published")
