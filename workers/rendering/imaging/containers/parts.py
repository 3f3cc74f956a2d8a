"""The bounds of what is looked at, and what the formats share."""

from __future__ import annotations

import struct
import zlib
from typing import Final

MAX_PARTS: Final = 20_000
"""Chunks, segments, boxes or blocks that are looked at. A file of more is made to cost time, and left as it is."""

MAX_TEXT_BYTES: Final = 1024 * 1024
"""Largest text or profile, inflated, in bytes. Pillow refuses more."""

MAX_PROFILE_BYTES: Final = 8 * 1024 * 1024
"""Of a PNG's profile, inflated, which Pillow refuses from MAX_TEXT_BYTES on and browsers apply."""

MAX_TEXTS_BYTES: Final = 16 * MAX_TEXT_BYTES
"""Most bytes of all texts of a file, inflated. The rest is taken out uninflated."""


def without(data: bytes, drop: list[tuple[int, int]]) -> bytes:
    """`data` without these ranges, which ascend."""
    kept, at = [], 0
    for start, end in drop:
        kept.append(data[at:start])
        at = end
    return b"".join((*kept, data[at:])) if drop else data


def inflated(data: bytes, most: int) -> bytes | None:
    """What it inflates to; None where it does not, or to more than `most` bytes."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, max(1, most))
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else content


def profile_of(content: bytes, most: int) -> bytes | None:
    """The profile in the content of a PNG's iCCP, inflated; None where that is broken, or it has over `most` bytes."""
    name, _, packed = content.partition(b"\0")
    return inflated(packed[1:], most) if 1 <= len(name) <= 79 and packed[:1] == b"\0" else None


def u32(data: bytes | bytearray, at: int) -> int:
    """Big-endian."""
    value: int = struct.unpack_from(">I", data, at)[0]
    return value
