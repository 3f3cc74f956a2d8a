"""How long a start takes: of each kind of child, of the whole tree; and how long a killed child is away.

A fresh tree for each run, on an export without pictures. "Start" is from the supervisor's spawn of the process to its
ready message, as the log's "child.ready" records say. The whole tree: from the call of `bin/run` to the last of them.
Then each kind is killed (kill -9) once, one after another, and timed from the kill to "ready" again.

What `bin/run` adds before Python begins: `bin/run --help` less the same command without it, one pair after another.
"""

from __future__ import annotations

import argparse
import subprocess
import time
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path

from benchmarks.common import (
    BIN_RUN,
    PYTHON,
    Export,
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
from supervisor.home import HOME

VICTIMS = ("health", "uploader", "connection", "image-1", "pool")
"""In this order: the pool takes its image workers with it."""

Times = dict[str, list[float]]
"""Seconds of each run, by what was timed."""


def run_once(folder: Path, export: Export, times: Times) -> None:
    """Start a tree as a user does, kill one child after another, stop it."""
    with running(folder, export, BIN_RUN) as (tree, started):
        ready = tree.wait_until_ready()
        for record in ready:
            times[f"{kind_of(record['child'])}: start"].append(record["seconds"])
        times["bin/run to the first child's spawn"].append(
            min(moment(record) - record["seconds"] for record in ready) - started
        )
        times["bin/run to all ready"].append(max(map(moment, ready)) - started)
        tree.wait_until_idle()
        for victim in VICTIMS:
            killed = tree.kill_child(victim)
            back = moment(tree.wait_until_replaced(victim, killed))
            times[f"{kind_of(victim)}: kill -9 to ready again"].append(back - killed)
            if victim == "pool":
                images = [tree.wait_until_replaced(spec.name, killed) for spec in image_specs()]
                times["pool and its image workers: kill -9 to ready again"].append(max(map(moment, images)) - killed)


def time_shell(folder: Path, runs: int, times: Times) -> None:
    for _ in range(runs):
        with_shell, without = seconds_of(BIN_RUN, folder), seconds_of(PYTHON, folder)
        times["bin/run before Python"].append(with_shell - without)


def seconds_of(program: Sequence[str], folder: Path) -> float:
    start = time.monotonic()
    subprocess.run(
        [*program, "--help"],
        check=True,
        stdout=subprocess.DEVNULL,
        cwd=folder,
        env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(HOME)},
    )
    return time.monotonic() - start


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run startup", description=__doc__.splitlines()[0])
    parser.add_argument("--runs", type=int, default=5)
    options = parser.parse_args()
    times: Times = defaultdict(list)
    with workplace(120) as folder:
        heading("startup", f"{options.runs} runs, {len(image_specs())} image workers. Seconds.")
        export = make_export(folder / "export", 0)
        time_shell(folder, 3 * options.runs, times)
        for number in range(1, options.runs + 1):
            run_once(folder / f"run-{number}", export, times)
            say(f"run {number} of {options.runs}: all ready after {times['bin/run to all ready'][-1]:.2f} s")
    table(
        ("what", "n", "median", "min", "max"),
        [(what, str(len(all_)), *spread(all_, 3)) for what, all_ in times.items()],
    )


if __name__ == "__main__":
    main()
