"""An answer over HTTP, ready to be sent, and what is read of a request's headers. Plain ASGI, so answers are cheap."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any

from ipc.text.printable import printable_json

Headers = Sequence[tuple[bytes, bytes]]
Scope = dict[str, Any]
Receive = Callable[[], Awaitable[dict[str, Any]]]
Send = Callable[[dict[str, Any]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Answer:
    """An answer, ready to be sent."""

    status: int
    body: bytes
    headers: tuple[tuple[bytes, bytes], ...]


def json_answer(content: Any, status: int, *more: tuple[bytes, bytes]) -> Answer:
    """Indented, so that `curl` shows something a person can read; never kept by a proxy or a browser."""
    body = printable_json(json.dumps(content, ensure_ascii=False, indent=1)).encode() + b"\n"
    return fresh_answer(b"application/json", body, status, *more)


def fresh_answer(content_type: bytes, body: bytes, status: int, *more: tuple[bytes, bytes]) -> Answer:
    """An answer that no proxy or browser keeps."""
    headers = (
        (b"content-type", content_type),
        (b"content-length", b"%d" % len(body)),
        (b"cache-control", b"no-store"),
    )
    return Answer(status, body, (*headers, *more))


def header(headers: Headers, name: bytes) -> str | None:
    """ASGI gives the names of headers in lower case."""
    return next((value.decode("latin-1") for key, value in headers if key == name), None)


async def send_answer(answer: Answer, method: str, send: Send) -> None:
    """Send it whole; its headers alone where only they were asked for."""
    await send({"type": "http.response.start", "status": answer.status, "headers": answer.headers})
    await send({"type": "http.response.body", "body": b"" if method == "HEAD" else answer.body})
