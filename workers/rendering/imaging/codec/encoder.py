"""From the picture at its largest to every rendition, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any, Final

from PIL import Image

from workers.rendering.imaging.blame import encoding
from workers.rendering.imaging.codec import side_by_side
from workers.rendering.imaging.codec.pillow import resized, same_pixels, saved
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
    picture: Image.Image, steps: list[tuple[int, int]], ladder: Ladder, gauge: Gauge, threads: int = 1
) -> tuple[dict[str, bytes], dict[str, str]]:
    """Return the contents of each rendition by file name, shrinking each width from the next larger one; and what was
    made otherwise than it should be, and why: by file name, and "trial" where the picture could not be tried.

    Up to `threads` renditions are encoded at once, as far as the memory cap lets them: the bytes are the same.
    """
    threads, gauge = gauge.side_by_side(threads, [width * height for width, height in steps for _ in ladder.formats])
    trial, untried = trial_of(picture, gauge) if ladder.avif and steps else (None, "")
    encodings = _encodings(picture, steps, ladder, gauge, trial, is_shared=threads > 1)
    made = side_by_side.run(encodings, threads)
    fallbacks = {file: why for file, _, why in made if why} | ({"trial": untried} if untried else {})
    return {file: content for file, content, _ in made}, fallbacks


def _encodings(
    picture: Image.Image,
    steps: list[tuple[int, int]],
    ladder: Ladder,
    gauge: Gauge,
    trial: Trial | None,
    *,
    is_shared: bool,
) -> Iterator[Callable[[], tuple[str, bytes, str]]]:
    """What makes each rendition, the largest first: its file name, its content, and why another encoder made it.

    `is_shared`: several of them at once may have the same picture.
    """
    for step in reversed(steps if ladder.formats else []):
        with encoding("scaler", gauge, lambda: resized(_canary(), (4, 4))):
            picture = resized(picture, step)
        settings = settings_for(picture, trial, PRESETS[ladder.preset])
        for name in ladder.formats:
            yield partial(_encoding, picture, name, gauge, settings, is_shared=is_shared)


def _encoding(
    picture: Image.Image, name: str, gauge: Gauge, settings: Encoding, *, is_shared: bool
) -> tuple[str, bytes, str]:
    with encoding(f"{_ENCODERS[name]} encoder", gauge, partial(_encode_canary, name, gauge, settings)):
        own = same_pixels(picture) if is_shared else picture
        return f"{picture.width}.{name}", *encode(own, name, gauge, settings)


def trial_of(picture: Image.Image, gauge: Gauge) -> tuple[Trial | None, str]:
    """What the picture loses by AVIF; None if it is too small to say, or can't be tried, and then why.

    Raises OutOfMemory.
    """
    try:
        return tried(picture), ""
    except Exception as error:
        gauge.rule_out_memory(error)
        return None, f"AVIF has the preset's quality, since its trial failed: {type(error).__name__}: {error}"


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
