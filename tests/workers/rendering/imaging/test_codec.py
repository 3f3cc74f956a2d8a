"""Pictures made in code go through the real Pillow; what comes out is opened again and looked at."""

from __future__ import annotations

import dataclasses
import errno
import io
import os
import resource
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageChops, ImageCms, ImageStat, PngImagePlugin

from workers.rendering import imaging
from workers.rendering.imaging import BadPicture, Ladder, Limits, OutOfMemory, Rendered
from workers.rendering.imaging.codec import decoder, pillow, scaler
from workers.rendering.imaging.codec.pixels import colours
from workers.rendering.imaging.gate import check
from workers.rendering.imaging.memory import Gauge
from workers.rendering.imaging.presets import PRESETS, Encoding

LIMITS = Limits(max_bytes=50_000_000, max_dimension=8192, max_pixels=40_000_000)
LADDER = Ladder((32, 64), webp=True, avif=True)
WEBP_ONLY = Ladder((64,), webp=True, avif=False)
RED, GREEN, BLUE, GREY = (200, 40, 40), (40, 180, 60), (50, 60, 200), (128, 128, 128)
ORIENTATION, GPS, DESCRIPTION = 0x0112, 0x8825, 0x010E


def quarters(size: tuple[int, int] = (96, 64)) -> Image.Image:
    """Red and green above, blue and grey below: every turn and mirror image of it differs."""
    image = Image.new("RGB", (2, 2))
    for at, colour in zip([(0, 0), (1, 0), (0, 1), (1, 1)], [RED, GREEN, BLUE, GREY], strict=True):
        image.putpixel(at, colour)
    return image.resize(size, Image.Resampling.NEAREST)


def soft(size: tuple[int, int]) -> Image.Image:
    """Smooth noise in three channels: as hard to encode and to shrink as a photograph."""
    small = (size[0] // 4, size[1] // 4)
    return Image.merge("RGB", [Image.effect_noise(small, 60).resize(size) for _ in range(3)])


def encoded(image: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, kind, **options)
    return buffer.getvalue()


def png(size: tuple[int, int], depth: int, colour: int, rows: bytes, extra: bytes = b"") -> bytes:
    """A PNG that Pillow can't write itself: `rows` unfiltered, `extra` whole chunks before the data."""
    header = struct.pack(">IIBBBBB", *size, depth, colour, 0, 0, 0)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", header)
        + extra
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def rendered(
    folder: Path, data: bytes, ladder: Ladder = LADDER, limits: Limits = LIMITS
) -> tuple[Rendered, dict[str, Image.Image]]:
    """Render, check that the report and the files agree, and return it with the opened files by name."""
    original, target = folder / "original", folder / "target"
    original.write_bytes(data)
    target.mkdir()
    report = imaging.render(original, target, limits, ladder, None)
    images: dict[str, Image.Image] = {}
    for rendition in report.renditions:
        path = target / rendition.file
        image = Image.open(path)
        image.load()
        assert (image.width, image.height) == (rendition.width, rendition.height)
        assert image.format == rendition.format.upper()
        assert path.stat().st_size == rendition.bytes
        images[path.name] = image
    assert {path.name for path in target.iterdir()} == set(images)
    return report, images


def without_svt() -> Encoding:
    """The settings by which no SVT-AV1 is there."""
    settings = PRESETS["balanced"]
    return dataclasses.replace(settings, avif_svt={**settings.avif_svt, "codec": "none"})


def refusal(folder: Path, data: bytes, limits: Limits = LIMITS) -> str:
    (folder / "original").write_bytes(data)
    with pytest.raises(BadPicture) as caught:
        imaging.render(folder / "original", folder, limits, LADDER, None)
    assert [path.name for path in folder.iterdir()] == ["original"]
    return str(caught.value)


def assert_colour(image: Image.Image, place: tuple[float, float], colour: tuple[int, ...], within: int = 12) -> None:
    """`place` in fractions of the sides."""
    at = (int(place[0] * image.width), int(place[1] * image.height))
    found = image.getpixel(at)
    assert isinstance(found, tuple)
    assert len(found) == len(colour)
    assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= within, (at, found, colour)


def assert_quarters(image: Image.Image) -> None:
    assert image.mode == "RGB"
    for place, colour in (((0.2, 0.2), RED), ((0.8, 0.2), GREEN), ((0.2, 0.8), BLUE), ((0.8, 0.8), GREY)):
        assert_colour(image, place, colour)


# What is taken


@pytest.mark.parametrize(
    ("kind", "options", "mime", "extension"),
    [
        ("JPEG", {"quality": 95}, "image/jpeg", "jpg"),
        ("JPEG", {"quality": 95, "progressive": True}, "image/jpeg", "jpg"),
        (
            "MPO",
            {"quality": 95, "save_all": True, "append_images": [Image.new("RGB", (96, 64))]},
            "image/jpeg",
            "jpg",
        ),
        ("PNG", {}, "image/png", "png"),
        ("WEBP", {"lossless": True}, "image/webp", "webp"),
        ("WEBP", {"quality": 95}, "image/webp", "webp"),
        ("AVIF", {"quality": 95}, "image/avif", "avif"),
        ("GIF", {}, "image/gif", "gif"),
    ],
)
def test_each_format(tmp_path: Path, kind: str, options: dict[str, Any], mime: str, extension: str) -> None:
    report, images = rendered(tmp_path, encoded(quarters(), kind, **options))
    assert (report.mime, report.extension, report.width, report.height) == (mime, extension, 96, 64)
    assert list(images) == ["32.webp", "32.avif", "64.webp", "64.avif"]
    for image in images.values():
        assert_quarters(image)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "AVIF", "PNG"])
