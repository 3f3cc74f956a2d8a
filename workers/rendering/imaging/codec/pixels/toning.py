"""PQ and HLG brought down to sRGB: what `colour.hdr` says, over pixels."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from functools import cache
from typing import Any, Final

from PIL import Image, ImageChops, ImageMath

from workers.rendering.imaging.colour import Hdr
from workers.rendering.imaging.colour.cicp import encoded
from workers.rendering.imaging.colour.hdr import Toning, light

_STRIP_PIXELS: Final = 65_536
"""Pixels that are reckoned at a time, in numbers of four bytes, some fifteen for each pixel."""

_BRIGHTEST: Final = 65_535

Planes = tuple[Image.Image, ...]


def toned(picture: Image.Image, hdr: Hdr) -> Image.Image:
    """`picture`, in RGB as `hdr` says, in sRGB. 0.25 s of CPU a megapixel."""
    table, toning = light(hdr), Toning.of(hdr)
    result = Image.new("RGB", picture.size)
    rows = max(1, _STRIP_PIXELS // picture.width)
    for top in range(0, picture.height, rows):
        strip = picture.crop((0, top, picture.width, min(top + rows, picture.height)))
        result.paste(_toned(strip.split(), table, toning), (0, top))
    return result


def _toned(planes: Planes, table: list[float], toning: Toning) -> Image.Image:
    gain = _gain(planes, table, toning)
    encode = _encoding()
    bands = []
    for row in toning.matrix:
        linear = _mixed(planes, row, table)
        scaled = _reckoned(
            lambda one, two, most, least: least(most(one * two, 0.0), 1.0) * _BRIGHTEST + 0.5, linear, gain
        )
        bands.append(scaled.convert("I").point(encode, "L"))
    return Image.merge("RGB", bands)


def _gain(planes: Planes, table: list[float], toning: Toning) -> Image.Image:
    """The factor for each pixel."""
    if toning.is_wide:  # the largest light is that of the largest sample
        largest = ImageChops.lighter(ImageChops.lighter(planes[0], planes[1]), planes[2]).point(table, "F")
    else:
        mixed = (_mixed(planes, row, table) for row in toning.wide)
        largest = _reckoned(lambda one, two, three, most, _: most(most(one, two), three), *mixed)
    if not toning.system_gamma:
        return _reckoned(lambda one, most, least: _curve(one, toning, most, least), largest)
    luma = _mixed(planes, toning.luma, table)
    scale = _reckoned(lambda one, most, _: most(one, 0.0) ** toning.system_gamma * toning.peak, luma)
    return _reckoned(lambda one, two, most, least: _curve(one * two, toning, most, least) * two, largest, scale)


def _curve(bright: Any, toning: Toning, most: Callable[..., Any], least: Callable[..., Any]) -> Any:
    """The gain for this light: the curve at it by itself; a quadratic equation says where on the curve that is."""
    at = least(most(bright, 1.0), toning.peak) * (4 * toning.a) + (toning.b**2 - 4 * toning.a)
    t = (at**0.5 - toning.b) * (1 / (2 * toning.a))
    height = t * t * (toning.white - 2 * toning.middle + 1) + t * (2 * (toning.middle - toning.white)) + toning.white
    return height / most(bright, 1.0)


def _mixed(planes: Planes, shares: Iterable[float], table: list[float]) -> Image.Image:
    """The sum of the light of all planes, of each by its share."""
    parts = [plane.point([share * value for value in table], "F") for plane, share in zip(planes, shares, strict=True)]
    return _reckoned(lambda one, two, three, *_: one + two + three, *parts)


def _reckoned(how: Callable[..., Any], *images: Image.Image) -> Image.Image:
    """What `how` makes of the images, and of the functions max and min for them."""
    names = [f"image{number}" for number in range(len(images))]
    made: Image.Image = ImageMath.lambda_eval(
        lambda known: how(*(known[name] for name in names), known["max"], known["min"]),
        **dict(zip(names, images, strict=True)),
    )
    return made


@cache
def _encoding() -> list[int]:
    """The sRGB sample of each light in 16 bits."""
    return [round(255 * encoded(value / _BRIGHTEST)) for value in range(_BRIGHTEST + 1)]
