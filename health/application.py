"""The HTTP application of the health process: its routes, and who may read what. Plain ASGI, so answers are cheap.

Promises. A request whose Host header names another machine learns nothing: a page in the operator's browser, whose own
name has been made to lead to this address (DNS rebinding), cannot read it. A body is made once in `CACHE_SECONDS` and
whenever the tree changes, for all requests: hundreds of them a second take no time from the pictures.
"""

from __future__ import annotations

import hmac
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from health.hosts import host_is_served, name_of
from health.metrics.scrape import Scrapes
from health.snapshot import Snapshot
from ipc.text.printable import printable_json

CACHE_SECONDS = 0.5
"""How long a body is good for. What is in it is a second or two old anyway: the root tells of memory every two."""

CHALLENGE = (b"www-authenticate", b"Bearer")

Headers = Sequence[tuple[bytes, bytes]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Send], Awaitable[None]]


class Source(Protocol):
    """Where the answers come from."""

    def look(self) -> dict[str, Any]:
        """The body of /status, now."""

    def snapshot(self) -> Snapshot:
        """What it is made from, for /metrics."""

    def is_live(self) -> bool:
        """Whether the tree lives."""

    def changes(self) -> int:
        """Another number as soon as a process of the tree is another one, or in another state."""


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, ready to be sent."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def make_app(
    source: Source, token: str, allowed_hosts: Iterable[str] = (), cache_seconds: float = CACHE_SECONDS
) -> Application:
    """The application. With a `token`, a request must carry it; without it /health gives the verdict alone."""
    routes = _Routes(source, token, allowed_hosts, cache_seconds)

    async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        given = routes.answer(scope["method"], scope["path"], scope["headers"])
        await send({"type": "http.response.start", "status": given.status, "headers": given.headers})
        body = b"" if scope["method"] == "HEAD" else given.body
        await send({"type": "http.response.body", "body": body})

    return application


class _Routes:
    """What is answered on which path."""

    def __init__(self, source: Source, token: str, allowed_hosts: Iterable[str], cache_seconds: float) -> None:
        self._source = source
        self._token = token
        self._hosts = frozenset(host.lower().rstrip(".") for host in allowed_hosts)
        self._bodies = _Bodies(source, cache_seconds)
        self._scrapes = Scrapes(source.snapshot, cache_seconds)
        self._paths: dict[str, Callable[[Headers], Answer]] = {
            "/status": self._status,
            "/health": self._health,
            "/live": self._live,
            "/metrics": self._metrics,
        }

    def answer(self, method: str, path: str, headers: Headers) -> Answer:
        if path not in self._paths:
            return _json({"error": "there are /status, /health, /live and /metrics"}, 404)
        if method not in ("GET", "HEAD"):
            return _json({"error": "only GET and HEAD"}, 405, (b"allow", b"GET, HEAD"))
        return self._paths[path](headers)

    def _status(self, headers: Headers) -> Answer:
        return self._refuse(headers) or self._bodies.status

    def _health(self, headers: Headers) -> Answer:
        if refusal := self._refuse_host(headers):
            return refusal
        return self._bodies.health if self._is_allowed(headers) else self._bodies.verdict

    def _live(self, headers: Headers) -> Answer:
        """What restarts the whole asks this. Any Host will do: a platform's probe has a name of its own.

        Good as long as a restart could not help: a service that is away for a night is a problem, but none that a new
        process would not have as well.
        """
        is_live = self._source.is_live()
        return _json({"live": is_live}, 200 if is_live else 503)

    def _metrics(self, headers: Headers) -> Answer:
        return self._refuse(headers) or _answer(*self._scrapes.body(_header(headers, b"accept")), 200)

    def _refuse(self, headers: Headers) -> Answer | None:
        """What those get who may not read everything."""
        if refusal := self._refuse_host(headers):
            return refusal
        if not self._is_allowed(headers):
            return _json({"error": "this needs the header Authorization: Bearer and health.token"}, 401, CHALLENGE)
        return None

    def _refuse_host(self, headers: Headers) -> Answer | None:
        host = _header(headers, b"host")
        return None if host_is_served(host, self._hosts) else _json({"error": _wrong_host(host)}, 421)

    def _is_allowed(self, headers: Headers) -> bool:
        return not self._token or _bears(_header(headers, b"authorization"), self._token)


class _Bodies:
    """The answers that have a body of their own, made anew when they have become too old."""

    def __init__(self, source: Source, cache_seconds: float) -> None:
        self._source = source
        self._cache_seconds = cache_seconds
        self._made_at = float("-inf")
        self._changes = 0

    def _refresh(self) -> None:
        now, changes = time.monotonic(), self._source.changes()
        if now - self._made_at < self._cache_seconds and changes == self._changes:
            return
        body = self._source.look()
        code = 200 if body["ok"] else 503
        self._status = _json(body, 200)
        self._health = Answer(code, self._status.body, self._status.headers)
        self._verdict = _json({"ok": body["ok"]}, code)
        self._made_at, self._changes = now, self._source.changes()

    @property
    def status(self) -> Answer:
        self._refresh()
        return self._status

    @property
    def health(self) -> Answer:
        self._refresh()
        return self._health

    @property
    def verdict(self) -> Answer:
        self._refresh()
        return self._verdict


def _json(content: Any, status: int, *more: tuple[bytes, bytes]) -> Answer:
    """Indented, so that `curl` shows something a person can read."""
    body = printable_json(json.dumps(content, ensure_ascii=False, indent=1)).encode() + b"\n"
    return _answer(b"application/json", body, status, *more)


def _answer(content_type: bytes, body: bytes, status: int, *more: tuple[bytes, bytes]) -> Answer:
    """Never kept by a proxy or a browser."""
    headers = (
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    )
    return Answer(status, body, (*headers, *more))


def _header(headers: Headers, name: bytes) -> str | None:
    """ASGI gives the names of headers in lower case."""
    return next((value.decode("latin-1") for key, value in headers if key == name), None)


def _bears(header: str | None, token: str) -> bool:
    """Whether an Authorization header carries the token. The scheme's name has no case."""
    scheme, _, given = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def _wrong_host(host: str | None) -> str:
    return (
        f"this server is not asked for by the name {name_of(host or '')!r}. If it is a name of this server's, add it to"
        " health.allowed_hosts (PICTUREDESK__HEALTH__ALLOWED_HOSTS, names with commas between them)"
    )
