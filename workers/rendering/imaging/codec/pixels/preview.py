"""The preview for link cards: 1200 × 630 pixels (1.91 : 1), the part of a picture that matters most."""

from __future__ import annotations

import math
from array import array
from typing import Final

from PIL import Image, ImageChops, ImageColor

from ipc.jobs import PREVIEW_SIZE
from workers.rendering.imaging.appearance.crop import best_start
from workers.rendering.imaging.codec.pixels.appearance import WHITE, flattened, mean_colour
from workers.rendering.imaging.codec.scaler import Box, resized

MOST_ENLARGED: Final = 2.0
"""Largest enlargement. Beyond it, blur shows more than the picture does."""

_LOOKED_AT: Final = 128
"""Pixels of the longer side of the copy in which the part is searched."""

_SATURATION: Final = 0.35
"""What a pixel's colourfulness counts against its edges: people and things are in colour more often than walls are."""


def preview_of(picture: Image.Image) -> Image.Image:
    """The preview of a picture in RGB or RGBA: always of PREVIEW_SIZE, on white where the picture is transparent.

    One that would have to be enlarged too far to fill it stands in its middle, on its mean colour.
    """
    flat = flattened(picture)
    scale = min(MOST_ENLARGED, max(full / own for full, own in zip(PREVIEW_SIZE, flat.size, strict=True)))
    window = _window(flat, scale)
    target = _target(window, scale)
    shown = resized(flat, target, window)
    if target == PREVIEW_SIZE:
        return shown
    ground = WHITE if picture.mode == "RGBA" else ImageColor.getrgb(mean_colour(flat))
    card = Image.new("RGB", PREVIEW_SIZE, ground)
    card.paste(shown, ((PREVIEW_SIZE[0] - target[0]) // 2, (PREVIEW_SIZE[1] - target[1]) // 2))
    return card


def _target(window: Box, scale: float) -> tuple[int, int]:
    """The sides in px at which the window is shown."""
    left, upper, right, lower = window
    full_width, full_height = PREVIEW_SIZE
    width, height = max(1, round((right - left) * scale)), max(1, round((lower - upper) * scale))
    return min(full_width, width), min(full_height, height)


def _window(picture: Image.Image, scale: float) -> Box:
    """The part of the picture that fills a preview at that scale, as a box in px: where most is to be seen."""
    width, height = (min(float(own), full / scale) for own, full in zip(picture.size, PREVIEW_SIZE, strict=True))
    if width == picture.width and height == picture.height:
        return (0.0, 0.0, width, height)
    interest = _interest(picture)
    left = _start(interest, "across", picture.width, width)
    upper = _start(interest, "down", picture.height, height)
    return (left, upper, left + width, upper + height)


def _start(interest: Image.Image, along: str, side: int, length: float) -> float:
    """Where the part of that length begins along a side of the picture, both in px."""
    if length >= side:
        return 0.0
    line = (interest.width, 1) if along == "across" else (1, interest.height)
    weights = array("f", interest.convert("F").resize(line, Image.Resampling.BOX).tobytes())
    start = best_start(weights, max(1, round(length * len(weights) / side)))
    return min(side - length, start * side / len(weights))


def _interest(picture: Image.Image) -> Image.Image:
    """How much there is to be seen at each place of it: edges and colour, in grey, much smaller."""
    small = picture.reduce(math.ceil(max(picture.size) / _LOOKED_AT))
    red, green, blue = small.split()
    most = ImageChops.lighter(ImageChops.lighter(red, green), blue)
    least = ImageChops.darker(ImageChops.darker(red, green), blue)
    colour = ImageChops.subtract(most, least).point([round(_SATURATION * value) for value in range(256)])
    return ImageChops.add(colour, _edges(small.convert("L")))


def _edges(grey: Image.Image) -> Image.Image:
    """How much each pixel differs from the one on its right and the one below."""
    across = ImageChops.difference(grey, ImageChops.offset(grey, -1, 0))
    down = ImageChops.difference(grey, ImageChops.offset(grey, 0, -1))
    width, height = grey.size
    across.paste(0, (width - 1, 0, width, height))  # offset wraps round
    down.paste(0, (0, height - 1, width, height))
    return ImageChops.add(across, down)
