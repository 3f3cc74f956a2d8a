"""The objects of deleted and hidden posts go after a while, and a CDN's copies of them; all that is named stays.

With files and SQLite, and with a real S3 server and a Supabase-like stack.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from functools import partial
from typing import Any

import pytest

from ipc import editing
from ipc.editing import NO_EDITING
from ipc.files.object_layout import Layout, objects_of
from ipc.files.spool import Spool
from ipc.intake import take, withdraw
from ipc.jobs import Job
from ipc.journal import breakers, leases, transitions
from ipc.journal.leases import LEASE_SECONDS
from ipc.journal.outputs import takedowns
from ipc.posts import Channel, Page, Photo, Post
from ipc.process.checklist import Checklist
from ipc.retry import RetryPolicy
from tests.ipc.tables import sql
from tests.servers.cdn import TOKEN, ZONE, Cdn, said
from tests.workers.desk import CHANNEL, LADDER, POSTED, RECIPE, WHOLE_LADDER, Desk
from tests.workers.publisher import Publisher
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.gc import collect
from workers.publishing.republish import fill_rows, want_renditions, write_rows_again
from workers.publishing.service.breaker import Breaker
from workers.publishing.storage import StorageFault
from workers.publishing.takedown import Takedowns
from workers.publishing.takedown.check import check
from workers.publishing.takedown.cloudflare import MAX_URLS, Cloudflare, PurgeFault
from workers.uploader import Services

PICTURE = len(LADDER) + 1
"""Objects of a picture: its renditions, and the stripped original."""

FILES: dict[str, Any] = {"storage": {"backend": "files"}, "catalog": {"backend": "sqlite"}}


class House:
    """An uploader whose stages and takedowns are stepped by hand."""

    def __init__(self, desk: Desk, sections: dict[str, Any], after: float | str = 0.0, **storage: Any) -> None:
        self.desk = desk
        given = {"prefix": "p/", "public_url": "", "takedown_after_seconds": after, **sections["storage"], **storage}
        self.options: dict[str, Any] = {
            "state_dir": str(desk.state_dir),
            "retry": {"max_attempts": 1, "base_seconds": 60.0},
            "catalog": sections["catalog"],
            "storage": given,
        }
        self.storage, self.catalog = storages.make(self.options), catalogs.make(self.options)
        services = Services(
            storage=self.storage,
            catalog=self.catalog,
            layout=Layout("p/"),
            policy=RetryPolicy(max_attempts=1, base_seconds=60.0),
            storage_breaker=Breaker(5, 60.0),
            catalog_breaker=Breaker(5, 60.0),
        )
        self.uploader = Publisher(desk.context(), desk.journal, services)
        self.work = Takedowns(self.options, desk.journal, Spool(desk.state_dir / "spool"))
        self.work.row_seconds = 0.0

    def close(self) -> None:
        self.work.close()
        self.catalog.close()
        self.storage.close()

    def publish_due(self) -> None:
        while self.uploader.publish_due():
            pass

    def publish(self, number: int, data: bytes = b"") -> Job:
        self.desk.render(number, data)
        self.publish_due()
        assert self.desk.of(number).state == "published"
        return self.desk.of(number)

    def delete(self, number: int, *, is_told: bool = True) -> None:
        """The message goes, and its tombstone is published."""
        withdraw(self.desk.journal, CHANNEL, [number], time.time(), is_told=is_told)
        self.publish_due()

    def hide(self, number: int) -> None:
        """The operator hides it, and the row that says so is published."""
        assert editing.hide_posts(self.desk.journal, [self.desk.of(number)], time.time()) == 1
        self.publish_due()

    def show(self, number: int) -> None:
        """The operator shows it; its row is written, if nothing else is to be done first."""
        assert editing.show_posts(self.desk.journal, [self.desk.of(number)], time.time()) == (1, 0)
        self.publish_due()

    def pictures(self) -> list[dict[str, Any]]:
        """What readers see."""
        return list(self.catalog.pictures(most=99))

    def step(self) -> None:
        """All that is due now."""
        for _ in range(9):
            if not self.work.step():
                return
        raise AssertionError("there is no end to it")

    def names(self) -> set[str]:
        return {one.key for one in self.storage.list()}

    def of(self, job: Job) -> int:
        """How many objects of its picture are stored."""
        return sum(f"/{job.sha256}/" in key for key in self.names())

    def counts(self) -> dict[str, int]:
        return {step: count for step, count in takedowns.counts(self.desk.journal).items() if count}


@pytest.fixture(params=["files", "hosted"])
def make_house(request: pytest.FixtureRequest, desk: Desk) -> Iterator[Callable[..., House]]:
    with ExitStack() as stack:
        sections = FILES
        if request.param == "hosted":
            objects, rows = request.getfixturevalue("object_server"), request.getfixturevalue("row_server")
            rows.empty()
            given = {name: getattr(objects, name) for name in ("endpoint", "access_key_id", "secret_access_key")}
            bucket = stack.enter_context(objects.bucket())
            sections = {
                "storage": {"backend": "r2", "bucket": bucket, "concurrency": 8, **given},
                "catalog": {
                    "backend": "supabase",
                    "url": rows.url,
                    "key": rows.keys.service_role,
                    "answer_seconds": 10.0,
                },
            }

        def make(**more: Any) -> House:
            house = House(desk, sections, **more)
            stack.callback(house.close)
            return house

        yield make


@pytest.fixture
def house(desk: Desk) -> Iterator[House]:
    house = House(desk, FILES)
    yield house
    house.close()


@pytest.fixture
def cdn() -> Iterator[Cdn]:
    with Cdn() as cdn:
        yield cdn


def behind(desk: Desk, cdn: Cdn, **storage: Any) -> House:
    """A house whose objects are served through the CDN."""
    given = {"cloudflare_zone": ZONE, "cloudflare_token": TOKEN, "cloudflare_api": cdn.api}
    return House(desk, FILES, **{"public_url": "https://pictures.example.org", **given, **storage})


# What goes


def test_a_deleted_and_a_hidden_post(make_house: Callable[..., House]) -> None:
    house = make_house()
    deleted, hidden, stays = house.publish(1), house.publish(2), house.publish(3)
    house.delete(1)
    house.hide(2)
    assert house.counts() == {"waiting": 2}
    assert len(house.names()) == 3 * PICTURE
    house.step()
    assert (house.of(deleted), house.of(hidden), house.of(stays)) == (0, 0, PICTURE)
    assert house.counts() == {}
    assert house.catalog.referenced([str(job.sha256) for job in (deleted, hidden, stays)]) == {stays.sha256}
    assert house.desk.of(2).is_taken_down and not house.desk.of(1).is_taken_down
    assert house.desk.journal.run("totals").fetchall()[-1]["value"] == 2
    assert leases.times(house.desk.journal) == {}


def test_the_same_picture_in_another_post_stays(make_house: Callable[..., House]) -> None:
    """Also if that one is on its way; when it is deleted too, all goes."""
    house = make_house()
    picture = house.publish(1, b"the same")
    house.publish(2, b"the same")
    house.delete(1)
    house.step()
    assert (house.of(picture), house.counts()) == (PICTURE, {})
    house.desk.render(3, b"the same")
    house.hide(2)
    house.step()
    assert house.of(picture) == PICTURE
    house.publish_due()
    assert house.desk.of(3).state == "published"
    house.delete(3)
    house.step()
    assert house.names() == set()


def test_objects_of_every_recipe_and_prefix(house: House) -> None:
    job = house.publish(1)
    foreign = f"p/{str(job.sha256)[:2]}/{job.sha256}/notes.txt"
    folder = f"p/{str(job.sha256)[:2]}/{job.sha256}"
    source = house.desk.state_dir / "object"
    source.write_bytes(b"something")
    for key in (f"{folder}/320-00112233.webp", f"{folder}/preview-00112233.jpg", f"{folder}/original.jpg", foreign):
        house.storage.put(key, source, "image/webp")
    elsewhere = folder.removeprefix("p/")
    house.storage.put(f"{elsewhere}/320.webp", source, "image/webp")
    with house.desk.journal.transaction():
        house.desk.journal.run("add_address", url="file:///before/", prefix="", columns=1)
    house.delete(1)
    house.step()
    assert house.names() == {foreign}, "what this program does not make is not its own"


def test_not_before_its_time(desk: Desk) -> None:
    house = House(desk, FILES, after=60.0)
    house.publish(1)
    house.delete(1)
    began = desk.journal.clock()
    for seconds, count in ((0, PICTURE), (58, PICTURE), (61, 0)):
        desk.journal.clock = partial(float, began + seconds)
        house.step()
        assert len(house.names()) == count, seconds
    house.close()


def test_what_was_on_its_way_is_looked_for_once_more(house: House) -> None:
    """Objects may arrive in the storage after the first look."""
    job = house.desk.render(1)
    items = list(objects_of(job, "p/"))
    house.delete(1)
    house.step()
    assert house.counts() == {"leaving": 1}
    house.desk.spool.write_original(job.id, job.generation, lambda part: part.write_bytes(b"late"))
    house.storage.put(items[0].key, house.desk.spool.original(job.id, job.generation), "image/webp")
    late = time.time() + LEASE_SECONDS + 1
    house.desk.journal.clock = lambda: late
    house.step()
    assert (house.names(), house.counts(), house.desk.spooled()) == (set(), {}, set())


def test_the_spool_of_a_deleted_dead_letter(house: House) -> None:
    job = house.desk.fetch(1)
    house.desk.journal.run("to_dead", id=job.id, generation=1, state="fetched", cause="failure", reason="x", step=b"")
    assert house.desk.spooled() == {f"{job.id}.1/original"}
    house.delete(1)
    house.step()
    assert house.desk.spooled() == set()


def test_from_hidden_to_taken_down_to_published_again(make_house: Callable[..., House]) -> None:
    """With a JPEG and a preview: it comes back as it was, row and objects."""
    house = make_house()
    house.desk.ladder, house.desk.recipe = WHOLE_LADDER, RECIPE
    house.publish(1)
    before, objects = house.pictures(), house.names()
    assert len(before) == 1 and len(objects) == len(WHOLE_LADDER) + 1
    house.hide(1)
    assert house.pictures() == []
    house.step()
    assert house.names() == set() and house.desk.of(1).is_taken_down
    house.desk.take(1, caption="edited while it is gone", edited_at=POSTED + 60)
    house.publish_due()
    house.step()
    assert (house.pictures(), house.counts(), house.desk.of(1).state) == ([], {}, "published")
    house.show(1)
    assert (house.pictures(), house.desk.of(1).state) == ([], "seen")
    house.desk.render(1)
    house.step()
    house.publish_due()
    assert house.names() == objects and house.counts() == {}
    (after,) = house.pictures()
    changed = {name for name in after if after[name] != before[0][name]}
    assert changed == {"caption", "caption_html", "edited_at"}
    assert (house.desk.of(1).shown, house.desk.spooled()) == (True, set())


def test_one_that_is_shown_again_while_its_objects_go_keeps_what_is_fetched_anew(house: House) -> None:
    house.publish(1)
    house.hide(1)
    assert house.work.step() == 1 and house.counts() == {"leaving": 1}
    house.show(1)
    job = house.desk.fetch(1)
    house.step()
    assert house.desk.spooled() == {f"{job.id}.{job.generation}/original"}


def test_one_that_is_hidden_and_then_deleted(house: House) -> None:
    house.publish(1)
    house.hide(1)
    house.delete(1)
    house.step()
    assert (house.names(), house.counts(), house.desk.of(1).is_taken_down) == (set(), {}, False)


def test_one_whose_lease_is_lost_is_looked_at_later(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    job = house.publish(1)
    house.delete(1)
    assert house.work.step() == 1
    monkeypatch.setattr(leases, "renew", lambda journal, sha256: False)
    assert house.work.step() == 0
    (one,) = takedowns.of(house.desk.journal, job.id)
    assert (one.step, house.of(job)) == ("leaving", PICTURE) and one.at > time.time() + 30


@pytest.mark.parametrize("how", ["blocked", "hidden"])
def test_one_whose_objects_arrive_after_it_was_hidden(house: House, how: str) -> None:
    job = house.desk.render(1)
    if how == "blocked":
        assert editing.block(house.desk.journal, str(job.sha256), time.time()).hidden == 1
        house.publish_due()
    else:
        house.hide(1)
    assert (house.of(job), house.pictures()) == (PICTURE, [])
    house.step()
    assert (house.names(), house.desk.spooled(), house.desk.of(1).is_taken_down) == (set(), set(), True)


def test_a_blocked_picture_that_comes_again_and_again(make_house: Callable[..., House]) -> None:
    """The dead letters that have it keep none of its objects; let in again, all are published."""
    house = make_house()
    picture = house.publish(1, b"the same")
    house.desk.fetch(2, b"the same")
    house.desk.render(3, b"the same")
    house.uploader.object_stage.step()
    assert transitions.bury(house.desk.journal, house.desk.of(3), "its row is refused")
    became = editing.block(house.desk.journal, str(picture.sha256), time.time())
    assert (became.hidden, became.stopped) == (1, 1)
    house.publish_due()
    house.step()
    assert (house.names(), house.counts()) == (set(), {})
    assert transitions.revive(house.desk.journal, [house.desk.of(3).id]) == []
    assert editing.unblock(house.desk.journal, str(picture.sha256), NO_EDITING, time.time()) is not None
    assert transitions.revive(house.desk.journal, [house.desk.of(3).id])
    for number in (1, 2, 3):
        house.publish(number, b"the same")
    assert (house.of(picture), len(house.pictures())) == (PICTURE, 3)


@pytest.mark.parametrize("state", ["fetched", "rendered"])
def test_one_that_got_another_picture_before_it_was_hidden(house: House, state: str) -> None:
    """Its row goes at once, then what readers saw before, and what is in the spool of the new one."""
    house.publish(1)
    house.desk.take(1, picture="b", edited_at=POSTED + 60)
    (house.desk.fetch if state == "fetched" else house.desk.render)(1, b"the new one")
    house.hide(1)
    assert house.pictures() == []
    house.step()
    assert (house.names(), house.desk.spooled()) == (set(), set())


def test_the_member_of_an_album(house: House) -> None:
    jobs = [house.publish(number) for number in (1, 2, 3)]
    sql(house.desk.journal, "UPDATE jobs SET grouped_id = 7, state = 'rendered', revision = revision + 1")
    house.publish_due()
    house.hide(1)
    house.delete(2)
    house.step()
    assert [house.of(job) for job in jobs] == [0, 0, PICTURE]
    assert [(one["message_id"], one["album_position"]) for one in house.pictures()] == [(3, 1)]


def test_rows_and_renditions_are_made_anew_of_what_is_shown(house: House) -> None:
    """A hidden one stays so, whatever the operator has written or rendered again; so does one that was taken down."""
    for number in (1, 2, 3):
        house.publish(number)
    house.hide(1)
    house.step()
    house.hide(2)
    assert sum(write_rows_again(house.options)) == 0
    sql(house.desk.journal, "UPDATE addresses SET columns = 1")
    assert sum(fill_rows(house.options)) == 3
    house.publish_due()
    assert [one["message_id"] for one in house.pictures()] == [3]
    assert sum(want_renditions(house.options, "1a1b1c1d", channels=None, since=0.0)) == 1
    house.step()
    assert {key.split("/")[2] for key in house.names()} == {house.desk.of(3).sha256}


# What stays


def test_a_deletion_that_is_only_inferred(make_house: Callable[..., House]) -> None:
    house = make_house()
    house.publish(1)
    house.delete(1, is_told=False)
    house.step()
    assert (len(house.names()), house.counts()) == (PICTURE, {})
    house.delete(1, is_told=True)  # now somebody has said so
    house.step()
    assert house.names() == set()


def test_only_gc_where_it_is_off(desk: Desk) -> None:
    house = House(desk, FILES, after=-1.0)
    house.publish(1)
    hidden = house.publish(2)
    house.delete(1)
    house.hide(2)
    house.step()
    assert (len(house.names()), house.counts()) == (2 * PICTURE, {})
    assert len(list(collect(house.options, delete=True, grace_seconds=-60.0))) == 1
    assert house.of(hidden) == len(house.names()) == PICTURE, "it may be shown again at once"
    house.show(2)
    assert house.catalog.referenced([str(hidden.sha256)])
    house.close()


@pytest.mark.parametrize("is_new", [True, False])
def test_auto_is_on_in_a_new_installation_only(is_new: bool, desk: Desk) -> None:
    """It is a minute there."""
    if not is_new:
        sql(desk.journal, "UPDATE origin SET version = 0")
    house = House(desk, FILES, after="auto")
    house.publish(1)
    house.delete(1)
    began = desk.journal.clock()
    for seconds, count in ((58, PICTURE), (61, 0 if is_new else PICTURE)):
        desk.journal.clock = partial(float, began + seconds)
        house.step()
        assert len(house.names()) == count, seconds
    house.close()


def test_a_post_that_is_shown_again_in_time(desk: Desk) -> None:
    house = House(desk, FILES, after=60.0)
    house.publish(1)
    house.hide(1)
    assert house.counts() == {"waiting": 1}
    house.show(1)
    assert (house.counts(), len(house.names())) == ({}, PICTURE)
    house.close()


def test_a_deleted_message_that_comes_again(house: House) -> None:
    house.publish(1)
    house.delete(1)
    post = Post(CHANNEL, 1, POSTED + 1, None, None, "", Photo(1, "id:1", {}, None, None, None, None, source="telegram"))
    take(house.desk.journal, Page(Channel(CHANNEL, "Test"), (post,), 1, 1, {}, is_present=True), time.time())
    house.step()
    assert (len(house.names()), house.counts()) == (PICTURE, {})


def test_a_storage_that_fails(house: House, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is noted for /status, forgotten when it works, and nothing is lost."""

    def refuse(*_: object) -> None:
        raise StorageFault("may not delete")

    house.publish(1)
    house.delete(1)
    monkeypatch.setattr(type(house.storage), "delete", refuse)
    for _ in range(2):
        with pytest.raises(StorageFault):
            house.step()
    failure = breakers.get(house.desk.journal, "takedown")
    assert failure is not None and failure["error"] == "may not delete" and "list and delete" in failure["remedy"]
    monkeypatch.undo()
    house.work.row_seconds = 0.0
    house.step()
    assert (house.names(), breakers.get(house.desk.journal, "takedown")) == (set(), None)


