"""The `meta` box of an AVIF: items that are no pictures are taken out of its lists, and the box keeps its size."""

from __future__ import annotations

import struct
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field

from workers.stripping.avif import items
from workers.stripping.avif.boxes import Box, Range, boxes_in, empty, empty_others, zero, zero_but
from workers.stripping.avif.items import ItemEntry, Place
from workers.stripping.errors import Unstrippable

_LISTS = (b"hdlr", b"pitm", b"iloc", b"iinf", b"iref", b"iprp", b"idat", b"grpl")
_PICTURES = (b"av01", b"grid", b"iovl", b"iden", b"tmap", b"sato")
"""The types of items that are pictures, or made of some."""

_PROPERTIES = frozenset(
    (
        *(b"ispe", b"pixi", b"colr", b"pasp", b"clap", b"irot", b"imir", b"av1C", b"auxC", b"a1op", b"a1lx", b"lsel"),
        *(b"clli", b"mdcv", b"cclv", b"amve", b"ndwt", b"reve", b"free"),
    )
)


@dataclass
class Needed:
    """Bytes of the file that pictures are made of, and those that only metadata is made of."""

    kept: list[Range] = field(default_factory=list)
    gone: list[Range] = field(default_factory=list)


def strip_meta(out: bytearray, meta: Box, needed: Needed) -> None:
    """Take all items out of this box that are no pictures, and add to `needed` where the data of all items is."""
    children = list(boxes_in(out, meta.body + 4, meta.end))
    one = _lists(children)
    entries = dict(items.entries(out, one[b"iinf"]))
    pictures = {number for number, entry in entries.items() if entry.kind in _PICTURES}
    places = items.places(out, one[b"iloc"])
    _empty_fields(out, one, _sort(places, pictures, needed))
    content = b"".join(_rebuilt(out, box, entries, places, pictures) for box in children if box.kind in _LISTS)
    spare = meta.end - meta.body - 4 - len(content)
    if 0 < spare < 8:
        raise Unstrippable("an AVIF whose lists leave no room for what they leave")
    filler = struct.pack(">I4s", spare, b"free") + bytes(spare - 8) if spare else b""
    out[meta.body + 4 : meta.end] = content + filler


def _lists(children: list[Box]) -> dict[bytes, Box]:
    kinds = [box.kind for box in children]
    if any(kinds.count(kind) > 1 for kind in _LISTS):
        raise Unstrippable("an AVIF with several of a list that there is once")
    if not {b"hdlr", b"iinf", b"iloc"} <= set(kinds):
        raise Unstrippable("an AVIF without the lists of its items")
    return {box.kind: box for box in children}


def _sort(places: Mapping[int, Place], pictures: Collection[int], needed: Needed) -> list[Range]:
    """Add to `needed` which bytes of the file are kept and which go; the ranges to keep of the `idat` box."""
    in_meta: list[Range] = []
    for number, place in places.items():
        is_kept = number in pictures
        if place.method == items.IN_FILE:
            (needed.kept if is_kept else needed.gone).extend(place.extents)
        elif place.method == items.IN_META and is_kept:
            in_meta += place.extents
        elif is_kept:
            raise Unstrippable("an AVIF with a picture made of an item's data")
    return in_meta


def _rebuilt(
    out: bytearray, box: Box, entries: Mapping[int, ItemEntry], places: Mapping[int, Place], pictures: Collection[int]
) -> bytes:
    """The list with nothing but pictures; another box as it is."""
    match box.kind:
        case b"iinf":
            return items.rebuilt_entries(
                out, box, [entry.data for number, entry in entries.items() if number in pictures]
            )
        case b"iloc":
            return items.rebuilt_places(
                out, box, [place.entry for number, place in places.items() if number in pictures]
            )
        case b"iref":
            return items.rebuilt_references(out, box, pictures)
    return bytes(out[box.start : box.end])


def _empty_fields(out: bytearray, one: dict[bytes, Box], in_meta: list[Range]) -> None:
    """Zero what is text, or of no use, in boxes that stay as they are."""
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
