"""Encodes the picture, at its largest size, to every rendition, in memory."""

from __future__ import annotations

import threading
from collections.abc import Callable, Collection, Iterator
from functools import partial
from typing import Any, Final, NamedTuple

from PIL import Image

from ipc.files.spool import PREVIEW
from ipc.jobs import EXTENSIONS, PREVIEW_SIZE
from workers.rendering.imaging.blame import CodecFault, encoding
from workers.rendering.imaging.codec import side_by_side
from workers.rendering.imaging.codec.pillow import same_pixels, saved
from workers.rendering.imaging.codec.pixels.appearance import flattened
from workers.rendering.imaging.codec.pixels.preview import preview_of
from workers.rendering.imaging.codec.scaler import resized
from workers.rendering.imaging.codec.trial import detail, tried
from workers.rendering.imaging.ladder import Ladder, jpeg_size, least_covering
from workers.rendering.imaging.memory import Gauge
from workers.rendering.imaging.presets import PRESETS, Encoding
from workers.rendering.imaging.priority import give_up_priority
from workers.rendering.imaging.quality import Trial, shift, shifted

_ENCODERS = {"webp": "WebP", "avif": "AVIF", "jpeg": "JPEG"}

_SVT_SHORTEST, _SVT_HIGHEST = 4, 8_704
"""SVT-AV1 4.1 takes no side below the one, and no height above the other (in px)."""

LOSSLESS: Final[dict[str, Any]] = {"format": "WEBP", "lossless": True, "quality": 50, "method": 4}
"""Quality is effort here. Of five screenshots, 26 % fewer bytes than by quality 20 and method 2."""

FEW_COLOURS: Final = 1_024
"""Screenshots of text, whose edges are smoothed, have 200 to 500. More, and lossless was never the smaller one."""

_this_thread = threading.local()


class Encoded(NamedTuple):
    """The contents of each file by name; what was made otherwise than it should be, and why; and the picture at its
    smallest step. `fallbacks`: by file name; "webp", "avif" and "preview" of what could not be made at all; and "trial"
    where the picture could not be tried.
    """

    files: dict[str, bytes]
    fallbacks: dict[str, str]
    smallest: Image.Image


class _Work(NamedTuple):
    """A file to be made of a picture, which is brought to `size` first: by its crop, if it is the preview."""

    file: str
    format: str
    size: tuple[int, int]

    @property
    def part(self) -> str:
        """What the picture goes without where this can't be made: its format, or the preview."""
        return "preview" if self.file == PREVIEW else self.format


class _Made(NamedTuple):
    """What became of a work: its content, and why another encoder made it ("": none did); or what went wrong."""

    work: _Work
    content: bytes
    why: str
    fault: CodecFault | None = None


def encode_ladder(
    picture: Image.Image,
    steps: list[tuple[int, int]],
    ladder: Ladder,
    gauge: Gauge,
    threads: int = 1,
    *,
    moves: bool = False,
) -> Encoded:
    """Make each rendition and the preview, shrinking each width from the next larger one. `moves`: only what is still
    in an animation, the JPEG and the preview.

    Up to `threads` of them are encoded at once, as far as the memory cap lets them: the bytes are the same. A format
    whose encoder fails on this picture is left out if there is another one, all of it: its widest file would be missed
    most. So is the preview. Raises CodecFault and OutOfMemory.
    """
    works = works_of(steps, ladder, () if moves else ladder.formats)
    pixels = [work.size[0] * work.size[1] for some in works.values() for work in some]
    threads, gauge = gauge.side_by_side(threads, pixels)
    trial, untried = trial_of(picture, gauge) if ladder.avif and steps and not moves else (None, "")
    encoder = _Encoder(picture, PRESETS[ladder.preset], gauge, trial, is_shared=threads > 1)
    spare = {"preview", *(ladder.formats if len(ladder.formats) > 1 else ())}
    made = side_by_side.run(encoder.encodings(works, spare), threads)
    missing = {one.work.part: one.fault for one in reversed(made) if one.fault}
    if not moves and missing and missing.keys() >= set(ladder.formats):
        raise next(one.fault for one in made if one.fault and one.work.part in ladder.formats)
    kept = [one for one in made if one.work.part not in missing]
    fallbacks = {one.work.file: one.why for one in kept if one.why} | ({"trial": untried} if untried else {})
    fallbacks |= {part: f"{part} is left out: {fault.error}" for part, fault in missing.items()}
    return Encoded({one.work.file: one.content for one in kept}, fallbacks, encoder.picture)