# Copies


def test_copies_are_purged_once_the_objects_are_gone(desk: Desk, cdn: Cdn) -> None:
    house = behind(desk, cdn)
    keys = set()
    for number in range(1, 11):
        house.publish(number)
    keys = house.names()
    withdraw(desk.journal, CHANNEL, range(1, 11), time.time(), is_told=True)
    house.publish_due()
    house.step()
    assert sorted(cdn.purged) == sorted(f"https://pictures.example.org/{key}" for key in keys)
    assert cdn.requests == -(-len(keys) // MAX_URLS) == 2
    assert (house.counts(), house.names()) == ({}, set())
    house.close()


@pytest.mark.parametrize(
    ("answer", "words", "wait"),
    [
        ((403, {}, said(10000, "Authentication error")), "403: Authentication error (10000)", 15.0),
        ((404, {}, said(7003, "Could not route to that zone")), "404: Could not route to that zone (7003)", 15.0),
        ((400, {}, said(6003, "Invalid request headers")), "400: Invalid request headers (6003)", 15.0),
        ((429, {"Retry-After": "7"}, b""), "429: no word", 7.0),
        ((502, {}, b"<html>"), "502: no word", 15.0),
        ((200, {}, said(1, f"no {TOKEN}")), "no (the token) (1)", 15.0),
        ((302, {"Location": "http://127.0.0.1:1/"}, b""), "302", 15.0),
    ],
)
def test_a_refusal_is_tried_again_until_it_is_done(
    desk: Desk, cdn: Cdn, answer: tuple[int, dict[str, str], bytes], words: str, wait: float
) -> None:
    house = behind(desk, cdn)
    house.publish(1)
    house.delete(1)
    cdn.answers.append(answer)
    now = time.time()
    desk.journal.clock = lambda: now
    house.step()
    failure = breakers.get(desk.journal, "cdn")
    assert failure is not None and words in failure["error"] and TOKEN not in failure["error"]
    assert (failure["silent_until"] - now, house.counts(), house.names()) == (wait, {"purging": PICTURE}, set())
    assert ("Cache Purge" in failure["remedy"]) == (answer[0] in (400, 403, 404))
    house.step()
    assert cdn.purged == [], "it is left alone for a while"
    now += wait + 1
    house.step()
    assert (len(cdn.purged), breakers.get(desk.journal, "cdn"), house.counts()) == (PICTURE, None, {})
    house.close()


def test_a_cdn_that_is_not_there(cdn: Cdn) -> None:
    with pytest.raises(PurgeFault, match=r"no answer of the CDN: .*refused"):
        Cloudflare(ZONE, TOKEN, "http://127.0.0.1:1").purge(["https://a.org/b"])


@pytest.mark.parametrize(
    ("token", "api", "verdict", "words"),
    [
        (TOKEN, "", "ok", "tried with an unused one"),
        ("a wrong one", "", "failed", "403: Authentication error (10000). Put a token with the permission Cache Purge"),
        (TOKEN, "http://127.0.0.1:1", "warning", "no answer of the CDN"),
    ],
)
def test_check_has_the_cdn_forget_an_unused_address(
    desk: Desk, cdn: Cdn, token: str, api: str, verdict: str, words: str
) -> None:
    storage = {"cloudflare_zone": ZONE, "cloudflare_token": token, "cloudflare_api": api or cdn.api}
    tried = Checklist()
    check({"storage": {**storage, "public_url": "https://a.org/", "prefix": "p/"}}, tried)
    [result] = tried.results
    assert (
        result.verdict == verdict and words in result.what and token not in result.what.replace("cloudflare_token", "")
    )
    assert cdn.purged == (["https://a.org/p/.picturedesk-check"] if verdict == "ok" else [])


def test_check_says_nothing_of_a_cdn_that_is_not_set() -> None:
    tried = Checklist()
    check({"storage": {"cloudflare_zone": ""}}, tried)
    assert tried.results == []


def test_purges_are_dropped_when_there_is_no_zone_any_more(desk: Desk, cdn: Cdn) -> None:
    house = behind(desk, cdn, cloudflare_token="a wrong one")
    house.publish(1)
    house.delete(1)
    house.step()
    assert house.counts() == {"purging": PICTURE}
    house.close()
    house = House(desk, FILES)
    house.step()
    assert (house.counts(), breakers.get(desk.journal, "cdn")) == ({}, None)
    house.close()


def test_addresses_without_a_server_are_not_purged(desk: Desk, cdn: Cdn) -> None:
    house = behind(desk, cdn, public_url="")
    house.publish(1)
    house.delete(1)
    house.step()
    assert (cdn.requests, house.names()) == (0, set())
    house.close()
