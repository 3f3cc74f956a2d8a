"""What stands in front of a Supabase project's interface: it knows the keys, and hands on what comes with one of them.

Keys of both kinds go in the header `apikey`. One of the old kind is a JWT, which a client sends as its bearer token as
well. One of the new kind (sb_secret_…, sb_publishable_…) stands for a role, and may not be sent as a bearer token:
here, as on some servers, it is handed on and refused behind.
"""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import http.client
import json
import secrets
import socket
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import TracebackType
from typing import Any, Self

from tests.servers.ports import HOST
from workers.publishing.catalog.supabase import answers

_PREFIX = "/rest/v1"
_ROLES = {"service_role": "sb_secret_", "anon": "sb_publishable_"}
_HOP_BY_HOP = {"connection", "content-length", "host", "keep-alive", "transfer-encoding"}


class Keys:
    """A project's keys. `secret` is what its JWTs are signed with."""

    def __init__(self) -> None:
        self.secret = secrets.token_hex(32)
        self.service_role = self.jwt("service_role")
        self.anon = self.jwt("anon")
        self.new_secret = _ROLES["service_role"] + secrets.token_urlsafe(24)
        self.new_publishable = _ROLES["anon"] + secrets.token_urlsafe(24)

    def jwt(self, role: str, seconds: float = 10 * 365 * 86400) -> str:
        """A JWT for that role that is good for so long."""
        header = _encode(json.dumps({"alg": "HS256", "typ": "JWT"}).encode())
        claims = _encode(json.dumps({"iss": "supabase", "role": role, "exp": int(time.time() + seconds)}).encode())
        return f"{header}.{claims}.{self._signature(f'{header}.{claims}')}"

    def knows(self, key: str) -> bool:
        """Whether it is an API key. The token of a node's role is none: it goes behind one, as the bearer."""
        return key in (self.new_secret, self.new_publishable) or (
            hmac.compare_digest(self._signature(key.rpartition(".")[0]), key.rpartition(".")[2])
            and not answers.is_of_node(key)
        )

    @property
    def of_node(self) -> str:
        """catalog.key of a node that has a key of its own."""
        return f"{self.new_publishable}:{self.jwt(answers.NODE)}"

    def bearer_for(self, key: str) -> str | None:
        """The JWT that a key of the new kind stands for."""
        return {self.new_secret: self.service_role, self.new_publishable: self.anon}.get(key)

    def _signature(self, text: str) -> str:
        return _encode(hmac.new(self.secret.encode(), text.encode(), hashlib.sha256).digest())


class Gateway:
    """In front of the PostgREST at `port`, in threads of this process."""

    def __init__(self, keys: Keys, port: int) -> None:
        self._server = _Server(keys, port)
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), name="gateway", daemon=True)

    @property
    def port(self) -> int:
        return self._server.server_port

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = False  # so that closing waits for them
    request_queue_size = 64

    def __init__(self, keys: Keys, upstream: int) -> None:
        super().__init__((HOST, 0), _Handler)
        self.keys, self.upstream = keys, upstream
        self.open: set[socket.socket] = set()

    def server_close(self) -> None:
        for connection in list(self.open):
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)
        super().server_close()


class _Handler(BaseHTTPRequestHandler):
    """One client's connection, and one behind it."""

    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    server: _Server

    def setup(self) -> None:
        super().setup()
        self.server.open.add(self.connection)
        self._behind = http.client.HTTPConnection(HOST, self.server.upstream, timeout=60)

    def finish(self) -> None:
        self.server.open.discard(self.connection)
        self._behind.close()
        super().finish()

    def handle(self) -> None:
        with contextlib.suppress(OSError):  # the client has gone
            super().handle()

    def _pass_on(self) -> None:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        key = self.headers.get("apikey")
        if key is None:
            self._say(401, {"message": "No API key found in request", "hint": "No `apikey` request header was found."})
        elif not self.server.keys.knows(key):
            self._say(401, {"message": "Invalid API key", "hint": "Double check your Supabase API key."})
        elif not self.path.startswith(f"{_PREFIX}/"):
            self._say(404, {"message": "no Route matched with those values"})
        else:
            self._ask_behind(body, key)

    def do_OPTIONS(self) -> None:
        """A browser asks whether a page of another origin may ask, and gives no key with that."""
        self._ask_behind(b"", "")

    do_DELETE = do_GET = do_HEAD = do_PATCH = do_POST = do_PUT = _pass_on

    def _ask_behind(self, body: bytes, key: str) -> None:
        headers = {name: value for name, value in self.headers.items() if name.lower() not in _HOP_BY_HOP}
        bearer = self.server.keys.bearer_for(key)
        if bearer is not None and "Authorization" not in self.headers:
            headers["Authorization"] = f"Bearer {bearer}"
        try:
            self._behind.request(self.command, self.path.removeprefix(_PREFIX), body, headers)
            answer = self._behind.getresponse()
            content = answer.read()
        except (OSError, http.client.HTTPException):
            self._behind.close()
            self._answer(502, [("Content-Type", "text/html")], b"<html><title>502 Bad Gateway</title></html>")
            return
        self._answer(
            answer.status, [pair for pair in answer.getheaders() if pair[0].lower() not in _HOP_BY_HOP], content
        )

    def _say(self, status: int, body: Any) -> None:
        self._answer(status, [("Content-Type", "application/json")], json.dumps(body).encode())

    def _answer(self, status: int, headers: list[tuple[str, str]], content: bytes) -> None:
        self.send_response_only(status)
        for name, value in headers:
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)


def _encode(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
