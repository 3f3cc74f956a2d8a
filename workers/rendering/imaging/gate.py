"""The gate in front of the decoders: what a file claims to be, read from its header by the standard library
alone.

Promises: no picture is decoded, and no byte allocated in its claimed size, before its bytes, format, sides,
pixels and JPEG scans are known to be within the limits. The claims are parsed here because opening is already
too late for WebP: libwebp allocates two whole canvases at `Image.open`, so that 34 bytes claiming 13000² cost
2.6 GB.

Left to others: whether the rest of the file keeps to its claims (the decoder, workers.rendering.imaging.codec), and
what a lying stream costs meanwhile (the worker's memory cap and the pool's job deadline).
"""

from __future__ import annotations

import os
import re
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

FORMATS: tuple[str, ...] = ("JPEG", "PNG", "WEBP", "AVIF", "GIF")
"""Pillow's names of the formats taken. MPO, JPEG with further pictures behind it, is taken as JPEG."""

MAX_JPEG_SEGMENTS = 5_000
"""Header segments of a JPEG. 50 MB in full segments are 800, so more are tiny ones, made to cost time."""

MAX_JPEG_PADDING_BYTES = 65_536
"""Fill bytes before a JPEG header segment. Pillow reads them one by one: 16 MB of 0xFF took it 4 to 6 s."""

MAX_FTYP_BYTES = 65_536
"""Of the list of brands with which an AVIF begins. Real ones have a dozen."""

_NAMES = "JPEG, PNG, WebP, AVIF, GIF"
_TAKEN = ((b"\xff\xd8\xff", "JPEG"), (b"\x89PNG\r\n\x1a\n", "PNG"), (b"GIF87a", "GIF"), (b"GIF89a", "GIF"))
_OTHER_PICTURES = (
    (b"II*\x00", "TIFF"),
    (b"MM\x00*", "TIFF"),
    (b"BM", "BMP"),
    (b"8BPS", "PSD"),
    (b"\x00\x00\x01\x00", "ICO"),
    (b"\xff\x0a", "JPEG XL"),
    (b"\x00\x00\x00\x0cJXL ", "JPEG XL"),
    (b"\x00\x00\x00\x0cjP  ", "JPEG 2000"),
)
_NO_PICTURES = (
    (b"%PDF", "PDF"),
    (b"PK\x03\x04", "ZIP"),
    (b"\x1f\x8b", "gzip"),
    (b"\x1aE\xdf\xa3", "Matroska or WebM"),
    (b"OggS", "Ogg"),
    (b"<!DOCTYPE", "HTML"),
    (b"<html", "HTML"),
)
_HEIF_BRANDS = (b"heic", b"heix", b"heim", b"heis", b"hevc", b"hevx", b"mif1", b"msf1")

# A marker that carries a segment. 00 is a stuffed byte, FF is fill, 01 and D0 to D7 stand alone. One FF only:
# a run of them is then searched in linear time.
_JPEG_MARKER = re.compile(rb"\xff([^\x00\x01\xd0-\xd7\xff])")
_SOI, _EOI, _SOS = 0xD8, 0xD9, 0xDA
_SOF = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}

# The boxes of an AVIF that lead to the sizes, with the bytes before their children.
_AVIF_CONTAINERS = {b"meta": 4, b"iprp": 0, b"ipco": 0, b"moov": 0, b"trak": 0}
_AVIF_DEPTH = 3


class BadPicture(Exception):
    """A verdict on the picture itself: every retry ends the same. `str()` is the reason, for the dead
    letters."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What is taken: a file of at most `max_bytes`, sides of `max_dimension` px, `max_pixels` in all.

    `max_scans`: real JPEGs have at most 20; 5,000 scans in 50 KB cost over 10 s.
    """

    max_bytes: int
    max_dimension: int
    max_pixels: int
    max_scans: int = 100


@dataclass(frozen=True, slots=True)
class Header:
    """What a picture claims: a format of FORMATS, and its sides in px as stored, before orientation."""

    format: str
    width: int
    height: int


