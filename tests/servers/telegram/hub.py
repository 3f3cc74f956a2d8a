"""The server's inside, which lives in its event loop: listeners, connections, requests, and the pushing of updates."""

from __future__ import annotations

import asyncio
import logging
import socket
import time
from collections import Counter, deque
from dataclasses import dataclass
from functools import partial
from typing import Any

from telethon.tl import functions, types

from tests.servers.listening import stop_listening
from tests.servers.telegram.connection import Connection
from tests.servers.telegram.faults import Fault, Faults
from tests.servers.telegram.keys import DUPLICATED, UNREGISTERED, Authorization, Keys
from tests.servers.telegram.media import File, moment
from tests.servers.telegram.pushing import Pusher, Subscriber
from tests.servers.telegram.rpc import METHODS, Call
from tests.servers.telegram.rpc.files import pace
from tests.servers.telegram.rpc.login import Logins
from tests.servers.telegram.rpc.registry import WITHOUT_LOGIN
from tests.servers.telegram.tl import RpcError, channels_of, encode, name_of
from tests.servers.telegram.world import CDN_DC, HOME_DC, World

logger = logging.getLogger(__name__)

HARMLESS = {"upload.getFile", "help.getConfig", "help.getNearestDc"}
"""Requests of a connection that only downloads: they subscribe to nothing and don't compete with another's."""

CDN_METHOD = "upload.getCdnFile"

RIVAL_GRACE_SECONDS = 0.2
"""A client that reconnects has closed its old connection; we may be about to learn of it."""


@dataclass(frozen=True)
class Request:
    """One that was made: when (monotonic), in which data centre, about which channels."""

    name: str
    at: float
    dc_id: int
    channels: frozenset[int]


