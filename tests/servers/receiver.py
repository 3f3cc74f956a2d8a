"""A receiver of webhooks on loopback, over real HTTP: it checks each signature with the library of Standard Webhooks,
and answers as it is told to.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Self

from standardwebhooks.webhooks import Webhook

SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"


@dataclass(frozen=True)
class Request:
    """`content` is what was signed: None for a bare POST. `connection` tells one kept connection from another."""

    path: str
    headers: dict[str, str]
    body: bytes
    content: dict[str, Any] | None
    connection: tuple[str, int]

    @property
    def id(self) -> str:
        return self.headers["webhook-id"]

    @property
    def picture(self) -> tuple[int, int]:
        assert self.content is not None
        return self.content["data"]["channel_id"], self.content["data"]["message_id"]

    @property
    def type(self) -> str:
        assert self.content is not None
        return str(self.content["type"])


@dataclass
class Answer:
    """`raw`: bytes in the place of an HTTP answer. The connection is kept unless they are given, or it `ends`."""

    status: int = 204
    headers: dict[str, str] = field(default_factory=dict)
    body: bytes = b""
    seconds: float = 0.0
    raw: bytes | None = None
    ends: bool = False


class Receiver:
    """`requests` has all in their order; `answer` says what each gets, and may be set anew at any time."""

    def __init__(self, secret: str = SECRET, answer: Callable[[Request], Answer] = lambda _: Answer()) -> None:
        self.requests: list[Request] = []
        self.answer = answer
        self.at_once = self.most_at_once = 0
        self.verifier = Webhook(secret)
        self._lock = threading.Lock()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self._server.daemon_threads = True
        self._server.handle_error = lambda *_: None  # type: ignore[method-assign] # of senders that were killed
        self._server.block_on_close = False
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}/hooks/a-token?key=hidden"

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._server.server_close()

    def wait_for(self, count: int, seconds: float = 30.0) -> list[Request]:
        """All requests, once there are so many."""
        until = time.monotonic() + seconds
        while len(self.requests) < count:
            assert time.monotonic() < until, f"{len(self.requests)} of {count} requests came"
            time.sleep(0.01)
        return list(self.requests)

    def take(self, request: Request) -> Answer:
        with self._lock:
            self.requests.append(request)
            self.at_once += 1
            self.most_at_once = max(self.most_at_once, self.at_once)
        try:
            answer = self.answer(request)
            time.sleep(answer.seconds)
            return answer
        finally:
            with self._lock:
                self.at_once -= 1

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"
            disable_nagle_algorithm = True

            def do_POST(self) -> None:
                length = int(self.headers.get("content-length", 0))
                body = self.rfile.read(length)
                if len(body) < length:  # the sender was killed meanwhile
                    self.close_connection = True
                    return
                headers = {name.lower(): value for name, value in self.headers.items()}
                content = receiver.verifier.verify(body, headers) if body else None
                answer = receiver.take(Request(self.path, headers, body, content, self.client_address))
                if answer.raw is not None:
                    self.wfile.write(answer.raw)
                    self.close_connection = True
                    return
                self.send_response(answer.status)
                for name, value in answer.headers.items():
                    self.send_header(name, value)
                if answer.status >= 200 and answer.status != 204:
                    self.send_header("content-length", str(len(answer.body)))
                self.end_headers()
                self.wfile.write(answer.body)
                self.close_connection = answer.ends

            def log_message(self, *_: object) -> None:
                pass

        return Handler
