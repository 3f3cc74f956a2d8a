"""Pictures that a browser shows whole though something about their file is broken; and those that lack pixels."""

from __future__ import annotations

import io
import struct
import warnings
import zlib
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageCms

from tests.workers.rendering.imaging.test_codec import LIMITS, assert_quarters, chunk, encoded, quarters, rendered, soft
from workers.rendering import imaging
from workers.rendering.imaging import BadPicture, Ladder
from workers.rendering.imaging.codec import pipeline, warming
from workers.rendering.imaging.codec.pixels import colours
from workers.rendering.imaging.containers import MAX_PARTS, endings, mend

LADDER = Ladder((96,), webp=True, avif=False)
PROFILE = ImageCms.ImageCmsProfile(colours.SRGB).tobytes()
MB = 1_000_000
EXIF = b"Exif\0\0II*\0\10\0\0\0\0\0\0\0\0\0"


def shown(folder: Path, data: bytes) -> None:
    """It is published, with every pixel."""
    report, images = rendered(folder, data, LADDER)
    assert (report.width, report.height) == (96, 64)
    for image in images.values():
        assert_quarters(image)
    assert_mended_once(data)


def dead(folder: Path, data: bytes) -> None:
    (folder / "original").write_bytes(data)
    with pytest.raises(BadPicture):
        imaging.render(folder / "original", folder, LIMITS, LADDER, None)


def assert_mended_once(data: bytes) -> None:
    mended = mend(data)
    grown = len(mended) - len(data)
    assert mend(mended) is mended and (grown <= 0 or b"ftyp" in data[:8] or (grown == 1 and b"WEBP" in data[:12]))


def outcome(data: bytes) -> bytes | None:
    """The pixels that would be published; None where it is refused."""
    try:
        report, contents = pipeline.develop(data, LIMITS, Ladder((10_000,), webp=True, avif=False), None)
    except BadPicture:
        return None
    return contents[f"{report.width}.webp"]


# PNG

PNG = encoded(quarters(), "PNG")
IDAT = PNG.index(b"IDAT") - 4


def wrong(kind: bytes, content: bytes) -> bytes:
    return chunk(kind, content)[:-1] + bytes([chunk(kind, content)[-1] ^ 1])


def before(*parts: bytes) -> bytes:
    return PNG[:IDAT] + b"".join(parts) + PNG[IDAT:]


def behind(*parts: bytes) -> bytes:
    return PNG[:-12] + b"".join(parts) + PNG[-12:]


CONTENTS = {
    b"iCCP": b"x\0\0" + zlib.compress(PROFILE),
    b"gAMA": struct.pack(">I", 45455),
    b"cHRM": struct.pack(">8I", *[31270, 32900, 64000, 33000, 30000, 60000, 15000, 6000]),
    b"sRGB": b"\0",
    b"cICP": b"\1\15\0\1",
    b"pHYs": struct.pack(">IIB", 2835, 2835, 1),
    b"tIME": bytes(7),
    b"sBIT": b"\10\10\10",
    b"bKGD": bytes(6),
    b"eXIf": b"II*\0\10\0\0\0\0\0",
    b"tEXt": b"Title\0x",
    b"zTXt": b"Title\0\0" + zlib.compress(b"x"),
    b"iTXt": b"Title\0\0\0\0\0x",
    b"tRNS": b"\0\1\0\2\0\3",
    b"acTL": struct.pack(">II", 2, 0),
    b"fcTL": struct.pack(">IIIIIHHBB", 0, 96, 64, 0, 0, 1, 1, 0, 0),
    b"prVt": b"anything",
}
A_MEGABYTE = zlib.compress(b"x" * MB)
TEXTS = {
    "zTXt": chunk(b"zTXt", b"Title\0\0" + zlib.compress(b"x" * 2 * MB)),
    "iTXt": chunk(b"iTXt", b"Title\0\1\0\0\0" + zlib.compress(b"x" * 2 * MB)),
    "iCCP": chunk(b"iCCP", b"x\0\0" + zlib.compress(bytes(2 * MB))),
    "many": b"".join(chunk(b"zTXt", b"T%d\0\0" % number + A_MEGABYTE) for number in range(70)),
    "of another method": chunk(b"zTXt", b"Title\0\7x"),
    "profile of no method": chunk(b"iCCP", b"x"),
    "profile that does not inflate": chunk(b"iCCP", b"x\0\0nonsense"),
    "frame out of order": chunk(b"acTL", CONTENTS[b"acTL"]) + chunk(b"fcTL", b"\0\0\0\5" + CONTENTS[b"fcTL"][4:]),
    "frame too large": chunk(b"acTL", CONTENTS[b"acTL"]) + chunk(b"fcTL", bytes(4) + b"\1" * 22),
    "half an animation": chunk(b"acTL", CONTENTS[b"acTL"]) + wrong(b"fcTL", CONTENTS[b"fcTL"]),
}


