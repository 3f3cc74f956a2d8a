"""Stripped originals: the same picture to the last bit, and nothing else of what the file said."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pillow_avif  # noqa: F401 - registers its decoder
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import ExifTags, Image, ImageCms, PngImagePlugin

from tests.workers.rendering.imaging import kinds
from workers.stripping import Unstrippable, strip, write_stripped

MARK = b"PLANTED-52.5200N-13.4050E-BY-A-TEST"
XMP = b'<x:xmpmeta xmlns:x="adobe:ns:meta/">' + MARK + b"</x:xmpmeta>"
PROFILE = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()


def extension(name: str) -> str:
    return name.split(maxsplit=1)[0]


def exif(orientation: int = 6) -> Image.Exif:
    """What a telephone writes: device, place, a comment, which way it was held."""
    written = Image.Exif()
    written[ExifTags.Base.Make] = MARK.decode()
    written[ExifTags.Base.UserComment] = MARK
    if orientation:
        written[ExifTags.Base.Orientation] = orientation
    written.get_ifd(ExifTags.IFD.GPSInfo)[ExifTags.GPS.GPSAreaInformation] = MARK
    return written


def saved(format: str, mode: str = "RGB", frames: int = 1, **options: Any) -> bytes:
    picture = Image.linear_gradient("L").resize((96, 64)).convert("RGB")
    pictures = [picture.rotate(90 * number).convert(mode) for number in range(frames)]
    buffer = io.BytesIO()
    more = {"save_all": True, "append_images": pictures[1:]} if frames > 1 else {}
    pictures[0].save(buffer, format, **more, **options)
    return buffer.getvalue()


# --- how each format is planted with what must go --------------------------------------------------------------


def planted_jpeg(data: bytes) -> bytes:
    """In every APPn and a comment before the picture, between its scans, and behind it; a thumbnail in JFIF."""

    def segment(marker: int, content: bytes) -> bytes:
        return struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content

    prefixes = {1: b"http://ns.adobe.com/xmp/extension/\x00", 2: b"MPF\x00", 13: b"Photoshop 3.0\x008BIM"}
    more = b"".join(segment(0xE0 + number, prefixes.get(number, b"") + MARK) for number in range(16))
    more += segment(0xE0, b"JFXX\x00\x10" + MARK) + segment(0xFE, MARK)
    thumbnail = struct.pack(">5sHBHHBB", b"JFIF\x00", 0x0102, 0, 1, 1, 4, 3) + MARK + b"t"
    behind = segment(0xFE, MARK)
    last_scan = data.rindex(b"\xff\xda")
    return data[:2] + segment(0xE0, thumbnail) + more + data[2:last_scan] + behind + data[last_scan:]


def planted_png(data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    more = b"".join(chunk(kind, MARK + b"\x00" + MARK) for kind in (b"tEXt", b"tIME", b"sPLT", b"prVt", b"caBX"))
    more += chunk(b"zTXt", MARK + b"\x00\x00" + zlib.compress(MARK)) + chunk(b"iTXt", MARK + bytes(5) + MARK)
    return data[:33] + more + data[33:-12] + chunk(b"tEXt", MARK) + data[-12:]


def planted_webp(data: bytes) -> bytes:
    def chunk(kind: bytes, content: bytes) -> bytes:
        return kind + struct.pack("<I", len(content)) + content + b"!" * (len(content) % 2)

    body = data[8:] + chunk(b"prVt", MARK) + chunk(b"XMP ", MARK)
    return b"RIFF" + struct.pack("<I", len(body)) + body


def planted_gif(data: bytes) -> bytes:
    def blocks(content: bytes) -> bytes:
        return bytes((len(content),)) + content + b"\x00"

    more = b"\x21\xfe" + blocks(MARK) + b"\x21\xff\x0bXMP DataXMP" + blocks(MARK)
    more += b"\x21\xff\x0bPRIVATE0001" + blocks(MARK) + b"\x21\x01" + b"\x0c" + bytes(12) + blocks(MARK)
    loop = b"\x21\xff\x0bNETSCAPE2.0\x03\x01\x05\x00" + blocks(MARK)
    first = 13 + (3 << ((data[10] & 7) + 1) if data[10] & 0x80 else 0)
    return data[:first] + loop + more + data[first:-1] + more + data[-1:]


def planted_avif(data: bytes) -> bytes:
    """In boxes of several kinds behind the picture, and in what of the lists is text."""
    named = data.replace(b"Color\x00", b"GPS-5\x00").replace(b"libavif\x00", b"52.52N\x00\x00")
    return named + b"".join(
        struct.pack(">I4s", 8 + len(MARK), kind) + MARK
        for kind in (b"free", b"skip", b"uuid", b"udta", b"prVt", b"mdat")
    )


@cache
def samples() -> dict[str, bytes]:
    """A file by name, planted in each place where a program may have written something. The name begins as its type."""
    text = PngImagePlugin.PngInfo()
    text.add_text("Comment", MARK.decode())
    text.add_itxt("XML:com.adobe.xmp", XMP.decode())
    all_of_it: dict[str, Any] = {"exif": exif(), "icc_profile": PROFILE, "xmp": XMP}
    plain = {
        "jpg": saved("JPEG", comment=MARK, **all_of_it),
        "jpg progressive": saved("JPEG", progressive=True, exif=exif(8)),
        "jpg grey": saved("JPEG", "L", exif=exif(3)),
        "jpg CMYK": saved("JPEG", "CMYK", exif=exif(5)),
        "jpg with another": saved("MPO", frames=2, exif=exif()),
        "png": saved("PNG", exif=exif(), icc_profile=PROFILE, pnginfo=text),
        "png palette": saved("PNG", "P", exif=exif(2)),
        "png animation": saved("PNG", frames=3, pnginfo=text),
        "webp": saved("WEBP", **all_of_it),
        "webp alpha": saved("WEBP", "RGBA", **all_of_it),
        "webp plain": saved("WEBP", lossless=True),
        "webp animation": saved("WEBP", frames=3, **all_of_it),
        "gif": saved("GIF", "P", comment=MARK),
        "gif animation": saved("GIF", "P", frames=3, comment=MARK, loop=7),
        "avif": saved("AVIF", **all_of_it),
        "avif alpha": saved("AVIF", "RGBA", **all_of_it),
        "avif animation": saved("AVIF", frames=3, xmp=XMP),
    }
    plant: dict[str, Callable[[bytes], bytes]] = {
        "jpg": planted_jpeg,
        "png": planted_png,
        "webp": planted_webp,
        "gif": planted_gif,
        "avif": planted_avif,
    }
    return {name: plant[extension(name)](data) + MARK for name, data in plain.items()}


NAMES = tuple(samples())


def seen(data: bytes) -> tuple[Any, ...]:
    """What a decoder makes of the file: all frames and their times, orientation, profile, repetitions."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        with Image.open(io.BytesIO(data)) as image:
            orientation = image.getexif().get(ExifTags.Base.Orientation, 1)
            frames = []
            for number in range(1 if image.format in ("JPEG", "MPO") else getattr(image, "n_frames", 1)):
                image.seek(number)
                image.load()
                frames.append((image.mode, image.size, image.tobytes(), image.info.get("duration")))
            upright = orientation if orientation in range(1, 9) else 1
            return frames, upright, image.info.get("icc_profile"), image.info.get("loop")


