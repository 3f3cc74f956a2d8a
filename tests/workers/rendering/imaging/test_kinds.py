"""Every kind of picture that says something of its own about colour, clearness, canvas or orientation looks as in a
browser.
"""

from __future__ import annotations

import struct
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image, ImageStat

from tests.workers.rendering.imaging import kinds
from tests.workers.rendering.imaging.test_codec import chunk, encoded, rendered, soft
from workers.rendering.imaging import Ladder
from workers.rendering.imaging.codec.pixels import toning
from workers.rendering.imaging.colour import Hdr, cicp, hdr, icc, meaning
from workers.rendering.imaging.colour.chromaticities import SRGB, between, product
from workers.rendering.imaging.containers import mend

KINDS = kinds.everything()


@pytest.mark.parametrize("name", KINDS)
def test_it_looks_as_it_should(name: str) -> None:
    kind = KINDS[name]
    picture = kinds.decoded(kind.data)
    assert picture.size == kind.size
    for place, found, colour in zip(kind.sees, kinds.points(picture, kind), kind.sees.values(), strict=True):
        assert max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= kind.within, (place, found, colour)


@pytest.mark.parametrize(
    "name",
    [
        "png key of 4-bit grey",
        "png key of 16-bit RGB, but for a low bit of sample 2",
        "png gamma 1 of RGB with alpha",
        "png code of HLG in colour",
        "gif frame smaller than its screen",
        "avif of PQ, 10 bits",
        "avif alpha without sides",
        "avif aperture, orientation 6",
        "avif stream of P3",
        "jpeg with a gain map behind",
    ],
)
def test_so_do_its_renditions(tmp_path: Path, name: str) -> None:
    """Flat colours of a few pixels: the encoders blur their borders."""
    kind = KINDS[name]
    report, images = rendered(tmp_path, kind.data, Ladder((1000,), webp=True, avif=True))
    assert (report.width, report.height) == kind.size
    for image in images.values():
        for found, colour in zip(kinds.points(image.convert("RGBA"), kind), kind.sees.values(), strict=True):
            assert abs(found[3] - colour[3]) <= 40, (found, colour)
            assert not colour[3] or max(abs(a - b) for a, b in zip(found, colour, strict=True)) <= 40, (found, colour)


