"""Objects that are there: their sizes, their content, the list of them, and their removal."""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator, Mapping
from http import HTTPStatus
from typing import Any

from workers.publishing.storage.protocol import (
    DOCUMENT_CACHE_CONTROL,
    WIRE_CACHE_CONTROL,
    ObjectFault,
    StorageFault,
    Stored,
)
from workers.publishing.storage.r2.bucket import CACHE_CONTROL, Bucket
from workers.publishing.storage.r2.faults import code_of, status_of

_NO_LENGTH = (
    "the service does not say how large the object is: HEAD gives no Content-Length, GET no Content-Range, and the"
    " listing no size. Check what is between it and this machine. It is tried again"
)


OUR_CACHE_CONTROLS = (CACHE_CONTROL, DOCUMENT_CACHE_CONTROL, WIRE_CACHE_CONTROL)
"""Cache-Control headers by which an object is known to be ours if its ETag is no MD5."""


def head(bucket: Bucket, key: str) -> Mapping[str, Any]:
    """The answer to a HEAD. Raises StorageFault or ObjectFault."""
    return bucket.ask(key, lambda: bucket.client.head_object(Bucket=bucket.name, Key=key))


def size(bucket: Bucket, key: str, content_type: str) -> int | None:
    """Bytes of the object; None if it is not there, or if the service will not say: then a put tells why.

    An object of another content type is not ours: a page, most likely. An answer to a HEAD has no body, so it can't
    name its reason; and without the right to list a bucket, some services answer 403 for an object that is not
    there. Raises StorageFault.
    """
    try:
        found = head(bucket, key)
        is_ours = found.get("ETag") and found.get("ContentType") == content_type
        return length(bucket, key, found) if is_ours else None
    except (StorageFault, ObjectFault) as fault:
        if status_of(fault) in (400, 401, 403, 404):
            return None
        raise


def length(bucket: Bucket, key: str, found: Mapping[str, Any]) -> int:
    """Bytes of the object whose HEAD was answered with `found`. Raises StorageFault.

    R2, and proxies that compress, leave Content-Length out now and then. Then the first byte of the object tells,
    by its Content-Range, or else the listing.
    """
    told = found.get("ContentLength")
    if told is None:
        told = _length_by_range(bucket, key)
    if told is None:
        told = _length_by_list(bucket, key)
    if told is None:
        raise StorageFault(f"{bucket.address}/{key}: {_NO_LENGTH}")
    return int(told)


def _length_by_range(bucket: Bucket, key: str) -> int | None:
    """None: the answer has not said, or the object has no first byte."""

    def get() -> int | None:
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key, Range="bytes=0-0")
        answer["Body"].close()
        total = answer.get("ContentRange", "").rpartition("/")[2]
        # A service that ignores the range sends the whole object, and says how long that is.
        is_whole = answer["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.OK
        return int(total) if total.isdecimal() else answer.get("ContentLength") if is_whole else None

    try:
        return bucket.ask(key, get)
    except StorageFault as fault:
        if status_of(fault) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
            return None
        raise


def _length_by_list(bucket: Bucket, key: str) -> int | None:
    page = bucket.ask(key, lambda: bucket.client.list_objects_v2(Bucket=bucket.name, Prefix=key, MaxKeys=1))
    return next((one.get("Size") for one in page.get("Contents", ()) if one.get("Key") == key), None)


def read(bucket: Bucket, key: str, most_bytes: int | None = None) -> bytes | None:
    """The whole object; None if it is not there. Raises StorageFault, also for what is neither ours nor whole;
    ObjectFault if it is larger than `most_bytes`.
    """

    def get() -> bytes:
        answer = bucket.client.get_object(Bucket=bucket.name, Key=key)
        with contextlib.closing(answer["Body"]) as body:
            content = body.read() if most_bytes is None else _bounded(body, most_bytes)
        if content is None:
            raise ObjectFault(f"{bucket.address}/{key}: larger than {most_bytes:,} bytes")
        if md5(content) != answer.get("ETag", "").strip('"') and answer.get("CacheControl") not in OUR_CACHE_CONTROLS:
            raise bucket.nonsense(key)
        return content

    try:
        return bucket.ask(key, get)
    except StorageFault as fault:
        if code_of(fault) == "NoSuchKey":
            return None
        raise


def _bounded(body: Any, most_bytes: int) -> bytes | None:
    """The whole body; None if it is larger than `most_bytes`. It is read to its end, since only there a cut shows."""
    parts, left = [], most_bytes + 1
    while part := body.read(left):
        parts.append(part)
        left -= len(part)
        if left <= 0:
            return None
    return b"".join(parts)


def write(bucket: Bucket, key: str, data: bytes, content_type: str, cache_control: str) -> None:
    """Store the bytes, in place of what is there. Raises StorageFault unless the service proves that it has them."""
    answer = bucket.ask(
        key,
        lambda: bucket.client.put_object(
            Bucket=bucket.name, Key=key, Body=data, ContentType=content_type, CacheControl=cache_control
        ),
    )
    # No MD5: the bucket is encrypted, or something else than the service has answered. What is there tells.
    if answer.get("ETag", "").strip('"') != md5(data) and read(bucket, key) != data:
        raise bucket.nonsense(key)


def delete(bucket: Bucket, key: str) -> None:
    """Delete the object, which need not be there. Raises StorageFault unless the service says that it is gone."""
    answer = bucket.ask(key, lambda: bucket.client.delete_object(Bucket=bucket.name, Key=key))
    # 204 is what S3 answers, and a page never does.
    if answer["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NO_CONTENT and not _is_gone(bucket, key):
        raise bucket.nonsense(key)


def _is_gone(bucket: Bucket, key: str) -> bool:
    try:
        head(bucket, key)
    except StorageFault as fault:
        if status_of(fault) == HTTPStatus.NOT_FOUND:
            return True
        raise
    return False


def list_all(bucket: Bucket, prefix: str) -> Iterator[Stored]:
    """Every object whose key begins with `prefix`. Raises StorageFault."""
    pages = iter(bucket.client.get_paginator("list_objects_v2").paginate(Bucket=bucket.name, Prefix=prefix))
    while (answer := bucket.ask(prefix, lambda: next(pages, None))) is not None:
        page: Mapping[str, Any] = answer
        # Without a token the paginator would take the first page for the last, and all the rest for gone.
        if "IsTruncated" not in page or (page["IsTruncated"] and not page.get("NextContinuationToken")):
            raise bucket.nonsense(prefix)
        for one in page.get("Contents", ()):
            if not {"Key", "Size", "LastModified"} <= set(one):
                raise bucket.nonsense(prefix)
            yield Stored(one["Key"], one["Size"], one["LastModified"].timestamp())


def md5(content: bytes) -> str:
    """The MD5, which is the ETag of an object that was sent in one piece."""
    return hashlib.md5(content, usedforsecurity=False).hexdigest()
