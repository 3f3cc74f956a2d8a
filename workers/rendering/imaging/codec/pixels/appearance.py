"""What a picture looks like, from its smallest rendition: 2 ms."""

from __future__ import annotations

from operator import mul
from typing import Final

from PIL import Image

from ipc.jobs import Appearance
from workers.rendering.imaging.appearance.phash import SIDE, phash
from workers.rendering.imaging.appearance.thumbhash import thumbhash

WHITE: Final = (255, 255, 255)
"""What stands behind a picture that can be seen through, where there has to be something: so mail and feeds show it."""

_ENOUGH: Final = 320
"""Pixels of the longer side to which a picture is shrunk coarsely first."""

_THUMB_SIDE: Final = 32
"""Pixels a side that are enough for a ThumbHash: it counts seven waves at most."""


def appearance_of(picture: Image.Image, frames: int, *, animated: bool = False) -> Appearance:
    """The appearance of a picture in RGB, or in RGBA if some of its alpha shows. Raises whatever Pillow does.

    `frames`: number of frames of the animation that it begins. `animated`: its renditions move.
    """
    factor = max(picture.size) // _ENOUGH
    picture = picture.reduce(factor) if factor > 1 else picture
    small = _fitted(picture, _THUMB_SIDE)
    return Appearance(
        thumbhash=thumbhash(*small.size, _pixels(small)),
        color=mean_colour(small),
        phash=phash(_grey_rows(picture)),
        has_alpha=picture.mode == "RGBA",
        frames=frames,
        animated=animated,
    )


def appearance_canary() -> None:
    """Raises what breaks `appearance_of` on any picture."""
    appearance_of(Image.new("RGBA", (8, 8), (0, 128, 128, 128)), 1)


def mean_colour(picture: Image.Image) -> str:
    """The mean of what is not clear, as "#rrggbb".

    Not the most frequent colour: a placeholder is to change as little as it can when the picture comes, and none is
    nearer to all its pixels. It is also the mean of the ThumbHash, so that one may follow the other.
    """
    small = _fitted(picture, _THUMB_SIDE)
    data, bands = small.tobytes(), len(small.getbands())
    if bands == 3:
        means = [sum(data[at::3]) / (len(data) // 3) for at in range(3)]
    else:
        shares = data[3::4]
        means = [sum(map(mul, data[at::4], shares)) / (sum(shares) or 1) for at in range(3)]
    red, green, blue = map(round, means)
    return f"#{red:02x}{green:02x}{blue:02x}"


def flattened(picture: Image.Image) -> Image.Image:
    """The picture as RGB, on white where it can be seen through."""
    if picture.mode == "RGB":
        return picture
    flat = Image.new("RGB", picture.size, WHITE)
    flat.paste(picture, mask=picture.getchannel("A"))
    return flat


def _fitted(picture: Image.Image, side: int) -> Image.Image:
    """The picture shrunk so that neither side is longer."""
    scale = side / max(picture.size)
    if scale >= 1:
        return picture
    width, height = (max(1, round(scale * one)) for one in picture.size)
    return picture.resize((width, height), Image.Resampling.BOX)


def _pixels(picture: Image.Image) -> list[tuple[int, int, int, int]]:
    bands = iter(picture.convert("RGBA").tobytes())
    return list(zip(bands, bands, bands, bands, strict=True))


def _grey_rows(picture: Image.Image) -> list[bytes]:
    """The picture in grey, shrunk as ImageHash shrinks it."""
    grey = flattened(picture).convert("L").resize((SIDE, SIDE), Image.Resampling.LANCZOS).tobytes()
    return [grey[at : at + SIDE] for at in range(0, len(grey), SIDE)]
