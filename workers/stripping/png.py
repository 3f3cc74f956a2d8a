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

_XMP, _RAW_EXIF = b"XML:com.adobe.xmp", b"Raw profile type exif"
"""The names of the texts that may say how the picture is to be turned. The second is ImageMagick's, in hexadecimal."""

_TEXT_BYTES = 1_000_000
"""How much of a text is read."""

_PROFILE_NAME = b"icc"


def strip(data: bytes) -> bytes:
    """The file without its metadata, with the same picture. Raises Unstrippable."""
    kept: list[bytes] = []
    exif = None
    texts: dict[bytes, bytes] = {}
    for kind, content in at_most(_chunks(data)):
        if kind == b"eXIf":
            exif = content
        elif kind in (b"tEXt", b"zTXt", b"iTXt"):
            name, _, text = content.partition(b"\x00")
            texts |= {name: _text(kind, text)} if name in (_XMP, _RAW_EXIF) else {}
        elif kind == b"iCCP":
            kept.append(_chunk(kind, b"\x00".join((_PROFILE_NAME, *content.split(b"\x00", 1)[1:]))))
        elif kind in _CRITICAL or kind in _LOOKS:
            kept.append(_chunk(kind, content))
        elif not kind[0] & _ANCILLARY:
            raise Unstrippable(f"a PNG with an unknown critical chunk {kind!r}")
    turned = _orientation(exif, texts)
    if turned != orientation.UPRIGHT:
        kept.insert(1, _chunk(b"eXIf", orientation.tiff(turned)))
    return b"".join((_SIGNATURE, *kept))


def _orientation(exif: bytes | None, texts: dict[bytes, bytes]) -> int:
    if exif is None and _RAW_EXIF in texts:
        exif = _from_hexadecimal(texts[_RAW_EXIF])
    return orientation.of_metadata(exif, texts.get(_XMP))


def _text(kind: bytes, rest: bytes) -> bytes:
    """The text of a chunk behind its name, up to _TEXT_BYTES; empty where it can't be read."""
    is_packed = kind == b"zTXt" or (kind == b"iTXt" and rest[:1] == b"\x01")
    if kind == b"zTXt":
        rest = rest[1:]
    elif kind == b"iTXt":
        rest = rest[2:].split(b"\x00", 2)[-1]  # behind the language, and the name in that
    if is_packed:
        try:
            rest = zlib.decompressobj().decompress(rest, _TEXT_BYTES)
        except zlib.error:
            return b""
    return rest[:_TEXT_BYTES]


def _from_hexadecimal(text: bytes) -> bytes | None:
    """The text below its head of three lines."""
    try:
        return bytes.fromhex(b"".join(text.split(b"\n")[3:]).decode("ascii"))
    except ValueError:
        return None


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
