"""MTProto 2.0's encrypted envelope, seen from the server."""

from __future__ import annotations

import os
import struct
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from telethon.crypto import AES

from tests.servers.telegram.transports import BadStream

Piece = bytes | memoryview


@dataclass(slots=True)
class Letter:
    """What a client's packet held."""

    salt: int
    session_id: int
    message_id: int
    body: bytes


def open_packet(auth_key: bytes, packet: bytes) -> Letter:
    """Decrypt what the client sent; BadStream if it wasn't made with this key."""
    message_key = packet[8:24]
    key, iv = _key_and_iv(auth_key, message_key, 0)
    plain = AES.decrypt_ige(packet[24 : len(packet) - (len(packet) - 24) % 16], key, iv)
    if sha256(auth_key[88:120] + plain).digest()[8:24] != message_key:
        raise BadStream("a message key that doesn't fit")
    salt, session_id, message_id, _sequence, length = struct.unpack_from("<qqqii", plain)
    if not 0 <= length <= len(plain) - 32:
        raise BadStream("a length that doesn't fit")
    return Letter(salt, session_id, message_id, plain[32 : 32 + length])


def seal_packet(auth_key: Any, salt: int, session_id: int, message_id: int, sequence: int, body: list[Piece]) -> bytes:
    """Encrypt a message of the server. `auth_key` is Telethon's; the body comes in pieces to be copied only once."""
    length = sum(map(len, body))
    noise = os.urandom(-(32 + length + 12) % 16 + 12)
    plain = b"".join([struct.pack("<qqqii", salt, session_id, message_id, sequence, length), *body, noise])
    digest = sha256(auth_key.key[96:128])
    digest.update(plain)
    message_key = digest.digest()[8:24]
    key, iv = _key_and_iv(auth_key.key, message_key, 8)
    return b"".join([struct.pack("<Q", auth_key.key_id), message_key, AES.encrypt_ige(plain, key, iv)])


def _key_and_iv(auth_key: bytes, message_key: bytes, x: int) -> tuple[bytes, bytes]:
    a = sha256(message_key + auth_key[x : x + 36]).digest()
    b = sha256(auth_key[x + 40 : x + 76] + message_key).digest()
    return a[:8] + b[8:24] + a[24:32], b[:8] + a[8:24] + b[24:32]
