"""Posts, made of the rows of the view `pictures`: an album is one post. And where each page is. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from workers.publishing.documents.spoilers import open_caption

Row = Mapping[str, Any]
"""A row of the view."""


@dataclass(frozen=True, slots=True)
class SitePost:
    """One message, or all of an album, that readers see. `first_id`: the lowest of its messages.

    `pictures` are its rows, as they are shown one after another.
    """

    channel_id: int
    first_id: int
    pictures: tuple[Row, ...]

    @property
    def path(self) -> str:
        """The post's page, below the site's folder. It lasts, whichever of an album's messages are deleted."""
        row = self.pictures[0]
        return post_path(self.channel_id, row["message_id"], row["grouped_id"])

    @property
    def cover(self) -> Row:
        return self.pictures[0]

    @property
    def channel_title(self) -> str:
        return str(self.cover["channel_title"] or self.cover["channel_name"] or self.channel_id)

    @property
    def told(self) -> Row:
        """The row with the caption: in an album, the first row that has one."""
        return next((row for row in self.pictures if row["caption"]), self.cover)

    @property
    def caption(self) -> str:
        return str(self.told["caption"] or "")

    @property
    def open_caption(self) -> str:
        """The caption without what is under a spoiler: for all places but its own page's text."""
        return open_caption(self.told)

    @property
    def posted_at(self) -> str:
        """When the first picture was posted, in ISO 8601."""
        return str(min(row["posted_at"] for row in self.pictures))

    @property
    def changed_at(self) -> str:
        """When the post was last edited, else posted, in ISO 8601."""
        return str(max(row["edited_at"] or row["posted_at"] for row in self.pictures))

    @property
    def tags(self) -> list[str]:
        """The tags of all pictures of the post, each once."""
        return list(dict.fromkeys(tag for row in self.pictures for tag in row["tags"] or ()))


def posts_of(rows: Iterable[Row]) -> list[SitePost]:
    """The posts that these rows are of, by channel and then the lowest first.

    A row without `src` has no rendition (the settings made none): there is nothing to show, as in the feeds.
    """
    found: dict[tuple[int, bool, int], list[Row]] = {}
    for row in rows:
        if not row["src"]:
            continue
        group = row["grouped_id"]
        found.setdefault((row["channel_id"], group is None, row["message_id"] if group is None else group), []).append(
            row
        )
    posts = (
        SitePost(key[0], min(row["message_id"] for row in some), tuple(sorted(some, key=_place)))
        for key, some in found.items()
    )
    return sorted(posts, key=lambda post: (post.channel_id, post.first_id))


def _place(row: Row) -> tuple[int, int]:
    return row["album_position"], row["message_id"]


INDEX = "index.html"


def post_path(channel_id: int, message_id: int, grouped_id: int | None) -> str:
    """The page of a message, or of its album.

    >>> post_path(7, 12, None), post_path(7, 12, 99)
    ('7/12.html', '7/album-99.html')
    """
    return f"{channel_id}/{message_id}.html" if grouped_id is None else f"{channel_id}/album-{grouped_id}.html"


def channel_path(channel_id: int) -> str:
    return f"{channel_id}/{INDEX}"


def archive_path(channel_id: int, first_id: int) -> str:
    """The page of the block that begins at that message."""
    return f"{channel_id}/archive-{first_id}.html"
