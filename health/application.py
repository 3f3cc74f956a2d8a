"""The HTTP application of the health process: what is answered to whom. Plain ASGI, so that an answer costs little.

Promises. A request whose Host header names another machine learns nothing: a page in the operator's browser, whose own
name has been made to lead to this address (DNS rebinding), cannot read it. A body is made once in `CACHE_SECONDS` and
whenever the tree changes, however many ask: hundreds of requests a second take no time from the pictures.
"""

from __future__ import annotations

import hmac
import ipaddress
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from ipc.text.printable import printable_json

CACHE_SECONDS = 0.5
"""How long a body is good for. What is in it is a second or two old anyway: the root tells of memory every two."""

ANY_HOST = "*"

Headers = Sequence[tuple[bytes, bytes]]
Send = Callable[[dict[str, Any]], Awaitable[None]]
Application = Callable[[dict[str, Any], Callable[[], Awaitable[Any]], Send], Awaitable[None]]


class Source(Protocol):
    """Where the answers come from."""

    def look(self) -> dict[str, Any]:
        """The body of /status, now."""

    def is_live(self) -> bool:
        """Whether the tree lives."""

    def changes(self) -> int:
        """Another number as soon as a process of the tree is another one, or stands otherwise."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What is sent, ready to be sent."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def make_app(
    source: Source, token: str, allowed_hosts: Iterable[str] = (), cache_seconds: float = CACHE_SECONDS
) -> Application:
    """The application. With a `token`, a request must carry it; without it /health gives the verdict alone.

    /live is for whoever restarts the whole when it fails, by whatever name it comes. So it is good as long as a restart
    could not help: a service that is away for a night is a problem, but none that a new process would not have as well.
    """
    hosts = frozenset(host.lower().rstrip(".") for host in allowed_hosts)
    bodies = _Bodies(source, cache_seconds)

    def answer(method: str, path: str, headers: Headers) -> Answer:
        if path not in ("/status", "/health", "/live"):
            return _json({"error": "there are /status, /health and /live"}, 404)
        if method not in ("GET", "HEAD"):
            return _json({"error": "only GET and HEAD"}, 405, (b"allow", b"GET, HEAD"))
        if path == "/live":
            is_live = source.is_live()
            return _json({"live": is_live}, 200 if is_live else 503)
        if not host_is_served(host := _header(headers, b"host"), hosts):
            return _json({"error": _wrong_host(host)}, 421)
        is_allowed = not token or _bears(_header(headers, b"authorization"), token)
        if path == "/health":
            return bodies.health if is_allowed else bodies.verdict
        if not is_allowed:
            return _json({"error": "this needs the header Authorization: Bearer and health.token"}, 401, CHALLENGE)
        return bodies.status

    async def application(scope: dict[str, Any], receive: Callable[[], Awaitable[Any]], send: Send) -> None:
        given = answer(scope["method"], scope["path"], scope["headers"])
        await send({"type": "http.response.start", "status": given.status, "headers": given.headers})
        body = b"" if scope["method"] == "HEAD" else given.body
        await send({"type": "http.response.body", "body": body})

    return application


CHALLENGE = (b"www-authenticate", b"Bearer")


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
    """Indented, so that `curl` shows something a person can read; never kept by a proxy or a browser."""
    body = printable_json(json.dumps(content, ensure_ascii=False, indent=1)).encode() + b"\n"
    headers = (
        (b"content-type", b"application/json"),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    )
    return Answer(status, body, (*headers, *more))


def _header(headers: Headers, name: bytes) -> str | None:
    """Header names come in small letters."""
    return next((value.decode("latin-1") for key, value in headers if key == name), None)


def _bears(header: str | None, token: str) -> bool:
    """Whether an Authorization header carries the token. The scheme's name has no case."""
    scheme, _, given = (header or "").partition(" ")
    return scheme.lower() == "bearer" and hmac.compare_digest(given.strip().encode(), token.encode())


def host_is_served(host: str | None, allowed: frozenset[str]) -> bool:
    """Whether a request with this Host header is answered: it is for this machine, or for a name of `allowed`.

    An address is no name that could have been made to lead here. A request without the header (HTTP/1.0) comes from no
    browser.

    >>> ours = frozenset({"desk.example.org"})
    >>> [host_is_served(host, ours) for host in (None, "[::1]:8080", "localhost:1", "10.0.0.7", "Desk.Example.org.:1")]
    [True, True, True, True, True]
    >>> [host_is_served(host, ours) for host in ("evil.example", "")]
    [False, False]
    """
    if host is None or ANY_HOST in allowed:
        return True
    name = _name_of(host)
    return name == "localhost" or name.endswith(".localhost") or name in allowed or _is_address(name)


def _name_of(host: str) -> str:
    """The header's name or address, without the port."""
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0].rstrip(".").lower()


def _is_address(name: str) -> bool:
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True


def _wrong_host(host: str | None) -> str:
    name = _name_of(host or "")
    return (
        f"this server is not asked for by the name {name!r}. If it is a name of this server's, add it to"
        " health.allowed_hosts (PICTUREDESK__HEALTH__ALLOWED_HOSTS, names with commas between them)"
    )
