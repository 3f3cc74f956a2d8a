"""The page's routes: which path gives what to whom. Who may do so is in `health.access.access`."""

from __future__ import annotations

import asyncio
import os
import time
from collections.abc import Mapping
from typing import Any, Protocol

import structlog

from health.access.access import Access
from health.access.sessions import SESSION_SECONDS, Sessions, Tries
from health.answers import Answer, Headers, Receive, Scope, Send, header, json_answer, send_answer
from health.page import desk, files
from health.page.actions import Actions, client_of, read_body, refuse_foreign
from health.page.badge import badge
from health.page.broadcast import Broadcast, Topic
from health.page.document import document
from health.page.journal import DeskReader, PageOptions

STATUS_SECONDS = 1.0
DESK_SECONDS = 2.0
MOST_FILES = 8
"""Most files that are sent at the same time; others wait for their turn."""

CHUNK_BYTES = 64 * 1024
SLOW_SECONDS = 10.0
"""How long a client may take to read a chunk."""

ACTIONS = "/actions/"
SHOWN = ("/", "/events", "/badge.svg")
FILES = ("/media/", "/dead/", "/site/", "/feeds/")
NOT_FOUND = json_answer({"error": "there is no such file"}, 404)

log = structlog.get_logger()


class BodySource(Protocol):
    """Where /status comes from."""

    def status(self) -> Mapping[str, Any]:
        """The body of /status, at most half a second old."""


