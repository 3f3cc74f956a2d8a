"""An animation's renditions: all frames decoded once and shrunk to the largest step that moves, then encoded.

Nothing here refuses a picture: where an animation can't be made, its first frame stands for it.

Measured, 60 frames of 640×400 of a photograph, a screen and a drawing. AVIF by aom at speed 9 had 2.7, 0.96 and 0.011
MB and took 117, 61 and 38 ms a megapixel; by SVT-AV1 at speed 10 4.5 and 1.6 MB and (with alpha) no file, and as long;
WebP 4.9, 1.3 and 0.018 MB, and 104, 163 and 17 ms. aom's speed 6 took 1.3 to 2.1 s a megapixel of the first two. So aom
makes all that move, at speed 9.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from typing import Any, Final, NamedTuple

from PIL import Image

from ipc.jobs import EXTENSIONS
from workers.rendering.imaging.codec import side_by_side
from workers.rendering.imaging.codec.decoder import Decoded, converter
from workers.rendering.imaging.codec.encoder import LOSSLESS, has_few_colours
from workers.rendering.imaging.codec.frames import frames_of, plays_of
from workers.rendering.imaging.codec.pillow import BARE, saved
from workers.rendering.imaging.codec.scaler import resized
from workers.rendering.imaging.containers.avif import sequences
from workers.rendering.imaging.gate import Header
from workers.rendering.imaging.ladder import Ladder
from workers.rendering.imaging.memory import Gauge, OutOfMemory, frames_need, near_cap
from workers.rendering.imaging.motion import moving_steps
from workers.rendering.imaging.presets import PRESETS

_AVIF_SPEED: Final = 9

_AVIF_BETTER: Final = 8
"""Added to the preset's quality: by the same one, the frames of a sequence lose 1.5 dB more than a still picture."""

Size = tuple[int, int]


class Moving(NamedTuple):
    """The steps that move, in px, ascending, and the contents of their files by name. No steps: none moves, and
    `why` not, where that may be otherwise another time. `is_fault`: not for want of time or memory.
    """

    steps: list[Size]
    files: dict[str, bytes]
    why: str = ""
    is_fault: bool = False


class _GaveUp(Exception):
    """Not enough time or memory for the animation."""


class _Clip(NamedTuple):
    """Frames of one size and mode, how long each is shown in ms, and how often all of them (0: for ever)."""

    pictures: list[Image.Image]
    milliseconds: list[int]
    plays: int


def animate(
    data: bytes, header: Header, decoded: Decoded, ladder: Ladder, gauge: Gauge, seconds: float, threads: int = 1
) -> Moving:
    """Make the renditions that move, in `seconds` of CPU time; none where it is no animation, or beyond the limits."""
    steps = moving_steps(decoded.size, decoded.frames, decoded.steps) if ladder.animations and ladder.formats else []
    if not steps:
        return Moving([], {})
    deadline = time.process_time() + seconds
    try:
        pixels = [width * height for width, height in steps]
        gauge = gauge.plus(frames_need(decoded.frames * sum(pixels)))
        if near_cap(gauge.expected_bytes, gauge.cap_bytes):
            raise _GaveUp(f"its {decoded.frames} frames might take more memory than a worker may have")
        clip = _decoded(data, header, decoded, steps[-1], gauge, partial(_check_time, deadline))
        if len(clip.pictures) < 2:
            return Moving([], {})
        works = _works(clip, steps, ladder, partial(_check_time, deadline))
        threads, _ = gauge.side_by_side(threads, pixels)
        return Moving(steps, dict(side_by_side.run(works, threads)))
    except Exception as error:
        is_fault = not isinstance(error, (_GaveUp, OutOfMemory, MemoryError))
        why = str(error) if isinstance(error, _GaveUp) else f"{type(error).__name__}: {error}"
        return Moving([], {}, f"the first frame stands for the animation: {why}", is_fault)


def _check_time(deadline: float) -> None:
    if time.process_time() > deadline:
        raise _GaveUp("it takes too long")


def _decoded(
    data: bytes, header: Header, decoded: Decoded, size: Size, gauge: Gauge, check_time: Callable[[], None]
) -> _Clip:
    """All frames, upright, in sRGB and of that size; those before the first that is broken, as browsers show them."""
    convert = converter(data, header.format, size, gauge)
    pictures: list[Image.Image] = []
    milliseconds: list[int] = []
    frames = frames_of(data, header.format)
    while len(pictures) < decoded.frames:
        check_time()
        try:
            frame = next(frames, None)
        except Exception as error:
            gauge.rule_out_memory(error)
            break
        if frame is None:
            break
        pictures.append(convert(frame.picture))
        milliseconds.append(frame.milliseconds)
    if any(one.mode == "RGBA" for one in pictures):
        pictures = [one.convert("RGBA") for one in pictures]
    return _Clip(pictures, milliseconds, plays_of(data, header.format))


def _works(
    clip: _Clip, steps: Sequence[Size], ladder: Ladder, check_time: Callable[[], None]
) -> Iterator[Callable[[], tuple[str, bytes]]]:
    """What makes each file, the widest first; each step is shrunk from the one before."""
    for step in reversed(steps):
        clip = clip._replace(pictures=[resized(one, step) for one in clip.pictures])
        for name in ladder.formats:
            encode = ENCODERS[name]
            yield partial(_named, f"{step[0]}.{EXTENSIONS[name]}", partial(encode, clip, ladder.preset, check_time))


def _named(file: str, encode: Callable[[], bytes]) -> tuple[str, bytes]:
    return file, encode()


def _webp(clip: _Clip, preset: str, check_time: Callable[[], None]) -> bytes:
    """Lossless where that is smaller, frame by frame. Trying that takes up to five times as long: the first frame tells
    whether it is worth it.
    """
    options, first = PRESETS[preset].webp, clip.pictures[0]
    mixed = has_few_colours(first) and len(saved(first, LOSSLESS)) < len(saved(first, options))
    return _saved(clip, check_time, options | {"allow_mixed": mixed, "loop": clip.plays, "background": (0, 0, 0, 0)})


def _avif(clip: _Clip, preset: str, check_time: Callable[[], None]) -> bytes:
    own = PRESETS[preset].avif_aom
    options = own | {"speed": _AVIF_SPEED, "quality": own["quality"] + _AVIF_BETTER}
    return sequences.settled(_saved(clip, check_time, options), clip.plays)


ENCODERS: Final = {"webp": _webp, "avif": _avif}


def _saved(clip: _Clip, check_time: Callable[[], None], options: dict[str, Any]) -> bytes:
    buffer = io.BytesIO()
    frames = _Frames(clip.pictures, check_time)
    frames.save(buffer, save_all=True, duration=clip.milliseconds, **options | BARE)
    return buffer.getvalue()


class _Frames(Image.Image):
    """Pictures as one animated image, for `save`: it looks at one after the other, so time can be told between them."""

    is_animated = True

    def __init__(self, pictures: Sequence[Image.Image], check_time: Callable[[], None]) -> None:
        super().__init__()
        self.n_frames = len(pictures)
        self._pictures = pictures
        self._check_time = check_time
        self._mode, self._size = pictures[0].mode, pictures[0].size
        self.seek(0)

    def seek(self, frame: int) -> None:
        self._check_time()
        self.im = self._pictures[frame].im

    def tell(self) -> int:
        return 0
