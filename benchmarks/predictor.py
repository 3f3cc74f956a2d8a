"""The same quality for every picture: fits the coefficients of workers/rendering/imaging/quality.py, and judges them.

Fitted (--fit) on the photographs of one set, at 1280 px, on the quarters of those at 2560 px, and, since 19 are few, on
pictures that are made of them (`altered`, `parts`). Each is encoded at four qualities in its widths, scored by
SSIMULACRA2, and the quality that gives the target is what the terms of its trial are to predict: least squares, with a
ridge, weighted by how much a step of quality changes the score. The constant is then moved until the photographs
themselves have the same bytes as at the preset's own quality. Judged on the other set, at 1280 px alone, and with those
at 2560 px: each rendition is encoded as the program does it, and at the preset's own quality. The worst tenth is the
mean of the lowest tenth of all renditions' scores.
"""

from __future__ import annotations

import argparse
import io
import math
import time
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from functools import partial

import numpy as np
from PIL import Image, ImageEnhance, ImageFilter

from benchmarks.common import heading, say, table
from benchmarks.photographs import QUALITY, SIDES, Photograph, Set, members, original, photographs
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

STEPS = (-14, -5, 4, 12)
"""Around the preset's quality, for fitting."""

RIDGE = 0.3

LARGE = 1600
"""Pixels of the shorter side from which on a photograph's file is cut into parts."""

GAUGE = Gauge.start("a benchmark", 0, None)


@dataclass(slots=True)
class Sample:
    """A rendition for fitting: its terms, and by quality's distance from the preset's its score and log of bytes.

    `is_plain`: of a photograph as it is.
    """

    terms: quality.Coefficients
    score: np.ndarray
    size: np.ndarray
    is_plain: bool

    def at(self, step: float) -> tuple[float, float]:
        return float(np.polyval(self.score, step)), math.exp(np.polyval(self.size, step))

    def needed(self) -> float:
        steps = [step / 4 for step in range(4 * quality.LEAST, 4 * quality.MOST + 1)]
        return min(steps, key=lambda step: abs(self.at(step)[0] - TARGET))

    def slope(self) -> float:
        """How many points one more step of quality gives there."""
        return max(0.05, float(np.polyval(np.polyder(self.score), self.needed())))


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
            yield served_again(picture.crop((left, upper, left + width, upper + height)))


def served_again(picture: Image.Image, jpeg_quality: int = QUALITY) -> Image.Image:
    """As it comes out of a JPEG."""
    served = saved(picture, {"format": "JPEG", "quality": jpeg_quality})
    return Image.open(io.BytesIO(served)).convert("RGB")


def altered(picture: Image.Image) -> Iterator[Image.Image]:
    """The same photograph as another camera or editor might have made it."""
    for gamma in (1.7, 0.6):
        yield served_again(picture.point([round(255 * (value / 255) ** gamma) for value in range(256)] * 3))
    yield served_again(ImageEnhance.Contrast(picture).enhance(0.6))
    yield served_again(ImageEnhance.Color(ImageEnhance.Contrast(picture).enhance(1.3)).enhance(1.4))
    yield served_again(grainy(picture))
    yield served_again(picture.filter(ImageFilter.GaussianBlur(1.5)))
    yield served_again(picture.filter(ImageFilter.UnsharpMask(2, 80, 2)))
    yield served_again(picture.convert("L").convert("RGB"))
    yield served_again(picture, 60)


def grainy(picture: Image.Image) -> Image.Image:
    """With the noise of a dark evening, more of it in luma than in colour."""
    random = np.random.default_rng(1)
    grain = random.normal(0, 6, (picture.height, picture.width, 1)) + random.normal(0, 3, (*picture.size[::-1], 3))
    return Image.fromarray(np.clip(np.asarray(picture) + grain, 0, 255).astype(np.uint8))


def parts(photograph: Photograph) -> Iterator[Image.Image]:
    """Two parts of its file, pixel by pixel: what somebody sends who has cut it."""
    with Image.open(original(photograph)) as file:
        picture = file.convert("RGB")
    if min(picture.size) >= LARGE:
        for across, down in ((0.3, 0.3), (0.7, 0.6)):
            left, upper = round((picture.width - 1280) * across), round((picture.height - 960) * down)
            yield served_again(picture.crop((left, upper, left + 1280, upper + 960)))


