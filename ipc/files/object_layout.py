"""What a published picture looks like outside: its object keys, and its rows. Pure functions of the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, Literal

from ipc.files.spool import ORIGINAL, STRIPPED
from ipc.jobs import Job, Rendition
from ipc.text.timestamps import iso

CONTENT_TYPES = {"webp": "image/webp", "avif": "image/avif"}
"""Of each format. A row's renditions of one width are in this order."""

Published = Literal["stripped", "as_is", "none"]
"""What of an original is published: all but its metadata, the file as it came, or nothing."""

RECIPE = r"[0-9a-f]{8}"
"""What a rendition was made by, as its key says it: a pattern."""

_DIMENSION = r"[1-9][0-9]{0,4}"
_EXTENSIONS = r"(?:jpg|png|webp|avif|gif)"
OBJECT_NAME = (
    rf"(?:{_DIMENSION}\.(?:webp|avif)|{_DIMENSION}-{RECIPE}\.(?:webp|avif|jpg)|preview-{RECIPE}\.jpg"
    rf"|(?:stripped|original)\.{_EXTENSIONS})"
)
"""The last part of every key that this program makes, has made, or that one of its next versions will: a pattern."""

_ID = r"[1-9][0-9]{0,18}"
SITE_NAME = (
    rf"(?:index\.html|gallery-[0-9a-f]{{8}}\.(?:css|js)|sitemap\.xml"
    rf"|{_ID}/(?:(?:index|{_ID}|album--?{_ID}|archive-(?:0|{_ID}))\.html|sitemap-(?:0|{_ID})\.xml))"
)
"""What comes after `{prefix}site/` in the key of every document of the gallery: a pattern."""

FEED_NAME = rf"(?:all|{_ID})\.(?:json|xml)"
"""What comes after `{prefix}feeds/` in the key of every feed: a pattern."""


@dataclass(frozen=True, slots=True)
class Layout:
    """What the settings say of objects: what is put before their keys, and what of each original is one."""

    prefix: str
    originals: Published = "stripped"


@dataclass(frozen=True, slots=True)
class Object:
    """One object to store: its key, the name of its file in the job's spool folder, content type, size in bytes."""

    key: str
    file: str
    content_type: str
    bytes: int

    @property
    def is_exact(self) -> bool:
        """Whether only these bytes will do: what another version has made of the picture is as good."""
        return self.file == ORIGINAL


def objects_of(job: Job, prefix: str) -> Iterator[Object]:
    """The job's objects, the original last, as `job.original` says that it is published (see `original_of`).

    Keys are made of the original's sha256 and, for renditions, of the recipe: a repetition changes nothing.
    """
    for one in job.renditions:
        yield Object(rendition_key(job, one, prefix), f"{one.width}.{one.format}", CONTENT_TYPES[one.format], one.bytes)
    content_type = job.mime or "application/octet-stream"
    if job.original == "stripped":
        yield Object(stripped_key(job, prefix), STRIPPED, content_type, job.stripped_bytes or 0)
    elif job.original == "as_is":
        yield Object(original_key(job, prefix), ORIGINAL, content_type, job.bytes or 0)


def original_of(job: Job, wanted: Published) -> Published | None:
    """What of a rendered job's original is to be published, where the settings want that.

    What can't be stripped is not published. None: it has to be stripped, which has not been tried.
    """
    if wanted != "stripped":
        return wanted
    if job.stripped_bytes is None:
        return None
    return "stripped" if job.stripped_bytes else "none"


def rendition_key(job: Job, one: Rendition, prefix: str) -> str:
    """The key of one of the job's renditions. What an earlier version rendered has no recipe, and keeps its keys."""
    return _key(job, prefix, f"{one.width}{f'-{job.recipe}' if job.recipe else ''}.{one.format}")


def stripped_key(job: Job, prefix: str) -> str:
    return _key(job, prefix, f"stripped.{job.extension}")


def original_key(job: Job, prefix: str) -> str:
    return _key(job, prefix, f"original.{job.extension}")


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
    """Its rank in the row: readers rely on the order."""
    return one.width, list(CONTENT_TYPES).index(one.format)


def address_of(url_of: Callable[[str], str], prefix: str) -> str:
    """What the URLs of all objects under the prefix begin with.

    >>> address_of("https://pictures.example.org/{}".format, "news/")
    'https://pictures.example.org/news/'
    """
    return url_of(f"{prefix}0").removesuffix("0")


def _rendition(job: Job, one: Rendition, prefix: str, url_of: Callable[[str], str]) -> dict[str, Any]:
    key = rendition_key(job, one, prefix)
    return {
        "width": one.width,
        "height": one.height,
        "format": one.format,
        "bytes": one.bytes,
        "key": key,
        "url": url_of(key),
    }
