"""A colour space as an ICC profile: three primaries and one curve, for the same converter that takes a file's own."""

from __future__ import annotations

import struct
from typing import Final

from workers.rendering.imaging.colour.chromaticities import D50_XYZ, Primaries, to_xyz_d50
from workers.rendering.imaging.colour.cicp import Curve

_CURVE_POINTS: Final = 4096
_HEADER_BYTES, _ENTRY_BYTES, _XYZ_BYTES = 128, 12, 20


def profile(primaries: Primaries, curve: Curve) -> bytes:
    """Version 2 (ICC.1:2001-04), 8 kB: a curve in points has no bounds that a strange gamma could break."""
    matrix = to_xyz_d50(primaries)
    points = [round(65535 * min(1.0, max(0.0, curve(at / (_CURVE_POINTS - 1))))) for at in range(_CURVE_POINTS)]
    columns = [_xyz(*(row[at] for row in matrix)) for at in range(3)]
    contents = [*columns, _xyz(*D50_XYZ), struct.pack(f">4sII{_CURVE_POINTS}H", b"curv", 0, _CURVE_POINTS, *points)]
    names = (b"rXYZ", b"gXYZ", b"bXYZ", b"wtpt", b"rTRC", b"gTRC", b"bTRC")
    start = _HEADER_BYTES + 4 + _ENTRY_BYTES * len(names)
    table = struct.pack(">I", len(names))
    for at, name in enumerate(names):
        shared = min(at, len(contents) - 1)
        table += struct.pack(">4sII", name, start + _XYZ_BYTES * shared, len(contents[shared]))
    body = table + b"".join(contents)
    return _header(_HEADER_BYTES + len(body)) + body


def _header(size: int) -> bytes:
    head = struct.pack(">I4xI4s4s4s12x4s28x", size, 0x02400000, b"mntr", b"RGB ", b"XYZ ", b"acsp")
    return head + _fixed(*D50_XYZ) + bytes(_HEADER_BYTES - len(head) - 12)


def _xyz(*values: float) -> bytes:
    return struct.pack(">4s4x", b"XYZ ") + _fixed(*values)


def _fixed(*values: float) -> bytes:
    """The values as s15Fixed16Number."""
    return struct.pack(f">{len(values)}i", *(round(value * 65536) for value in values))
