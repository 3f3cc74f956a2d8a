"""Pillow's own settings and errors."""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pillow_avif.AvifImagePlugin
from PIL import Image, ImageFile, UnidentifiedImageError

from workers.rendering.imaging.gate import Limits

pillow_avif.AvifImagePlugin.DEFAULT_MAX_THREADS = 1  # each decoder thread would count its stack against the cap
ImageFile.LOAD_TRUNCATED_IMAGES = False

# All named: by default pillow_avif keeps the source's EXIF (GPS) and colour profile, and a JPEG its comment.
BARE: dict[str, Any] = {"exif": b"", "xmp": b"", "icc_profile": None, "comment": b""}


@contextmanager
def strict_pillow(limits: Limits) -> Iterator[None]:
    """Pillow's own pixel limit at the gate's, and its warning an error; its other warnings refuse nothing."""
    before = Image.MAX_IMAGE_PIXELS
    Image.MAX_IMAGE_PIXELS = limits.max_pixels
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            yield
    finally:
        Image.MAX_IMAGE_PIXELS = before


def reason_of(kind: str, error: Exception) -> str:
    """What is wrong with a picture of that `kind`, where decoding it raised this."""
    if isinstance(error, UnidentifiedImageError):  # its text holds the address of an object
        return f"damaged or cut off: no readable {kind} header"
    if isinstance(error, (Image.DecompressionBombError, Image.DecompressionBombWarning)):
        return f"too many pixels: {error}"
    text = str(error)[:200] or type(error).__name__
    return f"truncated: {text}" if "truncat" in text.lower() else f"damaged: {text}"


def avif_versions() -> dict[str, str]:
    """The versions of what writes AVIF, by name; of the encoders in one text."""
    encoders = pillow_avif.AvifImagePlugin._avif
    return {
        "pillow-avif-plugin": pillow_avif.__version__,
        "libavif": encoders.libavif_version,
        "codecs": encoders.codec_versions(),
    }


def same_pixels(image: Image.Image) -> Image.Image:
    """Another image with the same pixels in memory: at the image Pillow notes the options of its `save`, so two threads
    can't save one. A real copy holds the others up: 9 ms for 2.8 megapixels, most of them page faults.
    """
    return image._new(image.im)


def saved(picture: Image.Image, options: dict[str, Any], **metadata: Any) -> bytes:
    """The file in bytes, with no metadata but what is given."""
    buffer = io.BytesIO()
    picture.save(buffer, **options | BARE | metadata)
    return buffer.getvalue()
