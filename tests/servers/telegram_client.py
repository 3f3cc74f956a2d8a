"""The real Telethon client against the server of the tests."""

from __future__ import annotations

import asyncio
import io
import random
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Coroutine
from contextlib import asynccontextmanager
from functools import cache
from typing import Any, TypeVar

from PIL import Image
from telethon import TelegramClient, events
from telethon.crypto import rsa
from telethon.sessions import StringSession

from tests.servers.telegram import TelegramServer

T = TypeVar("T")

DEADLINE_SECONDS = 20.0


def run(work: Coroutine[Any, Any, T]) -> T:
    """Run a test's coroutine, with a deadline: Telethon's requests have none."""

    async def limited() -> T:
        return await asyncio.wait_for(work, DEADLINE_SECONDS)

    return asyncio.run(limited())


async def until(what: str, look: Callable[[], Any], seconds: float = 10.0) -> None:
    """Wait for something to become true."""
    end = time.monotonic() + seconds
    while not look():
        assert time.monotonic() < end, f"waited {seconds:.0f} s in vain for {what}"
        await asyncio.sleep(0.01)


@asynccontextmanager
async def connected(server: TelegramServer, session: Any = None, **options: Any) -> AsyncIterator[Any]:
    """A client that is connected, and logged in unless the session isn't."""
    client = client_of(server, session, **options)
    try:
        await client.connect()
        yield client
    finally:
        await client.disconnect()


def client_of(server: TelegramServer, session: Any = None, **options: Any) -> Any:
    options = {"connection_retries": 50, "retry_delay": 0.05, "request_retries": 2, **options}
    session = session or StringSession(server.session_string())
    return TelegramClient(session, server.api_id, server.api_hash, **options)


class Heard:
    """What a client's handlers were told, in order."""

    def __init__(self, client: Any) -> None:
        self.new: list[int] = []
        self.edited: list[int] = []
        self.deleted: list[int] = []
        self.albums: list[list[int]] = []
        client.add_event_handler(self._new, events.NewMessage)
        client.add_event_handler(self._edited, events.MessageEdited)
        client.add_event_handler(self._deleted, events.MessageDeleted)
        client.add_event_handler(self._album, events.Album)

    def has(self, new: list[int]) -> bool:
        """Whether exactly these came, in order."""
        return self.new == new

    async def _new(self, event: Any) -> None:
        self.new.append(event.message.id)

    async def _edited(self, event: Any) -> None:
        self.edited.append(event.message.id)

    async def _deleted(self, event: Any) -> None:
        self.deleted += event.deleted_ids

    async def _album(self, event: Any) -> None:
        self.albums.append([message.id for message in event.messages])


def trust(server: TelegramServer) -> None:
    """Let clients of this process exchange keys with it."""
    rsa.add_key(server.public_key, old=False)


@cache
def jpeg(seed: int = 0, width: int = 64, height: int = 48) -> bytes:
    """A small picture."""
    color = tuple(random.Random(seed).randbytes(3))
    with io.BytesIO() as buffer:
        Image.new("RGB", (width, height), color).save(buffer, "JPEG")
        return buffer.getvalue()


async def raises(kind: type[BaseException] | tuple[type[BaseException], ...], work: Awaitable[Any]) -> Any:
    """The exception of that kind that the awaitable ends with."""
    try:
        await work
    except kind as error:
        return error
    raise AssertionError(f"none of {kind}")
