"""The same quality for every picture: how far AVIF's quality moves for each rendition, by a trial of the picture. Pure.

At one setting, AVIF's worst tenth lies six points of SSIMULACRA2 below its mean. What a setting gives a picture is
much the same at all of its widths. So the picture is encoded once, very small. What that has lost, how light the
picture is, and how steep its edges are, say how much more or less it needs.

The coefficients are fitted by `benchmarks/run predictor`, on photographs other than those that it judges them on.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, Final, NamedTuple

from workers.rendering.imaging.presets import Encoding

TRIAL_PIXELS: Final = 61_440
"""Of a trial, at most: 320 × 192."""

SHORTEST: Final = 40
"""Pixels a side that a trial needs: the coarse measure would have nothing to average."""

LEAST, MOST = -18, 14
"""Bounds of the steps, so that an odd picture costs neither its looks nor ten times its bytes."""


@dataclass(frozen=True, slots=True)
class Trial:
    """A picture's trial: its `pixels`; what was lost of it (0: nothing, 1: all), at the pixels (`fine`), at a quarter
    of its sides (`coarse`) and in its colour; `detail`, as `codec.trial.detail` has it; its mean `lightness`, of 255;
    `steepness`, the logarithm (of two) of the step that a tenth of all neighbours differ by at least.
    """

    pixels: int
    fine: float
    coarse: float
    colour: float
    detail: float
    lightness: float
    steepness: float


class Coefficients(NamedTuple):
    """Steps of quality for each unit of a term."""

    constant: float
    fine: float
    coarse: float
    colour: float
    doubling: float
    fine_doubling: float
    coarse_doubling: float
    colour_doubling: float
    detail: float
    lightness: float
    steepness: float


FITTED: Final = Coefficients(-50.29, 94.48, 405.42, 49.29, 19.01, -41.03, -69.91, -5.5, 6.177, -0.03455, -2.415)


def shift(trial: Trial, pixels: int, detail: float) -> int:
    """How much the AVIF quality of a rendition of so many `pixels` and that `detail` differs from its preset's."""
    steps = sum(weight * value for weight, value in zip(FITTED, terms(trial, pixels, detail), strict=True))
    return round(min(MOST, max(LEAST, steps)))


def terms(trial: Trial, pixels: int, detail: float) -> Coefficients:
    """What the coefficients are multiplied with. Losses count by their roots; a doubling is one of the sides."""
    fine, coarse, colour = math.sqrt(trial.fine), math.sqrt(trial.coarse), math.sqrt(trial.colour)
    doublings = math.log2(pixels / trial.pixels) / 2
    across = fine * doublings, coarse * doublings, colour * doublings
    return Coefficients(
        1.0, fine, coarse, colour, doublings, *across, detail - trial.detail, trial.lightness, trial.steepness
    )


def shifted(encoding: Encoding, by: int) -> Encoding:
    """The preset's options with the quality of AVIF moved by so many steps."""
    return replace(encoding, avif_svt=_moved(encoding.avif_svt, by), avif_aom=_moved(encoding.avif_aom, by))


def _moved(options: dict[str, Any], by: int) -> dict[str, Any]:
    return options | {"quality": options["quality"] + by}
