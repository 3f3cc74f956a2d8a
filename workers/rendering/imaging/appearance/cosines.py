"""The discrete cosine transform (DCT-II) of a small picture: of its low frequencies only."""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import cache
from operator import mul

Rows = Sequence[Sequence[float]]
"""The samples of one channel, row by row."""


def transform(rows: Rows, across: int, down: int) -> list[list[float]]:
    """The sums of the samples times each product of cosines: `down` rows of `across` frequencies, the mean's first.

    A sum is as large as there are samples: whoever wants a mean divides by their number.
    """
    waves = [_wave(len(rows[0]), frequency) for frequency in range(across)]
    columns = [[sum(map(mul, row, wave)) for row in rows] for wave in waves]
    return [
        [sum(map(mul, column, wave)) for column in columns]
        for wave in (_wave(len(rows), frequency) for frequency in range(down))
    ]


@cache
def _wave(length: int, frequency: int) -> tuple[float, ...]:
    return tuple(math.cos(math.pi / length * frequency * (at + 0.5)) for at in range(length))
