"""The first directory of a JPEG's Exif (TIFF), which Pillow reads and a browser passes over."""

from __future__ import annotations

import struct
from typing import Final

MARK: Final = b"Exif\0\0"
"""Beginning of a JPEG's Exif segment, before the TIFF."""

_ORDERS: Final = {b"II*\0": "<", b"MM\0*": ">"}
_SIZES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)
"""Bytes of a value of each type."""
_ORIENTATION, _RESOLUTION = 0x0112, 0x011A
_SHORT, _LONG, _RATIONAL = 3, 4, 5
_ENTRY_BYTES, _MOST_ENTRIES = 12, 100


def is_sound(tiff: bytes) -> bool:
    """Whether the directory is whole, with every value where it says, and a resolution that is a number."""
    order = _ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 10:
        return False
    at = struct.unpack_from(f"{order}I", tiff, 4)[0]
    if at + 2 > len(tiff):
        return False
    count = struct.unpack_from(f"{order}H", tiff, at)[0]
    end = at + 2 + _ENTRY_BYTES * count
    return end <= len(tiff) and all(_is_sound_entry(tiff, one, order) for one in range(at + 2, end, _ENTRY_BYTES))


def _is_sound_entry(tiff: bytes, at: int, order: str) -> bool:
    tag, kind, values, where = struct.unpack_from(f"{order}HHII", tiff, at)
    size = values * _SIZES[kind] if kind < len(_SIZES) else 0
    if not size or (size > 4 and where + size > len(tiff)):
        return False
    return tag != _RESOLUTION or (values == 1 and kind in (_SHORT, _LONG, _RATIONAL))


def orientation_alone(tiff: bytes) -> bytes | None:
    """An Exif segment with nothing but the orientation; None where that can't be read."""
    order = _ORDERS.get(tiff[:4])
    if order is None or len(tiff) < 22:
        return None
    at = struct.unpack_from(f"{order}I", tiff, 4)[0] + 2
    for entry in range(at, min(at + _ENTRY_BYTES * _MOST_ENTRIES, len(tiff) - 11), _ENTRY_BYTES):
        tag, kind, values, orientation = struct.unpack_from(f"{order}HHIH", tiff, entry)
        if (tag, kind, values) == (_ORIENTATION, _SHORT, 1) and 1 <= orientation <= 8:
            return MARK + tiff[:4] + struct.pack(f"{order}IHHHIHH", 8, 1, tag, kind, values, orientation, 0)
    return None
