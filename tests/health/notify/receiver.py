"""Who gets messages and pings in the tests: a real HTTP server on loopback that keeps what is posted to it."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Receiver:
    """`status` is what it answers. `messages` has the JSON of each POST, `requests` counts them as they
    come, `paths` has the target of each that was answered."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.status = 200
        self.requests = 0
        self.messages: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.gate = threading.Event()
        """While it is not set, no request is answered."""
        self.gate.set()

    @property
    def titles(self) -> list[str]:
        return [message["title"] for message in self.messages]


@contextmanager
def receiver() -> Iterator[Receiver]:
    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            made.requests += 1
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
            made.gate.wait(20)
            if made.status == 200:
                made.messages.append(json.loads(body))
            self._answer()

        def do_GET(self) -> None:
            made.gate.wait(20)
            self._answer()

        def _answer(self) -> None:
            made.paths.append(self.path)
            self.send_response(made.status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    made = Receiver(server.server_address[1])
    thread = threading.Thread(target=server.serve_forever, args=(0.05,))
    thread.start()
    try:
        yield made
    finally:
        made.gate.set()
        server.shutdown()
        server.server_close()
        thread.join()
