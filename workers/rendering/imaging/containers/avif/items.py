"""The items of an AVIF: which one is shown, which serve others, and where the bytes of each are in the file."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from itertools import islice

from workers.rendering.imaging.containers.avif import boxes
from workers.rendering.imaging.containers.parts import MAX_PARTS

_IN_FILE, _IN_META = 0, 1
"""Construction methods (ISO/IEC 14496-12, 8.11.3): an extent's offset counts from the file's start, or from idat's."""


def primary(data: bytes, start: int, end: int) -> int:
    """The number of the shown picture, in the children of a meta box; 0 if none is named."""
    for at, _ in boxes.within(data, start, end, b"pitm"):
        number: int = struct.unpack_from(">H" if data[at] == 0 else ">I", data, at + 4)[0]
        return number
    return 0


def _first_tile(data: bytes, start: int, end: int, item: int) -> int:
    """The first picture of a grid, by iref; the item itself if it is no grid."""
    for iref, stop in boxes.within(data, start, end, b"iref"):
        layout = ">HHH" if data[iref] == 0 else ">IHI"
        for one, limit in boxes.within(data, iref + 4, stop, b"dimg"):
            if limit - one >= struct.calcsize(layout):
                grid, count, tile = struct.unpack_from(layout, data, one)
                if grid == item and count:
                    return int(tile)
    return item


def first_bytes(data: bytes, most: int) -> bytes:
    """The first bytes, at most `most`, of the shown picture, or of its first tile if it is a grid."""
    for meta, end in boxes.within(data, 0, len(data), b"meta"):
        item = _first_tile(data, meta + 4, end, primary(data, meta + 4, end))
        pieces = _extents(data, meta + 4, end, item)
        return b"".join(data[at : at + min(size, most)] for at, size in islice(pieces, most))[:most]
    return b""


def _extents(data: bytes, start: int, end: int, wanted: int) -> Iterator[tuple[int, int]]:
    """Offset in the file and length in bytes of each piece of an item, `MAX_PARTS` pieces of all items at most."""
    for iloc, _ in boxes.within(data, start, end, b"iloc"):
        version, left = data[iloc], MAX_PARTS
        offset_bytes, length_bytes = divmod(data[iloc + 4], 16)
        base_bytes, index_bytes = divmod(data[iloc + 5], 16)
        numbers = _Numbers(data, iloc + 6)
        for _ in range(numbers.next(4 if version == 2 else 2)):
            item = numbers.next(4 if version == 2 else 2)
            method = numbers.next(2) & 15 if version else _IN_FILE
            numbers.next(2)  # in which file: always this one
            base, pieces = numbers.next(base_bytes), numbers.next(2)
            left -= pieces + 1
            if left < 0:
                return
            for _ in range(pieces):
                numbers.next(index_bytes if version else 0)
                at, size = base + numbers.next(offset_bytes), numbers.next(length_bytes)
                if item == wanted and method in (_IN_FILE, _IN_META):
                    yield at + (_idat(data, start, end) if method == _IN_META else 0), size or len(data)


def _idat(data: bytes, start: int, end: int) -> int:
    return next((at for at, _ in boxes.within(data, start, end, b"idat")), len(data))


class _Numbers:
    """Reads one unsigned number after another; IndexError where the data ends before."""

    def __init__(self, data: bytes, at: int) -> None:
        self._data, self._at = data, at

    def next(self, size: int) -> int:
        """`size`: in bytes; of none the number is 0."""
        content = self._data[self._at : self._at + size]
        if len(content) < size:
            raise IndexError("a number beyond the end of the file")
        self._at += size
        return int.from_bytes(content)
