"""A picture's orientation: read from EXIF as browsers read it, and written as EXIF that says nothing else.

Pure functions. 1 is upright; an orientation that cannot be read counts as upright, as in decoders. XMP may state one
too, which editors leave behind that have turned the pixels: browsers don't look at it, nor at ImageMagick's EXIF in a
PNG's text.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator

EXIF_MARK = b"Exif\x00\x00"
UPRIGHT = 1

_TAG, _SHORT = 0x0112, 3


def of_exif(exif: bytes) -> int:
    """The orientation that it states, with or without the mark in front: see `of_tiff`."""
    while exif.startswith(EXIF_MARK):
        exif = exif[len(EXIF_MARK) :]
    return of_tiff(exif)


def of_tiff(exif: bytes) -> int:
    """The orientation that it states, 1 to 8: the first of the type SHORT, and of one value, in its first directory.

    >>> of_tiff(tiff(6)), of_tiff(EXIF_MARK + tiff(6)), of_exif(EXIF_MARK + tiff(6)), of_tiff(b"")
    (6, 1, 6, 1)
    """
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return UPRIGHT
    try:
        for tag, kind, count, value in _entries(exif, order):
            if (tag, kind, count) == (_TAG, _SHORT, 1):
                return value if 1 <= value <= 8 else UPRIGHT
    except struct.error:
        pass  # cut off
    return UPRIGHT


def tiff(orientation: int) -> bytes:
    """EXIF that states the orientation and nothing else, without the mark that JPEG puts in front.

    >>> of_tiff(tiff(6))
    6
    """
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, _TAG, _SHORT, 1, orientation, 0, 0)


def _entries(exif: bytes, order: str) -> Iterator[tuple[int, int, int, int]]:
    """Tag, type, count and the first two bytes of the value of each entry of the first directory."""
    (at,) = struct.unpack_from(f"{order}I", exif, 4)
    (entries,) = struct.unpack_from(f"{order}H", exif, at)
    for number in range(entries):
        yield struct.unpack_from(f"{order}HHIH", exif, at + 2 + 12 * number)
