"""The transports: how packets stand in the byte stream, told by the first bytes that the client sends.

Abridged, intermediate, padded intermediate and full; each also inside an obfuscated stream. A server that gets bytes
which fit none of them closes the connection, as it does for a wrong checksum or sequence number of the full transport.
"""

from __future__ import annotations

import asyncio
import hashlib
import os
import struct
from typing import Any, Protocol
from zlib import crc32

from telethon.crypto import AESModeCTR

ABRIDGED = b"\xef"
INTERMEDIATE = b"\xee\xee\xee\xee"
PADDED = b"\xdd\xdd\xdd\xdd"

MAX_PACKET_BYTES = 2 << 20
"""Nothing that a client has to say is longer."""


class BadStream(ConnectionError):
    """The client's bytes make no sense."""


class Reader(Protocol):
    """What a codec reads from."""

    async def readexactly(self, n: int, /) -> bytes: ...


class Codec(Protocol):
    """One transport on one connection."""

    async def read(self, reader: Reader) -> bytes:
        """The next packet. May raise IncompleteReadError or BadStream."""
        ...

    def frame(self, packet: bytes) -> bytes:
        """The packet as it goes onto the wire."""
        ...

    def error(self, code: int) -> bytes:
        """A transport error (404, 429) as it goes onto the wire."""
        ...


class Abridged:
    """A length byte in words of four bytes, or 0x7f and three more."""

    async def read(self, reader: Reader) -> bytes:
        words = (await reader.readexactly(1))[0] & 0x7F
        if words == 0x7F:
            words = int.from_bytes(await reader.readexactly(3), "little")
        return await reader.readexactly(_checked(words * 4))

    def frame(self, packet: bytes) -> bytes:
        words = len(packet) // 4
        return (bytes([words]) if words < 0x7F else b"\x7f" + words.to_bytes(3, "little")) + packet

    def error(self, code: int) -> bytes:
        return self.frame(struct.pack("<i", -code))


class Intermediate:
    """Four bytes of length."""

    async def read(self, reader: Reader) -> bytes:
        (length,) = struct.unpack("<I", await reader.readexactly(4))
        return await reader.readexactly(_checked(length))

    def frame(self, packet: bytes) -> bytes:
        return struct.pack("<I", len(packet)) + packet

    def error(self, code: int) -> bytes:
        return self.frame(struct.pack("<i", -code))


class PaddedIntermediate(Intermediate):
    """Intermediate with up to three bytes of noise at a packet's end."""

    async def read(self, reader: Reader) -> bytes:
        packet = await super().read(reader)
        return packet[: len(packet) // 4 * 4]

    def frame(self, packet: bytes) -> bytes:
        noise = os.urandom(os.urandom(1)[0] % 4)
        return struct.pack("<I", len(packet) + len(noise)) + packet + noise


class Full:
    """Length, sequence number and CRC; both directions count from 0."""

    def __init__(self, first: bytes) -> None:
        self._ahead = first
        self._received = 0
        self._sent = 0

    async def read(self, reader: Reader) -> bytes:
        header, self._ahead = self._ahead or await reader.readexactly(8), b""
        length, sequence = struct.unpack("<Ii", header)
        rest = await reader.readexactly(_checked(length - 8))
        (checksum,) = struct.unpack("<I", rest[-4:])
        if sequence != self._received or checksum != crc32(rest[:-4], crc32(header)):
            raise BadStream("wrong sequence number or checksum")
        self._received += 1
        return rest[:-4]

    def frame(self, packet: bytes) -> bytes:
        header = struct.pack("<Ii", len(packet) + 12, self._sent)
        self._sent += 1
        return b"".join([header, packet, struct.pack("<I", crc32(packet, crc32(header)))])

    def error(self, code: int) -> bytes:
        # Telegram's own way to say 429 here; for 404 it frames the number as any packet.
        return struct.pack("<iii", -code, -code, -code) if code == 429 else self.frame(struct.pack("<i", -code))


class Obfuscated:
    """A stream under AES-CTR: Telegram's "obfuscated2", with a proxy's secret or without."""

    def __init__(self, header: bytes, secret: bytes = b"") -> None:
        backwards = header[55:7:-1]
        self._decryptor = _counter_mode(header[8:40], header[40:56], secret)
        self._encryptor = _counter_mode(backwards[:32], backwards[32:48], secret)
        end = self._decryptor.encrypt(header)[56:64]
        self.tag: bytes = end[:4]
        self.dc_id: int = struct.unpack("<h", end[4:6])[0]

    def decrypt(self, data: bytes) -> bytes:
        return bytes(self._decryptor.encrypt(data))

    def encrypt(self, data: bytes) -> bytes:
        return bytes(self._encryptor.encrypt(data))


class _Decrypting:
    def __init__(self, reader: Reader, stream: Obfuscated) -> None:
        self._reader = reader
        self._stream = stream

    async def readexactly(self, n: int, /) -> bytes:
        return self._stream.decrypt(await self._reader.readexactly(n))


class _Obfuscating:
    """A codec whose bytes pass through an obfuscated stream."""

    def __init__(self, inner: Codec, stream: Obfuscated) -> None:
        self._inner = inner
        self._stream = stream

    async def read(self, reader: Reader) -> bytes:
        return await self._inner.read(_Decrypting(reader, self._stream))

    def frame(self, packet: bytes) -> bytes:
        return self._stream.encrypt(self._inner.frame(packet))

    def error(self, code: int) -> bytes:
        return self._stream.encrypt(self._inner.error(code))


async def accept(reader: asyncio.StreamReader) -> Codec:
    """Read as much as tells the transport, and give its codec."""
    first = await reader.readexactly(1)
    if first == ABRIDGED:
        return Abridged()
    first += await reader.readexactly(3)
    if first in (INTERMEDIATE, PADDED):
        return plain(first)
    first += await reader.readexactly(4)
    if first[4:] == bytes(4):
        return Full(first)
    stream = Obfuscated(first + await reader.readexactly(56))
    return _Obfuscating(plain(stream.tag), stream)


def plain(tag: bytes) -> Codec:
    """The codec of a four-byte tag."""
    match tag:
        case b"\xef\xef\xef\xef":
            return Abridged()
        case b"\xee\xee\xee\xee":
            return Intermediate()
        case b"\xdd\xdd\xdd\xdd":
            return PaddedIntermediate()
    raise BadStream("an unknown transport")


def _checked(length: int) -> int:
    if not 4 <= length <= MAX_PACKET_BYTES:
        raise BadStream(f"a packet of {length} bytes")
    return length


def _counter_mode(key: bytes, iv: bytes, secret: bytes) -> Any:
    return AESModeCTR(hashlib.sha256(key + secret).digest() if secret else key, iv)
