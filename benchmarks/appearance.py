"""What JPEG, the preview for link cards and the appearance cost each picture: CPU time and bytes, on real photographs.

All photographs of both sets (`benchmarks/photographs.py`), as large as Telegram would serve them, from their bytes in
memory to all files in memory, in one thread, at the default widths and preset. Each is made in all ways one after
another, so what disturbs the machine disturbs all. The appearance, which every picture gets, is timed by itself.
"""

from __future__ import annotations

import argparse
import io
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from typing import TypeVar

from PIL import Image

from benchmarks.common import heading, say, table
from benchmarks.photographs import PHOTOGRAPHS, SIDES, served
from workers.rendering import imaging
from workers.rendering.imaging.codec.pipeline import develop
from workers.rendering.imaging.codec.pixels.appearance import appearance_of

LIMITS = imaging.Limits(max_bytes=2**26, max_dimension=8192, max_pixels=2**26)
BARE = imaging.Ladder((320, 640, 1280, 1920), webp=True, avif=True)
WAYS = {
    "WebP and AVIF alone": BARE,
    "with a JPEG of 1280": replace(BARE, jpeg_width=1280),
    "with a preview": replace(BARE, preview=True),
    "with both": replace(BARE, jpeg_width=1280, preview=True),
}
Result = TypeVar("Result")


@dataclass(slots=True)
class Spent:
    """CPU in seconds, and bytes of all files."""

    cpu: float = 0.0
    bytes: int = 0


def timed(spent: Spent, work: Callable[[], Result]) -> Result:
    before = time.process_time()
    result = work()
    spent.cpu += time.process_time() - before
    return result


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run appearance", description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="every fourth photograph")
    options = parser.parse_args()
    imaging.warm_up()
    photographs = PHOTOGRAPHS[::4] if options.quick else PHOTOGRAPHS
    spent, looks = {way: Spent() for way in WAYS}, Spent()
    for count, one in enumerate(photographs, 1):
        data = served(one, max(side for side in SIDES if one.side >= side)).read_bytes()
        for way, ladder in WAYS.items():
            _, files = timed(spent[way], partial(develop, data, LIMITS, ladder, None))
            spent[way].bytes += sum(map(len, files.values()))
        with Image.open(io.BytesIO(data)) as image:
            picture = image.convert("RGB").resize((320, round(320 * image.height / image.width)))
        timed(looks, partial(appearance_of, picture, 1))
        if count % 10 == 0:
            say(f"{count} pictures")
    heading("appearance", f"{len(photographs)} photographs, one thread. The appearance is part of all rows.")
    bare, number = spent["WebP and AVIF alone"], len(photographs)
    rows = [
        (way, f"{one.cpu * 1e3 / number:.0f}", f"{one.cpu / bare.cpu:.3f}", f"{one.bytes / number / 1e3:.0f}")
        for way, one in spent.items()
    ]
    rows.append(("the appearance by itself", f"{looks.cpu * 1e3 / number:.1f}", f"{looks.cpu / bare.cpu:.3f}", ""))
    table(("made", "CPU ms a picture", "to the first", "kB a picture"), rows)


if __name__ == "__main__":
    main()