def inspect(path: Path, limits: Limits) -> Header:
    """Pass the file at `path` or raise BadPicture. OSError (FileNotFoundError among them) comes through."""
    return check(read(path, limits), limits)


def read(path: Path, limits: Limits) -> bytes:
    """Return the whole file, or raise BadPicture before reading when it is empty or too large."""
    with path.open("rb") as file:
        size = os.fstat(file.fileno()).st_size
        if size == 0:
            raise BadPicture("empty file")
        if size > limits.max_bytes:
            raise BadPicture(f"too large: {size:,} bytes, at most {limits.max_bytes:,} (MAX_IMAGE_SIZE_BYTES)")
        return file.read(size)


def check(data: bytes, limits: Limits) -> Header:
    """Return the header of the picture in `data`; raise BadPicture when it breaks the limits or has none."""
    kind = sniff(data)
    try:
        sizes = list(_CLAIMS[kind](data))
        if kind == "JPEG":
            _check_scans(data, limits.max_scans)
    except (struct.error, IndexError) as error:
        raise BadPicture(f"truncated: the {kind} header ends after {len(data):,} bytes") from error
    if not sizes:
        raise BadPicture(f"damaged: the {kind} header states no size")
    for width, height in sizes:
        check_size(width, height, limits)
    if kind == "WEBP" and (stated := 8 + struct.unpack_from("<I", data, 4)[0]) > len(data):
        raise BadPicture(f"truncated: a WebP of {stated:,} bytes by its header has {len(data):,}")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Header(kind, width, height)


def check_size(width: int, height: int, limits: Limits) -> None:
    """Raise BadPicture when sides in px are beyond the limits. Used again on what the opened file says."""
    if width < 1 or height < 1:
        raise BadPicture(f"damaged: a picture of {width}×{height} pixels")
    if max(width, height) > limits.max_dimension:
        raise BadPicture(
            f"too large: {width}×{height} pixels, at most {limits.max_dimension} a side (MAX_IMAGE_DIMENSION)"
        )
    if width * height > limits.max_pixels:
        raise BadPicture(f"too many pixels: {width}×{height} are {width * height:,}, at most {limits.max_pixels:,}")


def sniff(data: bytes) -> str:
    """Return which of FORMATS `data` is by its first bytes, or raise BadPicture naming what it is instead."""
    if not data:
        raise BadPicture("empty file")
    for magic, name in _TAKEN:
        if data.startswith(magic):
            return name
    if data[:4] == b"RIFF" and data[8:12] == b"WEBP":
        return "WEBP"
    if data[4:8] == b"ftyp":
        return _sniff_ftyp(data)
    for magic, name in _OTHER_PICTURES:
        if data.startswith(magic):
            raise _unknown(name)
    if b"<svg" in data[:1024]:
        raise _unknown("SVG")
    raise _no_picture(data, next((name for magic, name in _NO_PICTURES if data.startswith(magic)), ""))


def _sniff_ftyp(data: bytes) -> str:
    """AVIF, HEIC and MP4 share the container: the brands, the major one first, tell them apart."""
    box = data[8 : min(struct.unpack_from(">I", data)[0], MAX_FTYP_BYTES)]
    brands = [box[at : at + 4] for at in range(0, len(box), 4)]
    if b"avif" in brands or b"avis" in brands:
        return "AVIF"
    if any(brand in _HEIF_BRANDS for brand in brands):
        raise _unknown("HEIC")
    raise _no_picture(data, "MP4 or QuickTime")


def _unknown(name: str) -> BadPicture:
    return BadPicture(f"unknown format: {name}; taken are {_NAMES}")


def _no_picture(data: bytes, name: str) -> BadPicture:
    return BadPicture(f"not a picture: starts with {data[:4].hex(' ').upper()}" + (f" ({name})" if name else ""))


def _png_size(data: bytes) -> Iterator[tuple[int, int]]:
    if data[12:16] == b"IHDR":
        yield struct.unpack_from(">II", data, 16)


def _gif_size(data: bytes) -> Iterator[tuple[int, int]]:
    """The canvas; a first frame beyond it makes it larger, which shows only once the file is open."""
    yield struct.unpack_from("<HH", data, 6)