# --- what goes and what stays ----------------------------------------------------------------------------------


@pytest.mark.parametrize("name", NAMES)
def test_everything_planted_is_gone_and_the_picture_is_the_same(name: str) -> None:
    data = samples()[name]
    stripped = strip(data, extension(name))
    assert MARK in data
    assert MARK not in stripped
    for piece in (b"PLANTED", b"52.52", b"GPS", b"xmpmeta", b"Comment", b"libavif", b"Color\x00"):
        assert piece not in stripped.replace(PROFILE, b"")
    assert seen(stripped) == seen(data)


@pytest.mark.parametrize("name", NAMES)
def test_what_is_stripped_stays_as_it_is(name: str) -> None:
    stripped = strip(samples()[name], extension(name))
    assert strip(stripped, extension(name)) == stripped


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP"])
@pytest.mark.parametrize("orientation", range(9))
def test_the_orientation_is_kept_and_is_all_that_exif_says(format: str, orientation: int) -> None:
    data = saved(format, exif=exif(orientation))
    stripped = strip(data, {"JPEG": "jpg"}.get(format, format.lower()))
    with Image.open(io.BytesIO(stripped)) as image:
        expected = {ExifTags.Base.Orientation: orientation} if orientation > 1 else {}
        assert dict(image.getexif()) == expected
        assert ("exif" in image.info) == (orientation > 1)


