"""Pictures a second of the whole tree, against a bare loop of the same encoder calls.

The tree: the real program with its defaults, files and SQLite as targets. It is started on an export without pictures;
when it is at rest, the photographs are put into the export and the connection is replaced, so that intake begins with
every process warm. Timed from the new connection's "ready" to the last "published": reading the export, intake with
its copies and fsyncs, journal, dispatch, rendering with its fsyncs, objects, rows, clearing the spool are all inside.

The baseline, "bare": as many processes as the tree has image workers, with the same affinity and niceness, warmed up
likewise. Each takes the next file from a shared list, reads it, and has `workers.rendering.imaging` develop it (header
check, decode, shrink, encode every rendition) with the limits and the ladder of the tree's workers. The renditions stay
in memory and are dropped: nothing is written, fsynced, hashed, recorded or sent, no memory is trimmed. Timed from the
moment all of them are warm to the end of the last picture.

They take turns, bare, tree, bare, tree, so that whatever else the machine does hits both; the ratio is that of a pair.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import time
from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from multiprocessing.queues import SimpleQueue
from multiprocessing.sharedctypes import Synchronized
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.common import (
    PYTHON,
    Export,
    Tree,
    cpu_seconds,
    heading,
    image_specs,
    kind_of,
    make_export,
    moment,
    running,
    say,
    spread,
    table,
    workplace,
)
from supervisor.processes.spec import ChildSpec
from workers.rendering import imaging
from workers.rendering.imaging.codec import pipeline

KINDS = ("image", "root", "health", "uploader", "pool", "connection")
WAIT_SECONDS = 60.0


@dataclass(frozen=True, slots=True)
class Run:
    """One run: pictures a second, CPU seconds a picture by kind of process.

    `at_work`: the part of their time that the image workers had a job. `lags`: seconds from rendered to published.
    """

    rate: float
    cpu: dict[str, float]
    at_work: float = 1.0
    lags: tuple[float, ...] = ()


# The baseline


def bare_run(paths: tuple[Path, ...], specs: tuple[ChildSpec, ...]) -> Run:
    """Develop all of `paths` in as many bare processes as there are specs."""
    context = multiprocessing.get_context("spawn")
    taken, barrier = context.Value("i", 0), context.Barrier(len(specs))
    results: SimpleQueue[tuple[float, float, float]] = context.SimpleQueue()
    processes = [
        context.Process(target=bare_loop, args=(paths, spec, taken, barrier, results), daemon=True) for spec in specs
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise SystemExit(f"picturedesk: a bare process ended with {process.exitcode}")
    ends = [results.get() for _ in processes]
    seconds = max(end for _, end, _ in ends) - min(start for start, _, _ in ends)
    cpu = sum(one for _, _, one in ends)
    return Run(len(paths) / seconds, {"image": cpu / len(paths)})


def bare_loop(
    paths: tuple[Path, ...],
    spec: ChildSpec,
    taken: Synchronized[int],
    barrier: Barrier,
    results: SimpleQueue[tuple[float, float, float]],
) -> None:
    """One bare process. Puts its start, its end (monotonic seconds) and its CPU seconds in between."""
    os.nice(spec.nice)
    limits = imaging.Limits(**spec.options["limits"])
    ladder = imaging.Ladder(**{**spec.options["ladder"], "widths": tuple(spec.options["ladder"]["widths"])})
    imaging.warm_up()
    barrier.wait(WAIT_SECONDS)
    start, cpu = time.monotonic(), time.process_time()
    while True:
        with taken.get_lock():
            number = taken.value
            taken.value += 1
        if number >= len(paths):
            break
        # Not imaging.render, which is this and then writes and fsyncs.
        pipeline.develop(paths[number].read_bytes(), limits, ladder, None)
    results.put((start, time.monotonic(), time.process_time() - cpu))


# The tree


def tree_run(
    folder: Path,
    export: Export,
    seen: Callable[[Tree], object] | None = None,
    program: Sequence[str] = PYTHON,
    **more: str,
) -> Run:
    """Have a new tree publish the photographs of the export, with `more` in its environment. `seen` is given the tree
    once it is at rest.
    """
    count = len(export.photographs)
    export.empty()
    with running(folder, export, program, **more) as (tree, _):
        tree.wait_until_ready()
        tree.wait_until_idle()
        if seen:
            seen(tree)
        ready = tree.feed(export)
        before = cpu_by_kind(tree)
        published = tree.wait_until_published(count)
        after = cpu_by_kind(tree)
        rendered = {record["job"]: record for record in tree.events("job.rendered")}
    if {len(published), len(rendered)} != {count}:
        raise SystemExit(
            f"picturedesk: of {count} pictures {len(rendered)} were rendered and {len(published)} published"
        )
    start, seconds = moment(ready), sum(record["seconds"] for record in rendered.values())
    end = max(map(moment, rendered.values()))
    return Run(
        count / (max(map(moment, published)) - start),
        {kind: (after[kind] - before[kind]) / count for kind in KINDS},
        seconds / len(image_specs()) / (end - start),
        tuple(moment(record) - moment(rendered[record["job"]]) for record in published),
    )


def cpu_by_kind(tree: Tree) -> dict[str, float]:
    """CPU seconds so far. Those of image workers that were replaced are the pool's by now, and counted as theirs."""
    used: dict[str, float] = defaultdict(float)
    for name, pid in tree.living().items():
        used[kind_of(name)] += cpu_seconds(pid)
        if name == "pool":
            used["image"] += cpu_seconds(pid, with_children=True) - cpu_seconds(pid)
    return used


