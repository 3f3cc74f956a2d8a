"""Each preset of `images.preset`: CPU time, bytes and quality of its WebP and AVIF apart, on real photographs.

All photographs of both sets (`benchmarks/photographs.py`), at the four default widths: each is shrunk by LANCZOS from
the largest that Telegram would serve, and the encoders are called as the program calls them, in one thread. With
--quick each is taken at one width only, in turn. Quality is SSIMULACRA2 (`benchmarks/quality_metric.py`) against the
shrunk picture.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

from PIL import Image

from benchmarks.common import heading, say, table
from benchmarks.photographs import PHOTOGRAPHS, SIDES, Photograph, served
from benchmarks.quality_metric import Reference
from workers.rendering.imaging.codec.encoder import encode
from workers.rendering.imaging.memory import Gauge
from workers.rendering.imaging.presets import PRESETS

WIDTHS = (320, 640, 1280, 1920)
FORMATS = ("webp", "avif")


@dataclass(slots=True)
class Found:
    """What a preset made in one format. CPU in seconds, each rendition's SSIMULACRA2."""

    cpu: float = 0.0
    bytes: int = 0
    scores: list[float] = field(default_factory=list)


def pictures(quick: bool) -> Iterator[Image.Image]:
    """What is to be encoded."""
    for number, one in enumerate(PHOTOGRAPHS):
        widths = WIDTHS[number % 4 :][:1] if quick else WIDTHS
        with Image.open(served(one, largest(one))) as image:
            full = image.convert("RGB")
        for width in sorted({min(width, full.width) for width in widths}):
            size = (width, max(1, round(full.height * width / full.width)))
            yield full if size == full.size else full.resize(size, Image.Resampling.LANCZOS)


def largest(photograph: Photograph) -> int:
    return max(side for side in SIDES if photograph.side >= side)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run presets", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="each photograph at one width")
    options = parser.parse_args()
    found = {(preset, name): Found() for preset in PRESETS for name in FORMATS}
    gauge, pixels, count = Gauge.start("a benchmark", 0, None), 0, 0
    for count, picture in enumerate(pictures(options.quick), 1):
        reference = Reference(picture)
        pixels += picture.width * picture.height
        for (preset, name), one in found.items():
            before = time.process_time()
            content, _ = encode(picture, name, gauge, PRESETS[preset])
            one.cpu += time.process_time() - before
            one.bytes += len(content)
            one.scores.append(reference.score(content))
        if count % 10 == 0:
            say(f"{count} pictures")
    heading("presets", f"{len(PHOTOGRAPHS)} photographs in {count} sizes, {pixels / 1e6:.1f} megapixels, one thread.")
    rows = [row(*key, one, pixels) for key, one in found.items()]
    table(("preset and format", "CPU ms/MP", "bytes/MP", "mean s2", "worst tenth"), rows)


def row(preset: str, name: str, found: Found, pixels: int) -> tuple[str, ...]:
    tenth = sorted(found.scores)[: max(1, len(found.scores) // 10)]
    return (
        f"{preset}, {name}",
        f"{found.cpu * 1e9 / pixels:.0f}",
        f"{found.bytes * 1e6 / pixels:,.0f}",
        f"{statistics.fmean(found.scores):.2f}",
        f"{statistics.fmean(tenth):.2f}",
    )


if __name__ == "__main__":
    main()
