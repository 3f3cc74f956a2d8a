"""A perceptual hash: 64 bits that stay much the same when a picture is encoded again, resized or brightened.

It is `imagehash.phash` of ImageHash, the one most in use, so anybody can reckon it for a picture of their own: grey, 32
pixels a side, the 8 × 8 lowest frequencies of their cosine transform, a bit each for those above the median.
"""

from __future__ import annotations

from typing import Final

from workers.rendering.imaging.appearance.cosines import Rows, transform

SIDE: Final = 32
"""Pixels a side of what is hashed."""

_FREQUENCIES: Final = 8


def phash(rows: Rows) -> int:
    """The hash of SIDE rows of SIDE samples of grey: 64 bits, the mean's first, row by row."""
    values = [value for row in transform(rows, _FREQUENCIES, _FREQUENCIES) for value in row]
    below, above = sorted(values)[len(values) // 2 - 1 :][:2]
    median = (below + above) / 2  # as in the statistics module, which brings fractions and decimals with it
    return sum((value > median) << (len(values) - 1 - at) for at, value in enumerate(values))
