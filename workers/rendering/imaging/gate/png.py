"""What of a PNG before its pixels no decoder goes without: Pillow refuses it too, but not with the reason."""

from __future__ import annotations

import struct
import zlib

from workers.rendering.imaging.gate.limits import BadPicture

MAX_CHUNKS = 20_000
"""Before the pixels. A file of more is left to the decoder."""

_PALETTE = 3
"""A colour type of IHDR."""


def check_png(data: bytes) -> None:
    """Raise BadPicture where header or palette is broken or missing. Where the file is cut the decoder has its say."""
    if data[12:16] == b"CgBI":
        raise BadPicture("unknown format: a PNG as Apple's Xcode packs it (CgBI); taken are those of the standard")
    at, has_palette = 8, False
    for _ in range(MAX_CHUNKS):
        if at + 8 > len(data):
            return
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind in (b"IHDR", b"PLTE"):
            has_palette = has_palette or kind == b"PLTE"
            end = at + 8 + length
            if end + 4 > len(data):
                return
            if zlib.crc32(data[at + 4 : end]) != struct.unpack_from(">I", data, end)[0]:
                raise BadPicture(f"damaged: the PNG's {kind.decode()} has another checksum than it states")
        at += 12 + length
    else:
        return
    if data[25] == _PALETTE and not has_palette:
        raise BadPicture("damaged: the PNG lacks its palette")
