"""The feeds of an instance: read from the catalogue, written where they have changed.

`{prefix}feeds/{channel_id}.json` and `.xml` for each channel that has ever had a picture, `{prefix}feeds/all.json` and
`.xml` for all of them. A channel whose last picture has gone has an empty feed.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from ipc import failpoints
from ipc.files.object_layout import OBJECT_NAME
from ipc.journal import Journal, figures
from ipc.text.timestamps import iso
from workers.publishing.documents.feeds import atom, json_feed
from workers.publishing.documents.feeds.items import Feed, Row, clean, items_of, lasting_id, urn
from workers.publishing.documents.feeds.rows import newest_rows
from workers.publishing.documents.follower import PostKey
from workers.publishing.documents.writer import DocumentWriter
from workers.publishing.running.own_services import OwnServices

FOLDER, ALL = "feeds/", "all"
KEY = re.compile(r"feeds/(?:all|[1-9][0-9]*)\.(?:json|xml)")
"""Key of a feed of ours, below the prefix."""

SITE = "site/index.html"
"""The gallery's first page, below the prefix."""

_PICTURE = re.compile(rf"[0-9a-f]{{2}}/[0-9a-f]{{64}}/{OBJECT_NAME}$")


class Feeds:
    """The feeds, as `follower.Documents`. `options` are the uploader's."""

    def __init__(self, options: Mapping[str, Any], journal: Journal) -> None:
        self._options = options
        self._settings: Mapping[str, Any] = options["feeds"]
        self._journal = journal
        self._prefix: str = options["storage"]["prefix"]
        self._services = OwnServices(options)
        self._writer: DocumentWriter | None = None
        self._oldest: dict[int, int] = {}
        """The lowest message in the feed of each channel whose feed is full. Changes below it do not show."""

    def build_all(self) -> int:
        written = sum(self._refresh(channel["id"]) for channel in figures.channels(self._journal))
        return written + self._refresh(None)

    def build(self, posts: Collection[PostKey]) -> int:
        """A post in no channel's feed is not in that of all either: both have as many items."""
        newest: dict[int, int] = defaultdict(int)
        for channel_id, message_id in posts:
            newest[channel_id] = max(newest[channel_id], message_id)
        touched = [channel for channel, message_id in newest.items() if message_id >= self._oldest.get(channel, 0)]
        written = sum(self._refresh(channel_id) for channel_id in sorted(touched))
        return written + (self._refresh(None) if touched else 0)

    def remove_all(self) -> int:
        found = [one.key for one in self._services.storage.list(f"{self._prefix}{FOLDER}")]
        ours = [key for key in found if KEY.fullmatch(key.removeprefix(self._prefix))]
        for key in ours:
            self._documents().delete(key)
        return len(ours)

    def close(self) -> None:
        self._services.close()
        self._writer = None

    def _documents(self) -> DocumentWriter:
        if self._writer is None:
            self._writer = DocumentWriter(self._services.storage)
        return self._writer

    def _refresh(self, channel_id: int | None) -> int:
        """Write the feed of the channel, or of all, if it has changed. Returns the number of documents written."""
        documents, most = self._documents(), self._settings["items"]
        rows, has_older = newest_rows(self._services.catalog, channel_id, most)
        if channel_id is not None:
            self._oldest[channel_id] = min(row["message_id"] for row in rows) if has_older else 0
        json_key, atom_key = (f"{self._prefix}{FOLDER}{channel_id or ALL}.{ending}" for ending in ("json", "xml"))
        before = documents.read(atom_key)
        if before is None and not rows:
            return 0  # no reader has ever been told of it
        feed = self._feed(channel_id, rows, atom.updated_of(before or b""))
        written = int(documents.write(json_key, json_feed.render(feed), json_feed.CONTENT_TYPE))
        failpoints.reach("feeds.put")
        return written + int(documents.write(atom_key, atom.render(feed), atom.CONTENT_TYPE))

    def _feed(self, channel_id: int | None, rows: Sequence[Row], updated: str) -> Feed:
        """`updated` is when it was last, as its document says: a feed never goes back, whatever is deleted."""
        items = items_of(rows, self._settings["items"], self._link)
        title = self._settings["title"] if channel_id is None else clean(self._title(channel_id, rows))
        address, name = self._url(f"{FOLDER}{channel_id or ALL}"), rows[0]["channel_name"] if rows else None
        return Feed(
            id=urn(self._services.storage.url(self._prefix)) if channel_id is None else lasting_id(channel_id),
            title=title,
            home_page_url=self._home(None if channel_id is None else name),
            json_url=f"{address}.json",
            atom_url=f"{address}.xml",
            author="" if channel_id is None else title,
            updated=max([updated, iso(0), *(item.modified for item in items)]),
            items=items,
        )

    def _title(self, channel_id: int, rows: Sequence[Row]) -> str:
        if rows:
            return str(rows[0]["channel_title"])
        return next(str(one["title"]) for one in figures.channels(self._journal) if one["id"] == channel_id)

    def _home(self, channel_name: str | None) -> str:
        """The website, else the gallery, else the channel on Telegram."""
        if wanted := str(self._settings["home_page_url"]):
            return wanted
        if self._options.get("site", {}).get("enabled"):
            return self._url(SITE)
        return f"https://t.me/{channel_name}" if channel_name else ""

    def _url(self, name: str) -> str:
        """The address of a document of that name below the prefix; from another one in `feeds/`, without public_url."""
        if self._options["storage"]["public_url"]:
            return self._services.storage.url(f"{self._prefix}{name}")
        return name.removeprefix(FOLDER) if name.startswith(FOLDER) else f"../{name}"

    def _link(self, url: str) -> str:
        """The address of a picture, of that in its row. Rows have none for readers while there is no public_url."""
        if self._options["storage"]["public_url"] or not (match := _PICTURE.search(url)):
            return url
        return f"../{match[0]}"
