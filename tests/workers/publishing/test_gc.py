"""Garbage: what no row names is found and removed; what is named, on its way, young or not ours never is.

Each of it with files and SQLite, and with a real S3 server and a Supabase-like stack.
"""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipc.files.object_layout import Layout, objects_of
from ipc.intake import withdraw
from ipc.jobs import Job
from ipc.journal import Journal, leases, pictures, transitions
from ipc.journal.leases import LEASE_SECONDS
from ipc.retry import RetryPolicy
from tests.instance import HOME
from tests.ipc.tables import sql
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import CHANNEL, LADDER, Desk
from tests.workers.publisher import Publisher
from workers.publishing import catalog as catalogs
from workers.publishing import gc as module
from workers.publishing import storage as storages
from workers.publishing.catalog import Catalog
from workers.publishing.gc import Garbage, GarbageScope, collect, find, remove
from workers.publishing.service.breaker import Breaker
from workers.publishing.storage import Storage, StorageFault
from workers.uploader import Services

SECTIONS = {
    "files": {"storage": {"backend": "files", "public_url": ""}, "catalog": {"backend": "sqlite"}},
}


class Place:
    """A desk with both services, its own or those of another, and an uploader between them. `prefix` is a setting."""

    def __init__(self, desk: Desk, sections: dict[str, Any], prefix: str, beside: Place | None = None) -> None:
        self.desk = desk
        self.sections = sections
        self.prefix = prefix
        self.options = {
            "state_dir": str(desk.state_dir),
            "retry": {"max_attempts": 1, "base_seconds": 60.0},
            "catalog": sections["catalog"],
            "storage": {**sections["storage"], "prefix": prefix},
        }
        self.storage: Storage = beside.storage if beside else storages.make(self.options)
        self.catalog: Catalog = beside.catalog if beside else catalogs.make(self.options)
        self.scope = GarbageScope(self.storage, self.catalog, desk.journal, prefix)
        self.uploader = Publisher(
            desk.context(),
            desk.journal,
            Services(
                storage=self.storage,
                catalog=self.catalog,
                layout=Layout(prefix),
                policy=RetryPolicy(max_attempts=1, base_seconds=60.0),
                storage_breaker=Breaker(5, 60.0),
                catalog_breaker=Breaker(5, 60.0),
            ),
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
        return {one.key for one in objects_of(replace(job, original=job.original or "stripped"), self.prefix)}

    def find(self, before: float | None = None) -> list[Garbage]:
        return list(find(self.scope, time.time() + 60 if before is None else before))

    def remove(self, *found: Garbage) -> list[str]:
        """Remove these; the digests of those that were."""
        return digests(list(remove(self.scope, found, 0.0)))

    def collect(self, *, delete: bool = True, grace_seconds: float = -60.0) -> list[Garbage]:
        """As the command does it."""
        return list(collect(self.options, delete=delete, grace_seconds=grace_seconds))


@pytest.fixture(params=["files", "hosted"])
def make_place(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Callable[..., Place]]:
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
                "catalog": {
                    "backend": "supabase",
                    "url": rows.url,
                    "key": rows.keys.service_role,
                    "answer_seconds": 10.0,
                },
            }

        def make(prefix: str = "") -> Place:
            place = Place(desk, sections, prefix)
            stack.callback(place.close)
            return place

        yield make


@pytest.fixture
def place(make_place: Callable[..., Place]) -> Place:
    return make_place()


@pytest.fixture(autouse=True)
def no_row_is_on_its_way(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "row_seconds", lambda settings: 0.0)


def digests(found: list[Garbage]) -> list[str]:
    return sorted(one.sha256 for one in found)


# What is garbage


def test_nothing_of_what_rows_name(place: Place) -> None:
    for number in (1, 2, 3):
        place.publish(number)
    before = place.names()
    assert len(before) == 3 * (len(LADDER) + 1)
    assert place.find() == place.collect() == []
    assert place.names() == before


