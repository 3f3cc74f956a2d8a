"""The HTTP application of the health process: its routes, and who may read what. Plain ASGI, so answers are cheap.

Promises. A request whose Host header names another machine learns nothing: a page in the operator's browser, whose own
name has been made to lead to this address (DNS rebinding), cannot read it. A body is made once in `CACHE_SECONDS` and
whenever the tree changes, for all requests: hundreds of them a second take no time from the pictures.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Protocol

from health.access.access import Access, needs_token
from health.access.sessions import Sessions
from health.answers import Answer, Headers, Receive, Scope, Send, fresh_answer, header, json_answer, send_answer
from health.metrics.scrape import Scrapes
from health.page.journal import PageOptions
from health.page.routes import PageRoutes
from health.snapshot import Snapshot

CACHE_SECONDS = 0.5
"""How long a body is good for. What is in it is a second or two old anyway: the root tells of memory every two."""


class StatusSource(Protocol):
    """Where the answers come from."""

    def look(self) -> dict[str, Any]:
        """The body of /status, now."""

    def snapshot(self) -> Snapshot:
        """What it is made from, for /metrics."""

    def is_live(self) -> bool:
        """Whether the tree lives."""

    def changes(self) -> int:
        """A counter that grows whenever a process is replaced or changes state."""


class Application:
    """What is served. With a `token`, a request must carry it; without it /health gives the verdict alone.

    `page` is what the settings say of the page; None: it is not served. Who knows the `session_secret` takes over the
    sessions of the process before.
    """

    def __init__(
        self,
        source: StatusSource,
        token: str,
        allowed_hosts: Iterable[str] = (),
        cache_seconds: float = CACHE_SECONDS,
        page: PageOptions | None = None,
        session_secret: str = "",
    ) -> None:
        sessions = Sessions(time.monotonic, session_secret or secrets.token_hex(), token)
        access = Access(token, allowed_hosts, sessions)
        bodies = _Bodies(source, cache_seconds)
        self._routes = _Routes(source, access, bodies)
        self._page = PageRoutes(bodies, access, sessions, page) if page else None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        method, path = scope["method"], scope["path"]
        allowed = self._page.methods(path) if self._page else ()
        if self._page and method in allowed:
            await self._page.serve(scope, receive, send)
        elif allowed:
            await send_answer(_wrong_method(*allowed), method, send)
        else:
            await send_answer(self._routes.answer(method, path, scope["headers"]), method, send)

    def end(self) -> None:
        """Let go of those who read along: the process is about to end."""
        if self._page:
            self._page.end()


class _Routes:
    """What is answered on which path, besides the page's."""

    def __init__(self, source: StatusSource, access: Access, bodies: _Bodies) -> None:
        self._source = source
        self._access = access
        self._bodies = bodies
        self._scrapes = Scrapes(source.snapshot, bodies.cache_seconds)
        self._paths: dict[str, Callable[[Headers], Answer]] = {
            "/status": self._status,
            "/health": self._health,
            "/live": self._live,
            "/metrics": self._metrics,
        }

    def answer(self, method: str, path: str, headers: Headers) -> Answer:
        if path not in self._paths:
            return json_answer(
                {"error": "there are /status, /health, /live, /metrics, /badge.svg and the page at /"}, 404
            )
        if method not in ("GET", "HEAD"):
            return _wrong_method("GET", "HEAD")
        return self._paths[path](headers)

    def _status(self, headers: Headers) -> Answer:
        return self._refuse(headers) or self._bodies.answer

    def _health(self, headers: Headers) -> Answer:
        if refusal := self._access.refuse_host(headers):
            return refusal
        return self._bodies.health if self._access.may_read(headers) else self._bodies.verdict

    def _live(self, headers: Headers) -> Answer:
        """What restarts the whole asks this. Any Host will do: a platform's probe has a name of its own.

        Good as long as a restart could not help: a service that is away for a night is a problem, but none that a new
        process would not have as well.
        """
        is_live = self._source.is_live()
        return json_answer({"live": is_live}, 200 if is_live else 503)

    def _metrics(self, headers: Headers) -> Answer:
        return self._refuse(headers) or fresh_answer(*self._scrapes.body(header(headers, b"accept")), 200)

    def _refuse(self, headers: Headers) -> Answer | None:
        """What is answered to a reader who may not read everything."""
        return self._access.refuse_host(headers) or (None if self._access.may_read(headers) else needs_token())


class _Bodies:
    """The answers that have a body of their own, made anew when they have become too old."""

    def __init__(self, source: StatusSource, cache_seconds: float) -> None:
        self._source = source
        self.cache_seconds = cache_seconds
        self._made_at = float("-inf")
        self._changes = 0

    def _refresh(self) -> None:
        now, changes = time.monotonic(), self._source.changes()
        if now - self._made_at < self.cache_seconds and changes == self._changes:
            return
        body = self._source.look()
        code = 200 if body["ok"] else 503
        self._body = body
        self._answer = json_answer(body, 200)
        self._health = Answer(code, self._answer.body, self._answer.headers)
        self._verdict = json_answer({"ok": body["ok"]}, code)
        self._made_at, self._changes = now, self._source.changes()

    def status(self) -> Mapping[str, Any]:
        """The body of /status as values."""
        self._refresh()
        return self._body

    @property
    def answer(self) -> Answer:
        """The body of /status."""
        self._refresh()
        return self._answer

    @property
    def health(self) -> Answer:
        self._refresh()
        return self._health

    @property
    def verdict(self) -> Answer:
        self._refresh()
        return self._verdict


def _wrong_method(*allowed: str) -> Answer:
    only = " and ".join(allowed)
    return json_answer({"error": f"only {only}"}, 405, (b"allow", ", ".join(allowed).encode()))
