"""A refused file without what was wrong with it, where no pixel is missing."""

from __future__ import annotations

import io
from hashlib import blake2b

from PIL import Image

from workers.rendering.imaging.blame import CodecFault, is_ours
from workers.rendering.imaging.containers import endings, mend
from workers.rendering.imaging.gate import Limits, check
from workers.rendering.imaging.memory import Gauge, memory_need

_STRIP_PIXELS = 64
"""Rows of a picture that are digested at a time: there may be no room for it twice."""


def mended(data: bytes, limits: Limits, cap_bytes: int | None) -> bytes | None:
    """The refused file without what was wrong with it, if no pixel is missing; None where it is as bad as before.

    Raises BadPicture, CodecFault and OutOfMemory.
    """
    whole: bytes | None = None
    pixels = b""
    better = mend(data)
    for ended in endings(better):
        header = check(ended, limits)
        need = memory_need(header.width * header.height, 0, 2 * len(data))
        found = _pixels(ended, Gauge.start("a JPEG without its end", need, cap_bytes))
        if not found or found != (pixels or found):
            return None
        whole, pixels = whole or ended, found
    return whole or (None if better is data else better)


def _pixels(data: bytes, gauge: Gauge) -> bytes:
    """A digest of a JPEG's pixels at full size; empty where it does not decode."""
    digest = blake2b()
    try:
        with Image.open(io.BytesIO(data), formats=("JPEG",)) as image:
            image.load()
            for top in range(0, image.height, _STRIP_PIXELS):
                bottom = min(top + _STRIP_PIXELS, image.height)
                digest.update(image.crop((0, top, image.width, bottom)).tobytes())
    except Exception as error:
        gauge.rule_out_memory(error)
        if is_ours(error):
            raise CodecFault("JPEG decoder", error, broken=False) from error
        return b""
    return digest.digest()