# The report


def report(pairs: list[tuple[Run, Run]]) -> None:
    rows = [
        (str(number), f"{bare.rate:.2f}", f"{tree.rate:.2f}", f"{tree.rate / bare.rate:.3f}", f"{tree.at_work:.1%}")
        for number, (bare, tree) in enumerate(pairs, 1)
    ]
    table(("pair", "bare, pictures/s", "tree, pictures/s", "tree / bare", "tree's image workers at work"), rows)
    middle, least, most = spread([tree.rate / bare.rate for bare, tree in pairs], 3)
    print(f"Ratio tree / bare: median **{middle}**, min {least}, max {most}; the goal is 0.9.\n")
    lags = [lag for _, tree in pairs for lag in tree.lags]
    print(f"From rendered to published: median {statistics.median(lags):.2f} s, max {max(lags):.2f} s.\n")
    cpu = {kind: 1000 * statistics.median(tree.cpu[kind] for _, tree in pairs) for kind in KINDS}
    bare_cpu = 1000 * statistics.median(bare.cpu["image"] for bare, _ in pairs)
    shares = [(kind, f"{used:.1f}", f"{used / bare_cpu:.1%}") for kind, used in cpu.items()]
    shares += [("the whole tree", f"{sum(cpu.values()):.1f}", f"{sum(cpu.values()) / bare_cpu:.1%}")]
    shares += [("bare", f"{bare_cpu:.1f}", "100.0%")]
    table(("CPU of (median)", "ms a picture", "of bare"), shares)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run throughput", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=4)
    options = parser.parse_args()
    specs = image_specs()
    with workplace(240) as folder:
        export = make_export(folder / "export", options.pictures)
        megapixels = 1280 * 960 / 1e6
        heading(
            "throughput",
            f"{options.pictures} JPEGs of 1280 pixels (about {megapixels:.1f} megapixels), {len(specs)} image workers,"
            f" widths {specs[0].options['ladder']['widths']}, WebP and AVIF.",
        )
        pairs = []
        for number in range(1, options.pairs + 1):
            bare = bare_run(export.photographs, specs)
            tree = tree_run(folder / f"tree-{number}", export)
            pairs.append((bare, tree))
            say(f"pair {number} of {options.pairs}: tree / bare {tree.rate / bare.rate:.3f}")
        report(pairs)


if __name__ == "__main__":
    main()
