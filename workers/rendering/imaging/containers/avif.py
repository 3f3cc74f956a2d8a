"""AVIF: boxes; the items are listed in meta/iinf."""

from __future__ import annotations

import struct
from collections.abc import Iterator

from workers.rendering.imaging.containers.parts import MAX_PARTS


def mend(data: bytes) -> bytes:
    """Metadata that cannot be read is not looked for: its items get a kind that means nothing."""
    mended = bytearray(data)
    for meta, end in _boxes(data, 0, len(data), b"meta"):
        for iinf, stop in _boxes(data, meta + 4, end, b"iinf"):
            first = iinf + (6 if data[iinf] == 0 else 8)
            for infe, limit in _boxes(data, first, stop, b"infe"):
                at = infe + 4 + (4 if data[infe] == 2 else 6)
                if data[infe] >= 2 and at + 4 <= limit and data[at : at + 4] in (b"Exif", b"mime"):
                    mended[at : at + 4] = b"skip"
    return bytes(mended)


def _boxes(data: bytes, at: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the content of each box of that kind."""
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            size, body = struct.unpack_from(">Q", data, body)[0], at + 16
        stop = end if size == 0 else min(at + size, end)
        if stop < body:
            return
        if kind == wanted:
            yield body, stop
        at = stop
