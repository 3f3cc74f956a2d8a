"""The bounds of what is looked at, and what the formats share."""

from __future__ import annotations

import struct
from typing import Final

MAX_PARTS: Final = 20_000
"""Chunks, segments, boxes or blocks that are looked at. A file of more is made to cost time, and left as it is."""

MAX_TEXT_BYTES: Final = 1024 * 1024
"""Largest text or profile, inflated, in bytes. Pillow refuses more."""

MAX_TEXTS_BYTES: Final = 16 * MAX_TEXT_BYTES
"""Most bytes of all texts of a file, inflated. The rest is taken out uninflated."""


def without(data: bytes, drop: list[tuple[int, int]]) -> bytes:
    """`data` without these ranges, which ascend."""
    kept, at = [], 0
    for start, end in drop:
        kept.append(data[at:start])
        at = end
    return b"".join((*kept, data[at:])) if drop else data


def u32(data: bytes | bytearray, at: int) -> int:
    """Big-endian."""
    value: int = struct.unpack_from(">I", data, at)[0]
    return value
