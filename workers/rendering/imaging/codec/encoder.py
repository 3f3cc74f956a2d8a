"""From the picture at its largest to every rendition, in memory."""

from __future__ import annotations

import threading
from functools import partial
from typing import Any, Final

from PIL import Image

from workers.rendering.imaging.blame import encoding
from workers.rendering.imaging.codec.pillow import resized, saved
from workers.rendering.imaging.codec.trial import detail, tried
from workers.rendering.imaging.ladder import Ladder
from workers.rendering.imaging.memory import Gauge
from workers.rendering.imaging.presets import PRESETS, Encoding
from workers.rendering.imaging.priority import give_up_priority
from workers.rendering.imaging.quality import Trial, shift, shifted

_ENCODERS = {"webp": "WebP", "avif": "AVIF"}

_SVT_SHORTEST, _SVT_HIGHEST = 4, 8_704
"""SVT-AV1 4.1 takes no side below the one, and no height above the other (in px)."""

LOSSLESS: Final[dict[str, Any]] = {"format": "WEBP", "lossless": True, "quality": 50, "method": 4}
"""Quality is effort here. Of five screenshots, 26 % fewer bytes than by quality 20 and method 2."""

FEW_COLOURS: Final = 1_024
"""Screenshots of text, whose edges are smoothed, have 200 to 500. More, and lossless was never the smaller one."""

_this_thread = threading.local()


def encode_ladder(
    picture: Image.Image, steps: list[tuple[int, int]], ladder: Ladder, gauge: Gauge
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the contents of each rendition by file name, shrinking each width from the next larger one; and why
    SVT could not make those that another encoder had to make instead, by file name too.
    """
    contents: dict[str, bytes] = {}
    fallbacks: dict[str, str] = {}
    preset = PRESETS[ladder.preset]
    trial = trial_of(picture, gauge) if ladder.avif and steps else None
    for step in reversed(steps if ladder.formats else []):
        with encoding("scaler", gauge, lambda: resized(_canary(), (4, 4))):
            picture = resized(picture, step)
        settings = settings_for(picture, trial, preset)
        for name in ladder.formats:
            with encoding(f"{_ENCODERS[name]} encoder", gauge, partial(_encode_canary, name, gauge, settings)):
                contents[f"{step[0]}.{name}"], fallback = encode(picture, name, gauge, settings)
            if fallback:
                fallbacks[f"{step[0]}.{name}"] = fallback
    return contents, fallbacks


def trial_of(picture: Image.Image, gauge: Gauge) -> Trial | None:
    """What the picture loses by AVIF; None if it is too small to say, or can't be tried.

    A codec that fails here will fail, and be named, where the renditions are made. Raises OutOfMemory.
    """
    try:
        return tried(picture)
    except Exception as error:
        gauge.rule_out_memory(error)
        return None


def settings_for(picture: Image.Image, trial: Trial | None, preset: Encoding) -> Encoding:
    """The preset's, with the quality of AVIF that this rendition needs."""
    return shifted(preset, shift(trial, picture.width * picture.height, detail(picture))) if trial else preset


def encode(picture: Image.Image, name: str, gauge: Gauge, settings: Encoding) -> tuple[bytes, str]:
    """Encode RGB or RGBA; the file, and why another encoder made it than the one of choice ("": none did)."""
    if name == "webp":
        return encode_webp(picture, settings), ""
    if not is_for_svt(picture):
        return saved(picture, settings.avif_aom), ""
    fallback = _why_not_svt()
    if not fallback:
        try:
            return saved(picture, settings.avif_svt), ""
        except Exception as error:
            gauge.rule_out_memory(error)
            fallback = f"{type(error).__name__}: {error}"
    return saved(picture, settings.avif_aom), f"SVT-AV1 at {picture.width}×{picture.height} pixels: {fallback}"


def encode_webp(picture: Image.Image, settings: Encoding) -> bytes:
    """Lossless where that is smaller, as it is for screenshots and drawings at their own size."""
    lossy = saved(picture, settings.webp)
    return min(lossy, saved(picture, LOSSLESS), key=len) if has_few_colours(picture) else lossy


def has_few_colours(picture: Image.Image) -> bool:
    """Whether it may be a screenshot or a drawing. In a photograph the count soon ends, at one too many."""
    return picture.getcolors(FEW_COLOURS) is not None


def is_for_svt(picture: Image.Image) -> bool:
    """Whether SVT is to encode it. With alpha aom's files are smaller; and some sizes only aom takes."""
    return picture.mode == "RGB" and min(picture.size) >= _SVT_SHORTEST and picture.height <= _SVT_HIGHEST


def _why_not_svt() -> str:
    """Why SVT must not be used in this thread: it would take real-time priority. "": it may be."""
    if not hasattr(_this_thread, "why_not_svt"):
        try:
            give_up_priority()
        except OSError as error:
            _this_thread.why_not_svt = f"real-time priority could not be given up first ({error})"
        else:
            _this_thread.why_not_svt = ""
    reason: str = _this_thread.why_not_svt
    return reason


def _encode_canary(name: str, gauge: Gauge, settings: Encoding) -> None:
    encode(_canary(), name, gauge, settings)


def _canary() -> Image.Image:
    return Image.new("RGB", (8, 8), "teal")
