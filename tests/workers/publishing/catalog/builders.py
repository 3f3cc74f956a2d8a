"""Rows for tests. A row's number tells its revision: whatever belongs to revision 5 has 5 somewhere in it."""

from __future__ import annotations

from typing import Any

from workers.publishing.catalog import MessageRows

CHANNEL = {"id": 7, "title": "Test", "name": None}
RENDITION = {"width": 320, "height": 200, "format": "webp", "bytes": 9, "key": "a/ü", "url": "https://example.org/a/ü"}


def message(revision: int, number: int = 1, /, **fields: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "channel_id": 7,
        "message_id": number,
        "revision": revision,
        "grouped_id": None,
        "caption": f"revision {revision}",
        "posted_at": "2025-02-01T10:00:00Z",
        "edited_at": None,
        "deleted_at": None,
        "entities": [],
        "forwarded_from": None,
        "reply_to": None,
        "hidden_at": None,
        "alt": None,
        "tags": None,
        "is_cover": False,
        "caption_html": None,
        "caption_shown": None,
    }
    return {**whole, **fields}


def image(revision: int, number: int = 1, /, **fields: Any) -> dict[str, Any]:
    whole: dict[str, Any] = {
        "channel_id": 7,
        "message_id": number,
        "photo_id": None,
        "sha256": digest(revision),
        "mime": "image/jpeg",
        "width": 640,
        "height": 400,
        "bytes": revision,
        "renditions": [RENDITION],
        "kind": None,
        "preview": None,
        "thumbhash": None,
        "color": None,
        "phash": None,
        "has_alpha": None,
        "animated": None,
        "alt": None,
    }
    return {**whole, **fields}


def digest(number: int) -> str:
    return f"{number:064x}"


def entry(revision: int, number: int = 1, /, **fields: Any) -> MessageRows:
    """A message of that revision with its image; `fields` are the message's."""
    return MessageRows(CHANNEL, message(revision, number, **fields), image(revision, number))


def hidden(revision: int, number: int = 1, /, **fields: Any) -> MessageRows:
    return MessageRows(CHANNEL, message(revision, number, hidden_at="2025-03-01T10:00:00Z", **fields))


def deletion(revision: int, number: int = 1) -> MessageRows:
    return MessageRows(CHANNEL, message(revision, number, deleted_at="2025-03-01T10:00:00Z"))
