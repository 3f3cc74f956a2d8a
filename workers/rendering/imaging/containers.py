"""Sound pixels in an unsound file: what a browser passes over, taken out in memory so that the decoder passes too.

Pillow refuses a picture for its metadata: a checksum of a PNG's text, a JPEG's Photoshop resource that is cut short, an
Exif item of four bytes. Nothing of that is looked at by who only shows the picture. So where a file is refused, `mend`
returns it without those parts; what was stored, and its digest, stay those of the file as it came.

Promises: never raises; returns the very same object where there is nothing to mend, always for a sound file; mended
once is mended for good; no pixel, palette, profile or orientation that can be read is touched; the result is never
larger. Pure, and with bounds: nothing is inflated beyond what Pillow takes, and no more parts are looked at than a real
file has. Limits are not its business: what comes out goes through the gate like any other file.

A JPEG without its end marker is a matter of its own: only decoding tells whether its pixels are all there. `endings`
gives what to decode for that.
"""

from __future__ import annotations

import re
import struct
import zlib
from collections.abc import Callable, Iterator
from hashlib import shake_128
from typing import Final

MAX_PARTS: Final = 20_000
"""Chunks, segments, boxes or blocks that are looked at. A file of more is made to cost time, and left as it is."""

MAX_TEXT_BYTES: Final = 1024 * 1024
"""Of one text or profile, inflated: Pillow refuses more."""

MAX_TEXTS_BYTES: Final = 16 * MAX_TEXT_BYTES
"""Of all texts of a file; the rest is taken out uninflated."""


def mend(data: bytes) -> bytes:
    """The file without the broken parts that no browser minds; `data` itself where there are none."""
    for magic, at, how in _KINDS:
        if data[at : at + len(magic)] == magic:
            try:
                mended = how(data)
            except (struct.error, IndexError):  # cut within what matters
                return data
            return data if mended == data else mended
    return data


def _joined(data: bytes, drop: list[tuple[int, int]]) -> bytes:
    """`data` without these ranges, which ascend."""
    kept, at = [], 0
    for start, end in drop:
        kept.append(data[at:start])
        at = end
    return b"".join((*kept, data[at:])) if drop else data


# PNG: chunks of length, kind, content and checksum

_ANIMATION: Final = frozenset((b"acTL", b"fcTL", b"fdAT"))
_LENGTHS: Final = {b"gAMA": 4, b"cHRM": 32, b"sRGB": 1, b"cICP": 4, b"pHYs": 9, b"tIME": 7}
_TEXTS: Final = frozenset((b"tEXt", b"zTXt", b"iTXt"))


def _mend_png(data: bytes) -> bytes:
    chunks = list(_chunks(data))
    if len(chunks) >= MAX_PARTS or not any(kind == b"IDAT" for kind, _, _ in chunks):
        return data
    drop, texts_bytes = [], 0
    for kind, at, end in chunks:
        if not kind:
            drop.append((at, end))
        elif kind[:1].islower() and kind not in _ANIMATION:
            size = _size_if_sound(kind, data, at, end, MAX_TEXTS_BYTES - texts_bytes)
            texts_bytes += size or 0
            if size is None:
                drop.append((at, end))
    animation = [(at, end) for kind, at, end in chunks if kind in _ANIMATION]
    if animation and not _is_sound_animation(data, animation):
        drop = sorted({*drop, *animation})
    return _joined(data, drop)


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
    return zlib.crc32(data[at + 4 : end - 4]) == _u32(data, end - 4)


def _size_if_sound(kind: bytes, data: bytes, at: int, end: int, left: int) -> int | None:
    """Of a chunk that is not needed: the bytes of its text, inflated, or 0; None where something is wrong with it."""
    if not _has_checksum(data, at, end):
        return None
    content = data[at + 8 : end - 4]
    if kind in _TEXTS:
        return _text_size(kind, content, left)
    if kind == b"iCCP":
        name, _, profile = content.partition(b"\0")
        is_sound = 1 <= len(name) <= 79 and profile[:1] == b"\0" and bool(_inflated(profile[1:], MAX_TEXT_BYTES))
    elif kind == b"tRNS":
        is_sound = len(content) >= {0: 2, 2: 6, 3: 1}.get(data[25], 0)  # by colour type
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
        inflated = _inflated(text, most)
        if inflated is None:
            return None
        size = len(inflated)
    return size if keyword and size <= most else None


