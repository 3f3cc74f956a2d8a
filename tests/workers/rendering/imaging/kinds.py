"""Pictures of every kind whose file says something of its own about colour, clearness, canvas or orientation.

Each is made by code, with what is to be seen at some points. That is what Chromium 150 showed there; where ours differs
on purpose, `why` says so. `benchmarks/run kinds` asks Chromium, libvips and libavif again.
"""

from __future__ import annotations

import struct
import zlib
from base64 import b85decode
from collections.abc import Callable
from typing import Any, Final, NamedTuple

import pillow_avif  # noqa: F401  registers AVIF
from PIL import Image

from tests.workers.rendering.imaging.test_codec import chunk, encoded, grey_profile, p3_profile, png, quarters
from workers.rendering.imaging import BadPicture, Ladder, Limits
from workers.rendering.imaging.codec.decoder import open_picture
from workers.rendering.imaging.codec.mending import mended
from workers.rendering.imaging.codec.pillow import strict_pillow
from workers.rendering.imaging.containers.avif import boxes

Colour = tuple[int, ...]
LEFT, RIGHT = (0.25, 0.5), (0.75, 0.5)


class Kind(NamedTuple):
    """`sees`: at a point (fractions of the sides), red, green, blue and alpha. `why`: how browsers differ, and why."""

    data: bytes
    sees: dict[tuple[float, float], Colour]
    size: tuple[int, int] = (16, 8)
    within: int = 4
    why: str = ""


