"""The presets of `images.preset`: what the encoders are told. Pure; `codec.encoder` uses it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

_WEBP: dict[str, Any] = {"format": "WEBP"}
_AVIF: dict[str, Any] = {"format": "AVIF", "subsampling": "4:2:0", "max_threads": 1}


@dataclass(frozen=True, slots=True)
class Encoding:
    """Pillow's options of each encoder. AVIF is SVT-AV1's, and aom's with alpha or at sizes that SVT does not take."""

    webp: dict[str, Any]
    avif_svt: dict[str, Any]
    avif_aom: dict[str, Any]


def _encoding(webp: dict[str, Any], svt: dict[str, Any], aom: dict[str, Any]) -> Encoding:
    return Encoding(_WEBP | webp, _AVIF | {"codec": "svt"} | svt, _AVIF | {"codec": "aom"} | aom)


_FOR_SSIM = {
    "tune": "2",
    "enable-variance-boost": "1",
    "enable-qm": "1",
    "qm-min": "6",
    "qm-max": "10",
    "sharpness": "1",
}

PRESETS: Final = {
    "balanced": _encoding(
        {"quality": 80, "method": 1},
        {"quality": 66, "speed": 8, "advanced": _FOR_SSIM},
        {"quality": 62, "speed": 9},
    ),
    "fast": _encoding(
        {"quality": 80, "method": 0},
        {"quality": 66, "speed": 10, "advanced": _FOR_SSIM},
        {"quality": 62, "speed": 9},
    ),
    "small": _encoding(
        {"quality": 80, "method": 4},
        {"quality": 66, "speed": 7, "advanced": _FOR_SSIM},
        {"quality": 61, "speed": 6},
    ),
}
"""By name; "balanced" is the default."""
