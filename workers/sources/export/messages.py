"""What an export's message means: its kind, its picture, its caption, its times, its origin, and its album.

Promises. Whatever the JSON holds, it becomes a `Message` or is refused as `Malformed`; what is no photo is told by its
kind, for the counts. Captions and file names can be stored as UTF-8 and in PostgreSQL. Nothing here reads a file.

Known limits of the format. It has no album ids, so albums are inferred. Old exports give dates without their zone;
these are read as UTC. A photo behind a paywall is not in an export at all (counted as "paid"). Formatting within
formatting is left out: of a link in bold type there is the bold type alone. Old exports name a forward's first sender,
but not by id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from reprlib import repr as brief
from typing import Any, Final, TypeGuard

from ipc.posts import Photo, Post, clean

ALBUM_MAX: Final = 10  # Telegram's limit
INT64_MAX: Final = 2**63 - 1
_YEAR_9999: Final = 253_402_300_799


class Malformed(Exception):
    """A message that is not as Telegram Desktop writes it. Its text is the reason."""


@dataclass(frozen=True, slots=True)
class Message:
    """A message of any kind. `album` is equal for neighbours that may be of one album."""

    id: int
    kind: str
    post: Post | None = None
    album: object = None


# Told by the first of these keys that a message has; what has none of them is a text.
_KINDS: Final = {
    "file": "file",
    "poll": "poll",
    "contact_information": "contact",
    "location_information": "location",
    "place_name": "location",
    "game_title": "game",
    "invoice_information": "invoice",
    "giveaway_information": "giveaway",
    "giveaway_results": "giveaway",
    "paid_stars_amount": "paid",
}
_MEDIA_TYPES: Final = {
    "sticker": "sticker",
    "animation": "animation",
    "video_file": "video",
    "video_message": "video_message",
    "voice_message": "voice_message",
    "audio_file": "audio",
}


def units(messages: Iterable[Message]) -> Iterator[list[Message]]:
    """Messages that belong together: albums, their posts with `grouped_id`, and everything else by itself.

    An export has no album ids. An album's members are neighbours, sent in the same second by the same author.
    """
    unit: list[Message] = []
    for message in messages:
        if unit and (message.album is None or message.album != unit[-1].album or len(unit) == ALBUM_MAX):
            yield _grouped(unit)
            unit = []
        unit.append(message)
    if unit:
        yield _grouped(unit)


def _grouped(unit: list[Message]) -> list[Message]:
    """The unit; if it is an album, under the id of its first message."""
    if len(unit) == 1:
        return unit
    return [replace(m, post=replace(m.post, grouped_id=unit[0].id)) if m.post else m for m in unit]


def read_message(value: object, channel_id: int, folder: Path) -> Message:
    """The message that an element of `messages` is, its picture in the export at `folder`. Raises Malformed."""
    if not isinstance(value, dict):
        raise Malformed(f"not an object: {brief(value)}")
    message_id = value.get("id")
    if not is_int(message_id) or not -INT64_MAX < message_id <= INT64_MAX or message_id == 0:
        raise Malformed(f"'id' is not a message's id: {brief(message_id)}")
    key, kind = _kind(value, message_id)
    if key is None:
        return Message(message_id, kind)
    posted_at = _time(value, "date")
    if posted_at is None:
        raise Malformed("neither 'date_unixtime' nor 'date' is there")
    caption, entities = _text(value.get("text_entities") or value.get("text") or "")
    post = Post(
        channel_id=channel_id,
        message_id=message_id,
        posted_at=posted_at,
        edited_at=_edited_at(value, posted_at),
        grouped_id=None,
        caption=caption,
        photo=_photo(value, key, folder),
        entities=entities,
        forwarded_from=_forwarded_from(value),
        reply_to=_reply_to(value, channel_id),
    )
    # Photos and documents are never in one album.
    album = (key, posted_at, value.get("from_id"), value.get("forwarded_from"))
    return Message(message_id, kind, post, album)


def _kind(message: Mapping[str, object], message_id: int) -> tuple[str | None, str]:
    """The key that names the picture's file (None: the message is ignored), and the kind, for the counts."""
    kind = message.get("type", "message")
    if not isinstance(kind, str):
        raise Malformed(f"'type' is not a string: {brief(kind)}")
    if kind != "message":
        return None, kind if kind in ("service", "unsupported") else "other"
    if message_id < 0:
        return None, "migrated"  # from the group that a supergroup once was: its ids are not the channel's
    if message.get("photo") is not None:
        return "photo", "photo"
    media_type = message.get("media_type")
    if media_type is not None:
        return None, _MEDIA_TYPES.get(str(media_type), "other")
    if message.get("file") is not None and str(message.get("mime_type")).lower().startswith("image/"):
        return "file", "photo"
    return None, next((told for key, told in _KINDS.items() if message.get(key) is not None), "text")


# A name before the bracket: as early exporters wrote it.
_LEFT_OUT: Final = re.compile(r"\((?:File|Photo) (?:not included|exceeds maximum size|unavailable)[^()]*\)\Z")


def _photo(message: Mapping[str, object], key: str, folder: Path) -> Photo:
    name = message[key]
    if not isinstance(name, str):
        raise Malformed(f"{key!r} is not a string: {brief(name)}")
    name = clean(name)
    size = _positive(message.get("photo_file_size" if key == "photo" else "file_size"))
    width, height = _positive(message.get("width")), _positive(message.get("height"))
    left_out = _LEFT_OUT.search(name)
    if name and not left_out:
        # Telegram Desktop numbers the photos of one export; in another one the same photo has another number.
        identity = "file:" + re.sub(r"^photos/photo_\d+@", "photos/photo@", name)
        locator = {"export": str(folder), "file": name}
    else:
        identity = "missing"
        locator = {"export": str(folder), "missing": left_out[0] if left_out else "(no file named)"}
    return Photo(
        photo_id=None,
        identity=f"{identity}:{size or '?'}:{width or '?'}x{height or '?'}",
        locator=dict(locator),
        source="export",
        bytes=size,
        width=width,
        height=height,
        mime=str(message["mime_type"]).lower() if key == "file" else "image/jpeg",
    )


