"""Puts one object: on the condition that it is not there, and counts it only if the service proves that it has it.

Of two that write the same object one wins, and the other learns that there is nothing left to do.
"""

from __future__ import annotations

import io
import os
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING

from workers.publishing.storage.protocol import NewObject, Put, StorageFault
from workers.publishing.storage.r2 import objects
from workers.publishing.storage.r2.bucket import CACHE_CONTROL, Bucket
from workers.publishing.storage.r2.faults import passes_quickly, status_of
from workers.publishing.storage.r2.uplink import SignsOfLife, Upload

if TYPE_CHECKING:
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

_THERE_ALREADY = (HTTPStatus.CONFLICT, HTTPStatus.PRECONDITION_FAILED)
"""412: the condition does not hold. 409: another conditional write of the same key is under way."""


class Uploads:
    """Puts single objects into a bucket. `knows_conditions` is False once the service has refused If-None-Match.

    Threads may share it.
    """

    def __init__(self, bucket: Bucket) -> None:
        self._bucket = bucket
        self.knows_conditions = True

    def put_patiently(self, item: NewObject, tries: int, *, look_first: bool) -> Put:
        """Put it; at once again if it fails in a way that passes quickly, as some requests of a busy service do."""
        for tries_left in reversed(range(tries)):
            try:
                return self.put(item, look_first=look_first)
            except StorageFault as fault:
                if not tries_left or fault.fatal or fault.retry_after_seconds or not passes_quickly(fault):
                    raise
                look_first = True  # it may be the answer that was lost
        raise AssertionError("the last try returns or raises")

    def put(self, item: NewObject, *, look_first: bool) -> Put:
        """Put it, unless it is there. `look_first`: ask for its size before anything is sent.

        Raises StorageFault, ObjectFault, and FileNotFoundError if the source is not there.
        """
        with _opened(item.source, self._bucket.signs) as body:
            size = os.fstat(body.fileno()).st_size
            there = objects.size(self._bucket, item.key, item.content_type) if look_first else None
            if there is None and self.knows_conditions:
                if self._upload(item, body, if_new=True):
                    return Put(item.key, True, size)
                there = objects.size(self._bucket, item.key, item.content_type)
            if there == size or (there and not item.is_exact):
                return Put(item.key, False, there)
            self._upload(item, body, if_new=False)
            return Put(item.key, True, size)

    def _upload(self, item: NewObject, body: Upload, *, if_new: bool) -> bool:
        """Send the object; False if it is not stored because there is one, or because the condition is not known."""
        body.seek(0)
        request: PutObjectRequestTypeDef = {
            "Bucket": self._bucket.name,
            "Key": item.key,
            "Body": body,
            "ContentType": item.content_type,
            "CacheControl": CACHE_CONTROL,
        }
        if if_new:
            request["IfNoneMatch"] = "*"
        try:
            answer = self._bucket.ask(item.key, lambda: self._bucket.client.put_object(**request))
        except StorageFault as fault:
            status = status_of(fault)
            if if_new and status in _THERE_ALREADY:
                return False
            if if_new and status == HTTPStatus.NOT_IMPLEMENTED:
                self.knows_conditions = False
                return False
            raise
        self._confirm(item, body, answer.get("ETag", ""))
        return True

    def _confirm(self, item: NewObject, body: Upload, etag: str) -> None:
        """Raise StorageFault unless the object is there: a login page, for one, may have said 200, with an ETag.

        The ETag of an object that was sent in one piece is its content's MD5. Where it is not (a bucket that is
        encrypted with a key of a key service), the object is looked at: is it of this size, with our headers?
        """
        if etag.strip('"') == objects.md5(_whole(body, item.source)):
            return
        there = objects.head(self._bucket, item.key)
        facts = (there.get("ETag"), there.get("ContentType"), there.get("CacheControl"))
        is_ours = bool(etag) and facts == (etag, item.content_type, CACHE_CONTROL)
        if not is_ours or objects.length(self._bucket, item.key, there) != os.fstat(body.fileno()).st_size:
            raise self._bucket.nonsense(item.key)


def _opened(source: Path, signs: SignsOfLife) -> Upload:
    try:
        return Upload(io.FileIO(source), signs)
    except OSError as error:
        if not source.exists():
            raise FileNotFoundError(error.errno, "not in the spool", str(source)) from error
        raise StorageFault(f"{source}: {error.strerror or error}. Check the disk and the file's owner") from error


def _whole(body: Upload, source: Path) -> bytes:
    try:
        body.seek(0)
        return body.read()
    except OSError as error:
        raise StorageFault(f"{source}: {error.strerror or error}. Check the disk") from error
