"""A decoded picture in sRGB, whatever its mode, its colour profile, and what else its file states of its colours."""

from __future__ import annotations

import io
from functools import cache

from PIL import Image, ImageCms

from workers.rendering.imaging.blame import CodecFault, does
from workers.rendering.imaging.codec.pixels.toning import toned
from workers.rendering.imaging.colour import Hdr, Meaning
from workers.rendering.imaging.memory import Gauge

SRGB = ImageCms.createProfile("sRGB")
_PROFILE_MODES = {"RGB": "RGB", "GRAY": "L", "CMYK": "CMYK"}


def plain(image: Image.Image, alpha: Image.Image | None = None) -> Image.Image:
    """Return it in a mode that can be shrunk: L, LA, RGB, RGBA or CMYK, with alpha only where some of it shows.

    16 bits are scaled to 8. The formats taken hold no F and no true 32-bit I; they would be clipped. `alpha`, a picture
    in L, takes the place of its own.
    """
    if image.mode.startswith("I"):
        result = image.convert("I").point(_from_16_bits(), "L")
    elif image.mode in ("LA", "RGBA"):
        result = image
    elif alpha is None and image.has_transparency_data:
        result = image.convert("RGBA")
    elif image.mode in ("L", "RGB", "CMYK"):
        result = image
    else:
        result = image.convert("RGB")
    if alpha is not None:
        result = _with_alpha(result, alpha)
    if result.mode in ("LA", "RGBA") and result.getchannel("A").getextrema() == (255, 255):
        result = result.convert(result.mode[:-1])
    return result


@cache
def _from_16_bits() -> list[int]:
    """What each value becomes. Made at the first picture that has 16 bits: it takes 6 ms and half a mebibyte."""
    return [(value * 255 + 32_767) // 65_535 for value in range(65_536)]


def _with_alpha(image: Image.Image, alpha: Image.Image) -> Image.Image:
    bands = image.split()[: 1 if image.mode in ("L", "LA") else 3]
    return Image.merge("LA" if len(bands) == 1 else "RGBA", (*bands, alpha))


def to_srgb(image: Image.Image, stated: Meaning, gauge: Gauge) -> Image.Image:
    """Return it as RGB or RGBA in sRGB; where nothing usable is stated it is taken to be sRGB already."""
    alpha = image.getchannel("A") if image.mode in ("LA", "RGBA") else None
    colour = image.convert(image.mode[:-1]) if alpha else image
    if isinstance(stated, Hdr):
        result = toned(colour.convert("RGB"), stated)
    else:
        result = (through_profile(colour, stated, gauge) if stated else None) or colour.convert("RGB")
    if alpha:
        result.putalpha(alpha)
    return result


def through_profile(colour: Image.Image, profile: bytes, gauge: Gauge) -> Image.Image | None:
    """Return `colour` (L, RGB, CMYK) as sRGB; None where the profile is broken or of another kind."""
    try:
        source = ImageCms.ImageCmsProfile(io.BytesIO(profile))
        mode = _PROFILE_MODES.get(source.profile.xcolor_space.strip())
        if mode is None or (mode != colour.mode and (mode, colour.mode) != ("RGB", "L")):
            return None
        return ImageCms.profileToProfile(
            colour.convert(mode),
            source,
            SRGB,
            renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,
            outputMode="RGB",
            flags=ImageCms.Flags.BLACKPOINTCOMPENSATION,
        )
    except Exception as error:
        gauge.rule_out_memory(error)
        if not does(_convert_canary):
            raise CodecFault("colour converter", error, broken=True) from error
        return None


def _convert_canary() -> None:
    ImageCms.profileToProfile(Image.new("RGB", (8, 8), "teal"), SRGB, SRGB, outputMode="RGB")
