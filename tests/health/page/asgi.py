"""The page's application as uvicorn would ask it, with a journal of its own and no process behind it."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from health.application import Application
from health.page.journal import PageOptions
from health.problems.first_seen import FirstSeen
from health.snapshot import Snapshot
from health.status import document
from ipc.journal import Journal
from tests.health.snapshots import snapshot

TOKEN = "s3cret"
HERE = {"host": "localhost:8080"}
MINE = {**HERE, "origin": "http://localhost:8080", "sec-fetch-site": "same-origin", "x-picturedesk": "1"}


class Tree:
    """A source of /status that a test changes."""

    def __init__(self) -> None:
        self.given: dict[str, Any] = {}
        self.looks = 0

    def look(self) -> dict[str, Any]:
        self.looks += 1
        return document(self.snapshot(), FirstSeen())

    def snapshot(self) -> Snapshot:
        return snapshot(**self.given)

    def is_live(self) -> bool:
        return True

    def changes(self) -> int:
        return 0


class Reply:
    """What was sent in answer to one request."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: dict[str, str] = {}
        self.body = b""

    async def send(self, message: dict[str, Any]) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = {key.decode(): value.decode() for key, value in message["headers"]}
        else:
            self.body += message.get("body", b"")


class Desk:
    """The application over a state_dir."""

    def __init__(self, state_dir: Path, token: str = "", *, hosts: tuple[str, ...] = (), **options: Any) -> None:
        self.state_dir = state_dir
        (state_dir / "spool").mkdir(exist_ok=True)
        self.journal = Journal.open(state_dir / "journal.db")
        self.tree = Tree()
        given = {"backend": "files", "public_url": "", "prefix": "", "show_captions": False, **options}
        page = PageOptions(state_dir=state_dir, **given)
        self.app = Application(self.tree, token, hosts, 0.0, page)

    def close(self) -> None:
        self.app.end()
        self.journal.close()

    async def request(
        self, method: str, path: str, headers: dict[str, str], body: bytes = b"", client: str = "127.0.0.1"
    ) -> Reply:
        reply = Reply()
        scope = {
            "type": "http",
            "method": method,
            "path": path,
            "headers": [(key.encode(), value.encode()) for key, value in headers.items()],
            "client": (client, 1234),
        }

        async def receive() -> dict[str, Any]:
            return {"type": "http.request", "body": body, "more_body": False}

        await self.app(scope, receive, reply.send)
        return reply

    def ask(
        self,
        method: str,
        path: str,
        headers: Mapping[str, str] = MappingProxyType({}),
        *,
        body: bytes = b"",
        client: str = "127.0.0.1",
    ) -> Reply:
        return asyncio.run(self.request(method, path, {**HERE, **headers}, body, client))

    def post(self, path: str, body: bytes = b"{}", headers: Mapping[str, str] = MappingProxyType({})) -> Reply:
        """As the page does it; without the headers that are given as empty."""
        named = {key: value for key, value in {**MINE, **headers}.items() if value}
        return asyncio.run(self.request("POST", path, named, body))

    def cookie(self) -> dict[str, str]:
        """The header of a new session."""
        reply = self.post("/session", b'{"token": "%s"}' % TOKEN.encode())
        assert reply.status == 200, reply.body
        return {"cookie": reply.headers["set-cookie"].partition(";")[0]}