def pictures(quick: bool) -> Iterator[tuple[Image.Image, bool]]:
    """All that is fitted on, and whether it is a photograph as it is."""
    for path in photographs("fit", 1280):
        picture = Image.open(path).convert("RGB")
        yield picture, True
        if not quick:
            first, *_, last = quarters(picture)
            yield from ((one, False) for one in (*altered(picture), first, last))
    if not quick:
        for path in photographs("fit", 2560):
            yield from ((quarter, True) for quarter in quarters(Image.open(path).convert("RGB")))
        for photograph in members("fit"):
            yield from ((part, False) for part in parts(photograph))


def samples(preset: Encoding, quick: bool) -> Iterator[Sample]:
    """In as many processes as there are cores."""
    with ProcessPoolExecutor() as pool:
        for some in pool.map(partial(samples_of, preset), pictures(quick)):
            yield from some


def samples_of(preset: Encoding, fitted_on: tuple[Image.Image, bool]) -> list[Sample]:
    """One of each width of the picture."""
    picture, is_plain = fitted_on
    trial, _ = encoder.trial_of(picture, GAUGE)
    assert trial is not None
    found = []
    for one in ladder(picture):
        reference = Reference(one)
        made = [encoder.encode(one, "avif", GAUGE, quality.shifted(preset, step))[0] for step in STEPS]
        scores, sizes = [reference.score(content) for content in made], [math.log(len(content)) for content in made]
        terms = quality.terms(trial, one.width * one.height, detail(one))
        found.append(Sample(terms, np.polyfit(STEPS, scores, 3), np.polyfit(STEPS, sizes, 3), is_plain))
    return found


def fitted(found: list[Sample]) -> quality.Coefficients:
    """Weighted least squares with a ridge on standardized terms; the constant makes the bytes those of the preset."""
    terms = np.array([one.terms[1:] for one in found])
    weights = np.array([one.slope() for one in found])
    weights /= weights.mean()
    mean = np.average(terms, 0, weights)
    deviation = np.sqrt(np.average((terms - mean) ** 2, 0, weights))
    matrix = np.c_[np.ones(len(found)), (terms - mean) / deviation]
    penalty = RIDGE * np.eye(matrix.shape[1])
    penalty[0, 0] = 0
    needed = np.array([one.needed() for one in found])
    weighted = (matrix * weights[:, None]).T
    solved = np.linalg.solve(weighted @ matrix + penalty, weighted @ needed)
    slopes = solved[1:] / deviation
    plain = [(one, step) for one, step in zip(found, matrix @ solved, strict=True) if one.is_plain]
    bytes_ = sum(one.at(0)[1] for one, _ in plain)
    lift = min(
        np.arange(-6, 6, 0.1),
        key=lambda lift: abs(sum(one.at(round(step + lift))[1] for one, step in plain) - bytes_),
    )
    return quality.Coefficients(float(solved[0] - slopes @ mean + lift), *map(float, slopes))


@dataclass(slots=True)
class Judged:
    """Scores and bytes at the preset's own quality, and at the one chosen; CPU seconds of the choice and the rest."""

    own: list[float] = field(default_factory=list)
    chosen: list[float] = field(default_factory=list)
    own_bytes: int = 0
    chosen_bytes: int = 0
    choice_cpu: float = 0.0
    cpu: float = 0.0

    def add(self, other: Judged) -> None:
        for name in self.__slots__:
            setattr(self, name, getattr(self, name) + getattr(other, name))


def judge(which: Set, preset: Encoding, side: int) -> Judged:
    """Of the photographs at that long side in px."""
    found = Judged()
    for path in photographs(which, side):
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
        found = Judged()
        for side in SIDES:
            found.add(judge("judge", preset, side))
            which = f"{name}, {' and '.join(str(one) for one in SIDES if one <= side)} px"
            rows.append((f"{which}, its own quality", *evenness(found.own), "1.000", ""))
            share = found.choice_cpu / (found.cpu + found.choice_cpu)
            ratio = found.chosen_bytes / found.own_bytes
            rows.append((f"{which}, chosen", *evenness(found.chosen), f"{ratio:.3f}", f"{share:.1%}"))
    table(("", "mean", "worst tenth", "below the mean", "deviation", "bytes", "of the encoding's CPU time"), rows)


if __name__ == "__main__":
    main()
