"""A JPEG without metadata: its segments are copied, but for those that decoding does not need.

Kept of the APPn: JFIF (without its thumbnail), Adobe (whose colour transform decoders follow) and the colour profile. A
second picture behind the first one (a gain map, a motion photo's film) is appended data.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator

from workers.stripping import orientation
from workers.stripping.errors import Unstrippable, at_most

_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_APP0, _APP1, _APP2, _APP14, _COM = 0xE0, 0xE1, 0xE2, 0xEE, 0xFE
_APPS = range(0xE0, 0xF0)
_DECODING = {*range(0xC0, 0xD0), 0xDA, 0xDB, 0xDC, 0xDD} - {0xC8}
"""Frames, tables, scans, the number of lines, the restart interval. 0xC8 is reserved."""

_JFIF, _ICC, _ADOBE = b"JFIF\x00", b"ICC_PROFILE\x00", b"Adobe"
_JFIF_BYTES, _ADOBE_BYTES = 14, 12

_FILL = re.compile(rb"\xff+")
_AFTER_SCAN = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")
"""A marker that ends a scan's data: neither a stuffed byte, nor fill, nor a restart."""


def strip(data: bytes) -> bytes:
    """The file without its metadata, with the same picture. Raises Unstrippable."""
    kept: list[bytes] = []
    exif: list[bytes] = []
    for marker, content, scan in at_most(_segments(data)):
        if marker == _APP1 and content.startswith(orientation.EXIF_MARK):
            exif.append(content[len(orientation.EXIF_MARK) :])
        elif (essence := _essence(marker, content)) is not None:
            kept += [_segment(marker, essence), scan]
    turned = orientation.of_exif(b"".join(exif))
    if turned != orientation.UPRIGHT:
        # Behind JFIF, which must be the first, and before all else.
        place = 2 if kept[0].startswith(bytes((0xFF, _APP0))) else 0
        kept.insert(place, _segment(_APP1, orientation.EXIF_MARK + orientation.tiff(turned)))
    return b"".join((bytes((0xFF, _SOI)), *kept, bytes((0xFF, _EOI))))


def _essence(marker: int, content: bytes) -> bytes | None:
    """What is kept of a segment; None: nothing."""
    if marker in _DECODING:
        return content
    if marker in _APPS:
        return _application_essence(marker, content)
    if marker == _COM:
        return None
    raise Unstrippable(f"a JPEG with a segment {marker:02X}")


def _application_essence(marker: int, content: bytes) -> bytes | None:
    """What is kept of an APPn; None: nothing."""
    if marker == _APP0 and content.startswith(_JFIF) and len(content) >= _JFIF_BYTES:
        return content[: _JFIF_BYTES - 2] + b"\x00\x00"  # a thumbnail of no pixels
    if marker == _APP2 and content.startswith(_ICC):
        return content
    if marker == _APP14 and content.startswith(_ADOBE) and len(content) >= _ADOBE_BYTES:
        return content[:_ADOBE_BYTES]
    return None


def _segment(marker: int, content: bytes) -> bytes:
    return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content


def _segments(data: bytes) -> Iterator[tuple[int, bytes, bytes]]:
    """Marker, content and, behind a scan's header, its data, of each segment up to the end of the first picture."""
    if not data.startswith(bytes((0xFF, _SOI))):
        raise Unstrippable("a JPEG without a beginning")
    at, has_scan = 2, False
    while (fill := _FILL.match(data, at)) and fill.end() < len(data):
        marker, at = data[fill.end()], fill.end() + 1
        if marker == _EOI and has_scan:
            return
        size = int.from_bytes(data[at : at + 2], "big")
        content = data[at + 2 : at + size]
        if size < 2 or len(content) != size - 2:
            raise Unstrippable("a JPEG with a segment that is cut off")
        at += size
        scan = b""
        if marker == _SOS:
            has_scan = True
            end = _end_of_scan(data, at)
            scan = data[at:end]
            at = end
        yield marker, content, scan
    raise Unstrippable("a JPEG without an end, or with something between its segments")


def _end_of_scan(data: bytes, at: int) -> int:
    """Where the fill bytes before the marker behind a scan's data begin."""
    found = _AFTER_SCAN.search(data, at)
    if found is None:
        raise Unstrippable("a JPEG without an end")
    end = found.start()
    while end > at and data[end - 1] == 0xFF:
        end -= 1
    return end
