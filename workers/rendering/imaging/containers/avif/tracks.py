"""The film tracks of an AVIF: where the bytes of each frame are in the file, and a film of fewer frames."""

from __future__ import annotations

import struct
from collections.abc import Iterator
from typing import Final, NamedTuple

from workers.rendering.imaging.containers.avif import boxes
from workers.rendering.imaging.containers.parts import MAX_PARTS, u32

_WAY: Final = (b"trak", b"mdia", b"minf", b"stbl")

_MOST_TRACKS: Final = 8
"""Most tracks that are looked at. A film has two, with alpha's."""

_CHUNKS: Final = ((b"stco", ">I"), (b"co64", ">Q"))
"""The table of offsets in the file, in 32 or in 64 bits."""

Span = tuple[int, int]
"""Start and end."""


class Frame(NamedTuple):
    """Where a frame is: start and end in the file, and the number of its chunk, from 1."""

    start: int
    end: int
    chunk: int


class Track(NamedTuple):
    """The spans in the file of its sample description, of its tables of sizes and of runs, and of its offsets."""

    description: Span
    sizes: Span
    runs: Span
    offsets: Span
    offset_format: str


def film_tracks(data: bytes) -> Iterator[Track]:
    """The tracks of AV1, alpha's among them."""
    for moov, stop in boxes.within(data, 0, len(data), b"moov"):
        places = [(moov, stop)]
        for kind in _WAY:
            places = [found for start, end in places for found in boxes.within(data, start, end, kind)]
        for start, end in places[:_MOST_TRACKS]:
            tables = {kind: (one, limit) for kind, one, limit in boxes.all_within(data, start, end)}
            offsets = next(((tables[kind], form) for kind, form in _CHUNKS if kind in tables), None)
            if offsets and {b"stsd", b"stsz", b"stsc"} <= tables.keys() and description(data, tables[b"stsd"]):
                yield Track(tables[b"stsd"], tables[b"stsz"], tables[b"stsc"], *offsets)


def description(data: bytes, stsd: Span) -> list[Span]:
    """The spans of the boxes within each entry of AV1."""
    return [(start + 78, end) for start, end in boxes.within(data, stsd[0] + 8, stsd[1], b"av01")]


def frames(data: bytes, track: Track) -> Iterator[Frame]:
    """The frames in turn, at most `MAX_PARTS` of a strange film. They may lie beyond the file's end."""
    sizes, number = track.sizes[0], 0
    same, count = u32(data, sizes + 4), u32(data, sizes + 8)
    wide = struct.calcsize(track.offset_format)
    runs = _runs(data, track)
    samples = 0
    for chunk in range(1, min(u32(data, track.offsets[0] + 4), MAX_PARTS) + 1):
        samples = runs.get(chunk, samples)
        at: int = struct.unpack_from(track.offset_format, data, track.offsets[0] + 8 + wide * (chunk - 1))[0]
        for _ in range(samples):
            if number == min(count, MAX_PARTS):
                return
            size = same or u32(data, sizes + 12 + 4 * number)
            yield Frame(at, at + size, chunk)
            at, number = at + size, number + 1


def _runs(data: bytes, track: Track) -> dict[int, int]:
    """The number of frames in each chunk, by the first chunk with that number."""
    start = track.runs[0]
    entries = range(min(u32(data, start + 4), MAX_PARTS))
    return {u32(data, start + 8 + 12 * entry): u32(data, start + 12 + 12 * entry) for entry in entries}


def shorten(mended: bytearray, data: bytes, track: Track, count: int, chunk: int) -> None:
    """Leave the first `count` frames of the track, which fill the chunks up to `chunk`, or are all in the first one.

    The tables keep their places and bytes: only fewer of their entries count.
    """
    runs = _runs(data, track)
    struct.pack_into(">I", mended, track.sizes[0] + 8, count)
    struct.pack_into(">I", mended, track.offsets[0] + 4, chunk)
    struct.pack_into(">I", mended, track.runs[0] + 4, sum(first <= chunk for first in runs))
    if chunk == 1:
        struct.pack_into(">I", mended, track.runs[0] + 12, count)


def first_bytes(data: bytes, most: int) -> bytes:
    """The first bytes, at most `most`, of the first frame of the first track."""
    for track in film_tracks(data):
        for frame in frames(data, track):
            return data[frame.start : min(frame.end, frame.start + most)]
    return b""
