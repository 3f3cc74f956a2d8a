"""An AVIF without metadata, with no byte of the picture moved: what goes is taken out of the lists and zeroed.

The items that are no pictures (Exif, XMP, whatever else) leave the lists of the `meta` box, which keeps its size. Of
the media data, only what pictures and tracks are made of is left; all else there becomes zeros, and so does every box
that is not known. What follows the last box that is needed is cut off. Orientation and colours are properties of the
picture (`irot`, `imir`, `colr`), and stay.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from dataclasses import dataclass, field

from workers.stripping import film
from workers.stripping.boxes import Box, Range, box_at, boxes_in, empty, empty_others, overlap, zero, zero_but
from workers.stripping.errors import MOST_PARTS, Unstrippable, at_most

_LISTS_OF_ALL = (b"ftyp", b"meta", b"moov")
_PICTURES = (b"av01", b"grid", b"iovl", b"iden", b"tmap", b"sato")
"""The types of items that are pictures, or made of some."""

_MOST_MEDIA = 100
"""Boxes of media data. A film has one."""

_PROPERTIES = frozenset(
    (
        *(b"ispe", b"pixi", b"colr", b"pasp", b"clap", b"irot", b"imir", b"av1C", b"auxC", b"a1op", b"a1lx", b"lsel"),
        *(b"clli", b"mdcv", b"cclv", b"amve", b"ndwt", b"reve", b"free"),
    )
)
_IN_FILE, _IN_META = 0, 1
"""Where an item's data is: at an offset in the file, or in the `idat` box beside the lists."""


@dataclass
class Needed:
    """Bytes of the file that pictures are made of, and those that only what goes is made of."""

    kept: list[Range] = field(default_factory=list)
    gone: list[Range] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class _Item:
    """An item's place: its entry in `iloc` as it is, where its data is, and which parts of it."""

    entry: bytes
    method: int
    extents: tuple[Range, ...]


def strip(data: bytes) -> bytes:
    """The same picture. Raises Unstrippable."""
    top = list(at_most(_whole(data)))
    kinds = [box.kind for box in top]
    if kinds[:1] != [b"ftyp"] or b"moof" in kinds or any(kinds.count(kind) > 1 for kind in (b"ftyp", b"meta", b"moov")):
        raise Unstrippable("an AVIF with none or several of a box that there is once")
    if b"meta" not in kinds:
        raise Unstrippable("an AVIF without a picture")
    out = bytearray(data)
    needed = Needed()
    for box in top:
        if box.kind == b"meta":
            strip_meta(out, box, needed)
        elif box.kind == b"moov":
            film.strip_tracks(out, box, needed.kept, lambda inner: strip_meta(out, inner, needed))
        elif box.kind not in (*_LISTS_OF_ALL, b"mdat"):
            empty(out, box)
    media = [box for box in top if box.kind == b"mdat"]
    if len(media) > _MOST_MEDIA or len(needed.kept) + len(needed.gone) > MOST_PARTS:
        raise Unstrippable("an AVIF in too many pieces")
    if overlap(needed.kept, needed.gone):
        raise Unstrippable("an AVIF whose metadata and picture share bytes")
    filled = [box for box in media if any(box.body <= begin and end <= box.end for begin, end in needed.kept)]
    if not all(any(box.body <= begin and end <= box.end for box in filled) for begin, end in needed.kept):
        raise Unstrippable("an AVIF whose picture is not in its media data")
    for box in media:
        zero_but(out, box.body, box.end, needed.kept)
    return bytes(out[: max(box.end for box in top if box in filled or box.kind in _LISTS_OF_ALL)])


def _whole(data: bytes) -> Iterator[Box]:
    """The boxes of the file up to one that isn't whole: something that was appended."""
    at = 0
    while at < len(data) and (box := box_at(data, at, len(data))):
        yield box
        at = box.end


