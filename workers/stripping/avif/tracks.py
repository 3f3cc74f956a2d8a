"""The tracks of an animated AVIF: metadata is zeroed in place, and the ranges of their data are found."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator

from workers.stripping.avif.boxes import Box, Range, boxes_in, empty, empty_others, zero
from workers.stripping.errors import MOST_PARTS, Unstrippable

_CONTAINERS = (b"trak", b"mdia", b"minf", b"stbl", b"edts", b"dinf")
_LEAVES = frozenset(
    (
        *(b"mvhd", b"tkhd", b"mdhd", b"hdlr", b"vmhd", b"nmhd", b"dref", b"elst", b"tref", b"stsd", b"stts", b"stsc"),
        *(b"stsz", b"stco", b"co64", b"stss", b"ctts", b"cslg", b"sdtp", b"sbgp", b"sgpd", b"free"),
    )
)
_HANDLERS = (b"pict", b"auxv")
_OF_SAMPLES = frozenset(
    (b"av1C", b"colr", b"pasp", b"clap", b"pixi", b"auxi", b"ccst", b"clli", b"mdcv", b"irot", b"imir", b"free")
)
_COMPRESSOR, _SAMPLE_ENTRY_BYTES = slice(50, 82), 86
"""Where a sample entry names its encoder, and where its boxes begin."""


def strip_tracks(out: bytearray, parent: Box, needed: list[Range], strip_meta: Callable[[Box], None]) -> None:
    """Zero the metadata of this box, and add to `needed` where the tracks' data is.

    `strip_meta` is called for a list of items inside it.
    """
    inner = list(boxes_in(out, parent.body, parent.end))
    tables = {box.kind: box for box in inner}
    for box in inner:
        if box.kind in _CONTAINERS:
            strip_tracks(out, box, needed, strip_meta)
        elif box.kind == b"meta":
            strip_meta(box)
        elif box.kind in (b"mvhd", b"tkhd", b"mdhd"):
            times_bytes = 16 if out[box.body] else 8  # when it was made and changed
            zero(out, box.body + 4, min(box.end, box.body + 4 + times_bytes))
        elif box.kind == b"hdlr":
            if bytes(out[box.body + 8 : box.body + 12]) not in _HANDLERS:
                raise Unstrippable("an AVIF with a track that is no picture")
            zero(out, box.body + 24, box.end)
        elif box.kind == b"stsd":
            _strip_entries(out, box)
        elif box.kind not in _LEAVES:
            empty(out, box)
    if parent.kind == b"stbl":
        needed += _samples(out, tables)


def _strip_entries(out: bytearray, stsd: Box) -> None:
    for entry in boxes_in(out, stsd.body + 8, stsd.end):
        if entry.kind != b"av01" or entry.end - entry.start < _SAMPLE_ENTRY_BYTES:
            raise Unstrippable("an AVIF with a track in another format")
        zero(out, entry.start + _COMPRESSOR.start, entry.start + _COMPRESSOR.stop)
        empty_others(out, boxes_in(out, entry.start + _SAMPLE_ENTRY_BYTES, entry.end), _OF_SAMPLES)


def _samples(data: bytearray, tables: dict[bytes, Box]) -> Iterator[Range]:
    """Where each chunk of a track's samples is."""
    wide = b"co64" in tables
    places = tables.get(b"co64" if wide else b"stco")
    if places is None or not {b"stsc", b"stsz"} <= tables.keys():
        raise Unstrippable("an AVIF with a track without its tables")
    offsets = _numbers(data, places.body + 4, "Q" if wide else "I")
    runs = _numbers(data, tables[b"stsc"].body + 4, "III")
    (size,) = struct.unpack_from(">I", data, tables[b"stsz"].body + 4)
    sizes = iter(_numbers(data, tables[b"stsz"].body + 8, "I") if not size else ())
    run = 0
    for number, offset in enumerate(offsets, 1):
        while 3 * (run + 1) < len(runs) and runs[3 * (run + 1)] <= number:
            run += 1
        samples = runs[3 * run + 1]
        length = size * samples if size else sum(_taken(sizes, samples))
        yield offset, offset + length


def _taken(sizes: Iterator[int], count: int) -> Iterator[int]:
    for _, size in zip(range(count), sizes, strict=False):
        yield size


def _numbers(data: bytearray, at: int, form: str) -> tuple[int, ...]:
    """The numbers of a table, which begins with its count of rows of that form. Raises struct.error at the end."""
    (count,) = struct.unpack_from(">I", data, at)
    if count > MOST_PARTS:
        raise Unstrippable("an AVIF of too many pictures")
    return struct.unpack_from(">" + form * count, data, at + 4)
