"""The presets of `images.preset`: the encoders' settings. Pure; `codec.encoder` uses it.

All presets have the same mean SSIMULACRA2 within half a point, some 75 for WebP and 76 for AVIF. Measured by
`benchmarks/run presets` and shown in docs/benchmarks.md. Bytes are weighted 0.95 AVIF + 0.05 WebP, as readers' browsers
take them.

WebP: methods 0, 1, 2, 4 took 25, 30, 46, 97 ms/MP, with 17, 12, 4 and 0 % more bytes.
SVT-AV1 4.1: speeds 10, 8, 7, 6 took 65, 78, 130, 260 ms/MP, with 2.3, 0, -4.4 and -5.9 % more bytes; 9 to 12 are
the same.
JPEG, at 1280 px: plain, with tables of its own and progressive took 3.8, 6.4 and 15 ms, 110, 105 and 103 kB. Its mean
SSIMULACRA2 is 78: quality 70 would have that of WebP, but JPEG's blocks are seen sooner.
Against sharp's best AVIF of the like (aom, effort 1: 200 ms/MP) speed 10 needs 1 % less, and 8 some 4 % less.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

_WEBP: dict[str, Any] = {"format": "WEBP"}
_AVIF: dict[str, Any] = {"format": "AVIF", "subsampling": "4:2:0", "max_threads": 1}
_JPEG: dict[str, Any] = {"format": "JPEG", "quality": 75, "subsampling": "4:2:0"}


@dataclass(frozen=True, slots=True)
class Encoding:
    """Pillow's options of each encoder. AVIF is SVT-AV1's, and aom's with alpha or at sizes that SVT does not take."""

    webp: dict[str, Any]
    avif_svt: dict[str, Any]
    avif_aom: dict[str, Any]
    jpeg: dict[str, Any]


def _encoding(webp: dict[str, Any], svt: dict[str, Any], aom: dict[str, Any], jpeg: dict[str, Any]) -> Encoding:
    return Encoding(_WEBP | webp, _AVIF | {"codec": "svt"} | svt, _AVIF | {"codec": "aom"} | aom, _JPEG | jpeg)


# tune=3 sets all of these itself, whatever is asked for, and needs 3 % more bytes.
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
        {"quality": 67, "speed": 10, "advanced": _FOR_SSIM},
        {"quality": 62, "speed": 9},
        {"optimize": True},
    ),
    "fast": _encoding(
        {"quality": 80, "method": 0},
        {"quality": 67, "speed": 10, "advanced": _FOR_SSIM},
        {"quality": 62, "speed": 9},
        {},
    ),
    "small": _encoding(
        {"quality": 80, "method": 4},
        {"quality": 66, "speed": 7, "advanced": _FOR_SSIM},
        {"quality": 61, "speed": 6},
        {"progressive": True},
    ),
}
"""The presets by name; "balanced" is the default."""
