"""Objects in a bucket of Cloudflare R2, or of another S3 service that takes `auto` for a region. boto3's one home.

An object is written on the condition that it is not there: of two that write the same one wins, and the other learns
that there is nothing left to do. Nothing is tried twice here unless the caller says so, because the journal's retries
outlive the process and the breaker keeps the pauses; botocore's own would make both wait for nothing, and it gives them
up without a word once its quota is used.
"""

from __future__ import annotations

import contextlib
import hashlib
import io
import os
import threading
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from functools import partial
from http import HTTPStatus
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

import boto3
import botocore.session
from botocore import exceptions as boto
from botocore.config import Config
from botocore.handlers import add_expect_header

from workers.publishing import threads
from workers.publishing.retry_after import pause_seconds
from workers.publishing.storage.answers import fault_of
from workers.publishing.storage.protocol import Item, ObjectFault, Put, StorageFault, Stored, ignore
from workers.publishing.storage.uplink import Signs, Upload, http_of
from workers.publishing.threads import never

if TYPE_CHECKING:
    from mypy_boto3_s3 import S3Client
    from mypy_boto3_s3.type_defs import PutObjectRequestTypeDef

T = TypeVar("T")

CONNECT_SECONDS = 10.0
"""Longest for a connection, and for a block of an upload to get off: on a thin line several uploads share it."""

READ_SECONDS = 30.0
"""Longest for an answer. R2 answers within a second; what takes thirty will not come any more."""

CACHE_CONTROL = "public, max-age=31536000, immutable"
"""Keys are digests: what is under a key once is under it for ever."""

_THERE_ALREADY = (409, 412)
"""412: the condition does not hold. 409: another conditional write of the same key is under way."""

_NOT_IMPLEMENTED = 501

_NO_SETTINGS = {
    "profile": (None, None, None, None),
    "config_file": (None, None, os.devnull, None),
    "credentials_file": (None, None, os.devnull, None),
}
"""Whatever AWS settings this machine has for other programs say nothing of this storage."""


_NONSENSE = "answered as no S3 service does"
_NONSENSE_REMEDY = "Check storage.endpoint, and what is between it and this machine. It is tried again"

_NO_LENGTH = (
    "the service does not say how large the object is: HEAD gives no Content-Length, GET no Content-Range, and the"
    " listing no size. Check what is between it and this machine. It is tried again"
)

_PROBE = "picturedesk-probe"
"""A key that this program makes no object of."""


