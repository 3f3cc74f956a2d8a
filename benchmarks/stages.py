"""Where a picture's time goes: CPU time in each part of the way from its file to its renditions.

One photograph at 1280 px, and the same in a file of 12 megapixels, progressive, as from a camera: each is developed
as an image worker does it with the default settings, and what the program calls on the way is timed. With
--pillow shrinking is Pillow's instead of cykooz-resizer's, for comparison.
"""

from __future__ import annotations

import argparse
import io
import time
from collections import defaultdict
from collections.abc import Callable
from functools import wraps
from types import ModuleType
from typing import Any

from PIL import Image

from benchmarks.common import heading, image_specs, table
from benchmarks.photographs import QUALITY, members, original, photographs
from workers.rendering import imaging
from workers.rendering.imaging.codec import decoder, encoder, pipeline, scaler

CAMERA = (4224, 3168)
"""Sides in px of the large one."""

ENCODING = "encoding"
FORMATS = {"webp": "WebP", "avif": "AVIF", "jpeg": "JPEG"}
"""Encoding is counted by format, which is the encoder's second argument."""

STAGES: tuple[tuple[str, ModuleType, str], ...] = (
    ("decoding", pipeline, "open_picture"),
    (ENCODING, encoder, "encode"),
    ("scaling", encoder, "resized"),
    ("scaling", decoder, "resized"),
    ("trial and detail, for AVIF's quality", encoder, "trial_of"),
    ("trial and detail, for AVIF's quality", encoder, "detail"),
    ("preview's part", encoder, "preview_of"),
    ("appearance", pipeline, "appearance_of"),
)
"""What is timed: its name, and the function, which is that of the module that calls it."""


class Clock:
    """CPU seconds by stage, of all threads: SVT-AV1 has its own. What is called within a stage is not counted twice."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self._within: list[float] = []

    def timed(self, stage: str, function: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(function)
        def run(*arguments: Any, **more: Any) -> Any:
            name = FORMATS[arguments[1]] if stage == ENCODING else stage
            begun = time.process_time()
            self._within.append(0.0)
            try:
                return function(*arguments, **more)
            finally:
                taken = time.process_time() - begun
                self.seconds[name] += taken - self._within.pop()
                if self._within:
                    self._within[-1] += taken

        return run


def stages_of(data: bytes, rounds: int) -> dict[str, float]:
    """CPU milliseconds of a development of this file, by stage; "all" is the whole."""
    options = image_specs()[0].options
    ladder = imaging.Ladder(**{**options["ladder"], "widths": tuple(options["ladder"]["widths"])})
    limits, clock = imaging.Limits(**options["limits"]), Clock()
    pipeline.develop(data, limits, ladder, None)  # what is made at the first call
    kept = [(module, name, getattr(module, name)) for _, module, name in STAGES]
    for stage, module, name in STAGES:
        setattr(module, name, clock.timed(stage, getattr(module, name)))
    begun = time.process_time()
    for _ in range(rounds):
        pipeline.develop(data, limits, ladder, None)
    whole = time.process_time() - begun
    for module, name, function in kept:
        setattr(module, name, function)
    rest = whole - sum(clock.seconds.values())
    return {name: 1e3 * seconds / rounds for name, seconds in {**clock.seconds, "the rest": rest, "all": whole}.items()}


def camera_file() -> bytes:
    """The first large photograph of the set "judge", brought to a camera's size."""
    path = next(original(one) for one in members("judge") if one.side >= CAMERA[0])
    with Image.open(path) as image:
        large = image.convert("RGB").resize(CAMERA, Image.Resampling.LANCZOS)
    file = io.BytesIO()
    large.save(file, "JPEG", quality=QUALITY, progressive=True)
    return file.getvalue()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run stages", description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pillow", action="store_true", help="shrink by Pillow")
    options = parser.parse_args()
    if options.pillow:
        scaler.simd = None
    name = "Pillow" if scaler.simd is None else scaler.SCALER
    heading("stages", f"CPU milliseconds, mean of {options.rounds}; the scaler is {name}.")
    found = [stages_of(data, options.rounds) for data in (photographs("judge", 1280)[0].read_bytes(), camera_file())]
    names = sorted(found[1], key=lambda name: found[1][name], reverse=True)
    table(
        ("", "1280 px", "12 megapixels, progressive"),
        [(name, *(f"{one[name]:.0f}" for one in found)) for name in names],
    )


if __name__ == "__main__":
    main()
