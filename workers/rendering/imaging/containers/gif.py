"""GIF: a logical screen, then blocks."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import NamedTuple

from workers.rendering.imaging.containers.parts import MAX_PARTS, without


def mend(data: bytes) -> bytes:
    """A frame without a side is left out. A screen without one gets the first frame's, as in a browser."""
    return _with_a_screen(_without_empty_frames(data))


def _without_empty_frames(data: bytes) -> bytes:
    drop, at, has_frame = [], 13 + _table_bytes(data[10]), False
    for _ in range(MAX_PARTS):
        start, kind = at, data[at : at + 1]
        if kind == b"," and at + 10 <= len(data):
            at = _behind_blocks(data, at + 11 + _table_bytes(data[at + 9]))
            if 0 in struct.unpack_from("<HH", data, start + 5):
                drop.append((start, at))
            else:
                has_frame = True
        elif kind == b"!":
            at = _behind_blocks(data, at + 2)
        else:
            break
    return without(data, drop) if has_frame else data


def _with_a_screen(data: bytes) -> bytes:
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


class Frame(NamedTuple):
    """One frame: a GIF of its own, of the sides of its part of the screen; the corner of that in px; how long it is
    shown in ms; and what becomes of its part then (`disposal`: 2 clear, 3 as it was before, else it stays).
    """

    data: bytes
    corner: tuple[int, int]
    milliseconds: int
    disposal: int


def split(data: bytes) -> Iterator[Frame]:
    """Yield each frame, up to a cut or the first block that is none. The last one may be cut within its pixels."""
    table = data[13 : 13 + _table_bytes(data[10])]
    at, control = 13 + len(table), b""
    for _ in range(MAX_PARTS):
        start, kind = at, data[at : at + 1]
        if kind == b"," and at + 10 <= len(data):
            at += 11 + _table_bytes(data[at + 9])
        elif kind == b"!":
            at += 2
        else:
            return
        at = _behind_blocks(data, at)
        if kind == b",":
            yield _frame(data[:11], table, control, data[start:at])
            control = b""
        elif data[start + 1 : start + 3] == b"\xf9\x04":
            control = data[start:at]


def plays(data: bytes) -> int:
    """How often all frames are shown, 0 for ever. The number in the file is of repetitions, which come after the first.

    >>> plays(b""), plays(b"!\\xff\\x0bNETSCAPE2.0\\3\\1\\0\\0\\0"), plays(b"!\\xff\\x0bNETSCAPE2.0\\3\\1\\2\\0\\0")
    (1, 0, 3)
    """
    at = data.find(b"\x0bNETSCAPE2.0\x03\x01")
    if at < 0 or at + 16 > len(data):
        return 1
    repetitions = int.from_bytes(data[at + 14 : at + 16], "little")
    return repetitions + 1 if repetitions else 0


def _frame(screen: bytes, table: bytes, control: bytes, block: bytes) -> Frame:
    left, upper = struct.unpack_from("<HH", block, 1)
    flags, hundredths = (control[3], struct.unpack_from("<H", control, 4)[0]) if len(control) >= 8 else (0, 0)
    head = b"GIF89a" + block[5:9] + screen[10:11] + bytes(2)
    alone = head + table + control + block[:1] + bytes(4) + block[5:] + b";"
    return Frame(alone, (left, upper), 10 * hundredths, flags >> 2 & 7)


def _behind_blocks(data: bytes, at: int) -> int:
    """Where what follows the blocks begins, which stand at `at`; the end of the data if they are cut."""
    while at < len(data) and data[at]:
        at += 1 + data[at]
    return min(at + 1, len(data))


def _table_bytes(flags: int) -> int:
    """Bytes of the colour table that these flags announce."""
    return 3 << (flags & 7) + 1 if flags & 0x80 else 0
