"""Which picture a message has: what a source says of it, as a text in the journal, and whether two are the same.

An identity is written "kind:key". The kind says what it compares: `id` Telegram's number of it, `file` what an export
calls it, `queue` the hand-over that brought it; `missing` is one that the source left out. Two of different kinds can't
be compared.
"""

from __future__ import annotations

from dataclasses import dataclass

from ipc.jobs import Job
from ipc.posts import Photo

_UNKNOWN = "?"


@dataclass(frozen=True, slots=True)
class Identity:
    """One of that kind; `str` of it is what the journal has.

    >>> str(Identity.read("file:photos/a:b.jpg:9000:1280x960"))
    'file:photos/a:b.jpg:9000:1280x960'
    """

    kind: str
    key: str

    @classmethod
    def read(cls, text: str) -> Identity:
        kind, _, key = text.partition(":")
        return cls(kind, key)

    @classmethod
    def of_telegram(cls, number: int) -> Identity:
        """Of the photo, or document, with that number."""
        return cls("id", str(number))

    @classmethod
    def of_file(cls, name: str, size: int | None, width: int | None, height: int | None) -> Identity:
        """Of an export's file: `size` in bytes, sides in pixels. None: the export does not say."""
        return cls("file", f"{name}:{_facts(size, width, height)}")

    @classmethod
    def of_left_out(cls, size: int | None, width: int | None, height: int | None) -> Identity:
        """Of a file that the export left out."""
        return cls("missing", _facts(size, width, height))

    def __str__(self) -> str:
        return f"{self.kind}:{self.key}"

    @property
    def is_missing(self) -> bool:
        """Whether the source left the picture out."""
        return self.kind == "missing"

    def as_missing(self) -> Identity:
        """The same, where nothing can be said of the picture: the one that is known is kept."""
        return Identity("missing", str(self))

    def file_facts(self) -> tuple[str, str] | None:
        """Size and sides of an export's file, as they are written. None: it has none."""
        parts = self.key.rsplit(":", 2)
        return (parts[1], parts[2]) if self.kind == "file" and len(parts) == 3 else None


def _facts(size: int | None, width: int | None, height: int | None) -> str:
    return f"{size or _UNKNOWN}:{width or _UNKNOWN}x{height or _UNKNOWN}"


def declared_bytes(identity: str) -> int | None:
    """The size that the export has declared of the picture with that identity.

    >>> [declared_bytes(one) for one in ("file:photos/a.jpg:9000:1280x960", "file:photos/a.jpg:?:?x?", "id:7")]
    [9000, None, None]
    """
    facts = Identity.read(identity).file_facts()
    return int(facts[0]) if facts and facts[0].isdecimal() else None


def is_other_picture(old: str, new: str) -> bool:
    """Whether two identities are those of different pictures.

    A message seldom changes its picture, so two that can't be compared (an export's picture, and the same one seen
    live) count as the same. A picture that the source left out is another one once it is there; one that is missing now
    is the one we have.

    >>> is_other_picture("file:a", "file:b"), is_other_picture("file:a", "id:1")
    (True, False)
    >>> is_other_picture("file:a", "missing:1"), is_other_picture("missing:1", "file:a")
    (False, True)
    """
    before, now = Identity.read(old), Identity.read(new)
    if before.is_missing or now.is_missing:
        return not now.is_missing
    return before.kind == now.kind and before != now


def has_other_picture(known: Job, photo: Photo) -> bool:
    """Whether a message that is known has another picture now.

    A file of another name is another picture, unless it may be the same one and its bytes are, or none were ever
    fetched: then it only lies elsewhere.
    """
    if not is_other_picture(known.identity, photo.identity):
        return False
    if not may_be_renamed(known.identity, photo.identity):
        return True
    return known.sha256 is not None and photo.sha256 != known.sha256


def wants_sha256(known: Job, photo: Photo) -> bool:
    """Whether only the picture's bytes can tell if it is another one: the source gives their sha256, if it can."""
    if photo.sha256 is not None or known.sha256 is None or known.deleted_at is not None:
        return False
    return is_other_picture(known.identity, photo.identity) and may_be_renamed(known.identity, photo.identity)


def may_be_renamed(old: str, new: str) -> bool:
    """Whether two identities may be those of one file under two names: size and sides are the same, as far as known.

    Telegram Desktop puts the local time into the names: an export that is made again in another time zone has others.

    >>> may_be_renamed("file:photo@10-00.jpg:?:1280x960", "file:photo@12-00.jpg:9000:1280x960")
    True
    >>> may_be_renamed("file:a.jpg:8000:1280x960", "file:b.jpg:9000:1280x960"), may_be_renamed("id:1", "id:2")
    (False, False)
    """
    before, now = Identity.read(old).file_facts(), Identity.read(new).file_facts()
    if before is None or now is None:
        return False
    return all(one == other or _UNKNOWN in (one[0], other[0]) for one, other in zip(before, now, strict=True))