def test_of_an_animation_the_first_frame(tmp_path: Path, kind: str) -> None:
    more = [Image.new("RGB", (96, 64), "white"), Image.new("RGB", (96, 64), "black")]
    _, images = rendered(tmp_path, encoded(quarters(), kind, save_all=True, append_images=more, duration=100))
    for image in images.values():
        assert_quarters(image)
        assert getattr(image, "n_frames", 1) == 1


def test_palette_and_cmyk_pictures_keep_their_colours(tmp_path: Path) -> None:
    for number, data in enumerate(
        [
            encoded(quarters().convert("P", palette=Image.Palette.ADAPTIVE), "PNG"),
            encoded(quarters().convert("CMYK"), "JPEG", quality=95),
        ]
    ):
        (folder := tmp_path / str(number)).mkdir()
        for image in rendered(folder, data)[1].values():
            assert_quarters(image)


@pytest.mark.parametrize(
    "data",
    [
        encoded(Image.new("L", (64, 64), 128), "PNG"),
        encoded(Image.new("L", (64, 64), 128), "JPEG"),
        encoded(Image.new("L", (64, 64), 128), "AVIF"),
        encoded(Image.new("L", (64, 64), 128), "GIF"),
        encoded(Image.new("LA", (64, 64), (128, 255)), "PNG"),
        encoded(Image.new("I;16", (64, 64), 128 * 257), "PNG"),
        png((64, 64), 16, 2, (b"\x00" + struct.pack(">3H", *[128 * 257] * 3) * 64) * 64),
        png((64, 64), 16, 4, (b"\x00" + struct.pack(">2H", 128 * 257, 65535) * 64) * 64),
    ],
    ids=["png-l", "jpeg-l", "avif-l", "gif-l", "png-la", "png-16", "png-rgb-16", "png-la-16"],
)
def test_grey_becomes_rgb_and_16_bits_are_scaled(tmp_path: Path, data: bytes) -> None:
    for image in rendered(tmp_path, data)[1].values():
        assert_colour(image, (0.5, 0.5), GREY, within=3)


def test_one_bit(tmp_path: Path) -> None:
    data = encoded(Image.linear_gradient("L").resize((64, 64)).point(lambda v: 255 * (v > 127), "1"), "PNG")
    for image in rendered(tmp_path, data)[1].values():
        assert_colour(image, (0.5, 0.1), (0, 0, 0))
        assert_colour(image, (0.5, 0.9), (255, 255, 255))