def test_the_picture_of_a_deleted_message(place: Place) -> None:
    gone, stays = place.publish(1), place.publish(2)
    place.delete(1)
    (found,) = place.find()
    assert found.sha256 == gone.sha256
    assert {one.key for one in found.objects} == place.keys_of(gone)
    assert found.bytes == sum(map(len, LADDER.values())) + len(b"\xff\xd8\xfforiginal 1")
    assert not found.removed
    (listed,) = place.collect(delete=False)
    assert listed == found
    assert place.keys_of(gone) <= place.names()
    (removed,) = place.collect()
    assert removed.removed and removed.objects == found.objects
    assert place.names() == place.keys_of(stays)
    assert place.collect() == []


def test_the_picture_that_was_replaced_by_an_edit(place: Place) -> None:
    first = place.publish(1, b"first")
    place.desk.take(1, picture="b", edited_at=first.posted_at + 9)
    assert place.find() == []  # until the new one is published, the row names it
    second = place.publish(1, b"second")
    assert digests(place.collect()) == [first.sha256]
    assert place.names() == place.keys_of(second)


def test_a_picture_that_another_message_shows_as_well_stays(place: Place) -> None:
    job = place.publish(1, b"the same")
    place.publish(2, b"the same")
    place.delete(1)
    assert place.collect() == []
    assert place.names() == place.keys_of(job)
    place.delete(2)
    assert digests(place.collect()) == [job.sha256]
    assert place.names() == set()


def test_objects_of_a_job_that_was_never_published(place: Place) -> None:
    """Its message was deleted while it was on its way, after its objects were put."""
    job = place.desk.render(1)
    assert place.uploader.object_stage.step()
    assert place.find() == []
    place.delete(1)
    assert digests(place.collect()) == [job.sha256]


# What is none


@pytest.mark.parametrize("stage", ["fetched", "rendered", "stored", "dead"])
def test_a_picture_on_its_way_is_none(place: Place, stage: str) -> None:
    """Another message's picture lies there already, and nobody but the journal knows that it is wanted again."""
    first = place.publish(1, b"the same")
    place.delete(1)
    job = place.desk.fetch(2, b"the same")
    if stage != "fetched":
        assert transitions.record_rendered(place.desk.journal, place.desk.write_ladder(job))
    if stage == "stored":
        assert transitions.record_stored(place.desk.journal, [job])
    if stage == "dead":
        assert transitions.bury(place.desk.journal, place.desk.of(2), "for a test")
    assert place.collect() == []
    assert place.keys_of(first) <= place.names()


def test_what_is_younger_than_the_grace_is_none(place: Place) -> None:
    place.publish(1)
    place.delete(1)
    assert place.find(before=time.time() - 60) == []
    assert place.collect(grace_seconds=3600) == []
    assert len(place.find()) == 1


def test_a_picture_with_one_young_object_is_none(desk: Desk) -> None:
    """Somebody is putting it just now, and has found the others there."""
    place = Place(desk, SECTIONS["files"], "")
    job = place.publish(1)
    place.delete(1)
    keys = sorted(place.keys_of(job))
    for key in keys[:-1]:
        os.utime(desk.media / key, (0, 0))
    assert place.find(before=time.time() - 60) == []
    os.utime(desk.media / keys[-1], (0, 0))
    assert len(place.find(before=time.time() - 60)) == 1
    place.close()


def test_a_foreign_key_among_a_pictures_objects_does_not_part_them(place: Place) -> None:
    """Listed in order, it stands between them; half a picture might then be old enough, and the other half not."""
    job = place.publish(1)
    place.delete(1)
    folder = sorted(place.keys_of(job))[0].rpartition("/")[0]
    place.put(f"{folder}/Notes.txt")
    (found,) = place.collect()
    assert {one.key for one in found.objects} == place.keys_of(job)
    assert place.names() == {f"{folder}/Notes.txt"}


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
        *(
            f"ab/{'ab' * 32}/{name}"
            for name in ("notes.txt", "320.jpg", "0.webp", "original.txt", "320-1234567.webp", "preview.jpg")
        ),
    ],
)
def test_a_key_that_this_program_does_not_make_is_none(place: Place, key: str) -> None:
    place.put(key)
    assert place.collect() == []
    assert place.names() == {key}


