"""PNG: cICP, sRGB, gAMA and cHRM; and tRNS, the transparent colour."""

from __future__ import annotations

import struct
from typing import Final, NamedTuple

from workers.rendering.imaging.colour import cicp, hdr, icc
from workers.rendering.imaging.colour.chromaticities import SRGB, Primaries, is_plausible
from workers.rendering.imaging.colour.hdr import Hdr, spread
from workers.rendering.imaging.containers import MAX_PARTS
from workers.rendering.imaging.containers.parts import MAX_PROFILE_BYTES, profile_of, u32
from workers.rendering.imaging.containers.png import LARGE_PROFILE

_WANTED: Final = frozenset(
    (b"cICP", b"sRGB", b"gAMA", b"cHRM", b"cLLI", b"tRNS", b"PLTE", b"iCCP", LARGE_PROFILE, b"eXIf")
)
_GREY, _RGB, _PALETTE = 0, 2, 3
"""Colour types of IHDR."""

_PROFILE_HEADER_BYTES: Final = 128

_SRGB_GAMMA: Final = 45_455
_SRGB_CHROMATICITIES: Final = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
_CLOSE: Final = 100
"""Tolerance in 100,000ths. Chromaticities that differ by less are the same: they are rounded in many ways."""


class ClearColour(NamedTuple):
    """The samples of the one colour that is clear, at the file's own depth: one (grey) or three; `bits` of each."""

    samples: tuple[int, ...]
    bits: int


def meaning(data: bytes, _: bytes | None) -> bytes | Hdr | None:
    """The profile that Pillow found may stand behind the pixels, or be the second one: it does not count."""
    chunks = _chunks(data)
    coded = _coded(chunks)
    if coded is not None:
        return coded
    profile = _profile(chunks)
    if b"sRGB" in chunks or (profile and _is_whole(profile)):
        return profile
    return _measured(chunks) or profile


def exif(data: bytes) -> bytes:
    """The Exif before the pixels; empty where there is none."""
    return _chunks(data).get(b"eXIf", b"")


def _profile(chunks: dict[bytes, bytes]) -> bytes | None:
    """The first one, inflated; None where that can't be."""
    first = next((kind for kind in chunks if kind in (b"iCCP", LARGE_PROFILE)), None)
    return None if first is None else profile_of(chunks[first], MAX_PROFILE_BYTES)


def _is_whole(profile: bytes) -> bool:
    """Whether it has all its bytes. One of another kind than the picture is passed over later: gAMA is then, too."""
    return len(profile) > _PROFILE_HEADER_BYTES and u32(profile, 0) <= len(profile) and profile[36:40] == b"acsp"


def key(data: bytes) -> ClearColour | None:
    """The transparent colour of a grey or RGB picture; None where there is none. As in browsers, samples of up to 8
    bits are the low byte.
    """
    bits, count = data[24], {_GREY: 1, _RGB: 3}.get(data[25], 0)
    content = _chunks(data).get(b"tRNS", b"") if count else b""
    if not count or len(content) < 2 * count:
        return None
    samples = struct.unpack_from(f">{count}H", content)
    return ClearColour(samples if bits == 16 else tuple(one & 0xFF for one in samples), bits)


def has_palette_alpha(data: bytes) -> bool:
    """Whether there are alphas of a palette, in their place: those that stand before it count for nothing."""
    order = list(_chunks(data)) if data[25] == _PALETTE else []
    return b"tRNS" in order and b"PLTE" in order and order.index(b"PLTE") < order.index(b"tRNS")


def _chunks(data: bytes) -> dict[bytes, bytes]:
    """The first of each kind that stands before the pixels, in their order."""
    found: dict[bytes, bytes] = {}
    at = 8
    for _ in range(MAX_PARTS):
        length, kind = struct.unpack_from(">I4s", data, at)
        if kind in (b"IDAT", b"IEND"):
            break
        if kind in _WANTED and kind not in found:
            found[kind] = data[at + 8 : at + 8 + length]
        at += 12 + length
    return found


def _coded(chunks: dict[bytes, bytes]) -> bytes | Hdr | None:
    """The colours that cICP names; None if nothing known. Its matrix must be 0: a PNG holds RGB."""
    if len(chunks.get(b"cICP", b"")) != 4:
        return None
    code, transfer, matrix, full = chunks[b"cICP"]
    primaries = cicp.PRIMARIES.get(code)
    if primaries is None or matrix != 0 or full > 1:
        return None
    if transfer in (cicp.PQ, cicp.HLG):
        light = chunks.get(b"cLLI", b"")
        brightest = struct.unpack_from(">I", light)[0] / 10_000 if len(light) == 8 else 0
        return hdr.of(primaries, transfer, brightest, narrow=not full)
    curve = cicp.CURVES.get(transfer)
    return None if curve is None else icc.profile(primaries, spread(curve, narrow=not full))


def _measured(chunks: dict[bytes, bytes]) -> bytes | None:
    """The colours by gAMA and cHRM. None without gAMA, with a gAMA of 0, or with impossible primaries."""
    gamma = struct.unpack_from(">I", chunks[b"gAMA"])[0] if b"gAMA" in chunks else 0
    if not gamma:
        return None
    primaries = SRGB
    if b"cHRM" in chunks:
        values = struct.unpack_from(">8I", chunks[b"cHRM"])
        if any(abs(one - other) > _CLOSE for one, other in zip(values, _SRGB_CHROMATICITIES, strict=True)):
            white, *points = ((x / 100_000, y / 100_000) for x, y in zip(values[::2], values[1::2], strict=True))
            primaries = Primaries(points[0], points[1], points[2], white)
    if primaries == SRGB and abs(gamma - _SRGB_GAMMA) <= _CLOSE:
        return None  # which is how old programs write sRGB
    return icc.profile(primaries, cicp.power(100_000 / gamma)) if is_plausible(primaries) else None
