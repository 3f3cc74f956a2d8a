"""The codes of ITU-T H.273 (CICP): which primaries, and which transfer function from samples to linear light."""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from workers.rendering.imaging.colour.chromaticities import BT2020, D65, SRGB, Primaries

Curve = Callable[[float], float]
"""Function from a sample to linear light, 0 to 1 each."""

UNSPECIFIED, BT709, SRGB_CURVE, PQ, HLG = 2, 1, 13, 16, 18

_C, _E, _DCI = (0.31, 0.316), (1 / 3, 1 / 3), (0.314, 0.351)
_P3: Final = ((0.68, 0.32), (0.265, 0.69), (0.15, 0.06))
_SMPTE_C: Final = Primaries((0.63, 0.34), (0.31, 0.595), (0.155, 0.07), D65)

PRIMARIES: Final = {
    BT709: SRGB,
    4: Primaries((0.67, 0.33), (0.21, 0.71), (0.14, 0.08), _C),
    5: Primaries((0.64, 0.33), (0.29, 0.6), (0.15, 0.06), D65),
    6: _SMPTE_C,
    7: _SMPTE_C,
    8: Primaries((0.681, 0.319), (0.243, 0.692), (0.145, 0.049), _C),
    9: BT2020,
    10: Primaries((1.0, 0.0), (0.0, 1.0), (0.0, 0.0), _E),
    11: Primaries(*_P3, _DCI),
    12: Primaries(*_P3, D65),
    22: Primaries((0.63, 0.34), (0.295, 0.605), (0.155, 0.077), D65),
}
"""H.273, table 2, by code."""


def power(gamma: float) -> Curve:
    return lambda sample: sample**gamma


def _bent(gamma: float, offset: float, slope: float, bend: float) -> Curve:
    """A power function, and a straight line below the sample `bend`."""
    return lambda sample: sample / slope if sample < bend else ((sample + offset) / (1 + offset)) ** gamma


_DISPLAY: Final = power(2.4)
"""ITU-R BT.1886, for the cameras' curves of television: what a display makes of them, not their inverse."""

CURVES: Final[dict[int, Curve]] = {
    BT709: _DISPLAY,
    4: power(2.2),
    5: power(2.8),
    6: _DISPLAY,
    7: _bent(1 / 0.45, 0.1115, 4.0, 0.0913),
    8: power(1.0),
    11: _DISPLAY,
    SRGB_CURVE: _bent(2.4, 0.055, 12.92, 0.04045),
    14: _DISPLAY,
    15: _DISPLAY,
    17: lambda sample: min(1.0, sample**2.6 * 52.37 / 48),
}
"""H.273, table 3, by code; without PQ and HLG, and without those that no browser knows either (9, 10, 12)."""


def encoded(light: float) -> float:
    """sRGB's sample of linear light, 0 to 1 each (IEC 61966-2-1)."""
    return 12.92 * light if light <= 0.0031308 else float(1.055 * light ** (1 / 2.4) - 0.055)
