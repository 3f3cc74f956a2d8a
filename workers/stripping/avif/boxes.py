"""The boxes that an AVIF is built of (ISO base media file format), and how one is emptied without moving a byte."""

from __future__ import annotations

import struct
from collections.abc import Collection, Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from workers.stripping.errors import Unstrippable, at_most

Range = tuple[int, int]
"""A range in the file: its first offset, and the one after it."""


@dataclass(frozen=True, slots=True)
class Box:
    """A box in the file: its kind, where it begins, where its content does, and where it ends."""

    kind: bytes
    start: int
    body: int
    end: int


def boxes_in(data: bytes | bytearray, at: int, end: int) -> Iterator[Box]:
    """The boxes that fill these bytes. Raises Unstrippable where one isn't whole."""
    for _ in at_most(count()):
        if at >= end:
            return
        box = box_at(data, at, end)
        if box is None:
            raise Unstrippable("an AVIF with a box that is cut off")
        yield box
        at = box.end


def box_at(data: bytes | bytearray, at: int, end: int) -> Box | None:
    """The box that begins at `at`; None if none does that ends before `end`."""
    if end - at < 8:
        return None
    size, kind = struct.unpack_from(">I4s", data, at)
    body = at + 8
    if size == 1:
        if end - at < 16:
            return None
        size, body = struct.unpack_from(">Q", data, body)[0], at + 16
    elif size == 0:
        size = end - at
    return Box(kind, at, body, at + size) if body <= at + size <= end else None


def empty(out: bytearray, box: Box) -> None:
    """Make the box free space of the same size."""
    out[box.start + 4 : box.start + 8] = b"free"
    zero(out, box.body, box.end)


def empty_others(out: bytearray, within: Iterable[Box], known: Collection[bytes]) -> None:
    for box in within:
        if box.kind not in known:
            empty(out, box)


def zero(out: bytearray, start: int, end: int) -> None:
    out[start:end] = bytes(max(0, end - start))


def zero_but(out: bytearray, start: int, end: int, needed: Iterable[Range]) -> None:
    """Zero all between `start` and `end` but the ranges that are needed."""
    at = start
    for begin, stop in sorted(needed):
        if stop > start and begin < end:
            zero(out, at, min(begin, end))
            at = max(at, stop)
    zero(out, at, end)


def overlap(some: Iterable[Range], others: Iterable[Range]) -> bool:
    """Whether a byte is in both."""
    marked = sorted((*one, is_some) for is_some, ranges in ((True, some), (False, others)) for one in ranges)
    reach = {True: -1, False: -1}
    for begin, stop, is_some in marked:
        if reach[not is_some] > begin:
            return True
        reach[is_some] = max(reach[is_some], stop)
    return False