def test_names_that_this_program_makes_or_will_make(place: Place) -> None:
    names = ("320.webp", "1920.avif", "320-0a1b2c3d.avif", "1280-0a1b2c3d.jpg", "preview-0a1b2c3d.jpg")
    keys = {f"ab/{'ab' * 32}/{name}" for name in (*names, "original.gif", "stripped.png")}
    place.publish(1)  # so that the catalogue is believed
    ours = place.names()
    for key in keys:
        place.put(key)
    (found,) = place.collect(delete=False)
    assert {one.key for one in found.objects} == keys
    assert digests(place.collect()) == ["ab" * 32]
    assert place.names() == ours


@pytest.mark.parametrize(
    ("ways", "left"),
    [
        (("stripped",), {"stripped"}),
        (("none",), set()),
        (("as_is",), {"original", "stripped"}),
        (("stripped", "as_is"), {"original", "stripped"}),
        ((None,), {"original", "stripped"}),
    ],
)
def test_an_original_that_is_published_in_another_way_now(
    desk: Desk, ways: tuple[str | None, ...], left: set[str]
) -> None:
    """As when the journal was lost, and the picture taken in anew. Whatever the journal does not know of stays."""
    place = Place(desk, SECTIONS["files"], "")
    for number, way in enumerate(ways, 1):
        job = place.publish(number, b"the same")
        sql(desk.journal, "UPDATE jobs SET original = ? WHERE id = ?", way, job.id)
    folder = f"{str(job.sha256)[:2]}/{job.sha256}"
    for name in ("original.jpg", "stripped.jpg"):
        place.put(f"{folder}/{name}")
    place.collect()
    assert place.names() == {f"{folder}/{name}" for name in LADDER} | {f"{folder}/{name}.jpg" for name in left}
    place.close()


def test_a_prefix_is_a_border(make_place: Callable[..., Place]) -> None:
    """Two instances share a bucket, each with its prefix: neither looks at what is the other's."""
    ours, theirs, top = make_place("media/"), make_place("media2/"), make_place("")
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


def test_a_prefix_is_taken_as_it_is(make_place: Callable[..., Place]) -> None:
    """It may hold what means something in a pattern."""
    place = make_place("v1.0/")
    job = place.publish(1)
    place.delete(1)
    other = f"v1x0/ab/{'ab' * 32}/320.webp"
    place.put(other)
    assert digests(place.collect()) == [job.sha256]
    assert place.names() == {other}


# Races


def test_the_same_picture_is_fetched_between_finding_and_removing(place: Place) -> None:
    job = place.publish(1, b"the same")
    place.delete(1)
    (found,) = place.find()
    place.desk.render(2, b"the same")
    assert place.remove(found) == []
    place.uploader.publish_due()
    assert place.desk.of(2).state == "published"
    assert place.names() == place.keys_of(job)


def test_another_machine_writes_a_row_between_finding_and_removing(place: Place) -> None:
    job = place.publish(1, b"the same")
    place.delete(1)
    (found,) = place.find()
    with pytest.MonkeyPatch.context() as patch:
        place.publish(2, b"the same")
        patch.setattr(pictures, "known", lambda journal, sha256s: set())  # it is not in this journal
        assert place.remove(found) == []
    assert place.names() == place.keys_of(job)
    assert leases.times(place.desk.journal) == {}


def test_a_row_that_is_on_its_way_is_waited_for(place: Place) -> None:
    """Its message was edited meanwhile, so the journal knows nothing of the picture any more."""
    first = place.publish(1, b"the same")
    place.delete(1)
    job = place.desk.render(2, b"the same")
    place.uploader.object_stage.step()
    row = place.uploader.row_stage._entries([place.desk.of(2)])[job.id]
    place.desk.take(2, picture="b", edited_at=job.posted_at + 9)
    slept: list[float] = []

    def sleep(seconds: float) -> None:
        slept.append(seconds)
        place.catalog.write_many([row])

    (found,) = place.find()
    waiting = replace(place.scope, row_seconds=5.0, sleep=sleep)
    assert list(remove(waiting, [found], time.monotonic())) == []
    assert slept == [pytest.approx(5.0, abs=1.0)]
    assert place.names() == place.keys_of(first)


