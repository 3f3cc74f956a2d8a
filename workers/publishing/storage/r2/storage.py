"""The storage that a bucket is, as `workers.publishing.storage.protocol` promises it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from ipc.files.object_layout import public_url
from workers.publishing.storage.protocol import DOCUMENT_CACHE_CONTROL, NewObject, Put, Stored, ignore
from workers.publishing.storage.r2 import objects
from workers.publishing.storage.r2.batch import Batches
from workers.publishing.storage.r2.bucket import CONNECT_SECONDS, READ_SECONDS, Bucket
from workers.publishing.storage.r2.upload import Uploads
from workers.publishing.threads import never

_PROBE = "picturedesk-probe"
"""A key that this program makes no object of."""


class R2Storage:
    """Objects in `bucket` at `endpoint`; `public_url` is where readers find the bucket's objects.

    `put_all` has up to `concurrency` objects on their way at once. Threads may share it.
    """

    def __init__(
        self,
        *,
        endpoint: str,
        bucket: str,
        access_key_id: str,
        secret_access_key: str,
        public_url: str = "",
        concurrency: int = 8,
        connect_seconds: float = CONNECT_SECONDS,
        read_seconds: float = READ_SECONDS,
    ) -> None:
        self._bucket = Bucket(
            endpoint=endpoint,
            name=bucket,
            access_key_id=access_key_id,
            secret_access_key=secret_access_key,
            concurrency=concurrency,
            connect_seconds=connect_seconds,
            read_seconds=read_seconds,
        )
        self._uploads = Uploads(self._bucket)
        self._batches = Batches(self._bucket, self._uploads, concurrency)
        self._public_url = (public_url or f"{endpoint.rstrip('/')}/{bucket}").rstrip("/")

    def put(self, key: str, source: Path, content_type: str) -> bool:
        item = NewObject(key, source, content_type)
        return self._uploads.put(item, look_first=not self._uploads.knows_conditions).is_new

    def put_all(
        self,
        items: Iterable[NewObject],
        *,
        stop: Callable[[], bool] = never,
        stored: Callable[[Put], None] = ignore,
        tries: int = 1,
    ) -> int:
        return self._batches.put_all(items, stop=stop, stored=stored, tries=tries)

    def sync(self) -> None:
        """Does nothing: what the service has confirmed, it keeps."""

    def put_document(
        self, key: str, data: bytes, content_type: str, cache_control: str = DOCUMENT_CACHE_CONTROL
    ) -> None:
        objects.write(self._bucket, key, data, content_type, cache_control)

    def url(self, key: str) -> str:
        return public_url(self._public_url, key)

    def read(self, key: str, most_bytes: int | None = None) -> bytes | None:
        return objects.read(self._bucket, key, most_bytes)

    def last_sign(self) -> float:
        return self._bucket.signs.last()

    def probe(self) -> None:
        """Ask for an object that is not there: unlike a HEAD, its refusal says why."""
        self.read(_PROBE)

    def delete(self, key: str) -> None:
        objects.delete(self._bucket, key)

    def list(self, prefix: str = "") -> Iterator[Stored]:
        return objects.list_all(self._bucket, prefix)

    def close(self) -> None:
        self._bucket.close()
