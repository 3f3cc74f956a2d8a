"""What pictures that move cost: CPU time, time on the clock with one and with two threads, and bytes of each format.

Three clips of 640 × 400 pixels, made by code from an example photograph and Pillow's drawing: a photograph that is
panned, a page of text that scrolls, and a drawing with alpha. Each is rendered from a GIF (with alpha: an APNG) in
memory to all of its files in memory, at widths 320 and 640, by `develop`, as in an image worker; besides, with
`images.animations` off, so that the first frame stands for it. A megapixel is one of all frames of all widths that
move, in both formats.
"""

from __future__ import annotations

import argparse
import io
import statistics
import time
from collections.abc import Callable
from typing import Final, NamedTuple

from PIL import Image, ImageDraw, ImageFont

from benchmarks.common import heading, table
from supervisor.home import HOME
from workers.rendering import imaging
from workers.rendering.imaging.codec.pipeline import develop

LIMITS: Final = imaging.Limits(max_bytes=2**26, max_dimension=8192, max_pixels=2**26)
SIDES: Final = (640, 400)
WIDTHS: Final = (320, 640)
PHOTO: Final = HOME / "examples" / "export" / "photos" / "photo_4@08-10-2025_08-14-52.jpg"


class Made(NamedTuple):
    """Seconds of CPU and on the clock, and the bytes of each format's files."""

    cpu: float
    wall: float
    bytes: dict[str, int]


def panned(frames: int) -> list[Image.Image]:
    with Image.open(PHOTO) as opened:
        photo = opened.convert("RGB").resize((SIDES[0] + 2 * frames, SIDES[1] + frames), Image.Resampling.LANCZOS)
    return [photo.crop((2 * at, at, SIDES[0] + 2 * at, SIDES[1] + at)) for at in range(frames)]


def scrolled(frames: int) -> list[Image.Image]:
    page = Image.new("RGB", (SIDES[0], SIDES[1] + 4 * frames), "white")
    pen, font = ImageDraw.Draw(page), ImageFont.load_default(16)
    for line, top in enumerate(range(10, page.height, 24)):
        text = f"{line}: the quick brown fox jumps over the lazy dog, and again"
        pen.text((20, top), text, fill=(30, 30, 70), font=font)
    return [page.crop((0, 4 * at, SIDES[0], SIDES[1] + 4 * at)) for at in range(frames)]


def drawn(frames: int) -> list[Image.Image]:
    pictures = []
    for at in range(frames):
        picture = Image.new("RGBA", SIDES, (0, 0, 0, 0))
        pen = ImageDraw.Draw(picture)
        pen.ellipse((40 + 6 * at, 100, 200 + 6 * at, 260), fill=(220, 80, 40, 255))
        pen.rectangle((300, 300, 500, 360), fill=(40, 90, 200, 160))
        pictures.append(picture)
    return pictures


CLIPS: Final[dict[str, tuple[str, Callable[[int], list[Image.Image]]]]] = {
    "a photograph, panned": ("GIF", panned),
    "text, scrolled": ("GIF", scrolled),
    "a drawing with alpha": ("PNG", drawn),
}


def clip(kind: str, pictures: list[Image.Image]) -> bytes:
    buffer = io.BytesIO()
    pictures[0].save(buffer, kind, save_all=True, append_images=pictures[1:], duration=50, loop=0)
    return buffer.getvalue()


def made(data: bytes, threads: int, *, animations: bool) -> Made:
    ladder = imaging.Ladder(WIDTHS, webp=True, avif=True, animations=animations)
    cpu, wall = time.process_time(), time.perf_counter()
    rendered, files = develop(data, LIMITS, ladder, None, threads, seconds=600.0)
    cpu, wall = time.process_time() - cpu, time.perf_counter() - wall
    assert rendered.appearance.animated == animations, rendered.fallbacks
    return Made(
        cpu, wall, {end: sum(len(files[name]) for name in files if name.endswith(end)) for end in ("webp", "avif")}
    )


def median(data: bytes, rounds: int, threads: int, *, animations: bool) -> Made:
    found = [made(data, threads, animations=animations) for _ in range(rounds)]
    cpu, wall = statistics.median(one.cpu for one in found), statistics.median(one.wall for one in found)
    return Made(cpu, wall, found[0].bytes)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run moving", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--frames", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=3)
    options = parser.parse_args()
    imaging.warm_up()
    heading(
        "moving",
        f"{options.frames} frames of {SIDES[0]}×{SIDES[1]}, widths {list(WIDTHS)}, median of {options.rounds}.",
    )
    megapixels = options.frames * sum(width * width * SIDES[1] / SIDES[0] for width in WIDTHS) / 1e6
    rows = []
    for name, (kind, pictures) in CLIPS.items():
        data = clip(kind, pictures(options.frames))
        still = median(data, options.rounds, 1, animations=False)
        one = median(data, options.rounds, 1, animations=True)
        two = median(data, options.rounds, 2, animations=True)
        sizes = (len(data), one.bytes["webp"], one.bytes["avif"])
        times = (f"{still.cpu:.2f}", f"{one.cpu:.2f}", f"{1000 * one.cpu / megapixels:.0f}")
        walls = (f"{one.wall:.2f}", f"{two.wall:.2f}", f"{one.wall / two.wall:.2f}")
        rows.append((name, *times, *walls, *(f"{size / 1000:,.0f}" for size in sizes)))
    titles = (
        "clip",
        "CPU, first frame alone, s",
        "CPU, moving, s",
        "ms a megapixel",
        "one thread, s",
        "two threads, s",
    )
    table((*titles, "times sooner", "original, kB", "WebP, kB", "AVIF, kB"), rows)


if __name__ == "__main__":
    main()
