"""The gallery follows the rows: whatever happens to them, its pages are those of the posts that readers see."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any
from unittest import mock

import pytest

from ipc import failpoints
from ipc.intake import take
from ipc.journal.outputs import changes, site
from ipc.posts import Channel, Page
from ipc.process.checklist import Checklist
from tests import lengths
from tests.checking import good
from tests.ipc.builders import post
from tests.ipc.tables import sql
from tests.workers.publishing.documents.site.bench import CHANNEL, START, Bench, iso
from workers.publishing.documents import spoilers
from workers.publishing.documents.site import Gallery, check
from workers.publishing.documents.site import gallery as gallery_module
from workers.publishing.documents.site.newest import FEW_ROWS, newest_posts
from workers.publishing.documents.site.partition import PER_BLOCK
from workers.publishing.storage import FileStorage, StorageFault

MAKE = Callable[..., Bench]
POINTS = [name for name in failpoints.NAMES if name.startswith("site.")]
RUNS = [((point,), time) for point in POINTS for time in (1, 2, 3)] if lengths.is_long else [(tuple(POINTS), 1)]
"""All kills in one run, or each alone."""

NEVER_REACHED = {("site.begun", 3), ("site.divided", 3), ("site.removed", 2), ("site.removed", 3)}
"""So often no step of `acts_of` comes by there."""


class Killed(BaseException):
    """What a failpoint does here."""


class Writes:
    """Counts what a storage of files is asked to write and to delete."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.keys: list[str] = []
        for name in ("put_document", "delete"):
            monkeypatch.setattr(FileStorage, name, self._counting(getattr(FileStorage, name)))

    def _counting(self, method: Any) -> Any:
        def counted(storage: FileStorage, key: str, *more: Any) -> None:
            self.keys.append(key)
            method(storage, key, *more)

        return counted


def albums(bench: Bench) -> None:
    """Fifty posts, two of them albums."""
    bench.put_all(range(1, 31))
    bench.put_all(range(31, 36), grouped=900)
    bench.put_all(range(36, 60))
    bench.put_all(range(60, 63), grouped=901)


def test_there_are_pages_before_there_are_pictures(bench: Bench) -> None:
    bench.settle(bench.gallery())
    assert "No pictures yet" in (bench.root / "index.html").read_text()
    bench.check()


def test_what_was_there_before_is_built_and_what_comes_is_added(bench: Bench) -> None:
    albums(bench)
    gallery = bench.gallery()
    bench.settle(gallery)
    bench.check()
    for number in (70, 71, 95, 200):
        bench.put(number)
        bench.settle(gallery)
        bench.check()
    assert bench.reports[-1]["waiting"] == 0
    assert bench.reports[-1]["written_at"]
    (older,) = bench.hrefs("index.html", "next")
    assert [older] == bench.hrefs("7/index.html", "next") and bench.expected()[17] in bench.tiles(older)


def test_posts_go_and_come_back_anywhere(bench: Bench) -> None:
    albums(bench)
    gallery = bench.gallery()
    bench.settle(gallery)
    for numbers in ([1], [62, 31], [60, 18], range(19, 31), [61]):  # the last one is all that was left of its album
        for number in numbers:
            bench.delete(number)
            bench.settle(gallery)
        bench.check()
    bench.put(20)
    bench.put(61, grouped=901)
    bench.settle(gallery)
    bench.check()
    for number in list(bench.posts):
        bench.delete(number)
    bench.settle(gallery)
    bench.check()
    assert not list(bench.root.glob("7/[0-9a]*.html"))
    last = site.block(bench.journal, CHANNEL, 2**62)
    assert last is not None and last.first_id == 0, "what is empty is no block"


def test_an_import_brings_older_posts(bench: Bench) -> None:
    gallery = bench.gallery()
    bench.put_all(range(500, 530))
    bench.settle(gallery)
    for first in (400, 300, 515, 1):
        bench.put_all(range(first, first + 35), grouped=None)
        bench.settle(gallery)
        bench.check()


