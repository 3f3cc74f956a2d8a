"""Server-sent events for every reader of the page: each body is made once for all of them.

Promises. There are `MOST_READERS` at most, and one who reads too slowly is dropped: what waits for a reader is the
newest body of each kind and no more. Without a reader nothing is made.
"""

from __future__ import annotations

import asyncio
import json
import math
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

import structlog

from health.answers import Receive, Scope, Send, json_answer, send_answer
from health.page.document import NOSNIFF

MOST_READERS = 20
STEP_SECONDS = 0.25
"""Interval at which the loop looks for due topics, in seconds."""

BEAT_SECONDS = 2.0
RETRY = b"retry: 300\n"
"""Milliseconds after which a browser comes again: it would wait for three seconds, and health is replaced in one."""

SLOW_SECONDS = 10.0
"""How long a reader may take to read what it was sent."""

HEADERS = (
    (b"content-type", b"text/event-stream; charset=utf-8"),
    (b"cache-control", b"no-store"),
    (b"x-accel-buffering", b"no"),  # for nginx, which would hold back what has not filled a buffer
    NOSNIFF,
)

log = structlog.get_logger()


@dataclass(slots=True)
class Topic:
    """One kind of event: how its content is made, and how often at most (seconds)."""

    name: str
    make: Callable[[], Mapping[str, Any]]
    seconds: float
    made_at: float = -math.inf
    frame: bytes = b""

    def refresh(self, now: float) -> bool:
        """Whether there is another content than before."""
        if now - self.made_at < self.seconds:
            return False
        self.made_at = now
        before, self.frame = self.frame, frame(self.name, self.make())
        return self.frame != before


@dataclass(slots=True, eq=False)
class _Reader:
    """A browser that has the page open, and what waits for it."""

    waiting: dict[str, bytes] = field(default_factory=dict)
    woken: asyncio.Event = field(default_factory=asyncio.Event)
    is_over: bool = False

    def give(self, name: str, one: bytes) -> None:
        self.waiting[name] = one
        self.woken.set()

    def end(self) -> None:
        self.is_over = True
        self.woken.set()


def frame(name: str, content: Mapping[str, Any]) -> bytes:
    """An event as it is sent. JSON has no line breaks of its own.

    >>> frame("beat", {})
    b'event: beat\\ndata: {}\\n\\n'
    """
    return f"event: {name}\ndata: {json.dumps(content, separators=(',', ':'))}\n\n".encode()


class Broadcast:
    """All readers and the topics that they are told of."""

    def __init__(self, topics: list[Topic], monotonic: Callable[[], float] = time.monotonic) -> None:
        """Readers also get a beat: it says that the server is there, and the time by its clock."""
        self._topics = topics
        self._monotonic = monotonic
        self._readers: set[_Reader] = set()
        self._making: asyncio.Task[None] | None = None
        self._is_over = False

    async def serve(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Tell one reader, until it leaves or this process does."""
        if self._is_over or not self.has_room:
            text = f"there are {len(self._readers)} readers already: close one of them, and try again"
            await send_answer(json_answer({"error": text}, 503, (b"retry-after", b"10")), "GET", send)
            return
        reader = _Reader()
        self._readers.add(reader)
        watching = asyncio.create_task(_end_with_connection(reader, receive))
        try:
            await send({"type": "http.response.start", "status": 200, "headers": HEADERS})
            reader.give("beat", RETRY + _beat())
            self._tell_all(newcomer=reader)
            self._making = self._making or asyncio.create_task(self._make())
            if not await _tell(reader, send):
                scope.get("abort", _nothing)()
                await watching
        finally:
            self._readers.discard(reader)
            watching.cancel()

    @property
    def has_room(self) -> bool:
        """Whether one more may read along."""
        return len(self._readers) < MOST_READERS

    def end(self) -> None:
        """Let go of all readers: they come again, to the next process."""
        self._is_over = True
        for reader in self._readers:
            reader.end()

    async def _make(self) -> None:
        """Tell the readers what is new, as long as there are any."""
        beat_at = self._monotonic()
        try:
            while self._readers:
                await asyncio.sleep(STEP_SECONDS)
                self._tell_all()
                if (now := self._monotonic()) - beat_at >= BEAT_SECONDS:
                    beat_at = now
                    for reader in self._readers:
                        reader.give("beat", _beat())
        finally:
            self._making = None
            for reader in self._readers:  # there are some only if a body could not be made
                reader.end()

    def _tell_all(self, newcomer: _Reader | None = None) -> None:
        """Make what is due and give it to all; to a newcomer, all there is."""
        now = self._monotonic()
        for topic in self._topics:
            if topic.refresh(now):
                for reader in self._readers:
                    reader.give(topic.name, topic.frame)
            elif newcomer:
                newcomer.give(topic.name, topic.frame)


async def _tell(reader: _Reader, send: Send) -> bool:
    """Send what comes until the reader's end; False if it has read too slowly."""
    while True:
        await reader.woken.wait()
        reader.woken.clear()
        if reader.is_over:
            await send({"type": "http.response.body", "body": b"", "more_body": False})
            return True
        body = b"".join(reader.waiting.values())
        reader.waiting.clear()
        try:
            async with asyncio.timeout(SLOW_SECONDS):
                await send({"type": "http.response.body", "body": body, "more_body": True})
        except TimeoutError:
            log.info("page.reader_dropped", seconds=SLOW_SECONDS)
            return False


def _beat() -> bytes:
    return frame("beat", {"now": round(time.time(), 1)})


async def _end_with_connection(reader: _Reader, receive: Receive) -> None:
    while (await receive())["type"] != "http.disconnect":
        pass
    reader.end()


def _nothing() -> None: ...