@pytest.mark.parametrize("kind", CONTENTS)
def test_png_a_checksum_or_a_size_of_what_is_not_needed(tmp_path: Path, kind: bytes) -> None:
    content = CONTENTS[kind]
    parts = [wrong(kind, content), chunk(kind, b""), chunk(kind, content[:-1] if kind != b"prVt" else b"")]
    for number, data in enumerate(place(part) for part in parts for place in (before, behind)):
        (folder := tmp_path / str(number)).mkdir()
        shown(folder, data)
        if kind not in (b"acTL", b"fcTL"):
            assert mend(sound := before(chunk(kind, content))) is sound


@pytest.mark.parametrize("name", TEXTS)
def test_png_texts_and_profiles_that_pillow_refuses(tmp_path: Path, name: str) -> None:
    (tmp_path / "behind").mkdir()
    shown(tmp_path, before(TEXTS[name]))
    if not name.startswith(("frame", "half")):
        shown(tmp_path / "behind", behind(TEXTS[name]))


def test_png_what_is_sound_beside_it_is_kept(tmp_path: Path) -> None:
    """Alpha by a colour, orientation and profile; a broken text is no reason to lose them."""
    exif = Image.Exif()
    exif[0x0112] = 6
    kept = [chunk(b"iCCP", CONTENTS[b"iCCP"]), chunk(b"tRNS", CONTENTS[b"tRNS"]), chunk(b"eXIf", exif.tobytes()[6:])]
    data = before(*kept, wrong(b"tEXt", b"Title\0x"))
    assert mend(data) == before(*kept)
    assert rendered(tmp_path, data, LADDER)[0].width == 64


def test_png_cut_behind_the_pixels(tmp_path: Path) -> None:
    whole = outcome(PNG)
    data = behind(chunk(b"tEXt", b"Title\0" + b"x" * 30))
    for end in range(len(PNG) - 12, len(data)):
        assert outcome(data[:end]) == whole, end
    assert outcome(PNG[:-12] + b"garbage, and more garbage") == whole
    assert outcome(PNG + b"garbage") == whole
    for end in range(IDAT, len(PNG) - 24):
        assert outcome(data[:end]) in (None, whole), end
    for end in (IDAT + 8, IDAT + 20, len(PNG) - 40):
        dead(tmp_path, PNG[:end])


def test_png_what_is_needed_must_be_sound(tmp_path: Path) -> None:
    size = wrong(b"IHDR", PNG[16:29])
    dead(tmp_path, PNG[:8] + size + PNG[33:])
    data = encoded(quarters().convert("P", palette=Image.Palette.ADAPTIVE), "PNG")
    at = data.index(b"PLTE") + 4 + struct.unpack_from(">I", data, data.index(b"PLTE") - 4)[0]
    dead(tmp_path, data[:at] + bytes([data[at] ^ 1]) + data[at + 1 :])
    made = before(chunk(b"tEXt", b"a\0b") * MAX_PARTS, wrong(b"tEXt", b"a\0b"))
    assert mend(made) is made
    dead(tmp_path, made)


