"""Claims are refused from the header alone: Pillow only writes the sound pictures here, and reads none."""

from __future__ import annotations

import io
import struct
import time
import tracemalloc
import zlib
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pillow_avif  # noqa: F401  registers AVIF
import pytest
from PIL import Image

from workers.rendering.imaging.gate import BadPicture, Header, Limits, check, inspect
from workers.rendering.imaging.gate.jpeg import MAX_JPEG_PADDING_BYTES

LIMITS = Limits(max_bytes=52_428_800, max_dimension=8192, max_pixels=40_000_000)


def encoded(kind: str, size: tuple[int, int] = (60, 40), mode: str = "RGB", **options: Any) -> bytes:
    buffer = io.BytesIO()
    Image.new(mode, size).save(buffer, kind, **options)
    return buffer.getvalue()


def refusal(data: bytes, limits: Limits = LIMITS) -> str:
    with pytest.raises(BadPicture) as caught:
        check(data, limits)
    return str(caught.value)


def box(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", 8 + len(content)) + kind + content


def avif_of(width: int, height: int) -> bytes:
    ispe = box(b"ispe", struct.pack(">III", 0, width, height))
    meta = box(b"meta", b"\x00" * 4 + box(b"iprp", box(b"ipco", ispe)))
    return box(b"ftyp", b"avif\x00\x00\x00\x00avifmif1") + meta


def png_of(width: int, height: int) -> bytes:
    ihdr = b"IHDR" + struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + struct.pack(">I", 13) + ihdr + struct.pack(">I", zlib.crc32(ihdr))


def webp_of(chunk: bytes, width: int, height: int) -> bytes:
    body = {
        b"VP8X": b"\x00" * 4 + max(width - 1, 0).to_bytes(3, "little") + max(height - 1, 0).to_bytes(3, "little"),
        b"VP8L": b"\x2f"
        + ((max(width - 1, 0) | max(height - 1, 0) << 14) & 0xFFFFFFFF).to_bytes(4, "little")
        + b"\x00" * 5,
        b"VP8 ": b"\x00\x00\x00\x9d\x01\x2a" + struct.pack("<HH", width & 0xFFFF, height & 0xFFFF),
    }[chunk]
    return b"RIFF" + struct.pack("<I", 12 + len(body)) + b"WEBP" + chunk + struct.pack("<I", len(body)) + body


def gif_of(width: int, height: int) -> bytes:
    return b"GIF89a" + struct.pack("<HH", width, height) + b"\x00\x00\x00"


def jpeg_of(width: int, height: int) -> bytes:
    return b"\xff\xd8\xff\xc0\x00\x11\x08" + struct.pack(">HH", height, width) + b"\x03" + b"\x01\x11\x00" * 3


CLAIMS: dict[str, Callable[[int, int], bytes]] = {
    "PNG": png_of,
    "AVIF": avif_of,
    "GIF": gif_of,
    "JPEG": jpeg_of,
    "VP8X": partial(webp_of, b"VP8X"),
    "VP8L": partial(webp_of, b"VP8L"),
    "VP8": partial(webp_of, b"VP8 "),
}


@pytest.mark.parametrize(
    ("kind", "options"),
    [
        ("JPEG", {}),
        ("JPEG", {"progressive": True, "optimize": True, "restart_marker_rows": 1}),
        ("JPEG", {"mode": "CMYK"}),
        ("PNG", {"mode": "1"}),
        ("GIF", {}),
        ("WEBP", {}),
        ("WEBP", {"lossless": True}),
        ("WEBP", {"mode": "RGBA"}),
        ("WEBP", {"exif": b"Exif\x00\x00"}),
        ("WEBP", {"save_all": True, "append_images": [Image.new("RGB", (60, 40), "red")]}),
        ("AVIF", {}),
        ("AVIF", {"mode": "RGBA"}),
        ("AVIF", {"save_all": True, "append_images": [Image.new("RGB", (60, 40), "red")]}),
    ],
)
def test_what_pillow_writes_passes(tmp_path: Path, kind: str, options: dict[str, Any]) -> None:
    path = tmp_path / "picture"
    path.write_bytes(encoded(kind, **options))
    assert inspect(path, LIMITS) == Header(kind, 60, 40)


def test_a_missing_file_passes(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError):
        inspect(tmp_path / "none", LIMITS)


def test_bytes(tmp_path: Path) -> None:
    path = tmp_path / "picture"
    for content, reason in ((b"", r"^empty file$"), (b"\xff", r"^not a picture: starts with FF$")):
        path.write_bytes(content)
        with pytest.raises(BadPicture, match=reason):
            inspect(path, LIMITS)
    with path.open("wb") as file:
        file.truncate(61_234_567)  # a hole: costs no disk
    tracemalloc.start()
    with pytest.raises(BadPicture) as caught:
        inspect(path, LIMITS)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert str(caught.value) == "too large: 61,234,567 bytes, at most 52,428,800 (MAX_IMAGE_SIZE_BYTES)"
    assert peak < 1_000_000
    path.write_bytes(encoded("PNG"))
    size = path.stat().st_size
    inspect(path, Limits(size, 60, 2400))
    with pytest.raises(BadPicture, match=r"^too large: "):
        inspect(path, Limits(size - 1, 60, 2400))


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "empty file"),
        (b"%PDF-1.7\n", "not a picture: starts with 25 50 44 46 (PDF)"),
        (b"PK\x03\x04rest", "not a picture: starts with 50 4B 03 04 (ZIP)"),
        (b"<!DOCTYPE html><p>404", "not a picture: starts with 3C 21 44 4F (HTML)"),
        (
            b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42",
            "not a picture: starts with 00 00 00 18 (MP4 or QuickTime)",
        ),
        (b"hello", "not a picture: starts with 68 65 6C 6C"),
        (b"\xff", "not a picture: starts with FF"),
        (b"\x00\x00\x00\x18ftypheic\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"\x00\x00\x00\x18ftypmif1\x00\x00\x00\x00mif1heic", "HEIC"),
        (b"II*\x00rest", "TIFF"),
        (b"MM\x00*rest", "TIFF"),
        (b"BM rest", "BMP"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "SVG"),
        (b"<?xml version='1.0'?>\n<!-- made by hand -->\n<svg/>", "SVG"),
        (b"\xff\x0arest", "JPEG XL"),
        (b"RIFF\x24\x00\x00\x00WAVEfmt ", "not a picture: starts with 52 49 46 46"),
    ],
)
def test_what_is_no_picture_of_ours_is_named(data: bytes, reason: str) -> None:
    unknown = f"unknown format: {reason}; taken are JPEG, PNG, WebP, AVIF, GIF"
    assert refusal(data) == (reason if " " in reason and "JPEG XL" not in reason else unknown)


