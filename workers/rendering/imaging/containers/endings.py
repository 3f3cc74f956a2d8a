"""A JPEG without its end marker: whether it is whole, and what to decode to find out."""

from __future__ import annotations

import re
import struct
from collections.abc import Iterator
from hashlib import shake_128
from typing import Final

from workers.rendering.imaging.containers.jpeg import EOI, SOS, segments

_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset((0xC2, 0xC6, 0xCA, 0xCE))


def endings(data: bytes) -> Iterator[bytes]:
    """A JPEG that lacks its end marker, ended in different ways. Nothing if it cannot be whole.

    Whether it ends behind the last pixel, nothing in it says: a decoder that runs out of data fills up with grey. But
    what comes behind the last pixel has no influence, and what comes before it has. So it is whole if all of these
    decode to the same pixels; the first one then is the picture. A decoder that waits for a restart marker takes
    nothing before that: hence some have it.
    """
    try:
        found = list(segments(data)) if data[:2] == b"\xff\xd8" else []
        if any(marker == EOI for marker, _, _ in found) or not _are_scans_complete(data, found):
            return
    except (struct.error, IndexError):
        return
    scan = data.rstrip(b"\xff")
    noise = [shake_128(bytes([number])).digest(128).replace(b"\xff", b"\xfe") for number in range(4)]
    restarts = _RESTART.findall(scan, found[-1][2])
    restart = b"\xff" + bytes([0xD0 + (restarts[-1][1] + 1 - 0xD0) % 8 if restarts else 0xD0])
    tails = (b"", bytes(128), b"\xfe" * 128, *noise, *(restart + one for one in noise[:2]))
    for tail in tails:
        yield b"".join((scan, tail, b"\xff\xd9"))


def _are_scans_complete(data: bytes, found: list[tuple[int, int, int]]) -> bool:
    """Whether the scans begun give every coefficient of every component to its last bit."""
    missing: dict[tuple[int, int], int] = {}
    progressive = False
    for marker, start, end in found:
        if end > len(data):
            return False
        if marker in _FRAMES:
            progressive = marker in _PROGRESSIVE
            parts = range(start + 10, start + 10 + 3 * data[start + 9], 3)
            missing = {(data[part], at): 1 for part in parts for at in range(64)}
        elif marker == SOS:
            count = data[start + 4]
            first, last, bits = struct.unpack_from("3B", data, start + 5 + 2 * count)
            span = range(first, last + 1) if progressive else range(64)
            for part in range(start + 5, start + 5 + 2 * count, 2):
                for at in span:
                    missing[data[part], at] = bits & 15 if progressive else 0
    return bool(missing) and not any(missing.values()) and found[-1][0] == SOS
