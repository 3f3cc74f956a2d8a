"""An AVIF without metadata, with no byte of the picture moved: what goes is taken out of the lists and zeroed.

The items that are no pictures (Exif, XMP, anything else) leave the lists of the `meta` box, which keeps its size. Of
the media data, only what pictures and tracks are made of is left; all else there becomes zeros, and so does every box
that is not known. What follows the last box that is needed is cut off. Orientation and colours are properties of the
picture (`irot`, `imir`, `colr`), and stay.

    meta      the list of items; `items` reads and rebuilds its parts
    tracks    those of an animation
    boxes     what all are built of
"""

from __future__ import annotations

from collections.abc import Iterator

from workers.stripping.avif.boxes import Box, Range, box_at, empty, overlap, zero_but
from workers.stripping.avif.meta import Needed, strip_meta
from workers.stripping.avif.tracks import strip_tracks
from workers.stripping.errors import MOST_PARTS, Unstrippable, at_most

_ONCE = (b"ftyp", b"meta", b"moov")

_MOST_MEDIA = 100
"""Boxes of media data. A film has one."""


def strip(data: bytes) -> bytes:
    """The file without its metadata, with the same picture. Raises Unstrippable."""
    top = list(at_most(_whole(data)))
    _check_once(top)
    out = bytearray(data)
    needed = Needed()
    for box in top:
        if box.kind == b"meta":
            strip_meta(out, box, needed)
        elif box.kind == b"moov":
            strip_tracks(out, box, needed.kept, lambda inner: strip_meta(out, inner, needed))
        elif box.kind not in (b"ftyp", b"mdat"):
            empty(out, box)
    filled = _strip_media(out, [box for box in top if box.kind == b"mdat"], needed)
    return bytes(out[: max(box.end for box in top if box in filled or box.kind in _ONCE)])


def _whole(data: bytes) -> Iterator[Box]:
    """The boxes of the file up to one that isn't whole: something that was appended."""
    at = 0
    while at < len(data) and (box := box_at(data, at, len(data))):
        yield box
        at = box.end


def _check_once(top: list[Box]) -> None:
    """Raise Unstrippable if a box that must be there once is missing, or there several times."""
    kinds = [box.kind for box in top]
    if kinds[:1] != [b"ftyp"] or b"moof" in kinds or any(kinds.count(kind) > 1 for kind in _ONCE):
        raise Unstrippable("an AVIF with none or several of a box that there is once")
    if b"meta" not in kinds:
        raise Unstrippable("an AVIF without a picture")


def _strip_media(out: bytearray, media: list[Box], needed: Needed) -> list[Box]:
    """Zero what no picture is made of; the boxes that pictures are made of. Raises Unstrippable."""
    if len(media) > _MOST_MEDIA or len(needed.kept) + len(needed.gone) > MOST_PARTS:
        raise Unstrippable("an AVIF in too many pieces")
    if overlap(needed.kept, needed.gone):
        raise Unstrippable("an AVIF whose metadata and picture share bytes")
    filled = [box for box in media if any(_holds(box, one) for one in needed.kept)]
    if not all(any(_holds(box, one) for box in filled) for one in needed.kept):
        raise Unstrippable("an AVIF whose picture is not in its media data")
    for box in media:
        zero_but(out, box.body, box.end, needed.kept)
    return filled


def _holds(box: Box, part: Range) -> bool:
    return box.body <= part[0] and part[1] <= box.end
