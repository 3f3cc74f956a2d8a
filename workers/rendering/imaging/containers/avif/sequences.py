"""AVIF sequences: how often they are played, and the time at which they were made."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final

from workers.rendering.imaging.containers.avif.boxes import all_within

_EVER: Final = 2**64 - 1
"""The duration of what is played for ever."""

_PARENTS: Final = (b"moov", b"trak", b"edts", b"mdia")

_DURATION_AT: Final = {b"mvhd": 24, b"tkhd": 28, b"mdhd": 24, b"elst": 8}
"""Where the duration is in the content of each box, in version 1."""


def plays(data: bytes) -> int:
    """Number of times that all frames are shown; 0 for ever, or if the file does not say."""
    found: dict[bytes, int] = {}
    try:
        for kind, body in _boxes(data, 0, len(data)):
            if kind in (b"tkhd", b"elst") and data[body] == 1:
                found.setdefault(kind, struct.unpack_from(">Q", data, body + _DURATION_AT[kind])[0])
    except (IndexError, struct.error):
        return 0
    whole, once = found.get(b"tkhd", 0), found.get(b"elst", 0)
    return 0 if whole == _EVER or not once else -(-whole // once)


def settled(data: bytes, times: int) -> bytes:
    """What libavif wrote, to be played `times` times (0: for ever), and without the time at which it was made: so the
    same frames give the same bytes. libavif itself says "for ever", and Pillow's plug-in can't tell it otherwise.
    """
    out = bytearray(data)
    once = 0
    for kind, body in _boxes(data, 0, len(data)):
        if kind == b"elst":
            once = struct.unpack_from(">Q", data, body + _DURATION_AT[kind])[0]
    for kind, body in _boxes(data, 0, len(data)):
        if data[body] != 1:
            raise ValueError(f"libavif wrote a box {kind!r} of version {data[body]}")
        if kind != b"elst":
            out[body + 4 : body + 20] = bytes(16)
        if kind in (b"mvhd", b"tkhd") and times:
            struct.pack_into(">Q", out, body + _DURATION_AT[kind], once * times)
    return bytes(out)


def _boxes(data: bytes, at: int, end: int) -> Iterator[tuple[bytes, int]]:
    """Kind and start of the content of each box with a duration."""
    for kind, body, stop in all_within(data, at, end):
        if kind in _PARENTS:
            yield from _boxes(data, body, stop)
        elif kind in _DURATION_AT and stop >= body + _DURATION_AT[kind] + 8:
            yield kind, body