class Hub:
    """All of it but the thread. The counters may be read from any thread."""

    def __init__(self, world: World, api_id: int, api_hash: str) -> None:
        self.world = world
        self.api_id = api_id
        self.api_hash = api_hash
        self.keys = Keys()
        self.faults = Faults()
        self.logins = Logins()
        self.ports: dict[int, int] = {}
        self.connections: set[Connection] = set()
        self.unexpected: list[str] = []
        self.requests: Counter[str] = Counter()
        self.log: deque[Request] = deque(maxlen=100_000)
        self.connections_total = 0
        self.bytes_served = 0
        self.acknowledged = 0
        self.duplicates = 0
        self._listeners: dict[int, asyncio.Server] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._last_message_id = 0
        self.pusher = Pusher(world, self.faults, self.subscribers)

    # Listening

    async def listen(self, sockets: dict[int, socket.socket]) -> None:
        """Take connections on these bound sockets, by data centre, where that is not done already."""
        self.pusher.start()
        for dc_id, bound in sockets.items():
            if dc_id in self._listeners:
                continue

            async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, dc_id: int = dc_id) -> None:
                await self._serve(dc_id, reader, writer)

            self._listeners[dc_id] = await asyncio.start_server(serve, sock=bound, limit=1 << 20)

    async def deafen(self, dc_id: int | None = None) -> set[int]:
        """Take no more connections, in one data centre or in all; those that there are go on. Gives which were open."""
        closed = {one for one in self._listeners if dc_id in (None, one)}
        for one in closed:
            await stop_listening(self._listeners.pop(one))
        return closed

    async def close(self) -> None:
        """End everything that there is."""
        self.pusher.stop()
        await self.deafen()
        self.drop()
        while self._tasks:
            await asyncio.gather(*self._tasks, return_exceptions=True)
            await asyncio.sleep(0)

    def drop(self, dc_id: int | None = None) -> None:
        for connection in list(self.connections):
            if dc_id in (None, connection.dc_id):
                connection.drop()

    async def _serve(self, dc_id: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        connection = Connection(self, dc_id, reader, writer)
        self._tasks.add(task)
        self.connections.add(connection)
        self.connections_total += 1
        try:
            await connection.run()
        finally:
            self.connections.discard(connection)
            self._tasks.discard(task)

    # Requests

    def message_id(self, *, answer: bool) -> int:
        """The next id for a message of ours: the time, rising, odd; its last bits say whether it answers something."""
        now = int(self.world.now() * (1 << 32)) & ~3
        behind = self._last_message_id - now
        # A clock that a test has set back is no reason to go on from where it was.
        self._last_message_id = (self._last_message_id | 3) + 1 if 0 <= behind < 1 << 32 else now
        return self._last_message_id | (1 if answer else 3)

    def answers_ping(self, dc_id: int) -> bool:
        """Count a ping, and say whether it is to be answered."""
        self._count("ping", frozenset(), dc_id)
        fault = self.faults.take_rpc("ping", set())
        return fault is None or not fault.silent

    def request(self, connection: Connection, authorization: Authorization, message_id: int, request: Any) -> None:
        """Answer a request, now or later, as the faults in force have it."""
        wrapped: set[type] = set()
        while isinstance(request, _WRAPPERS):
            wrapped.add(type(request))
            if isinstance(request, functions.InvokeWithLayerRequest):
                authorization.layer = request.layer
            request = request.query
        name = name_of(request)
        if connection.dc_id == CDN_DC and wrapped:
            self.unexpected.append("a client that tells the CDN about itself")
        channels = channels_of(request) | self._channels_of_file(request)
        self._count(name, frozenset(channels), connection.dc_id)
        if name not in HARMLESS:
            connection.competes = True
            if functions.InvokeWithoutUpdatesRequest not in wrapped:
                with self.world.lock:
                    connection.subscribed = True
            if rivals := self._rivals(connection):
                connection.soon(self._contend(connection, rivals, authorization, message_id, name, request, channels))
                return
        self._answer(connection, authorization, message_id, name, request, channels)

    def _answer(
        self,
        connection: Connection,
        authorization: Authorization,
        message_id: int,
        name: str,
        request: Any,
        channels: set[int],
    ) -> None:
        fault = self.faults.take_rpc(name, channels)
        if fault and fault.silent:
            return
        call = Call(self, connection.dc_id, authorization)
        delay = fault.delay if fault else 0.0
        try:
            body = self._perform(call, name, request, fault)
            delay += pace(call, request) if name == "upload.getFile" else 0.0
        except RpcError as error:
            body = bytes(types.RpcError(error.code, error.message))
        # Telegram compresses no files.
        answer = partial(connection.answer, compress=name not in ("upload.getFile", CDN_METHOD))
        if delay:
            connection.later(delay, answer, message_id, body)
        else:
            answer(message_id, body)

    def _perform(self, call: Call, name: str, request: Any, fault: Fault | None) -> bytes:
        authorization = call.authorization
        if error := authorization.refused() or (fault.error if fault else None):
            self._move_file(request, error)
            raise error
        method = METHODS.get(name)
        if method is None:
            self.unexpected.append(name)
            raise RpcError(400, "METHOD_INVALID")
        if (call.dc_id == CDN_DC) != (name == CDN_METHOD):
            self.unexpected.append(f"{name} in data centre {call.dc_id}")
            raise RpcError(400, "CDN_METHOD_INVALID")
        if not authorization.logged_in and name not in WITHOUT_LOGIN:
            raise UNREGISTERED
        try:
            with self.world.lock:
                if fault and fault.answer is not None:
                    return encode(fault.answer)
                return encode(method(call, request))
        except RpcError:
            raise
        except Exception as error:
            # A mistake of ours. The client may take it for an outage and try again: the test must hear of it.
            logger.exception("%s failed", name)
            self.unexpected.append(f"{name}: {error!r}")
            raise RpcError(500, "INTERNAL") from error

    def _count(self, name: str, channels: frozenset[int], dc_id: int) -> None:
        self.requests[name] += 1
        self.log.append(Request(name, time.monotonic(), dc_id, channels))

    def _file_of(self, request: Any) -> File | None:
        return self.world.files.get(getattr(getattr(request, "location", None), "id", 0))

    def _channels_of_file(self, request: Any) -> set[int]:
        file = self._file_of(request)
        return file.channel_ids if file else set()

    def _move_file(self, request: Any, error: RpcError) -> None:
        """A fault that sends a client elsewhere for a file must find it there."""
        file = self._file_of(request)
        if file and error.message.startswith("FILE_MIGRATE_"):
            file.dc_id = int(error.message.removeprefix("FILE_MIGRATE_"))

    # Two clients with one key

    def _rivals(self, connection: Connection) -> list[Connection]:
        """Other live sessions of the same key in the home data centre that do more than download."""
        if connection.dc_id != HOME_DC:
            return []
        return [
            other
            for other in self.connections
            if other is not connection
            and other.competes
            and other.authorization is connection.authorization
            and other.session_id != connection.session_id
            and not other.closed.is_set()
        ]

    async def _contend(
        self, connection: Connection, rivals: list[Connection], authorization: Authorization, *rest: Any
    ) -> None:
        """Unless the others go away, the key is no longer good for anybody."""
        ends = [asyncio.create_task(one.closed.wait()) for one in rivals]
        await asyncio.wait(ends, timeout=RIVAL_GRACE_SECONDS)
        for end in ends:
            end.cancel()
        if self._rivals(connection) and authorization.refusal is None:
            self.duplicates += 1
            authorization.refusal = DUPLICATED
        self._answer(connection, authorization, *rest)

    # Updates

    def subscribers(self) -> list[Subscriber]:
        """The connections that get updates: of a login in the home data centre, and not into a black hole."""
        if self.faults.is_black_hole:
            return []
        return [
            one
            for one in list(self.connections)
            if one.subscribed
            and one.dc_id == HOME_DC
            and one.authorization is not None
            and one.authorization.logged_in
            and one.authorization.refused() is None
        ]

    def tell_login(self, authorization: Authorization) -> None:
        """That its login token was accepted."""
        update = bytes(types.UpdateShort(types.UpdateLoginToken(), moment(self.world.now())))
        for connection in self.connections:
            if connection.authorization is authorization:
                connection.send([update])


_WRAPPERS = (
    functions.InvokeWithLayerRequest,
    functions.InitConnectionRequest,
    functions.InvokeWithoutUpdatesRequest,
    functions.InvokeAfterMsgRequest,
    functions.InvokeAfterMsgsRequest,
)
