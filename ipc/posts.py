"""What a source hands to the intake: posts with one photo each, in pages that carry the channel's cursor.

Plain values, the same for live posts, catch-up, backfill and an export. Ids are Telegram's, channel ids bare
and positive; every time is in Unix seconds, UTC. How a source found a post, and how it will find the
picture's bytes, is the source's own affair: `Photo.locator` is opaque to everyone else.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Photo:
    """The picture behind a message, as its source declares it; nothing here has been checked against the
    bytes.

    `identity` changes exactly when the picture does. It is written "kind:…": two identities of one kind can
    be compared, those of two kinds can't.
    """

    photo_id: int | None  # Telegram's; None from an export
    identity: str
    locator: dict[str, str | int]
    bytes: int | None
    width: int | None
    height: int | None
    mime: str | None


@dataclass(frozen=True, slots=True)
class Post:
    """A message with a photo. The members of an album are posts of their own that share `grouped_id`."""

    channel_id: int
    message_id: int
    posted_at: int
    edited_at: int | None
    grouped_id: int | None
    caption: str
    photo: Photo


@dataclass(frozen=True, slots=True)
class Channel:
    id: int
    title: str


@dataclass(frozen=True, slots=True)
class Page:
    """Consecutive messages of a channel, ascending.

    `cursor` is the highest message id among all of them, photo or not; `ignored` counts by kind ("text",
    "service", "video", …) those that are not photos.
    """

    channel: Channel
    posts: tuple[Post, ...]
    cursor: int
    ignored: dict[str, int]
