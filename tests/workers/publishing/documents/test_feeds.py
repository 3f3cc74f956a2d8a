"""The feeds follow what is published: with files and SQLite, and with a bucket and a Supabase-like stack."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from urllib.parse import urljoin

import pytest

from ipc.journal.outputs import changes
from tests.checking import faults
from tests.ipc.tables import sql
from tests.workers.desk import CHANNEL, POSTED, Desk
from tests.workers.publishing.catalog.builders import image, message
from tests.workers.publishing.documents import validity
from tests.workers.publishing.documents.conftest import FEEDS, Place
from workers.publishing.catalog import MessageRows
from workers.publishing.documents.feeds import Feeds, check
from workers.publishing.documents.feeds.items import items_of
from workers.publishing.documents.feeds.rows import newest_rows
from workers.publishing.documents.follower import LONGEST_SECONDS, QUIET_SECONDS, Follower
from workers.publishing.documents.progress import REPORT_SECONDS, Progress
from workers.publishing.gc import GarbageScope, find
from workers.publishing.storage import StorageFault

NAMES = [f"feeds/{name}.{ending}" for name in (CHANNEL, "all") for ending in ("json", "xml")]


class Following:
    """A process that follows, on a clock of the test's. `reports` is what it said for /status."""

    def __init__(self, place: Place, **feeds: Any) -> None:
        self.place = place
        self.options = {**place.options, "feeds": {**FEEDS, **feeds}}
        self.now = 0.0
        self.reports: list[dict[str, Any]] = []
        self.feeds = Feeds(self.options, place.desk.journal)
        self.follower = Follower(
            "feeds",
            place.desk.journal,
            self.feeds,
            Progress("feeds", lambda topic, **facts: self.reports.append(facts)),
            enabled=self.options["feeds"]["enabled"],
            clock=lambda: self.now,
        )

    def step(self, seconds: float = 0.0) -> int:
        self.now += seconds
        return self.follower.step()

    def settle(self) -> int:
        """Let it see what is new, and become quiet; how many documents were written."""
        return self.step() + self.step(QUIET_SECONDS)


@contextmanager
def following(place: Place, **feeds: Any) -> Iterator[Following]:
    one = Following(place, **feeds)
    try:
        yield one
    finally:
        one.follower.close()


def titles(place: Place, name: str | int = CHANNEL, prefix: str = "") -> list[str]:
    """Of the items of a feed, whose two documents are valid and have the same."""
    documents = [place.storage.read(f"{prefix}feeds/{name}.{ending}") for ending in ("json", "xml")]
    assert all(documents), f"no feed {name}"
    whole, root = validity.json_feed(documents[0] or b""), validity.atom(documents[1] or b"")
    assert validity.texts(root, "a:entry/a:id") == [item["id"] for item in whole["items"]]
    return [item["title"] for item in whole["items"]]


def updated(place: Place) -> str:
    return validity.texts(validity.atom(place.storage.read(f"feeds/{CHANNEL}.xml") or b""), "a:updated")[0]


def keys(place: Place) -> list[str]:
    return sorted(one.key for one in place.storage.list("feeds/"))


def test_what_was_there_before_and_what_comes(place: Place) -> None:
    with following(place) as one:
        assert one.step() == 0 and keys(place) == [], "there is nothing to tell yet"
    place.publish(1, 2)
    with following(place) as one:
        assert one.step() == 4 and keys(place) == sorted(NAMES)
        assert titles(place) == titles(place, "all") == ["caption 2", "caption 1"]
        assert one.settle() == 0
        place.publish(3)
        assert one.step() == 0 and one.follower.is_waiting, "more may come"
        assert one.step(QUIET_SECONDS) == 4
        assert titles(place) == ["caption 3", "caption 2", "caption 1"]
    assert changes.after(place.desk.journal, 0, 9) == []
    assert changes.register(place.desk.journal, "feeds").is_built
    assert one.reports[-1]["waiting"] == 0 and one.reports[-1]["written_at"]


def test_edits_and_deletions(place: Place) -> None:
    place.publish(1, 2)
    with following(place) as one:
        one.step()
        place.edit(1, "corrected", POSTED + 100)
        assert one.settle() == 4
        assert titles(place) == ["caption 2", "corrected"] and updated(place) == "2025-02-01T10:01:40Z"
        place.delete(1)
        assert one.settle() == 4
        assert titles(place) == ["caption 2"] and updated(place) == "2025-02-01T10:01:40Z", "it never goes back"
        place.delete(2)
        assert one.settle() == 4
        assert titles(place) == titles(place, "all") == []
    with following(place) as another:
        assert another.step() == 0 and updated(place) == "2025-02-01T10:01:40Z"


