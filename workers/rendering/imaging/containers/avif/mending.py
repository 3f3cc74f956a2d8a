"""AVIF: boxes; the items are listed in meta/iinf, their properties in meta/iprp."""

from __future__ import annotations

import struct
from typing import Final

from workers.rendering.imaging.containers.avif import boxes, cut
from workers.rendering.imaging.containers.parts import u32

_LARGEST_META: Final = 65_536
"""Largest boxes that may be written a second time, in bytes. Those of a picture of one item have some 400."""

_MAJOR_BRANDS: Final = (b"avif", b"avis", b"mif1", b"msf1")
"""Brands that Pillow takes."""

_ALPHA: Final = (b"urn:mpeg:mpegB:cicp:systems:auxiliary:alpha\0", b"urn:mpeg:hevc:2015:auxid:1\0")


def mend(data: bytes) -> bytes:
    data = cut.shortened(data)
    mended = bytearray(data)
    if data[8:12] not in _MAJOR_BRANDS:
        mended[8:12] = b"avif"  # it is among the others: Pillow looks at the first alone
    for meta, end in boxes.within(data, 0, len(data), b"meta"):
        _hide_metadata(mended, data, meta + 4, end)
    return _with_alpha_sides(bytes(mended))


def _hide_metadata(mended: bytearray, data: bytes, start: int, end: int) -> None:
    """Metadata that cannot be read is not looked for: its items get a kind that means nothing."""
    for iinf, stop in boxes.within(data, start, end, b"iinf"):
        first = iinf + (6 if data[iinf] == 0 else 8)
        for infe, limit in boxes.within(data, first, stop, b"infe"):
            at = infe + 4 + (4 if data[infe] == 2 else 6)
            if data[infe] >= 2 and at + 4 <= limit and data[at : at + 4] in (b"Exif", b"mime"):
                mended[at : at + 4] = b"skip"


def _with_alpha_sides(data: bytes) -> bytes:
    """An alpha plane that states no sides gets the picture's: early encoders wrote none, and libavif wants them.

    The association makes the box longer, and offsets into the file must stay: so meta is written once more, at the end.
    """
    found = [(kind, start, end) for kind, start, end in boxes.all_within(data, 0, len(data)) if kind == b"meta"]
    if len(found) != 1 or (end := found[0][2]) - (meta := found[0][1]) > _LARGEST_META:
        return data
    head = meta - 8 if u32(data, meta - 8) == end - meta + 8 else 0  # else its size is written otherwise
    for iprp, stop in boxes.within(data, meta + 4, end, b"iprp"):
        for ipma, limit in boxes.within(data, iprp, stop, b"ipma"):
            sides = _missing_sides(data, (meta + 4, end), (iprp, stop), (ipma, limit))
            if not sides or not head:
                continue
            longer = _associated(data, ipma, limit, sides)
            sized = [
                (iprp - 8, stop - iprp + 8 + len(longer) - (limit - ipma)),
                (ipma - 8, 8 + len(longer)),
                (head, end - head + len(longer) - (limit - ipma)),
            ]
            copy = bytearray(data)
            for at, size in sized:
                copy[at : at + 4] = struct.pack(">I", size)
            rewritten = bytes(copy[head:ipma]) + longer + data[limit:end]
            return _ended(data[: meta - 4] + b"free" + data[meta:]) + rewritten
    return data


def _missing_sides(data: bytes, meta: tuple[int, int], iprp: tuple[int, int], ipma: tuple[int, int]) -> dict[int, int]:
    """For each alpha item without sides, the number of the property with the sides of its picture."""
    kinds, bodies = [], []
    for first, last in boxes.within(data, *iprp, b"ipco"):
        for kind, start, stop in boxes.all_within(data, first, last):
            kinds.append(kind)
            bodies.append(data[start + 4 : stop])
    items = boxes.associations(data, *ipma)
    missing: dict[int, int] = {}
    for alpha, picture in _auxiliaries(data, *meta):
        own = [number for number, _ in items.get(alpha, []) if 0 < number <= len(kinds)]
        is_alpha = any(kinds[number - 1] == b"auxC" and bodies[number - 1] in _ALPHA for number in own)
        if is_alpha and not any(kinds[number - 1] == b"ispe" for number in own):
            theirs = [number for number, _ in items.get(picture, []) if 0 < number <= len(kinds)]
            sides = next((number for number in theirs if kinds[number - 1] == b"ispe"), 0)
            missing |= {alpha: sides} if sides else {}
    return missing


def _auxiliaries(data: bytes, start: int, end: int) -> list[tuple[int, int]]:
    """Each item that serves another one, and that one, by iref (auxl)."""
    found = []
    for iref, stop in boxes.within(data, start, end, b"iref"):
        wide = data[iref] != 0
        for one, limit in boxes.within(data, iref + 4, stop, b"auxl"):
            values = struct.unpack_from(">IHI" if wide else ">HHH", data, one)
            if values[1] == 1 and limit - one >= (10 if wide else 6):
                found.append((values[0], values[2]))
    return found


def _associated(data: bytes, at: int, end: int, more: dict[int, int]) -> bytes:
    """The content of an ipma box with one more property, in front, for some items."""
    head = data[at : at + 8]
    wide_item, wide = head[0] != 0, bool(head[3] & 1)
    content = [head]
    for item, numbers in boxes.associations(data, at, end).items():
        all_numbers = [(more[item], False), *numbers] if item in more else numbers
        content.append(struct.pack(">IB" if wide_item else ">HB", item, len(all_numbers)))
        for number, essential in all_numbers:
            flag = essential << (15 if wide else 7)
            content.append(struct.pack(">H" if wide else ">B", flag | number))
    return b"".join(content)


def _ended(data: bytes) -> bytes:
    """The file with its last box's size written out, so that another may follow."""
    at = 0
    for _, _, stop in boxes.all_within(data, 0, len(data)):
        if u32(data, at) == 0:
            return data[:at] + struct.pack(">I", stop - at) + data[at + 4 :]
        at = stop
    return data
