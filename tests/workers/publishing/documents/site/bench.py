"""A gallery over a catalogue and a journal, without the rest of the program; and a reader who follows all its links."""

from __future__ import annotations

import posixpath
import re
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from functools import cache
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

from ipc.journal import Journal
from ipc.journal.outputs import site
from workers.publishing import catalog as catalogs
from workers.publishing.catalog import MessageRows
from workers.publishing.documents.progress import Progress
from workers.publishing.documents.site import Gallery
from workers.publishing.documents.site.gallery import NAME

CHANNEL = 7
SHA = "ab" + "c" * 62
THUMBHASH = "3OcRJYB4d3h/iIeHeEh3eIhw+j2w"
WIDTHS = (320, 640, 1280, 1920)
START = 1_760_000_000


def iso(second: int) -> str:
    return datetime.fromtimestamp(second, UTC).isoformat()


def sha_of(number: int) -> str:
    return f"{number % 256:02x}{'c' * 62}"


def rendition(base: str, width: int, kind: str, sha256: str = SHA) -> dict[str, Any]:
    key = f"{sha256[:2]}/{sha256}/{width}-0123abcd.{kind}"
    return {"width": width, "height": width * 3 // 4, "format": kind, "bytes": 9, "key": key, "url": f"{base}{key}"}


class Reader(HTMLParser):
    """All tags of a page with their attributes."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))


@cache
def anchors(text: str) -> list[dict[str, str]]:
    """The attributes of a page's anchors to other pages of ours. A parser would take most of the tests' time."""
    found = [dict(re.findall(r'([a-z-]+)="([^"]*)"', one)) for one in re.findall(r"<a ([^>]*)>", text)]
    return [one for one in found if not re.match(r"[a-z]+:|#", one["href"])]


class Bench:
    """`options` are put over the uploader's."""

    def __init__(self, folder: Path, *, public_url: str = "", prefix: str = "", **settings: Any) -> None:
        self.folder = folder
        self.options: dict[str, Any] = {
            "state_dir": str(folder),
            "storage": {"prefix": prefix, "public_url": public_url},
            "catalog": {"backend": "sqlite"},
            "site": {"enabled": True, "title": "", **settings},
            "feeds": {"enabled": True},
        }
        self.root = folder / "media" / f"{prefix}site"
        self.base = f"{public_url or (folder / 'media').as_uri()}/{prefix}"
        self.journal = Journal.open(folder / "journal.db")
        self.journal.run("add_channel", id=CHANNEL, title="", name=None, floor=1, cursor=0, ignored=b"\x80")
        self.catalog = catalogs.make(self.options)
        self.now = 0.0
        self.revision = 0
        self.reports: list[dict[str, Any]] = []
        self.posts: dict[int, int | None] = {}
        """What readers shall see: the album of each message."""

    # Rows

    def put(self, number: int, grouped: int | None = None, *, channel: int = CHANNEL, **fields: Any) -> None:
        self.put_all([number], grouped, channel=channel, **fields)

    def put_all(
        self, numbers: Iterable[int], grouped: int | None = None, *, channel: int = CHANNEL, **fields: Any
    ) -> None:
        batch = [self._entry(number, grouped, channel, fields) for number in numbers]
        for at in range(0, len(batch), 50):
            self.catalog.write_many(batch[at : at + 50])
        with self.journal.transaction():
            for entry in batch:
                number = entry.message["message_id"]
                what = "deleted" if entry.message["deleted_at"] else "published"
                values = {"channel_id": channel, "message_id": number, "what": what, "at": START}
                self.journal.run("note_change", **values)
                if what == "deleted":
                    self.posts.pop(number, None)
                else:
                    self.posts[number] = grouped

    def delete(self, number: int) -> None:
        self.put(number, self.posts[number], deleted_at=iso(START))

    def delete_all(self, numbers: Iterable[int]) -> None:
        for number in numbers:
            self.delete(number)

    def _entry(self, number: int, grouped: int | None, channel: int, fields: dict[str, Any]) -> MessageRows:
        self.revision += 1
        message = {
            "channel_id": channel,
            "message_id": number,
            "revision": self.revision,
            "grouped_id": grouped,
            "caption": fields.get("caption", f"Caption {number}"),
            "posted_at": iso(START + 60 * number),
            "edited_at": fields.get("edited_at"),
            "deleted_at": fields.get("deleted_at"),
            "entities": [],
        }
        sha256 = sha_of(number)
        renditions = [rendition(self.base, width, kind, sha256) for width in WIDTHS for kind in ("webp", "avif")]
        image = {
            "channel_id": channel,
            "message_id": number,
            "photo_id": number,
            "sha256": sha256,
            "mime": "image/jpeg",
            "width": 1920,
            "height": 1440,
            "bytes": 9,
            "renditions": [*renditions, rendition(self.base, 1280, "jpg", sha256) | {"format": "jpeg"}],
            "thumbhash": THUMBHASH,
            "color": "#123456",
            "kind": "photo",
        }
        more = ("alt", "caption_html", "tags", "hidden_at")
        extra: dict[str, Any] = {name: fields[name] for name in more if name in fields}
        title = fields.get("title", f"Channel {channel}")
        return MessageRows({"id": channel, "title": title, "name": "thechannel"}, {**message, **extra}, image)

    # The gallery

    def gallery(self, **settings: Any) -> Gallery:
        options = {**self.options, "site": {**self.options["site"], **settings}}
        progress = Progress(NAME, lambda topic, **facts: self.reports.append(facts), clock=lambda: self.now)
        return Gallery(options, self.journal, progress, clock=lambda: self.now)

    def settle(self, gallery: Gallery, most: int = 100_000) -> int:
        """Have it do all that is due, and what is due a while later; how many steps that were."""
        steps = 0
        for _ in range(3):
            while gallery.step():
                steps += 1
                assert steps < most
            self.now += 60.0
        assert site.counts(self.journal)[0] == 0
        return steps

    # A reader

    def anchors(self, path: str) -> list[dict[str, str]]:
        return anchors((self.root / path).read_text(encoding="utf-8"))

    def hrefs(self, path: str, rel: str | None = None) -> list[str]:
        """Where its anchors lead, below the site's folder."""
        return [self._resolved(path, one["href"]) for one in self.anchors(path) if rel in (None, one.get("rel"))]

    def expected(self) -> list[str]:
        """The pages of all posts, the newest first."""
        paths = dict.fromkeys(
            f"{CHANNEL}/{number}.html" if grouped is None else f"{CHANNEL}/album-{grouped}.html"
            for number, grouped in sorted(self.posts.items())
        )
        return list(paths)[::-1]

    def check(self) -> None:
        """Every post is shown, in order, on its page and in the archive; none that is gone; no link leads astray."""
        expected = self.expected()
        there = {path.relative_to(self.root).as_posix() for path in self.root.rglob("*.html")}
        assert {one for one in there if re.fullmatch(r"\d+/(\d+|album-\d+)\.html", one)} == set(expected)
        seen = self._crawl()
        assert (sorted(seen - there), sorted(there - seen)) == ([], [])
        assert list(self._walk(expected[0] if expected else "")) == expected
        archive = [one for path in self._walk(self._newest_archive()) for one in self.tiles(path)]
        assert archive == expected
        sizes = [len(self.tiles(path)) for path in self._walk(self._newest_archive())]
        assert all(0 < size <= 18 for size in sizes)
        assert self.tiles("7/index.html") == expected[:18] if expected else True

    def tiles(self, path: str) -> list[str]:
        """The posts that a page shows, in their order."""
        return [self._resolved(path, one["href"]) for one in self.anchors(path) if one.get("data-stop") == "tile"]

    def _newest_archive(self) -> str:
        block = site.block(self.journal, CHANNEL, 2**62)
        while block is not None and not block.posts:
            block = site.below(self.journal, block)
        return f"{CHANNEL}/archive-{block.first_id}.html" if block else ""

    def _walk(self, path: str) -> Iterator[str]:
        """From page to older page; each of them leads back, too."""
        before = ""
        while path:
            yield path
            assert self.hrefs(path, "prev") == ([before] if before else [])
            before, path = path, next(iter(self.hrefs(path, "next")), "")

    def _crawl(self) -> set[str]:
        seen, todo = set[str](), ["index.html"]
        while todo:
            path = todo.pop()
            if path in seen:
                continue
            seen.add(path)
            todo += [one for one in self.hrefs(path) if one.endswith(".html")]
        # A site of one channel need not link to that one's page, nor to the archive if all is on the front page.
        unneeded = ["7/index.html", *([self._newest_archive()] if len(self.expected()) <= 18 else [])]
        return seen | {path for path in unneeded if path and (self.root / path).exists()}

    def _resolved(self, path: str, href: str) -> str:
        target = posixpath.normpath(posixpath.join(posixpath.dirname(path), href.partition("#")[0]))
        return "../x" if target.startswith("..") else target