def _inflated(data: bytes, most: int) -> bytes | None:
    """What it inflates to; None where it does not, or to more than `most` bytes."""
    inflater = zlib.decompressobj()
    try:
        content = inflater.decompress(data, max(1, most))
    except zlib.error:
        return None
    return None if inflater.unconsumed_tail else content


def _is_sound_animation(data: bytes, chunks: list[tuple[int, int]]) -> bool:
    """Whether all says that it is one: else the picture stands alone, as its frames were meant to be left out."""
    width, height = struct.unpack_from(">II", data, 16)
    expected = 0
    for number, (at, end) in enumerate(chunks):
        kind, length = data[at + 4 : at + 8], end - at - 12
        if not _has_checksum(data, at, end):
            return False
        if (kind == b"acTL") != (number == 0) or length < (8 if kind == b"acTL" else 4):
            return False
        if kind == b"acTL":
            if not 1 <= _u32(data, at + 8) <= 0x80000000:
                return False
            continue
        if _u32(data, at + 8) != expected or (kind == b"fcTL" and length != 26):
            return False
        expected += 1
        if kind == b"fcTL":
            wide, high, left, top = struct.unpack_from(">IIII", data, at + 12)
            if not wide or not high or left + wide > width or top + high > height:
                return False
    return True


def _u32(data: bytes, at: int) -> int:
    value: int = struct.unpack_from(">I", data, at)[0]
    return value


# JPEG: segments of marker, length and content, then entropy-coded data between markers

_MARKER: Final = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_RESTART: Final = re.compile(rb"\xff[\xd0-\xd7]")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_FRAMES: Final = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_PROGRESSIVE: Final = frozenset((0xC2, 0xC6, 0xCA, 0xCE))


def _mend_jpeg(data: bytes) -> bytes:
    kept, at = [data[:2]], 2
    for marker, start, end in _segments(data):
        if marker == _SOS:
            return b"".join((*kept, data[at:]))
        gap, content = data[at:start], data[start + 4 : end]
        kept.append(b"" if b"\xff\x01" in gap else gap)
        if end > len(data):
            return data
        at = end
        if 0xE0 <= marker <= 0xEF:
            sound = _sound_application(marker, content)
            if sound is None:
                continue
            content = sound
        length = len(content) + 2
        kept.append(
            data[start : start + 2] + length.to_bytes(2, "big") + content if end > start + 4 else data[start:end]
        )
    return data


