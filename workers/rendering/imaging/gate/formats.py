"""The format of a file, by its first bytes."""

from __future__ import annotations

import struct

from workers.rendering.imaging.gate.limits import BadPicture

MAX_FTYP_BYTES = 65_536
"""Largest list of brands at the beginning of an AVIF, in bytes. Real ones have a dozen brands."""

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
