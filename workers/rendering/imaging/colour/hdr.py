"""A high dynamic range brought into that of sRGB: PQ and HLG, as browsers show them on an ordinary screen.

PQ: SMPTE ST 2084. HLG: ITU-R BT.2100, for a display of 1000 cd/m². White of an ordinary picture: 203 cd/m² (ITU-R
BT.2408). What is brighter is brought down by the Reference White Tone Mapping Operator of SMPTE ST 2094-50: linear up
to that white, which gets half of the light of sRGB's, then a quadratic Bézier curve up to the peak. One factor for all
three channels, by the largest, in BT.2020: hues stay. Chromium 150 does the same; measured on it within 3 of 255.
"""

from __future__ import annotations

import math
from typing import Final, NamedTuple

from workers.rendering.imaging.colour.chromaticities import BT2020, SRGB, Matrix, Primaries, between, to_xyz
from workers.rendering.imaging.colour.cicp import PQ, Curve

_LEAST_HEADROOM: Final = 1.01
"""Smallest headroom. Without any, nothing is to be brought down, and the curve would have no length."""

_WHITE_NITS, _PEAK_NITS, _BRIGHTEST_NITS = 203.0, 1000.0, 10_000.0
_M1, _M2 = 2610 / 16384, 2523 / 4096 * 128
_C1, _C2, _C3 = 3424 / 4096, 2413 / 4096 * 32, 2392 / 4096 * 32
"""Constants of SMPTE ST 2084."""

_A, _B, _C = 0.17883277, 0.28466892, 0.55991073
_SYSTEM_GAMMA: Final = 1.2
"""Constants of HLG in ITU-R BT.2100."""

_KNEE: Final = 0.65
"""Where the middle point of the Bézier curve lies between white and the corner (ST 2094-50)."""


class Hdr(NamedTuple):
    """Samples in PQ or HLG (`is_pq`) of these primaries; `peak_nits`, in cd/m², is the brightest of the picture.

    `narrow`: the samples lie between 16 and 235 of 255.
    """

    primaries: Primaries
    is_pq: bool
    peak_nits: float = _PEAK_NITS
    narrow: bool = False


def of(primaries: Primaries, transfer: int, brightest_nits: float, *, narrow: bool = False) -> Hdr:
    """`brightest_nits`: what the file states (MaxCLL), 0 where it does not. HLG is relative, and has no such thing."""
    if transfer != PQ or not brightest_nits:
        return Hdr(primaries, transfer == PQ, narrow=narrow)
    return Hdr(primaries, True, float(round(min(_BRIGHTEST_NITS, max(_WHITE_NITS, brightest_nits)), -1)), narrow)


def spread(curve: Curve, *, narrow: bool) -> Curve:
    """The curve over samples of the narrow range, 16 to 235 of 255 (H.273), if `narrow`."""
    return (lambda sample: curve(min(1.0, max(0.0, (255 * sample - 16) / 219)))) if narrow else curve


def light(hdr: Hdr) -> list[float]:
    """The light of each sample, 0 to 255; 1 for white. For HLG the light of the scene; 1 for the brightest."""
    curve = spread(_pq if hdr.is_pq else _hlg_scene, narrow=hdr.narrow)
    return [curve(sample / 255) for sample in range(256)]


class Toning(NamedTuple):
    """How light is brought down: the numbers of the reckoning, for whoever does it.

    Light of the source becomes light of sRGB by `matrix`, and light of BT.2020 by `wide` (`is_wide`: it is that
    already). The largest of the three in BT.2020 finds the gain: on a curve from white (1, `white`) over `middle` to
    (`peak`, 1), of which x(t) = `a` t² + `b` t + 1. Light of HLG is first multiplied by `peak` × luma **
    `system_gamma`, where luma is the sum by the shares `luma`; of PQ, `system_gamma` is 0, and it is not.
    """

    matrix: Matrix
    wide: Matrix
    is_wide: bool
    luma: tuple[float, float, float]
    system_gamma: float
    peak: float
    white: float
    middle: float
    a: float
    b: float

    @classmethod
    def of(cls, hdr: Hdr) -> Toning:
        peak = max(_LEAST_HEADROOM, hdr.peak_nits / _WHITE_NITS)
        white = 1 - 0.5 * min(1.0, math.log2(peak) / math.log2(_PEAK_NITS / _WHITE_NITS))
        middle_x, middle_y = 1 - _KNEE + _KNEE / white, (1 - _KNEE) * white + _KNEE
        return cls(
            matrix=between(hdr.primaries, SRGB),
            wide=between(hdr.primaries, BT2020),
            is_wide=hdr.primaries == BT2020,
            luma=to_xyz(hdr.primaries)[1],
            system_gamma=0.0 if hdr.is_pq else _SYSTEM_GAMMA - 1,
            peak=peak,
            white=white,
            middle=middle_y,
            a=1 - 2 * middle_x + peak,
            b=2 * (middle_x - 1),
        )


def _pq(sample: float) -> float:
    """Light, 1 for white."""
    raised = sample ** (1 / _M2)
    return float(_BRIGHTEST_NITS / _WHITE_NITS * (max(raised - _C1, 0.0) / (_C2 - _C3 * raised)) ** (1 / _M1))


def _hlg_scene(sample: float) -> float:
    """Light of the scene, 1 for the brightest."""
    return sample * sample / 3 if sample <= 0.5 else (math.exp((sample - _C) / _A) + _B) / 12
