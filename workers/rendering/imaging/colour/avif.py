"""AVIF: the code in the box colr (nclx) of the picture that is shown, or of its track."""

from __future__ import annotations

import struct
from typing import Final

from workers.rendering.imaging.colour import cicp, hdr, icc
from workers.rendering.imaging.colour.hdr import Hdr
from workers.rendering.imaging.containers import boxes

_AS_SRGB: Final = frozenset((cicp.BT709, cicp.UNSPECIFIED, 6, cicp.SRGB_CURVE, 14, 15))
"""Curves that browsers take for sRGB's, since cameras and encoders name one and mean the other."""

_TRACK: Final = ((b"moov", 0), (b"trak", 0), (b"mdia", 0), (b"minf", 0), (b"stbl", 0), (b"stsd", 8), (b"av01", 78))
"""The boxes that lead to a track's colour, with the bytes before their children."""


def meaning(data: bytes, profile: bytes | None) -> bytes | Hdr | None:
    """A profile comes first: then the code only tells how YUV becomes RGB, which the decoder has done."""
    if profile:
        return profile
    properties = _of_picture(data) or _of_track(data)
    code = next((content for kind, content in properties if kind == b"colr" and content[:4] == b"nclx"), b"")
    if len(code) < 8:
        return None
    which, transfer = struct.unpack_from(">HH", code, 4)
    primaries = cicp.PRIMARIES.get(which, cicp.PRIMARIES[cicp.BT709])
    if transfer in (cicp.PQ, cicp.HLG):
        light = next((content for kind, content in properties if kind == b"clli" and len(content) >= 4), bytes(4))
        return hdr.of(primaries, transfer, struct.unpack_from(">H", light)[0])
    if transfer in _AS_SRGB or transfer not in cicp.CURVES:
        transfer = cicp.SRGB_CURVE
    if primaries == cicp.PRIMARIES[cicp.BT709] and transfer == cicp.SRGB_CURVE:
        return None
    return icc.profile(primaries, cicp.CURVES[transfer])


def _of_picture(data: bytes) -> list[tuple[bytes, bytes]]:
    """Kind and content of each property of the primary item."""
    for start, end in boxes.within(data, 0, len(data), b"meta"):
        primary = _primary(data, start + 4, end)
        for inner, stop in boxes.within(data, start + 4, end, b"iprp"):
            found = [
                (kind, data[one:limit])
                for first, last in boxes.within(data, inner, stop, b"ipco")
                for kind, one, limit in boxes.all_within(data, first, last)
            ]
            for first, last in boxes.within(data, inner, stop, b"ipma"):
                wanted = boxes.associations(data, first, last).get(primary, [])
                if wanted:
                    return [found[index - 1] for index, _ in wanted if 0 < index <= len(found)]
    return []


def _primary(data: bytes, start: int, end: int) -> int:
    for at, _ in boxes.within(data, start, end, b"pitm"):
        number: int = struct.unpack_from(">H" if data[at] == 0 else ">I", data, at + 4)[0]
        return number
    return 0


def _of_track(data: bytes) -> list[tuple[bytes, bytes]]:
    """The same of the first film track, in a file of frames alone."""
    places = [(0, len(data))]
    for kind, before in _TRACK:
        places = [(one + before, limit) for start, end in places for one, limit in boxes.within(data, start, end, kind)]
    return [
        (kind, data[one:limit]) for start, end in places[:1] for kind, one, limit in boxes.all_within(data, start, end)
    ]
