"""The bytes of files, from whichever data centre keeps them.

Files of the account's own data centre come through the line itself. For each other one there is a connection of its
own, made when the first file is asked for; what goes wrong there is that data centre's matter only (`Unreachable`), and
is tried again by and by: 5 s later, then after twice as long each time, up to a minute. Whoever asks meanwhile is told
at once, and while one finds out whether it is back, nobody else waits for that.

Telethon's own such connections are not used: they stay open, unknown to anybody, where their login fails.
"""

from __future__ import annotations

import asyncio
import time
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from typing import Any, Final

from telethon import TelegramClient, errors
from telethon.network import MTProtoSender
from telethon.tl import functions
from telethon.tl.alltlobjects import LAYER

from ipc.holds import Hold
from workers.telegram.answers import translated
from workers.telegram.errors import Flooded, LineLost, ServerTrouble, Unanswered, Unreachable
from workers.telegram.media import File
from workers.telegram.pace import Pace

OPEN_SECONDS: Final = 20.0
"""For all of it: connecting, exchanging a key, logging in."""

FIRST_PAUSE_SECONDS: Final = 5.0
LONGEST_PAUSE_SECONDS: Final = 60.0

MOST_MOVES: Final = 3
"""So often a file may be said to lie in another data centre before that is believed to be nonsense."""


class Files:
    """What one line has of files. `on_heard` is called when the line itself has brought some."""

    def __init__(self, client: TelegramClient, on_heard: Callable[[], None]) -> None:
        self._client = client
        self._on_heard = on_heard
        self._sources: dict[int, _Home | _Elsewhere] = {}
        self._moved: dict[int, int] = {}

    def part_bytes(self, file: File, offset: int) -> int:
        """The size of the part to ask for at `offset`."""
        return self._source(self._moved.get(file.location.id, file.dc_id)).pace.part_bytes(offset, file.bytes - offset)

    async def part(self, file: File, offset: int, size: int, seconds: float) -> bytes:
        """`size` bytes from `offset` on, or fewer where the file ends."""
        request = functions.upload.GetFileRequest(file.location, offset, size)
        for _ in range(MOST_MOVES):
            source = self._source(self._moved.get(file.location.id, file.dc_id))
            try:
                return await source.ask(request, min(size, file.bytes - offset), seconds)
            except _Moved as moved:
                self._moved[file.location.id] = moved.dc_id
        raise ServerTrouble(f"Telegram has sent us to another data centre {MOST_MOVES} times in a row")

    async def close(self) -> None:
        """Close the connections to other data centres."""
        for source in self._sources.values():
            await source.close()

    def _source(self, dc_id: int) -> _Home | _Elsewhere:
        if dc_id not in self._sources:
            is_home = dc_id == self._client.session.dc_id
            self._sources[dc_id] = _Home(self._client, self._on_heard) if is_home else _Elsewhere(self._client, dc_id)
        return self._sources[dc_id]


class _Moved(Exception):
    """The file is in another data centre."""

    def __init__(self, dc_id: int) -> None:
        self.dc_id = dc_id


class _Paced:
    """Whoever asks waits until there is room for the answer, first come, first served."""

    def __init__(self) -> None:
        self.pace = Pace()
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


class _Home(_Paced):
    """The account's own data centre: its files come through the line."""

    def __init__(self, client: TelegramClient, on_heard: Callable[[], None]) -> None:
        super().__init__()
        self._client = client
        self._on_heard = on_heard

    async def ask(self, request: Any, size: int, seconds: float) -> bytes:
        async with self._room(size):
            data = await _bytes_of(self._client, self._client._sender, request, seconds)
        self._on_heard()
        return data

    async def close(self) -> None:
        """The line is not ours to close."""


class _Elsewhere(_Paced):
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

    async def ask(self, request: Any, size: int, seconds: float) -> bytes:
        async with self._room(size):
            sender, asked_at = await self._open(), time.monotonic()
            try:
                data = await _bytes_of(self._client, sender, request, seconds)
            except (LineLost, Hold) as error:
                await self._drop(sender)
                raise self._failed(str(error)) from error
            except Unanswered as silence:
                if self._heard_at >= asked_at:
                    raise  # it is slow, and not dead
                await self._drop(sender)
                raise self._failed(str(silence)) from silence
        self._heard_at, self._failures = time.monotonic(), 0
        return data

    async def _open(self) -> MTProtoSender:
        """The connection, made if there is none. Raises Unreachable; what the line raises if that is the matter."""
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
        try:  # of the line; afterwards, there is something to close
            async with asyncio.timeout(OPEN_SECONDS):
                login = await translated(client(functions.auth.ExportAuthorizationRequest(self._dc_id)))
                address = await translated(client._get_dc(self._dc_id))
        except TimeoutError as error:
            raise Unanswered(f"no answer of the line to a login for data centre {self._dc_id}") from error
        except (ServerTrouble, Flooded) as error:
            raise self._failed(str(error), getattr(error, "seconds", 0.0)) from error
        sender = MTProtoSender(None, loggers=client._log, retries=1, delay=0, auto_reconnect=False)
        connection = client._connection(
            address.ip_address, address.port, address.id, loggers=client._log, proxy=client._proxy, local_addr=None
        )
        try:
            async with asyncio.timeout(OPEN_SECONDS):
                await translated(sender.connect(connection))
                first = client._init_request
                first.query = functions.auth.ImportAuthorizationRequest(login.id, login.bytes)
                await translated(sender.send(functions.InvokeWithLayerRequest(LAYER, first)))
        except BaseException as error:
            await _close(sender)
            if isinstance(error, TimeoutError):
                raise self._failed(f"no connection within {OPEN_SECONDS:.0f} s") from error
            if isinstance(error, LineLost | ServerTrouble | Flooded | Hold):
                raise self._failed(str(error), getattr(error, "seconds", 0.0)) from error
            raise
        return sender

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


async def _close(sender: MTProtoSender) -> None:
    """Close a connection, in whatever state: one that never came to be connected is not closed by its `disconnect`."""
    connection = sender._connection
    with suppress(Exception):
        await sender.disconnect()
    if connection is not None:
        with suppress(Exception):
            await connection.disconnect()
    ended = sender._disconnected
    if ended.done() and not ended.cancelled():
        ended.exception()  # nobody has waited for it; asyncio would complain of that


async def _bytes_of(client: TelegramClient, sender: MTProtoSender, request: Any, seconds: float) -> bytes:
    """The bytes in the answer to a request for a file's part. Raises _Moved, and what `errors` has."""

    async def ask() -> Any:
        try:
            return await client._call(sender, request)
        except errors.FileMigrateError as error:
            raise _Moved(error.new_dc) from error

    try:
        async with asyncio.timeout(seconds):
            answer = await translated(ask())
    except TimeoutError as error:
        raise Unanswered(f"no part of the file within {seconds:.0f} s") from error
    return bytes(answer.bytes)
