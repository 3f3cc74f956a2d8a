"""What is shown of state_dir: objects and documents of ours in media/, originals of dead letters in the spool.

Promises. What is opened is a regular file, reached without following a link: under media/ by a key of our own forms, in
the spool by the number of a job that is dead. Its type is told by us, never guessed by a browser.
"""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from health.page.document import NO_REFERRER, NO_STORE, NOSNIFF, SAME_ORIGIN, origin
from ipc.files.object_layout import FEED_NAME, OBJECT_NAME, SITE_NAME
from ipc.files.spool import ORIGINAL

IMMUTABLE = (b"cache-control", b"private, max-age=31536000, immutable")
SANDBOX = (b"content-security-policy", b"default-src 'none'; sandbox")

TYPES = {
    "webp": b"image/webp",
    "avif": b"image/avif",
    "jpg": b"image/jpeg",
    "png": b"image/png",
    "gif": b"image/gif",
}
"""Content type by the ending of a key."""

LARGEST_THUMBNAIL = 16 * 2**20
"""Bytes. The original is shown as it is, since nothing could be made of it."""

DOCUMENT_TYPES = {
    "site/html": b"text/html; charset=utf-8",
    "site/css": b"text/css; charset=utf-8",
    "site/js": b"text/javascript; charset=utf-8",
    "site/xml": b"application/xml",
    "feeds/json": b"application/feed+json",
    "feeds/xml": b"application/atom+xml",
}
"""Content type by the folder and the ending of a key."""

SHORT = (b"cache-control", b"private, max-age=10")
"""Documents change under their names."""

HEAD_BYTES = 16
_DOCUMENT = re.compile(rf"(?:(site)/{SITE_NAME}|(feeds)/{FEED_NAME})")
_KEY = re.compile(rf"([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})/({OBJECT_NAME})")
_FLAGS = os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK | os.O_CLOEXEC


@dataclass(frozen=True, slots=True)
class ServedFile:
    """An open file: its descriptor, which the caller closes, its size in bytes, and the headers that it goes with."""

    fd: int
    size: int
    headers: tuple[tuple[bytes, bytes], ...]

    def close(self) -> None:
        os.close(self.fd)


def open_object(media: Path, key: str, prefix: str) -> ServedFile | None:
    """The object of that key; None if it is no key of ours under that prefix, or there is no such file."""
    if not key.startswith(prefix) or not (match := _KEY.fullmatch(key.removeprefix(prefix))):
        return None
    content_type = TYPES[match[3].rpartition(".")[2]]
    if (fd := open_below(media, key.split("/"))) is None:
        return None
    return _file(fd, content_type, IMMUTABLE)


def is_key(name: str) -> bool:
    """Whether that is the key of an object of ours, without its prefix."""
    return _KEY.fullmatch(name) is not None


def open_document(media: Path, key: str, prefix: str, public_url: str) -> ServedFile | None:
    """The gallery's page or the feed of that key; None if it is no key of ours under that prefix, or there is none."""
    name = key.removeprefix(prefix)
    if not key.startswith(prefix) or not (match := _DOCUMENT.fullmatch(name)):
        return None
    folder, ending = match[1] or match[2], name.rpartition(".")[2]
    if (fd := open_below(media, key.split("/"))) is None:
        return None
    kept = IMMUTABLE if ending in ("css", "js") else SHORT
    policy = site_policy(public_url) if folder == "site" else SANDBOX
    return _file(fd, DOCUMENT_TYPES[f"{folder}/{ending}"], kept, policy=policy)


def site_policy(public_url: str) -> tuple[bytes, bytes]:
    """The policy for the gallery: its style, its script and its pictures, and nothing else."""
    images = " ".join(filter(None, ("'self'", "data:", origin(public_url))))
    rules = f"default-src 'none'; style-src 'self'; script-src 'self'; img-src {images}"
    return b"content-security-policy", f"{rules}; base-uri 'none'; form-action 'none'; frame-ancestors 'none'".encode()


def open_original(spool: Path, job_id: int, generation: int) -> ServedFile | None:
    """The original of that job; None if it is not there, too large, or nothing that browsers show."""
    if (fd := open_below(spool, [f"{job_id}.{generation}", ORIGINAL])) is None:
        return None
    content_type = image_type(os.pread(fd, HEAD_BYTES, 0))
    if content_type is None or os.fstat(fd).st_size > LARGEST_THUMBNAIL:
        os.close(fd)
        return None
    return _file(fd, content_type, NO_STORE, (b"content-disposition", b"inline"))


def _file(
    fd: int, content_type: bytes, *more: tuple[bytes, bytes], policy: tuple[bytes, bytes] = SANDBOX
) -> ServedFile:
    size = os.fstat(fd).st_size
    plain = ((b"content-type", content_type), (b"content-length", b"%d" % size))
    return ServedFile(fd, size, (*plain, *more, NOSNIFF, NO_REFERRER, SAME_ORIGIN, policy))


def open_below(root: Path, parts: Sequence[str]) -> int | None:
    """A descriptor of the regular file, reached from `root` (which may be a link) without following any link."""
    if not all(part and part not in (".", "..") and "/" not in part and "\0" not in part for part in parts):
        return None
    try:
        folder = os.open(root, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    except OSError:
        return None
    fd = None
    try:
        for part in parts[:-1]:
            inner = os.open(part, _FLAGS | os.O_DIRECTORY, dir_fd=folder)
            os.close(folder)
            folder = inner
        fd = os.open(parts[-1], _FLAGS, dir_fd=folder)
        if stat.S_ISREG(os.fstat(fd).st_mode):
            found, fd = fd, None
            return found
    except OSError:
        return None
    finally:
        os.close(folder)
        if fd is not None:
            with suppress(OSError):
                os.close(fd)
    return None


def image_type(head: bytes) -> bytes | None:
    """The type of a picture that every browser shows, by its first bytes; None for all else.

    >>> image_type(b"\\xff\\xd8\\xff\\xe0"), image_type(b"RIFF\\0\\0\\0\\0WEBPVP8 "), image_type(b"<svg xmlns=")
    (b'image/jpeg', b'image/webp', None)
    """
    if head.startswith(b"\xff\xd8\xff"):
        return TYPES["jpg"]
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return TYPES["png"]
    if head.startswith((b"GIF87a", b"GIF89a")):
        return TYPES["gif"]
    if head.startswith(b"RIFF") and head[8:12] == b"WEBP":
        return TYPES["webp"]
    return TYPES["avif"] if head[4:12] in (b"ftypavif", b"ftypavis") else None