def declared_bytes(identity: str) -> int | None:
    """The size that the export has declared of the picture with that identity.

    >>> [declared_bytes(one) for one in ("file:photos/a.jpg:9000:1280x960", "file:photos/a.jpg:?:?x?", "id:7")]
    [9000, None, None]
    """
    parts = identity.rsplit(":", 2)
    return int(parts[1]) if len(parts) == 3 and parts[1].isdecimal() else None


def _positive(value: object) -> int | None:
    """A size or an id. Nothing depends on it and old exporters leave it out: a strange one is passed over."""
    return value if is_int(value) and 0 < value <= INT64_MAX else None


def _time(message: Mapping[str, object], key: str) -> int | None:
    """Unix seconds from `key`_unixtime; else from `key`, which old exporters wrote alone, read as UTC."""
    unix, iso = message.get(f"{key}_unixtime"), message.get(key)
    seconds: int | None = None
    if unix is not None:
        if is_int(unix):
            seconds = unix
        elif isinstance(unix, str) and re.fullmatch(r"[0-9]{1,18}", unix):
            seconds = int(unix)
        if seconds is None or not 0 <= seconds <= _YEAR_9999:
            raise Malformed(f"'{key}_unixtime' is not a time: {brief(unix)}")
    elif iso is not None:
        try:
            seconds = int(datetime.fromisoformat(str(iso)).replace(tzinfo=UTC).timestamp())
        except ValueError:
            raise Malformed(f"{key!r} is not a date: {brief(iso)}") from None
    return seconds


def _edited_at(message: Mapping[str, object], posted_at: int) -> int | None:
    """The time of the edit. Early exporters wrote 1970 for "never"."""
    edited_at = _time(message, "edited")
    return edited_at if edited_at is not None and edited_at >= posted_at else None


def _text(value: object) -> tuple[str, tuple[dict[str, Any], ...]]:
    """The plain text of a string, or of an array of strings and of objects with `text`; and its formatting."""
    if isinstance(value, str):
        return clean(value), ()
    if not isinstance(value, list):
        raise Malformed(f"its text is neither a string nor an array: {brief(value)}")
    pieces: list[str] = []
    entities: list[dict[str, Any]] = []
    offset = 0
    for part in value:
        piece = part.get("text") if isinstance(part, dict) else part
        if not isinstance(piece, str):
            raise Malformed(f"a piece of its text is not a string: {brief(piece)}")
        pieces.append(clean(piece))
        length = len(pieces[-1].encode("utf-16-le")) // 2
        if isinstance(part, dict) and length and part.get("type", "plain") != "plain":
            entities.append(_entity(part, offset, length))
        offset += length
    return "".join(pieces), tuple(entities)


def _entity(part: Mapping[str, object], offset: int, length: int) -> dict[str, Any]:
    """The formatting of a piece of text, in the exporter's words, which are everybody's; a web address is its `url`."""
    kind = part["type"]
    if not isinstance(kind, str):
        raise Malformed(f"the 'type' of a piece of its text is not a string: {brief(kind)}")
    known = {
        "url": _words(part.get("href")),
        "language": _words(part.get("language")),
        "user_id": _positive(part.get("user_id")),
        "document_id": _document_id(part.get("document_id")),
    }
    entity = {"type": clean(kind), "offset": offset, "length": length}
    return entity | {name: value for name, value in known.items() if value is not None}


def _words(value: object) -> str | None:
    return clean(value) if isinstance(value, str) and value else None


def _document_id(value: object) -> int | None:
    """A custom emoji's id, which the exporter writes in quotes; if it has the emoji's file, then its path instead."""
    return _positive(int(value) if isinstance(value, str) and re.fullmatch("[0-9]{1,19}", value) else value)


_PEER: Final = re.compile(r"(channel|user)([0-9]{1,19})")


def _forwarded_from(message: Mapping[str, object]) -> dict[str, Any] | None:
    """What is known of the first sender: the name, and from newer exporters the id.

    One who is gone has no name (null). If nothing is known of him, the chat that it was taken from stands for him.
    """
    known: dict[str, Any] = {}
    if name := _words(message.get("forwarded_from")):
        known["name"] = name
    peer = _PEER.fullmatch(str(message.get("forwarded_from_id")))
    if peer and (peer_id := _positive(int(peer[2]))):
        known[f"{peer[1]}_id"] = peer_id
    if not known and (name := _words(message.get("saved_from"))):
        known["name"] = name
    return known or None


def _reply_to(message: Mapping[str, object], channel_id: int) -> int | None:
    """The message of this channel that it answers. One of another chat has an id that means another message here."""
    if message.get("reply_to_peer_id") not in (None, f"channel{channel_id}"):
        return None
    return _positive(message.get("reply_to_message_id"))


def is_int(value: object) -> TypeGuard[int]:
    return isinstance(value, int) and not isinstance(value, bool)


def name_of(value: object, index: int) -> str:
    """How to call a message in an error: by its id, else by its place in the array, from 1."""
    message_id = value.get("id") if isinstance(value, dict) else None
    return f"message {message_id}" if is_int(message_id) else f"message number {index}"