def test_half_a_frame_leaves_nothing_in_the_picture_for_old_viewers() -> None:
    frames = [Image.new("RGB", (64, 64), kinds.A), soft((64, 64))]
    data = encoded(frames[0], "PNG", save_all=True, append_images=frames[1:], default_image=True, duration=100)
    at = data.index(b"fdAT")
    half = data[at + 4 : at + 4 + struct.unpack_from(">I", data, at - 4)[0] // 2]
    cut = data[: at - 4] + chunk(b"fdAT", half) + data[-12:]
    assert kinds.decoded(data).getcolors() is None or len(kinds.decoded(data).getcolors() or []) > 99
    assert kinds.decoded(cut).getcolors() == [(64 * 64, kinds.opaque(*kinds.A))]


# What is stated


def test_without_a_word_on_colour_nothing_is_done() -> None:
    profile = b"a profile, as it came"
    for kind, data in (("JPEG", kinds.jpeg("RGB", kinds.A)), ("WEBP", b""), ("GIF", b""), ("AVIF", kinds.avif(1, 13))):
        assert meaning(kind, data, None) is None
        assert meaning(kind, data, profile) is profile
    plain = kinds.halves(8, 2, kinds.A, kinds.B)
    usual = kinds.halves(8, 2, kinds.A, kinds.B, kinds.primaries(*kinds.SRGB), kinds.gamma(45_455))
    for data in (plain, usual, plain[:40], plain[:20], b""):
        assert meaning("PNG", data, None) is None
    assert meaning("PNG", plain, profile) is None, "it stands behind the pixels"


def test_a_film_says_it_in_its_track() -> None:
    """An AVIF of frames alone has no picture item."""
    frames = [Image.new("RGB", (16, 16), colour) for colour in (kinds.A, kinds.B)]
    data = encoded(frames[0], "AVIF", save_all=True, append_images=frames[1:], quality=100, subsampling="4:4:4")
    coded = data.replace(b"nclx\0\1\0\r", b"nclx\0\x0c\0\r")
    assert coded.count(b"nclx\0\x0c") >= 1
    alone = coded.replace(b"meta", b"free")
    for film in (coded, alone):
        found = meaning("AVIF", film, None)
        assert isinstance(found, bytes) and found == icc.profile(cicp.PRIMARIES[12], cicp.CURVES[cicp.SRGB_CURVE])
    assert meaning("AVIF", alone.replace(b"stsd", b"free"), None) is None


@st.composite
def spoilt(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from([name for name in KINDS if name.startswith(("png", "avif"))]))
    data = bytearray(KINDS[name].data)
    for _ in range(draw(st.integers(0, 4))):
        at = draw(st.integers(0, len(data) - 1))
        data[at : at + draw(st.integers(0, 3))] = draw(st.binary(max_size=6))
    return name.split()[0].upper(), bytes(data[: draw(st.integers(0, len(data)))] if draw(st.booleans()) else data)


@settings(max_examples=300)
@given(spoilt())
def test_whatever_a_file_states_nothing_is_raised(spoilt: tuple[str, bytes]) -> None:
    found = meaning(*spoilt, None)
    if isinstance(found, Hdr):
        toning.toned(Image.new("RGB", (3, 3), kinds.A), found)
    assert found is None or isinstance(found, (bytes, Hdr))
    mended = mend(spoilt[1])
    assert mend(mended) is mended and len(mended) <= 2 * len(spoilt[1])


@given(st.lists(st.integers(0, 2**32 - 1), min_size=8, max_size=8), st.integers(0, 2**32 - 1))
@settings(max_examples=60)
def test_no_primaries_and_no_gamma_break_the_converter(chromaticities: list[int], gamma: int) -> None:
    picture = kinds.decoded(kinds.halves(8, 2, kinds.A, kinds.B, kinds.primaries(*chromaticities), kinds.gamma(gamma)))
    assert picture.size == (16, 8)


def test_to_a_space_and_back_is_where_it_was() -> None:
    for primaries in cicp.PRIMARIES.values():
        there_and_back = product(between(SRGB, primaries), between(primaries, SRGB))
        for row, line in enumerate(there_and_back):
            assert line == pytest.approx([float(row == column) for column in range(3)], abs=1e-9)


# A high dynamic range


@pytest.mark.parametrize("peak", [1, 203, 204, 400, 1000, 4000, 10_000])
@pytest.mark.parametrize("transfer", [cicp.PQ, cicp.HLG])
def test_what_is_brighter_stays_brighter_and_grey_stays_grey(peak: int, transfer: int) -> None:
    ramp = Image.new("RGB", (256, 1))
    ramp.putdata([(value,) * 3 for value in range(256)])
    for primaries in (cicp.PRIMARIES[9], cicp.PRIMARIES[12]):
        made = toning.toned(ramp, hdr.of(primaries, transfer, peak))
        found = [made.getpixel((at, 0)) for at in range(256)]
        reds = [one[0] for one in found if isinstance(one, tuple)]
        assert reds == sorted(reds) and reds[0] == 0 and reds[-1] == 255
        assert all(max(one) - min(one) <= 1 for one in found if isinstance(one, tuple))


def test_strips_leave_no_seam(monkeypatch: pytest.MonkeyPatch) -> None:
    picture = Image.merge("RGB", [Image.linear_gradient("L").resize((64, 64)).rotate(turn) for turn in (0, 90, 180)])
    wide = hdr.of(cicp.PRIMARIES[9], cicp.HLG, 0)
    whole = toning.toned(picture, wide)
    for pixels in (1, 1000, 64 * 64):
        monkeypatch.setattr(toning, "_STRIP_PIXELS", pixels)
        assert toning.toned(picture, wide).tobytes() == whole.tobytes()
    assert min(ImageStat.Stat(whole).mean) > 20
