"""AVIF: the code in the box colr (nclx) of the picture that is shown, or of its film; else that in its AV1 stream."""

from __future__ import annotations

import struct
from typing import Final

from workers.rendering.imaging.colour import cicp, hdr, icc
from workers.rendering.imaging.colour.hdr import Hdr
from workers.rendering.imaging.containers.avif import properties, sequence_header
from workers.rendering.imaging.containers.avif.properties import Property
from workers.rendering.imaging.containers.avif.sequence_header import BadStream

_AS_SRGB: Final = frozenset((cicp.BT709, cicp.UNSPECIFIED, 6, cicp.SRGB_CURVE, 14, 15))
"""Curves that browsers take for sRGB's, since cameras and encoders name one and mean the other."""


def meaning(data: bytes, profile: bytes | None) -> bytes | Hdr | None:
    """A profile comes first: then the code only tells how YUV becomes RGB, which the decoder has done."""
    if profile:
        return profile
    found = properties.shown(data)
    which, transfer = _codes(data, found)
    primaries = cicp.PRIMARIES.get(which, cicp.PRIMARIES[cicp.BT709])
    if transfer in (cicp.PQ, cicp.HLG):
        light = next((content for kind, content in found if kind == b"clli" and len(content) >= 4), bytes(4))
        return hdr.of(primaries, transfer, struct.unpack_from(">H", light)[0])
    if transfer in _AS_SRGB or transfer not in cicp.CURVES:
        transfer = cicp.SRGB_CURVE
    if primaries == cicp.PRIMARIES[cicp.BT709] and transfer == cicp.SRGB_CURVE:
        return None
    return icc.profile(primaries, cicp.CURVES[transfer])


def _codes(data: bytes, found: list[Property]) -> tuple[int, int]:
    """Primaries and transfer function: of the box, else of the AV1 stream."""
    code = next((content for kind, content in found if kind == b"colr" and content[:4] == b"nclx"), b"")
    if len(code) >= 8:
        which, transfer = struct.unpack_from(">HH", code, 4)
        return which, transfer
    try:
        stated = sequence_header.colours(properties.first_bytes(data, sequence_header.LONGEST))
    except BadStream:
        return cicp.UNSPECIFIED, cicp.UNSPECIFIED
    return stated.primaries, stated.transfer