def with_stream(stream: bytes, data: bytes = PNG, pieces: int = 1) -> bytes:
    """A PNG with another stream of pixels, in so many chunks."""
    at = data.index(b"IDAT") - 4
    end = at + 12 + struct.unpack_from(">I", data, at)[0]
    step = -(-len(stream) // pieces)
    parts = [chunk(b"IDAT", stream[start : start + step]) for start in range(0, len(stream), step)]
    return data[:at] + b"".join(parts) + data[end:]


def stream_of(data: bytes) -> bytes:
    at = data.index(b"IDAT")
    return data[at + 4 : at + 4 + struct.unpack_from(">I", data, at - 4)[0]]


@pytest.mark.parametrize("pieces", [1, 3, 99])
def test_png_a_wrong_checksum_behind_all_rows(pieces: int) -> None:
    whole, stream = outcome(PNG), stream_of(PNG)
    data = with_stream(stream[:-4] + b"\1\2\3\4", pieces=pieces)
    assert_mended_once(data)
    assert mend(data) == PNG
    assert outcome(data) == whole is not None
    rows = zlib.decompress(stream)
    for short in (rows[:-1], rows[: len(rows) // 2]):
        wrong_and_short = zlib.compress(short)[:-4] + b"\1\2\3\4"
        data = with_stream(wrong_and_short)
        assert mend(data) is data and outcome(data) is None


def laced(rows: int) -> bytes:
    """A grey picture of 8×8 pixels, as Adam7 has it: so many of its 15 rows, of 1 to 8 pixels."""
    widths = (1, 1, 2, 2, 2, 4, 4, 4, 4, 4, 4, 8, 8, 8, 8)
    body = b"".join(b"\0" + b"\x90" * wide for wide in widths[:rows])
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 8, 8, 8, 0, 0, 0, 1))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(body)) + chunk(b"IEND", b"")


