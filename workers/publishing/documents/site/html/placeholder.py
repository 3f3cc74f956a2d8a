"""What is shown in a picture's place until it is there: its thumbhash as a tiny PNG in a data: address.

The bits and the reckoning are those of https://github.com/evanw/thumbhash. The page needs no script for it, and its
policy no exception for styles.
"""

from __future__ import annotations

import base64
import binascii
import math
import struct
import zlib
from collections.abc import Iterator
from functools import lru_cache

LONG_SIDE = 6
"""Pixels. A browser blurs them into each other; the address of six by four has some 200 characters."""

Wave = tuple[int, int, float]
"""Part of a channel: half swings over the width, over the height, and how far."""


@lru_cache(maxsize=256)
def data_url(thumbhash: str) -> str:
    """The address of a PNG for that thumbhash (base64); empty if it is none, or one of a picture with clear parts.

    >>> data_url("3OcRJYB4d3h/iIeHeEh3eIhw+j2w")[:30], data_url("AAA="), data_url("?")
    ('data:image/png;base64,iVBORw0K', '', '')
    """
    try:
        pixels = decode(base64.b64decode(thumbhash, validate=True))
    except (binascii.Error, IndexError, ValueError):
        return ""
    return f"data:image/png;base64,{base64.b64encode(_png(pixels)).decode()}" if pixels else ""


def decode(raw: bytes, long_side: int = LONG_SIDE) -> list[list[tuple[int, int, int]]]:
    """Rows of pixels in RGB; none of a picture with clear parts. Raises IndexError for no thumbhash."""
    head, rest = raw[0] | raw[1] << 8 | raw[2] << 16, raw[3] | raw[4] << 8
    if head >> 23:
        return []
    is_landscape, short = bool(rest >> 15), max(1, rest & 7)
    across, down = (7, short) if is_landscape else (short, 7)
    halves = iter([half for byte in raw[5:] for half in (byte & 15, byte >> 4)])
    light = list(_waves(halves, max(3, across), max(3, down), (head >> 18 & 31) / 31))
    # 1.25: four bits lose some of the colours, so they are exaggerated.
    yellow = list(_waves(halves, 3, 3, (rest >> 3 & 63) / 63 * 1.25))
    red = list(_waves(halves, 3, 3, (rest >> 9 & 63) / 63 * 1.25))
    means = (head & 63) / 63, (head >> 6 & 63) / 31.5 - 1, (head >> 12 & 63) / 31.5 - 1
    width = round(long_side * min(1.0, across / down)) or 1
    height = round(long_side * min(1.0, down / across)) or 1
    channels = tuple(zip(means, (light, yellow, red), strict=True))
    return [
        [_rgb(*(_value(mean, waves, x / width, y / height) for mean, waves in channels)) for x in _centres(width)]
        for y in _centres(height)
    ]


def _centres(pixels: int) -> list[float]:
    return [pixel + 0.5 for pixel in range(pixels)]


def _waves(halves: Iterator[int], across: int, down: int, scale: float) -> Iterator[Wave]:
    for y in range(down):
        for x in range(across):
            if (x or y) and x * down < across * (down - y):
                yield x, y, (_half(halves) / 7.5 - 1) * scale


def _half(halves: Iterator[int]) -> int:
    """The next four bits. Raises IndexError where there are none."""
    for half in halves:
        return half
    raise IndexError("the thumbhash is too short")


def _value(mean: float, waves: list[Wave], x: float, y: float) -> float:
    return mean + sum(2 * far * _cos(across * x) * _cos(down * y) for across, down, far in waves)


def _cos(turns: float) -> float:
    return math.cos(math.pi * turns)


def _rgb(light: float, yellow: float, red: float) -> tuple[int, int, int]:
    blue = light - 2 / 3 * yellow
    full = (3 * light - blue + red) / 2
    return _byte(full), _byte(full - red), _byte(blue)


def _byte(value: float) -> int:
    return round(255 * min(1.0, max(0.0, value)))


def _png(pixels: list[list[tuple[int, int, int]]]) -> bytes:
    """Eight bits a channel, RGB, no filter."""
    rows = b"".join(b"\0" + bytes(value for pixel in row for value in pixel) for row in pixels)
    header = struct.pack(">IIBBBBB", len(pixels[0]), len(pixels), 8, 2, 0, 0, 0)
    packed = zlib.compress(rows, 9)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", header) + _chunk(b"IDAT", packed) + _chunk(b"IEND", b"")


def _chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
