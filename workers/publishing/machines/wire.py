"""Originals on their way to a node: objects under random names, in the storage's bucket or in a private one.

The bucket may be public, and rows tell everybody the sha256 of a picture: so such an object is named by 128 random
bits, which only the journal, the queue and the node that has the picture know.

Several origins may share a bucket and a prefix, so each has a folder there, called by its id, and sees no other. A
token is what an original is called within the common folder: for claims of the version before, the random bits alone.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from functools import partial
from typing import Any

from ipc.files.object_layout import WIRE, WIRE_NAME
from workers.publishing import storage as storages
from workers.publishing import threads
from workers.publishing.storage import Stored
from workers.publishing.storage.protocol import WIRE_CACHE_CONTROL, ObjectFault

AT_ONCE = 4
"""Objects that are on their way at once: each is in memory, whole."""

CONTENT_TYPE = "application/octet-stream"


class Wire:
    """`options` are the uploader's, `origin` is this machine's id. Makes no connection yet."""

    def __init__(self, options: Mapping[str, Any], origin: str) -> None:
        self.bucket = storages.wire_bucket(options)
        self._folder = f"{options['storage']['prefix']}{WIRE}"
        self._own = f"{self._folder}{origin}/"
        self._storage = storages.make(options, bucket=self.bucket)

    def key(self, token: str) -> str:
        """The object's key."""
        return f"{self._folder}{token}"

    def put(self, originals: Mapping[str, bytes]) -> dict[str, ObjectFault | None]:
        """Store originals by token, in place of what is there; by token why the storage will never take one.

        Raises StorageFault; some may be there then.
        """
        found: dict[str, ObjectFault | None] = {}
        calls = [partial(self._put, token, data) for token, data in originals.items()]
        threads.run(calls, threads=AT_ONCE, done=lambda one: found.update([one]))
        return found

    def _put(self, token: str, data: bytes) -> tuple[str, ObjectFault | None]:
        try:
            self._storage.put_document(self.key(token), data, CONTENT_TYPE, WIRE_CACHE_CONTROL)
        except ObjectFault as fault:
            return token, fault
        return token, None

    def delete(self, tokens: Iterable[str]) -> None:
        """Delete these; they need not be there. Raises StorageFault."""
        calls = [partial(self._storage.delete, self.key(token)) for token in tokens]
        threads.run(calls, threads=AT_ONCE, done=lambda _: None)

    def stored(self) -> dict[str, Stored]:
        """All originals of this origin that are there, by token. Raises StorageFault."""
        named = {one.key.removeprefix(self._folder): one for one in self._storage.list(self._own)}
        return {token: one for token, one in named.items() if re.fullmatch(WIRE_NAME, token)}

    def url(self) -> str:
        """What public URLs of the storage's objects begin with, before the prefix."""
        return self._storage.url("").rstrip("/")

    def close(self) -> None:
        self._storage.close()
