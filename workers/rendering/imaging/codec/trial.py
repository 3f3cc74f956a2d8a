"""What a picture loses by AVIF, measured on a very small one: four ms for aom, and four for the rest.

Beside that: how light it is, and how much of it has steps, which tell what the measures miss.

The measures are those parts of SSIMULACRA2 in which pictures differ most, as far as Pillow has them in C: structural
similarity of luma at the pixels and at a quarter of the sides, and of blue. Windows are blocks, not Gaussian.
"""

from __future__ import annotations

import io
import math
from collections.abc import Callable
from typing import Any, Final

from PIL import Image, ImageChops, ImageMath, ImageStat

from workers.rendering.imaging.codec.pillow import saved
from workers.rendering.imaging.quality import SHORTEST, TRIAL_PIXELS, Trial

_BLOCK = 4
"""Pixels a side of the windows."""

_NOISE = 58.5
"""SSIMULACRA2's constant 0.0009 at 255 steps: the variance below which structure does not count."""

_LINES = 64
"""So many rows and columns are looked at for detail, whatever the size."""

_OFFSETS = ((0, 0), (2, 0), (0, 2), (2, 2))
"""Of the coarse windows: there are few, so they overlap."""


def _perceived(value: int) -> int:
    """A step of sRGB as SSIMULACRA2's cube root of the light has it, in 0 to 255."""
    part = value / 255
    light = part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4
    return round(255 * (math.cbrt(light + 0.0038) - 0.156) / 0.845)


_PERCEIVED = [_perceived(value) for value in range(256)]
_LOGARITHMS = [math.log2(1 + value) for value in range(256)]

_STEEPEST = 0.1
"""The share of the steps between neighbours whose least is measured."""


OPTIONS: Final[dict[str, Any]] = {
    "format": "AVIF",
    "codec": "aom",
    "speed": 9,
    "quality": 62,
    "subsampling": "4:2:0",
    "max_threads": 1,
}
"""Of a trial, whatever the preset: the coefficients are fitted to it. At such sizes SVT-AV1 takes longer than aom."""


def tried(picture: Image.Image, options: dict[str, Any] = OPTIONS) -> Trial | None:
    """Encode the picture very small and measure it; None if it is too small for that. Raises whatever Pillow does."""
    small = _small(picture)
    if min(small.size) < SHORTEST:
        return None
    with Image.open(io.BytesIO(saved(small, options)), formats=("AVIF",)) as file:
        again = file.convert("RGB")
    grey = small.convert("L")
    luma, luma_again = (one.point(_PERCEIVED) for one in (grey, again.convert("L")))
    steps = _steps(small)
    blue, blue_again = (one.reduce(2).convert("YCbCr").getchannel("Cb") for one in (small, again))
    return Trial(
        pixels=small.width * small.height,
        fine=_fine(luma, luma_again),
        coarse=_mean_loss(luma.reduce(4), luma_again.reduce(4), _OFFSETS),
        colour=_mean_loss(blue, blue_again),
        detail=_mean_logarithm(steps),
        lightness=ImageStat.Stat(grey).mean[0],
        steepness=_steepness(steps),
    )


def _small(picture: Image.Image) -> Image.Image:
    """The picture as RGB, shrunk to a trial's size by a whole number. Grey stands behind what can be seen through."""
    small = picture.reduce(math.ceil(math.sqrt(picture.width * picture.height / TRIAL_PIXELS)))
    if small.mode == "RGB":
        return small
    flat = Image.new("RGB", small.size, (128, 128, 128))
    flat.paste(small, mask=small.getchannel("A"))
    return flat


def detail(picture: Image.Image) -> float:
    """The mean logarithm (of two) of the steps between neighbours, of 255, along some rows and columns."""
    return _mean_logarithm(_steps(picture))


def _steps(picture: Image.Image) -> list[int]:
    """How many steps between neighbours there are of each height, 0 to 255, along some rows and columns."""
    width, height = picture.size
    rows = picture.resize((width, min(height, _LINES)), Image.Resampling.NEAREST).convert("L")
    columns = picture.resize((min(width, _LINES), height), Image.Resampling.NEAREST).convert("L")
    across = ImageChops.difference(rows.crop((1, 0, *rows.size)), rows.crop((0, 0, rows.width - 1, rows.height)))
    down = ImageChops.difference(
        columns.crop((0, 1, *columns.size)), columns.crop((0, 0, columns.width, columns.height - 1))
    )
    return [a + b for a, b in zip(across.histogram(), down.histogram(), strict=True)]


def _mean_logarithm(steps: list[int]) -> float:
    return sum(count * weight for count, weight in zip(steps, _LOGARITHMS, strict=True)) / max(1, sum(steps))


def _steepness(steps: list[int]) -> float:
    """The logarithm (of two) of the height that a tenth of the steps have at least. Between two heights it is as much
    nearer to one as steps of that height are left over.
    """
    wanted = sum(steps) * _STEEPEST
    for height in range(255, 0, -1):
        if steps[height] and steps[height] >= wanted:
            return math.log2(1 + height + 0.5 - wanted / steps[height])
        wanted -= steps[height]
    return 0.0


def _fine(first: Image.Image, second: Image.Image) -> float:
    """The fourth root of the mean fourth power of the loss: the worst places count."""
    loss = _losses(_moments(first, second), (0, 0))
    powers = _computed(lambda of: of["loss"] * of["loss"] * of["loss"] * of["loss"], loss=loss)
    return math.sqrt(math.sqrt(max(0.0, _mean(powers))))


def _mean_loss(first: Image.Image, second: Image.Image, offsets: tuple[tuple[int, int], ...] = ((0, 0),)) -> float:
    moments = _moments(first, second)
    total = sum(_mean(_losses(moments, offset)) for offset in offsets)
    return max(0.0, total / len(offsets))


def _moments(first: Image.Image, second: Image.Image) -> dict[str, Image.Image]:
    """Both, their squares and their product, in floating point."""
    one, two = first.convert("F"), second.convert("F")
    pairs = {"square1": (one, one), "square2": (two, two), "product": (one, two)}
    products = {
        name: _computed(lambda of: of["left"] * of["right"], left=left, right=right)
        for name, (left, right) in pairs.items()
    }
    return {"mean1": one, "mean2": two, **products}


def _losses(moments: dict[str, Image.Image], offset: tuple[int, int]) -> Image.Image:
    """1 − structural similarity of each window, the first beginning at `offset`."""
    width, height = moments["mean1"].size
    left, upper = offset
    box = (left, upper, width - (width - left) % _BLOCK, height - (height - upper) % _BLOCK)
    return _computed(
        lambda of: (
            1
            - (2 * (of["product"] - of["mean1"] * of["mean2"]) + _NOISE)
            / (of["square1"] - of["mean1"] * of["mean1"] + of["square2"] - of["mean2"] * of["mean2"] + _NOISE)
        ),
        **{name: image.reduce(_BLOCK, box) for name, image in moments.items()},
    )


def _computed(formula: Callable[[dict[str, Any]], Any], **images: Image.Image) -> Image.Image:
    result = ImageMath.lambda_eval(formula, **images)
    assert isinstance(result, Image.Image)
    return result


def _mean(image: Image.Image) -> float:
    value = image.resize((1, 1), Image.Resampling.BOX).getpixel((0, 0))
    assert isinstance(value, float)
    return value
