"""The JPEG rendition and the picture for link cards."""

from __future__ import annotations

import io
from pathlib import Path

import pytest
from PIL import Image, ImageCms, ImageFilter

from ipc.jobs import PREVIEW_SIZE, Rendition
from tests.workers.rendering.imaging.test_codec import LIMITS, encoded, quarters, rendered, soft
from workers.rendering import imaging
from workers.rendering.imaging import CodecFault, Ladder
from workers.rendering.imaging.codec import encoder, pipeline
from workers.rendering.imaging.codec.pixels.colours import SRGB
from workers.rendering.imaging.codec.pixels.preview import preview_of
from workers.rendering.imaging.ladder import jpeg_size, least_covering
from workers.rendering.imaging.presets import PRESETS

LADDER = Ladder((32, 64), webp=True, avif=False, jpeg_width=48)
WITH_PREVIEW = Ladder((32, 64), webp=True, avif=False, preview=True)
Colour = tuple[int, ...]


def contents(data: bytes, ladder: Ladder) -> dict[str, Image.Image]:
    """The files made of a picture, opened, by name."""
    _, files = pipeline.develop(data, LIMITS, ladder, None)
    return {name: Image.open(io.BytesIO(content)) for name, content in files.items()}


def pixel(picture: Image.Image, across: float, down: float) -> Colour:
    found = picture.convert("RGB").getpixel((int(across * picture.width), int(down * picture.height)))
    assert isinstance(found, tuple)
    return found


def near(one: Colour, other: Colour, within: int = 12) -> bool:
    return max(abs(a - b) for a, b in zip(one, other, strict=True)) <= within


# The JPEG


def test_it_is_a_rendition_behind_the_others_of_its_width(tmp_path: Path) -> None:
    ladder = Ladder((32, 64), webp=True, avif=True, jpeg_width=64)
    report, images = rendered(tmp_path, encoded(soft((96, 60)), "JPEG"), ladder)
    assert [(one.width, one.height, one.format) for one in report.renditions] == [
        *((32, 20, "webp"), (32, 20, "avif")),
        *((64, 40, "webp"), (64, 40, "avif"), (64, 40, "jpeg")),
    ]
    assert images["64.jpg"].mode == "RGB"


@pytest.mark.parametrize(
    ("width", "expected"),
    [(0, None), (32, (32, 20)), (48, (48, 30)), (64, (64, 40)), (1280, (64, 40)), (1, (1, 1))],
)
def test_its_sides(width: int, expected: tuple[int, int] | None) -> None:
    steps = [(32, 20), (64, 40)]
    assert jpeg_size(steps, Ladder((32, 64), webp=True, avif=True, jpeg_width=width)) == expected
    assert jpeg_size([], Ladder((), webp=True, avif=True, jpeg_width=width)) is None
    assert jpeg_size(steps, Ladder((32, 64), webp=False, avif=False, jpeg_width=width)) is None


def test_it_changes_no_other_rendition() -> None:
    data = encoded(soft((400, 300)), "JPEG")
    plain, more = (
        pipeline.develop(data, LIMITS, Ladder((64, 160, 320), webp=True, avif=True, jpeg_width=width), None)[1]
        for width in (0, 200)
    )
    assert more.keys() - plain.keys() == {"200.jpg"}
    assert {name: more[name] for name in plain} == plain


def test_what_can_be_seen_through_is_on_white() -> None:
    picture = Image.new("RGBA", (64, 64), (0, 0, 0, 0))
    picture.paste((200, 40, 40, 255), (0, 0, 32, 64))
    picture.paste((0, 0, 0, 128), (32, 32, 64, 64))
    jpeg = contents(encoded(picture, "PNG"), LADDER)["48.jpg"]
    assert near(pixel(jpeg, 0.2, 0.5), (200, 40, 40))
    assert near(pixel(jpeg, 0.8, 0.2), (255, 255, 255))
    assert near(pixel(jpeg, 0.8, 0.8), (127, 127, 127))


@pytest.mark.parametrize("width", [32, 96], ids=["shrunk", "as it is"])
@pytest.mark.parametrize("profile", [None, ImageCms.ImageCmsProfile(SRGB).tobytes()], ids=["", "profile"])
@pytest.mark.parametrize("preset", PRESETS)
def test_neither_has_metadata(preset: str, profile: bytes | None, width: int) -> None:
    exif = Image.Exif()
    exif[0x010E] = "a description"
    more = {"exif": exif, "icc_profile": profile, "comment": b"a comment", "xmp": b"<x:xmpmeta/>", "dpi": (300, 300)}
    ladder = Ladder((width,), webp=True, avif=False, preset=preset, jpeg_width=width, preview=True)
    files = contents(encoded(quarters((96, 64)), "JPEG", **more), ladder)
    for name in (f"{width}.jpg", "preview.jpg"):
        assert files[name].format == "JPEG"
        assert {key for key in files[name].info if not str(key).startswith(("jfif", "progress"))} == set()
        assert files[name].info["jfif_density"] == (1, 1)
        assert not files[name].getexif()
        assert ("progressive" in files[name].info) == (preset == "small")


