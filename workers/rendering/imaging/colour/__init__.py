"""What a file states of its colours besides a profile: read from its bytes by the standard library alone, no decoder.

A PNG may name a gamma, primaries or a code (gAMA, cHRM, cICP), an AVIF a code (nclx, or in its stream). Pillow reads
none of them.

Promises: never raises; None wherever nothing usable is stated, so that the picture counts as sRGB, as in a browser.
The bounds are those of `containers`. Whose word counts where several speak: PNG 3rd edition, chapter 4.3 (cICP, iCCP,
sRGB, then gAMA with cHRM); for AVIF a profile before the code (ISO/IEC 23000-22, as browsers do it).

    png avif        where the format says it
    cicp            the codes of ITU-T H.273: primaries and transfer functions
    chromaticities  from primaries to matrices
    icc             a colour space as an ICC profile
    hdr             PQ and HLG, brought into the range of sRGB
"""

from __future__ import annotations

import struct
from collections.abc import Callable
from typing import Final

from workers.rendering.imaging.colour import avif, png
from workers.rendering.imaging.colour.hdr import Hdr

__all__ = ["Hdr", "Meaning", "meaning", "png"]

Meaning = bytes | Hdr | None
"""An ICC profile, a high dynamic range, or nothing: sRGB."""

_FORMATS: Final[dict[str, Callable[[bytes, bytes | None], Meaning]]] = {"PNG": png.meaning, "AVIF": avif.meaning}


def meaning(kind: str, data: bytes, profile: bytes | None) -> Meaning:
    """What the samples of the file `data` mean. `kind`: a name of `gate.FORMATS`; `profile`: its own, if it has one."""
    how = _FORMATS.get(kind)
    if how is None:
        return profile
    try:
        return how(data, profile)
    except (struct.error, IndexError):  # cut: the decoder has its say
        return profile
