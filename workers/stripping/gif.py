"""A GIF without metadata: frames and their timing, how often it repeats and its colour profile are copied."""

from __future__ import annotations

from itertools import count

from workers.stripping.errors import Unstrippable, at_most

_EXTENSION, _IMAGE, _TRAILER = 0x21, 0x2C, 0x3B
_CONTROL, _APPLICATION = 0xF9, 0xFF
_KNOWN = (_CONTROL, _APPLICATION, 0xFE, 0x01)
_LOOPS = (b"NETSCAPE2.0", b"ANIMEXTS1.0")
_PROFILE = b"ICCRGBG1012"
_SCREEN_BYTES, _IMAGE_BYTES = 13, 10


def strip(data: bytes) -> bytes:
    """The file without its metadata, with the same picture. Raises Unstrippable."""
    if data[:6] not in (b"GIF87a", b"GIF89a") or len(data) < _SCREEN_BYTES:
        raise Unstrippable("a GIF without a header")
    at = _SCREEN_BYTES + _colours(data[10])
    kept = [data[:at]]
    has_image = False
    for _ in at_most(count()):
        kind = data[at : at + 1]
        if kind == bytes((_TRAILER,)) and has_image:
            return b"".join((*kept, kind))
        if kind == bytes((_IMAGE,)):
            begin = at
            has_image = True
            at = _end_of_blocks(data, at + _IMAGE_BYTES + _colours(data[at + 9]) + 1)
            kept.append(data[begin:at])
        elif kind == bytes((_EXTENSION,)):
            begin = at
            at = _end_of_blocks(data, at + 2)
            kept.append(_essence(data[begin:at]))
        else:
            raise Unstrippable("a GIF without an end, or with an unknown block")
    raise AssertionError("a count has no end")


def _colours(flags: int) -> int:
    """Bytes of the table of colours that these flags announce."""
    return 3 << ((flags & 7) + 1) if flags & 0x80 else 0


def _end_of_blocks(data: bytes, at: int) -> int:
    """Where the sub-blocks that begin at `at` are over."""
    while at < len(data) and (size := data[at]):
        at += 1 + size
    if at >= len(data):
        raise Unstrippable("a GIF that is cut off")
    return at + 1


def _essence(extension: bytes) -> bytes:
    """What is kept of an extension."""
    label, size = extension[1], extension[2]
    first = extension[3 : 3 + size]
    if label == _CONTROL:
        if size != 4:
            raise Unstrippable("a GIF with a damaged frame control")
        return extension[:7] + b"\x00"
    if label == _APPLICATION and first in _LOOPS:
        loop = extension[3 + size :]
        return extension[: 3 + size] + loop[:4] + b"\x00" if loop[:2] == b"\x03\x01" else b""
    if label == _APPLICATION and first == _PROFILE:
        return extension
    if label not in _KNOWN:
        raise Unstrippable(f"a GIF with an unknown extension {label:02X}")
    return b""
