"""Documents are written only when they have changed: a write may cost money, and makes readers load it again."""

from __future__ import annotations

import hashlib

from workers.publishing.storage import Storage


class DocumentWriter:
    """Remembers what it has written, by digest. What it has not written itself it reads first."""

    def __init__(self, storage: Storage) -> None:
        self._storage = storage
        self._digests: dict[str, bytes] = {}

    def read(self, key: str) -> bytes | None:
        """The document as it is; None if it is not there. Raises StorageFault."""
        data = self._storage.read(key)
        if data is not None:
            self._digests[key] = _digest(data)
        return data

    def write(self, key: str, data: bytes, content_type: str) -> bool:
        """Write `data` as the document. Returns whether it has changed. Raises StorageFault and ObjectFault."""
        digest = _digest(data)
        if key not in self._digests:
            self.read(key)
        if self._digests.get(key) == digest:
            return False
        self._digests.pop(key, None)  # should the write fail, it is not known what is there
        self._storage.put_document(key, data, content_type)
        self._digests[key] = digest
        return True

    def delete(self, key: str) -> None:
        """Delete the document, which need not be there. Raises StorageFault."""
        self._storage.delete(key)
        self._digests.pop(key, None)


def _digest(data: bytes) -> bytes:
    return hashlib.blake2b(data, digest_size=16).digest()