class _Scout:
    """The first object of a picture on its way: once `is_back` is set, `found` says whether it was there already.

    None: nobody knows, it failed.
    """

    def __init__(self) -> None:
        self.is_back = threading.Event()
        self.found: bool | None = None


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
        self._bucket = bucket
        self._secrets = (secret_access_key, access_key_id)
        self._concurrency = concurrency
        self._address = f"{urlsplit(endpoint).netloc.rpartition('@')[2]}/{bucket}"
        self._public_url = (public_url or f"{endpoint.rstrip('/')}/{bucket}").rstrip("/")
        self._knows_conditions = True
        self._in_doubt = True
        self._unfinished: set[str] = set()
        self._signs = Signs()
        config = Config(
            region_name="auto",
            # By default a body goes out as aws-chunked with a checksum behind it, which R2 has refused.
            request_checksum_calculation="when_required",
            response_checksum_validation="when_required",
            connect_timeout=connect_seconds,
            read_timeout=read_seconds,
            retries={"total_max_attempts": 1},
            max_pool_connections=concurrency,
            s3={"addressing_style": "path"},
        )
        try:
            session = botocore.session.Session(session_vars=_NO_SETTINGS)
            self._http = http_of(session, endpoint, config, self._signs)
            self._client: S3Client = boto3.session.Session(botocore_session=session).client(
                "s3",
                endpoint_url=endpoint,
                aws_access_key_id=access_key_id,
                aws_secret_access_key=secret_access_key,
                config=config,
            )
        except (boto.BotoCoreError, ValueError) as error:
            raise StorageFault(self._clean(f"{self._address}: {error}. Check storage.endpoint"), fatal=True) from error
        # R2 never answers `Expect: 100-continue`, so each put would wait a second for it.
        self._client.meta.events.unregister("before-call.s3", add_expect_header)
        self._client.meta.events.register_last("before-parameter-build.s3", _follow_no_redirect)
        self._client.meta.events.register("before-send.s3", self._send)

    def put(self, key: str, source: Path, content_type: str) -> bool:
        return self._put(Item(key, source, content_type), look_first=not self._knows_conditions).is_new

    def put_all(
        self,
        items: Iterable[Item],
        *,
        stop: Callable[[], bool] = never,
        stored: Callable[[Put], None] = ignore,
        tries: int = 1,
    ) -> int:
        """As promised; and a picture that is there already is not sent again.

        The first object of each picture goes ahead of all others, on the condition that it is not there: so of a
        picture that turns out to be there, no more than that is sent in vain, and a new one costs no question. If the
        first one was there, the others are asked for before they are sent. Where a picture is expected to be there, its
        last object is asked for, and if that is there, each is asked for before it is sent: that costs no upload. So is
        each object of a call that has not come to its end, the next time: then some are there. So it is with each
        object of the first call, since a process before this one may have come to no end; and of the call
        after one that has found what nobody expected there: of a bucket that is full already (the journal was lost), no
        more than one object in all is sent in vain.
        """
        items = list({item.key: item for item in items}.values())  # R2 takes one write of a key in a second
        known = None if self._in_doubt or not self._knows_conditions else self._known(items, stop)
        keys = {item.key for item in items}
        surprising = {item.key for item in items if not item.is_expected} - self._unfinished
        new, surprises = 0, 0

        def done(put: Put | None) -> None:
            nonlocal new, surprises
            if put is not None:
                new += put.is_new
                surprises += not put.is_new and put.key in surprising
                stored(put)

        is_likely = {item.key for item in items if known is None or _folder(item) in known} | (keys & self._unfinished)
        self._unfinished |= keys
        scouts: dict[str, _Scout] = {}
        first, others = list[Callable[[], Put | None]](), list[Callable[[], Put | None]]()
        for item in items:
            if item.key in is_likely:
                others.append(partial(self._put_patiently, item, tries, look_first=True))
            elif (folder := _folder(item)) not in scouts:
                scouts[folder] = _Scout()
                first.append(partial(self._send_ahead, item, tries, scouts[folder]))
            else:
                others.append(partial(self._follow, item, tries, scouts[folder]))
        self._run([*first, *others], stop, done)
        self._unfinished -= keys
        self._in_doubt = surprises > 0
        return new

    def _send_ahead(self, item: Item, tries: int, scout: _Scout) -> Put:
        """Put the first object of a picture, and tell those that follow whether it was there."""
        try:
            put = self._put_patiently(item, tries, look_first=False)
            scout.found = not put.is_new
            return put
        finally:
            scout.is_back.set()

    def _follow(self, item: Item, tries: int, scout: _Scout) -> Put | None:
        """Put another object of the picture. None: its first one is not there, so there is no going on."""
        scout.is_back.wait()  # it was begun before this, and it has its own time-outs
        return None if scout.found is None else self._put_patiently(item, tries, look_first=scout.found)

    def _put_patiently(self, item: Item, tries: int, *, look_first: bool) -> Put:
        """Put it; at once again if it fails in a way that passes quickly, as some requests of a busy service do."""
        for tries_left in reversed(range(tries)):
            try:
                return self._put(item, look_first)
            except StorageFault as fault:
                if not tries_left or fault.fatal or fault.retry_after_seconds or not _passes_quickly(fault.__cause__):
                    raise
                look_first = True  # it may be the answer that was lost
        raise AssertionError("the last try returns or raises")

    def settle(self) -> None:
        """What the service has confirmed, it keeps."""

    def url(self, key: str) -> str:
        return f"{self._public_url}/{quote(key)}"

    def read(self, key: str) -> bytes | None:
        def get() -> bytes:
            answer = self._client.get_object(Bucket=self._bucket, Key=key)
            with contextlib.closing(answer["Body"]) as body:
                content = body.read()
            if _md5(content) != answer.get("ETag", "").strip('"') and answer.get("CacheControl") != CACHE_CONTROL:
                raise self._nonsense(key)
            return content

        try:
            return self._ask(key, get)
        except StorageFault as fault:
            if _code_of(fault.__cause__) == "NoSuchKey":
                return None
            raise

    def last_sign(self) -> float:
        return self._signs.last()

    def probe(self) -> None:
        """Ask for an object that is not there: unlike a HEAD, its refusal says why."""
        self.read(_PROBE)

    def delete(self, key: str) -> None:
        answer = self._ask(key, lambda: self._client.delete_object(Bucket=self._bucket, Key=key))
        # 204 is what S3 answers, and a page never does.
        if answer["ResponseMetadata"]["HTTPStatusCode"] != HTTPStatus.NO_CONTENT and not self._is_gone(key):
            raise self._nonsense(key)

    def _is_gone(self, key: str) -> bool:
        try:
            self._ask(key, lambda: self._client.head_object(Bucket=self._bucket, Key=key))
        except StorageFault as fault:
            if _status_of(fault.__cause__) == HTTPStatus.NOT_FOUND:
                return True
            raise
        return False

    def list(self, prefix: str = "") -> Iterator[Stored]:
        pages = iter(self._client.get_paginator("list_objects_v2").paginate(Bucket=self._bucket, Prefix=prefix))
        while (answer := self._ask(prefix, lambda: next(pages, None))) is not None:
            page: Mapping[str, Any] = answer
            # Without a token the paginator would take the first page for the last, and all the rest for gone.
            if "IsTruncated" not in page or (page["IsTruncated"] and not page.get("NextContinuationToken")):
                raise self._nonsense(prefix)
            for one in page.get("Contents", ()):
                if not {"Key", "Size", "LastModified"} <= set(one):
                    raise self._nonsense(prefix)
                yield Stored(one["Key"], one["Size"], one["LastModified"].timestamp())

    def close(self) -> None:
        self._client.close()
        self._http.close()

    def _send(self, request: Any, **_: object) -> Any:
        answer = self._http.send(request)
        self._signs.note()
        return answer

    def _known(self, items: Iterable[Item], stop: Callable[[], bool]) -> set[str]:
        """The folders that were expected to be there, and whose last object is."""
        expected = {_folder(item) for item in items if item.is_expected}
        lasts = {_folder(item): item for item in items if _folder(item) in expected}
        found: list[tuple[str, int | None]] = []
        self._run([partial(self._look, folder, item) for folder, item in lasts.items()], stop, found.append)
        return {folder for folder, size in found if size is not None}

    def _look(self, folder: str, item: Item) -> tuple[str, int | None]:
        return folder, self._size(item.key, item.content_type)

    def _run(self, calls: Sequence[Callable[[], T]], stop: Callable[[], bool], done: Callable[[T], None]) -> None:
        threads.run(calls, threads=self._concurrency, stop=stop, done=done)

    def _put(self, item: Item, look_first: bool) -> Put:
        with _opened(item.source, self._signs) as body:
            size = os.fstat(body.fileno()).st_size
            there = self._size(item.key, item.content_type) if look_first else None
            if there is None and self._knows_conditions:
                if self._upload(item, body, if_new=True):
                    return Put(item.key, True, size)
                there = self._size(item.key, item.content_type)
            if there == size or (there and not item.is_exact):
                return Put(item.key, False, there)
            self._upload(item, body, if_new=False)
            return Put(item.key, True, size)

    def _upload(self, item: Item, body: Upload, *, if_new: bool) -> bool:
        """Send the object; False if it is not stored because there is one, or because the condition is not known."""
        body.seek(0)
        request: PutObjectRequestTypeDef = {
            "Bucket": self._bucket,
            "Key": item.key,
            "Body": body,
            "ContentType": item.content_type,
            "CacheControl": CACHE_CONTROL,
        }
        if if_new:
            request["IfNoneMatch"] = "*"
        try:
            answer = self._ask(item.key, lambda: self._client.put_object(**request))
        except StorageFault as fault:
            status = _status_of(fault.__cause__)
            if if_new and status in _THERE_ALREADY:
                return False
            if if_new and status == _NOT_IMPLEMENTED:
                self._knows_conditions = False
                return False
            raise
        self._confirm(item, body, answer.get("ETag", ""))
        return True

    def _confirm(self, item: Item, body: Upload, etag: str) -> None:
        """See that the object is there: whatever answered, a login page for one, may have said 200, with an ETag.

        The ETag of an object that was sent in one piece is its content's MD5. Where it is not (a bucket that is
        encrypted with a key of a key service), the object is looked at: is it of this size, with our headers?
        """
        if etag.strip('"') == _md5(_whole(body, item.source)):
            return
        size = os.fstat(body.fileno()).st_size
        there = self._ask(item.key, lambda: self._client.head_object(Bucket=self._bucket, Key=item.key))
        facts = (there.get("ETag"), there.get("ContentType"), there.get("CacheControl"))
        if not etag or facts != (etag, item.content_type, CACHE_CONTROL) or self._length(item.key, there) != size:
            raise self._nonsense(item.key)

    def _size(self, key: str, content_type: str) -> int | None:
        """How large the object is that is there; None also if that can't be said, because then a put will tell why.

        One of another content type is none of ours: a page, most likely. An answer to a HEAD has no body, so it can't
        name its reason; and without the right to list a bucket, some services answer 403 for an object that is not
        there.
        """
        try:
            answer = self._ask(key, lambda: self._client.head_object(Bucket=self._bucket, Key=key))
            is_ours = answer.get("ETag") and answer.get("ContentType") == content_type
            return self._length(key, answer) if is_ours else None
        except (StorageFault, ObjectFault) as fault:
            if _status_of(fault.__cause__) in (400, 401, 403, 404):
                return None
            raise

    def _length(self, key: str, head: Mapping[str, Any]) -> int:
        """How large the object is whose HEAD was answered with this.

        R2, and proxies that compress, leave Content-Length out now and then. Then the first byte of the object tells,
        by its Content-Range, or else the listing.
        """
        length = head.get("ContentLength")
        if length is None:
            length = self._length_by_range(key)
        if length is None:
            length = self._length_by_list(key)
        if length is None:
            raise StorageFault(f"{self._address}/{key}: {_NO_LENGTH}")
        return int(length)

    def _length_by_range(self, key: str) -> int | None:
        """None: it has not said, or there is no first byte."""

        def get() -> int | None:
            answer = self._client.get_object(Bucket=self._bucket, Key=key, Range="bytes=0-0")
            answer["Body"].close()
            total = answer.get("ContentRange", "").rpartition("/")[2]
            # Whoever ignores the range sends the whole object, and says how long that is.
            is_whole = answer["ResponseMetadata"]["HTTPStatusCode"] == HTTPStatus.OK
            return int(total) if total.isdecimal() else answer.get("ContentLength") if is_whole else None

        try:
            return self._ask(key, get)
        except StorageFault as fault:
            if _status_of(fault.__cause__) == HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE:
                return None
            raise

    def _length_by_list(self, key: str) -> int | None:
        page = self._ask(key, lambda: self._client.list_objects_v2(Bucket=self._bucket, Prefix=key, MaxKeys=1))
        return next((one.get("Size") for one in page.get("Contents", ()) if one.get("Key") == key), None)

    def _ask(self, key: str, question: Callable[[], T]) -> T:
        """The service's answer. Raises StorageFault or ObjectFault, with botocore's exception as the cause."""
        where = f"{self._address}/{key}"
        try:
            return question()
        except boto.ClientError as error:
            facts, told = error.response.get("ResponseMetadata", {}), error.response.get("Error", {})
            raise fault_of(
                where,
                facts.get("HTTPStatusCode", 0),
                told.get("Code") or "",
                self._clean(told.get("Message") or ""),
                pause_seconds(facts.get("HTTPHeaders", {}).get("retry-after", ""), time.time()),
            ) from error
        # botocore converts what is in an answer unseen, and looks for things that are not in it.
        except (boto.BotoCoreError, ValueError, AttributeError, LookupError, TypeError) as error:
            fatal = isinstance(error, boto.ParamValidationError)
            raise StorageFault(f"{where}: {self._clean(_reason(error))}", fatal=fatal) from error

    def _nonsense(self, key: str) -> StorageFault:
        """To an answer that lacks what every S3 service sends: it was a login page, or a proxy's."""
        return StorageFault(f"{self._address}/{key}: {_NONSENSE}. {_NONSENSE_REMEDY}")

    def _clean(self, text: str) -> str:
        """Without our secrets, should anybody ever have repeated them."""
        for secret in filter(None, self._secrets):
            text = text.replace(secret, "…")
        return text