def _segments(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Marker, start and end of each segment, up to the end of the first picture, the marker of that (EOI) included."""
    at = 2
    for _ in range(MAX_PARTS):
        found = _MARKER.search(data, at)
        if found is None:
            return
        marker, start = found[1][0], found.start()
        is_bare = marker in (_SOI, _EOI)
        at = start + 2 if is_bare else start + 2 + max(2, struct.unpack_from(">H", data, start + 2)[0])
        yield marker, start, at
        if marker == _EOI:
            return


def _sound_application(marker: int, content: bytes) -> bytes | None:
    """What is to be kept of an APPn segment."""
    if marker == 0xE0 and content.startswith(b"JFIF"):
        return content if len(content) >= 14 else None
    if marker == 0xE1 and content.startswith(b"Exif\0\0"):
        return content if _is_sound_exif(content[6:]) else _bare_exif(content[6:])
    if marker == 0xE2 and content.startswith(b"ICC_PROFILE\0"):
        return content if len(content) > 14 else None
    if marker == 0xED and content.startswith(b"Photoshop 3.0\0"):
        return content if _are_sound_resources(content, 14) else None
    if marker == 0xEE and content.startswith(b"Adobe"):
        return content if len(content) >= 12 else None
    return content


def _are_sound_resources(content: bytes, at: int) -> bool:
    """Whether each of Photoshop's image resources is whole: 8BIM, code, name, size, content; all of even length."""
    while content[at : at + 4] == b"8BIM":
        at += 6
        if at >= len(content):
            return False
        at += (content[at] + 2) // 2 * 2
        if at + 4 > len(content):
            return False
        at += 4 + _u32(content, at)
        if at > len(content):
            return False
        at += at & 1
    return True


_EXIF_SIZES: Final = (0, 1, 1, 2, 4, 8, 1, 1, 2, 4, 8, 4, 8, 4)
"""Bytes of a value of each type."""
_ORIENTATION, _RESOLUTION = 0x0112, 0x011A


def _is_sound_exif(tiff: bytes) -> bool:
    """Whether its first directory is whole, with every value where it says, and a resolution that is a number."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 10:
        return False
    at = struct.unpack_from(f"{order}I", tiff, 4)[0]
    if at + 2 > len(tiff):
        return False
    count = struct.unpack_from(f"{order}H", tiff, at)[0]
    if at + 2 + 12 * count > len(tiff):
        return False
    for entry in range(at + 2, at + 2 + 12 * count, 12):
        tag, kind, values, where = struct.unpack_from(f"{order}HHII", tiff, entry)
        size = values * _EXIF_SIZES[kind] if 0 < kind < len(_EXIF_SIZES) else 0
        if not size or (size > 4 and where + size > len(tiff)):
            return False
        if tag == _RESOLUTION and (values != 1 or kind not in (3, 4, 5)):
            return False
    return True


def _bare_exif(tiff: bytes) -> bytes | None:
    """An Exif segment with nothing but the orientation, where that can be read."""
    order = {b"II*\0": "<", b"MM\0*": ">"}.get(tiff[:4])
    if order is None or len(tiff) < 22:
        return None
    at = struct.unpack_from(f"{order}I", tiff, 4)[0] + 2
    for entry in range(at, min(at + 12 * 100, len(tiff) - 11), 12):
        tag, kind, values, orientation = struct.unpack_from(f"{order}HHIH", tiff, entry)
        if (tag, kind, values) == (_ORIENTATION, 3, 1) and 1 <= orientation <= 8:
            return b"Exif\0\0" + tiff[:4] + struct.pack(f"{order}IHHHIHH", 8, 1, tag, kind, values, orientation, 0)
    return None


def endings(data: bytes) -> Iterator[bytes]:
    """Of a JPEG that lacks its end marker: the same, ended in different ways. None of one that cannot be whole.

    Whether it ends behind the last pixel, nothing in it says: a decoder that runs out of data fills up with grey. But
    what comes behind the last pixel has no influence, and what comes before it has. So it is whole if all of these
    decode to the same pixels; the first one then is the picture. A decoder that waits for a restart marker takes
    nothing before that: hence some have it.
    """
    try:
        segments = list(_segments(data)) if data[:2] == b"\xff\xd8" else []
        if any(marker == _EOI for marker, _, _ in segments) or not _are_scans_complete(data, segments):
            return
    except (struct.error, IndexError):
        return
    scan = data.rstrip(b"\xff")
    noise = [shake_128(bytes([number])).digest(128).replace(b"\xff", b"\xfe") for number in range(4)]
    restarts = _RESTART.findall(scan, segments[-1][2])
    restart = b"\xff" + bytes([0xD0 + (restarts[-1][1] + 1 - 0xD0) % 8 if restarts else 0xD0])
    tails = (b"", bytes(128), b"\xfe" * 128, *noise, *(restart + one for one in noise[:2]))
    for tail in tails:
        yield b"".join((scan, tail, b"\xff\xd9"))


def _are_scans_complete(data: bytes, segments: list[tuple[int, int, int]]) -> bool:
    """Whether the scans begun give every coefficient of every component to its last bit."""
    missing: dict[tuple[int, int], int] = {}
    progressive = False
    for marker, start, end in segments:
        if end > len(data):
            return False
        if marker in _FRAMES:
            progressive = marker in _PROGRESSIVE
            parts = range(start + 10, start + 10 + 3 * data[start + 9], 3)
            missing = {(data[part], at): 1 for part in parts for at in range(64)}
        elif marker == _SOS:
            count = data[start + 4]
            first, last, bits = struct.unpack_from("3B", data, start + 5 + 2 * count)
            span = range(first, last + 1) if progressive else range(64)
            for part in range(start + 5, start + 5 + 2 * count, 2):
                for at in span:
                    missing[data[part], at] = bits & 15 if progressive else 0
    return bool(missing) and not any(missing.values()) and segments[-1][0] == _SOS


# WebP: RIFF chunks of kind, length and content, padded to even


def _mend_webp(data: bytes) -> bytes:
    at, kept, has_pixels = 12, [], False
    for _ in range(MAX_PARTS):
        kind, length = struct.unpack_from("<4sI", data, at) if at + 8 <= len(data) else (b"", 0)
        end = at + 8 + length
        if not kind or end > len(data):
            break
        has_pixels = has_pixels or kind in (b"VP8 ", b"VP8L", b"ANMF")
        kept.append(data[at : end + (end & 1)])
        at = end + (end & 1)
    else:
        return data
    body = b"".join(kept)
    stated = 8 + struct.unpack_from("<I", data, 4)[0]
    if not has_pixels or stated <= len(data):
        return data
    kinds = {one[:4] for one in kept}
    if kept[0][:4] == b"VP8X":  # it says which of the optional chunks there are
        absent = (0x08 if b"EXIF" not in kinds else 0) | (0x04 if b"XMP " not in kinds else 0)
        body = body[:8] + bytes([body[8] & ~absent]) + body[9:]
    return data[:4] + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


# GIF: a logical screen, then blocks


def _mend_gif(data: bytes) -> bytes:
    """A screen without a side gets the first frame's, as in a browser."""
    width, height, flags = struct.unpack_from("<HHB", data, 6)
    if width and height:
        return data
    at = 13 + (3 << (flags & 7) + 1 if flags & 0x80 else 0)
    for _ in range(MAX_PARTS):
        if data[at] == 0x2C:
            sides = data[at + 5 : at + 9]
            return data[:6] + sides + data[10 : at + 1] + bytes(4) + data[at + 5 :]
        if data[at] != 0x21:
            break
        at += 2
        while data[at]:
            at += 1 + data[at]
        at += 1
    return data


# AVIF: boxes; the items are listed in meta/iinf


def _mend_avif(data: bytes) -> bytes:
    """Metadata that cannot be read is not looked for: its items get a kind that means nothing."""
    mended = bytearray(data)
    for meta, end in _boxes(data, 0, len(data), b"meta"):
        for iinf, stop in _boxes(data, meta + 4, end, b"iinf"):
            first = iinf + (6 if data[iinf] == 0 else 8)
            for infe, limit in _boxes(data, first, stop, b"infe"):
                at = infe + 4 + (4 if data[infe] == 2 else 6)
                if data[infe] >= 2 and at + 4 <= limit and data[at : at + 4] in (b"Exif", b"mime"):
                    mended[at : at + 4] = b"skip"
    return bytes(mended)


def _boxes(data: bytes, at: int, end: int, wanted: bytes) -> Iterator[tuple[int, int]]:
    """Start and end of the content of each box of that kind."""
    for _ in range(MAX_PARTS):
        if at + 8 > end:
            return
        size, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            size, body = struct.unpack_from(">Q", data, body)[0], at + 16
        stop = end if size == 0 else min(at + size, end)
        if stop < body:
            return
        if kind == wanted:
            yield body, stop
        at = stop


_KINDS: Final[tuple[tuple[bytes, int, Callable[[bytes], bytes]], ...]] = (
    (b"\x89PNG\r\n\x1a\n", 0, _mend_png),
    (b"\xff\xd8\xff", 0, _mend_jpeg),
    (b"WEBP", 8, _mend_webp),
    (b"GIF8", 0, _mend_gif),
    (b"ftyp", 4, _mend_avif),
)