def test_png_that_lacks_rows_in_a_sound_stream_is_dead() -> None:
    """Pillow shows them in black."""
    rows = zlib.decompress(stream_of(PNG))
    taller = bytearray(PNG[16:29])
    taller[7] *= 2
    short = [with_stream(zlib.compress(rows[:end])) for end in (-1, len(rows) // 2, 0)]
    for data in (*short, PNG[:8] + chunk(b"IHDR", bytes(taller)) + PNG[33:]):
        with pytest.raises(BadPicture, match=r"^truncated: "):
            pipeline.develop(data, LIMITS, LADDER, None)
    assert [outcome(laced(count)) is not None for count in (15, 14, 11)] == [True, False, False]
    black = with_stream(zlib.compress(bytes(len(rows)) + b"and more"))
    assert outcome(black) is not None


# JPEG

JPEG = encoded(quarters(), "JPEG", quality=95)
RESOURCES = b"8BIM\3\355\0\0\0\0\0\20" + bytes(16) + b"8BIM\7\320\2ab\0\0\0\0\4path"


def segment(marker: int, content: bytes) -> bytes:
    return bytes([0xFF, marker]) + struct.pack(">H", len(content) + 2) + content


def jpeg_with(*parts: bytes, data: bytes = JPEG) -> bytes:
    return b"\xff\xd8" + b"".join(parts) + data[20:]  # in place of JFIF


def exif_of(count: int, kind: int = 5, entries: int = 3) -> bytes:
    """An orientation (upright), and a resolution of `count` values of `kind` that are not there."""
    directory = struct.pack("<HHHII", entries, 0x0112, 3, 1, 1)
    directory += struct.pack("<HHII", 0x011A, kind, count, 9999) + struct.pack("<HHII", 0x0128, 3, 1, 2)
    return b"Exif\0\0II*\0\10\0\0\0" + directory


SEGMENTS = {
    **{f"JFIF of {size} bytes": segment(0xE0, b"JFIF\0\1\1\1\0\1\0\1\0\0"[:size]) for size in (4, 5, 6, 7, 13)},
    **{f"Photoshop of {size} bytes": segment(0xED, (b"Photoshop 3.0\0" + RESOURCES)[:size]) for size in range(14, 66)},
    **{f"Adobe of {size} bytes": segment(0xEE, b"Adobe\0\144\0\0\0\0\1"[:size]) for size in range(5, 12)},
    **{f"profile of {size} bytes": segment(0xE2, b"ICC_PROFILE\0\1\1x"[:size]) for size in (11, 12, 13, 14, 15)},
    "profile in part": segment(0xE2, b"ICC_PROFILE\0\1\2" + PROFILE[:99]),
    "profile twice": segment(0xE2, b"ICC_PROFILE\0\1\1" + PROFILE) * 2,
    **{f"Exif of {count} values": segment(0xE1, exif_of(count)) for count in (0, 1, 2, 2**32 - 1)},
    **{f"Exif of type {kind}": segment(0xE1, exif_of(1, kind)) for kind in (0, 2, 7, 12, 13, 99)},
    **{f"Exif of {size} bytes": segment(0xE1, exif_of(1)[:size]) for size in range(6, 52, 3)},
    "Exif of too many": segment(0xE1, exif_of(1, entries=999)),
    "index of pictures, empty": segment(0xE2, b"MPF\0"),
    "index of pictures, broken": segment(0xE2, b"MPF\0II*\0\10\0\0\0\1\0\1\260\4\0\1\0\0\0\2\0\0\0"),
    "FlashPix": segment(0xE2, b"FPXR\0"),
    "XMP": segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0<"),
    "comment": segment(0xFE, b""),
    "TEM": b"\xff\x01",
}


def test_jpeg_segments_that_only_describe(tmp_path: Path) -> None:
    for number, (name, part) in enumerate(SEGMENTS.items()):
        (folder := tmp_path / str(number)).mkdir()
        try:
            shown(folder, jpeg_with(part))
        except BadPicture as error:
            raise AssertionError(name) from error
        shown_too = jpeg_with(segment(0xE0, b"JFIF\0\1\1\0\0\1\0\1\0\0"), part)
        assert outcome(shown_too) is not None, name
    assert mend(JPEG) is JPEG


@pytest.mark.parametrize("order", ["<", ">"])
def test_jpeg_a_broken_exif_keeps_the_orientation(tmp_path: Path, order: str) -> None:
    start = b"II*\0" if order == "<" else b"MM\0*"
    tiff = start + struct.pack(f"{order}IHHHIHHHHII", 8, 2, 0x0112, 3, 1, 6, 0, 0x011A, 5, 0, 9999)
    part = segment(0xE0, b"JFIF\0") + segment(0xE1, b"Exif\0\0" + tiff)
    report, _ = rendered(tmp_path, jpeg_with(part), LADDER)
    assert (report.width, report.height) == (64, 96)
    assert_mended_once(jpeg_with(part))


def test_jpeg_of_12_bits_says_so(tmp_path: Path) -> None:
    data = bytearray(JPEG)
    at = data.index(b"\xff\xc0")
    data[at + 1], data[at + 4] = 0xC1, 12
    with pytest.raises(BadPicture, match="a JPEG of 12 bits a sample"):
        pipeline.develop(bytes(data), LIMITS, LADDER, None)


JPEGS: list[tuple[str, dict[str, Any]]] = [
    ("RGB", {"subsampling": "4:2:0"}),
    ("RGB", {"subsampling": "4:4:4", "quality": 100}),
    ("RGB", {"subsampling": "4:2:0", "restart_marker_blocks": 3}),
    ("L", {"restart_marker_rows": 1, "optimize": True}),
    ("CMYK", {"quality": 90}),
    ("RGB", {"subsampling": "4:2:0", "progressive": True}),
    ("RGB", {"progressive": True, "quality": 100, "restart_marker_blocks": 5}),
    ("L", {"progressive": True}),
]


@pytest.mark.parametrize(("mode", "options"), JPEGS, ids=str)
def test_jpeg_without_its_end_is_shown_and_without_a_bit_of_a_pixel_is_not(mode: str, options: dict[str, Any]) -> None:
    data = encoded(soft((75, 51)).convert(mode), "JPEG", **options)
    whole = outcome(data)
    assert data.endswith(b"\xff\xd9") and whole is not None
    for unended in (data[:-2], data[:-1], data[:-2] + b"\xff\xff"):
        assert outcome(unended) == whole
    scan = data.rindex(b"\xff\xda")
    cuts = {*range(max(scan, len(data) - 90), len(data) - 2), *range(200, len(data) - 2, 97)}
    shown = {cut: found for cut in sorted(cuts) if (found := outcome(data[:cut])) is not None}
    # The last byte may be padding but for a correction that no pixel shows: so in one of forty such random pictures.
    assert set(shown) <= {len(data) - 3} and set(shown.values()) <= {whole}


def test_jpeg_without_its_end_and_with_garbage_behind() -> None:
    whole = outcome(JPEG)
    assert outcome(JPEG + b"\xff\xd8garbage") == whole
    assert outcome(JPEG[:-2] + b"garbage") == whole
    assert outcome(jpeg_with(segment(0xE0, b"JFIF\0"))[:-2]) is not None
    assert not list(endings(JPEG))


@pytest.mark.parametrize("stray", [b"abc\xff\xe1\xff\xf0zz", b"\xff\xe1", b"\xff\xe1\xff", b"abc\xff\xfe\1"])
def test_jpeg_without_its_end_and_with_a_marker_behind(stray: bytes) -> None:
    """It is no part of the header that is cut."""
    assert outcome(JPEG[:-2] + stray) == outcome(JPEG)


def test_jpeg_that_lacks_a_whole_scan_is_dead() -> None:
    """The cut is between two scans, where no bit is missing: but what is there is only a blur."""
    data = encoded(soft((75, 51)), "JPEG", progressive=True)
    at = -1
    while (at := data.find(b"\xff\xda", at + 1)) > 0:
        for marker in (b"\xff\xda", b"\xff\xc4"):
            end = data.find(marker, at + 2)
            assert end < 0 or outcome(data[:end]) is None


# WebP


@pytest.mark.parametrize("options", [{"quality": 95}, {"lossless": True}], ids=str)
def test_webp_cut_behind_the_pixels(tmp_path: Path, options: dict[str, Any]) -> None:
    data = encoded(quarters(), "WEBP", exif=b"II*\0\10\0\0\0\0\0", xmp=b"<x/>", icc_profile=PROFILE, **options)
    end = data.index(b"EXIF")
    whole = outcome(data)
    assert whole is not None and mend(data) is data
    for cut in range(end, len(data)):
        assert outcome(data[:cut]) == whole, cut
        assert_mended_once(data[:cut])
    for cut in range(end - 30, end - 1):
        dead(tmp_path, data[:cut])
    bare = encoded(quarters(), "WEBP", **options)
    assert outcome(bare[:4] + struct.pack("<I", len(bare)) + bare[8:]) is not None, "it says it has 8 bytes more"


@pytest.mark.parametrize("stated", [0, -1], ids=["stated", "not stated"])
def test_webp_without_the_byte_that_pads_it(stated: int) -> None:
    data = next(
        data
        for colour in range(99)
        if (data := encoded(Image.new("RGB", (9, 9), (colour, 9, 200)), "WEBP", lossless=True))[16] & 1
    )
    cut = data[:4] + struct.pack("<I", len(data) - 8 + stated) + data[8:-1]
    assert mend(data) is data and mend(cut) == data
    assert_mended_once(cut)
    assert outcome(cut) == outcome(data) is not None


# GIF

GIF = encoded(quarters(), "GIF")


@pytest.mark.parametrize("screen", [(0, 0), (0, 64), (96, 0)])
def test_gif_whose_screen_has_no_sides(tmp_path: Path, screen: tuple[int, int]) -> None:
    comment = b"!\xfe\4abcd\0"
    at = GIF.index(b"\x2c\0\0\0\0\x60\0\x40\0")
    for number, place in enumerate([bytes(4), struct.pack("<HH", 5, 7)]):
        data = GIF[:6] + struct.pack("<HH", *screen) + GIF[10:at] + comment + b"\x2c" + place + GIF[at + 5 :]
        (folder := tmp_path / str(number)).mkdir()
        shown(folder, data)
    assert mend(GIF) is GIF


def test_gif_without_a_screen_is_still_held_to_the_limits(tmp_path: Path) -> None:
    at = GIF.index(b"\x2c\0\0\0\0\x60\0\x40\0")
    data = GIF[:6] + bytes(4) + GIF[10 : at + 5] + struct.pack("<HH", 8500, 64) + GIF[at + 9 :]
    (tmp_path / "original").write_bytes(data)
    with pytest.raises(BadPicture, match="too large: 8500×64 pixels"):
        imaging.render(tmp_path / "original", tmp_path, LIMITS, LADDER, None)
    for cut in range(6, at + 9):
        dead(tmp_path, (GIF[:6] + bytes(4) + GIF[10:])[:cut])


def test_gif_cut_behind_the_pixels() -> None:
    whole = outcome(GIF)
    for end in (b"", b"!", b"!\xfe", b"!\xfe\4ab", b"\x2c\0\0"):
        assert outcome(GIF[:-1] + end) == whole, end
    assert [cut for cut in range(14, len(GIF) - 12) if outcome(GIF[:cut]) is not None] == []


# AVIF


def avif(name: str, length: int) -> bytes:
    """An AVIF whose Exif or XMP item has only that number of bytes."""
    data = bytearray(encoded(quarters(), "AVIF", quality=95, exif=EXIF, xmp=b"<x/>"))
    at = data.index(b"iloc") + 4
    assert data[at : at + 6] == b"\0\0\0\0\x44\0"
    entry = at + 8 + 14 * {"Exif": 1, "XMP": 2}[name]
    data[entry + 10 : entry + 14] = struct.pack(">I", length)
    return bytes(data)


@pytest.mark.parametrize("length", [*range(6), 9999])
@pytest.mark.parametrize("name", ["Exif", "XMP"])
def test_avif_metadata_that_is_too_short_or_not_there(tmp_path: Path, name: str, length: int) -> None:
    shown(tmp_path, avif(name, length))


def test_avif_of_many_brands_and_without_a_pixel(tmp_path: Path) -> None:
    data = encoded(quarters(), "AVIF", quality=95)
    size = struct.unpack_from(">I", data)[0]
    brands = b"zzzz" * 100 + b"avif"
    assert imaging.gate.sniff(struct.pack(">I4s4sI", 16 + len(brands), b"ftyp", b"zzzz", 0) + brands) == "AVIF"
    assert size < 256
    for cut in (len(data) // 2, len(data) - 30, len(data) - 1):
        dead(tmp_path, data[:cut])


# Whatever a file holds

ALL = [PNG, JPEG, encoded(quarters(), "WEBP", exif=b"II*\0"), GIF, avif("Exif", 10)]
ALL += [encoded(quarters(), "PNG", save_all=True, append_images=[Image.new("RGB", (96, 64))])]
ALL += [encoded(quarters(), "JPEG", progressive=True)[:-2]]


def test_a_sound_file_is_returned_as_it_is(tmp_path: Path) -> None:
    alpha = quarters()
    alpha.putalpha(128)
    sound = [*ALL[:2], *ALL[2:4], ALL[5], *map(bytes, warming.samples()), encoded(alpha, "PNG"), encoded(alpha, "WEBP")]
    sound += [encoded(quarters(), kind, exif=Image.Exif(), icc_profile=PROFILE) for kind in ("JPEG", "PNG", "WEBP")]
    sound += [b"", b"nothing", b"\xff\xd8\xff"]
    assert all(mend(data) is data for data in sound if b"ftypavi" not in data[:16])


@st.composite
def spoilt(draw: st.DrawFn) -> bytes:
    data = bytearray(draw(st.sampled_from(ALL)))
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, min(len(data) - 1, 600)))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=6))
    return bytes(data[: draw(st.integers(0, len(data)))]) if draw(st.booleans()) else bytes(data)


