"""ThumbHash (https://evanw.github.io/thumbhash/): a picture's colours, its sides' ratio, what of it is clear; 25 bytes.

The bytes are those of the reference encoder for the same pixels; but where a channel is even, that writes the noise of
its own rounding, which nobody sees, and this writes none. Of the packages on PyPI those in Python take 28 ms a picture,
and those around the Rust crate have had one release each.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Final, NamedTuple

from workers.rendering.imaging.appearance.cosines import Rows, transform

_NOISE: Final = 1e-9
"""A wave below this is none: it comes of rounding."""

Pixel = tuple[int, int, int, int]
"""Red, green, blue and alpha, 0 to 255 each; not premultiplied."""


class _Channel(NamedTuple):
    """A channel's mean, the parts of its waves (0 to 1, the half is none), and what those are scaled by."""

    mean: float
    waves: list[float]
    scale: float


def thumbhash(width: int, height: int, pixels: Sequence[Pixel]) -> bytes:
    """Of a picture's pixels, row by row. The reference takes at most 100 a side.

    At most seven waves are counted along one: 32 pixels tell the same.
    """
    has_alpha = any(pixel[3] != 255 for pixel in pixels)
    limit = (5 if has_alpha else 7) / max(width, height)
    across, down = (max(1, _rounded(limit * side)) for side in (width, height))
    light, yellow, red, alpha = (
        [channel[at : at + width] for at in range(0, len(channel), width)] for channel in _channels(pixels)
    )
    channels = [_encoded(light, max(3, across), max(3, down)), _encoded(yellow, 3, 3), _encoded(red, 3, 3)]
    if has_alpha:
        channels.append(_encoded(alpha, 5, 5))
    return _packed(channels, is_landscape=width > height, shorter=down if width > height else across)


def _channels(pixels: Sequence[Pixel]) -> tuple[list[float], ...]:
    """Light, yellow against blue, red against green, and alpha; what is clear has the mean colour of what is not."""
    weight = sum(pixel[3] for pixel in pixels) or 1
    mean = [sum(pixel[band] * pixel[3] for pixel in pixels) / weight for band in range(3)]
    light, yellow, red, opaque = [], [], [], []
    for *own, alpha in pixels:
        share = alpha / 255
        r, g, b = own if alpha == 255 else ((1 - share) * one + share * two for one, two in zip(mean, own, strict=True))
        light.append((r + g + b) / 765)
        yellow.append((r + g) / 510 - b / 255)
        red.append((r - g) / 255)
        opaque.append(share)
    return light, yellow, red, opaque


def _encoded(rows: Rows, across: int, down: int) -> _Channel:
    """The mean and the waves of a channel, of these only the lower triangle: the finest along both sides are left."""
    size = len(rows) * len(rows[0])
    mean, *waves = (
        value / size
        for y, row in enumerate(transform(rows, across, down))
        for x, value in enumerate(row)
        if x * down < across * (down - y)
    )
    scale = max(map(abs, waves))
    if scale < _NOISE:
        return _Channel(mean, [0.0] * len(waves), 0.0)
    return _Channel(mean, [0.5 + 0.5 / scale * wave for wave in waves], scale)


def _packed(channels: list[_Channel], *, is_landscape: bool, shorter: int) -> bytes:
    """The hash's bytes. `shorter`: waves of light along the shorter side, which give readers the sides' ratio."""
    light, yellow, red, *more = channels
    head = (
        _rounded(63 * light.mean)
        | _rounded(31.5 + 31.5 * yellow.mean) << 6
        | _rounded(31.5 + 31.5 * red.mean) << 12
        | _rounded(31 * light.scale) << 18
        | bool(more) << 23
        | shorter << 24
        | _rounded(63 * yellow.scale) << 27
        | _rounded(63 * red.scale) << 33
        | is_landscape << 39
    )
    clear = bytes(_rounded(15 * one.mean) | _rounded(15 * one.scale) << 4 for one in more)
    halves = [_rounded(15 * wave) for channel in channels for wave in channel.waves] + [0]
    waves = bytes(low | high << 4 for low, high in zip(halves[::2], halves[1::2], strict=False))
    return head.to_bytes(5, "little") + clear + waves


def _rounded(value: float) -> int:
    """Round as JavaScript does: halves go up."""
    return math.floor(value + 0.5)
