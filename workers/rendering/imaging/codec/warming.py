"""Every decoder and encoder used once, on success and on failure, so that no picture is the first.

Pillow imports its plugins' helpers at first use (GIF needs `copy`).
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import suppress

from PIL import ExifTags, Image, ImageCms

from workers.rendering.imaging.blame import CodecFault
from workers.rendering.imaging.codec.pillow import saved
from workers.rendering.imaging.codec.pipeline import develop
from workers.rendering.imaging.codec.pixels.colours import SRGB
from workers.rendering.imaging.gate import BadPicture, Limits
from workers.rendering.imaging.ladder import Ladder
from workers.rendering.imaging.memory import trim


def warm_up() -> None:
    """Takes about 0.2 s; touches no file of ours."""
    limits = Limits(max_bytes=1_000_000, max_dimension=1_000, max_pixels=1_000_000)
    ladder = Ladder((16, 64), webp=True, avif=True, jpeg_width=64, preview=True, animations=True)
    for sample in samples():
        for data in (sample, sample[: len(sample) // 2]):
            with suppress(BadPicture, CodecFault):
                develop(data, limits, ladder, None)
    trim()


def samples() -> Iterator[bytes]:
    """Yield tiny pictures: each format, frames where it has them, alpha, CMYK, EXIF and a profile."""
    frames = [Image.linear_gradient("L").resize((96, 64)).convert("RGB").rotate(angle) for angle in (0, 180)]
    alpha = frames[0].copy()
    alpha.putalpha(frames[1].getchannel("R"))
    exif = Image.Exif()
    exif[ExifTags.Base.Orientation] = 6
    profile = ImageCms.ImageCmsProfile(SRGB).tobytes()
    yield saved(frames[0], {"format": "JPEG", "progressive": True}, exif=exif, icc_profile=profile)
    yield saved(frames[0].convert("CMYK"), {"format": "JPEG"})
    yield saved(frames[0], {"format": "MPO", "save_all": True, "append_images": frames[1:]})
    yield saved(frames[0].convert("I;16"), {"format": "PNG"})
    # No EXIF here: pillow_avif 1.6 crashes on an animation with it.
    for name in ("GIF", "PNG", "WEBP", "AVIF"):
        yield saved(frames[0], {"format": name, "save_all": True, "append_images": frames[1:]})
        yield saved(alpha, {"format": name})
    yield saved(frames[0].resize((2, 2)), {"format": "PNG"})  # which SVT refuses
