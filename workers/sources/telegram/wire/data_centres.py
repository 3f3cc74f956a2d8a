"""The connections that files come through: the connection itself for the account's own data centre, one more for each other.

One of those is made when the first file is asked for; what goes wrong there is that data centre's matter only
(`Unreachable`), and is tried again by and by: 5 s later, then after twice as long each time, up to a minute. Whoever
asks meanwhile is told at once, and while one finds out whether it is back, nobody else waits for that.

Telethon's own such connections are not used: they stay open, unknown to anybody, where their login fails.

A data centre of Telegram's content delivery network (CDN) is not Telegram's own, and not trusted. It shows that it is
the right one by a key that Telegram names; it learns nothing of the account, not even who asks; and whatever it answers
that is not a file's bytes is its own matter.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final

from telethon import TelegramClient, errors
from telethon.crypto import rsa
from telethon.network import MTProtoSender
from telethon.tl import functions
from telethon.tl.alltlobjects import LAYER

from ipc.holds import Hold
from workers.sources.telegram.wire.client import reached
from workers.sources.telegram.wire.errors import (
    ChannelFault,
    ConnectionLost,
    Flooded,
    ServerTrouble,
    StaleReference,
    Unanswered,
    Unreachable,
    Unreadable,
)
from workers.sources.telegram.wire.translation import translated
from workers.sources.telegram.wire.window import Window

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


class _Paced:
    """Whoever asks waits until there is room for the answer, first come, first served."""

    def __init__(self) -> None:
        self.pace = Window()
        self._queue: deque[tuple[int, asyncio.Future[None]]] = deque()

    @asynccontextmanager
    async def _room(self, size: int) -> AsyncIterator[None]:
        """Room for so many bytes. What becomes of them is told to the pace."""
        if self._queue or not self.pace.fits(size):
            turn = asyncio.get_running_loop().create_future()
            self._queue.append((size, turn))
            try:
                await turn
            except asyncio.CancelledError:
                if turn.done() and not turn.cancelled():
                    self.pace.gave_up(size)
                self._let_in()
                raise
        else:
            self.pace.asked(size)
        asked_at = time.monotonic()
        try:
            yield
        except Unanswered:
            self.pace.unanswered(size, asked_at, time.monotonic())
            raise
        except BaseException:
            self.pace.gave_up(size)
            raise
        else:
            self.pace.answered(size, asked_at, time.monotonic())
        finally:
            self._let_in()

    def _let_in(self) -> None:
        while self._queue and (self._queue[0][1].done() or self.pace.fits(self._queue[0][0])):
            size, turn = self._queue.popleft()
            if not turn.done():
                self.pace.asked(size)
                turn.set_result(None)


class Home(_Paced):
    """The account's own data centre: its files come through the connection."""

    def __init__(self, client: TelegramClient, on_heard: Callable[[], None]) -> None:
        super().__init__()
        self._client = client
        self._on_heard = on_heard

    async def ask(self, request: Any, size: int, seconds: float) -> Any:
        """The answer, in which so many bytes are expected. Raises Moved, TokenRefused, and what `errors` has."""
        async with self._room(size):
            answer = await _answer_of(self._client, self._client._sender, request, seconds)
        self._on_heard()
        return answer

    async def close(self) -> None:
        """The connection is not ours to close."""


class Elsewhere(_Paced):
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
        """As `Home.ask`; Unreachable, too."""
        async with self._room(size):
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
        """The connection, made if there is none. Raises Unreachable; what the connection raises if that is the matter."""
        if self._failures and (self._opening.locked() or time.monotonic() < self._again_at):
            raise Unreachable(self._dc_id, self._why, max(FIRST_PAUSE_SECONDS, self._again_at - time.monotonic()))
        async with self._opening:
            if self._sender is not None and not self._sender.is_connected():
                await self._drop(self._sender)  # closed from over there, where nobody has asked for long
            if self._sender is None:
                if self._failures and time.monotonic() < self._again_at:
                    raise Unreachable(self._dc_id, self._why, self._again_at - time.monotonic())
                self._sender = await self._connect()
            return self._sender

    async def _connect(self) -> MTProtoSender:
        client = self._client
        try:  # of the connection; afterwards, there is something to close
            async with asyncio.timeout(OPEN_SECONDS):
                address, credentials = await self._ask_telegram()
        except TimeoutError as error:
            raise Unanswered(f"no answer of the line about data centre {self._dc_id}") from error
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
        await reached(self._client, sender.connect(transport), _server(transport))
        first = self._client._init_request
        first.query = functions.auth.ImportAuthorizationRequest(credentials.id, credentials.bytes)
        await translated(sender.send(functions.InvokeWithLayerRequest(LAYER, first)))

    def _failed(self, why: str, seconds: float = 0.0) -> Unreachable:
        """Note that it could not be reached: nobody tries for a while, `seconds` at the least."""
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


class Cdn(Elsewhere):
    """A data centre of the CDN: nobody logs in there, and it gives files only."""

    async def ask(self, request: Any, size: int, seconds: float) -> Any:
        """As `Elsewhere.ask`, but that no answer from there may concern anything else than its own files."""
        try:
            return await super().ask(request, size, seconds)
        except (Flooded, StaleReference, ChannelFault, Unreadable, Moved) as odd:
            raise self._failed(str(odd), getattr(odd, "seconds", 0.0)) from odd

    async def _ask_telegram(self) -> tuple[Any, Any]:
        client = self._client
        config = await translated(client(functions.help.GetConfigRequest()))
        keys = await translated(client(functions.help.GetCdnConfigRequest()))
        addresses = [one for one in config.dc_options if one.id == self._dc_id and one.cdn]
        addresses.sort(key=lambda one: (bool(one.tcpo_only), bool(one.ipv6) != client._use_ipv6))
        public_keys = [one.public_key for one in keys.public_keys if one.dc_id == self._dc_id]
        if not addresses or not public_keys:
            raise ServerTrouble(f"Telegram names no {'key' if addresses else 'address'} of the CDN's data centre")
        return addresses[0], public_keys

    async def _enter(self, sender: MTProtoSender, transport: Any, credentials: Any) -> None:
        with _trusted(credentials):
            await reached(self._client, sender.connect(transport), _server(transport))


def _server(transport: Any) -> str:
    """Where the connection leads, for people."""
    return f"{transport._ip}:{transport._port}"


@contextmanager
def _trusted(public_keys: list[str]) -> Iterator[None]:
    """Take these keys for a data centre's, for as long as it takes to connect: they are good for no other one.

    Telethon has one list of keys for all, and would leave them in it.
    """
    known, ours = set(rsa._server_keys), set[int]()
    try:
        try:
            for key in public_keys:
                rsa.add_key(key, old=False)
        finally:
            ours = set(rsa._server_keys) - known  # and none of another connection's that is being made
        yield
    except ValueError as error:
        raise ServerTrouble(f"Telegram names a key of the CDN that is none: {error}") from error
    finally:
        for fingerprint in ours:
            rsa._server_keys.pop(fingerprint, None)


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
        ended.exception()  # nobody has waited for it; asyncio would complain of that


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
