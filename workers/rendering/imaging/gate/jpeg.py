"""A JPEG's header and scans: its sides in px, and its number of scans."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from workers.rendering.imaging.gate.limits import BadPicture

MAX_JPEG_SEGMENTS = 5_000
"""Header segments of a JPEG. 50 MB in full segments are 800, so more are tiny ones, made to cost time."""

MAX_JPEG_PADDING_BYTES = 65_536
"""Fill bytes before a JPEG header segment. Pillow reads them one by one: 16 MB of 0xFF took it 4 to 6 s."""

# A marker that carries a segment. 00 is a stuffed byte, FF is fill, 01 and D0 to D7 stand alone. One FF only:
# a run of them is then searched in linear time.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_COMPONENTS = (1, 3, 4)
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}


def jpeg_size(data: bytes) -> Iterator[tuple[int, int]]:
    """The frame headers before the first scan: libjpeg takes the first of them, Pillow the last."""
    for marker, at in _jpeg_segments(data):
        if marker == _SOS:
            return
        if marker in _SOF:
            bits, height, width, components = struct.unpack_from(">BHHB", data, at + 4)
            if bits != 8:
                raise BadPicture(f"unknown format: a JPEG of {bits} bits a sample; taken are those of 8")
            if components not in _COMPONENTS:
                raise BadPicture(f"unknown format: a JPEG of {components} components; taken are those of 1, 3 and 4")
            yield width, height


def check_scans(data: bytes, max_scans: int) -> None:
    scans = 0
    for marker, _ in _jpeg_segments(data):
        scans += marker == _SOS
        if scans > max_scans:
            raise BadPicture(f"too many JPEG scans: more than {max_scans}, so it is made to cost time")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (marker, offset) of each segment up to the end of the first picture.

    Segments are stepped over, not searched: an FF DA in a thumbnail, a colour profile or the film behind a
    motion photo is no scan. What is cut behind a scan ends it: the pixels may all be there. Raises BadPicture when
    there are too many of them or too much padding before one.
    """
    at, in_header = 2, True
    for _ in range(MAX_JPEG_SEGMENTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None or found[1][0] == _EOI:
            return
        start, marker = found.start(), found[1][0]
        if in_header and start - at > MAX_JPEG_PADDING_BYTES:
            raise BadPicture(f"damaged: {start - at:,} bytes of padding in a JPEG header")
        yield marker, start
        in_header = in_header and marker != _SOS
        if not in_header and start + 4 > len(data):
            return
        at = start + 2 if marker == _SOI else start + 2 + struct.unpack_from(">H", data, start + 2)[0]
    raise BadPicture(f"damaged: more than {MAX_JPEG_SEGMENTS:,} JPEG segments")