def test_another_process_finds_what_has_become_wrong(place: Place) -> None:
    place.publish(1)
    with following(place) as one:
        one.step()
    place.storage.delete(f"feeds/{CHANNEL}.json")
    place.storage.put_document("feeds/all.xml", b"half", "text/plain")
    with following(place) as another:
        assert another.step() == 2 and titles(place) == titles(place, "all") == ["caption 1"]
    with following(place, title="News") as renamed:
        assert renamed.step() == 2, "the settings are others"
    assert json.loads(place.storage.read("feeds/all.json") or b"")["title"] == "News"


def test_while_posts_keep_coming_it_is_written_now_and_then(place: Place) -> None:
    place.publish(1)
    with following(place) as one:
        one.step()
        written = []
        for number in range(2, 14):
            place.publish(number)
            written.append(one.step(1.0))
        assert [second for second, documents in enumerate(written) if documents] == [int(LONGEST_SECONDS)]
        assert one.settle() == 4 and len(titles(place)) == 13


def test_a_storage_that_fails_is_told_and_nothing_is_lost(desk: Desk) -> None:
    place = Place(desk, {"backend": "files"}, {"backend": "sqlite"})
    place.publish(1)
    (desk.media / "feeds").write_text("in the way")
    with following(place) as one:
        for _ in range(2):
            with pytest.raises(StorageFault):
                one.step(60.0)
            one.follower.close()
        (failing,) = one.reports
        assert failing["failing_since"] and "feeds" in failing["error"]
        (desk.media / "feeds").unlink()
        assert one.step(60.0) == 4 and titles(place) == ["caption 1"]
        assert one.reports[-1]["error"] == "" and one.reports[-1]["failing_since"] is None
        (desk.media / "feeds").rename(desk.media / "away")
        (desk.media / "feeds").write_text("in the way")
        place.publish(2)
        with pytest.raises(StorageFault):
            one.settle()
        (desk.media / "feeds").unlink()
        place.publish(3)
        one.follower.close()
        assert one.step(60.0) == 4 and titles(place) == ["caption 3", "caption 2", "caption 1"]
    place.close()


def test_turned_off_they_are_deleted(place: Place) -> None:
    """Nobody would take a deleted post out of them."""
    place.publish(1)
    place.storage.put_document("feeds/readme.txt", b"somebody else's", "text/plain")
    with following(place) as one:
        one.step()
    with following(place, enabled=False) as off:
        assert off.step() == 4 and keys(place) == ["feeds/readme.txt"]
        assert off.step() == 0
    assert changes.names(place.desk.journal) == []
    place.publish(2)
    with following(place) as on:
        assert on.step() == 4 and titles(place) == ["caption 2", "caption 1"]


def test_what_is_older_than_a_full_feed_is_not_looked_at(desk: Desk) -> None:
    place = Place(desk, {"backend": "files"}, {"backend": "sqlite"})
    place.publish(1, 2, 3)
    with following(place, items=2) as one:
        one.step()
        (desk.state_dir / "catalog.db").rename(desk.state_dir / "hidden.db")
        place.catalog.close()
        assert one.feeds.build([(CHANNEL, 1)]) == 0 and titles(place) == ["caption 3", "caption 2"]
        assert one.feeds.build([(CHANNEL, 1), (CHANNEL, 2)]) == 4 and titles(place) == []
    place.close()


def test_gc_passes_over_them(desk: Desk) -> None:
    place = Place(desk, {"backend": "files", "prefix": "p/"}, {"backend": "sqlite"})
    place.publish(1)
    with following(place) as one:
        one.step()
        place.delete(1)
        one.settle()
    scope = GarbageScope(place.storage, place.catalog, place.desk.journal, "p/")
    (garbage,) = find(scope, time.time() + 60)
    assert all("/feeds/" not in stored.key for stored in garbage.objects)
    assert titles(place, prefix="p/") == []
    place.close()


