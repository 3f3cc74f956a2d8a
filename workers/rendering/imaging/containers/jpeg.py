"""JPEG: segments of marker, length and content, then entropy-coded data between markers."""

from __future__ import annotations

import re
import struct
from collections.abc import Callable, Iterator
from typing import Final

from workers.rendering.imaging.containers import exif
from workers.rendering.imaging.containers.parts import MAX_PARTS, u32

EOI, SOS = 0xD9, 0xDA
_SOI: Final = 0xD8
_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_APPLICATIONS: Final = range(0xE0, 0xF0)


def mend(data: bytes) -> bytes:
    kept, at = [data[:2]], 2
    for marker, start, end in segments(data):
        if marker == SOS:
            return b"".join((*kept, data[at:]))
        gap = data[at:start]
        kept.append(b"" if b"\xff\x01" in gap else gap)
        if end > len(data):
            return data
        at = end
        content: bytes | None = data[start + 4 : end]
        if content and marker in _APPLICATIONS:
            content = _sound_application(marker, content)
        if content is not None:
            kept.append(_segment(data[start : start + 2], content) if content else data[start:end])
    return data


def _segment(marker: bytes, content: bytes) -> bytes:
    return marker + (len(content) + 2).to_bytes(2, "big") + content


def segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment, up to the end of the first picture, the marker of that (EOI) included."""
    at = 2
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        marker, start = found[1][0], found.start()
        is_bare = marker in (_SOI, EOI)
        at = start + 2 if is_bare else start + 2 + max(2, struct.unpack_from(">H", data, start + 2)[0])
        yield marker, start, at
        if marker == EOI:
            return


def _sound_application(marker: int, content: bytes) -> bytes | None:
    """What is kept of an APPn segment; None: nothing."""
    for expected, name, sound in _KNOWN:
        if marker == expected and content.startswith(name):
            return sound(content)
    return content


def _of_at_least(size: int) -> Callable[[bytes], bytes | None]:
    return lambda content: content if len(content) >= size else None


def _sound_exif(content: bytes) -> bytes | None:
    tiff = content.removeprefix(exif.MARK)
    return content if exif.is_sound(tiff) else exif.orientation_alone(tiff)


def _sound_photoshop(content: bytes) -> bytes | None:
    return content if _are_sound_resources(content, len(_PHOTOSHOP)) else None


def _are_sound_resources(content: bytes, at: int) -> bool:
    """Whether each of Photoshop's image resources is whole: 8BIM, code, name, size, content; all of even length."""
    while content[at : at + 4] == b"8BIM":
        at += 6
        if at >= len(content):
            return False
        at += (content[at] + 2) // 2 * 2
        if at + 4 > len(content):
            return False
        at += 4 + u32(content, at)
        if at > len(content):
            return False
        at += at & 1
    return True


_PHOTOSHOP: Final = b"Photoshop 3.0\0"
_KNOWN: Final[tuple[tuple[int, bytes, Callable[[bytes], bytes | None]], ...]] = (
    (0xE0, b"JFIF", _of_at_least(14)),
    (0xE1, exif.MARK, _sound_exif),
    (0xE2, b"ICC_PROFILE\0", _of_at_least(15)),
    (0xED, _PHOTOSHOP, _sound_photoshop),
    (0xEE, b"Adobe", _of_at_least(12)),
)
"""The segments that Pillow reads: marker, how they begin, and what is kept of them."""