def _webp_size(data: bytes) -> Iterator[tuple[int, int]]:
    """The first chunk states it: 24 bits less one in the extended form, 14 bits in the two simple ones."""
    chunk = data[12:16]
    if chunk == b"VP8X":
        sides = struct.unpack_from("<4H", data[24:30] + b"\x00\x00")
        yield 1 + sides[0] + ((sides[1] & 0xFF) << 16), 1 + (sides[1] >> 8) + (sides[2] << 8)
    elif chunk == b"VP8L":
        bits: int = struct.unpack_from("<I", data, 21)[0]
        yield 1 + (bits & 0x3FFF), 1 + (bits >> 14 & 0x3FFF)
    elif chunk == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        yield width & 0x3FFF, height & 0x3FFF


def _avif_sizes(data: bytes) -> Iterator[tuple[int, int]]:
    """Every stated size: of the picture, its alpha plane, the tiles of a grid, the tracks of a film."""
    return _box_sizes(data, 0, len(data), 0)


def _box_sizes(data: bytes, at: int, end: int, depth: int) -> Iterator[tuple[int, int]]:
    while at + 8 <= end:
        size, kind = struct.unpack_from(">I4s", data, at)
        body = at + 8
        if size == 1:
            size, body = struct.unpack_from(">Q", data, body)[0], at + 16
        stop = end if size == 0 else min(at + size, end)
        if stop < body:
            return
        if kind in _AVIF_CONTAINERS and depth < _AVIF_DEPTH:
            yield from _box_sizes(data, body + _AVIF_CONTAINERS[kind], stop, depth + 1)
        elif kind == b"ispe":
            yield struct.unpack_from(">II", data, body + 4)
        elif kind == b"tkhd" and stop - body >= 8:  # 16.16 fixed point, the last two fields
            width, height = struct.unpack_from(">II", data, stop - 8)
            if width or height:  # a sound track has neither
                yield width >> 16, height >> 16
        at = stop


def _jpeg_size(data: bytes) -> Iterator[tuple[int, int]]:
    """The frame headers before the first scan: libjpeg takes the first of them, Pillow the last."""
    for marker, at in _jpeg_segments(data):
        if marker == _SOS:
            return
        if marker in _SOF:
            bits, height, width = struct.unpack_from(">BHH", data, at + 4)
            if bits != 8:
                raise BadPicture(f"unknown format: a JPEG of {bits} bits a sample; taken are those of 8")
            yield width, height


def _check_scans(data: bytes, max_scans: int) -> None:
    scans = 0
    for marker, _ in _jpeg_segments(data):
        scans += marker == _SOS
        if scans > max_scans:
            raise BadPicture(f"too many JPEG scans: more than {max_scans}, so it is made to cost time")


def _jpeg_segments(data: bytes) -> Iterator[tuple[int, int]]:
    """Yield (marker, offset) of each segment up to the end of the first picture.

    Segments are stepped over, not searched: an FF DA in a thumbnail, a colour profile or the film behind a
    motion photo is no scan. Raises BadPicture when there are too many of them or too much padding before one.
    """
    at, in_header = 2, True
    for _ in range(MAX_JPEG_SEGMENTS):
        found = _JPEG_MARKER.search(data, at)
        if found is None or found[1][0] == _EOI:
            return
        start, marker = found.start(), found[1][0]
        if in_header and start - at > MAX_JPEG_PADDING_BYTES:
            raise BadPicture(f"damaged: {start - at:,} bytes of padding in a JPEG header")
        yield marker, start
        in_header = in_header and marker != _SOS
        at = start + 2 if marker == _SOI else start + 2 + struct.unpack_from(">H", data, start + 2)[0]
    raise BadPicture(f"damaged: more than {MAX_JPEG_SEGMENTS:,} JPEG segments")


_CLAIMS = {"JPEG": _jpeg_size, "PNG": _png_size, "WEBP": _webp_size, "AVIF": _avif_sizes, "GIF": _gif_size}