@settings(max_examples=300)
@given(spoilt())
def test_nothing_is_raised_nothing_grows_and_once_is_enough(data: bytes) -> None:
    assert_mended_once(data)
    assert all(len(ended) <= len(data) + 132 for ended in endings(data))


def pixels(data: bytes) -> bytes:
    with warnings.catch_warnings(action="ignore"), Image.open(io.BytesIO(data)) as image:
        return image.convert("RGB").tobytes()


@st.composite
def described(draw: st.DrawFn) -> bytes:
    """A PNG or JPEG with parts of any content, which only describe it."""
    content = st.binary(max_size=40) | st.sampled_from([bytes(40), b"x\0\0" + zlib.compress(bytes(9)), b"\0" * 9])
    if draw(st.booleans()):
        parts = draw(st.lists(st.tuples(st.sampled_from([kind for kind in CONTENTS if kind != b"tRNS"]), content)))
        made = [draw(st.sampled_from([chunk, wrong]))(*part) for part in parts]
        return draw(st.sampled_from([before, behind]))(*made)
    starts = [b"", b"JFIF", b"Exif\0\0", b"Exif\0\0II*\0\10\0\0\0", b"Exif\0\0MM\0*\0\0\0\10", b"ICC_PROFILE\0"]
    starts += [b"Photoshop 3.0\0", b"Photoshop 3.0\0008BIM", b"MPF\0", b"MPF\0II*\0\10\0\0\0", b"FPXR\0", b"http://"]
    markers = st.sampled_from([*range(0xE0, 0xEE), 0xEF, 0xFE])
    segments = draw(st.lists(st.tuples(markers, st.sampled_from(starts), content), max_size=5))
    return jpeg_with(*(segment(marker, start + rest) for marker, start, rest in segments))


@settings(max_examples=300)
@given(described())
def test_whatever_describes_the_picture_it_is_shown(data: bytes) -> None:
    expected = pixels(PNG if data[:1] == b"\x89" else jpeg_with())
    try:
        report, contents = pipeline.develop(data, LIMITS, Ladder((10_000,), webp=False, avif=False), None)
    except BadPicture as error:
        raise AssertionError(data[:400]) from error
    assert {report.width, report.height} == {96, 64} and not contents
    assert pixels(mend(data)) == expected
