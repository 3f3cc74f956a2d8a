"""The ladder: which renditions a picture of given sides gets. Pure; `codec` makes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from ipc.jobs import Appearance, Rendition
from workers.rendering.imaging.gate import BadPicture

MAX_RENDITION_DIMENSION = 16_383
"""Pixels a side: WebP's limit (14 bits); libavif's is 16,384."""


@dataclass(frozen=True, slots=True)
class Ladder:
    """What to make: widths in px of the upright picture, in which formats, by which preset (see `presets`).

    Neither WebP nor AVIF: only verify, so no JPEG and no preview either. `jpeg_width` is that of the one JPEG rendition
    (0: none), `preview` the picture for link cards; `animations`: those of an animation move.
    """

    widths: tuple[int, ...]
    webp: bool
    avif: bool
    preset: str = "balanced"
    jpeg_width: int = 0
    preview: bool = False
    animations: bool = False

    @property
    def formats(self) -> tuple[str, ...]:
        """The formats that each width is made in, "webp" first: readers of a row rely on the order."""
        return tuple(name for name, wanted in (("webp", self.webp), ("avif", self.avif)) if wanted)


@dataclass(frozen=True, slots=True)
class Rendered:
    """The result: type by content, sides in px once upright, and the renditions.

    `preview_bytes`: of the picture for link cards, 0 where none is made. `fallbacks`: by file name, why the encoder of
    choice could not make it; "webp", "avif" and "preview": why there is none; "trial": why AVIF's quality is the
    preset's; "animation", and "animation encoder" if that failed: why its first frame stands for it, though it is
    within the limits.
    """

    mime: str
    extension: str
    width: int
    height: int
    renditions: tuple[Rendition, ...]
    appearance: Appearance
    preview_bytes: int = 0
    fallbacks: Mapping[str, str] = field(default_factory=dict)


def widths_for(width: int, ladder_widths: tuple[int, ...]) -> tuple[int, ...]:
    """Return the widths in px to make of a picture `width` px wide, ascending; never more than it has.

    >>> widths_for(1000, (320, 640, 1280, 1920))
    (320, 640, 1000)
    """
    return tuple(sorted({min(step, width) for step in ladder_widths}))


def steps_for(size: tuple[int, int], ladder: Ladder) -> list[tuple[int, int]]:
    """Return the sides in px of each rendition, ascending; raise BadPicture where no format can hold one."""
    width, height = size
    steps = [(step, max(1, round(step * height / width))) for step in widths_for(width, ladder.widths)]
    for step in steps:
        if max(step) > MAX_RENDITION_DIMENSION and ladder.formats:
            sides = f"{step[0]}×{step[1]}"
            raise BadPicture(f"too long: a rendition of {sides} pixels, at most {MAX_RENDITION_DIMENSION} a side")
    return steps


def jpeg_size(steps: Sequence[tuple[int, int]], ladder: Ladder) -> tuple[int, int] | None:
    """Return the sides in px of the JPEG, never wider than the widest of the `steps`; None: there is none.

    >>> jpeg_size([(320, 240), (1000, 750)], Ladder((320, 1280), webp=True, avif=True, jpeg_width=1280))
    (1000, 750)
    """
    if not (ladder.jpeg_width and ladder.formats and steps):
        return None
    width, height = steps[-1]
    wanted = min(ladder.jpeg_width, width)
    return next((step for step in steps if step[0] == wanted), (wanted, max(1, round(wanted * height / width))))


def least_covering(steps: Sequence[tuple[int, int]], size: tuple[int, int]) -> tuple[int, int]:
    """Return the smallest step with at least these sides in px; the largest if none has them."""
    return next((step for step in steps if step[0] >= size[0] and step[1] >= size[1]), steps[-1])


def top_pixels(width: int, height: int, ladder: Ladder) -> int:
    """Return the pixels of the largest rendition of a picture of these sides in px, either way up."""
    short, long = sorted((width, height))
    top = min(max(ladder.widths, default=0), short)
    return min(width * height, top * top * long // short)