@pytest.mark.parametrize("public_url", ["", "https://pictures.example.org"])
def test_links(public_url: str, make_place: Callable[..., Place]) -> None:
    """They lead to the objects: from the feed's own place, or wherever the settings say that these are."""
    place = make_place(prefix="p/", public_url=public_url)
    place.publish(1)
    with following(place) as one:
        one.step()
    root = validity.atom(place.storage.read(f"p/feeds/{CHANNEL}.xml") or b"")
    whole = validity.json_feed(place.storage.read(f"p/feeds/{CHANNEL}.json") or b"")
    base = f"{public_url or 'https://anywhere.example/media'}/"
    links = {link.get("rel"): link.get("href") for link in root.iterfind("a:entry/a:link", validity.ATOM)}
    shown = {whole["items"][0]["image"], whole["items"][0]["attachments"][0]["url"], links["enclosure"]}
    for link in shown:
        assert link.startswith(public_url or "../")
        assert place.storage.read(urljoin(f"{base}p/feeds/{CHANNEL}.xml", link).removeprefix(base))
    own = validity.texts(root, "a:link[@rel='self']/@href")
    assert own == [f"{public_url}/p/feeds/{CHANNEL}.xml" if public_url else f"{CHANNEL}.xml"]
    assert whole.get("feed_url") == (f"{public_url}/p/feeds/{CHANNEL}.json" if public_url else None)


@pytest.mark.parametrize(
    ("settings", "channel", "every"),
    [
        ({}, "https://t.me/desk", ""),
        ({"site": {"enabled": True}}, "https://p.example/site/index.html", "https://p.example/site/index.html"),
        ({"feeds": {**FEEDS, "home_page_url": "https://desk.example/"}}, *["https://desk.example/"] * 2),
    ],
)
def test_what_a_feed_leads_to(settings: dict[str, Any], channel: str, every: str, desk: Desk) -> None:
    """The website, else the gallery, else the channel on Telegram: all channels together have no such place."""
    place = Place(desk, {"backend": "files", "public_url": "https://p.example"}, {"backend": "sqlite"})
    desk.take(1)
    sql(desk.journal, "UPDATE channels SET name = 'desk'")
    place.publish(1)
    Feeds({**place.options, **settings}, desk.journal).build_all()
    documents = [json.loads(place.storage.read(f"feeds/{name}.json") or b"") for name in (CHANNEL, "all")]
    assert [one.get("home_page_url", "") for one in documents] == [channel, every]
    place.close()


def test_an_album_counts_as_one_however_its_pictures_are_mixed_with_others(place: Place) -> None:
    """Two channels post at the same time."""
    minute = "2026-11-30T08:00:"
    posts = [(7, 5, None, 19), (8, 3, None, 18), (7, 4, 900, 18), (7, 3, 900, 18), (8, 2, None, 17), (7, 2, 900, 7)]
    rows = [
        MessageRows(
            {"id": channel, "title": f"Channel {channel}", "name": None},
            message(1, number, channel_id=channel, grouped_id=album, posted_at=f"{minute}{second:02}Z"),
            image(1, number, channel_id=channel),
        )
        for channel, number, album, second in posts
    ]
    assert place.catalog.write_many(rows) == [True] * len(rows)
    for most, pictures in ((1, [1]), (2, [1, 1]), (3, [1, 1, 3]), (4, [1, 1, 3, 1])):
        found, has_older = newest_rows(place.catalog, None, most)
        items = items_of(found, most, str)
        assert [len(item.attachments) for item in items] == pictures and has_older == (most < 4)
    found, has_older = newest_rows(place.catalog, 8, 50)
    assert [row["message_id"] for row in found] == [3, 2] and not has_older


def test_check_says_what_readers_will_find() -> None:
    def say(enabled: bool, is_asked_for: bool, public_url: str) -> list[str]:
        feeds = {"enabled": enabled, "is_asked_for": is_asked_for}
        return faults(check, {"feeds": feeds, "storage": {"public_url": public_url}})

    assert not say(False, False, "") and not say(True, False, "") and not say(True, True, "https://p.example")
    (warning,) = say(True, True, "")
    assert "links are relative" in warning and "storage.public_url" in warning


def test_a_count_alone_is_reported_now_and_then() -> None:
    now, told = 1000.0, list[int]()
    progress = Progress("feeds", lambda _, **facts: told.append(facts["waiting"]), clock=lambda: now)
    for seconds, waiting in ((0, 1), (0, 2), (REPORT_SECONDS - 0.1, 3), (0.2, 4), (0, 5)):
        now += seconds
        progress.went_on(waiting)
    assert told == [1, 4]
    progress.failed(OSError("full"))
    progress.went_on(6)
    assert told == [1, 4, 5, 6], "what is more than a count, at once"
    now -= 500
    progress.went_on(7)
    assert told[-1] == 7, "the clock was set back"