def test_a_hidden_post_is_gone_and_its_edit_is_shown(bench: Bench) -> None:
    bench.put_all(range(1, 6))
    gallery = bench.gallery()
    bench.settle(gallery)
    bench.put(3, hidden_at=iso(5))
    del bench.posts[3]
    bench.settle(gallery)
    bench.check()
    bench.put(3, caption="It is back", edited_at=iso(2_000_000_000))
    bench.settle(gallery)
    bench.check()
    text = (bench.root / "7/3.html").read_text()
    assert "It is back" in text
    assert "edited" in text


def test_rows_come_and_go_at_random(make_bench: MAKE) -> None:
    chance = random.Random(lengths.seed_of_the_run())
    bench = make_bench()
    gallery = bench.gallery()
    for _ in range(lengths.length(6, 60)):
        for _ in range(chance.choice((1, 5, 60))):
            number = chance.randrange(1, 400)
            if number in bench.posts and chance.random() < 0.6:
                bench.delete(number)
            elif number not in bench.posts:
                bench.put(number, grouped=number // 4 if number % 40 < 4 else None)
        bench.settle(gallery)
        bench.check()


def test_each_change_touches_a_few_pages_however_many_there_are(
    make_bench: MAKE, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(public_url="https://pictures.example.org")
    count = lengths.length(200, 100_000)
    bench.put_all(range(1, count + 1))
    gallery = bench.gallery()
    bench.settle(gallery)
    documents = site.counts(bench.journal)[1]
    assert documents >= count * (1 + 1 / PER_BLOCK)
    writes = Writes(monkeypatch)
    changed: dict[str, int] = {}
    acts: dict[str, Callable[[], None]] = {
        "new": lambda: bench.put(count + 1),
        "edit": lambda: bench.put(count // 2, caption="Another", edited_at=iso(2_000_000_000)),
        "deletion": lambda: bench.delete(count // 3),
        "late": lambda: bench.put(count // 3),
        "oldest": lambda: bench.delete(1),
    }
    for what, act in acts.items():
        act()
        steps = bench.settle(gallery)
        changed[what] = len(writes.keys)
        assert steps <= 12, what
        writes.keys.clear()
    # Itself, the posts and the pages beside it, the channel's page, the front page, two documents of the sitemap.
    assert max(changed.values()) <= 10, changed


def test_nothing_is_written_that_has_not_changed(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    albums(bench)
    bench.settle(bench.gallery())
    writes = Writes(monkeypatch)
    bench.settle(bench.gallery())
    bench.settle(bench.gallery(title="Another"))
    assert not [key for key in writes.keys if "gallery-" in key]
    assert len(writes.keys) == len(list(bench.root.rglob("*.html")))
    assert "Another" in (bench.root / "7/1.html").read_text()
    bench.check()


def test_what_somebody_has_deleted_is_made_again(bench: Bench) -> None:
    albums(bench)
    bench.settle(bench.gallery())
    for path in bench.root.rglob("*"):
        path.unlink() if path.is_file() else None
    bench.settle(bench.gallery())
    bench.check()


def test_live_posts_do_not_wait_for_what_is_built(bench: Bench) -> None:
    bench.put_all(range(1, 301))
    gallery = bench.gallery()
    for _ in range(10):
        gallery.step()
    bench.put(2000)
    gallery.step()
    assert gallery.is_waiting, "more may come"
    bench.now += 60.0
    for _ in range(6):
        gallery.step()
    assert site.counts(bench.journal)[0] > 0
    assert (bench.root / "7/2000.html").exists()
    assert "2000.html" in (bench.root / "index.html").read_text()
    bench.settle(gallery)
    bench.check()


def test_posts_that_come_all_the_time_do_not_keep_the_front_page_waiting(bench: Bench) -> None:
    gallery = bench.gallery()
    bench.settle(gallery)
    for number in range(1, 61):
        bench.put(number)
        bench.now += 1.0
        gallery.step()
        newest = next(iter(bench.tiles("index.html")), "0.html")
        assert int(Path(newest).stem) >= number - 25, "later than the longest wait and the steps after it"
    bench.settle(gallery)
    bench.check()


def test_no_more_rows_are_read_than_a_page_needs(bench: Bench) -> None:
    """A hosted project counts what it sends. Of albums more rows are read, and none of them is shown in part."""
    bench.put_all(range(1, 100))
    catalog = mock.Mock(pictures=mock.Mock(side_effect=bench.catalog.pictures))
    assert len(newest_posts(catalog, CHANNEL)) == FEW_ROWS - 1 > PER_BLOCK and catalog.pictures.call_count == 1
    for first in range(100, 400, 10):
        bench.put_all(range(first, first + 10), grouped=first)
    posts = newest_posts(catalog, CHANNEL)
    assert len(posts) > PER_BLOCK and {len(post.pictures) for post in posts} == {10}


def test_another_title_of_the_channel_is_on_all_its_pages(bench: Bench) -> None:
    bench.put_all(range(1, 60), title="Before")
    gallery = bench.gallery()
    bench.settle(gallery)
    bench.put(60, title="After")
    bench.settle(gallery)
    bench.check()
    assert not [one for one in bench.root.rglob("7/*.html") if "Before" in one.read_text()]


def test_an_edit_of_an_album_that_reaches_into_the_next_block_is_shown(bench: Bench) -> None:
    """A post was sent between its pictures, and begins that block."""
    bench.put_all(range(1, 18))
    bench.put_all([18, 20], grouped=900)
    bench.put_all([19, *range(21, 38)])
    gallery = bench.gallery()
    bench.settle(gallery)
    bench.check()
    assert site.block(bench.journal, CHANNEL, 20) != site.block(bench.journal, CHANNEL, 18)
    known = replace(post(20), channel_id=CHANNEL, grouped_id=900)
    take(bench.journal, Page(Channel(CHANNEL, ""), (known,), low=1, high=20, ignored={}), START)
    bench.put(20, 900, caption="Another")
    bench.settle(gallery)
    assert "Another" in (bench.root / "7/album-900.html").read_text()


def test_pages_are_made_anew_when_what_makes_them_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    digest: Callable[[], str] = gallery_module._source_digest.__wrapped__
    before = digest()
    other = tmp_path / "spoilers.py"
    other.write_bytes(Path(spoilers.__file__).read_bytes() + b"# another version")
    monkeypatch.setattr(spoilers, "__file__", str(other))
    assert digest() != before


@pytest.mark.parametrize(
    ("storage", "says", "is_warning"),
    [
        ({"public_url": "https://p.example/", "prefix": "p/"}, "https://p.example/p/site/index.html", False),
        ({"public_url": "", "backend": "files"}, "/site/ of the health server", False),
        ({"public_url": "", "backend": "r2"}, "storage.public_url is empty", True),
    ],
)
def test_check_says_where_it_is(storage: dict[str, str], says: str, is_warning: bool) -> None:
    tried = Checklist()
    check({"site": {"enabled": True}, "storage": storage}, tried)
    ((verdict, what),) = tried.results
    assert says in what and verdict == ("warning" if is_warning else "ok")
    assert good(check, {"site": {"enabled": False}, "storage": storage}) == ["site: off"]


def test_a_site_of_one_channel_has_its_title(bench: Bench) -> None:
    gallery = bench.gallery()
    bench.settle(gallery)
    sql(bench.journal, "UPDATE channels SET title = 'Channel 7'")
    bench.put_all(range(1, 4))
    bench.settle(gallery)
    bench.check()
    assert "<title>Channel 7</title>" in (bench.root / "index.html").read_text()


def test_a_gallery_that_is_turned_off_is_deleted(bench: Bench) -> None:
    albums(bench)
    bench.settle(bench.gallery())
    off = bench.gallery(enabled=False)
    while off.step():
        pass
    assert not bench.root.exists()
    assert site.made(bench.journal) is None
    assert changes.names(bench.journal) == []
    bench.settle(bench.gallery())
    bench.check()


def test_there_is_a_sitemap_of_what_others_can_follow(make_bench: MAKE) -> None:
    bench = make_bench(public_url="https://pictures.example.org", prefix="p/")
    bench.put_all(range(1000, 1040))
    gallery = bench.gallery()
    bench.settle(gallery)
    bench.check()
    index = (bench.root / "sitemap.xml").read_text()
    assert "https://pictures.example.org/p/site/7/sitemap-0.xml" in index
    assert "https://pictures.example.org/p/site/7/sitemap-1.xml" in index
    chunks = [(bench.root / f"7/sitemap-{number}.xml").read_text() for number in (0, 1)]
    assert [chunk.count("<loc>") for chunk in chunks] == [24, 16]
    bench.delete(1003)
    bench.settle(gallery)
    assert "/1003.html" not in (bench.root / "7/sitemap-0.xml").read_text()
    for number in list(bench.posts):
        bench.delete(number)
    bench.settle(gallery)
    assert "<loc>" not in (bench.root / "sitemap.xml").read_text()


def test_a_failure_is_reported_until_it_is_over(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    bench.put(1)
    gallery = bench.gallery()
    with monkeypatch.context() as broken:
        broken.setattr(FileStorage, "put_document", mock.Mock(side_effect=StorageFault("the disk is full")))
        with pytest.raises(StorageFault):
            bench.settle(gallery)
    assert bench.reports[-1]["error"] == "the disk is full"
    assert bench.reports[-1]["failing_since"]
    gallery.close()
    bench.settle(gallery)
    assert (bench.reports[-1]["error"], bench.reports[-1]["failing_since"]) == ("", None)
    bench.check()


@pytest.mark.parametrize(("points", "time"), RUNS)
def test_killed_at_any_step_it_goes_on(
    points: tuple[str, ...], time: int, make_bench: MAKE, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the points kills once, when it is reached for the n-th time."""
    bench = make_bench(public_url="https://pictures.example.org")
    left = dict.fromkeys(points, time)

    def reach(name: str) -> None:
        left[name] = left.get(name, 0) - 1
        if left[name] == 0:
            raise Killed

    monkeypatch.setattr(failpoints, "reach", reach)
    albums(bench)
    gallery, acts = bench.gallery(), iter(acts_of(bench))
    killed = 0
    while (act := next(acts, None)) is not None:
        gallery = act(gallery) or gallery
        while True:
            try:
                finish(bench, gallery)
                break
            except Killed:
                killed += 1
                gallery.close()
                gallery = bench.gallery(**gallery._settings)
    assert killed == len(points) or (points[0], time) in NEVER_REACHED
    bench.check()


def acts_of(bench: Bench) -> list[Callable[[Gallery], Gallery | None]]:
    """What happens to the gallery, one after another."""

    def restarted(gallery: Gallery, **settings: Any) -> Gallery:
        gallery.close()
        return bench.gallery(**settings)

    return [
        lambda gallery: None,
        lambda gallery: bench.put_all(range(100, 140)),
        lambda gallery: bench.delete_all(range(1, 20)),
        lambda gallery: bench.put(1),
        lambda gallery: restarted(gallery, enabled=False),
        lambda gallery: restarted(gallery, title="Another"),
        lambda gallery: bench.put(150),
    ]


def finish(bench: Bench, gallery: Gallery) -> None:
    for _ in range(2):
        while gallery.step():
            pass
        bench.now += 60.0


def test_the_points_are_all_reached(bench: Bench) -> None:
    assert CHANNEL == 7
    source = "".join(path.read_text() for path in Path("workers/publishing/documents/site").rglob("*.py"))
    assert all(f'reach("{point}")' in source for point in POINTS)