class PageRoutes:
    """The page and everything that it loads: document, data, files, actions."""

    def __init__(self, source: BodySource, access: Access, sessions: Sessions, options: PageOptions) -> None:
        self._source = source
        self._access = access
        self._sessions = sessions
        self._options = options
        self._tries = Tries(time.monotonic)
        self._desk = DeskReader(options)
        self._actions = Actions(options)
        self._document = document("" if options.backend == "files" else options.public_url)
        self._sending = asyncio.Semaphore(MOST_FILES)
        self._broadcast = Broadcast(
            [Topic("status", self._status, STATUS_SECONDS), Topic("desk", self._shown, DESK_SECONDS)]
        )

    def end(self) -> None:
        """Let go of all readers, and close the journal."""
        self._broadcast.end()
        self._desk.close()

    def methods(self, path: str) -> tuple[str, ...]:
        """The methods that a path of the page's allows; none if it is not the page's."""
        if path in SHOWN or path == "/site" or path.startswith(FILES) or files.is_key(path[1:]):
            return ("GET", "HEAD")
        if path == "/session":
            return ("GET", "HEAD", "POST")
        if path.startswith(ACTIONS) and self._actions.knows(path.removeprefix(ACTIONS)):
            return ("POST",)
        return ()

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer a request for one of these paths, with a method that it allows."""
        path, method = scope["path"], scope["method"]
        if path == "/events":
            await self._serve_events(scope, receive, send)
        elif path.startswith(FILES) or files.is_key(path[1:]):
            await self._serve_file(scope, send)
        elif method == "POST":
            await send_answer(await self._post(scope, receive), method, send)
        else:
            await send_answer(self._plain(scope), method, send)

    def _plain(self, scope: Scope) -> Answer:
        if scope["path"] == "/badge.svg":
            refusal = self._access.refuse_host(scope["headers"])
            return refusal or badge(len(self._source.status()["problems"]))
        refusal = self._access.refuse_page(scope)
        if scope["path"] == "/site":
            return refusal or json_answer({"see": "site/"}, 308, (b"location", b"site/"))
        if scope["path"] == "/session":
            may_read = self._access.may_read(scope["headers"])
            return refusal or json_answer({"may_read": may_read, "has_room": self._broadcast.has_room}, 200)
        return refusal or self._document

    # What is live

    async def _serve_events(self, scope: Scope, receive: Receive, send: Send) -> None:
        refusal = self._access.refuse_data(scope) or _refuse_other_sites(scope["headers"])
        if refusal or scope["method"] == "HEAD":
            await send_answer(refusal or json_answer({}, 200), scope["method"], send)
        else:
            await self._broadcast.serve(scope, receive, send)

    def _status(self) -> Mapping[str, Any]:
        body = self._source.status()
        return body if self._options.show_captions else desk.without_titles(body)

    def _shown(self) -> Mapping[str, Any]:
        """What the page shows besides. With a token, the reader has shown it, and may act."""
        may_act = self._access.has_token
        return {
            "may_act": may_act,
            "has_token": self._access.has_token,
            **self._desk.read(self._source.status(), with_thumbnails=may_act),
        }

    # Files

    async def _serve_file(self, scope: Scope, send: Send) -> None:
        refusal = self._access.refuse_data(scope)
        if refusal is None and scope["path"].startswith("/dead/"):
            refusal = self._access.refuse_action(scope["headers"])  # originals are not for everybody on this machine
        file = None if refusal else await asyncio.to_thread(self._open, scope["path"])
        if file is None:
            await send_answer(refusal or NOT_FOUND, scope["method"], send)
            return
        try:
            await send({"type": "http.response.start", "status": 200, "headers": file.headers})
            if scope["method"] == "HEAD":
                await send({"type": "http.response.body", "body": b""})
                return
            async with self._sending:
                await _send_file(file, scope, send)
        finally:
            file.close()

    def _open(self, path: str) -> files.ServedFile | None:
        kind, _, name = path[1:].partition("/")
        if kind == "dead":
            return self._desk.original(int(name)) if name.isascii() and name.isdigit() and len(name) < 19 else None
        if self._options.backend != "files":
            return None
        # The gallery's links are relative: it is at /site/ as it is below the prefix, with the pictures beside it.
        prefix, media = self._options.prefix, self._options.state_dir / "media"
        key = name if kind == "media" else f"{prefix}{path[1:]}{'index.html' if path == '/site/' else ''}"
        return files.open_object(media, key, prefix) or files.open_document(
            media, key, prefix, self._options.public_url
        )

    # Actions

    async def _post(self, scope: Scope, receive: Receive) -> Answer:
        headers, path = scope["headers"], scope["path"]
        if refusal := self._access.refuse_page(scope) or refuse_foreign(headers):
            return refusal
        if path == "/session":
            return await self._open_session(scope, receive)
        if refusal := self._access.refuse_action(headers):
            return refusal
        given = await read_body(receive)
        return (
            given if isinstance(given, Answer) else await self._actions.take(path.removeprefix(ACTIONS), given, scope)
        )

    async def _open_session(self, scope: Scope, receive: Receive) -> Answer:
        """A session for a reader who shows the token."""
        client = client_of(scope)
        if not self._access.has_token:
            return json_answer({"said": "health.token is not set: the page can only be read"}, 403)
        if wait := self._tries.wait_seconds(client):
            seconds = b"%d" % (wait + 1)
            text = f"too many wrong tokens: wait {wait + 1:.0f} s"
            return json_answer({"said": text}, 429, (b"retry-after", seconds))
        given = await read_body(receive)
        if isinstance(given, Answer):
            return given
        if not self._access.is_token(str(given.get("token", ""))):
            self._tries.note_failure(client)
            log.warning("page.token_refused", client=client)
            return json_answer({"said": "this is not the token"}, 403)
        self._tries.note_success(client)
        log.info("page.session_opened", client=client)
        key = f"{self._sessions.cookie}={self._sessions.open()}"
        cookie = f"{key}; Max-Age={SESSION_SECONDS:.0f}; Path=/; HttpOnly; SameSite=Strict"
        secure = "; Secure" if (header(scope["headers"], b"origin") or "").startswith("https://") else ""
        return json_answer({"said": "unlocked"}, 200, (b"set-cookie", f"{cookie}{secure}".encode()))


def _refuse_other_sites(headers: Headers) -> Answer | None:
    """The refusal of another site's page, which may not even take up a place among the readers."""
    site = header(headers, b"sec-fetch-site")
    is_ours = site in (None, "none", "same-origin")
    return None if is_ours else json_answer({"error": "this is for the page alone"}, 403)


async def _send_file(file: files.ServedFile, scope: Scope, send: Send) -> None:
    left = file.size
    while left > 0:
        chunk = (await asyncio.to_thread(os.read, file.fd, CHUNK_BYTES))[:left]
        left = left - len(chunk) if chunk else 0
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                await send({"type": "http.response.body", "body": chunk, "more_body": left > 0})
        except TimeoutError:
            scope.get("abort", _nothing)()
            return
    if not file.size:
        await send({"type": "http.response.body", "body": b""})


def _nothing() -> None: ...
