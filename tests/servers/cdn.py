"""A server on loopback that answers as Cloudflare's API does when caches are purged by URL."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.servers.ports import HOST

ZONE = "0123456789abcdef0123456789abcdef"
TOKEN = "a-token-that-may-purge"
MAX_FILES = 30


class Cdn:
    """One zone. `purged` are the URLs in the order in which they came; `answers` are given once each, before all else:
    a status, headers and a body.
    """

    def __init__(self) -> None:
        self.purged: list[str] = []
        self.requests = 0
        self.answers: list[tuple[int, dict[str, str], bytes]] = []
        self.token = TOKEN
        cdn = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                status, headers, answer = cdn.answer_to(self.path, self.headers.get("Authorization", ""), body)
                self.send_response(status)
                for name, value in {**headers, "Content-Length": str(len(answer))}.items():
                    self.send_header(name, value)
                self.end_headers()
                self.wfile.write(answer)

            def log_message(self, *_: Any) -> None:
                return None

        self._server = ThreadingHTTPServer((HOST, 0), Handler)
        self.api = f"http://{HOST}:{self._server.server_port}/client/v4"

    def answer_to(self, path: str, authorization: str, body: bytes) -> tuple[int, dict[str, str], bytes]:
        self.requests += 1
        if self.answers:
            return self.answers.pop(0)
        if authorization != f"Bearer {self.token}":
            return 403, {}, said(10000, "Authentication error")
        if path != f"/client/v4/zones/{ZONE}/purge_cache":
            return 404, {}, said(7003, "Could not route to that zone, perhaps your object identifier is invalid?")
        files = json.loads(body).get("files")
        if not files or len(files) > MAX_FILES or not all(url.startswith(("http://", "https://")) for url in files):
            return 400, {}, said(1012, 'Request must contain one of "purge_everything", "files", "tags"')
        self.purged += files
        return 200, {}, json.dumps({"success": True, "errors": [], "messages": [], "result": {"id": ZONE}}).encode()

    def __enter__(self) -> Self:
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()
        return self

    def __exit__(self, *_: type[BaseException] | BaseException | TracebackType | None) -> None:
        self._server.shutdown()
        self._server.server_close()


def said(code: int, message: str) -> bytes:
    """The body of a refusal."""
    return json.dumps({"success": False, "errors": [{"code": code, "message": message}], "result": None}).encode()
