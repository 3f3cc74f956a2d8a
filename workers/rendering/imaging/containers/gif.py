"""GIF: a logical screen, then blocks."""

from __future__ import annotations

import struct
from typing import Final

from workers.rendering.imaging.containers.parts import MAX_PARTS

_LONGEST: Final = 0xFFFF


def mend(data: bytes) -> bytes:
    """A screen without a side gets one that holds the first frame, as in a browser."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    if width and height:
        return data
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    for _ in range(MAX_PARTS):
        if data[at] == 0x2C:
            left, top, wide, high = struct.unpack_from("<4H", data, at + 1)
            sides = max(width, left + wide), max(height, top + high)
            return data if max(sides) > _LONGEST else data[:6] + struct.pack("<HH", *sides) + data[10:]
        if data[at] != 0x21:
            break
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    return data
