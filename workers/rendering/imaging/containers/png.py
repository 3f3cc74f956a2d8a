"""PNG: chunks of length, kind, content and checksum."""

from __future__ import annotations

import struct
import zlib
from collections.abc import Iterator
from typing import Final

from workers.rendering.imaging.containers import png_pixels
from workers.rendering.imaging.containers.parts import (
    MAX_PARTS,
    MAX_PROFILE_BYTES,
    MAX_TEXT_BYTES,
    MAX_TEXTS_BYTES,
    inflated,
    profile_of,
    u32,
    without,
)

_ANIMATION: Final = frozenset((b"acTL", b"fcTL", b"fdAT"))
_LENGTHS: Final = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9, b"tIME": 7}
_TEXTS: Final = frozenset((b"tEXt", b"zTXt", b"iTXt"))

_TRANSPARENCY_BYTES: Final = {0: 2, 2: 6, 3: 1}
"""How long a tRNS chunk is at least, by colour type."""

LARGE_PROFILE: Final = b"iCCp"
"""The kind that a chunk iCCP gets which Pillow refuses for its size: only `colour.png` knows it."""

_LEAST_BYTES: Final = {b"acTL": 8, b"fcTL": 26, b"fdAT": 4}
_MOST_FRAMES: Final = 0x80000000


def mend(data: bytes) -> bytes:
    chunks = list(_chunks(data))
    if len(chunks) >= MAX_PARTS or not any(kind == b"IDAT" for kind, _, _ in chunks):
        return data
    drop, texts_bytes, large = [], 0, []
    for kind, at, end in chunks:
        if not kind:
            drop.append((at, end))
        elif kind[:1].islower() and kind not in _ANIMATION:
            size = _size_if_sound(kind, data, at, end, MAX_TEXTS_BYTES - texts_bytes)
            texts_bytes += size or 0
            if size is None:
                drop.append((at, end))
            elif kind == b"iCCP" and profile_of(data[at + 8 : end - 4], MAX_TEXT_BYTES) is None:
                large.append((at, end))
    animation = [(at, end) for kind, at, end in chunks if kind in _ANIMATION]
    if animation and not _is_sound_animation(data, animation):
        drop = sorted({*drop, *animation})
    return _with_checksum_of_pixels(without(_with_large_profiles(data, large), drop))


def _with_large_profiles(data: bytes, large: list[tuple[int, int]]) -> bytes:
    parts, start = [], 0
    for at, end in large:
        chunk = LARGE_PROFILE + data[at + 8 : end - 4]
        parts += [data[start : at + 4], chunk, zlib.crc32(chunk).to_bytes(4, "big")]
        start = end
    return b"".join((*parts, data[start:])) if parts else data


def _with_checksum_of_pixels(data: bytes) -> bytes:
    """Decoders compare the checksum behind the pixels; browsers show a picture whose rows are all there."""
    idats = _idats(data)
    stream = png_pixels.with_its_checksum(data, idats)
    if stream is None:
        return data
    start, end = idats[0]
    chunk = b"IDAT" + stream
    rest = without(data, [(0, end), *idats[1:]])
    return b"".join((data[:start], len(stream).to_bytes(4, "big"), chunk, zlib.crc32(chunk).to_bytes(4, "big"), rest))


def lacks_rows(data: bytes) -> bool:
    """Whether the pixels end before the last row, though nothing else is wrong with them."""
    try:
        return not png_pixels.are_all_there(data, _idats(data))
    except (struct.error, IndexError):
        return False


def _idats(data: bytes) -> list[tuple[int, int]]:
    return [(at, end) for kind, at, end in _chunks(data) if kind == b"IDAT"]


def _chunks(data: bytes) -> Iterator[tuple[bytes, int, int]]:
    """Kind, start and end of each chunk before the end; what is cut or garbage behind the pixels has the kind b""."""
    at, has_pixels = 8, False
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, at) if at + 8 <= len(data) else (0, b"")
        end = at + 12 + length
        if kind == b"IEND":
            return
        has_pixels = has_pixels or kind == b"IDAT"
        if kind != b"IDAT" and (not kind.isalpha() or end > len(data)):
            if has_pixels and at < len(data):
                yield b"", at, len(data)
            return
        yield kind, at, end
        at = end


def _has_checksum(data: bytes, at: int, end: int) -> bool:
    return zlib.crc32(data[at + 4 : end - 4]) == u32(data, end - 4)


def _size_if_sound(kind: bytes, data: bytes, at: int, end: int, left: int) -> int | None:
    """The bytes of an ancillary chunk's text, inflated, or 0 if it has none. None if something is wrong with it."""
    if not _has_checksum(data, at, end):
        return None
    content = data[at + 8 : end - 4]
    if kind in _TEXTS:
        return _text_size(kind, content, left)
    if kind == b"iCCP":
        is_sound = bool(profile_of(content, MAX_PROFILE_BYTES))
    elif kind == b"tRNS":
        is_sound = len(content) >= _TRANSPARENCY_BYTES.get(data[25], 0)
    else:
        is_sound = len(content) == _LENGTHS.get(kind, len(content))
    return 0 if is_sound else None


def _text_size(kind: bytes, content: bytes, left: int) -> int | None:
    """The text's bytes, inflated; None where it has no right form or more than `left` or MAX_TEXT_BYTES."""
    keyword, _, text = content.partition(b"\0")
    is_packed = kind == b"zTXt"
    if kind == b"iTXt":
        is_packed = text[:2] == b"\1\0"
        text = text[2:].split(b"\0", 2)[-1] if text[:1] == b"\1" else text
    elif is_packed:
        if text[:1] != b"\0":
            return None
        text = text[1:]
    most = min(left, MAX_TEXT_BYTES)
    size = len(text)
    if is_packed:
        unpacked = inflated(text, most)
        if unpacked is None:
            return None
        size = len(unpacked)
    return size if keyword and size <= most else None


def _is_sound_animation(data: bytes, chunks: list[tuple[int, int]]) -> bool:
    """Whether every chunk of the animation agrees that it is one; else the picture stands alone, without its frames."""
    (first, _), *frames = chunks
    if not all(_has_checksum(data, at, end) and _is_long_enough(data, at, end) for at, end in chunks):
        return False
    if data[first + 4 : first + 8] != b"acTL" or not 1 <= u32(data, first + 8) <= _MOST_FRAMES:
        return False
    sides = struct.unpack_from(">II", data, 16)
    return all(_is_sound_frame(data, at, number, sides) for number, (at, _) in enumerate(frames))


def _is_long_enough(data: bytes, at: int, end: int) -> bool:
    kind, length = data[at + 4 : at + 8], end - at - 12
    return length == _LEAST_BYTES[kind] if kind == b"fcTL" else length >= _LEAST_BYTES[kind]


def _is_sound_frame(data: bytes, at: int, number: int, sides: tuple[int, int]) -> bool:
    """Whether a frame's chunk is in its place, by its number, and lies within the picture."""
    kind = data[at + 4 : at + 8]
    if kind == b"acTL" or u32(data, at + 8) != number:
        return False
    if kind == b"fdAT":
        return True
    wide, high, left, top = struct.unpack_from(">IIII", data, at + 12)
    return bool(wide and high) and left + wide <= sides[0] and top + high <= sides[1]
