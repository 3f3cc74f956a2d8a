"""What of a decoded picture is clear where Pillow does not see it: by a colour at full depth, or outside of a frame."""

from __future__ import annotations

import io

from PIL import Image, ImageChops

from workers.rendering.imaging.colour import png


def keyed(image: Image.Image, data: bytes) -> Image.Image | None:
    """The alpha of a PNG of grey or RGB, loaded from `data`, that names one colour as clear (tRNS); None where none is.

    Samples are compared as the file has them: Pillow compares a key of few bits with pixels spread over 8, and one of
    16 bits with their high bytes.
    """
    key = png.key(data)
    if key is None:
        return None
    if image.mode.startswith("I"):
        return image.convert("I").point([0 if value == key.samples[0] else 255 for value in range(65_536)], "L")
    if key.bits == 16:
        high, low = image.split(), _low_bytes(data).split()
        pairs = [(plane, one >> 8) for plane, one in zip(high, key.samples, strict=True)]
        pairs += [(plane, one & 0xFF) for plane, one in zip(low, key.samples, strict=True)]
    else:
        spread = 255 // ((1 << key.bits) - 1)
        planes = image.split() if image.mode == "RGB" else (image.convert("L"),)
        pairs = [(plane, one * spread) for plane, one in zip(planes, key.samples, strict=True)]
    alpha = Image.new("L", image.size)
    for plane, value in pairs:
        alpha = ImageChops.lighter(alpha, plane.point([0 if at == value else 255 for at in range(256)]))
    return alpha


def _low_bytes(data: bytes) -> Image.Image:
    """The lower byte of each sample of a PNG of 16-bit RGB. Pillow drops it, so the other byte order is read."""
    with Image.open(io.BytesIO(data), formats=("PNG",)) as image:
        image.tile = [tile._replace(args="RGB;16L") for tile in image.tile]
        image.load()
        return image.convert("RGB") if image.mode != "RGB" else image


def framed(image: Image.Image, frame: tuple[int, int, int, int] | None) -> Image.Image | None:
    """The alpha of a GIF whose first frame covers only a part of the canvas; None where it covers it all.

    Browsers leave the rest clear; Pillow gives it the palette's first colour. The clear colour of the frame is in the
    alpha then, and no longer in `image.info`.
    """
    if frame is None or frame == (0, 0, *image.size):
        return None
    own = image.convert("RGBA").getchannel("A") if image.has_transparency_data else Image.new("L", image.size, 255)
    alpha = Image.new("L", image.size)
    alpha.paste(own.crop(frame), frame[:2])
    image.info.pop("transparency", None)
    return alpha