def test_avif_under_another_major_brand() -> None:
    data = avif_of(60, 40).replace(b"ftypavif\x00\x00\x00\x00avifmif1", b"ftypmif1\x00\x00\x00\x00mif1avif")
    assert check(data, LIMITS) == Header("AVIF", 60, 40)


@pytest.mark.parametrize("name", CLAIMS)
def test_a_tiny_file_that_claims_much(name: str) -> None:
    claim = CLAIMS[name]
    assert (check(claim(5000, 8000), LIMITS).width, check(claim(5000, 8000), LIMITS).height) == (5000, 8000)
    assert refusal(claim(13000, 13000)) == ("too large: 13000×13000 pixels, at most 8192 a side (MAX_IMAGE_DIMENSION)")
    assert refusal(claim(8, 8193)).startswith("too large: 8×8193 pixels")
    assert refusal(claim(8000, 8000)) == "too many pixels: 8000×8000 are 64,000,000, at most 40,000,000"


def test_24_bit_sides_of_webp() -> None:
    assert refusal(webp_of(b"VP8X", 70_000, 8)).startswith("too large: 70000×8 pixels")
    assert refusal(webp_of(b"VP8X", 8, 70_000)).startswith("too large: 8×70000 pixels")


def test_what_no_decoder_goes_without_is_told() -> None:
    def chunk(kind: bytes, content: bytes, spoilt: int = 0) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content) ^ spoilt)

    start, pixels = b"\x89PNG\r\n\x1a\n", chunk(b"IDAT", b"")
    header = struct.pack(">IIBBBBB", 8, 8, 8, 3, 0, 0, 0)
    two = bytearray(encoded("JPEG"))
    two[two.index(b"\xff\xc0") + 9] = 2
    for data, reason in (
        (start + chunk(b"CgBI", b"\x50\0\x20\2") + chunk(b"IHDR", header) + pixels, "CgBI"),
        (start + chunk(b"IHDR", header, 1) + pixels, "IHDR has another checksum"),
        (start + chunk(b"IHDR", header) + chunk(b"PLTE", b"abc", 1) + pixels, "PLTE has another checksum"),
        (start + chunk(b"IHDR", header) + pixels, "lacks its palette"),
        (bytes(two), "a JPEG of 2 components"),
    ):
        with pytest.raises(BadPicture, match=reason):
            check(data, LIMITS)


@pytest.mark.parametrize("name", ["PNG", "AVIF", "GIF", "JPEG", "VP8"])
def test_a_side_of_nothing(name: str) -> None:
    assert refusal(CLAIMS[name](0, 100)) == "damaged: a picture of 0×100 pixels"