def test_a_picture_that_comes_again_while_it_is_removed_is_put_anew(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The journal is never held meanwhile. A picture that is posted again waits until it is over."""
    monkeypatch.setattr("ipc.database.BUSY_SECONDS", 0.02)
    fetching = Desk(place.desk.state_dir)
    place.publish(1, b"the same")
    place.delete(1)
    (found,) = place.find()
    asked: list[str] = []
    really_delete = place.storage.delete

    def delete(key: str) -> None:
        if not asked:
            fetching.render(2, b"the same")
        assert place.uploader.publish_due() == 0
        asked.append(key)
        really_delete(key)

    monkeypatch.setattr(place.storage, "delete", delete)
    assert place.remove(found) == [found.sha256]
    assert len(asked) == len(LADDER) + 1
    assert place.names() == set()
    fetching.close()
    assert place.uploader.publish_due() == 2
    assert place.names() == place.keys_of(place.desk.of(2))


def test_what_got_no_answer_may_still_be_done_later(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    """So the picture is not put until that cannot be any more, though the process may be gone, or run again."""
    times = [time.time()]
    journal = Journal.open(place.desk.state_dir / "journal.db", clock=lambda: times[0])
    place.uploader.object_stage._journal = journal
    aside = replace(place.scope, journal=journal)
    place.publish(1, b"the same")
    place.delete(1)
    (found,) = place.find()

    def fail(key: str) -> None:
        raise StorageFault("no answer in time")

    with monkeypatch.context() as silent:
        silent.setattr(place.storage, "delete", fail)
        with pytest.raises(StorageFault):
            list(remove(aside, [found], 0.0))
    assert leases.times(journal).keys() == {found.sha256}
    times[0] += 60
    (again,) = place.find()
    assert digests(list(remove(aside, [again], 0.0))) == [found.sha256]
    assert place.names() == set()
    place.desk.render(2, b"the same")
    place.uploader.publish_due()
    assert place.names() == set(), "the first request may be carried out only now"
    times[0] += LEASE_SECONDS
    place.uploader.publish_due()
    assert place.names() == place.keys_of(place.desk.of(2))
    assert leases.times(journal) == {}
    journal.close()


def test_who_takes_too_long_has_lost_it(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    times = [time.time()]
    journal = Journal.open(place.desk.state_dir / "journal.db", clock=lambda: times[0])
    place.publish(1, b"the same")
    place.delete(1)
    (found,) = place.find()
    really_delete = place.storage.delete
    asked: list[str] = []

    def delete(key: str) -> None:
        asked.append(key)
        really_delete(key)
        times[0] += LEASE_SECONDS + 1

    monkeypatch.setattr(place.storage, "delete", delete)
    assert list(remove(replace(place.scope, journal=journal), [found], 0.0)) == []
    assert len(asked) == 1
    journal.close()


KILLED = """
import json, os, signal, sys
from workers.publishing import gc as garbage; from workers.publishing import storage
garbage.row_seconds = lambda settings: 0.0
options, count = json.loads(sys.argv[1]), int(sys.argv[2])
made = storage.make(options)
really_delete = made.delete
def delete(key):
    global count
    if not count:
        os.kill(os.getpid(), signal.SIGKILL)
    count -= 1
    really_delete(key)
made.delete = delete
storage.make = lambda *rest: made
list(garbage.collect(options, delete=True, grace_seconds=-60.0))
"""


@pytest.mark.parametrize("count", [0, 2])
def test_killed_in_the_middle_of_a_removal(place: Place, count: int) -> None:
    """The picture can be removed the next time, and it can be posted again."""
    place.publish(1, b"the same")
    place.delete(1)
    words = [sys.executable, "-c", KILLED, json.dumps(place.options), str(count)]
    killed = subprocess.run(words, cwd=HOME, capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(place.names()) == len(LADDER) + 1 - count
    (removed,) = place.collect()
    assert place.names() == set()
    place.desk.render(2, b"the same")
    place.uploader.publish_due()
    assert (place.names(), place.desk.of(2).state) == (set(), "rendered")
    with place.desk.journal.transaction():
        place.desk.journal.run("put_removal", sha256=removed.sha256, now=time.time() - LEASE_SECONDS)
    place.uploader.publish_due()
    assert place.desk.of(2).state == "published"
    assert place.names() == place.keys_of(place.desk.of(2))


def test_it_goes_on_with_the_next_when_one_has_come_again(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    jobs = {str(job.sha256): job.message_id for job in (place.publish(number) for number in (1, 2, 3))}
    for number in (1, 2, 3):
        place.delete(number)
    found = place.find()
    place.desk.fetch(9, b"\xff\xd8\xff" + f"original {jobs[found[1].sha256]}".encode())
    assert place.remove(*found) == sorted([found[0].sha256, found[2].sha256])
    (left,) = {key.split("/")[1] for key in place.names()}
    assert left == found[1].sha256


def test_a_picture_stays_of_which_another_instance_writes_a_row_meanwhile(place: Place) -> None:
    """Also what that row does not name: its lease was for a picture that no row has."""
    job = place.publish(1, b"the same")
    entry = place.uploader.row_stage._entries([place.desk.of(1)])[job.id]
    place.delete(1)
    found, before = place.find(), place.names()
    assert entry.image is not None
    image = {**entry.image, "message_id": 2, "renditions": entry.image["renditions"][:1]}
    assert place.catalog.write(entry.channel, {**entry.message, "message_id": 2}, image)
    assert place.remove(*found) == []
    assert place.names() == before


# Renditions of another ladder


def other_ladder(place: Place, number: int, data: bytes, *names: str) -> Job:
    """Publish a message whose picture has these renditions."""
    job = place.desk.fetch(number, data)
    done = place.desk.write_ladder(job)
    kept = [one for one in done.renditions if f"{one[0]}.{one[2]}" in names]
    assert transitions.record_rendered(place.desk.journal, replace(done, renditions=kept))
    place.uploader.publish_due()
    assert place.desk.of(number).state == "published"
    return place.desk.of(number)


def test_no_rendition_is_garbage_while_a_message_with_the_picture_is_on_its_way(place: Place) -> None:
    """Its row may name any of them."""
    place.publish(1, b"the same")
    other_ladder(place, 2, b"the same", "640.webp")
    place.delete(1)
    assert len(place.find()) == 1
    place.desk.fetch(3, b"the same")
    assert place.find() == place.collect() == []


def test_renditions_that_no_row_names_any_more_of_a_picture_that_one_has(place: Place) -> None:
    """The ladder was changed, the picture posted again, and the first message deleted."""
    old = place.publish(1, b"the same")
    other_ladder(place, 2, b"the same", "640.webp")
    assert place.collect() == [], "both ladders are named"
    place.delete(1)
    (removed,) = place.collect()
    assert not removed.is_whole
    assert {one.key.rpartition("/")[2] for one in removed.objects} == {"320.webp", "320.avif"}
    assert place.names() == place.keys_of(place.desk.of(2)) < place.keys_of(old)
    assert place.collect() == []


def test_while_such_a_picture_is_on_its_way_nothing_of_it_is_garbage(place: Place) -> None:
    place.publish(1, b"the same")
    other_ladder(place, 2, b"the same", "640.webp")
    place.delete(1)
    (found,) = place.find()
    place.desk.render(3, b"the same")
    assert place.find() == []
    assert place.remove(found) == []


# Whose catalogue


def test_a_catalogue_that_names_nothing_of_ours_is_not_believed(place: Place, tmp_path: Path) -> None:
    """Another project's, or an empty one: to it, all would be garbage. (And the journal, too, might be a fresh one.)"""
    place.publish(1)
    stray = f"ab/{'ab' * 32}/320.webp"
    place.put(stray)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(place.catalog), "referenced", lambda catalog, sha256s: set())
        for delete in (False, True):
            with pytest.raises(catalogs.CatalogFault, match=r"another one, or it was emptied\. Check catalog"):
                place.collect(delete=delete)
    assert stray in place.names()
    assert digests(place.collect()) == ["ab" * 32]


