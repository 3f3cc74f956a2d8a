"""What a published picture looks like outside: its object keys, and its rows. Pure functions of the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from ipc.jobs import Job, Rendition
from ipc.spool import ORIGINAL
from workers.times import iso

CONTENT_TYPES = {"webp": "image/webp", "avif": "image/avif"}
"""Of each format. A row's renditions of one width are in this order."""


@dataclass(frozen=True, slots=True)
class Object:
    """One object to store: its key, the name of its file in the job's spool folder, content type, size in bytes."""

    key: str
    file: str
    content_type: str
    bytes: int

    @property
    def is_original(self) -> bool:
        return self.file == ORIGINAL


def objects_of(job: Job, prefix: str) -> Iterator[Object]:
    """The job's objects, the original last. Keys are made of the original's sha256, so a repetition changes nothing."""
    for one in job.renditions:
        file = f"{one.width}.{one.format}"
        yield Object(_key(job, prefix, file), file, CONTENT_TYPES[one.format], one.bytes)
    yield Object(
        _key(job, prefix, f"original.{job.extension}"),
        ORIGINAL,
        job.mime or "application/octet-stream",
        job.bytes or 0,
    )


def _key(job: Job, prefix: str, file: str) -> str:
    assert job.sha256 is not None, "a rendered job has its original's digest"
    return f"{prefix}{job.sha256[:2]}/{job.sha256}/{file}"


def rows_of(job: Job, prefix: str, url_of: Callable[[str], str]) -> dict[str, dict[str, Any] | None]:
    """The job's row in `messages` and in `images`, as plain values; times are ISO 8601 in UTC.

    A deleted message has no image: its row is a tombstone.
    """
    address = {"channel_id": job.channel_id, "message_id": job.message_id}
    message = {
        **address,
        "revision": job.revision,
        "grouped_id": job.grouped_id,
        "caption": job.caption,
        "entities": list(job.entities),
        "forwarded_from": job.forwarded_from,
        "reply_to": job.reply_to,
        "posted_at": iso(job.posted_at),
        "edited_at": iso(job.edited_at),
        "deleted_at": iso(job.deleted_at),
    }
    if job.deleted_at is not None:
        return {"messages": message, "images": None}
    image = {
        **address,
        "photo_id": job.photo_id,
        "sha256": job.sha256,
        "mime": job.mime,
        "width": job.width,
        "height": job.height,
        "bytes": job.bytes,
        "renditions": [_rendition(job, one, prefix, url_of) for one in sorted(job.renditions, key=_place)],
    }
    return {"messages": message, "images": image}


def _place(one: Rendition) -> tuple[int, int]:
    """Where it stands in the row: readers rely on that."""
    return one.width, list(CONTENT_TYPES).index(one.format)


def _rendition(job: Job, one: Rendition, prefix: str, url_of: Callable[[str], str]) -> dict[str, Any]:
    key = _key(job, prefix, f"{one.width}.{one.format}")
    return {
        "width": one.width,
        "height": one.height,
        "format": one.format,
        "bytes": one.bytes,
        "key": key,
        "url": url_of(key),
    }
