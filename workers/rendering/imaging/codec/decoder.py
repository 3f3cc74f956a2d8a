"""Decodes a file in memory to a picture: upright, sRGB, at the size of its largest rendition.

Shrinking each width from the next larger one after a JPEG `draft` has SSIM .9991 to a LANCZOS from full size,
at half the CPU.
"""

from __future__ import annotations

import io
from collections.abc import Callable
from functools import partial
from typing import NamedTuple

from PIL import ExifTags, Image, ImageFile

from workers.rendering.imaging.blame import CodecFault, decoding, does
from workers.rendering.imaging.canaries import CANARIES
from workers.rendering.imaging.codec.pillow import reason_of, strict_pillow
from workers.rendering.imaging.codec.pixels.clearness import framed, keyed
from workers.rendering.imaging.codec.pixels.colours import plain, to_srgb
from workers.rendering.imaging.codec.scaler import resized
from workers.rendering.imaging.colour import Meaning, meaning, png
from workers.rendering.imaging.containers import gif
from workers.rendering.imaging.containers import png as png_file
from workers.rendering.imaging.containers.avif import aperture
from workers.rendering.imaging.gate import BadPicture, Header, Limits, check, check_size
from workers.rendering.imaging.ladder import Ladder, steps_for, top_pixels
from workers.rendering.imaging.memory import Gauge, memory_need
from workers.stripping import orientation

CANARY_LIMITS = Limits(max_bytes=10_000, max_dimension=64, max_pixels=4_096)
_CANARY_LADDER = Ladder((4,), webp=False, avif=False)
_CANARY_MODES = ("1", "L", "LA", "P", "RGB", "RGBA", "CMYK", "I;16")

_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation to what makes it upright; from 5 on, the stored sides are swapped."""


class Decoded(NamedTuple):
    """The upright sides in px, those of each rendition ascending, and the picture, upright, sRGB, at the largest.

    `frames`: number of frames of the animation that it begins; 1 for a still picture.
    """

    size: tuple[int, int]
    steps: list[tuple[int, int]]
    picture: Image.Image
    frames: int


def open_picture(
    data: bytes, file_bytes: int, limits: Limits, ladder: Ladder, cap_bytes: int | None
) -> tuple[Header, Gauge, Decoded]:
    """Check it and decode it. `file_bytes`: how much of files is in memory. Raises BadPicture, CodecFault, OutOfMemory.

    Called under `strict_pillow`.
    """
    header = check(data, limits)
    sides = (header.width, header.height)
    top = max(top_pixels(*one, ladder) for one in (sides, _part_shown(data, header.format, sides) or sides))
    gauge = Gauge.start(
        f"{header.format} of {header.width}×{header.height} pixels",
        memory_need(header.width * header.height, top, file_bytes),
        cap_bytes,
    )
    canary, reason = partial(_decode_canary, header.format, gauge), partial(reason_of, header.format)
    with decoding(header.format, gauge, canary, reason):
        return header, gauge, decode(data, header, limits, ladder, gauge)


def decode(data: bytes, header: Header, limits: Limits, ladder: Ladder, gauge: Gauge) -> Decoded:
    """Raises whatever Pillow does."""
    with Image.open(io.BytesIO(data), formats=(header.format,)) as image:
        check_size(*image.size, limits)
        frames = _frames(image, data, header.format)
        alpha = None if header.format == "JPEG" else _loaded(image, data, header.format, gauge)
        turn = _orientation(image, data, header.format)
        swapped = turn >= 5
        part = _part_shown(data, header.format, image.size)
        shown = part or image.size
        size = shown[::-1] if swapped else shown
        steps = steps_for(size, ladder)
        top = steps[-1] if steps else size
        stored = top[::-1] if swapped else top
        if header.format == "JPEG":
            image.draft(None, stored)
            image.load()
        stated = meaning(header.format, data, image.info.get("icc_profile"))
        return Decoded(size, steps, _finished(_cropped(image, part), alpha, stored, turn, stated, gauge), frames)


def _frames(image: ImageFile.ImageFile, data: bytes, kind: str) -> int:
    """How many the file says that it has. Further pictures in a JPEG are no frames."""
    if kind == "JPEG":
        return 1
    if kind == "GIF":
        return gif.frames(data)  # Pillow would go through them all, and lose its place
    stand_in = bool(getattr(image, "default_image", False))  # of a PNG: it is not part of the animation
    return max(1, int(getattr(image, "n_frames", 1)) - stand_in)


def _loaded(image: ImageFile.ImageFile, data: bytes, kind: str, gauge: Gauge) -> Image.Image | None:
    """Load the first picture that a browser would show; return its alpha where Pillow would get it wrong."""
    frame = image.tile[0].extents if kind == "GIF" else None
    image.load()
    if kind == "GIF":
        return framed(image, frame)
    if kind != "PNG":
        return None
    if _is_last_row_empty(image) and png_file.lacks_rows(data):
        raise BadPicture("truncated: the PNG's pixels end before its last row")
    if getattr(image, "default_image", False) and _is_at_first_frame(image, gauge):
        return None
    if not png.has_palette_alpha(data):
        image.info.pop("transparency", None)
    return keyed(image, data)


def _is_last_row_empty(image: Image.Image) -> bool:
    """Pillow leaves rows that are not there at 0, and says nothing where zlib's stream has an end. Of a laced picture
    every other row may be there.
    """
    rows = image.crop((0, max(0, image.height - 2), *image.size))
    return any(not any(rows.crop((0, at, rows.width, at + 1)).tobytes()) for at in range(rows.height))


def _is_at_first_frame(image: ImageFile.ImageFile, gauge: Gauge) -> bool:
    """Go on to an animation's first frame from the picture that stands in for it; back again where it is broken."""
    try:
        image.seek(1)
        image.load()
    except Exception as error:
        gauge.rule_out_memory(error)
        image.seek(0)
        image.load()
        return False
    return True


