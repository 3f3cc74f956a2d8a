"""A WebP without metadata: picture, alpha, animation and colour profile are copied, and no other chunks."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from workers.stripping import orientation
from workers.stripping.errors import Unstrippable, at_most

_ICC, _ALPHA, _EXIF, _ANIMATION = 0x20, 0x10, 0x08, 0x02
_PICTURE = (b"ALPH", b"VP8 ", b"VP8L")
_FRAME_BYTES = 16
"""Before the chunks of a frame."""


def strip(data: bytes) -> bytes:
    """The file without its metadata, with the same picture. Raises Unstrippable."""
    size = int.from_bytes(data[4:8], "little")
    if data[:4] != b"RIFF" or data[8:12] != b"WEBP" or size < 4 or 8 + size > len(data):
        raise Unstrippable("a WebP that is cut off")
    chunks = list(at_most(_chunks(data[12 : 8 + size])))
    if chunks and chunks[0][0] == b"VP8X":
        kept = _extended(chunks)
    else:
        kept = [chunk for chunk in chunks if chunk[0] in (b"VP8 ", b"VP8L")]
        if len(kept) != 1 or kept != chunks[:1]:
            raise Unstrippable("a WebP with none or several pictures")
    body = b"".join((b"WEBP", *(_chunk(kind, content) for kind, content in kept)))
    return b"RIFF" + struct.pack("<I", len(body)) + body


def _extended(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    header = chunks[0][1]
    if len(header) != 10:
        raise Unstrippable("a WebP with a damaged header")
    first = dict(reversed(chunks))  # of several of a kind, decoders take the first
    flags = header[0]
    exif = first.get(b"EXIF") if flags & _EXIF else None  # as decoders do: a chunk that is not announced is not there
    turned = orientation.of_exif(exif or b"")
    profile = first.get(b"ICCP") if flags & _ICC else None
    kept: list[tuple[bytes, bytes]] = [] if profile is None else [(b"ICCP", profile)]
    kept += _animation(chunks, first) if flags & _ANIMATION else _still(chunks)
    flags &= _ALPHA | _ANIMATION
    flags |= _ICC if profile is not None else 0
    if turned != orientation.UPRIGHT:
        flags |= _EXIF
        kept.append((b"EXIF", orientation.tiff(turned)))
    return [(b"VP8X", bytes((flags, 0, 0, 0)) + header[4:]), *kept]


def _still(chunks: list[tuple[bytes, bytes]]) -> list[tuple[bytes, bytes]]:
    kept = [chunk for chunk in chunks if chunk[0] in _PICTURE]
    kinds = [kind for kind, _ in kept]
    if kinds not in ([b"VP8 "], [b"VP8L"], [b"ALPH", b"VP8 "]):
        raise Unstrippable("a WebP with none or several pictures")
    return kept


def _animation(chunks: list[tuple[bytes, bytes]], first: dict[bytes, bytes]) -> list[tuple[bytes, bytes]]:
    frames = [(kind, content) for kind, content in chunks if kind == b"ANMF"]
    if len(first.get(b"ANIM", b"")) != 6 or not frames:
        raise Unstrippable("a WebP animation without frames")
    return [(b"ANIM", first[b"ANIM"]), *((kind, _frame(content)) for kind, content in frames)]


def _frame(content: bytes) -> bytes:
    """A frame with nothing but its picture."""
    if len(content) < _FRAME_BYTES:
        raise Unstrippable("a WebP with a frame that is cut off")
    inner = _still(list(at_most(_chunks(content[_FRAME_BYTES:]))))
    return content[:_FRAME_BYTES] + b"".join(_chunk(kind, one) for kind, one in inner)


def _chunks(body: bytes) -> Iterator[tuple[bytes, bytes]]:
    at = 0
    while at < len(body):
        if len(body) - at < 8:
            raise Unstrippable("a WebP with a chunk that is cut off")
        kind, size = struct.unpack_from("<4sI", body, at)
        content = body[at + 8 : at + 8 + size]
        if len(content) != size:
            raise Unstrippable("a WebP with a chunk that is cut off")
        yield kind, content
        at += 8 + size + size % 2


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack("<4sI", kind, len(content)) + content + b"\x00" * (len(content) % 2)
