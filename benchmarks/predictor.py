"""The same quality for every picture: fits the coefficients of workers/rendering/imaging/quality.py, and judges them.

Fitted (--fit) on the photographs of one set, at 1280 px, and on the quarters of those at 2560 px: each is encoded at
three qualities in its three widths, scored by SSIMULACRA2, and the quality that gives the target is what the terms of
its trial are to predict (least squares, with a ridge). The constant is then moved until all is of the same bytes as at
the preset's own quality. Judged on the other set, at 1280 and 2560 px: each rendition is encoded as the program does
it, and at the preset's own quality. The worst tenth is the mean of the lowest tenth of all renditions' scores.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
from PIL import Image

from benchmarks.common import heading, say, table
from benchmarks.photographs import SIDES, Set, photographs
from benchmarks.quality_metric import Reference
from workers.rendering.imaging import quality
from workers.rendering.imaging.codec import encoder
from workers.rendering.imaging.codec.pillow import saved
from workers.rendering.imaging.codec.scaler import resized
from workers.rendering.imaging.codec.trial import detail
from workers.rendering.imaging.memory import Gauge
from workers.rendering.imaging.presets import PRESETS, Encoding

WIDTHS = (320, 640, 1280, 1920)
TARGET = 76.0
"""SSIMULACRA2. The mean at the preset's own quality is near it."""

STEPS = (-10, 0, 9)
"""Around the preset's quality, for fitting."""

RIDGE = 0.3
GAUGE = Gauge.start("a benchmark", 0, None)


@dataclass(slots=True)
class Sample:
    """A rendition for fitting: its terms, and by quality's distance from the preset's its score and log of bytes."""

    terms: quality.Coefficients
    score: np.ndarray
    size: np.ndarray

    def at(self, step: float) -> tuple[float, float]:
        return float(np.polyval(self.score, step)), math.exp(np.polyval(self.size, step))

    def needed(self) -> int:
        return min(range(quality.LEAST, quality.MOST + 1), key=lambda step: abs(self.at(step)[0] - TARGET))


def ladder(picture: Image.Image) -> Iterator[Image.Image]:
    """Every width of a picture, largest first, as the program shrinks it."""
    for width in sorted({min(width, picture.width) for width in WIDTHS}, reverse=True):
        size = (width, max(1, round(picture.height * width / picture.width)))
        picture = resized(picture, size)
        yield picture


def quarters(picture: Image.Image) -> Iterator[Image.Image]:
    width, height = picture.width // 2, picture.height // 2
    for left in (0, width):
        for upper in (0, height):
            served = saved(picture.crop((left, upper, left + width, upper + height)), {"format": "JPEG", "quality": 87})
            yield Image.open(io.BytesIO(served)).convert("RGB")


def samples(preset: Encoding, quick: bool) -> Iterator[Sample]:
    whole = [Image.open(path).convert("RGB") for path in photographs("fit", 1280)]
    large = [] if quick else [Image.open(path).convert("RGB") for path in photographs("fit", 2560)]
    for picture in (*whole, *(quarter for one in large for quarter in quarters(one))):
        trial, _ = encoder.trial_of(picture, GAUGE)
        assert trial is not None
        for one in ladder(picture):
            reference = Reference(one)
            made = [encoder.encode(one, "avif", GAUGE, quality.shifted(preset, step))[0] for step in STEPS]
            yield Sample(
                quality.terms(trial, one.width * one.height, detail(one)),
                np.polyfit(STEPS, [reference.score(content) for content in made], 2),
                np.polyfit(STEPS, [math.log(len(content)) for content in made], 2),
            )
        say("fitted one more")


