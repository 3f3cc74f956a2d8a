"""The connections that files come through: the account's own for its own data centre, one more for each other.

One of those is made when the first file is asked for; what goes wrong there is that data centre's matter only
(`Unreachable`), and is tried again by and by: 5 s later, then after twice as long each time, up to a minute. A request
that comes meanwhile fails at once, and while one finds out whether it is back, no other waits for that.

Telethon's own such connections are not used: they stay open, and unreachable, where their login fails.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final

from telethon import TelegramClient, errors
from telethon.network import MTProtoSender
from telethon.tl import functions
from telethon.tl.alltlobjects import LAYER

from ipc.process.holds import Hold
from workers.sources.telegram.wire.client import reached
from workers.sources.telegram.wire.errors import (
    ConnectionLost,
    Flooded,
    ServerTrouble,
    Unanswered,
    Unreachable,
)
from workers.sources.telegram.wire.files.pacing import Paced
from workers.sources.telegram.wire.translation import translated

OPEN_SECONDS: Final = 20.0
"""For all of it: connecting, exchanging a key, logging in."""

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0

REFUSED_TOKENS: Final = ("FILE_TOKEN_INVALID", "REQUEST_TOKEN_INVALID")
"""What a token that has expired is answered with, by the CDN or by Telegram."""


class Moved(Exception):
    """The file is in another data centre."""

    def __init__(self, dc_id: int) -> None:
        self.dc_id = dc_id


class TokenRefused(Exception):
    """A token of a file on the CDN does not hold (any more): ask for the file as if there had never been one."""


class Home(Paced):
    """The account's own data centre: its files come through the account's connection."""

    def __init__(self, client: TelegramClient, on_heard: Callable[[], None]) -> None:
        super().__init__()
        self._client = client
        self._on_heard = on_heard

    async def ask(self, request: Any, size: int, seconds: float) -> Any:
        """The answer, in which `size` bytes are expected. Raises Moved, TokenRefused, and what `errors` has."""
        async with self.room(size):
            answer = await _answer_of(self._client, self._client._sender, request, seconds)
        self._on_heard()
        return answer

    async def close(self) -> None:
        """The account's connection is not closed from here."""


