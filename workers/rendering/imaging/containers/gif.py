"""GIF: a logical screen, then blocks."""

from __future__ import annotations

import struct

from workers.rendering.imaging.containers.parts import MAX_PARTS


def mend(data: bytes) -> bytes:
    """A screen without a side gets the first frame's, as in a browser."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    if width and height:
        return data
    at = 13 + _table_bytes(flags)
    for _ in range(MAX_PARTS):
        if data[at] == 0x2C:
            sides = data[at + 5 : at + 9]
            return data[:6] + sides + data[10 : at + 1] + bytes(4) + data[at + 5 :]
        if data[at] != 0x21:
            break
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    return data


def frames(data: bytes) -> int:
    """How many frames there are before the file ends, or is cut; at least 1."""
    found = 0
    try:
        at = 13 + _table_bytes(data[10])
        for _ in range(MAX_PARTS):
            if data[at] == 0x2C:
                found += 1
                at += 11 + _table_bytes(data[at + 9])
            elif data[at] == 0x21:
                at += 2
            else:
                break
            while data[at]:
                at += 1 + data[at]
            at += 1
    except IndexError:
        pass
    return max(1, found)


def _table_bytes(flags: int) -> int:
    """Of the colour table that these flags tell of."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
