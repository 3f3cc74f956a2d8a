"""The lists of an AVIF's items: what they are (`iinf`), where their data is (`iloc`), which refer to which (`iref`)."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterator
from dataclasses import dataclass

from workers.stripping.avif.boxes import Box, Range, boxes_in
from workers.stripping.errors import MOST_PARTS, Unstrippable

IN_FILE, IN_META = 0, 1
"""Where an item's data is: at an offset in the file, or in the `idat` box beside the lists."""


@dataclass(frozen=True, slots=True)
class ItemEntry:
    """An item in `iinf`: its type, and the entry without its names."""

    kind: bytes
    data: bytes


@dataclass(frozen=True, slots=True)
class Place:
    """An item in `iloc`: the entry as it is, where its data is, and which parts of it."""

    entry: bytes
    method: int
    extents: tuple[Range, ...]


def entries(data: bytearray, iinf: Box) -> Iterator[tuple[int, ItemEntry]]:
    """Each item, by its number."""
    wide = data[iinf.body] > 0
    for box in boxes_in(data, iinf.body + (8 if wide else 6), iinf.end):
        version = data[box.body]
        if box.kind != b"infe" or version not in (2, 3):
            raise Unstrippable("an AVIF with an item of no type")
        form = ">HH4s" if version == 2 else ">IH4s"
        names = box.body + 4 + struct.calcsize(form)
        if names > box.end:
            raise Unstrippable("an AVIF with an item that is cut off")
        number, _, kind = struct.unpack_from(form, data, box.body + 4)
        yield number, ItemEntry(kind, bytes(data[box.start : names]) + bytes(box.end - names))


def places(data: bytearray, iloc: Box) -> dict[int, Place]:
    """The place of each item, by its number."""
    version = data[iloc.body]
    if version > 2:
        raise Unstrippable("an AVIF with an unknown form of its list of places")
    reader = _Reader(data, iloc.body + 4, iloc.end)
    sizes = reader.number(2)
    form = _Form(version, sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15, sizes & 15 if version else 0)
    found: dict[int, Place] = {}
    for _ in range(reader.number(form.number_bytes)):
        begin = reader.at
        number = reader.number(form.number_bytes)
        method, extents = _extents(reader, form, MOST_PARTS - len(found))
        found[number] = Place(bytes(data[begin : reader.at]), method, extents)
    return found


@dataclass(frozen=True, slots=True)
class _Form:
    """How wide the fields of an `iloc` are, in bytes."""

    version: int
    offset_bytes: int
    length_bytes: int
    base_bytes: int
    index_bytes: int

    @property
    def number_bytes(self) -> int:
        return 4 if self.version == 2 else 2


def _extents(reader: _Reader, form: _Form, most: int) -> tuple[int, tuple[Range, ...]]:
    """Where the data of the next item is: the method, and at most `most` parts."""
    method = reader.number(2) & 15 if form.version else IN_FILE
    if reader.number(2):
        raise Unstrippable("an AVIF with data in another file")
    base = reader.number(form.base_bytes)
    extents = []
    for _ in range(reader.number(2)):
        reader.number(form.index_bytes)
        offset = base + reader.number(form.offset_bytes)
        length = reader.number(form.length_bytes)
        if not length:
            raise Unstrippable("an AVIF with an item of all that there is")
        extents.append((offset, offset + length))
        if len(extents) > most:
            raise Unstrippable("an AVIF in too many pieces")
    return method, tuple(extents)


def rebuilt_entries(data: bytearray, iinf: Box, kept: list[bytes]) -> bytes:
    count = struct.pack(">I" if data[iinf.body] > 0 else ">H", len(kept))
    return _box(b"iinf", bytes(data[iinf.body : iinf.body + 4]) + count + b"".join(kept))


def rebuilt_places(data: bytearray, iloc: Box, kept: list[bytes]) -> bytes:
    count = struct.pack(">I" if data[iloc.body] == 2 else ">H", len(kept))
    return _box(b"iloc", bytes(data[iloc.body : iloc.body + 6]) + count + b"".join(kept))


def rebuilt_references(data: bytearray, iref: Box, pictures: Collection[int]) -> bytes:
    """The iref box with only the references between pictures."""
    width = 4 if data[iref.body] else 2
    kept = []
    for box in boxes_in(data, iref.body + 4, iref.end):
        reader = _Reader(data, box.body, box.end)
        ends = [reader.number(width)]
        ends += [reader.number(width) for _ in range(reader.number(2))]
        if all(end in pictures for end in ends):
            kept.append(bytes(data[box.start : reader.at]))
            if reader.at != box.end:
                raise Unstrippable("an AVIF with something behind a reference")
    return _box(b"iref", bytes(data[iref.body : iref.body + 4]) + b"".join(kept))


def _box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I4s", 8 + len(content), kind) + content


class _Reader:
    """Reads numbers one after another. Raises Unstrippable at the end."""

    def __init__(self, data: bytearray, at: int, end: int) -> None:
        self._data = data
        self.at = at
        self._end = end

    def number(self, size: int) -> int:
        """The next number, of `size` bytes; 0 if `size` is 0."""
        if self.at + size > self._end:
            raise Unstrippable("an AVIF with a list that is cut off")
        self.at += size
        return int.from_bytes(self._data[self.at - size : self.at], "big")
