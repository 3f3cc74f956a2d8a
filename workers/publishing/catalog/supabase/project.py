"""The interface of a Supabase project: one request, its answer, and what a failure raises. The home of supabase-py.

Nothing is tried twice here, since the callers have a breaker, with one exception: a kept connection may be cut just as
the next request goes out. That says nothing of the service, and every write can be repeated, so it is asked again at
once, on a fresh connection.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator, Mapping
from typing import Any, TypeAlias
from urllib.parse import urlsplit

import httpx
from supabase import Client, SupabaseException, create_client
from supabase.lib.client_options import SyncClientOptions

from workers.publishing.catalog.pictures import COLUMNS, Asked
from workers.publishing.catalog.protocol import CatalogFault
from workers.publishing.catalog.supabase import answers

Timeout: TypeAlias = httpx.Timeout

CONNECT_SECONDS = 3.0


def timeout_of(seconds: float) -> Timeout:
    """Longest for an answer. An httpx.Timeout, since supabase-py cuts numbers to integers."""
    return httpx.Timeout(seconds, connect=min(seconds, CONNECT_SECONDS))


TIMEOUT = timeout_of(10.0)
"""Longer than the 8 s that a hosted project gives a statement."""


def timeout_in(settings: Mapping[str, Any]) -> Timeout:
    """The time-out that the settings' section `catalog` asks for."""
    return timeout_of(settings["answer_seconds"]) if "answer_seconds" in settings else TIMEOUT


_CUT = (httpx.ReadError, httpx.WriteError, httpx.CloseError, httpx.RemoteProtocolError)

ANSWER_BYTES = 64 * 2**20
"""Longest answer. The longest that is asked for has the names of the objects of a thousand pictures: 2 MB."""

SLOW_BYTES_PER_SECOND = 10_000
"""An answer may take longer than the time-out, from its first byte to its last, if it is long: by this."""


