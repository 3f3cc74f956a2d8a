"""The first bytes of the files that image workers write: which format they are of, and the picture's sides. Pure.

Only what our own encoders write need be understood. The decoders' own headers of strangers' files are `imaging.gate`'s.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping


def begins_as(name: str, head: bytes) -> bool:
    """Whether a file with these first bytes is of that format, by its name or its file name extension."""
    return any(head[at : at + len(mark)] == mark for at, mark in _MARKS[name]) if name in _MARKS else False


_MARKS: Mapping[str, tuple[tuple[int, bytes], ...]] = {
    "jpg": ((0, b"\xff\xd8\xff"),),
    "jpeg": ((0, b"\xff\xd8\xff"),),
    "png": ((0, b"\x89PNG\r\n\x1a\n"),),
    "gif": ((0, b"GIF87a"), (0, b"GIF89a")),
    "webp": ((8, b"WEBP"),),
    "avif": ((4, b"ftypavif"), (4, b"ftypavis")),
}


MIMES: Mapping[str, str] = {
    "jpg": "image/jpeg",
    "png": "image/png",
    "webp": "image/webp",
    "avif": "image/avif",
    "gif": "image/gif",
}
"""What an original may be, by file name extension."""


def may_be(extension: str, head: bytes) -> bool:
    """Whether an original with these first bytes can be of that format. An AVIF may name other brands first."""
    return head[4:8] == b"ftyp" if extension == "avif" else begins_as(extension, head)


def size_of(name: str, head: bytes) -> tuple[int, int] | None:
    """Width and height in px of a rendition; None if they are not where they should be."""
    match name:
        case "webp":
            return _webp_size(head)
        case "jpeg":
            return _jpeg_size(head)
        case "avif":
            sizes = set(_avif_sizes(head, 0, len(head)))
            return sizes.pop() if len(sizes) == 1 else None  # picture and alpha have the same sides
    return None


def _webp_size(head: bytes) -> tuple[int, int] | None:
    chunk, at = head[12:16], 20
    if head[:4] != b"RIFF" or len(head) < at + 10:
        return None
    if chunk == b"VP8 " and head[at + 3 : at + 6] == b"\x9d\x01\x2a":
        return _u16(head, at + 6) & 0x3FFF, _u16(head, at + 8) & 0x3FFF
    if chunk == b"VP8L" and head[at] == 0x2F:
        bits = int.from_bytes(head[at + 1 : at + 5], "little")
        return 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    if chunk == b"VP8X":
        return 1 + int.from_bytes(head[at + 4 : at + 7], "little"), 1 + int.from_bytes(head[at + 7 : at + 10], "little")
    return None


def _jpeg_size(head: bytes) -> tuple[int, int] | None:
    """The sides in the frame header, behind segments that are passed over."""
    at = 2
    while at + 9 <= len(head) and head[at] == 0xFF:
        kind, length = head[at + 1], int.from_bytes(head[at + 2 : at + 4], "big")
        if kind in (0xC0, 0xC2):
            return int.from_bytes(head[at + 7 : at + 9], "big"), int.from_bytes(head[at + 5 : at + 7], "big")
        if not 0xC4 <= kind <= 0xFE or kind == 0xDA or length < 2:
            return None
        at += 2 + length
    return None


def _u16(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 2], "little")


def _u32(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "big")


_INSIDE = {b"meta": 4, b"iprp": 0, b"ipco": 0}
"""Boxes that hold boxes on the way to the sizes, and the number of bytes before those."""


def _avif_sizes(data: bytes, at: int, end: int) -> Iterator[tuple[int, int]]:
    """The sides in each `ispe` box."""
    while at + 8 <= end:
        length, kind = _u32(data, at), data[at + 4 : at + 8]
        if length < 8:
            return
        inner, after = at + 8, min(end, at + length)
        if kind in _INSIDE:
            yield from _avif_sizes(data, inner + _INSIDE[kind], after)
        elif kind == b"ispe" and inner + 12 <= after:
            yield _u32(data, inner + 4), _u32(data, inner + 8)
        at += length
