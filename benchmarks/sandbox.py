"""What the sandbox of the image workers costs: pictures a second, and the start of a worker.

Throughput is that of `benchmarks.throughput`: the whole tree on the same photographs, with pool.sandbox "auto" and
"off" by turns; the ratio is that of a pair. A worker's start is from its spawn to its "ready", as the log of trees has
it that are started for this alone: median over all their workers.
"""

from __future__ import annotations

import argparse
import statistics
from pathlib import Path

from benchmarks.common import Export, heading, image_specs, kind_of, make_export, running, say, spread, table, workplace
from benchmarks.throughput import tree_run

MODES = ("auto", "off")


def start_milliseconds(folder: Path, export: Export, mode: str) -> list[float]:
    """How long each image worker of a new tree takes until it is ready."""
    export.empty()
    with running(folder, export, PICTUREDESK__POOL__SANDBOX=mode) as (tree, _):
        ready = tree.wait_until_ready()
    return [1000 * record["seconds"] for record in ready if kind_of(record["child"]) == "image"]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run sandbox", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=5)
    options = parser.parse_args()
    rates: dict[str, list[float]] = {mode: [] for mode in MODES}
    starts: dict[str, list[float]] = {mode: [] for mode in MODES}
    with workplace(240) as folder:
        export = make_export(folder / "export", options.pictures)
        heading("sandbox", f"{options.pictures} JPEGs of 1280 pixels, {len(image_specs())} image workers.")
        for number in range(1, options.pairs + 1):
            for mode in MODES if number % 2 else reversed(MODES):
                starts[mode] += start_milliseconds(folder / f"start-{mode}-{number}", export, mode)
                run = tree_run(folder / f"tree-{mode}-{number}", export, PICTUREDESK__POOL__SANDBOX=mode)
                rates[mode].append(run.rate)
            say(f"pair {number} of {options.pairs}: sealed / open {rates['auto'][-1] / rates['off'][-1]:.3f}")
    pairs = list(zip(rates["auto"], rates["off"], strict=True))
    rows = [(str(at), f"{a:.2f}", f"{b:.2f}", f"{a / b:.3f}") for at, (a, b) in enumerate(pairs, 1)]
    table(("pair", "sealed, pictures/s", "open, pictures/s", "sealed / open"), rows)
    middle, least, most = spread([a / b for a, b in pairs], 3)
    print(f"Ratio sealed / open: median **{middle}**, min {least}, max {most}; the goal is 0.98.\n")
    later = statistics.median(starts["auto"]) - statistics.median(starts["off"])
    print(
        f"A worker is ready after {statistics.median(starts['auto']):.0f} ms, without the sandbox after"
        f" {statistics.median(starts['off']):.0f}: {later:.0f} ms later; the goal is at most 60."
    )


if __name__ == "__main__":
    main()
