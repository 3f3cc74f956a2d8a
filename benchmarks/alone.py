"""What the threads of idle image workers are worth: how soon one large picture alone is published, and the pictures a
second of a full queue, each with threads and with one (`benchmarks.one_thread`).

Alone: two trees at rest, one with threads and one without. Each in turn gets the same photograph of 12 megapixels,
and nothing else happens on the machine until it is published. Timed from the new connection's "ready" to "published":
intake with its copy and fsync, rendering, the object's files and the row are inside. Besides: for how long a worker
had it. The photographs are those of the example export, enlarged to 4000 × 3000 pixels and with some grain.

Full queue: throughput as in `benchmarks.throughput`, the whole tree on the same photographs of 1280 pixels, by turns.
The ratio is that of a pair.
"""

from __future__ import annotations

import argparse
import statistics
import sys
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from benchmarks.common import (
    PYTHON,
    Export,
    Tree,
    heading,
    image_specs,
    make_export,
    moment,
    running,
    say,
    spread,
    table,
    workplace,
)
from benchmarks.throughput import tree_run
from supervisor.home import HOME

SIDES = (4000, 3000)
GRAIN = 0.04
PROGRAMS = {"threads": PYTHON, "one": (sys.executable, "-P", "-m", "benchmarks.one_thread")}

Times = tuple[float, float]
"""Seconds from "ready" to "published", and those that a worker had the picture."""


def make_large(folder: Path, count: int) -> tuple[Path, ...]:
    """Distinct photographs of 12 megapixels."""
    folder.mkdir(parents=True)
    sources = sorted((HOME / "examples" / "export" / "photos").glob("*.jpg"))
    made = []
    for number in range(1, count + 1):
        with Image.open(sources[number % len(sources)]) as source:
            picture = source.convert("RGB").resize(SIDES, Image.Resampling.LANCZOS)
        grain = Image.effect_noise(SIDES, 12).convert("RGB")
        made.append(folder / f"photo_{number}@01-02-2025_10-00-00.jpg")
        Image.blend(picture, grain, GRAIN).save(made[-1], quality=90)
    return tuple(made)


def publish_alone(tree: Tree, export: Export) -> Times:
    """Have a tree at rest, which has all photographs of the export but the last, publish this one."""
    count = len(export.photographs)
    ready = tree.feed(export)
    published = tree.wait_until_published(count)[count - 1]
    rendered = next(record for record in tree.events("job.rendered") if record["job"] == published["job"])
    return moment(published) - moment(ready), rendered["seconds"]


def alone(folder: Path, count: int) -> list[tuple[Times, Times]]:
    """For each of the photographs, the times with threads and with one."""
    whole = Export(folder / "export", make_large(folder / "export" / "photos", count))
    whole.empty()
    found = []
    with (
        running(folder / "threads", whole, PROGRAMS["threads"]) as (threads, _),
        running(folder / "one", whole, PROGRAMS["one"]) as (one, _),
    ):
        for tree in (threads, one):
            tree.wait_until_ready()
            tree.wait_until_idle()
        for number in range(1, count + 1):
            export = Export(whole.folder, whole.photographs[:number])
            turns: Sequence[Tree] = (threads, one) if number % 2 else (one, threads)
            times = {id(tree): publish_alone(tree, export) for tree in turns}
            found.append((times[id(threads)], times[id(one)]))
            say(f"alone, {number} of {count}: {found[-1][1][0] / found[-1][0][0]:.2f} times sooner")
    return found


def full(folder: Path, pictures: int, pairs: int) -> list[tuple[float, float]]:
    """Pictures a second of a full queue, with threads and with one."""
    export = make_export(folder / "export", pictures)
    found = []
    for number in range(1, pairs + 1):
        names = list(PROGRAMS) if number % 2 else list(reversed(PROGRAMS))
        rates = {name: tree_run(folder / f"{name}-{number}", export, program=PROGRAMS[name]).rate for name in names}
        found.append((rates["threads"], rates["one"]))
        say(f"full queue, pair {number} of {pairs}: threads / one {rates['threads'] / rates['one']:.3f}")
    return found


def report(times: list[tuple[Times, Times]], rates: list[tuple[float, float]]) -> None:
    rows = [
        (str(at), f"{many[0]:.3f}", f"{one[0]:.3f}", f"{one[0] / many[0]:.2f}", f"{one[1] / many[1]:.2f}")
        for at, (many, one) in enumerate(times, 1)
    ]
    table(("alone", "threads, s", "one thread, s", "times sooner", "times sooner rendered"), rows)
    middle, least, most = spread([one[0] / many[0] for many, one in times])
    print(f"Alone it is published {middle} times sooner (median; min {least}, max {most}); the goal is 1.4.", end=" ")
    rendered = statistics.median(one[1] / many[1] for many, one in times)
    print(f"A worker has it for {rendered:.2f} times less.\n")
    if rates:
        table(
            ("full queue", "threads, pictures/s", "one thread, pictures/s", "threads / one"),
            [(str(at), f"{many:.2f}", f"{one:.2f}", f"{many / one:.3f}") for at, (many, one) in enumerate(rates, 1)],
        )
        middle, least, most = spread([many / one for many, one in rates], 3)
        print(f"Ratio threads / one: median **{middle}**, min {least}, max {most}; the goal is 1.")


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run alone", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--large", type=int, default=8, help="photographs that are published alone")
    parser.add_argument("--pictures", type=int, default=40, help="photographs of a full queue")
    parser.add_argument("--pairs", type=int, default=3, help="of full queues; 0: none")
    options = parser.parse_args()
    with workplace(600) as folder:
        heading(
            "alone",
            f"{options.large} JPEGs of {SIDES[0]} × {SIDES[1]} pixels one after another, and full queues of"
            f" {options.pictures} of 1280 pixels; {len(image_specs())} image workers.",
        )
        times = alone(folder / "alone", options.large)
        rates = full(folder / "full", options.pictures, options.pairs)
        report(times, rates)


if __name__ == "__main__":
    main()
