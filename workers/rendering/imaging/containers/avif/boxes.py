"""ISO base media files (AVIF): boxes of size, kind and content."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from workers.rendering.imaging.containers.parts import MAX_PARTS


def all_within(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of the content of each box."""
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            size, body = struct.unpack_from(">Q", data, body)[0], at + 16
        stop = end if size == 0 else min(at + size, end)
        if stop < body:
            return
        yield kind, body, stop
        at = stop


def within(data: bytes, at: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the content of each box of that kind."""
    return ((start, stop) for kind, start, stop in all_within(data, at, end) if kind == wanted)


def associations(data: bytes, at: int, end: int) -> dict[int, list[tuple[int, bool]]]:
    """The properties of each item in the content of an ipma box, by number from 1, and whether each is essential."""
    version, flags, count = data[at], data[at + 3], struct.unpack_from(">I", data, at + 4)[0]
    found: dict[int, list[tuple[int, bool]]] = {}
    at += 8
    for _ in range(min(count, MAX_PARTS)):
        if at >= end:
            break
        item = struct.unpack_from(">H" if version == 0 else ">I", data, at)[0]
        at += 2 if version == 0 else 4
        number, at = data[at], at + 1
        wide = flags & 1
        found[item] = []
        for _ in range(number):
            value = struct.unpack_from(">H", data, at)[0] if wide else data[at]
            top = 0x8000 if wide else 0x80
            found[item].append((value & (top - 1), bool(value & top)))
            at += 1 + wide
    return found
