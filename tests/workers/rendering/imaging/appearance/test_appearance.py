"""What is said of pictures besides their renditions, on pictures made in code and on the photographs of the example."""

from __future__ import annotations

import io
import random
from collections.abc import Callable
from functools import cache
from itertools import combinations
from typing import Any

import pytest
from PIL import Image, ImageEnhance, ImageOps

from ipc.jobs import Appearance
from tests.instance import HOME
from workers.rendering.imaging import Ladder, Limits
from workers.rendering.imaging.appearance.thumbhash import thumbhash
from workers.rendering.imaging.codec import pipeline
from workers.rendering.imaging.codec.pixels import appearance as looks
from workers.rendering.imaging.codec.pixels.appearance import appearance_of

LIMITS = Limits(max_bytes=10**7, max_dimension=5000, max_pixels=10**7)
LADDER = Ladder((96, 320), webp=True, avif=False)
NEAR, FAR = 6, 12
"""Bits in which two versions of one photograph differ at most, and two photographs at least."""


def appearance(data: bytes, ladder: Ladder = LADDER) -> Appearance:
    return pipeline.develop(data, LIMITS, ladder, None)[0].appearance


def encoded(picture: Image.Image, kind: str, **options: Any) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, kind, **options)
    return buffer.getvalue()


def distance(one: int, other: int) -> int:
    return (one ^ other).bit_count()


@cache
def photographs() -> dict[str, bytes]:
    """Those of the example: the tenth is the third, posted again."""
    paths = sorted((HOME / "examples" / "export" / "photos").glob("*.jpg"))
    return {path.name: path.read_bytes() for path in paths if not path.name.startswith("photo_10@")}


CHANGES: dict[str, Callable[[Image.Image], bytes]] = {
    "encoded again": lambda picture: encoded(picture, "JPEG", quality=40),
    "as WebP": lambda picture: encoded(picture, "WEBP", quality=50, method=0),
    "a third of the size": lambda picture: encoded(ImageOps.scale(picture, 1 / 3), "JPEG", quality=80),
    "a little wider": lambda picture: encoded(picture.resize((picture.width + 20, picture.height)), "JPEG"),
    "brighter": lambda picture: encoded(ImageEnhance.Brightness(picture).enhance(1.1), "JPEG"),
    "more contrast": lambda picture: encoded(ImageEnhance.Contrast(picture).enhance(1.1), "JPEG"),
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_versions_of_a_photograph_share_nearly_all_bits(change: Callable[[Image.Image], bytes]) -> None:
    for name, data in list(photographs().items())[:4]:
        with Image.open(io.BytesIO(data)) as picture:
            changed = change(picture.convert("RGB"))
        assert distance(appearance(data).phash, appearance(changed).phash) <= NEAR, name


def test_other_photographs_do_not() -> None:
    hashes = {name: appearance(data).phash for name, data in photographs().items()}
    assert len(hashes) >= 4
    for (one, first), (other, second) in combinations(hashes.items(), 2):
        assert distance(first, second) >= FAR, (one, other)


def test_the_hash_is_that_of_imagehash() -> None:
    """`imagehash.phash` 4.3.2 of the same 320 pixels; the last bits of a float may turn one or two."""
    rng = random.Random(15)
    small = Image.new("L", (9, 7))
    small.putdata([rng.randrange(256) for _ in range(63)])
    picture = small.resize((320, 240), Image.Resampling.BICUBIC).convert("RGB")
    assert distance(appearance_of(picture, 1).phash, IMAGEHASH) <= 2


IMAGEHASH = 0xAECF0F2CF9362181


@pytest.mark.parametrize("size", [(1, 1), (2, 900), (900, 2), (40, 30), (1300, 900)])
@pytest.mark.parametrize("mode", ["RGB", "RGBA"])
def test_pictures_of_any_size_have_one(size: tuple[int, int], mode: str) -> None:
    found = appearance_of(Image.new(mode, size, (200, 40, 40, 128)[: len(mode)]), 1)
    bands = bytes.fromhex(found.color[1:])
    assert all(abs(band - value) <= 1 for band, value in zip(bands, (200, 40, 40), strict=True)), "but for rounding"
    assert found.has_alpha == (mode == "RGBA")
    assert 5 <= len(found.thumbhash) <= 25


def test_few_pixels_are_looked_at(monkeypatch: pytest.MonkeyPatch) -> None:
    sizes = []

    def noted(width: int, height: int, pixels: list[Any]) -> bytes:
        sizes.append((width, height, len(pixels)))
        return thumbhash(width, height, pixels)

    monkeypatch.setattr(looks, "thumbhash", noted)
    for size in ((1300, 650), (100, 300), (20, 10)):
        appearance_of(Image.new("RGB", size), 1)
    assert sizes == [(32, 16, 512), (11, 32, 352), (20, 10, 200)]


def test_the_colour_is_the_mean_of_what_is_not_clear() -> None:
    picture = Image.new("RGBA", (64, 64), (0, 255, 0, 0))
    picture.paste((100, 50, 0, 255), (0, 0, 32, 64))
    picture.paste((200, 150, 0, 255), (32, 0, 64, 32))
    assert appearance_of(picture, 1).color == "#855300"  # two parts of one, one of the other; no green
    assert appearance_of(Image.new("RGBA", (8, 8), (9, 9, 9, 0)), 1).color == "#000000"


def test_alpha_is_known_where_a_single_pixel_can_be_seen_through() -> None:
    picture = Image.new("RGBA", (900, 600), (10, 20, 30, 255))
    assert not appearance(encoded(picture, "PNG")).has_alpha
    picture.putpixel((450, 300), (10, 20, 30, 254))
    assert appearance(encoded(picture, "PNG")).has_alpha


def test_a_clear_picture_is_hashed_on_white() -> None:
    """A black logo on nothing is black all over, but for its alpha."""
    logo = Image.new("RGBA", (320, 320), (0, 0, 0, 0))
    logo.paste((0, 0, 0, 255), (40, 60, 200, 140))
    on_white = Image.new("RGB", logo.size, "white")
    on_white.paste(logo, mask=logo)
    assert appearance_of(logo, 1).phash == appearance_of(on_white, 1).phash


def film(kind: str, frames: int, **options: Any) -> bytes:
    first, *rest = (Image.linear_gradient("L").rotate(9 * number).convert("RGB") for number in range(frames))
    return encoded(first, kind, save_all=True, append_images=rest, **options)


@pytest.mark.parametrize("kind", ["GIF", "WEBP", "PNG", "AVIF"])
@pytest.mark.parametrize("frames", [1, 2, 5])
def test_frames_are_counted(kind: str, frames: int) -> None:
    found = appearance(film(kind, frames))
    assert (found.frames, found.animated) == (frames, False)


def test_what_is_no_frame_is_not_counted() -> None:
    stand_in = film("PNG", 3, default_image=True)
    assert appearance(stand_in).frames == 2
    assert appearance(film("MPO", 2)).frames == 1


@pytest.mark.parametrize("cut", [1, 200, 1000])
def test_a_gif_that_is_cut_behind_its_first_frame_has_those_that_are_there(cut: int) -> None:
    whole = film("GIF", 4)
    assert appearance(whole[:-cut]).frames in (3, 4)


def test_only_verified_pictures_have_one_too() -> None:
    data = next(iter(photographs().values()))
    without = appearance(data, Ladder((96, 320), webp=False, avif=False, jpeg_width=320, preview=True))
    assert distance(without.phash, appearance(data).phash) <= 2
