"""What a source hands to the intake: posts with one photo each, in pages that say which messages they cover.

Plain values, the same for live posts, catch-up, backfill and an export. Ids are Telegram's, channel ids bare
and positive; every time is in Unix seconds, UTC. How a source found a post, and how it will find the
picture's bytes, is the source's own affair: `Photo.locator` is opaque to everyone else.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, Literal

MORE = "more_pictures"
"""The kind under which a page counts the further pictures of its posts."""

Source = Literal["telegram", "export", "queue"]
"""Where a picture's bytes come from; `queue` is that of an origin, whose node this machine is."""

Kind = Literal["photo", "video"]
"""What a post shows: its picture, or a video whose poster its picture is."""

LIVE, BACKFILL, RENEWAL = 0, 1, 2
"""Priorities: what is posted now goes before what was posted long ago, and that before what is published already."""


@dataclass(frozen=True, slots=True)
class Photo:
    """The picture behind a message, as its source declares it; nothing here has been checked against the bytes.

    `identity` (`ipc.identities`) changes exactly when the picture does. A file's may change with its name alone: then
    `sha256`, that of its bytes, tells. A source gives it where the intake wants it.
    """

    photo_id: int | None  # Telegram's; None from an export
    identity: str
    locator: dict[str, Any]
    source: Source = field(kw_only=True)
    bytes: int | None
    width: int | None
    height: int | None
    mime: str | None
    sha256: str | None = None
    kind: Kind = "photo"


@dataclass(frozen=True, slots=True)
class Post:
    """A message with a photo. The members of an album are posts of their own that share `grouped_id`.

    `entities` are the caption's formatting: maps of `type`, `offset` and `length` (in UTF-16 code units, as Telegram
    counts) and what the type needs besides (`url`, `language`, …). `forwarded_from` is a map of what is known of the
    first sender: `channel_id`, `message_id`, `user_id`, `name`, `date`. `reply_to` is a message's id.
    `revision` is the one that the origin's journal has given it, on a node; None: the intake gives one.
    """

    channel_id: int
    message_id: int
    posted_at: int
    edited_at: int | None
    grouped_id: int | None
    caption: str
    photo: Photo
    entities: tuple[dict[str, Any], ...] = ()
    forwarded_from: dict[str, Any] | None = None
    reply_to: int | None = None
    revision: int | None = None


@dataclass(frozen=True, slots=True)
class Channel:
    """`name` is its public @name without the @: empty if it has none, None if the source does not know."""

    id: int
    title: str
    name: str | None = None


@dataclass(frozen=True, slots=True)
class Page:
    """A channel's messages from `low` to `high`, both included: there are no others between them.

    `posts` are those with a photo, ascending; `ignored` counts the others by kind ("text", "service", "video", …), and
    as `MORE` the pictures that posts have besides their first one.
    `is_present`: the source says how things are now, not how they were when a copy was made. `priority` orders the
    work, lowest first.
    """

    channel: Channel
    posts: tuple[Post, ...]
    low: int
    high: int
    ignored: dict[str, int]
    is_present: bool = False
    priority: int = LIVE

    def __post_init__(self) -> None:
        if self.priority not in (LIVE, BACKFILL):
            raise ValueError(f"no priority of a page: {self.priority}")


def clean(text: str) -> str:
    """The text without what UTF-8 or PostgreSQL can't hold: NUL, halves of a surrogate pair. The length stays."""
    return re.sub("[\0\ud800-\udfff]", "\ufffd", text)
