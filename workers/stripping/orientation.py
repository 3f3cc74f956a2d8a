"""A picture's orientation: read from EXIF or XMP as Pillow reads it, and written as EXIF that says nothing else.

Pure functions. 1 is upright; an orientation that cannot be read counts as upright, as in decoders.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

EXIF_MARK = b"Exif\x00\x00"
UPRIGHT = 1

_TAG = 0x0112
_INTEGERS = {1: "B", 3: "H", 4: "I", 6: "b", 8: "h", 9: "i"}
"""TIFF's integer types, as `struct` names them."""

_XMP = re.compile(rb'tiff:Orientation(="|>)([0-9])')


def of_metadata(exif: bytes | None, xmp: bytes | None) -> int:
    """The orientation that they state, 1 to 8; EXIF's where both do."""
    stated = None if exif is None else _of_exif(exif)
    if stated is None and xmp is not None and (match := _XMP.search(xmp)):
        stated = int(match[2])
    return stated if stated is not None and 1 <= stated <= 8 else UPRIGHT


def tiff(orientation: int) -> bytes:
    """EXIF that states the orientation and nothing else, without the mark that JPEG puts in front.

    >>> of_metadata(tiff(6), None)
    6
    """
    return struct.pack(">2sHIHHHIHHI", b"MM", 42, 8, 1, _TAG, 3, 1, orientation, 0, 0)


def _of_exif(exif: bytes) -> int | None:
    """The first value that the first directory gives; None if there is none that can be read."""
    while exif.startswith(EXIF_MARK):
        exif = exif[len(EXIF_MARK) :]
    order = {b"II*\x00": "<", b"MM\x00*": ">"}.get(exif[:4])
    if order is None:
        return None
    try:
        for tag, kind, count, field in _entries(exif, order):
            if tag == _TAG and kind in _INTEGERS and count == 1:
                (value,) = struct.unpack_from(f"{order}{_INTEGERS[kind]}", field)
                return int(value)
    except struct.error:
        pass  # cut off
    return None


def _entries(exif: bytes, order: str) -> Iterator[tuple[int, int, int, bytes]]:
    """Tag, type, count and value field of each entry of the first directory."""
    (at,) = struct.unpack_from(f"{order}I", exif, 4)
    (entries,) = struct.unpack_from(f"{order}H", exif, at)
    for number in range(entries):
        yield struct.unpack_from(f"{order}HHI4s", exif, at + 2 + 12 * number)
