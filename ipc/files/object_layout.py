"""The objects of a published picture: their keys, and what is in them. Pure functions of the job."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Literal
from urllib.parse import quote

from ipc.files.spool import ORIGINAL, PREVIEW, STRIPPED
from ipc.jobs import EXTENSIONS, Job, Rendition

CONTENT_TYPES = {"webp": "image/webp", "avif": "image/avif", "jpeg": "image/jpeg"}
"""Content type of each format. A row's renditions of one width are in this order."""

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

WIRE = "wire/"
"""The folder, after the prefix, of originals on their way to other machines."""

WIRE_NAME = r"(?:[0-9a-z]{1,32}/)?[0-9a-f]{32}"
"""What comes after `{prefix}wire/` in the key of every such original, its token: a folder called by its origin's
id (in an earlier version none), and 128 random bits. A pattern.
"""


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
    """The job's objects: its renditions in their order, its preview, and the original last, as `job.original` says that
    it is published (see `original_of`).

    Keys are made of the original's sha256 and, but for the original, of the recipe: a repetition changes nothing.
    """
    for one in job.renditions:
        yield Object(rendition_key(job, one, prefix), one.file, CONTENT_TYPES[one.format], one.bytes)
    if job.preview_bytes:
        yield Object(preview_key(job, prefix), PREVIEW, CONTENT_TYPES["jpeg"], job.preview_bytes)
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
    return _key(job, prefix, f"{one.width}{f'-{job.recipe}' if job.recipe else ''}.{EXTENSIONS[one.format]}")


def preview_key(job: Job, prefix: str) -> str:
    """The key of the job's picture for link cards, if it has one (`job.preview_bytes`)."""
    return _key(job, prefix, f"preview-{job.recipe}.jpg")


def stripped_key(job: Job, prefix: str) -> str:
    return _key(job, prefix, f"stripped.{job.extension}")


def original_key(job: Job, prefix: str) -> str:
    return _key(job, prefix, f"original.{job.extension}")


def _key(job: Job, prefix: str, file: str) -> str:
    assert job.sha256 is not None, "a rendered job has its original's digest"
    return f"{prefix}{job.sha256[:2]}/{job.sha256}/{file}"


def public_url(base: str, key: str) -> str:
    """Where readers find the object of that key; `base` has no slash at its end.

    >>> public_url("https://pictures.example.org", "my news/1.webp")
    'https://pictures.example.org/my%20news/1.webp'
    """
    return f"{base}/{quote(key)}"


def address_of(url_of: Callable[[str], str], prefix: str) -> str:
    """What the URLs of all objects under the prefix begin with.

    >>> address_of("https://pictures.example.org/{}".format, "news/")
    'https://pictures.example.org/news/'
    """
    return url_of(f"{prefix}0").removesuffix("0")