def opaque(*colour: int) -> Colour:
    return (*colour * (3 // len(colour)), 255)


CLEAR: Final = (0, 0, 0, 0)


# PNG


def halves(bits: int, kind: int, left: Colour, right: Colour, *before: bytes, lace: bool = False) -> bytes:
    """16×8 pixels: the left half of one colour, the right half of another, with chunks before the pixels."""
    row = "".join(format(value, f"0{bits}b") for pixel in [left] * 8 + [right] * 8 for value in pixel)
    rows = (b"\0" + int(row, 2).to_bytes(len(row) // 8, "big")) * 8
    return png((16, 8), bits, kind, rows, b"".join(before))


def key(*values: int) -> bytes:
    return chunk(b"tRNS", struct.pack(f">{len(values)}H", *values))


def gamma(value: int) -> bytes:
    return chunk(b"gAMA", struct.pack(">I", value))


def primaries(*values: int) -> bytes:
    return chunk(b"cHRM", struct.pack(">8I", *values))


def cicp(code: int, transfer: int, matrix: int = 0, full: int = 1) -> bytes:
    return chunk(b"cICP", bytes((code, transfer, matrix, full)))


P3: Final = (31270, 32900, 68000, 32000, 26500, 69000, 15000, 6000)
SRGB: Final = (31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000)
A, B = (200, 100, 40), (60, 120, 180)


def iccp(profile: bytes, more: bytes = b"") -> bytes:
    """The chunk of a profile, which may have more bytes in the end."""
    if more:
        profile = struct.pack(">I", len(profile) + len(more)) + profile[4:] + more
    return chunk(b"iCCP", b"x\0\0" + zlib.compress(profile))


ICCP: Final = iccp(p3_profile())
SRGB_CHUNK: Final = chunk(b"sRGB", b"\0")
PALETTE: Final = chunk(b"PLTE", bytes((*A, *B)))


def keyed() -> dict[str, Kind]:
    found = {}
    for bits, clear, other in ((1, 0, 1), (2, 1, 3), (4, 5, 15), (8, 5, 15), (16, 0x8001, 0x8002)):
        most = (1 << bits) - 1
        shown = opaque(round(other * 255 / most))
        sees = {LEFT: CLEAR, RIGHT: shown}
        found[f"png key of {bits}-bit grey"] = Kind(halves(bits, 0, (clear,), (other,), key(clear)), sees)
        found[f"png key of {bits}-bit grey, the other"] = Kind(
            halves(bits, 0, (other,), (clear,), key(clear)), {LEFT: shown, RIGHT: CLEAR}
        )
        beyond = clear + most + 1
        if bits < 8:
            sees = {LEFT: opaque(round(clear * 255 / most)), RIGHT: shown}
            found[f"png key beyond {bits}-bit grey"] = Kind(halves(bits, 0, (clear,), (other,), key(beyond)), sees)
    found["png key beyond 8-bit grey"] = Kind(halves(8, 0, (5,), (15,), key(0x105)), {LEFT: CLEAR, RIGHT: opaque(15)})
    found["png key of 16-bit grey, white"] = Kind(
        halves(16, 0, (0x8080,), (0xFFFF,), key(0xFFFF)), {LEFT: opaque(128), RIGHT: CLEAR}
    )
    found["png key of 8-bit RGB"] = Kind(
        halves(8, 2, (1, 2, 3), (1, 2, 9), key(1, 2, 3)), {LEFT: CLEAR, RIGHT: opaque(1, 2, 9)}
    )
    for at in range(3):
        near = [0x8001, 0x4002, 0xC003]
        near[at] ^= 1
        found[f"png key of 16-bit RGB, but for a low bit of sample {at}"] = Kind(
            halves(16, 2, (0x8001, 0x4002, 0xC003), tuple(near), key(0x8001, 0x4002, 0xC003)),
            {LEFT: CLEAR, RIGHT: opaque(128, 64, 192)},
        )
    found["png key too short"] = Kind(halves(8, 2, A, B, key(200, 100)), {LEFT: opaque(*A), RIGHT: opaque(*B)})
    found["png key beside alpha"] = Kind(halves(8, 4, (5, 255), (9, 255), key(5)), {LEFT: opaque(5), RIGHT: opaque(9)})
    late = halves(8, 0, (5,), (99,))
    found["png key behind the pixels"] = Kind(late[:-12] + key(5) + late[-12:], {LEFT: opaque(5), RIGHT: opaque(99)})
    alphas = chunk(b"tRNS", b"\x80")
    for bits in (1, 2, 4, 8):
        found[f"png alpha of a palette of {bits} bits"] = Kind(
            halves(bits, 3, (0,), (1,), PALETTE, alphas), {LEFT: (*A, 128), RIGHT: opaque(*B)}
        )
    found["png alpha before its palette"] = Kind(
        halves(8, 3, (0,), (1,), alphas, PALETTE), {LEFT: opaque(*A), RIGHT: opaque(*B)}
    )
    found["png more alphas than colours"] = Kind(
        halves(8, 3, (0,), (1,), PALETTE, chunk(b"tRNS", b"\x80\xff\0\0")), {LEFT: (*A, 128), RIGHT: opaque(*B)}
    )
    found["png key and gamma"] = Kind(
        halves(8, 0, (40,), (100,), gamma(100_000), key(40)), {LEFT: CLEAR, RIGHT: opaque(168)}
    )
    return found


def measured() -> dict[str, Kind]:
    bright_a, bright_b = opaque(229, 168, 110), opaque(132, 180, 218)
    linear = {LEFT: bright_a, RIGHT: bright_b}
    plain = {LEFT: opaque(*A), RIGHT: opaque(*B)}

    def rgb(*before: bytes) -> bytes:
        return halves(8, 2, A, B, *before)

    wide = tuple(value * 257 for value in A), tuple(value * 257 for value in B)
    return {
        "png gamma 1": Kind(rgb(gamma(100_000)), linear),
        "png gamma 1 of 16 bits": Kind(halves(16, 2, *wide, gamma(100_000)), linear),
        "png gamma 1 of a palette": Kind(halves(2, 3, (0,), (1,), gamma(100_000), PALETTE), linear),
        "png gamma 1 of grey": Kind(
            halves(8, 0, (40,), (100,), gamma(100_000)), {LEFT: opaque(110), RIGHT: opaque(168)}
        ),
        "png gamma 1 of 4-bit grey": Kind(
            halves(4, 0, (2,), (6,), gamma(100_000)), {LEFT: opaque(102), RIGHT: opaque(170)}
        ),
        "png gamma 1 of 16-bit grey": Kind(
            halves(16, 0, (40 * 257,), (100 * 257,), gamma(100_000)), {LEFT: opaque(110), RIGHT: opaque(168)}
        ),
        "png gamma 1 of grey with alpha": Kind(
            halves(8, 4, (40, 255), (100, 200), gamma(100_000)), {LEFT: opaque(110), RIGHT: (168, 168, 168, 200)}
        ),
        "png gamma 1 of RGB with alpha": Kind(
            halves(8, 6, (*A, 255), (*B, 200), gamma(100_000)), {LEFT: bright_a, RIGHT: (*bright_b[:3], 200)}
        ),
        "png gamma 1/2.2": Kind(rgb(gamma(45_455)), plain),
        "png gamma 0.6": Kind(rgb(gamma(60_000)), {LEFT: opaque(213, 126, 60)}),
        "png gamma 0.1": Kind(rgb(gamma(10_000)), {LEFT: opaque(84, 0, 0)}),
        "png gamma 0.00001": Kind(rgb(gamma(1)), {LEFT: opaque(0)}),
        "png gamma 21474": Kind(rgb(gamma(2**31 - 1)), {LEFT: opaque(255)}),
        "png gamma 0": Kind(rgb(gamma(0)), plain),
        "png gamma twice": Kind(rgb(gamma(100_000), gamma(45_455)), linear),
        "png gamma behind the pixels": Kind(rgb()[:-12] + gamma(100_000) + rgb()[-12:], plain),
        "png gamma and sRGB": Kind(rgb(gamma(100_000), SRGB_CHUNK), plain),
        "png primaries without gamma": Kind(rgb(primaries(*P3)), plain),
        "png primaries of P3": Kind(rgb(primaries(*P3), gamma(45_455)), {LEFT: opaque(216, 93, 0)}),
        "png primaries of sRGB": Kind(
            rgb(primaries(*SRGB), gamma(45_455)),
            plain,
            why="Chromium takes the curve for 2.2 exactly, and not for sRGB's",
        ),
        "png primaries of sRGB, gamma 1": Kind(rgb(primaries(*SRGB), gamma(100_000)), linear),
        "png primaries of P3, gamma 0": Kind(rgb(primaries(*P3), gamma(0)), plain),
        "png primaries of nothing": Kind(rgb(primaries(*[0] * 8), gamma(100_000)), plain),
        "png primaries in a line": Kind(rgb(primaries(31270, 32900, *[30000] * 6), gamma(100_000)), plain),
        "png primaries at another white": Kind(
            rgb(primaries(34567, 35850, *SRGB[2:]), gamma(45_455)), {LEFT: opaque(209, 101, 44)}
        ),
        "png primaries of grey": Kind(
            halves(8, 0, (40,), (100,), primaries(*P3), gamma(100_000)), {LEFT: opaque(110), RIGHT: opaque(168)}
        ),
        "png profile before gamma": Kind(rgb(gamma(100_000), ICCP), {LEFT: opaque(216, 93, 0)}),
        "png gamma 1 and half a profile": Kind(rgb(gamma(100_000), iccp(p3_profile()[:200])), linear),
        "png gamma 1 and a profile of nothing": Kind(rgb(gamma(100_000), iccp(bytes(500))), linear),
        "png gamma 1 and a grey profile": Kind(rgb(gamma(100_000), iccp(grey_profile())), plain),
        "png profile of a megabyte": Kind(rgb(iccp(p3_profile(), bytes(1_300_000))), {LEFT: opaque(216, 93, 0)}),
        "png profile behind the pixels": Kind(rgb()[:-12] + ICCP + rgb()[-12:], plain),
        "png profile twice": Kind(rgb(ICCP, iccp(grey_profile())), {LEFT: opaque(216, 93, 0)}),
    }


def coded() -> dict[str, Kind]:
    plain = {LEFT: opaque(*A), RIGHT: opaque(*B)}
    p3 = {LEFT: opaque(215, 93, 6)}

    def rgb(*before: bytes) -> bytes:
        return halves(8, 2, A, B, *before)

    found = {
        "png code of P3": Kind(rgb(cicp(12, 13)), p3),
        "png code of P3, and sRGB": Kind(rgb(cicp(12, 13), SRGB_CHUNK), p3),
        "png code of P3, and gamma": Kind(rgb(cicp(12, 13), gamma(100_000)), p3),
        "png code of sRGB, and a profile": Kind(rgb(cicp(1, 13), ICCP), plain),
        "png code of P3 of a palette": Kind(halves(8, 3, (0,), (1,), cicp(12, 13), PALETTE), p3),
        "png code of linear light": Kind(rgb(cicp(1, 8)), {LEFT: opaque(229, 168, 110)}),
        "png code of linear grey": Kind(
            halves(8, 0, (40,), (100,), cicp(12, 8)), {LEFT: opaque(110), RIGHT: opaque(168)}
        ),
        "png code of linear light with alpha": Kind(
            halves(8, 6, (*A, 255), (*B, 9), cicp(1, 8)), {LEFT: opaque(229, 168, 110)}
        ),
        "png code unknown": Kind(rgb(cicp(2, 2), gamma(45_455)), plain),
        "png code of a matrix": Kind(rgb(cicp(12, 13, 1)), plain, why="Chromium shows nothing where a PNG claims YUV"),
        "png code of P3, narrow": Kind(
            rgb(cicp(12, 13, 0, 0)), {LEFT: opaque(231, 88, 0)}, why="Chromium does not know the narrow range"
        ),
        "png code of PQ in BT.709": Kind(halves(8, 2, (157, 117, 120), B, cicp(1, 16)), {LEFT: opaque(218, 108, 114)}),
        "png code of PQ in P3": Kind(rgb(cicp(12, 16)), {RIGHT: opaque(0, 88, 251)}),
    }
    curves = {1: (197, 91, 28), 4: (201, 100, 35), 5: (189, 76, 17), 6: (197, 91, 28), 7: (206, 115, 58)}
    curves |= {11: (197, 91, 28), 12: A, 14: (197, 91, 28), 15: (197, 91, 28), 17: (200, 87, 23)}
    for code, colour in curves.items():
        found[f"png code of curve {code}"] = Kind(rgb(cicp(1, code)), {LEFT: opaque(*colour)})
    gamuts = {4: (232, 93, 5), 5: (203, 100, 41), 6: (196, 102, 39), 7: (196, 102, 39), 8: (222, 92, 9)}
    gamuts |= {9: (241, 76, 1), 10: (255, 0, 52), 11: (211, 93, 9), 22: (202, 102, 39)}
    for code, colour in gamuts.items():
        found[f"png code of primaries {code}"] = Kind(rgb(cicp(code, 13)), {LEFT: opaque(*colour)})
    for sample, pq, hlg in ((26, 3, 9), (64, 30, 43), (100, 76, 75), (128, 132, 99), (148, 187, 120), (180, 242, 166)):
        found[f"png code of PQ, {sample}"] = Kind(
            halves(8, 0, (sample,), (255,), cicp(9, 16)), {LEFT: opaque(pq), RIGHT: opaque(255)}
        )
        found[f"png code of HLG, {sample}"] = Kind(
            halves(8, 0, (sample,), (255,), cicp(9, 18)), {LEFT: opaque(hlg), RIGHT: opaque(255)}
        )
    light = chunk(b"cLLI", struct.pack(">II", 40_000_000, 0))
    found["png code of PQ, and how bright"] = Kind(
        halves(8, 0, (200,), (148,), cicp(9, 16), light), {LEFT: opaque(232), RIGHT: opaque(187)}
    )
    found["png code of PQ of 16 bits"] = Kind(
        halves(16, 0, (148 * 257,), (100 * 257,), cicp(9, 16)), {LEFT: opaque(187), RIGHT: opaque(76)}
    )
    found["png code of HLG in colour"] = Kind(halves(8, 2, (180, 100, 60), B, cicp(9, 18)), {LEFT: opaque(186, 62, 36)})
    found["png code of PQ in colour"] = Kind(
        halves(8, 2, (150, 110, 80), (90, 120, 140), cicp(9, 16)),
        {LEFT: opaque(233, 69, 28), RIGHT: opaque(0, 118, 169)},
    )
    return found


# GIF


def gif(screen: tuple[int, int], frame: tuple[int, int, int, int], clear: int | None = None) -> bytes:
    """A GIF of one frame (left, top, width, height) of two halves; `clear` is the index that is transparent."""
    body = Image.new("P", frame[2:])
    body.putpalette((*A, *B))
    body.paste(1, (frame[2] // 2, 0, *frame[2:]))
    options = {} if clear is None else {"transparency": clear}
    data = bytearray(encoded(body, "GIF", optimize=False, **options))
    data[6:10] = struct.pack("<HH", *screen)
    at = data.index(b"\x2c\0\0\0\0" + struct.pack("<HH", *frame[2:]))
    data[at + 1 : at + 5] = struct.pack("<HH", *frame[:2])
    return bytes(data)


def with_empty_frame(data: bytes) -> bytes:
    """A GIF with a frame without sides before its first one."""
    at = data.index(b",")
    return data[:at] + b"," + bytes(9) + b"\2\2\x44\1\0" + data[at:]


AWAY: Final = "Chromium keeps room for what the screen lacks, Firefox takes the frame's sides"


def canvases() -> dict[str, Kind]:
    both = {LEFT: opaque(*A), RIGHT: opaque(*B)}
    inside = {(0.4, 0.5): opaque(*A), (0.6, 0.5): opaque(*B), (0.1, 0.1): CLEAR, (0.9, 0.9): CLEAR}
    found = {
        "gif frame smaller than its screen": Kind(gif((32, 16), (8, 4, 16, 8)), inside, (32, 16)),
        "gif frame smaller, a colour clear": Kind(
            gif((32, 16), (8, 4, 16, 8), 1), {**inside, (0.6, 0.5): CLEAR}, (32, 16)
        ),
        "gif frame in the corner": Kind(
            gif((32, 16), (16, 8, 16, 8)), {(0.6, 0.8): opaque(*A), (0.9, 0.8): opaque(*B), LEFT: CLEAR}, (32, 16)
        ),
        "gif frame larger than its screen": Kind(gif((8, 4), (0, 0, 16, 8)), both),
        "gif frame beside its screen": Kind(
            gif((8, 4), (8, 4, 16, 8)), {(0.5, 0.75): opaque(*A), (0.9, 0.75): opaque(*B), (0.1, 0.1): CLEAR}, (24, 12)
        ),
        "gif screen of nothing": Kind(gif((0, 0), (0, 0, 16, 8)), both),
        "gif screen of nothing, frame away": Kind(gif((0, 0), (5, 3, 16, 8)), both, why=AWAY),
        "gif first frame of nothing": Kind(
            with_empty_frame(gif((16, 8), (0, 0, 16, 8))),
            both,
            why="Chromium shows nothing as long as that frame lasts",
        ),
        "gif screen without a height": Kind(gif((20, 0), (0, 0, 16, 8)), both, why=AWAY),
    }
    frames = [Image.new("RGB", (16, 8), colour) for colour in (A, B)]
    animated = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True, duration=100)
    found["png animation with a picture for others"] = Kind(animated, {LEFT: opaque(*B), RIGHT: opaque(*B)})
    at = animated.index(b"fdAT")
    length = struct.unpack_from(">I", animated, at - 4)[0]
    spoilt = chunk(b"fdAT", animated[at + 4 : at + 8] + b"\xff" * (length - 4))
    found["png animation that is broken, with a picture for others"] = Kind(
        animated[: at - 4] + spoilt + animated[at + 8 + length :],
        {LEFT: opaque(*A), RIGHT: opaque(*A)},
        why="Chromium shows nothing of a broken animation",
    )
    animated = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], duration=100)
    found["png animation"] = Kind(animated, {LEFT: opaque(*A)})
    found["webp frame smaller than its canvas"] = Kind(
        small_webp(), {(0.5, 0.5): opaque(*A), (0.05, 0.1): CLEAR, (0.95, 0.9): CLEAR}, (32, 16)
    )
    return found


def small_webp() -> bytes:
    """An animation on a canvas of 32×16, whose first frame covers 16×8 of its middle."""
    still = encoded(Image.new("RGB", (16, 8), A), "WEBP", lossless=True)[12:]
    head = (
        (4).to_bytes(3, "little") + (2).to_bytes(3, "little") + (15).to_bytes(3, "little") + (7).to_bytes(3, "little")
    )
    frame = head + (100).to_bytes(3, "little") + b"\2" + still
    parts = [(b"VP8X", b"\x12\0\0\0" + (31).to_bytes(3, "little") + (15).to_bytes(3, "little"))]
    parts += [(b"ANIM", b"\xff\0\0\xff\0\0"), (b"ANMF", frame), (b"ANMF", frame)]
    body = b"WEBP" + b"".join(name + struct.pack("<I", len(content)) + content for name, content in parts)
    return b"RIFF" + struct.pack("<I", len(body)) + body


# AVIF

AVIFS: Final = {
    "pq10": b85decode(
        "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh10002;ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y"
        "-wU)c4=k+0000EaA|aH000000096103K;<Z({%e002Y)00962000010003R0000Y0000eX=!d|000000096102*m-W@Q2Z00"
        "001003cjFfl`KY;SS^0001LX>f9I0000>X>en20000KX>)L8000000000G0000G0000GaA|mH000000}2WX0000CVRkV?fgn"
        "Ht0000JV{dG7ZewhC00{sP011Eq000+haBX1#00000000310R#a8g9HEo04i-{VRRAz3J5q1|JcGr0%S525C8x<P`f0{BYUe"
        ">Hf{EZ<*Am#"
    ),
    "hlg12": b85decode(
        "0000SW^{RQVRmU|00000VRmU|ZE0pPZE0a<0002;ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y-wU)c"
        "4=k+0000EaA|aH000000096103K;<Z({%e002Y)00962000010003N0000b0000eX=!d|000000096102*m-W@Q2Z0000100"
        "3cjFfl`KY;SS^0001LX>f9I0000>X>en20000KX>)L8000000000G0000G0000GaA|mH000000}Kod0000CVRkV?fk0pY000"
        "0JV{dG7ZewhC00{sR011Eq000+haBX1#00000000310R#a8g9HEo04;4~VRRAz3JF*Y|JcxxAeewM77zdcIZ(SKWND&qtyh<"
        "4U7|T@%^eH"
    ),
    "p3-10": b85decode(
        "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh20002;ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y"
        "-wU)c4=k+0000EaA|aH000000096103K;<Z({%e002Y)00962000010003R0000Z0000eX=!d|000000096102*m-W@Q2Z00"
        "001003cjFfl`KY;SS^0001LX>f9I0000>X>en20000KX>)L8000000000G0000G0000GaA|mH000000}2WX0000CVRkV?fdE"
        "VZ0000JV{dG7ZewhC01N;P00w{n000+haBX1#00000000310R#a8g9HEo04r@|VRRAz3JDkt|Jb2{pwNIa6c7LaIZ(SL8^rF"
        "dSR*g}jDootfB"
    ),
    "identity": b85decode(
        "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh10002;ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y"
        "-wU)c4=k+0000EaA|aH000000096103K;<Z({%e002Y)00962000010003R0000Y0000eX=!d|000000096102*m-W@Q2Z00"
        "001003cjFfl`KY;SS^0001LX>f9I0000>X>en20000KX>)L8000000000G0000G0000GaA|mH000000|*ER0000CVRkV?fgk"
        "_?0000JV{dG7ZewhC0096E004jh000+haBX1#00000000310R#a8g9HEo04i-{VRRAz3J5q1|JXo7KnOAv5C8x<P`f0rVtcD"
        "rJvv5+<*5_x"
    ),
    "ycgco": b85decode(
        "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh10002;ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y"
        "-wU)c4=k+0000EaA|aH000000096103K;<Z({%e002Y)00962000010003R0000X0000eX=!d|000000096102*m-W@Q2Z00"
        "001003cjFfl`KY;SS^0001LX>f9I0000>X>en20000KX>)L8000000000G0000G0000GaA|mH000000|*ER0000CVRkV?fgk"
        "_?0000JV{dG7ZewhC0096E00@8p000+haBX1#00000000310R#a8g9HEo04Z%`VRRAz3J5q1|JXo7LL@R15C8x<P`f1?#O|$"
        "obDD9xTz-@"
    ),
    "limited10": b85decode(
        "0000WW^{RQVRmU|00000VRmU|ZE0pPZE0a<O+hh10002;ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y"
        "-wU)c4=k+0000EaA|aH000000096103K;<Z({%e002Y)00962000010003R0000Z0000eX=!d|000000096102*m-W@Q2Z00"
        "001003cjFfl`KY;SS^0001LX>f9I0000>X>en20000KX>)L8000000000G0000G0000GaA|mH000000}2WX0000CVRkV?fgn"
        "Ht0000JV{dG7ZewhC0096E00961000+haBX1#00000000310R#a8g9HEo04r@|VRRAz3J5q1|JcAoKtwVX5C8x<P`f07H7@G"
        "aexY7yj#`40)B"
    ),
    "grey": b85decode(
        "0000SW^{RQVRmU|00000VRmU|ZE0pPZE0a<0002+ZDn*}000000000eXk=`10000000000aA{+7000000000000000Y-wU)c"
        "4=k+0000EaA|aH000000096103K;<Z({%e002Y)00962000010003L0000M0000eX=!d|000000096102*m-W@Q2Z0000100"
        "3cjFfl`KY;SS^0001JX>f9I0000<X>en20000KX>)L8000000000G0000G0000EaA|mH000000SEv901RPvF++g>8~^|S025"
        "<xY;ta6Y<K_x01W^EfB*mh7in;9VE_OC000000RRC60Rn>r0000UZDe6|5&#Ma7!3c|U?HG1G6)a=KcFi0wNL"
    ),
}
"""Of one colour, 16×16, by avifenc 0.11: what Pillow's encoder has no setting for."""


def avif(code: int, transfer: int, colour: Colour = A, *before: tuple[bytes, bytes], **options: Any) -> bytes:
    """16×16 pixels of one colour, with another code in its box colr."""
    picture = Image.new("RGB", (16, 16), colour[:3])
    if len(colour) == 4:
        picture = Image.new("RGBA", (16, 16), colour)
        picture.putpixel((0, 0), (0, 0, 0, 0))
    data = bytearray(encoded(picture, "AVIF", quality=100, subsampling="4:4:4", **options))
    struct.pack_into(">HH", data, data.index(b"nclx") + 4, code, transfer)
    return bytes(data)


def of_avif() -> dict[str, Kind]:
    middle = (0.5, 0.5)
    square = (16, 16)

    def flat(data: bytes, *colour: int, within: int = 4, why: str = "") -> Kind:
        return Kind(data, {middle: opaque(*colour)}, square, within, why)

    found = {
        "avif code of P3": flat(avif(12, 13), 214, 93, 7),
        "avif code of P3 with alpha": flat(avif(12, 13, (*A, 255)), 214, 93, 7),
        "avif code of BT.2020": flat(avif(9, 14), 240, 76, 2),
        "avif code of BT.709": flat(avif(1, 1), *A),
        "avif code unspecified": flat(avif(2, 2), *A),
        "avif code unknown": flat(avif(99, 99), *A),
        "avif code of a logarithm": flat(avif(1, 9), *A, why="Chromium shows nothing of a logarithmic curve"),
        "avif code of linear light": flat(avif(1, 8), 229, 168, 110),
        "avif code of gamma 2.8": flat(avif(1, 5), 187, 76, 17),
        "avif code of PQ": flat(avif(9, 16, (148,) * 3), 187),
        "avif code of HLG": flat(avif(9, 18, (148,) * 3), 120),
        "avif profile before its code": flat(avif(9, 16, icc_profile=p3_profile()), 216, 93, 0),
        "avif of PQ, 10 bits": flat(AVIFS["pq10"], 233, 69, 28),
        "avif of HLG, 12 bits": flat(AVIFS["hlg12"], 134, 80, 57),
        "avif of P3, 10 bits, 4:2:0": flat(AVIFS["p3-10"], 215, 93, 6),
        "avif of 10 bits, narrow": flat(AVIFS["limited10"], 199, 100, 43),
        "avif of RGB itself": flat(AVIFS["identity"], *A),
        "avif of YCgCo": flat(AVIFS["ycgco"], *A),
        "avif of grey": flat(AVIFS["grey"], 148),
    }
    brands = b"zzzz" * 100 + b"avifmif1miaf"
    plain = avif(1, 13)
    rest = plain[struct.unpack_from(">I", plain)[0] :]
    for major in (b"avif", b"mif1", b"miaf"):
        head = struct.pack(">I4s4sI", 16 + len(brands), b"ftyp", major, 0) + brands
        moved = moved_by(rest, len(head) + len(rest) - len(plain))
        why = "" if major == b"avif" else "Chromium looks at the first brands alone"
        found[f"avif of many brands, first {major.decode()}"] = flat(head + moved, *A, why=why)
    pixels = avif(1, 13)
    grey = avif(1, 13, (148,) * 3)
    found |= {
        "avif stream of P3": flat(in_stream(pixels, 12, 13), 214, 93, 7),
        "avif stream of BT.2020": flat(in_stream(pixels, 9, 14), 240, 76, 2),
        "avif stream of BT.709": flat(in_stream(pixels, 1, 1), *A),
        "avif stream of linear light": flat(in_stream(pixels, 1, 8), 229, 168, 110),
        "avif stream of PQ": flat(in_stream(grey, 9, 16), 187),
        "avif stream of HLG": flat(in_stream(grey, 9, 18), 120),
        "avif stream of no colours": flat(in_stream(pixels, 2, 2), *A),
        "avif stream of the narrow range": flat(in_stream(pixels, 1, 13, full=False), 211, 99, 31),
        "avif stream of another matrix": flat(in_stream(pixels, 1, 13, 1), 208, 106, 36),
        "avif stream of P3 beside a code": flat(in_stream(pixels, 12, 13).replace(b"skip", b"colr"), *A),
    }
    found["avif alpha without sides"] = Kind(
        alpha_without_sides(), {LEFT: CLEAR, RIGHT: opaque(*A)}, (16, 16), why="Chromium shows nothing without them"
    )
    return found


def alpha_without_sides() -> bytes:
    """The left half is clear; the alpha's item has no ispe, as early encoders wrote it."""
    picture = Image.new("RGBA", (16, 16), (*A, 255))
    picture.paste((*A, 0), (0, 0, 8, 16))
    data = bytearray(encoded(picture, "AVIF", quality=100, subsampling="4:4:4"))
    at = data.index(b"ipma") + 12
    for _ in range(2):
        item, count = struct.unpack_from(">HB", data, at)
        if item == 2:
            data[at + 3] = 0  # no property; the first one was ispe
        at += 3 + count
    return bytes(data)


def moved_by(data: bytes, shift: int) -> bytes:
    """What follows the first box of an AVIF of Pillow's, where that is longer by `shift`."""
    moved = bytearray(data)
    at = data.index(b"iloc") + 4
    assert data[at : at + 6] == b"\0\0\0\0\x44\0"
    for entry in range(struct.unpack_from(">H", data, at + 6)[0]):
        where = at + 8 + 14 * entry + 6
        struct.pack_into(">I", moved, where, struct.unpack_from(">I", data, where)[0] + shift)
    return bytes(moved)


def in_stream(data: bytes, code: int, transfer: int, matrix: int = 6, *, full: bool = True) -> bytes:
    """An AVIF of Pillow's with these codes in its AV1 stream, and none in a box: where the stream says BT.709 and sRGB,
    behind the bit that announces them, and before that of the range.
    """
    first = data.index(b"mdat")
    bits = format(int.from_bytes(data[first:]), f"0{8 * (len(data) - first)}b")
    wanted = f"1{code:08b}{transfer:08b}{matrix:08b}{full:b}"
    bits = bits.replace(f"1{1:08b}{13:08b}{6:08b}1", wanted)
    assert wanted in bits
    return data[:first].replace(b"colr", b"skip") + int(bits, 2).to_bytes(len(data) - first)


def with_property(data: bytes, kind: bytes, content: bytes) -> bytes:
    """An AVIF of Pillow's whose picture has one more property, essential, before those that turn it."""

    def box(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I4s", 8 + len(content), kind) + content

    def place(kind: bytes, start: int, end: int) -> tuple[int, int]:
        return next(boxes.within(data, start, end, kind))

    meta = place(b"meta", 0, len(data))
    iprp = place(b"iprp", meta[0] + 4, meta[1])
    ipco, ipma = place(b"ipco", *iprp), place(b"ipma", *iprp)
    known = [kind for kind, _, _ in boxes.all_within(data, *ipco)]
    lists = data[ipma[0] : ipma[0] + 8]
    for item, numbers in boxes.associations(data, *ipma).items():
        own = [0x80 * essential | number for number, essential in numbers]
        at = sum(known[number - 1] not in (b"irot", b"imir") for number, _ in numbers)
        own[at:at] = [0x80 | len(known) + 1] if item == 1 else []
        lists += struct.pack(">HB", item, len(own)) + bytes(own)
    properties = box(b"ipco", data[ipco[0] : ipco[1]] + box(kind, content)) + box(b"ipma", lists)
    head = data[meta[0] : iprp[0] - 8] + box(b"iprp", properties) + data[iprp[1] : meta[1]]
    rest = box(b"meta", head) + data[meta[1] :]
    return data[: meta[0] - 8] + moved_by(rest, meta[0] - 8 + len(rest) - len(data))


def with_film_property(data: bytes, kind: bytes, content: bytes) -> bytes:
    """A film of Pillow's in one track whose description has one more box."""
    more = struct.pack(">I4s", 8 + len(content), kind) + content
    place = data.index(b"ccst") - 4
    made = bytearray(data)
    inside = {b"moov": 0, b"trak": 0, b"mdia": 0, b"minf": 0, b"stbl": 0, b"stsd": 8, b"av01": 78}

    def grow(start: int, end: int) -> None:
        for name, first, stop in boxes.all_within(data, start, end):
            if name in inside:
                struct.pack_into(">I", made, first - 8, stop - first + 8 + len(more))
                grow(first + inside[name], stop)

    grow(0, len(data))
    for name, at in ((b"stco", 12), (b"iloc", 18)):  # where the first frame is: as a film's, and as a picture's
        where = data.index(name) + at
        struct.pack_into(">I", made, where, struct.unpack_from(">I", data, where)[0] + len(more))
    return bytes(made[:place]) + more + bytes(made[place:])


# Orientation

CORNERS: Final = ((0.25, 0.25), (0.75, 0.25), (0.25, 0.75), (0.75, 0.75))
QUARTERS: Final = (opaque(200, 40, 40), opaque(40, 180, 60), opaque(50, 60, 200), opaque(128))
SEEN: Final = {
    **{1: (0, 1, 2, 3), 2: (1, 0, 3, 2), 3: (3, 2, 1, 0), 4: (2, 3, 0, 1)},
    **{5: (0, 2, 1, 3), 6: (2, 0, 3, 1), 7: (3, 1, 2, 0), 8: (1, 3, 0, 2)},
}
"""By orientation: which quarter of the stored picture is seen in each corner."""


def seen(orientation: int) -> tuple[dict[tuple[float, float], Colour], tuple[int, int]]:
    corners = {place: QUARTERS[at] for place, at in zip(CORNERS, SEEN[orientation], strict=True)}
    return corners, (96, 64) if orientation < 5 else (64, 96)


def exif_of(orientation: int) -> bytes:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return exif.tobytes()


def turned(irot: int, imir: int, orientation: int) -> bytes:
    """An AVIF whose boxes and Exif contradict each other. At orientation 5 Pillow writes both boxes, and no Exif of it:
    so that has another tag meanwhile.
    """
    exif = Image.Exif()
    exif[0x0112], exif[0x0115] = 5, orientation
    data = bytearray(encoded(quarters(), "AVIF", quality=95, exif=exif.tobytes()))
    data[data.index(b"irot") + 4], data[data.index(b"imir") + 4] = irot, imir
    order = "<" if b"II*\0" in data else ">"
    at = data.index(struct.pack(f"{order}HHIH", 0x0115, 3, 1, orientation))
    struct.pack_into(f"{order}H", data, at, 0x0112)
    return bytes(data)


def turns() -> dict[str, Kind]:
    found = {}
    for orientation in range(1, 9):
        for name in ("JPEG", "PNG", "WEBP", "AVIF"):
            data = encoded(quarters(), name, quality=95, exif=exif_of(orientation))
            why = "Chromium passes over a WebP's Exif" if name == "WEBP" and orientation > 1 else ""
            found[f"{name.lower()} orientation {orientation}"] = Kind(data, *seen(orientation), 9, why)
    for irot, imir, orientation, shown in ((0, 1, 6, 2), (0, 0, 6, 4), (2, 0, 1, 2), (1, 1, 1, 7), (2, 1, 8, 4)):
        found[f"avif irot {irot}, imir {imir}, exif {orientation}"] = Kind(
            turned(irot, imir, orientation), *seen(shown), within=9
        )
    return found


def tiff(kind: int, count: int, value: int = 6) -> bytes:
    """Exif whose orientation has this type and so many values, the first of them this one."""
    values = struct.pack("<HH", value, 0) if kind == 3 else struct.pack("<I", value)
    return b"II*\0" + struct.pack("<IHHHI", 8, 1, 0x0112, kind, count) + values + bytes(4)


def not_turned() -> dict[str, Kind]:
    """What states an orientation in a way that counts for nothing."""
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description rdf:about="" xmlns:tiff="http://ns.adobe.com/tiff/1.0/" tiff:Orientation="6"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    flat, lossy = encoded(quarters(), "PNG"), encoded(quarters(), "JPEG", quality=95)
    raw = b"\nexif\n%8d\n" % (6 + len(tiff(3, 1))) + (b"Exif\0\0" + tiff(3, 1)).hex().encode() + b"\n"
    files = {
        "png xmp": after_header(flat, chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)),
        "jpeg xmp": lossy[:2] + segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp) + lossy[2:],
        "webp xmp": encoded(quarters(), "WEBP", quality=95, xmp=xmp),
        "avif xmp": encoded(quarters(), "AVIF", quality=95, xmp=xmp, exif=b""),
        "png exif behind the pixels": flat[:-12] + chunk(b"eXIf", tiff(3, 1)) + flat[-12:],
        "png exif as in a jpeg": after_header(flat, chunk(b"eXIf", b"Exif\0\0" + tiff(3, 1))),
        "png second exif": after_header(flat, chunk(b"eXIf", tiff(3, 1, 1)), chunk(b"eXIf", tiff(3, 1))),
        "png raw profile": after_header(flat, chunk(b"zTXt", b"Raw profile type exif\0\0" + zlib.compress(raw))),
    }
    for name, kind, count in (("LONG", 4, 1), ("BYTE", 1, 1), ("two values", 3, 2), ("no value", 3, 0)):
        files[f"png exif of {name}"] = after_header(flat, chunk(b"eXIf", tiff(kind, count)))
        files[f"jpeg exif of {name}"] = lossy[:2] + segment(0xE1, b"Exif\0\0" + tiff(kind, count)) + lossy[2:]
    return {f"{name} does not turn": Kind(data, *seen(1), within=9) for name, data in files.items()}


def after_header(data: bytes, *chunks: bytes) -> bytes:
    """A PNG with more chunks behind its header."""
    return data[:33] + b"".join(chunks) + data[33:]


# Clean aperture


def clap(left: int, top: int, width: int, height: int, *, parts: int = 2) -> bytes:
    """Of `quarters`: this part, in px. The box has its sides, and how far its middle lies from the picture's."""
    across, down = 2 * left + width - 96, 2 * top + height - 64
    return struct.pack(">IIIIiIiI", width * parts, parts, height * parts, parts, across, 2, down, 2)


PARTS: Final = ((0.4, 0.3), (0.87, 0.3), (0.4, 0.83), (0.87, 0.83))
"""A point of each of the quarters in their part of 64×48 pixels, as stored."""

TURNED: Final[dict[int, Callable[[float, float], tuple[float, float]]]] = {
    1: lambda x, y: (x, y),
    2: lambda x, y: (1 - x, y),
    3: lambda x, y: (1 - x, 1 - y),
    4: lambda x, y: (x, 1 - y),
    5: lambda x, y: (y, x),
    6: lambda x, y: (1 - y, x),
    7: lambda x, y: (1 - y, 1 - x),
    8: lambda x, y: (y, 1 - x),
}
"""By orientation: where a stored point is seen."""


def apertures() -> dict[str, Kind]:
    """How far each quarter goes shows which corner is left, and that it was cut out before the picture was turned."""
    found = {}
    for orientation, turned in TURNED.items():
        data = encoded(quarters(), "AVIF", quality=95, exif=exif_of(orientation))
        data = with_property(data, b"clap", clap(0, 0, 64, 48))
        sees = {turned(*place): QUARTERS[at] for at, place in enumerate(PARTS)}
        found[f"avif aperture, orientation {orientation}"] = Kind(
            data, sees, (64, 48) if orientation < 5 else (48, 64), 9
        )
    plain, whole = encoded(quarters(), "AVIF", quality=95), seen(1)
    parts = {"in the middle": (16, 12, 48, 32), "in the last corner": (48, 32, 48, 32), "beyond": (0, 0, 200, 100)}
    parts["of all"] = (0, 0, 96, 64)
    for name, part in parts.items():
        data = with_property(plain, b"clap", clap(*part))
        found[f"avif aperture {name}"] = Kind(data, *whole, within=9)
    half = struct.pack(">IIIIiIiI", 129, 2, 48, 1, -63, 4, -8, 1)
    found["avif aperture of half a pixel"] = Kind(with_property(plain, b"clap", half), *whole, within=9)
    nothing = struct.pack(">IIIIiIiI", 64, 0, 48, 1, -16, 1, -8, 1)
    found["avif aperture of nothing"] = Kind(with_property(plain, b"clap", nothing), *whole, within=9)
    odd = with_property(plain, b"clap", clap(0, 0, 47, 31))
    found["avif aperture of odd sides"] = Kind(odd, {(0.9, 0.9): QUARTERS[0]}, (47, 31), 9)
    twice = with_property(with_property(plain, b"clap", clap(0, 0, 64, 48)), b"clap", clap(0, 0, 32, 32))
    found["avif aperture twice"] = Kind(twice, dict(zip(PARTS, QUARTERS, strict=True)), (64, 48), 9)
    see_through = quarters()
    see_through.putalpha(128)
    data = with_property(encoded(see_through, "AVIF", quality=95), b"clap", clap(0, 0, 64, 48))
    sees = {place: (*colour[:3], 128) for place, colour in zip(PARTS, QUARTERS, strict=True)}
    found["avif aperture with alpha"] = Kind(data, sees, (64, 48), 9)
    film = encoded(quarters(), "AVIF", save_all=True, append_images=[quarters()], quality=95, duration=100)
    data = with_film_property(film, b"clap", clap(0, 0, 64, 48))
    found["avif aperture of a film"] = Kind(data, dict(zip(PARTS, QUARTERS, strict=True)), (64, 48), 9)
    return found


# JPEG


def jpeg(mode: str, colour: Colour, *segments: bytes, bare: bool = False, **options: Any) -> bytes:
    """16×16 pixels of one colour; `bare` of Pillow's own segments, with others in their place."""
    options = {"quality": 100, "subsampling": 0, **options}
    data = encoded(Image.new(mode, (16, 16), colour), "JPEG", **options)
    at = 2
    while bare and data[at + 1] in (0xE0, 0xEE):
        at += 2 + struct.unpack_from(">H", data, at + 2)[0]
    return data[:2] + b"".join(segments) + data[at:]


def segment(marker: int, content: bytes) -> bytes:
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def adobe(transform: int) -> bytes:
    return segment(0xEE, b"Adobe\0\x64\0\0\0\0" + bytes((transform,)))


def of_jpeg() -> dict[str, Kind]:
    def flat(data: bytes, *colour: int, within: int = 4, why: str = "") -> Kind:
        return Kind(data, {(0.5, 0.5): opaque(*colour)}, (16, 16), within, why)

    ink = (20, 120, 200, 40)
    jfif = segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0")
    gain = jpeg("L", (128,))
    xmp = (
        b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><rdf:RDF xmlns:rdf="http://www.w3.org/1999/02/22-rdf-syntax-ns#">'
        b'<rdf:Description xmlns:hdrgm="http://ns.adobe.com/hdr-gain-map/1.0/" hdrgm:Version="1.0"/>'
        b"</rdf:RDF></x:xmpmeta>"
    )
    return {
        "jpeg cmyk": flat(jpeg("CMYK", ink), 198, 114, 46),
        "jpeg cmyk without Adobe's mark": flat(jpeg("CMYK", ink, bare=True), 198, 114, 46),
        "jpeg ycck": flat(jpeg("CMYK", ink, adobe(2), bare=True), 103, 0, 7),
        "jpeg cmyk with an RGB profile": flat(jpeg("CMYK", ink, icc_profile=p3_profile()), 198, 114, 46),
        "jpeg cmyk with a grey profile": flat(jpeg("CMYK", ink, icc_profile=grey_profile()), 198, 114, 46),
        "jpeg RGB by Adobe's mark": flat(jpeg("RGB", A, adobe(0), bare=True), 123, 81, 183),
        "jpeg YCbCr by Adobe's mark": flat(jpeg("RGB", A, adobe(1), bare=True), *A),
        "jpeg of no mark": flat(jpeg("RGB", A, bare=True), *A),
        "jpeg of both marks": flat(jpeg("RGB", A, jfif, adobe(0), bare=True), *A),
        "jpeg RGB kept": flat(jpeg("RGB", A, keep_rgb=True), *A),
        "jpeg grey with an RGB profile": flat(jpeg("L", (100,), icc_profile=p3_profile()), 100),
        "jpeg grey with its profile": flat(jpeg("L", (128,), icc_profile=grey_profile()), 188),
        "jpeg with a profile": flat(jpeg("RGB", A, icc_profile=p3_profile()), 216, 93, 0),
        "jpeg with a profile of another kind": flat(jpeg("RGB", A, icc_profile=grey_profile()), *A),
        "jpeg with half a profile": flat(jpeg("RGB", A, icc_profile=p3_profile()[:200]), *A),
        "jpeg with a profile of nothing": flat(jpeg("RGB", A, icc_profile=bytes(500)), *A),
        "jpeg with a gain map behind": flat(
            jpeg("RGB", A, segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + xmp)) + gain, *A
        ),
        "mpo of two pictures": flat(
            encoded(
                Image.new("RGB", (16, 16), A),
                "MPO",
                save_all=True,
                append_images=[Image.new("RGB", (16, 16))],
                quality=100,
                subsampling=0,
            ),
            *A,
        ),
        "webp with a profile": flat(
            encoded(Image.new("RGB", (16, 16), A), "WEBP", lossless=True, icc_profile=p3_profile()), 216, 93, 0
        ),
        "png with a grey profile": flat(encoded(Image.new("L", (16, 16), 128), "PNG", icc_profile=grey_profile()), 188),
    }


def everything() -> dict[str, Kind]:
    """All of them, by name."""
    return keyed() | measured() | coded() | canvases() | of_avif() | turns() | not_turned() | apertures() | of_jpeg()


def decoded(data: bytes) -> Image.Image:
    """What its renditions are made of, at full size, in RGBA; where it is clear it has no colour. Raises BadPicture."""
    limits, ladder = Limits(10**6, 5_000, 10**7), Ladder((5_000,), webp=False, avif=False)
    with strict_pillow(limits):
        try:
            picture = open_picture(data, len(data), limits, ladder, None)[2].picture
        except BadPicture:
            better = mended(data, limits, None)
            if better is None:
                raise
            picture = open_picture(better, len(better), limits, ladder, None)[2].picture
    clear = Image.new("RGBA", picture.size)
    clear.paste(picture, mask=picture.convert("RGBA").getchannel("A").point(lambda alpha: 255 * (alpha > 0)))
    return clear


def points(picture: Image.Image, kind: Kind) -> list[Colour]:
    """The colours at the points of a kind."""
    places = [(int(x * picture.width), int(y * picture.height)) for x, y in kind.sees]
    return [tuple(picture.getpixel(place)) for place in places]  # type: ignore[arg-type]
