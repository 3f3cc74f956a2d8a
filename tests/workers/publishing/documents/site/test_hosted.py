"""The gallery over rows and objects of the real program: with files and SQLite, and with a bucket and a project."""

from __future__ import annotations

import re
import time

from tests.workers.desk import CHANNEL, POSTED
from tests.workers.publishing.documents.conftest import Place
from workers.publishing.documents.progress import Progress
from workers.publishing.documents.site import Gallery
from workers.publishing.gc import GarbageScope, find


class Shown:
    """A gallery, and what a reader of it finds. `now` is its clock."""

    def __init__(self, place: Place, *, enabled: bool = True) -> None:
        self.place = place
        self.now = 0.0
        options = {**place.options, "site": {"enabled": enabled, "title": "The desk"}}
        self.gallery = Gallery(options, place.desk.journal, Progress("site", lambda *_, **__: None), lambda: self.now)

    def settle(self) -> None:
        for _ in range(2):
            while self.gallery.step():
                pass
            self.now += 60.0

    def page(self, path: str) -> str | None:
        data = self.place.storage.read(f"site/{path}")
        return None if data is None else data.decode()

    def pages(self) -> set[str]:
        """The posts that the front page leads to, each of which is there."""
        found = set(re.findall(rf'href="({CHANNEL}/[0-9]+\.html)"', self.page("index.html") or ""))
        assert all(self.page(path) for path in found)
        return found


def test_it_follows_what_is_published(place: Place) -> None:
    place.publish(1, 2)
    shown = Shown(place)
    shown.settle()
    assert shown.pages() == {f"{CHANNEL}/1.html", f"{CHANNEL}/2.html"}
    place.publish(3)
    place.edit(2, "corrected", POSTED + 100)
    place.delete(1)
    shown.settle()
    assert shown.pages() == {f"{CHANNEL}/2.html", f"{CHANNEL}/3.html"} and shown.page(f"{CHANNEL}/1.html") is None
    page = shown.page(f"{CHANNEL}/2.html") or ""
    assert "corrected" in page
    pictures = re.findall(r'"\.\./\.\./([0-9a-f]{2}/[0-9a-f]{64}/[^" ]+)', page)
    assert pictures and all(place.storage.read(key) for key in pictures)
    scope = GarbageScope(place.storage, place.catalog, place.desk.journal, "")
    found = [stored.key for garbage in find(scope, time.time() + 60) for stored in garbage.objects]
    assert not [key for key in found if key.startswith("site/")]
    shown.gallery.close()
    off = Shown(place, enabled=False)
    off.settle()
    assert not list(place.storage.list("site/"))