@pytest.mark.parametrize(
    ("mode", "colour", "expected"),
    [
        ("I", 128 * 257, GREY),
        ("I", 70_000, (255, 255, 255)),
        ("F", 128.0, GREY),
        ("PA", 0, None),
        ("RGBa", (64, 64, 64, 128), None),
        ("YCbCr", (128, 128, 128), GREY),
        ("RGBX", (128, 128, 128, 0), GREY),
    ],
)
def test_modes_that_no_format_taken_gives_today(mode: str, colour: Any, expected: tuple[int, ...] | None) -> None:
    plain = colours.plain(Image.new(mode, (4, 4), colour))
    assert plain.mode in ("L", "LA", "RGB", "RGBA")
    if expected:
        assert_colour(plain.convert("RGB"), (0.5, 0.5), expected, within=1)


# Alpha


def half_clear(mode: str = "RGBA") -> Image.Image:
    """Opaque on the left, clear on the right."""
    image = Image.new("RGBA", (64, 64), (*RED, 255))
    image.paste((*RED, 0), (32, 0, 64, 64))
    return image.convert(mode)


@pytest.mark.parametrize(
    "data",
    [
        encoded(half_clear(), "PNG"),
        encoded(half_clear("LA"), "PNG"),
        encoded(half_clear(), "WEBP", lossless=True),
        encoded(half_clear(), "AVIF", quality=95),
        encoded(half_clear(), "GIF"),
        encoded(quarters((64, 64)), "PNG", transparency=GREEN),
        png((64, 64), 16, 0, (b"\x00" + b"\x80\x80" * 32 + b"\x00\x07" * 32) * 64, chunk(b"tRNS", b"\x00\x07")),
        png((8, 8), 1, 0, b"\x00\xf0" * 8, chunk(b"tRNS", b"\x00\x00")),
        png(
            (8, 8),
            1,
            3,
            b"\x00\xf0" * 8,
            chunk(b"PLTE", b"\x00\x00\x00\xc8\x28\x28") + chunk(b"tRNS", b"\x00"),
        ),
    ],
    ids=["png", "png-la", "webp", "avif", "gif", "png-key", "png-16-key", "png-1-key", "png-palette"],
)
def test_alpha_that_shows_is_kept(tmp_path: Path, data: bytes) -> None:
    _, images = rendered(tmp_path, data)
    for image in images.values():
        assert image.mode == "RGBA"
        for place, expected in ((0.2, 255), (0.8, 0)):
            alpha = image.getchannel("A").getpixel((int(place * image.width), image.height // 4))
            assert isinstance(alpha, (int, float))
            assert abs(alpha - expected) <= 12


@pytest.mark.parametrize("kind", ["PNG", "WEBP", "AVIF"])
def test_alpha_that_is_opaque_everywhere_is_dropped(tmp_path: Path, kind: str) -> None:
    """Before the encoders see it: they drop it too, but AVIF with alpha has another encoder than without."""
    contents = []
    for mode in ("RGB", "RGBA"):
        (folder := tmp_path / mode).mkdir()
        options = {"lossless": True} if kind == "WEBP" else {"quality": 95}
        for image in rendered(folder, encoded(quarters().convert(mode), kind, **options))[1].values():
            assert_quarters(image)
        contents.append((folder / "target" / "64.avif").read_bytes())
    assert contents[0] == contents[1]


# Orientation

TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""How a camera stores an upright picture under each EXIF orientation: the inverse of what shows it."""


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_orientation_is_baked_in(tmp_path: Path, kind: str, orientation: int) -> None:
    image = quarters((600, 400))
    stored = image.transpose(TURNS[orientation]) if orientation in TURNS else image
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    data = encoded(stored, kind, quality=95, exif=exif.tobytes())
    report, images = rendered(tmp_path, data, Ladder((60, 150), webp=True, avif=False))
    assert (report.width, report.height) == (600, 400)
    # The narrower one is left out where its edges cost more bytes.
    assert [(made.width, made.height) for made in report.renditions][-1:] == [(150, 100)]
    for made in images.values():
        assert_quarters(made)


@pytest.mark.parametrize("orientation", [0, 9])
def test_an_orientation_that_does_not_exist_is_upright(tmp_path: Path, orientation: int) -> None:
    exif = Image.Exif()
    exif[ORIENTATION] = orientation
    report, images = rendered(tmp_path, encoded(quarters(), "JPEG", quality=95, exif=exif.tobytes()))
    assert (report.width, report.height) == (96, 64)
    for image in images.values():
        assert_quarters(image)


@pytest.mark.parametrize("exif", [b"Exif\x00\x00", b"Exif\x00\x00II*\x00\xff\xff\xff\xff", b"Exif\x00\x00nonsense"])
def test_broken_exif_is_upright(tmp_path: Path, exif: bytes) -> None:
    for image in rendered(tmp_path, encoded(quarters(), "JPEG", quality=95, exif=exif))[1].values():
        assert_quarters(image)


# Colour

P3 = ((0.51512, 0.24120, -0.00105), (0.29198, 0.69225, 0.04189), (0.15710, 0.06657, 0.78407))
"""Display P3's primaries in XYZ at D50."""
XYZ_TO_SRGB = ((3.13386, -1.61687, -0.49061), (-0.97877, 1.91614, 0.03345), (0.07195, -0.22899, 1.40524))
"""Lindbloom's sRGB matrix at D50."""


def fixed(*values: float) -> bytes:
    return b"".join(struct.pack(">i", round(value * 65536)) for value in values)


def profile_of(kind: bytes, space: bytes, pcs: bytes, tags: dict[bytes, bytes]) -> bytes:
    """A colour profile written out by hand (ICC.1:2001, version 2)."""
    tags = {b"cprt": b"text\x00\x00\x00\x00none\x00\x00\x00\x00", **tags}
    tags[b"wtpt"] = b"XYZ \x00\x00\x00\x00" + fixed(0.9642, 1.0, 0.8249)
    table, content, at = struct.pack(">I", len(tags)), b"", 128 + 4 + 12 * len(tags)
    for name, tag in tags.items():
        table += name + struct.pack(">II", at + len(content), len(tag))
        content += tag
    head = struct.pack(">I4sI4s4s4s", at + len(content), b"\x00" * 4, 0x02400000, kind, space, pcs)
    head += b"\x00" * 12 + b"acsp" + b"\x00" * 28 + fixed(0.9642, 1.0, 0.8249) + b"\x00" * 48
    return head + table + content


def curve(gamma: float) -> bytes:
    return b"curv\x00\x00\x00\x00\x00\x00\x00\x01" + struct.pack(">H", round(gamma * 256)) + b"\x00\x00"


def p3_profile() -> bytes:
    """A display with P3's primaries and a gamma of 2.2."""
    tags = {}
    for letter, primary in zip((b"r", b"g", b"b"), P3, strict=True):
        tags[letter + b"XYZ"] = b"XYZ \x00\x00\x00\x00" + fixed(*primary)
        tags[letter + b"TRC"] = curve(2.2)
    return profile_of(b"mntr", b"RGB ", b"XYZ ", tags)


def grey_profile() -> bytes:
    """Linear light: 128 is 188 in sRGB."""
    return profile_of(b"mntr", b"GRAY", b"XYZ ", {b"kTRC": curve(1.0)})


def press_profile() -> bytes:
    """A press that prints every CMYK as the same grey, L* 50, which is 119 in sRGB."""
    ramp = bytes(range(256))
    lut = b"mft1\x00\x00\x00\x00\x04\x03\x02\x00" + fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    lut += ramp * 4 + bytes((128, 128, 128)) * 2**4 + ramp * 3
    return profile_of(b"prtr", b"CMYK", b"Lab ", {b"A2B0": lut})


def p3_to_srgb(colour: tuple[int, ...]) -> tuple[int, ...]:
    linear = [(value / 255) ** 2.2 for value in colour]
    xyz = [sum(linear[i] * P3[i][axis] for i in range(3)) for axis in range(3)]
    srgb = [min(1.0, max(0.0, sum(a * b for a, b in zip(row, xyz, strict=True)))) for row in XYZ_TO_SRGB]
    return tuple(round(255 * (12.92 * v if v <= 0.0031308 else 1.055 * v ** (1 / 2.4) - 0.055)) for v in srgb)


@pytest.mark.parametrize(
    ("kind", "mode"),
    [
        *((kind, "RGB") for kind in ("JPEG", "PNG", "WEBP", "AVIF")),
        *((kind, "RGBA") for kind in ("PNG", "WEBP", "AVIF")),
        ("PNG", "P"),
    ],
)
def test_wide_gamut_becomes_srgb(tmp_path: Path, kind: str, mode: str) -> None:
    colour = (200, 100, 50)
    expected = p3_to_srgb(colour)
    assert max(abs(a - b) for a, b in zip(colour, expected, strict=True)) > 12
    image = Image.new("RGB", (64, 64), colour).convert(mode, palette=Image.Palette.ADAPTIVE)  # not dithered
    if mode == "RGBA":
        image.putpixel((0, 0), (*colour, 0))
    _, images = rendered(tmp_path, encoded(image, kind, quality=100, icc_profile=p3_profile()))
    for made in images.values():
        assert made.mode == ("RGBA" if mode == "RGBA" else "RGB")
        assert_colour(made.convert("RGB"), (0.6, 0.6), expected, within=5)


def test_grey_and_press_profiles(tmp_path: Path) -> None:
    grey = encoded(Image.new("L", (64, 64), 128), "PNG", icc_profile=grey_profile())
    press = encoded(Image.new("CMYK", (64, 64), (0, 200, 200, 0)), "JPEG", icc_profile=press_profile())
    for name, data, expected in (("grey", grey, 188), ("press", press, 119)):
        (folder := tmp_path / name).mkdir()
        for image in rendered(folder, data)[1].values():
            assert_colour(image, (0.5, 0.5), (expected,) * 3, within=4)


@pytest.mark.parametrize(
    "profile",
    [
        b"nonsense",
        p3_profile()[:200],
        ImageCms.ImageCmsProfile(ImageCms.createProfile("LAB")).tobytes(),
        p3_profile().replace(b"RGB XYZ ", b"CMYKXYZ "),
        grey_profile(),
        press_profile(),
    ],
    ids=["nonsense", "cut", "lab", "cmyk-claimed", "grey", "cmyk"],
)
def test_an_unusable_profile_is_ignored(tmp_path: Path, profile: bytes) -> None:
    for image in rendered(tmp_path, encoded(quarters(), "PNG", icc_profile=profile))[1].values():
        assert_quarters(image)


# Metadata


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
def test_no_metadata_is_left(tmp_path: Path, kind: str) -> None:
    exif = Image.Exif()
    exif[DESCRIPTION] = "SECRET-exif"
    exif[GPS] = {1: "N", 2: (52.0, 31.0, 12.0), 29: "SECRET-gps"}
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", "SECRET-text")
    profile = p3_profile().replace(b"none\x00", b"SECR\x00")
    everything: dict[str, Any] = {
        "exif": exif.tobytes(),
        "xmp": b"<x:xmpmeta xmlns:x='adobe:ns:meta/'>SECRET-xmp</x:xmpmeta>",
        "icc_profile": profile,
        "comment": b"SECRET-comment",
        "pnginfo": text,
    }
    data = encoded(quarters((96, 64)), kind, **everything)
    assert b"SECR" in data
    for alpha in (False, True) if kind in ("PNG", "WEBP", "AVIF") else (False,):
        if alpha:
            data = encoded(half_clear(), kind, **everything)
        (folder := tmp_path / str(alpha)).mkdir()
        _, images = rendered(folder, data)
        for name, image in images.items():
            content = (folder / "target" / name).read_bytes()
            for mark in (b"SECR", b"Exif", b"EXIF", b"xmp", b"XMP", b"ICCP", b"prof", b"acsp", b"GPS"):
                assert mark not in content, (name, mark)
            assert not image.getexif()
            assert not {"exif", "xmp", "icc_profile", "comment"} & set(image.info)


# The ladder


def test_never_upscaled_and_heights_rounded(tmp_path: Path) -> None:
    report, _ = rendered(tmp_path, encoded(soft((100, 67)), "JPEG"), Ladder((32, 64, 320, 640), webp=True, avif=True))
    sizes = [(made.width, made.height, made.format) for made in report.renditions]
    assert sizes == [
        (width, height, name) for width, height in ((32, 21), (64, 43), (100, 67)) for name in ("webp", "avif")
    ]


@pytest.mark.parametrize("size", [(1, 8000), (8000, 1), (1, 1), (2, 3), (5, 3), (17, 4000), (8192, 64)])
def test_extreme_sides(tmp_path: Path, size: tuple[int, int]) -> None:
    ladder = Ladder((32, 1920), webp=True, avif=True)
    report, images = rendered(tmp_path, encoded(Image.new("RGB", size, RED), "PNG"), ladder)
    assert report.renditions[-1].width == min(size[0], 1920)
    for image in images.values():
        assert_colour(image, (0.5, 0.5), RED)


def test_a_rendition_beyond_webp_is_refused(tmp_path: Path) -> None:
    limits = Limits(50_000_000, 20_000, 40_000_000)
    reason = refusal(tmp_path, encoded(Image.new("L", (8, 17_000)), "PNG"), limits)
    assert reason == "too long: a rendition of 8×17000 pixels, at most 16383 a side"


def test_neither_format_still_decodes(tmp_path: Path) -> None:
    data = encoded(soft((200, 150)), "JPEG")
    report, images = rendered(tmp_path, data, Ladder((64,), webp=False, avif=False))
    assert (report.width, report.height, report.renditions, images) == (200, 150, (), {})
    (tmp_path / "original").write_bytes(data[:-500])
    with pytest.raises(BadPicture, match=r"^truncated: "):
        imaging.render(tmp_path / "original", tmp_path, LIMITS, Ladder((64,), webp=False, avif=False), None)


def test_draft_and_chain_are_close_to_a_full_lanczos() -> None:
    light, hue = (Image.effect_noise((2560 // part, 1920 // part), 60).resize((2560, 1920)) for part in (6, 40))
    image = Image.merge("RGB", (light, Image.blend(light, hue, 0.3), light))  # colours change slower than light
    data = encoded(image, "JPEG", quality=90)
    ladder = Ladder((320, 640, 1280), webp=True, avif=False)
    header = check(data, LIMITS)
    gauge = Gauge.start("a test", 0, None)
    _, steps, picture, _ = decoder.decode(data, header, LIMITS, ladder, gauge)
    assert picture.size == (1280, 960)
    full = Image.open(io.BytesIO(data))
    for step in reversed(steps):
        picture = scaler.resized(picture, step)
        difference = ImageChops.difference(picture, full.resize(step, Image.Resampling.LANCZOS))
        assert max(ImageStat.Stat(difference).mean) < 1.5, step


def test_the_same_file_gives_the_same_bytes(tmp_path: Path) -> None:
    data = encoded(soft((400, 300)), "JPEG")
    contents = []
    for name in ("first", "second"):
        (folder := tmp_path / name).mkdir()
        rendered(folder, data, Ladder((160, 320), webp=True, avif=True))
        contents.append({path.name: path.read_bytes() for path in (folder / "target").iterdir()})
    assert contents[0] == contents[1]


# What is refused


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF", "GIF"])
@pytest.mark.parametrize("kept", [0.002, 0.3, 0.9])
def test_truncated(tmp_path: Path, kind: str, kept: float) -> None:
    data = encoded(soft((300, 200)), kind)
    reason = refusal(tmp_path, data[: max(20, int(kept * len(data)))])
    assert reason.startswith(("truncated: ", "damaged or cut off: ", "damaged: "))
    assert " at 0x" not in reason


@pytest.mark.parametrize("kind", ["JPEG", "PNG", "WEBP", "AVIF"])
def test_damaged(tmp_path: Path, kind: str) -> None:
    data = bytearray(encoded(soft((300, 200)), kind))
    data[len(data) // 3 : 2 * len(data) // 3] = bytes(2 * len(data) // 3 - len(data) // 3)
    (tmp_path / "original").write_bytes(data)
    (target := tmp_path / "target").mkdir()
    try:
        imaging.render(tmp_path / "original", target, LIMITS, LADDER, None)
    except BadPicture:  # a JPEG and an AVIF may decode into wrong pixels: nobody can tell
        assert not list(target.iterdir())


def test_a_first_frame_beyond_its_gif_canvas_is_measured(tmp_path: Path) -> None:
    data = bytearray(encoded(Image.new("P", (64, 64)), "GIF"))
    at = data.index(b"\x2c\x00\x00\x00\x00\x40\x00\x40\x00")
    data[at + 5 : at + 9] = struct.pack("<HH", 8500, 64)
    assert refusal(tmp_path, bytes(data)).startswith("too large: 8500×64 pixels, at most 8192 a side")


def test_pillows_own_limit_stands_at_ours_and_is_put_back(tmp_path: Path) -> None:
    before = Image.MAX_IMAGE_PIXELS
    limits = Limits(50_000_000, 8192, 300 * 200)
    with pillow.strict_pillow(limits), pytest.raises(Image.DecompressionBombWarning):
        Image.open(io.BytesIO(encoded(Image.new("L", (301, 200)), "PNG")))
    rendered(tmp_path, encoded(Image.new("L", (300, 200)), "PNG"), limits=limits)
    assert before == Image.MAX_IMAGE_PIXELS


# The disk


def test_a_missing_original_passes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        imaging.render(tmp_path / "none", tmp_path, LIMITS, LADDER, None)


@pytest.mark.parametrize("cap_bytes", [None, 1])
def test_a_full_disk_is_no_bad_picture_and_no_want_of_memory(tmp_path: Path, cap_bytes: int | None) -> None:
    (tmp_path / "original").write_bytes(encoded(quarters(), "PNG"))
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (16, hard))  # no file may grow beyond 16 bytes: a disk without room
    try:
        with pytest.raises(OSError, match="too large") as caught:
            imaging.render(tmp_path / "original", tmp_path, LIMITS, WEBP_ONLY, cap_bytes)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert caught.value.errno == errno.EFBIG


def test_a_target_that_cannot_be_written_passes_as_oserror(tmp_path: Path) -> None:
    (tmp_path / "original").write_bytes(encoded(quarters(), "PNG"))
    (tmp_path / "64.webp").mkdir()
    with pytest.raises(IsADirectoryError):
        imaging.render(tmp_path / "original", tmp_path, LIMITS, WEBP_ONLY, None)
    with pytest.raises(FileNotFoundError):
        imaging.render(tmp_path / "original", tmp_path / "none", LIMITS, WEBP_ONLY, None)


def test_files_are_synced_when_all_are_complete_and_the_folder_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    synced: list[tuple[str, list[int]]] = []
    really = os.fsync

    def fsync(handle: int) -> None:
        sizes = sorted(path.stat().st_size for path in (tmp_path / "target").iterdir())
        synced.append((Path(f"/proc/self/fd/{handle}").readlink().name, sizes))
        really(handle)

    monkeypatch.setattr(os, "fsync", fsync)
    report, images = rendered(tmp_path, encoded(quarters(), "PNG"))
    assert sorted(name for name, _ in synced[:-1]) == sorted(images)
    assert synced[-1][0] == "target"
    assert all(sizes == sorted(made.bytes for made in report.renditions) for _, sizes in synced)


# Memory

# WebP only: an AVIF encoder may crash near the cap instead of failing.
CHILD = """
import resource, sys
from pathlib import Path
from workers.rendering import imaging
original, target, cap = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3]) << 20
resource.setrlimit(resource.RLIMIT_DATA, (cap, cap))
limits = imaging.Limits(50_000_000, 8192, 40_000_000)
try:
    imaging.render(original, target, limits, imaging.Ladder((64,), True, False), cap)
    print("done")
except (imaging.BadPicture, imaging.OutOfMemory) as error:
    print(type(error).__name__, type(error.__cause__).__name__)
"""


def under_cap(folder: Path, data: bytes, cap_mib: int) -> str:
    (folder / "original").write_bytes(data)
    root = Path(imaging.__file__).parents[3]
    command = [sys.executable, "-c", CHILD, str(folder / "original"), str(folder), str(cap_mib)]
    child = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60, cwd=root)
    assert child.returncode == 0, child.stderr
    return child.stdout.strip()


LARGE = Image.linear_gradient("L").resize((3000, 2000)).convert("RGB")


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {"progressive": True}),
        ("PNG", {"compress_level": 1}),
        ("WEBP", {"method": 0}),
        ("AVIF", {"codec": "aom", "speed": 10}),
        ("GIF", {}),
    ],
)
def test_short_memory_is_no_verdict(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    data = encoded(LARGE, kind, **options)
    assert under_cap(tmp_path, data, 24).split()[0] == "OutOfMemory"
    assert under_cap(tmp_path, data, 512) == "done"


def test_a_cut_picture_is_a_verdict_only_with_room_to_spare(tmp_path: Path) -> None:
    data = encoded(LARGE, "PNG", compress_level=1)[:-5000]
    assert under_cap(tmp_path, data, 120).split()[0] == "OutOfMemory"
    assert under_cap(tmp_path, data, 512).split()[0] == "BadPicture"


def test_near_the_cap_nothing_is_ignored_or_replaced(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A profile skipped, or another encoder taken, for want of memory would change the picture for good."""
    (tmp_path / "original").write_bytes(encoded(quarters(), "PNG", icc_profile=b"nonsense"))
    with pytest.raises(OutOfMemory):
        imaging.render(tmp_path / "original", tmp_path, LIMITS, LADDER, 1)
    (tmp_path / "original").write_bytes(encoded(quarters(), "PNG"))
    monkeypatch.setitem(PRESETS, "balanced", without_svt())
    with pytest.raises(OutOfMemory):
        imaging.render(tmp_path / "original", tmp_path, LIMITS, LADDER, 1)


def test_a_second_rendering_leaves_what_was_linked_from_the_first_alone(tmp_path: Path) -> None:
    Image.new("RGB", (80, 60), "red").save(tmp_path / "original", "JPEG")
    imaging.render(tmp_path / "original", tmp_path, LIMITS, WEBP_ONLY, None)
    rendition = next(tmp_path.glob("*.webp"))
    (tmp_path / "object").hardlink_to(rendition)
    before = (tmp_path / "object").read_bytes()
    Image.new("RGB", (80, 60), "blue").save(tmp_path / "original", "JPEG")
    imaging.render(tmp_path / "original", tmp_path, LIMITS, WEBP_ONLY, None)
    assert (tmp_path / "object").read_bytes() == before != rendition.read_bytes()


def test_warmed_up_nothing_more_is_imported() -> None:
    script = (
        "import sys; from workers.rendering import imaging\n"
        "from workers.rendering.imaging.codec import pipeline, warming\n"
        "imaging.warm_up(); before = set(sys.modules)\n"
        "for sample in warming.samples(): pipeline.develop(sample, imaging.Limits(10**6, 999, 10**6),"
        " imaging.Ladder((9, 40), True, True), None, 2)\n"
        "print(sorted(set(sys.modules) - before))"
    )
    root = Path(imaging.__file__).parents[3]
    child = subprocess.run(
        [sys.executable, "-W", "error", "-c", script], capture_output=True, text=True, check=False, cwd=root
    )
    assert (child.returncode, child.stdout, child.stderr) == (0, "[]\n", "")


WITHOUT_THREADS = """
import io, os, resource
from PIL import Image
import workers.rendering.imaging.codec
picture = Image.new("RGB", (800, 600))
Image.init()
resource.setrlimit(resource.RLIMIT_NPROC, (1, 1))
if os.getuid() == 0:  # who is not held to it
    os.setgroups([])
    os.setresuid(65534, 65534, 65534)
try:
    picture.save(io.BytesIO(), "AVIF", codec="svt")
except RuntimeError:
    print("refused")
"""


def test_an_encoder_that_gets_no_thread_writes_nothing_among_the_records() -> None:
    root = Path(imaging.__file__).parents[3]
    command = [sys.executable, "-c", WITHOUT_THREADS]
    done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60, cwd=root)
    assert (done.stdout, done.stderr) == ("refused\n", "")