def fitted(found: list[Sample]) -> quality.Coefficients:
    """Ridge on standardized terms; the constant makes the bytes those of the preset."""
    terms = np.array([one.terms[1:] for one in found])
    mean, deviation = terms.mean(0), terms.std(0)
    matrix = np.c_[np.ones(len(found)), (terms - mean) / deviation]
    penalty = RIDGE * np.eye(matrix.shape[1])
    penalty[0, 0] = 0
    needed = np.array([one.needed() for one in found])
    weights = np.linalg.solve(matrix.T @ matrix + penalty, matrix.T @ needed)
    slopes = weights[1:] / deviation
    predicted = matrix @ weights
    bytes_ = sum(one.at(0)[1] for one in found)
    lift = min(
        np.arange(-6, 6, 0.1),
        key=lambda lift: abs(sum(one.at(round(step + lift))[1] for one, step in zip(found, predicted)) - bytes_),  # noqa: B905
    )
    return quality.Coefficients(float(weights[0] - slopes @ mean + lift), *map(float, slopes))


@dataclass(slots=True)
class Judged:
    """Scores and bytes at the preset's own quality, and at the one chosen; CPU seconds of the choice and the rest."""

    own: list[float] = field(default_factory=list)
    chosen: list[float] = field(default_factory=list)
    own_bytes: int = 0
    chosen_bytes: int = 0
    choice_cpu: float = 0.0
    cpu: float = 0.0


def judge(which: Set, preset: Encoding) -> Judged:
    found = Judged()
    for path in (path for side in SIDES for path in photographs(which, side)):
        with Image.open(path) as file:
            picture = file.convert("RGB")
        start = time.process_time()
        trial, _ = encoder.trial_of(picture, GAUGE)
        found.choice_cpu += time.process_time() - start
        for one in ladder(picture):
            start = time.process_time()
            settings = encoder.settings_for(one, trial, preset)
            middle = time.process_time()
            chosen, _ = encoder.encode(one, "avif", GAUGE, settings)
            encoder.encode(one, "webp", GAUGE, settings)
            end = time.process_time()
            found.choice_cpu, found.cpu = found.choice_cpu + middle - start, found.cpu + end - middle
            own, _ = encoder.encode(one, "avif", GAUGE, preset)
            reference = Reference(one)
            found.own.append(reference.score(own))
            found.chosen.append(reference.score(chosen))
            found.own_bytes, found.chosen_bytes = found.own_bytes + len(own), found.chosen_bytes + len(chosen)
        say(f"judged {path.stem}")
    return found


def evenness(scores: list[float]) -> tuple[str, ...]:
    """Mean, mean of the worst tenth, how far that is below, and standard deviation, as text."""
    ordered = sorted(scores)
    mean = sum(ordered) / len(ordered)
    worst = ordered[: max(1, round(len(ordered) / 10))]
    low = sum(worst) / len(worst)
    return f"{mean:.1f}", f"{low:.1f}", f"{mean - low:.1f}", f"{np.std(ordered):.2f}"


def aom_only(preset: Encoding) -> Encoding:
    """As pictures with alpha have it."""
    return Encoding(preset.webp, preset.avif_aom, preset.avif_aom, preset.jpeg)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run predictor", description=__doc__.splitlines()[0])
    parser.add_argument("--fit", action="store_true", help="fit the coefficients anew, and judge those")
    parser.add_argument("--quick", action="store_true", help="fit without the quarters; judge one preset")
    options = parser.parse_args()
    heading("predictor", "AVIF's quality chosen by a trial, on photographs that the choice was not fitted on.")
    if options.fit:
        coefficients = fitted(list(samples(PRESETS["balanced"], options.quick)))
        print(f"{coefficients}\n", flush=True)
        quality.FITTED = coefficients  # type: ignore[misc]
    encodings = {**PRESETS, "aom of balanced": aom_only(PRESETS["balanced"])}
    rows = []
    for name, preset in [("balanced", PRESETS["balanced"])] if options.quick else encodings.items():
        found = judge("judge", preset)
        rows.append((f"{name}, its own quality", *evenness(found.own), "1.000", ""))
        share = found.choice_cpu / (found.cpu + found.choice_cpu)
        ratio = found.chosen_bytes / found.own_bytes
        rows.append((f"{name}, chosen", *evenness(found.chosen), f"{ratio:.3f}", f"{share:.1%}"))
    table(("", "mean", "worst tenth", "below the mean", "deviation", "bytes", "of the encoding's CPU time"), rows)


if __name__ == "__main__":
    main()
