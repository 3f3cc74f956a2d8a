"""Which renditions of an animation move: the limits, in one place. Pure; `codec.animation` makes them.

Measured at 640×400 and 320×200, 60 frames, on one core of an EPYC: decoding takes 4 to 14 ms a megapixel, shrinking 10,
WebP 20 to 190 and AVIF 40 to 190. So what is within the limits takes some 15 s, a quarter of a job's time.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

MOST_FRAMES: Final = 300
"""Half a minute at ten a second. More is a film, which a website plays better as a video."""

MOST_FRAME_PIXELS: Final = 400_000_000
"""Pixels × frames of the original: 10 s of decoding and shrinking."""

MOST_STEP_PIXELS: Final = 40_000_000
"""Pixels × frames of all steps that move: 160 MB that are held, and 12 s of encoding. 640×360 has 130 frames in it."""

SHARE_OF_TIME: Final = 0.5
"""Share of a job's CPU time for all that moves. The other half is far more than the first frame alone takes."""

MOST_SECONDS: Final = 30.0
"""Longest CPU time for all that moves, if a job has no limit of its own."""

_FASTEST: Final = 10
"""Milliseconds of a frame up to which browsers show it for `_AS_SLOW` instead: files say 0 where they mean nothing."""

_AS_SLOW: Final = 100


def moving_steps(size: tuple[int, int], frames: int, steps: Sequence[tuple[int, int]]) -> list[tuple[int, int]]:
    """Return the steps that move, ascending; none: the first frame stands for all.

    `size`: the original's sides in px; `steps`: those of the renditions, ascending. The widest is left out first.

    >>> moving_steps((1280, 720), 50, [(320, 180), (640, 360), (1280, 720)])
    [(320, 180), (640, 360)]
    """
    if not 1 < frames <= MOST_FRAMES or size[0] * size[1] * frames > MOST_FRAME_PIXELS:
        return []
    room, found = MOST_STEP_PIXELS // frames, []
    for step in steps:
        room -= step[0] * step[1]
        if room < 0:
            break
        found.append(step)
    return found


def seconds_for(job_seconds: float) -> float:
    """Return the CPU time in seconds in which all that moves must be made. 0: the job has no limit."""
    return min(MOST_SECONDS, SHARE_OF_TIME * job_seconds) if job_seconds else MOST_SECONDS


def shown_for(milliseconds: float) -> int:
    """Return how long a frame is shown, in ms, as in browsers.

    >>> shown_for(0), shown_for(10), shown_for(20), shown_for(33.3)
    (100, 100, 20, 33)
    """
    return _AS_SLOW if milliseconds <= _FASTEST else min(round(milliseconds), 2**24 - 1)
