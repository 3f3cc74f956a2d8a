"""A PNG without metadata: only the chunks that decoding needs are copied, an animation's among them."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator

from workers.stripping import orientation
from workers.stripping.errors import Unstrippable, at_most

_SIGNATURE = b"\x89PNG\r\n\x1a\n"
_CRITICAL = frozenset((b"IHDR", b"PLTE", b"IDAT", b"IEND"))
_LOOKS = frozenset(
    (
        *(b"tRNS", b"gAMA", b"cHRM", b"sRGB", b"iCCP", b"cICP", b"mDCV", b"mDCv", b"cLLI", b"cLLi"),
        *(b"sBIT", b"pHYs", b"bKGD", b"hIST", b"acTL", b"fcTL", b"fdAT"),
    )
)
_ANCILLARY = 0x20
"""The bit of a chunk's first letter that marks it as not needed for decoding."""

_PROFILE_NAME = b"icc"


def strip(data: bytes) -> bytes:
    """The file without its metadata, with the same picture. Raises Unstrippable."""
    kept: list[bytes] = []
    exif, has_pixels = None, False
    for kind, content in at_most(_chunks(data)):
        has_pixels = has_pixels or kind == b"IDAT"
        if kind == b"eXIf":  # of several, browsers take the first, and none behind the pixels
            exif = content if exif is None and not has_pixels else exif
        elif kind == b"iCCP":
            kept.append(_chunk(kind, b"\x00".join((_PROFILE_NAME, *content.split(b"\x00", 1)[1:]))))
        elif kind in _CRITICAL or kind in _LOOKS:
            kept.append(_chunk(kind, content))
        elif not kind[0] & _ANCILLARY:
            raise Unstrippable(f"a PNG with an unknown critical chunk {kind!r}")
    turned = orientation.of_tiff(exif or b"")
    if turned != orientation.UPRIGHT:
        kept.insert(1, _chunk(b"eXIf", orientation.tiff(turned)))
    return b"".join((_SIGNATURE, *kept))


def _chunks(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Kind and content of each chunk from IHDR to IEND, whose checksums have to be right."""
    if not data.startswith(_SIGNATURE):
        raise Unstrippable("a PNG without a signature")
    at, kind = len(_SIGNATURE), b""
    while kind != b"IEND":
        header = data[at : at + 8]
        if len(header) < 8:
            raise Unstrippable("a PNG without an end")
        size, kind = struct.unpack(">I4s", header)
        content, crc = data[at + 8 : at + 8 + size], data[at + 8 + size : at + 12 + size]
        if len(content) != size or int.from_bytes(crc, "big") != zlib.crc32(content, zlib.crc32(kind)) or not crc:
            raise Unstrippable(f"a PNG with a damaged chunk {kind!r}")
        if (at == len(_SIGNATURE)) != (kind == b"IHDR") or (kind == b"IEND" and size):
            raise Unstrippable(f"a PNG with a misplaced chunk {kind!r}")
        at += 12 + size
        yield kind, content


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", len(content), kind) + content + struct.pack(">I", zlib.crc32(content, zlib.crc32(kind)))
