"""Pictures brought to other sides: by cykooz-resizer where there is one for the machine, else by Pillow's own scaler.

The filters are the same. SIMD takes a tenth of Pillow's time for them, which was a sixth of a picture's. The two
round differently, so the scaler is part of the recipe. What SIMD a processor has makes no difference to the pixels.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any, Final

from PIL import Image

from workers.rendering.imaging.memory import has_room

try:
    import cykooz_resizer
except ImportError:  # it is published for x86-64 alone
    simd: Any = None
else:
    simd = cykooz_resizer

Box = tuple[float, float, float, float]
"""Left, upper, right and lower edge in px."""

_MODES: Final = ("L", "RGB", "RGBA", "CMYK")
"""Modes that it takes as Pillow has them in memory."""

_BYTES_PER_PIXEL: Final = 4
_WEIGHTS_BYTES: Final = 4 * 1024 * 1024
"""What the filter's weights take at most."""


def _version() -> str:
    """The version, from the name of the installed folder: the module does not say it, and metadata are slow to read."""
    site = Path(simd.__file__).parents[1]
    return next(site.glob("cykooz_resizer-*.dist-info")).stem.removeprefix("cykooz_resizer-")


SCALER: Final = f"cykooz-resizer {_version()}" if simd else "pillow"
"""What scales, for the recipe. Found at import: a sandbox may hide the folder later."""


def resized(image: Image.Image, size: tuple[int, int], box: Box | None = None) -> Image.Image:
    """The picture, or that part of it, at these sides in px: shrunk by LANCZOS, enlarged by BICUBIC.

    Raises MemoryError, RuntimeError where the resizer panics, and whatever Pillow does.
    """
    if image.size == size and box is None:
        return image
    left, upper, right, lower = box or (0.0, 0.0, *image.size)
    enlarges = size[0] > right - left
    if simd is None or image.mode not in _MODES:
        return image.resize(size, Image.Resampling.BICUBIC if enlarges else Image.Resampling.LANCZOS, box=box)
    made = Image.new(image.mode, size, None)
    _find_room(image, size)
    kind = simd.FilterType.catmull_rom if enlarges else simd.FilterType.lanczos3
    part = simd.CropBox(left, upper, right - left, lower - upper)
    try:
        simd.Resizer().resize_pil(image, made, simd.ResizeOptions(simd.ResizeAlg.convolution(kind), crop_box=part))
    except (Exception, KeyboardInterrupt, SystemExit):
        raise
    except BaseException as panic:  # Rust's is no Exception, and would end the worker
        raise RuntimeError(f"{type(panic).__name__}: {panic}") from panic
    return made


def _find_room(image: Image.Image, size: tuple[int, int]) -> None:
    """Raise MemoryError where the cap leaves too little for what lies between: Rust would end the process.

    That is the picture shrunk one way, and with alpha a copy of it before.
    """
    between = image.width * size[1] + (image.width * image.height if image.mode == "RGBA" else 0)
    needed = _BYTES_PER_PIXEL * between + _WEIGHTS_BYTES
    if not has_room(needed):
        bytearray(needed)  # the heap may have room, left over from a larger picture