def works_of(
    steps: list[tuple[int, int]], ladder: Ladder, formats: tuple[str, ...]
) -> dict[tuple[int, int], list[_Work]]:
    """What is made of the picture at each of its steps, the largest first: each of them in these formats."""
    if not ladder.formats:
        return {}
    works = {step: [_Work(f"{step[0]}.{EXTENSIONS[name]}", name, step) for name in formats] for step in steps}
    jpeg = jpeg_size(steps, ladder)
    if jpeg:
        works[least_covering(steps, jpeg)].append(_Work(f"{jpeg[0]}.{EXTENSIONS['jpeg']}", "jpeg", jpeg))
    if ladder.preview and steps:
        works[least_covering(steps, PREVIEW_SIZE)].append(_Work(PREVIEW, "jpeg", PREVIEW_SIZE))
    return dict(reversed(works.items()))


class _Encoder:
    """One picture's. `picture` is at the last step that was begun. `is_shared`: several works may have it at once."""

    def __init__(
        self, picture: Image.Image, preset: Encoding, gauge: Gauge, trial: Trial | None, *, is_shared: bool
    ) -> None:
        self.picture = picture
        self._preset = preset
        self._gauge = gauge
        self._trial = trial
        self._is_shared = is_shared

    def encodings(
        self, works: dict[tuple[int, int], list[_Work]], spare: Collection[str]
    ) -> Iterator[Callable[[], _Made]]:
        """What makes each file. `spare`: the parts that the picture may go without."""
        for step, some in works.items():
            with encoding("scaler", self._gauge, lambda: resized(_canary(), (4, 4))):
                self.picture = resized(self.picture, step)
            settings = settings_for(self.picture, self._trial, self._preset)
            for work in some:
                make = self._made_if_it_can_be if work.part in spare else self._made
                yield partial(make, self.picture, work, settings)

    def _made_if_it_can_be(self, picture: Image.Image, work: _Work, settings: Encoding) -> _Made:
        try:
            return self._made(picture, work, settings)
        except CodecFault as fault:
            if fault.broken:
                raise
            return _Made(work, b"", "", fault)

    def _made(self, picture: Image.Image, work: _Work, settings: Encoding) -> _Made:
        canary = partial(_encode_canary, work.format, self._gauge, settings)
        with encoding(f"{_ENCODERS[work.format]} encoder", self._gauge, canary):
            own = same_pixels(picture) if self._is_shared else picture
            shaped = preview_of(own) if work.file == PREVIEW else resized(own, work.size)
            return _Made(work, *encode(shaped, work.format, self._gauge, settings))


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
        return encode_webp(picture, gauge, settings)
    if name == "jpeg":
        return saved(flattened(picture), settings.jpeg), ""
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


def encode_webp(picture: Image.Image, gauge: Gauge, settings: Encoding) -> tuple[bytes, str]:
    """Lossless where that is smaller, as it is for screenshots and drawings at their own size; and why that could not
    be tried.
    """
    lossy = saved(picture, settings.webp)
    if not has_few_colours(picture):
        return lossy, ""
    try:
        return min(lossy, saved(picture, LOSSLESS), key=len), ""
    except Exception as error:
        gauge.rule_out_memory(error)
        return lossy, f"lossless WebP at {picture.width}×{picture.height} pixels: {type(error).__name__}: {error}"


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
