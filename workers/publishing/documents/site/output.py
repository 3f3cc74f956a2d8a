"""The gallery's documents are written when they have become others: the journal has the digest of what is there.

The order is what makes it safe to be killed: a document is written first, its digest recorded then. Written again, it
is the same.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from dataclasses import dataclass, field

from ipc import failpoints
from ipc.journal import Journal
from ipc.journal.outputs import site
from workers.publishing.documents.site.html.links import SITE
from workers.publishing.storage import Storage

HTML = "text/html; charset=utf-8"


@dataclass(frozen=True, slots=True)
class Document:
    """A document to be written. `post`: channel and lowest message of the post that it shows, `changed_at` of that."""

    path: str
    data: bytes
    kind: site.DocumentKind = "page"
    content_type: str = HTML
    post: tuple[int, int] | None = None
    changed_at: str | None = None


@dataclass(slots=True)
class Written:
    """What was done, to be recorded with the end of the task."""

    pages: list[site.SiteDocument] = field(default_factory=list)
    gone: list[str] = field(default_factory=list)
    count: int = 0
    """Documents that have become others, or were deleted."""


class Output:
    """Writes under `prefix`."""

    def __init__(self, journal: Journal, storage: Storage, prefix: str) -> None:
        self._journal = journal
        self._storage = storage
        self._folder = f"{prefix}{SITE}"

    def write(self, documents: Iterable[Document], gone: Iterable[str] = ()) -> Written:
        """Write `documents` and delete the documents at `gone`. Raises StorageFault and ObjectFault."""
        written = Written()
        for document in documents:
            digest = hashlib.blake2b(document.data, digest_size=16).digest()
            if digest != site.digest(self._journal, document.path):
                self._storage.put_document(f"{self._folder}{document.path}", document.data, document.content_type)
                written.count += 1
                failpoints.reach("site.put")
            channel_id, first_id = document.post or (None, None)
            page = site.SiteDocument(document.path, document.kind, digest, channel_id, first_id, document.changed_at)
            written.pages.append(page)
        for path in gone:
            self._storage.delete(f"{self._folder}{path}")
            failpoints.reach("site.deleted")
            written.gone.append(path)
            written.count += 1
        failpoints.reach("site.written")
        return written

    def is_there(self, path: str) -> bool:
        """Whether the document can be read where it was written."""
        return self._storage.read(f"{self._folder}{path}") is not None