class Project:
    """A project's interface: each request returns a list, or raises CatalogFault or RowFault. `where` is its host."""

    def __init__(self, url: str, key: str, timeout: Timeout) -> None:
        parts = urlsplit(url)
        self.where = f"{parts.hostname}:{parts.port}" if parts.port else str(parts.hostname)
        self._url, self._key, self._timeout = url, key, timeout
        self._api_key, self._token = answers.halves(key)
        self._is_fresh = False
        """Whether the last request has made a connection, and was not sent through one that was kept."""
        self.last_sign = time.monotonic()
        """When the last answer came, by the monotonic clock."""
        self._http: httpx.Client | None = None
        self._client: Client | None = None

    def another(self) -> Project:
        """A second connection to this project."""
        return Project(self._url, self._key, self._timeout)

    def call(self, function: str, **arguments: Any) -> list[Any]:
        """What a function of the database returns."""
        return self._ask(lambda client: client.rpc(function, arguments).execute().data)

    def look_at(self, table: str) -> None:
        """Ask for no rows of a table."""
        self._ask(lambda client: client.table(table).select("*").limit(0).execute().data)

    def urls(self, sha256s: list[str]) -> set[str]:
        """Like `Catalog.urls`, for few enough digests to fit into an address."""
        # All columns, since an earlier version of the schema has no previews.
        rows = self._ask(lambda client: client.table("images").select("*").in_("sha256", sha256s).execute().data)
        try:
            objects = [one for row in rows for one in (*row["renditions"], row.get("preview")) if one is not None]
            return {one["url"] for one in objects}
        except (KeyError, TypeError) as error:
            raise answers.of_nonsense(error, where=self.where) from error

    def pictures(self, asked: Asked) -> list[dict[str, Any]]:
        """Like `Catalog.pictures`, with times as the interface writes them."""
        return self._ask(lambda client: _pictures(client, asked).execute().data)

    def close(self) -> None:
        if self._http is not None:
            self._http.close()
            self._http = self._client = None

    def _ask(self, question: Callable[[Client], Any]) -> list[Any]:
        client = self._client or self._open()
        try:
            answer = self._over_a_whole_line(client, question)
        except httpx.HTTPStatusError as error:
            status, headers, body = error.response.status_code, error.response.headers, error.response.text
            said = self._without_key(body)
            raise answers.of_answer(status, headers, said, where=self.where, now=time.time()) from error
        except httpx.HTTPError as error:
            reason = self._without_key(f"{type(error).__name__}: {error}".removesuffix(": "))
            raise CatalogFault(f"{self.where}: no answer: {reason}. {answers.ADDRESS}") from error
        except (ValueError, RecursionError) as error:  # a success in no character set, or of boxes within boxes
            raise answers.of_nonsense(error, where=self.where) from error
        if not isinstance(answer, list):
            raise answers.of_nonsense(self._without_key(str(answer)), where=self.where)
        return answer

    def _over_a_whole_line(self, client: Client, question: Callable[[Client], Any]) -> Any:
        self._is_fresh = False
        try:
            return question(client)
        except _CUT:
            if self._is_fresh:
                raise
            return question(client)

    def _note_connecting(self, event: str, _: Mapping[str, Any]) -> None:
        """Hear of httpx's steps on its way to an answer."""
        if event == "connection.connect_tcp.started":
            self._is_fresh = True

    def _without_key(self, text: str) -> str:
        for secret in filter(None, (self._key, self._token, self._api_key)):
            text = text.replace(secret, "(the key)")
        return text

    def _open(self) -> Client:
        """Make the client: it takes 50 ms, and keeps its connections."""
        if not (self._key.isascii() and self._key.isprintable()):
            raise CatalogFault(
                f"{self.where}: catalog.key cannot be sent in a header. {answers.KEY}", fatal=True, remedy=answers.KEY
            )
        http = httpx.Client(
            timeout=self._timeout,
            limits=httpx.Limits(max_keepalive_connections=1),  # so that after a cut the next one is a fresh one
            event_hooks={"request": [self._prepare], "response": [self._receive]},
        )
        options = SyncClientOptions(
            auto_refresh_token=False, persist_session=False, postgrest_client_retry=False, httpx_client=http
        )
        try:
            self._client = create_client(self._url, self._api_key, options)
        except (SupabaseException, ValueError) as error:
            http.close()
            reason = self._without_key(str(error))
            raise CatalogFault(
                f"{self.where}: no client can be made: {reason}. {answers.ADDRESS}", fatal=True, remedy=answers.ADDRESS
            ) from error
        self._http = http
        return self._client

    def _prepare(self, request: httpx.Request) -> None:
        """supabase-py sends every key as a bearer token too; one of the new kind may not be, it is no JWT."""
        if self._token is not None:
            request.headers["Authorization"] = f"Bearer {self._token}"
        elif not answers.is_jwt(self._api_key):
            request.headers.pop("Authorization", None)
        request.headers["Accept-Encoding"] = "identity"  # the answers are short, and what comes is what was counted
        request.extensions = {**request.extensions, "trace": self._note_connecting}

    def _receive(self, response: httpx.Response) -> None:
        """The client's own errors say neither the status nor Retry-After, and take any text, and none, for data."""
        assert isinstance(response.stream, httpx.SyncByteStream)
        response.stream = _Bounded(response.stream, self.where, self._timeout.read)
        response.read()
        self.last_sign = time.monotonic()
        response.raise_for_status()
        if not response.content:
            raise answers.of_nonsense(f"status {response.status_code} with nothing in it", where=self.where)


def _pictures(client: Client, asked: Asked) -> Any:
    """The question for these. What the interface makes of `or` uses no index, so the time is asked for besides."""
    question = client.table(asked.view).select(",".join(COLUMNS))
    for column, value in (("channel_id", asked.channel_id), ("tag", asked.tag), ("message_id", asked.message)):
        if value is not None:
            question = question.eq(column, str(value))
    if asked.before is not None:
        at, channel, number = asked.before
        later = f"and(channel_id.eq.{channel},message_id.lt.{number})"
        question = question.lte("posted_at", at)
        question = question.or_(f'posted_at.lt."{at}",and(posted_at.eq."{at}",or(channel_id.lt.{channel},{later}))')
    if asked.between is not None:
        low, high = asked.between
        return question.gte("message_id", low).lte("message_id", high).order("message_id").limit(asked.most)
    for column in ("posted_at", "channel_id", "message_id"):
        question = question.order(column, desc=True)
    return question.limit(asked.most)


class _Bounded(httpx.SyncByteStream):
    """The body of an answer, as long as it is not endless: neither in bytes nor, coming in drops, in time."""

    def __init__(self, stream: httpx.SyncByteStream, where: str, seconds: float | None) -> None:
        self._stream = stream
        self._where = where
        self._seconds = seconds or math.inf

    def __iter__(self) -> Iterator[bytes]:
        began, count = time.monotonic(), 0
        for block in self._stream:
            count += len(block)
            if count > ANSWER_BYTES:
                raise answers.of_nonsense(f"more than {ANSWER_BYTES} bytes", where=self._where)
            if time.monotonic() - began > self._seconds + count / SLOW_BYTES_PER_SECOND:
                raise httpx.ReadTimeout("the answer has no end")
            yield block

    def close(self) -> None:
        self._stream.close()