class Elsewhere(Paced):
    """Another data centre, through a connection that is there when it is needed."""

    def __init__(self, client: TelegramClient, dc_id: int) -> None:
        super().__init__()
        self._client = client
        self._dc_id = dc_id
        self._sender: MTProtoSender | None = None
        self._opening = asyncio.Lock()
        self._heard_at = 0.0
        self._failures = 0
        self._again_at = 0.0
        self._why = ""

    async def ask(self, request: Any, size: int, seconds: float) -> Any:
        """Like `Home.ask`. Raises Unreachable, too."""
        async with self.room(size):
            sender, asked_at = await self._open(), time.monotonic()
            try:
                answer = await _answer_of(self._client, sender, request, seconds)
            except (ConnectionLost, Hold) as error:
                await self._drop(sender)
                raise self._failed(str(error)) from error
            except Unanswered as silence:
                if self._heard_at >= asked_at:
                    raise  # it is slow, and not dead
                await self._drop(sender)
                raise self._failed(str(silence)) from silence
        self._heard_at, self._failures = time.monotonic(), 0
        return answer

    async def _open(self) -> MTProtoSender:
        """The connection, made if there is none. Raises Unreachable, and what the account's own connection does."""
        if self._failures and (self._opening.locked() or time.monotonic() < self._again_at):
            raise Unreachable(self._dc_id, self._why, max(FIRST_PAUSE_SECONDS, self._again_at - time.monotonic()))
        async with self._opening:
            if self._sender is not None and not self._sender.is_connected():
                await self._drop(self._sender)  # closed by Telegram, as it does when long unused
            if self._sender is None:
                if self._failures and time.monotonic() < self._again_at:
                    raise Unreachable(self._dc_id, self._why, self._again_at - time.monotonic())
                self._sender = await self._connect()
            return self._sender

    async def _connect(self) -> MTProtoSender:
        client = self._client
        try:  # through the account's own; afterwards, there is something to close
            async with asyncio.timeout(OPEN_SECONDS):
                address, credentials = await self._ask_telegram()
        except TimeoutError as error:
            raise Unanswered(f"no answer about data centre {self._dc_id}") from error
        except (ServerTrouble, Flooded) as error:
            raise self._failed(str(error), getattr(error, "seconds", 0.0)) from error
        sender = MTProtoSender(None, loggers=client._log, retries=1, delay=0, auto_reconnect=False)
        transport = client._connection(
            address.ip_address, address.port, address.id, loggers=client._log, proxy=client._proxy, local_addr=None
        )
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await self._enter(sender, transport, credentials)
        except BaseException as error:
            await _close(sender)
            if isinstance(error, TimeoutError):
                raise self._failed(f"no connection within {OPEN_SECONDS:.0f} s") from error
            if isinstance(error, ConnectionLost | ServerTrouble | Flooded | Hold):
                raise self._failed(str(error), getattr(error, "seconds", 0.0)) from error
            raise
        return sender

    async def _ask_telegram(self) -> tuple[Any, Any]:
        """The data centre's address, and what it takes to be let in."""
        login = await translated(self._client(functions.auth.ExportAuthorizationRequest(self._dc_id)))
        return await translated(self._client._get_dc(self._dc_id)), login

    async def _enter(self, sender: MTProtoSender, transport: Any, credentials: Any) -> None:
        """Connect, and log in."""
        await reached(self._client, sender.connect(transport), server_of(transport))
        first = self._client._init_request
        first.query = functions.auth.ImportAuthorizationRequest(credentials.id, credentials.bytes)
        await translated(sender.send(functions.InvokeWithLayerRequest(LAYER, first)))

    def _failed(self, why: str, seconds: float = 0.0) -> Unreachable:
        """Note that it could not be reached: it is not tried for a while, `seconds` at the least."""
        now = time.monotonic()
        if now >= self._again_at:  # else it is one of many that have failed together
            pause = max(seconds, min(LONGEST_PAUSE_SECONDS, FIRST_PAUSE_SECONDS * 2**self._failures))
            self._failures += 1
            self._why, self._again_at = why, now + pause
            type(self._client)._config = None  # where the data centres are: telethon would believe it for ever
        return Unreachable(self._dc_id, self._why, self._again_at - now)

    async def _drop(self, sender: MTProtoSender) -> None:
        if self._sender is sender:
            self._sender = None
        await _close(sender)

    async def close(self) -> None:
        if self._sender is not None:
            await self._drop(self._sender)


def server_of(transport: Any) -> str:
    """Where the connection leads, for people."""
    return f"{transport._ip}:{transport._port}"


async def _close(sender: MTProtoSender) -> None:
    """Close a connection, in whatever state: one that never came to be connected is not closed by its `disconnect`."""
    transport = sender._connection
    with suppress(Exception):
        await sender.disconnect()
    if transport is not None:
        with suppress(Exception):
            await transport.disconnect()
    ended = sender._disconnected
    if ended.done() and not ended.cancelled():
        ended.exception()  # asyncio would complain if nothing had waited for it


async def _answer_of(client: TelegramClient, sender: MTProtoSender, request: Any, seconds: float) -> Any:
    """The answer to a request about a file. Raises Moved, TokenRefused, and what `errors` has."""

    async def ask() -> Any:
        try:
            return await client._call(sender, request)
        except errors.FileMigrateError as error:
            raise Moved(error.new_dc) from error
        except errors.RPCError as error:
            if error.message in REFUSED_TOKENS:
                raise TokenRefused(error.message) from error
            raise

    try:
        async with asyncio.timeout(seconds):
            return await translated(ask())
    except TimeoutError as error:
        raise Unanswered(f"no part of the file within {seconds:.0f} s") from error
