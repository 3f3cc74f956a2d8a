"""An AVIF whose end is missing: a film of the frames that are whole, as of the other kinds that are cut."""

from __future__ import annotations

import struct
from itertools import takewhile
from typing import Final

from workers.rendering.imaging.containers.avif import boxes, tracks
from workers.rendering.imaging.containers.avif.tracks import Frame
from workers.rendering.imaging.containers.parts import u32

_FILM, _PICTURE = b"avis", b"avif"
"""Brands."""

_BRANDS_AT: Final = 8


def shortened(data: bytes) -> bytes:
    """The film without the frames that lack bytes; where none is whole, or the tables are cut, its picture item alone.

    Where frames lie in chunks of several, a chunk that is cut is left out whole, but for the first one: the tables have
    no room to say otherwise.
    """
    if _lacks_tables(data):
        return _as_picture(data)
    films = [(track, list(tracks.frames(data, track))) for track in tracks.film_tracks(data)]
    count = min((_whole(frames, len(data)) for _, frames in films), default=0)
    if all(count >= len(frames) for _, frames in films):
        return data
    while (fewer := min((_even(frames, count) for _, frames in films), default=0)) < count:
        count = fewer
    if not count:
        return _as_picture(data)
    mended = bytearray(data)
    for track, frames in films:
        tracks.shorten(mended, data, track, count, frames[count - 1].chunk)
    made = _closed(mended)
    is_sound = all(len(list(tracks.frames(made, track))) == count for track, _ in films)
    return made if is_sound else data


def _lacks_tables(data: bytes) -> bool:
    """Whether the file ends within its list of frames, or before it."""
    found = [(start, stop) for kind, start, stop in boxes.all_within(data, 0, len(data)) if kind == b"moov"]
    if not found:
        return _FILM in _brands(data)
    return any(u32(data, start - 8) > stop - start + 8 for start, stop in found)


def _brands(data: bytes) -> list[bytes]:
    end = min(u32(data, 0), len(data))
    return [data[at : at + 4] for at in range(_BRANDS_AT, end, 4)]


def _as_picture(data: bytes) -> bytes:
    """The file without its film: the picture for viewers that show no films is the first frame."""
    brands = [_PICTURE if brand == _FILM else brand for brand in _brands(data)]
    mended = bytearray(data)
    mended[_BRANDS_AT : _BRANDS_AT + 4 * len(brands)] = b"".join(brands)
    for kind, start, _ in boxes.all_within(data, 0, len(data)):
        if kind == b"moov":
            mended[start - 4 : start] = b"free"
    return _closed(mended)


def _closed(mended: bytearray) -> bytes:
    """The file, with the end of its last box at its own end."""
    for _, start, stop in boxes.all_within(bytes(mended), 0, len(mended)):
        if u32(mended, start - 8) > stop - start + 8:
            struct.pack_into(">I", mended, start - 8, stop - start + 8)
    return bytes(mended)


def _whole(frames: list[Frame], size: int) -> int:
    """How many are there, of those before the first that is not, in a file of that size in bytes."""
    return sum(1 for _ in takewhile(lambda frame: frame.end <= size, frames))


def _even(frames: list[Frame], count: int) -> int:
    """The largest number up to `count` that fills whole chunks, or is within the first one."""
    while 0 < count < len(frames) and frames[count].chunk == frames[count - 1].chunk > 1:
        count -= 1
    return min(count, len(frames))
