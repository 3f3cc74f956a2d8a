"""What every storage promises, and how it fails."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from workers.publishing.service.faults import JobFault, ServiceFault
from workers.publishing.threads import never

DOCUMENT_CACHE_CONTROL = "public, max-age=60"
"""Cache-Control of documents, which are written anew under their keys. A reader has a change within a minute."""

WIRE_CACHE_CONTROL = "private, no-store"
"""Cache-Control of originals on their way to a node. Nobody else has any use for them, and they are deleted soon."""


class StorageFault(ServiceFault):
    """The storage itself fails: no fault of the object."""


class ObjectFault(JobFault):
    """The storage works but will never take this object: its job's own fault, which says nothing of the others."""


@dataclass(frozen=True, slots=True)
class NewObject:
    """One object to store: the file `source` as `key`.

    `is_expected`: there is reason to think that it is there. `is_exact`: only these bytes will do. Otherwise one that
    is there already is as good, if it has another size: a rendition made by an encoder of another version.
    """

    key: str
    source: Path
    content_type: str
    is_expected: bool = False
    is_exact: bool = True


@dataclass(frozen=True, slots=True)
class Stored:
    """One object that is there. `modified_at` is in Unix seconds."""

    key: str
    bytes: int
    modified_at: float


@dataclass(frozen=True, slots=True)
class Put:
    """An object that was put: whether it is new, and the bytes of the object that is there."""

    key: str
    is_new: bool
    bytes: int


def ignore(put: Put) -> None:
    return None


class Storage(Protocol):
    """Objects by key.

    After `put` has returned the object is there whole, and readers see the whole object or none; after `sync` it
    stays so through a power cut. An object of the same size under the same key is taken for the same: keys are made of
    digests. One of another size is replaced if the item is exact, and kept if not: readers may have kept it too, and
    rows name it with its size.

    All methods raise StorageFault if the storage fails.
    """

    def put(self, key: str, source: Path, content_type: str) -> bool:
        """Store the file `source` as `key`; False if it was there already.

        Raises FileNotFoundError if `source` is not there, ObjectFault if the storage will never take it.
        """

    def put_all(
        self,
        items: Iterable[NewObject],
        *,
        stop: Callable[[], bool] = never,
        stored: Callable[[Put], None] = ignore,
        tries: int = 1,
    ) -> int:
        """Store the objects of pictures, each one's original last. Returns the number of new objects.

        Several may be on their way at once. `stored` is called for each, in the caller's thread.
        `tries` is the number of immediate tries of an object whose put fails in passing, before that is an error.
        `stop` is asked several times a second: once it says yes there are a few seconds left to finish
        (`threads.STOP_SECONDS`), then threads.Interrupted is raised. At the first error (those of `put`) no further
        object is begun, those under way are waited for, and it is raised. A key that comes twice may be stored once,
        and `stored` called once.
        """

    def sync(self) -> None:
        """Make all that was put, or deleted, since the last call survive a power cut."""

    def put_document(
        self, key: str, data: bytes, content_type: str, cache_control: str = DOCUMENT_CACHE_CONTROL
    ) -> None:
        """Store `data` as `key`, in place of what is there: a document (a feed, a page) changes under its key.

        After this the document survives a power cut; readers see the old one whole or the new one. Of two that write
        the same document at once the last one wins. A storage of files has no headers: who serves them says how long
        they may be kept. Raises ObjectFault if the storage will never take it.
        """

    def url(self, key: str) -> str:
        """Where readers find the object."""

    def read(self, key: str, most_bytes: int | None = None) -> bytes | None:
        """The whole object; None if it is not there. Raises ObjectFault if it is larger than `most_bytes`, before more
        of it than that is in memory.
        """

    def delete(self, key: str) -> None:
        """Delete the object; it need not be there."""

    def list(self, prefix: str = "") -> Iterator[Stored]:
        """Every object whose key begins with `prefix`; what is put meanwhile may be missing.

        Those of a folder without subfolders come one after another; there is no other order.
        """

    def last_sign(self) -> float:
        """When the storage last took or gave anything (monotonic). Any thread may ask; it returns at once."""

    def probe(self) -> None:
        """See whether it answers as one does that works, with one cheap request."""

    def close(self) -> None:
        """Let go of connections. It is not used any more."""
