"""Which part of a picture matters most: the window of a given size with the most detail and colour in it.

As libvips' smartcrop (sharp's "attention") it counts edges and colour, but as sums over the window: one bright speck
decides nothing. What is near the middle counts a little more, so an even picture is cropped at its middle.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import accumulate
from typing import Final

_OFF_CENTRE: Final = 0.25
"""What part of its weight a window at the very edge loses."""


def best_start(weights: Sequence[float], length: int) -> int:
    """Where the window of that length begins that has the most weight. `weights`: of each row, or column, of a picture.

    >>> best_start([0, 0, 9, 9, 0, 0, 0, 0], 2), best_start([1] * 8, 2)
    (2, 3)
    """
    last = len(weights) - length
    if last <= 0:
        return 0
    least = min(weights)  # what is everywhere tells no part from another
    sums = list(accumulate((weight - least for weight in weights), initial=0.0))

    def worth(start: int) -> tuple[float, float]:
        from_centre = abs(2 * start - last) / last
        return (sums[start + length] - sums[start]) * (1 - _OFF_CENTRE * from_centre * from_centre), -from_centre

    return max(range(last + 1), key=worth)