def test_where_nothing_was_published_a_catalogue_that_names_nothing_stored_is_not_believed(place: Place) -> None:
    """A new machine, or a journal that was moved away: there is nothing of its own to ask about."""
    for number in (1, 2):
        place.publish(number)
    stray = f"ab/{'ab' * 32}/320.webp"
    place.put(stray)
    before = place.names()
    place.desk.journal.close()
    (place.desk.state_dir / "journal.db").unlink()
    place.desk.journal = Journal.open(place.desk.state_dir / "journal.db")
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(type(place.catalog), "referenced", lambda catalog, sha256s: set())
        for delete in (False, True):
            with pytest.raises(catalogs.CatalogFault, match="names none of 3 pictures in the storage"):
                place.collect(delete=delete)
    assert place.names() == before
    assert digests(place.collect(delete=False)) == ["ab" * 32]


def test_where_nothing_was_published_yet_what_is_stored_may_be_without_a_row(place: Place) -> None:
    assert place.collect() == []
    job = place.desk.render(1)
    place.uploader.object_stage.step()
    assert place.collect() == []
    assert place.names() == place.keys_of(job)


def test_where_another_instance_publishes_too_only_what_is_old_is_removed(place: Place, tmp_path: Path) -> None:
    """Two that share bucket, prefix and catalogue: neither knows what the other one is about to name."""
    (tmp_path / "other").mkdir()
    other = Desk(tmp_path / "other")
    place.publish(1)
    stray = f"ab/{'ab' * 32}/320.webp"
    place.put(stray)
    theirs = Place(other, place.sections, place.prefix, beside=place)
    theirs.publish(7)
    with pytest.raises(catalogs.CatalogFault, match="never had: another one publishes to the same bucket"):
        place.collect(grace_seconds=-60.0)
    assert stray in place.names()
    assert place.collect(grace_seconds=24 * 3600.0) == [], "it is too young for that"
    other.close()


