"""What an export's message means: its kind, its picture, its caption, its times, its origin, and its album.

Promises. Whatever the JSON holds, it becomes an `ExportMessage` or is refused as `Malformed`; what is no photo has its
kind alone, for the counts. Captions and file names can be stored as UTF-8 and in PostgreSQL. Nothing here reads a file.

Known limits of the format. It has no album ids, so albums are inferred. Old exports give dates without their zone;
these are read as UTC. A photo behind a paywall is not in an export at all (counted as "paid"). Old exports
name a forward's first sender, but not by id.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from reprlib import repr as brief
from typing import Final

from ipc.identities import Identity
from ipc.posts import Photo, Post, clean
from ipc.text.timestamps import LATEST
from workers.sources.export.reading.formatting import forwarded_from, read_text, reply_to
from workers.sources.export.reading.values import INT64_MAX, Malformed, is_int, positive

ALBUM_MAX: Final = 10  # Telegram's limit


@dataclass(frozen=True, slots=True)
class ExportMessage:
    """A message of any kind. `album` is equal for neighbours that may be of one album."""

    id: int
    kind: str
    post: Post | None = None
    album: object = None


# The first of these keys that a message has is its kind; a message with none of them is a text.
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


_VIDEO_KINDS: Final = ("video", "animation")
_POSTER: Final = "thumbnail"
"""The key of a video's poster."""


def units(messages: Iterable[ExportMessage]) -> Iterator[list[ExportMessage]]:
    """Messages that belong together: albums, their posts with `grouped_id`, and everything else by itself.

    An export has no album ids. An album's members are neighbours, sent in the same second by the same author.
    """
    unit: list[ExportMessage] = []
    for message in messages:
        if unit and (message.album is None or message.album != unit[-1].album or len(unit) == ALBUM_MAX):
            yield _grouped(unit)
            unit = []
        unit.append(message)
    if unit:
        yield _grouped(unit)


def _grouped(unit: list[ExportMessage]) -> list[ExportMessage]:
    """The unit; if it is an album, under the id of its first message."""
    if len(unit) == 1:
        return unit
    return [replace(m, post=replace(m.post, grouped_id=unit[0].id)) if m.post else m for m in unit]


def read_message(value: object, channel_id: int, folder: Path, *, posters: bool = False) -> ExportMessage:
    """The message that an element of `messages` is, its picture in the export at `folder`. `posters`: those of videos
    are taken as well. Raises Malformed.
    """
    if not isinstance(value, dict):
        raise Malformed(f"not an object: {brief(value)}")
    message_id = value.get("id")
    if not is_int(message_id) or not -INT64_MAX < message_id <= INT64_MAX or message_id == 0:
        raise Malformed(f"'id' is not a message's id: {brief(message_id)}")
    key, kind = _kind(value, message_id)
    if posters and kind in _VIDEO_KINDS and _has_poster(value):
        key, kind = _POSTER, "photo"
    if key is None:
        return ExportMessage(message_id, kind)
    posted_at = _time(value, "date")
    if posted_at is None:
        raise Malformed("neither 'date_unixtime' nor 'date' is there")
    caption, entities = read_text(value.get("text_entities") or value.get("text") or "")
    post = Post(
        channel_id=channel_id,
        message_id=message_id,
        posted_at=posted_at,
        edited_at=_edited_at(value, posted_at),
        grouped_id=None,
        caption=caption,
        photo=_photo(value, key, folder),
        entities=entities,
        forwarded_from=forwarded_from(value),
        reply_to=reply_to(value, channel_id),
    )
    # Photos and documents are never in one album; photos and videos are.
    album = ("photo" if key == _POSTER else key, posted_at, value.get("from_id"), value.get("forwarded_from"))
    return ExportMessage(message_id, kind, post, album)


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
    is_image = message.get("file") is not None and str(message.get("mime_type")).lower().startswith("image/")
    if media_type == "animation" and is_image:
        return "file", "photo"  # a GIF that is one still
    if media_type is not None:
        return None, _MEDIA_TYPES.get(str(media_type), "other")
    if is_image:
        return "file", "photo"
    return None, next((kind for key, kind in _KINDS.items() if message.get(key) is not None), "text")


# A name before the bracket: as early exporters wrote it.
_LEFT_OUT: Final = re.compile(r"\((?:File|Photo) (?:not included|exceeds maximum size|unavailable)[^()]*\)\Z")


def _has_poster(message: Mapping[str, object]) -> bool:
    """Whether the export has a picture of the video. One that was left out is no picture that is missing."""
    name = message.get(_POSTER)
    return isinstance(name, str) and name != "" and not _LEFT_OUT.search(name)


def _photo(message: Mapping[str, object], key: str, folder: Path) -> Photo:
    name = message[key]
    if not isinstance(name, str):
        raise Malformed(f"{key!r} is not a string: {brief(name)}")
    name = clean(name)
    size = positive(message.get({"photo": "photo_file_size", _POSTER: "thumbnail_file_size"}.get(key, "file_size")))
    width, height = positive(message.get("width")), positive(message.get("height"))
    if key == _POSTER:
        width = height = None  # those are the video's
    left_out = _LEFT_OUT.search(name)
    if name and not left_out:
        # Telegram Desktop numbers the photos of one export; in another one the same photo has another number.
        identity = Identity.of_file(re.sub(r"^photos/photo_\d+@", "photos/photo@", name), size, width, height)
        locator = {"export": str(folder), "file": name}
    else:
        identity = Identity.of_left_out(size, width, height)
        locator = {"export": str(folder), "missing": left_out[0] if left_out else "(no file named)"}
    return Photo(
        photo_id=None,
        identity=str(identity),
        locator=dict(locator),
        source="export",
        bytes=size,
        width=width,
        height=height,
        mime=str(message["mime_type"]).lower() if key == "file" else "image/jpeg",
        kind="video" if key == _POSTER else "photo",
    )


def _time(message: Mapping[str, object], key: str) -> int | None:
    """Unix seconds from `key`_unixtime; else from `key`, which old exporters wrote alone, read as UTC."""
    unix, iso = message.get(f"{key}_unixtime"), message.get(key)
    seconds: int | None = None
    if unix is not None:
        if is_int(unix):
            seconds = unix
        elif isinstance(unix, str) and re.fullmatch(r"[0-9]{1,18}", unix):
            seconds = int(unix)
        if seconds is None or not 0 <= seconds <= LATEST:
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


def name_of(value: object, index: int) -> str:
    """How to call a message in an error: by its id, else by its place in the array, from 1."""
    message_id = value.get("id") if isinstance(value, dict) else None
    return f"message {message_id}" if is_int(message_id) else f"message number {index}"