def test_it_is_kept_whatever_the_others_weigh(tmp_path: Path) -> None:
    """A WebP without loss of a drawing has fewer bytes; it does not take the JPEG's place."""
    report, _ = rendered(tmp_path, encoded(quarters((64, 64)), "PNG"), LADDER)
    assert [one.format for one in report.renditions].count("jpeg") == 1
    jpeg = next(one for one in report.renditions if one.format == "jpeg")
    assert jpeg.bytes > max(one.bytes for one in report.renditions if one.format == "webp")


def test_its_encoder_fails_by_name(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> Image.Image:
        raise OSError("encoder error -2")

    monkeypatch.setattr(encoder, "flattened", fail)
    with pytest.raises(CodecFault, match="our JPEG encoder failed: OSError") as caught:
        pipeline.develop(encoded(soft((96, 64)), "PNG"), LIMITS, LADDER, None)
    assert (caught.value.codec, caught.value.broken) == ("JPEG encoder", True)


# The picture for link cards


def test_it_is_no_rendition(tmp_path: Path) -> None:
    (tmp_path / "original").write_bytes(encoded(soft((96, 60)), "JPEG"))
    report = imaging.render(tmp_path / "original", tmp_path, LIMITS, WITH_PREVIEW, None)
    assert report.renditions == tuple(
        Rendition(width, height, "webp", (tmp_path / f"{width}.webp").stat().st_size)
        for width, height in ((32, 20), (64, 40))
    )
    assert report.preview_bytes == (tmp_path / "preview.jpg").stat().st_size


@pytest.mark.parametrize("ladder", [Ladder((64,), webp=False, avif=False, jpeg_width=64, preview=True), LADDER])
def test_without_being_wanted_there_is_none(ladder: Ladder) -> None:
    report, files = pipeline.develop(encoded(soft((96, 60)), "JPEG"), LIMITS, ladder, None)
    assert report.preview_bytes == 0
    assert "preview.jpg" not in files
    assert ("48.jpg" in files) == ladder.webp


@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
@pytest.mark.parametrize("size", [(1, 1), (3, 2000), (2000, 3), (600, 315), (601, 700), (1200, 630), (1280, 960)])
def test_it_always_has_the_same_sides(mode: str, size: tuple[int, int]) -> None:
    made = preview_of(Image.new(mode, size, (200, 40, 40, 255)[: len(mode)]))
    assert (made.mode, made.size) == ("RGB", PREVIEW_SIZE)
    assert near(pixel(made, 0.5, 0.5), (200, 40, 40))


def test_a_small_picture_is_enlarged_twice_at_most_and_stands_on_its_mean_colour() -> None:
    made = preview_of(quarters((300, 200)))
    left, right = made.crop((0, 0, 300, 630)), made.crop((900, 0, 1200, 630))
    assert left.getcolors() == right.getcolors() and len(left.getcolors() or ()) == 1
    assert near(pixel(left, 0.5, 0.5), (104, 102, 97))
    assert not near(pixel(made, 310 / 1200, 0.4), (104, 102, 97))
    clear = quarters((300, 200)).convert("RGBA")
    clear.putpixel((0, 0), (0, 0, 0, 0))
    assert pixel(preview_of(clear), 0.1, 0.5) == (255, 255, 255)


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9])
@pytest.mark.parametrize("is_tall", [True, False])
def test_it_shows_the_part_in_which_something_is(place: float, is_tall: bool) -> None:
    """Leaves of many colours on an even ground."""
    width, height = (1200, 2400) if is_tall else (2400, 630)
    picture = Image.new("RGB", (width, height), (90, 100, 110))
    leaves = Image.effect_noise((300, 300), 90).filter(ImageFilter.GaussianBlur(3))
    spot = Image.merge("RGB", (leaves, leaves.rotate(90), leaves.rotate(180)))
    at = (width // 2, int(place * height)) if is_tall else (int(place * width), height // 2)
    picture.paste(spot, (at[0] - 150, at[1] - 150))
    shown = preview_of(picture)
    many = len(shown.resize((120, 63), Image.Resampling.NEAREST).getcolors(10_000) or ())
    assert many > 400, "nearly all of the 900 pixels that the leaves have there"


def test_an_even_picture_is_cropped_at_its_middle() -> None:
    picture = Image.new("RGB", (1200, 1890), (90, 100, 110))
    picture.paste((91, 100, 110), (0, 630, 1200, 1260))
    assert preview_of(picture).getpixel((600, 10)) == (91, 100, 110)


def test_it_is_made_of_the_smallest_step_that_covers_it() -> None:
    steps = [(320, 240), (640, 480), (1280, 960), (1920, 1440)]
    assert least_covering(steps, PREVIEW_SIZE) == (1280, 960)
    assert least_covering(steps[:2], PREVIEW_SIZE) == (640, 480)
    assert least_covering([(1280, 400), (1920, 600)], PREVIEW_SIZE) == (1920, 600)
