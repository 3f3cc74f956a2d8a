"""A proxy that does what networks and services do on bad days, in front of any TCP server of this machine.

    with FaultProxy(server.port) as proxy:
        client = connect(proxy.url)                     # "http://127.0.0.1:…"
        proxy.set(Answer(503, headers={"Retry-After": "2"}, times=1))
        ...                                             # one request is refused, those after it are passed on
        with proxy.during(BlackHole()):
            ...                                         # nothing is answered
        assert [request.method for request in proxy.requests] == ["PUT", "PUT"]

    with FaultProxy(server.port, tls=True) as proxy:    # https://localhost:…; clients have to trust proxy.ca_file

Whenever the mode is set, all open connections are reset: no pooled connection carries the old mode on. `Answer`,
`LostAnswer` and `Edited` speak HTTP/1.1: they read each request whole, answer its `Expect: 100-continue` themselves,
and ask the server on a connection of their own. All others pass bytes on as they come; the requests are counted all the
same.
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import ssl
import struct
import tempfile
import threading
from collections.abc import Callable, Coroutine, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any, Self, TypeVar

from tests.servers.listening import stop_listening
from tests.servers.ports import HOST

T = TypeVar("T")

_CHUNK_BYTES = 64 * 1024
_THROTTLED_BYTES = 2**17
"""Of a throttled connection, so much is taken unasked. With less than two segments of the loopback's it stalls."""

_LONGEST_HEAD_BYTES = 2**20
_PATIENCE_SECONDS = 10.0
"""For the proxy's own thread to do what it is told; it never waits for anybody outside."""


@dataclass(frozen=True, slots=True)
class Request:
    """The head of a request that a client sent. Names of headers are in lower case."""

    method: str
    target: str
    headers: dict[str, str]


def _always(request: Request) -> bool:
    return True


# The modes


@dataclass(frozen=True, slots=True)
class Pass:
    """Everything is passed on."""


@dataclass(frozen=True, slots=True)
class Latency:
    """Each answer comes so much later."""

    seconds: float


@dataclass(frozen=True, slots=True)
class Throttle:
    """Nothing goes faster than this, in either direction, on any one connection."""

    bytes_per_second: int


@dataclass(frozen=True, slots=True)
class Refuse:
    """Nobody listens: connections are refused. The port stays the proxy's."""


@dataclass(frozen=True, slots=True)
class Reset:
    """The connection is reset after that number of bytes of the answer; with 0, at the first bytes of a request."""

    after_bytes: int = 0