def test_an_edit_on_its_way_is_no_other_instance(place: Place) -> None:
    first = place.publish(1, b"first")
    place.desk.take(1, picture="b", edited_at=first.posted_at + 9)
    place.put(f"ab/{'ab' * 32}/320.webp")
    assert digests(place.collect()) == ["ab" * 32]


def test_more_pictures_than_the_catalogue_is_asked_about_at_once(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.publishing.gc.garbage.CHUNK", 2)
    jobs = [place.publish(number) for number in range(1, 6)]
    for number in (1, 3, 4):
        place.delete(number)
    assert digests(place.collect()) == sorted(str(jobs[number - 1].sha256) for number in (1, 3, 4))
    assert place.names() == place.keys_of(jobs[1]) | place.keys_of(jobs[4])


def test_a_catalogue_that_cannot_be_asked_saves_everything(desk: Desk, tmp_path: Path) -> None:
    place = Place(desk, SECTIONS["files"], "")
    place.publish(1)
    place.delete(1)
    before = place.names()
    place.catalog.close()
    (desk.state_dir / "catalog.db").rename(tmp_path / "aside")
    (desk.state_dir / "catalog.db").write_bytes(b"no database at all, but long enough to be looked at" * 100)
    for name in ("catalog.db-wal", "catalog.db-shm"):
        (desk.state_dir / name).unlink(missing_ok=True)
    with pytest.raises(catalogs.CatalogFault):
        place.collect()
    assert place.names() == before
    place.close()
