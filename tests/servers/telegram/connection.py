"""One client's connection: packets to messages, messages to requests, answers and updates back."""

from __future__ import annotations

import asyncio
import gzip
import os
import struct
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from telethon.errors import TypeNotFoundError
from telethon.extensions import BinaryReader
from telethon.tl import functions, types

from tests.servers.telegram.envelope import Letter, Piece, open_packet, seal_packet
from tests.servers.telegram.exchange import Exchange, server_key
from tests.servers.telegram.keys import Authorization
from tests.servers.telegram.tl import CONTAINER, GZIP_PACKED, RPC_RESULT, encode_bytes
from tests.servers.telegram.transports import BadStream, Codec, accept
from tests.servers.telegram.world import CDN_DC

if TYPE_CHECKING:
    from tests.servers.telegram.hub import Hub

GZIP_FROM_BYTES = 1024
MIN_PACKET_BYTES = 24
TOO_OLD_SECONDS, TOO_NEW_SECONDS = 300, 30
ID_TOO_LOW, ID_TOO_HIGH, WRONG_SALT = 16, 17, 48


class Connection:
    """Lives from `run`'s start to its end. `session_id` is 0 until the client has said it."""

    def __init__(self, hub: Hub, dc_id: int, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.hub = hub
        self.dc_id = dc_id
        self.session_id = 0
        self.authorization: Authorization | None = None
        self.subscribed = False
        self.competes = False
        self.closed = asyncio.Event()
        self._reader = reader
        self._writer = writer
        self._codec: Codec | None = None
        self._exchange: Exchange | None = None
        self._sequence = 0
        self._ahead: list[Piece] = []
        self._late: set[asyncio.Task[None]] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def run(self) -> None:
        """Serve it until either side closes it."""
        try:
            self._codec = await accept(self._reader)
            while True:
                self._take(await self._codec.read(self._reader), self._codec)
                await self._writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            # The end of every connection: closed by the client or by us, or sent what makes no sense.
            pass
        finally:
            self.closed.set()
            self._sleep_no_more()
            # One that is closing already may still have to say why.
            if not self._writer.is_closing():
                self._writer.transport.abort()
            await asyncio.gather(*self._late, return_exceptions=True)

    # What tests do to it

    def drop(self) -> None:
        """Close it at once."""
        self._writer.transport.abort()

    def write_noise(self, length: int, *, framed: bool) -> None:
        """Random bytes, past all encryption, as a packet or not even that."""
        noise = os.urandom(length)
        self._writer.write(self._codec.frame(noise) if framed and self._codec else noise)

    def transport_error(self, code: int) -> None:
        if self._codec:
            self._writer.write(self._codec.error(code))
        self._writer.close()

    # Coming in

    def _take(self, packet: bytes, codec: Codec) -> None:
        faults = self.hub.faults
        if faults.take_black_hole():
            return
        if code := faults.take_transport():
            self.transport_error(code)
            raise BadStream("refused by a fault")
        if len(packet) < MIN_PACKET_BYTES:
            raise BadStream("a packet too short for any message")
        if packet[:8] == bytes(8):
            self._writer.write(codec.frame(self._plain(packet)))
            return
        (key_id,) = struct.unpack_from("<Q", packet)
        authorization = self.hub.keys.find(self.dc_id, key_id)
        if authorization is None:
            self.transport_error(404)
            raise BadStream("an unknown key")
        self.authorization = authorization
        self._letter(authorization, open_packet(authorization.key.key, packet))

    def _plain(self, packet: bytes) -> bytes:
        """One step of the key exchange."""
        now = int(self.hub.world.now())
        try:
            request = _read(packet[20:])
        except (TypeNotFoundError, BufferError, struct.error) as error:
            raise BadStream("no step of the exchange") from error
        if self._exchange is None or isinstance(request, functions.ReqPqMultiRequest):
            self._exchange = Exchange(now, server_key("its CDN") if self.dc_id == CDN_DC else server_key())
        answer = bytes(self._exchange.answer(request))
        if self._exchange.key is not None:
            self.hub.keys.add(self._exchange.key, self.dc_id)
            self._exchange = None
        return struct.pack("<qqi", 0, self.hub.message_id(answer=True), len(answer)) + answer

    def _letter(self, authorization: Authorization, letter: Letter) -> None:
        self.session_id = letter.session_id
        age = self.hub.world.now() - (letter.message_id >> 32)
        if letter.salt != authorization.salt:
            self._send_object(types.BadServerSalt(letter.message_id, 0, WRONG_SALT, authorization.salt))
        elif not -TOO_NEW_SECONDS <= age <= TOO_OLD_SECONDS:
            why = ID_TOO_LOW if age > 0 else ID_TOO_HIGH
            self._send_object(types.BadMsgNotification(letter.message_id, 0, why))
        else:
            if letter.session_id not in authorization.sessions:
                authorization.sessions.add(letter.session_id)
                created = types.NewSessionCreated(letter.message_id, letter.session_id ^ 1, authorization.salt)
                self._ahead.append(bytes(created))
            for message_id, body in _unpacked(letter.message_id, letter.body):
                self._message(authorization, message_id, body)

    def _message(self, authorization: Authorization, message_id: int, body: bytes) -> None:
        try:
            request = _read(body)
        except TypeNotFoundError:
            self.hub.unexpected.append(f"constructor {body[:4][::-1].hex()}")
            self.answer(message_id, bytes(types.RpcError(400, "INPUT_METHOD_INVALID")))
            return
        match request:
            case types.MsgsAck():
                self.hub.acknowledged += len(request.msg_ids)
            case functions.PingRequest() | functions.PingDelayDisconnectRequest():
                self._ping(message_id, request)
            case functions.GetFutureSaltsRequest():
                now = int(self.hub.world.now())
                salts = [types.FutureSalt(now - 60, now + 3600, authorization.salt)]
                self._send_object(types.FutureSalts(message_id, now, salts))
            case functions.DestroySessionRequest():
                authorization.sessions.discard(request.session_id)
                self._send_object(types.DestroySessionOk(request.session_id))
            case types.MsgsStateInfo() | types.MsgsAllInfo():
                pass
            case _:
                self.hub.request(self, authorization, message_id, request)

    def _ping(self, message_id: int, request: Any) -> None:
        if not self.hub.answers_ping(self.dc_id):
            return
        self._send_object(types.Pong(message_id, request.ping_id))
        if isinstance(request, functions.PingDelayDisconnectRequest):
            if self._timer:
                self._timer.cancel()
            self._timer = asyncio.get_running_loop().call_later(request.disconnect_delay, self.drop)

    # Going out

    def answer(self, message_id: int, body: bytes, *, compress: bool = True) -> None:
        """The result of a request; TL's `rpc_error` is one as well."""
        pieces: list[Piece] = [struct.pack("<Iq", RPC_RESULT, message_id)]
        if compress and len(body) > GZIP_FROM_BYTES:
            pieces += [struct.pack("<I", GZIP_PACKED), *encode_bytes(gzip.compress(body, 1))]
        else:
            pieces.append(body)
        self.send(pieces, is_answer=True)

    def send(self, body: list[Piece], *, is_answer: bool = False) -> None:
        """Encrypt and write a message, together with what waited for one to go with."""
        authorization = self.authorization
        if authorization is None or self._codec is None or self._writer.is_closing():
            return
        if self._ahead:
            bodies, self._ahead = [b"".join(self._ahead), b"".join(body)], []
            body = [struct.pack("<Ii", CONTAINER, len(bodies))]
            for one in bodies:
                body += [struct.pack("<qii", self.hub.message_id(answer=is_answer), self._next(), len(one)), one]
        number = self.hub.message_id(answer=is_answer)
        packet = seal_packet(authorization.key, authorization.salt, self.session_id, number, self._next(), body)
        self._writer.write(self._codec.frame(packet))

    def later(self, seconds: float, what: Any, *arguments: Any) -> None:
        """Call it after that number of seconds, unless the connection is gone by then."""

        async def wait() -> None:
            await asyncio.sleep(seconds)
            if not self.closed.is_set():
                what(*arguments)

        self.soon(wait())

    def soon(self, work: Any) -> None:
        """Run a coroutine that ends with the connection at the latest."""
        task = asyncio.get_running_loop().create_task(work)
        self._late.add(task)
        task.add_done_callback(self._late.discard)

    def _send_object(self, answer: Any) -> None:
        self.send([bytes(answer)], is_answer=True)

    def _next(self) -> int:
        self._sequence += 1
        return self._sequence * 2 - 1

    def _sleep_no_more(self) -> None:
        for task in self._late:
            task.cancel()
        if self._timer:
            self._timer.cancel()


def _read(body: bytes) -> Any:
    with BinaryReader(body) as reader:
        return reader.tgread_object()


def _unpacked(message_id: int, body: bytes) -> Iterator[tuple[int, bytes]]:
    """The single messages of a body, out of containers and gzip."""
    (constructor,) = struct.unpack_from("<I", body)
    if constructor == GZIP_PACKED:
        with BinaryReader(body[4:]) as reader:
            yield from _unpacked(message_id, gzip.decompress(reader.tgread_bytes()))
    elif constructor == CONTAINER:
        (count,) = struct.unpack_from("<i", body, 4)
        at = 8
        for _ in range(count):
            inner_id, _sequence, length = struct.unpack_from("<qii", body, at)
            yield from _unpacked(inner_id, body[at + 16 : at + 16 + length])
            at += 16 + length
    else:
        yield message_id, body