@dataclass(frozen=True, slots=True)
class CutUpload:
    """That number of bytes of the client's reach the server, then both their connections are reset."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class BlackHole:
    """Connections are accepted and nothing is answered; with `reads=False` nothing is read either."""

    reads: bool = True


@dataclass(frozen=True, slots=True)
class Answer:
    """Requests never reach the server: this is the answer to those that `when` picks out, `times` times.

    All others are passed on. Content-Length is added to the headers.
    """

    status: int
    body: bytes = b""
    headers: Mapping[str, str] = field(default_factory=dict)
    times: int | None = None
    when: Callable[[Request], bool] = _always


@dataclass(frozen=True, slots=True)
class LostAnswer:
    """The server gets the request and does as it says; its answer is swallowed and the connection reset."""

    times: int | None = None
    when: Callable[[Request], bool] = _always


@dataclass(frozen=True, slots=True)
class Edited:
    """The server's answers to requests that `when` picks out are changed on their way, `times` times.

    `edit` gets the whole answer, headers and body, and returns another one: see `without_headers`.
    """

    edit: Callable[[bytes], bytes]
    times: int | None = None
    when: Callable[[Request], bool] = _always


@dataclass(frozen=True, slots=True)
class CutKeptAlive:
    """Each connection takes one request. The next one on it is swallowed as it comes, and the connection closed.

    `resets`: by a RST, as a server that has forgotten the connection; else by a FIN, as one that ends an old one.
    After `times` of them, requests are passed on.
    """

    resets: bool = False
    times: int | None = None


@dataclass(frozen=True, slots=True)
class Endless:
    """Each request is answered with this head, and then with `block` again and again, at this interval in seconds."""

    head: bytes
    block: bytes
    seconds: float = 0.0


def without_headers(*names: str) -> Callable[[bytes], bytes]:
    """An edit that leaves out these headers, in lower case."""

    def edit(answer: bytes) -> bytes:
        head, end, body = answer.partition(b"\r\n\r\n")
        lines = [line for line in head.split(b"\r\n") if line.split(b":")[0].decode().lower() not in names]
        return b"\r\n".join(lines) + end + body

    return edit


Mode = (
    Pass
    | Latency
    | Throttle
    | Refuse
    | Reset
    | CutUpload
    | BlackHole
    | Answer
    | LostAnswer
    | Edited
    | CutKeptAlive
    | Endless
)


class _Cut(Exception):
    """The connection is to be reset now."""


class _Closed(Exception):
    """The connection is to be closed now, as if all had been said."""


class FaultProxy:
    """In front of the server at `port`. What it does can be called from one thread; its own thread does the work.

    `connections` counts those accepted, `most_connections` is the most that were open at once since it was last set,
    `requests` holds the head of each HTTP request that came.
    """

    def __init__(self, port: int, *, tls: bool = False) -> None:
        self.connections = 0
        self.most_connections = 0
        self.requests: list[Request] = []
        self.ca_file: Path | None = None
        self._target = port
        self._mode: Mode = Pass()
        self._left: int | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._server: asyncio.Server | None = None
        self._folder = contextlib.ExitStack()
        self._tls = self._make_certificate() if tls else None
        # This socket never listens. It keeps the port ours while connections are refused.
        self._holder = _bound(0)
        self.port: int = self._holder.getsockname()[1]
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=f"fault proxy {self.port}", daemon=True)

    @property
    def url(self) -> str:
        return f"https://localhost:{self.port}" if self._tls else f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.set(Pass())
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self._call(self._set(Refuse()))
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()
        self._holder.close()
        self._folder.close()

    def set(self, mode: Mode) -> None:
        """From now on do this. Returns when every connection that was open has been reset."""
        self._call(self._set(mode))

    @contextlib.contextmanager
    def during(self, mode: Mode) -> Iterator[None]:
        """Do this for as long as the block lasts, then pass everything on."""
        self.set(mode)
        try:
            yield
        finally:
            self.set(Pass())

    def _call(self, task: Coroutine[Any, Any, T]) -> T:
        return asyncio.run_coroutine_threadsafe(task, self._loop).result(_PATIENCE_SECONDS)

    def _make_certificate(self) -> ssl.SSLContext:
        import trustme  # noqa: PLC0415 - with cryptography behind it, it is needed by few tests and slow to import

        folder = Path(self._folder.enter_context(tempfile.TemporaryDirectory(prefix="fault-proxy-")))
        authority = trustme.CA()
        self.ca_file = folder / "ca.pem"
        authority.cert_pem.write_to_path(str(self.ca_file))
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        authority.issue_cert("localhost", HOST).configure_cert(context)
        return context

    # All below runs in the proxy's own thread

    async def _set(self, mode: Mode) -> None:
        if self._server is not None:
            await stop_listening(self._server)
            self._server = None
        self._mode = mode
        self._left = mode.times if isinstance(mode, _ByRequest | CutKeptAlive) else None
        for task in self._open:
            task.cancel()
        await asyncio.gather(*self._open, return_exceptions=True)
        await asyncio.sleep(0)  # the transports that were aborted close their sockets
        if not isinstance(mode, Refuse):
            sock, limit = _bound(self.port), _LONGEST_HEAD_BYTES
            if isinstance(mode, Throttle):  # or a few MiB would be taken at once, here and by the kernel
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, _THROTTLED_BYTES)
                limit = _THROTTLED_BYTES // 2
            self._server = await asyncio.start_server(self._accept, sock=sock, ssl=self._tls, limit=limit)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        task = self._loop.create_task(self._serve(reader, writer))
        self._open.add(task)
        self.most_connections = max(self.most_connections, len(self._open))
        task.add_done_callback(self._open.discard)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            if isinstance(self._mode, _ByRequest):
                while await self._serve_request(self._mode, reader, writer):
                    continue
            elif isinstance(self._mode, BlackHole):
                await self._swallow(self._mode, reader)
            elif isinstance(self._mode, Endless):
                await self._go_on(self._mode, reader, writer)
            else:
                await self._pass_bytes(reader, writer)
            writer.close()
            await writer.wait_closed()
        except _Closed:
            writer.close()
        except (_Cut, OSError, EOFError, asyncio.LimitOverrunError, asyncio.CancelledError):
            _reset(writer)  # the same whether the other side has reset it, a mode has ended, or this is the fault
            await asyncio.sleep(0)

    def _take_one(self) -> bool:
        """Whether it is to happen once more."""
        if self._left:
            self._left -= 1
            return True
        return self._left is None

    def _note(self, request: Request) -> None:
        self.requests.append(request)

    async def _swallow(self, mode: BlackHole, reader: asyncio.StreamReader) -> None:
        with _tap(self._note) as tap:
            while not mode.reads:
                await asyncio.sleep(3600)
            while data := await reader.read(_CHUNK_BYTES):
                tap(data)

    async def _go_on(self, mode: Endless, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        request = await _read_head(reader)
        self._note(request)
        await _read_body(reader, request)
        writer.write(mode.head)
        while True:
            writer.write(mode.block)
            await writer.drain()
            await asyncio.sleep(mode.seconds)

    async def _pass_bytes(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection(HOST, self._target)
        gate = _Gate(self._mode, self._take_one)
        try:
            with _tap(self._note) as tap:
                up = self._loop.create_task(_pump(reader, server_writer, gate.up, gate.chunk_bytes, tap))
                down = self._loop.create_task(_pump(server_reader, writer, gate.down, gate.chunk_bytes))
                try:
                    # The server may well answer before it has everything, but once it is done there is no more to do.
                    await asyncio.wait({up, down}, return_when=asyncio.FIRST_COMPLETED)
                    if up.done():
                        await up
                    await down
                finally:
                    up.cancel()
                    down.cancel()
                    await asyncio.gather(up, down, return_exceptions=True)
        finally:
            _reset(server_writer)

    async def _serve_request(
        self, mode: Answer | LostAnswer | Edited, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Serve one request; whether another may come on this connection."""
        request = await _read_head(reader)
        self._note(request)
        if request.headers.get("expect", "").lower() == "100-continue":
            writer.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        body = await _read_body(reader, request)
        is_hit = mode.when(request)
        is_hit = is_hit and self._take_one()
        if is_hit and isinstance(mode, Answer):
            answer = _answer(mode, request)
        else:
            answer = await self._ask_server(request, body)
            if is_hit and isinstance(mode, Edited):
                answer = mode.edit(answer)
            elif is_hit:
                raise _Cut
        writer.write(answer)
        await writer.drain()
        if is_hit and isinstance(mode, Edited):
            return False  # it may have lost what says where it ends
        return b"connection: close\r\n" not in answer.partition(b"\r\n\r\n")[0].lower() + b"\r\n"

    async def _ask_server(self, request: Request, body: bytes) -> bytes:
        """The server's whole answer: it is asked to close the connection after it."""
        dropped = ("expect", "connection", "transfer-encoding", "content-length")
        headers = {name: value for name, value in request.headers.items() if name not in dropped}
        if body or request.method in ("POST", "PUT", "PATCH"):
            headers["content-length"] = str(len(body))
        lines = "".join(f"{name}: {value}\r\n" for name, value in {**headers, "connection": "close"}.items())
        reader, writer = await asyncio.open_connection(HOST, self._target)
        try:
            writer.write(f"{request.method} {request.target} HTTP/1.1\r\n{lines}\r\n".encode("latin-1") + body)
            return await reader.read()
        finally:
            _reset(writer)