def _follow_no_redirect(context: dict[str, Any], **_: object) -> None:
    """botocore asks where a bucket has gone; if that is redirected as well it asks again, until the stack is full."""
    context["s3_redirect"]["redirected"] = True


def _folder(item: Item) -> str:
    return item.key.rpartition("/")[0]


def _passes_quickly(error: BaseException | None) -> bool:
    """Whether it was an answer, or a cut connection: not one that took its time to come to nothing."""
    match error:
        case boto.ClientError():
            return _status_of(error) in (500, 502, 503, 504)
        case _:
            return isinstance(error, boto.ConnectionClosedError)


def _md5(content: bytes) -> str:
    return hashlib.md5(content, usedforsecurity=False).hexdigest()


def _whole(body: Upload, source: Path) -> bytes:
    try:
        body.seek(0)
        return body.read()
    except OSError as error:
        raise StorageFault(f"{source}: {error.strerror or error}. Check the disk") from error


def _reason(error: Exception) -> str:
    """Why nothing came back, and what to do. Passing faults: `It is tried again`."""
    match error:
        case boto.SSLError():
            return f"no trusted connection: {error}. Check storage.endpoint, this machine's clock and its certificates"
        case boto.EndpointConnectionError():
            return "nobody answers there. Check storage.endpoint and the network. It is tried again"
        case boto.ConnectTimeoutError():
            return "no connection in time. Check storage.endpoint and the network. It is tried again"
        case boto.ReadTimeoutError():
            return "no answer in time. It is tried again"
        case boto.ConnectionClosedError():
            return "the connection was cut before there was an answer. It is tried again"
        case boto.ParamValidationError():
            return f"{' '.join(str(error).split())}. Check storage.bucket and storage.prefix"
        case AttributeError() | LookupError() | TypeError():
            return f"{_NONSENSE} ({type(error).__name__}: {error}). {_NONSENSE_REMEDY}"
        case _:
            return f"{type(error).__name__}: {' '.join(str(error).split())}. It is tried again"


def _status_of(error: BaseException | None) -> int | None:
    if not isinstance(error, boto.ClientError):
        return None
    return error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")


def _code_of(error: BaseException | None) -> str | None:
    return error.response.get("Error", {}).get("Code") if isinstance(error, boto.ClientError) else None


def _opened(source: Path, signs: Signs) -> Upload:
    try:
        return Upload(io.FileIO(source), signs)
    except OSError as error:
        if not source.exists():
            raise FileNotFoundError(error.errno, "not in the spool", str(source)) from error
        raise StorageFault(f"{source}: {error.strerror or error}. Check the disk and the file's owner") from error