def strip_meta(out: bytearray, meta: Box, needed: Needed) -> None:
    """Take all items out of this box that are no pictures; `needed` gets to know whose data is where."""
    children = list(boxes_in(out, meta.body + 4, meta.end))
    one = {box.kind: box for box in children}
    if any([box.kind for box in children].count(kind) > 1 for kind in _LISTS):
        raise Unstrippable("an AVIF with several of a list that there is once")
    if not {b"hdlr", b"iinf", b"iloc"} <= one.keys():
        raise Unstrippable("an AVIF without the lists of its items")
    kinds = dict(_kinds(out, one[b"iinf"]))
    pictures = {number for number, (kind, _) in kinds.items() if kind in _PICTURES}
    places = _places(out, one[b"iloc"])
    in_meta: list[Range] = []
    for number, item in places.items():
        is_kept = number in pictures
        if item.method == _IN_FILE:
            (needed.kept if is_kept else needed.gone).extend(item.extents)
        elif item.method == _IN_META and is_kept:
            in_meta += item.extents
        elif is_kept:
            raise Unstrippable("an AVIF with a picture made of an item's data")
    _empty_fields(out, one, in_meta)
    rebuilt = {
        b"iinf": lambda box: _items(out, box, [entry for number, (_, entry) in kinds.items() if number in pictures]),
        b"iloc": lambda box: _locations(out, box, [places[number].entry for number in places if number in pictures]),
        b"iref": lambda box: _references(out, box, pictures),
    }
    parts = [
        rebuilt[box.kind](box) if box.kind in rebuilt else bytes(out[box.start : box.end])
        for box in children
        if box.kind in _LISTS
    ]
    content = b"".join(parts)
    spare = meta.end - meta.body - 4 - len(content)
    if 0 < spare < 8:
        raise Unstrippable("an AVIF whose lists leave no room for what they leave")
    filler = struct.pack(">I4s", spare, b"free") + bytes(spare - 8) if spare else b""
    out[meta.body + 4 : meta.end] = content + filler


_LISTS = (b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp", b"idat", b"grpl")


def _empty_fields(out: bytearray, one: dict[bytes, Box], in_meta: list[Range]) -> None:
    """Zero what is text or nobody's in boxes that stay as they are."""
    zero(out, one[b"hdlr"].body + 24, one[b"hdlr"].end)  # the handler's name
    for box in boxes_in(out, one[b"iprp"].body, one[b"iprp"].end) if b"iprp" in one else ():
        if box.kind == b"ipco":
            empty_others(out, boxes_in(out, box.body, box.end), _PROPERTIES)
        elif box.kind != b"ipma":
            empty(out, box)
    if b"idat" in one:
        idat = one[b"idat"]
        zero_but(out, idat.body, idat.end, [(idat.body + begin, idat.body + end) for begin, end in in_meta])
    elif in_meta:
        raise Unstrippable("an AVIF with a picture in a box that is not there")


# The lists


def _kinds(data: bytearray, iinf: Box) -> Iterator[tuple[int, tuple[bytes, bytes]]]:
    """Of each item its number, type, and its entry in the list without its names."""
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
        yield number, (kind, bytes(data[box.start : names]) + bytes(box.end - names))


def _items(data: bytearray, iinf: Box, entries: list[bytes]) -> bytes:
    count = struct.pack(">I" if data[iinf.body] > 0 else ">H", len(entries))
    return _box(b"iinf", bytes(data[iinf.body : iinf.body + 4]) + count + b"".join(entries))


def _places(data: bytearray, iloc: Box) -> dict[int, _Item]:
    version = data[iloc.body]
    if version > 2:
        raise Unstrippable("an AVIF with a list of places that nobody knows")
    reader = _Reader(data, iloc.body + 4, iloc.end)
    sizes = reader.number(2)
    offset_bytes, length_bytes, base_bytes = sizes >> 12, sizes >> 8 & 15, sizes >> 4 & 15
    index_bytes = sizes & 15 if version else 0
    places: dict[int, _Item] = {}
    for _ in range(reader.number(4 if version == 2 else 2)):
        begin = reader.at
        number = reader.number(4 if version == 2 else 2)
        method = reader.number(2) & 15 if version else _IN_FILE
        if reader.number(2):
            raise Unstrippable("an AVIF with data in another file")
        base = reader.number(base_bytes)
        extents = []
        for _ in range(reader.number(2)):
            reader.number(index_bytes)
            offset = base + reader.number(offset_bytes)
            length = reader.number(length_bytes)
            if not length:
                raise Unstrippable("an AVIF with an item of all that there is")
            extents.append((offset, offset + length))
            if len(places) + len(extents) > MOST_PARTS:
                raise Unstrippable("an AVIF in too many pieces")
        places[number] = _Item(bytes(data[begin : reader.at]), method, tuple(extents))
    return places


def _locations(data: bytearray, iloc: Box, entries: list[bytes]) -> bytes:
    count = struct.pack(">I" if data[iloc.body] == 2 else ">H", len(entries))
    return _box(b"iloc", bytes(data[iloc.body : iloc.body + 6]) + count + b"".join(entries))


def _references(data: bytearray, iref: Box, pictures: set[int]) -> bytes:
    """Those between pictures."""
    width = 4 if data[iref.body] else 2
    kept = []
    for box in boxes_in(data, iref.body + 4, iref.end):
        reader = _Reader(data, box.body, box.end)
        ends = [reader.number(width)]
        ends += [reader.number(width) for _ in range(reader.number(2))]
        if pictures.issuperset(ends):
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
        """The next one, of so many bytes; 0 if it has none."""
        if self.at + size > self._end:
            raise Unstrippable("an AVIF with a list that is cut off")
        self.at += size
        return int.from_bytes(self._data[self.at - size : self.at], "big")