_ByRequest = Answer | LostAnswer | Edited
"""The modes that look at each request by itself."""


class _Gate:
    """What a mode does to the bytes of one connection on their way."""

    def __init__(self, mode: Mode, take_one: Callable[[], bool]) -> None:
        self._mode = mode
        self._take_one = take_one
        self._sent = 0
        self._answered = 0
        self._is_question = False
        self.chunk_bytes = max(1, mode.bytes_per_second // 20) if isinstance(mode, Throttle) else _CHUNK_BYTES

    async def up(self, data: bytes) -> tuple[bytes, bool]:
        """What of the client's data goes on, and whether the connection goes on."""
        self._sent += len(data)
        is_next, self._is_question = self._answered > 0 and not self._is_question, True
        match self._mode:
            case CutKeptAlive(resets=resets) if is_next and self._take_one():
                if not resets:
                    raise _Closed
                return b"", False
            case Reset(after_bytes=0):
                return b"", False
            case CutUpload(after_bytes=limit) if self._sent > limit:
                return data[: len(data) - (self._sent - limit)], False
            case Throttle(bytes_per_second=rate):
                await asyncio.sleep(len(data) / rate)
        return data, True

    async def down(self, data: bytes) -> tuple[bytes, bool]:
        """The same for the server's."""
        self._answered += len(data)
        match self._mode:
            case CutKeptAlive():
                self._is_question = False
            case Latency(seconds=seconds) if self._is_question:
                self._is_question = False
                await asyncio.sleep(seconds)
            case Reset(after_bytes=limit) if self._answered > limit:
                return data[: len(data) - (self._answered - limit)], False
            case Throttle(bytes_per_second=rate):
                await asyncio.sleep(len(data) / rate)
        return data, True


async def _pump(
    source: asyncio.StreamReader,
    sink: asyncio.StreamWriter,
    gate: Callable[[bytes], Coroutine[Any, Any, tuple[bytes, bool]]],
    chunk_bytes: int,
    tap: Callable[[bytes], None] = lambda data: None,
) -> None:
    while data := await source.read(chunk_bytes):
        tap(data)
        data, goes_on = await gate(data)
        sink.write(data)
        await sink.drain()
        if not goes_on:
            await asyncio.sleep(0.05)  # a reset overtakes what was sent just before it: let that be read first
            raise _Cut
    if sink.can_write_eof():
        sink.write_eof()


@contextlib.contextmanager
def _tap(note: Callable[[Request], None]) -> Iterator[Callable[[bytes], None]]:
    """Finds the requests in the bytes that are given to it; what is no HTTP is let be."""
    reader = asyncio.StreamReader(limit=_LONGEST_HEAD_BYTES)

    async def look() -> None:
        with contextlib.suppress(EOFError, ValueError, asyncio.LimitOverrunError):
            while True:
                request = await _read_head(reader)
                note(request)
                await _read_body(reader, request)

    task = asyncio.get_running_loop().create_task(look())
    try:
        yield reader.feed_data
    finally:
        reader.feed_eof()
        task.add_done_callback(lambda done: done.cancelled() or done.exception())


async def _read_head(reader: asyncio.StreamReader) -> Request:
    head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
    first, *lines = head.rstrip("\r\n").split("\r\n")
    method, target, _ = first.split(" ", 2)
    pairs = (line.split(":", 1) for line in lines)
    return Request(method, target, {name.strip().lower(): value.strip() for name, value in pairs})


async def _read_body(reader: asyncio.StreamReader, request: Request) -> bytes:
    if "chunked" not in request.headers.get("transfer-encoding", "").lower():
        return await reader.readexactly(int(request.headers.get("content-length", "0")))
    body = b""
    while size := int((await reader.readuntil(b"\r\n")).split(b";")[0], 16):
        body += await reader.readexactly(size)
        await reader.readexactly(2)
    while await reader.readuntil(b"\r\n") != b"\r\n":  # trailers
        continue
    return body


def _answer(mode: Answer, request: Request) -> bytes:
    headers = {"Content-Length": str(len(mode.body)), "Connection": "close", **mode.headers}
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    head = f"HTTP/1.1 {mode.status} Canned\r\n{lines}\r\n".encode("latin-1")
    return head if request.method == "HEAD" else head + mode.body


def _bound(port: int) -> socket.socket:
    """A socket bound to the port, which others of this process may be bound to as well."""
    sock = socket.socket()
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
    sock.bind((HOST, port))
    return sock


def _reset(writer: asyncio.StreamWriter) -> None:
    """Close at once and with a RST, not with a FIN, whatever has not been sent yet."""
    with contextlib.suppress(OSError):  # the other side was first
        linger = struct.pack("ii", 1, 0)
        writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, linger)
    writer.transport.abort()