def test_what_xmp_or_an_old_program_says_of_the_orientation_goes() -> None:
    """Browsers don't look at it."""
    turned = XMP.replace(MARK, b'<rdf:Description tiff:Orientation="8"/>')
    text = PngImagePlugin.PngInfo()
    text.add_itxt("XML:com.adobe.xmp", turned.decode(), zip=True)
    raw = PngImagePlugin.PngInfo()
    raw.add_text("Raw profile type exif", f"\nexif\n{len(exif(8).tobytes())}\n{exif(8).tobytes().hex()}\n", zip=True)
    for kind, data in (
        ("jpg", saved("JPEG", xmp=turned)),
        ("webp", saved("WEBP", xmp=turned, exif=exif(0))),
        ("png", saved("PNG", pnginfo=text)),
        ("png", saved("PNG", pnginfo=raw)),
    ):
        assert seen(data)[1] == 8, "by Pillow"
        stripped = strip(data, kind)
        assert (seen(stripped)[0], seen(stripped)[1]) == (seen(data)[0], 1)


def test_original_and_renditions_are_the_same_way_up() -> None:
    for name, kind in kinds.not_turned().items():
        stripped = strip(kind.data, name.split(maxsplit=1)[0].replace("jpeg", "jpg"))
        assert kinds.decoded(stripped).tobytes() == kinds.decoded(kind.data).tobytes(), name


def test_an_avif_that_is_turned_by_its_properties() -> None:
    data = saved("AVIF", exif=exif(7))
    assert b"irot" in data
    stripped = strip(data, "avif")
    assert b"irot" in stripped and b"Exif" not in stripped and len(stripped) == len(data)
    assert seen(stripped)[1] == seen(data)[1] == 7


# --- what can't be stripped ------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", [name for name in NAMES if " " not in name])
def test_a_file_that_is_cut_off_cannot_be_stripped(name: str) -> None:
    whole = strip(samples()[name], extension(name))
    for length in (0, 1, 11, 40, len(whole) // 2, len(whole) - 1):
        with pytest.raises(Unstrippable):
            strip(whole[:length], extension(name))


@pytest.mark.parametrize("kind", ["tiff", "heic", "", "jpg", "png", "webp", "avif", "gif"])
def test_what_is_of_another_kind_cannot_be_stripped(kind: str) -> None:
    with pytest.raises(Unstrippable):
        strip(b"II*\x00" + MARK, kind)


def test_an_avif_whose_metadata_lies_in_its_picture_cannot_be_stripped() -> None:
    """Zeroed, it would take a piece of the picture with it; left, it would stay."""
    data = saved("AVIF", exif=exif())
    iloc = data.index(b"iloc")
    entries = [data.index(struct.pack(">HHHI", number, 0, 1, 0)[:6], iloc) for number in (1, 2)]
    shared = bytearray(data)
    shared[entries[1] + 6 : entries[1] + 10] = data[entries[0] + 6 : entries[0] + 10]
    with pytest.raises(Unstrippable, match="share"):
        strip(bytes(shared), "avif")


CHANGE = st.tuples(st.sampled_from(("set", "insert", "delete")), st.integers(0), st.binary(min_size=1, max_size=9))


@settings(max_examples=150)
@given(name=st.sampled_from(NAMES), changes=st.lists(CHANGE, min_size=1, max_size=3))
def test_a_damaged_file_is_refused_or_stays_the_picture_that_it_is(
    name: str, changes: list[tuple[str, int, bytes]]
) -> None:
    data = bytearray(samples()[name])
    for what, place, content in changes:
        at = place % len(data)
        data[at : at + (0 if what == "insert" else len(content))] = b"" if what == "delete" else content
    try:
        stripped = strip(bytes(data), extension(name))
    except Unstrippable:
        return
    assert strip(stripped, extension(name)) == stripped
    try:
        expected = seen(bytes(data))
    except Exception:  # no picture, whatever of many types the decoder says to that
        return
    found = seen(stripped)
    # Where EXIF is damaged, decoders differ on how much of it still holds.
    assert (found[0], found[2:]) == (expected[0], expected[2:])


# --- to disk ---------------------------------------------------------------------------------------------------


def test_a_stripped_file_is_a_new_one(tmp_path: Path) -> None:
    """The one that lay there may have become an object, by a hard link."""
    original, target, published = tmp_path / "original", tmp_path / "stripped", tmp_path / "object"
    original.write_bytes(samples()["jpg"])
    target.write_bytes(b"an earlier one")
    published.hardlink_to(target)
    size = write_stripped(original, target, "jpg")
    assert target.read_bytes() == strip(samples()["jpg"], "jpg")
    assert size == target.stat().st_size
    assert published.read_bytes() == b"an earlier one"