def test_a_box_without_content_is_a_header_that_is_cut_off() -> None:
    brand = box(b"ftyp", b"avif\x00\x00\x00\x00")
    assert refusal(brand + box(b"ispe", b"")).startswith("truncated: the AVIF header ends")


def test_boxes_in_boxes_end_somewhere() -> None:
    nested = box(b"ispe", struct.pack(">III", 0, 60, 40))
    for _ in range(5000):
        nested = box(b"moov", nested)
    assert refusal(box(b"ftyp", b"avif\x00\x00\x00\x00") + nested) == "damaged: the AVIF header states no size"


def test_every_size_in_an_avif_counts() -> None:
    """A small picture with an alpha plane, a tile or a film track that claims much."""
    ispe = b"".join(box(b"ispe", struct.pack(">III", 0, side, side)) for side in (64, 13000))
    meta = box(b"meta", b"\x00" * 4 + box(b"iprp", box(b"ipco", ispe)))
    tkhd = box(b"tkhd", b"\x00" * 76 + struct.pack(">II", 13000 << 16, 13000 << 16))
    moov = box(b"moov", box(b"trak", tkhd))
    brand = box(b"ftyp", b"avif\x00\x00\x00\x00")
    assert refusal(brand + meta).startswith("too large: 13000×13000")
    assert refusal(avif_of(64, 64) + moov).startswith("too large: 13000×13000")


@pytest.mark.parametrize("name", CLAIMS)
def test_a_header_cut_anywhere_is_refused_in_words(name: str) -> None:
    data = CLAIMS[name](60, 40)
    for length in range(1, {"GIF": 10, "JPEG": 11, "PNG": 24}.get(name, len(data))):
        reason = refusal(data[:length])
        assert reason.startswith(("truncated: ", "damaged: ", "not a picture: ")), (length, reason)


def test_a_webp_shorter_than_it_says() -> None:
    data = encoded("WEBP")
    assert refusal(data[:-2]) == f"truncated: a WebP of {len(data)} bytes by its header has {len(data) - 2}"


# JPEG scans

SCAN = b"\xff\xda\x00\x08\x01\x01\x00\x00\x3f\x00" + b"\x12\xff\x00\xff\xd0\x34"


def with_scans(count: int) -> bytes:
    return jpeg_of(60, 40) + SCAN * count + b"\xff\xd9"


def test_scans_are_counted() -> None:
    check(with_scans(100), LIMITS)
    assert refusal(with_scans(101)) == "too many JPEG scans: more than 100, so it is made to cost time"
    check(with_scans(101), Limits(52_428_800, 8192, 40_000_000, max_scans=101))
    assert refusal(with_scans(101).replace(b"\xff\xda", b"\xff\xff\xff\xda")).startswith("too many JPEG scans")


def test_only_scans_of_the_picture_count() -> None:
    """FF DA in a thumbnail or profile, and in the film behind a motion photo, is none."""
    thumbnail = b"\xff\xe1" + struct.pack(">H", 2 + 400) + b"\xff\xda" * 200
    jpeg = with_scans(1)
    check(jpeg[:2] + thumbnail + jpeg[2:] + b"\xff\xda" * 200, LIMITS)


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (
            jpeg_of(60, 40)[:2] + b"\xff" * 16_000_000 + jpeg_of(60, 40)[2:],
            "damaged: 16,000,000 bytes of padding",
        ),
        (
            jpeg_of(60, 40)[:2] + b"\xff\xfe\x00\x02" * 1_000_000 + with_scans(1)[2:],
            "damaged: more than 5,000 JPEG",
        ),
        (b"\xff\xd8" + b"\xff" * 16_000_000 + b"\x00", "damaged: the JPEG header states no size"),
    ],
    ids=["padding", "segments", "fill"],
)
def test_headers_made_to_cost_time_are_refused_at_once(data: bytes, reason: str) -> None:
    start = time.process_time()
    assert refusal(data).startswith(reason)
    assert time.process_time() - start < 1


def test_a_jpeg_with_as_much_padding_as_is_taken() -> None:
    start, rest = jpeg_of(60, 40)[:2], jpeg_of(60, 40)[2:]
    assert check(start + b"\xff" * MAX_JPEG_PADDING_BYTES + rest, LIMITS) == Header("JPEG", 60, 40)
    reason = f"damaged: {MAX_JPEG_PADDING_BYTES + 1:,} bytes of padding in a JPEG header"
    assert refusal(start + b"\xff" * (MAX_JPEG_PADDING_BYTES + 1) + rest) == reason


def test_a_jpeg_that_begins_twice() -> None:
    assert check(b"\xff\xd8" + jpeg_of(60, 40), LIMITS) == Header("JPEG", 60, 40)
    assert refusal(b"\xff\xd8" + jpeg_of(13000, 40)).startswith("too large: 13000×40 pixels")
