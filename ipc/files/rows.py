"""The rows of a published picture, in the tables `messages` and `images`. Pure functions of the job."""

from __future__ import annotations

import base64
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from ipc.files.object_layout import CONTENT_TYPES, preview_key, rendition_key
from ipc.jobs import PREVIEW_SIZE, Job, Rendition
from ipc.text import captions
from ipc.text.timestamps import iso

VERSION: Final = 2
"""Version of the columns. A new column raises it: rows written before lack that one, and the journal knows which."""


@dataclass(frozen=True, slots=True)
class RowLayout:
    """What rows are made by: what is put before keys, the URL of a key, and whether captions have commands for us."""

    prefix: str
    url_of: Callable[[str], str]
    editor_commands: bool = False


def rows_of(job: Job, layout: RowLayout) -> dict[str, dict[str, Any] | None]:
    """The job's row in `messages` and in `images`, as plain values; times are ISO 8601 in UTC.

    A deleted message has no image: its row is a tombstone. Neither has a hidden one. What nobody has found out yet is
    None: an earlier version rendered the picture.
    """
    is_public = job.deleted_at is None and job.hidden_at is None
    caption = captions.shown(job.caption, job.entities, layout.editor_commands)
    return {
        "messages": _message(job, caption),
        "images": {**_image(job, layout), "alt": caption.alt} if is_public else None,
    }


def _message(job: Job, caption: captions.Caption) -> dict[str, Any]:
    return {
        "channel_id": job.channel_id,
        "message_id": job.message_id,
        "revision": job.revision,
        "grouped_id": job.grouped_id,
        "caption": job.caption,
        "entities": list(job.entities),
        "forwarded_from": job.forwarded_from,
        "reply_to": job.reply_to,
        "posted_at": iso(job.posted_at),
        "edited_at": iso(job.edited_at),
        "deleted_at": iso(job.deleted_at),
        "hidden_at": iso(job.hidden_at) if job.deleted_at is None else None,
        "alt": caption.alt,
        "tags": list(caption.tags),
        "is_cover": caption.cover,
        "caption_html": caption.html,
        "caption_shown": caption.text,
    }


def _image(job: Job, layout: RowLayout) -> dict[str, Any]:
    return {
        "channel_id": job.channel_id,
        "message_id": job.message_id,
        "photo_id": job.photo_id,
        "sha256": job.sha256,
        "mime": job.mime,
        "width": job.width,
        "height": job.height,
        "bytes": job.bytes,
        "renditions": [_rendition(job, one, layout) for one in sorted(job.renditions, key=_place)],
        "kind": _kind(job),
        "preview": _preview(job, layout),
        **_appearance(job),
    }


def _place(one: Rendition) -> tuple[int, int]:
    """The rank of a rendition in the row: readers rely on the order."""
    return one.width, list(CONTENT_TYPES).index(one.format)


def _rendition(job: Job, one: Rendition, layout: RowLayout) -> dict[str, Any]:
    key = rendition_key(job, one, layout.prefix)
    return {
        "width": one.width,
        "height": one.height,
        "format": one.format,
        "bytes": one.bytes,
        "key": key,
        "url": layout.url_of(key),
    }


def _kind(job: Job) -> str | None:
    if job.kind == "video":
        return "video"
    if job.appearance is None:
        return None
    return "animation" if job.appearance.frames > 1 else "photo"


def _preview(job: Job, layout: RowLayout) -> dict[str, Any] | None:
    if not job.preview_bytes:
        return None
    key, (width, height) = preview_key(job, layout.prefix), PREVIEW_SIZE
    return {"key": key, "url": layout.url_of(key), "width": width, "height": height, "bytes": job.preview_bytes}


def _appearance(job: Job) -> dict[str, Any]:
    found = job.appearance
    if found is None:
        return dict.fromkeys(("thumbhash", "color", "phash", "has_alpha", "animated"))
    return {
        "thumbhash": base64.b64encode(found.thumbhash).decode(),
        "color": found.color,
        "phash": signed(found.phash),
        "has_alpha": found.has_alpha,
        "animated": found.animated,
    }


def signed(bits: int) -> int:
    """64 bits as databases have them.

    >>> signed(5), signed(2**64 - 1)
    (5, -1)
    """
    return bits - 2**64 if bits >= 2**63 else bits