def converter(data: bytes, kind: str, size: tuple[int, int], gauge: Gauge) -> Callable[[Image.Image], Image.Image]:
    """What makes of each frame of an animation a picture of these upright sides in px, upright and in sRGB."""
    with Image.open(io.BytesIO(data), formats=(kind,)) as image:
        turn = _orientation(image, data, kind)
        stated = meaning(kind, data, image.info.get("icc_profile"))
        part = _part_shown(data, kind, image.size)
    stored = size[::-1] if turn >= 5 else size
    return lambda frame: _finished(_cropped(frame, part), None, stored, turn, stated, gauge)


def _part_shown(data: bytes, kind: str, size: tuple[int, int]) -> tuple[int, int] | None:
    """The sides in px, as stored, of the part that is shown of a picture of these sides; None where all of it is."""
    part = aperture.shown(data, size) if kind == "AVIF" else size
    return None if part == size else part


def _cropped(image: Image.Image, part: tuple[int, int] | None) -> Image.Image:
    """The part of it, which begins in the upper left corner; None: all of it."""
    return image.crop((0, 0, *part)) if part else image


def _finished(
    image: Image.Image,
    alpha: Image.Image | None,
    stored: tuple[int, int],
    turn: int,
    stated: Meaning,
    gauge: Gauge,
) -> Image.Image:
    """The loaded picture, shrunk to the sides `stored`, upright and in sRGB. `alpha`: in place of its own;
    `turn`: its orientation.
    """
    try:
        picture = resized(plain(image, alpha), stored)
        if turn in _UPRIGHT:
            picture = picture.transpose(_UPRIGHT[turn])
        return to_srgb(picture, stated, gauge)
    except CodecFault:
        raise
    except Exception as error:  # it is decoded: the rest is ours, unless its palette or key is odd
        gauge.rule_out_memory(error)
        if not does(partial(_finish_canary, gauge)):
            raise CodecFault("pixel converter", error, broken=True) from error
        raise


def _orientation(image: Image.Image, data: bytes, kind: str) -> int:
    """1 to 8, as in a browser: by the Exif, of an AVIF by its boxes irot and imir; 1 where there is none."""
    if kind == "PNG":
        return orientation.of_tiff(png.exif(data))
    exif = image.info.get("exif", b"")
    if kind != "AVIF":
        return orientation.of_exif(exif)
    stated = Image.Exif()
    stated.load(exif)
    return int(stated.get(ExifTags.Base.Orientation, orientation.UPRIGHT))  # where the plugin puts what the boxes say


def _decode_canary(kind: str, gauge: Gauge) -> None:
    with strict_pillow(CANARY_LIMITS):
        decode(CANARIES[kind], check(CANARIES[kind], CANARY_LIMITS), CANARY_LIMITS, _CANARY_LADDER, gauge)


def _finish_canary(gauge: Gauge) -> None:
    for mode in _CANARY_MODES:
        image = Image.new(mode, (8, 8))
        if mode == "P":
            image.info["transparency"] = 0
        for how in _UPRIGHT.values():
            to_srgb(resized(plain(image), (4, 4)).transpose(how), None, gauge)
