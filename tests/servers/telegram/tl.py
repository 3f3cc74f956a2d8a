"""TL for a server: encode answers, name requests, find the channels that a request speaks of.

Telethon's classes do the serialising. What they can't express is here: a bare vector or bool as an answer, an object
that is bytes already, and one that no client knows.
"""

from __future__ import annotations

import struct
from typing import Any

from telethon.tl import TLObject

VECTOR = struct.pack("<I", 0x1CB5C415)
BOOL_TRUE = struct.pack("<I", 0x997275B5)
BOOL_FALSE = struct.pack("<I", 0xBC799737)
RPC_RESULT = 0xF35C6D01
CONTAINER = 0x73F1F8DC
GZIP_PACKED = 0x3072CFA1


class Raw:
    """An object that is serialised already; it can stand wherever Telethon's classes take an object."""

    def __init__(self, data: bytes) -> None:
        self._data = data

    def _bytes(self) -> bytes:
        return self._data

    def __bytes__(self) -> bytes:
        return self._data


UNKNOWN = Raw(struct.pack("<Iqq", 0xDEADBEEF, 0, 0))
"""An object of a constructor that no layer has: what a client sees of a feature that is newer than itself."""


class RpcError(Exception):
    """The answer to a request is this error."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(code, message)
        self.code = code
        self.message = message


def encode(answer: Any) -> bytes:
    """The bytes of what a method returned: an object, bytes as they are, a bool, or a list (a vector of objects)."""
    if isinstance(answer, bytes):
        return answer
    if isinstance(answer, bool):
        return BOOL_TRUE if answer else BOOL_FALSE
    if isinstance(answer, list):
        return b"".join([VECTOR, struct.pack("<i", len(answer)), *(bytes(one) for one in answer)])
    return bytes(answer)


def encode_bytes(data: bytes | memoryview) -> list[bytes | memoryview]:
    """TL's `bytes`, as pieces, so that a file's part is copied only when the whole message is put together."""
    length = len(data)
    header = bytes([length]) if length < 254 else b"\xfe" + length.to_bytes(3, "little")
    return [header, data, bytes(-(len(header) + length) % 4)]


def name_of(request: Any) -> str:
    """Its name in Telegram's documentation, as "messages.getHistory" or "ping"."""
    kind = type(request)
    name = kind.__name__.removesuffix("Request")
    name = name[0].lower() + name[1:]
    section = kind.__module__.rsplit(".", 1)[1]
    return name if section == "functions" else f"{section}.{name}"


def channels_of(request: Any) -> set[int]:
    """The ids of the channels that a request names."""
    found: set[int] = set()
    for name in ("peer", "channel", "peers", "id"):
        value = getattr(request, name, None)
        for one in value if isinstance(value, list) else [value]:
            inner = getattr(one, "peer", one)
            if isinstance(inner, TLObject) and hasattr(inner, "channel_id"):
                found.add(inner.channel_id)
    return found
