"""What supervision costs, and how fast it is: death to ready, root's memory, the idle tree's CPU, detection of a hang.

A tree on an export without pictures, with a user's defaults. "Death to ready": each child in turn is killed (kill -9)
and timed from the kill to the log's "child.ready" of its next incarnation; in each round all had been ready for longer
than ten seconds, so that nobody pays for an earlier death. The pool's time is its own; that of the image workers which
it takes with it is on a line of its own. (Against real services, with pictures under way: `soak`.)

Idle CPU: user and system time of all processes over a minute in which nothing happens, as a part of one core. A hang:
children are stopped (SIGSTOP) all at once, and timed to the log's "child.hung" (60 s of silence are allowed) and
to "ready" of the next incarnation.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import time
from collections import defaultdict
from pathlib import Path

from benchmarks.common import (
    Export,
    Tree,
    cpu_seconds,
    heading,
    image_specs,
    kind_of,
    make_export,
    moment,
    percentile,
    running,
    say,
    table,
    workplace,
)
from benchmarks.memory import held_by
from supervisor.processes.policy import STEADY_SECONDS

GOALS = {"image": 0.3, "health": 1.5, "uploader": 1.5, "connection": 1.5, "pool": 1.5}
"""Seconds from death to ready, at p99."""

FROZEN = ("health", "uploader", "connection", "image-1")
IDLE_SECONDS = 60.0

Times = dict[str, list[float]]


def measure_replacements(tree: Tree, rounds: int) -> Times:
    images = [spec.name for spec in image_specs()]
    times: Times = defaultdict(list)
    for number in range(1, rounds + 1):
        time.sleep(STEADY_SECONDS + 0.5)
        for victim in ("health", "uploader", "connection", *images, "pool"):
            killed = tree.kill_child(victim)
            times[kind_of(victim)].append(moment(tree.wait_until_replaced(victim, killed)) - killed)
        after = [moment(tree.wait_until_replaced(name, killed)) - killed for name in images]
        times["pool and all its image workers"].append(max(after))
        say(f"round {number} of {rounds}")
    return times


def measure_idle(tree: Tree) -> dict[str, float]:
    """CPU seconds of each process over a minute."""
    tree.wait_until_idle()
    pids = tree.living()
    before = {name: cpu_seconds(pid) for name, pid in pids.items()}
    time.sleep(IDLE_SECONDS)
    return {name: cpu_seconds(pid) - before[name] for name, pid in pids.items()}


def measure_hangs(tree: Tree) -> dict[str, tuple[float, float]]:
    """Seconds from a stop to its being found, and to the next incarnation's being ready."""
    pids = tree.living()
    frozen = time.time()
    for name in FROZEN:
        os.kill(pids[name], signal.SIGSTOP)
    found = tree.wait_for_events("child.hung", lambda hung: {one["child"] for one in hung} >= set(FROZEN))
    seen = {one["child"]: moment(one) - frozen for one in found}
    return {name: (seen[name], moment(tree.wait_until_replaced(name, frozen)) - frozen) for name in FROZEN}


def report(times: Times, idle: dict[str, float], root_mib: float, hangs: dict[str, tuple[float, float]]) -> None:
    rows = [
        (
            kind,
            str(len(all_)),
            f"{statistics.median(all_):.3f}",
            f"{percentile(all_, 0.99):.3f}",
            f"{GOALS[kind]:.1f}" if kind in GOALS else "",
        )
        for kind, all_ in times.items()
    ]
    table(("death to ready, s", "n", "median", "p99", "goal for p99"), rows)
    print(f"Root: {root_mib:.1f} MiB RSS; the goal is 30.\n")
    used = {**idle, "the whole tree (goal: 0.5 %)": sum(idle.values())}
    table(
        (f"idle for {IDLE_SECONDS:.0f} s", "CPU, s", "of a core"),
        [(name, f"{seconds:.2f}", f"{seconds / IDLE_SECONDS:.2%}") for name, seconds in used.items()],
    )
    table(
        ("hang to …, s", "found", "ready again"),
        [(name, f"{seen:.1f}", f"{back:.1f}") for name, (seen, back) in hangs.items()],
    )


def measure(folder: Path, export: Export, rounds: int) -> None:
    with running(folder / "tree", export) as (tree, _):
        tree.wait_until_ready()
        idle = measure_idle(tree)
        root_mib = held_by(tree.living()["root"]).rss
        say("idle: done")
        times = measure_replacements(tree, rounds)
        hangs = measure_hangs(tree)
    report(times, idle, root_mib, hangs)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run supervision", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=20)
    options = parser.parse_args()
    with workplace(240 + 30 * options.rounds) as folder:
        heading("supervision", f"{options.rounds} rounds, {len(image_specs())} image workers.")
        measure(folder, make_export(folder / "export", 0), options.rounds)


if __name__ == "__main__":
    main()
