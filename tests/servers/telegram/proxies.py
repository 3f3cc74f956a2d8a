"""Three loopback proxies that a client may have to go through: SOCKS5, HTTP CONNECT, and Telegram's own MTProxy.

Each counts the connections that went through it, and those that it turned away. A connection ends on both sides as soon
as it ends on one, so that the server sees a client go when it goes.
"""

from __future__ import annotations

import asyncio
import base64
import contextlib
import struct
from collections.abc import Callable
from types import TracebackType
from typing import Self

from tests.servers.listening import stop_listening
from tests.servers.telegram.background import LOOPBACK, LoopThread, listen
from tests.servers.telegram.transports import Obfuscated, plain

CHUNK_BYTES = 1 << 16
Recode = Callable[[bytes], bytes]


class Refused(ConnectionError):
    """The client has no right to pass, or doesn't speak our language."""


# How a connection may end: either side hung up, is not there, or sent what makes no sense.
_ENDINGS = (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError)


class Proxy:
    """What they have in common. Used as a context manager; `port` is known inside it."""

    scheme = ""

    def __init__(self, bytes_per_second: float = 0.0) -> None:
        """`bytes_per_second` are let through to each client, 0 for any number."""
        self._bytes_per_second = bytes_per_second
        self.port = 0
        self.connections = 0
        self.refusals = 0
        self._thread: LoopThread | None = None
        self._listener: asyncio.Server | None = None
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def url(self) -> str:
        """As a configuration names it."""
        return f"{self.scheme}://{LOOPBACK}:{self.port}"

    def __enter__(self) -> Self:
        self._thread = LoopThread(f"proxy-{self.scheme}")
        bound = listen()
        self.port = bound.getsockname()[1]

        async def serve() -> None:
            self._listener = await asyncio.start_server(self._serve, sock=bound)

        self._thread.call(serve())
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        thread, self._thread = self._thread, None
        assert thread is not None
        thread.call(self._close())
        thread.close()

    def drop_connections(self) -> None:
        """End every connection that goes through."""
        assert self._thread is not None
        self._thread.call(self._end_all())

    async def _close(self) -> None:
        assert self._listener is not None
        await stop_listening(self._listener)
        await self._end_all()

    async def _end_all(self) -> None:
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        # Cancelled is how a test ends it; asyncio would report it as an error of the callback.
        with contextlib.suppress(asyncio.CancelledError, *_ENDINGS):
            try:
                await self._pass(reader, writer)
            except Refused:
                self.refusals += 1
            finally:
                self._tasks.discard(task)
                writer.close()

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Agree with the client on where to, then `_relay`."""
        raise NotImplementedError

    async def _relay(
        self,
        reader: asyncio.StreamReader,
        writer: asyncio.StreamWriter,
        upstream: tuple[asyncio.StreamReader, asyncio.StreamWriter],
        up: Recode = bytes,
        down: Recode = bytes,
    ) -> None:
        self.connections += 1
        both = [
            asyncio.create_task(_copy(reader, upstream[1], up)),
            asyncio.create_task(_copy(upstream[0], writer, down, self._bytes_per_second)),
        ]
        try:
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for one in both:
                one.cancel()
            upstream[1].transport.abort()
            await asyncio.gather(*both, return_exceptions=True)


class Socks5Proxy(Proxy):
    """SOCKS5, open or with a user's name and password."""

    scheme = "socks5"

    def __init__(self, user: str | None = None, password: str = "", *, bytes_per_second: float = 0.0) -> None:
        super().__init__(bytes_per_second)
        self._user = user
        self._password = password

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _version, count = await reader.readexactly(2)
        methods = await reader.readexactly(count)
        wanted = 2 if self._user is not None else 0
        if wanted not in methods:
            writer.write(b"\x05\xff")
            raise Refused
        writer.write(bytes([5, wanted]))
        if wanted == 2:
            await self._authenticate(reader, writer)
        host, port = await self._destination(reader)
        try:
            upstream = await asyncio.open_connection(host, port)
        except OSError:
            writer.write(b"\x05\x05\x00\x01" + bytes(6))
            raise
        writer.write(b"\x05\x00\x00\x01" + bytes(6))
        await self._relay(reader, writer, upstream)

    async def _authenticate(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _version, length = await reader.readexactly(2)
        user = (await reader.readexactly(length)).decode()
        password = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        if (user, password) != (self._user, self._password):
            writer.write(b"\x01\x01")
            raise Refused
        writer.write(b"\x01\x00")

    async def _destination(self, reader: asyncio.StreamReader) -> tuple[str, int]:
        _version, command, _, kind = await reader.readexactly(4)
        if command != 1 or kind not in (1, 3):
            raise Refused
        if kind == 1:
            host = ".".join(map(str, await reader.readexactly(4)))
        else:
            host = (await reader.readexactly((await reader.readexactly(1))[0])).decode()
        (port,) = struct.unpack(">H", await reader.readexactly(2))
        return host, port


class HttpProxy(Proxy):
    """HTTP CONNECT, open or with basic authentication."""

    scheme = "http"

    def __init__(self, user: str | None = None, password: str = "") -> None:
        super().__init__()
        self._expected = base64.b64encode(f"{user}:{password}".encode()).decode() if user is not None else None

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).decode()
        request, *lines = head.strip().split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        verb, where, _ = request.split()
        if self._expected and headers.get("proxy-authorization") != f"Basic {self._expected}":
            writer.write(b"HTTP/1.1 407 Proxy Authentication Required\r\nProxy-Authenticate: Basic\r\n\r\n")
            raise Refused
        if verb != "CONNECT":
            writer.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
            raise Refused
        host, _, port = where.rpartition(":")
        try:
            upstream = await asyncio.open_connection(host, int(port))
        except OSError:
            writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
            raise
        writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
        await self._relay(reader, writer, upstream)


class MtProxy(Proxy):
    """Telegram's proxy: clients show by how they encrypt that they know the secret, and name a data centre.

    `ports` are those of the data centres (`TelegramServer.ports`).
    """

    scheme = "mtproxy"

    def __init__(self, ports: dict[int, int], secret: str = "00112233445566778899aabbccddeeff") -> None:
        super().__init__()
        self.secret = secret
        self._ports = ports

    async def _pass(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        stream = Obfuscated(await reader.readexactly(64), bytes.fromhex(self.secret)[-16:])
        try:
            plain(stream.tag)
        except ConnectionError as error:
            raise Refused("a wrong secret") from error
        port = self._ports.get(abs(stream.dc_id))
        if port is None:
            raise Refused(f"no data centre {stream.dc_id}")
        upstream = await asyncio.open_connection(LOOPBACK, port)
        upstream[1].write(stream.tag[:1] if stream.tag[0] == 0xEF else stream.tag)
        await self._relay(reader, writer, upstream, stream.decrypt, stream.encrypt)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, recode: Recode, bytes_per_second: float = 0.0
) -> None:
    while data := await reader.read(CHUNK_BYTES):
        writer.write(recode(data))
        await writer.drain()
        if bytes_per_second:
            await asyncio.sleep(len(data) / bytes_per_second)
