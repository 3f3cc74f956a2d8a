"""The sides in px that a header states, a function a format. Each yields (width, height), as stored, once or more.

A header that is cut off raises struct.error or IndexError.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

# The boxes of an AVIF that lead to the sizes, with the bytes before their children.
_AVIF_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0}
_AVIF_DEPTH = 3


def png_size(data: bytes) -> Iterator[tuple[int, int]]:
    if data[12:16] == b"IHDR":
        yield struct.unpack_from(">II", data, 16)


def gif_size(data: bytes) -> Iterator[tuple[int, int]]:
    """The canvas; a first frame beyond it makes it larger, which shows only once the file is open."""
    yield struct.unpack_from("<HH", data, 6)


def webp_size(data: bytes) -> Iterator[tuple[int, int]]:
    """The first chunk states it: 24 bits less one in the extended form, 14 bits in the two simple ones."""
    chunk = data[12:16]
    if chunk == b"VP8X":
        sides = struct.unpack_from("<4H", data[24:30] + b"\x00\x00")
        yield 1 + sides[0] + ((sides[1] & 0xFF) << 16), 1 + (sides[1] >> 8) + (sides[2] << 8)
    elif chunk == b"VP8L":
        bits: int = struct.unpack_from("<I", data, 21)[0]
        yield 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        yield width & 0x3FFF, height & 0x3FFF


def avif_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Every stated size: of the picture, its alpha plane, the tiles of a grid, the tracks of a film."""
    return _box_sizes(data, 0, len(data), 0)


def _box_sizes(data: bytes, at: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
    while at + 8 <= end:
        kind, body, stop = _box(data, at, end)
        if stop < body:
            return
        if kind in _AVIF_CONTAINERS and depth < _AVIF_DEPTH:
            yield from _box_sizes(data, body + _AVIF_CONTAINERS[kind], stop, depth + 1)
        elif kind == b"ispe":
            yield struct.unpack_from(">II", data, body + 4)
        elif kind == b"tkhd" and stop - body >= 8:
            yield from _track_size(data, stop)
        at = stop


def _box(data: bytes, at: int, end: int) -> tuple[bytes, int, int]:
    """The kind of the box that begins at `at`, and where its content begins and ends."""
    size, kind = struct.unpack_from(">I4s", data, at)
    body = at + 8
    if size == 1:
        size, body = struct.unpack_from(">Q", data, body)[0], at + 16
    return kind, body, end if size == 0 else min(at + size, end)


def _track_size(data: bytes, stop: int) -> Iterator[tuple[int, int]]:
    """The last two fields of a track's header, in 16.16 fixed point."""
    width, height = struct.unpack_from(">II", data, stop - 8)
    if width or height:  # a sound track has neither
        yield width >> 16, height >> 16
