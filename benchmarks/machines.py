"""Pictures a second of an origin with nodes, against one machine: does the work really spread?

Linear: image workers that wait two seconds instead of rendering (`waiting_image`), so that eight machines fit onto the
processors of one. 1, 2, 4 and 8 whole trees of one worker each (an origin, and nodes for the others) share one real
PostgreSQL (fsync on), PostgREST and S3 server. Each run counts the rows committed within a window, from when every
machine has published its first picture; a backlog is there that outlasts it. T(n)/T(1) is the ratio of their rates, and
the goal is 7.5 for eight at less than 70 % of the processors.

Honest: really rendering, two trees of one worker each against one tree of two, on the same photographs, alternating.
The goal is 0.95.
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil

from benchmarks.common import heading, make_photographs, say, spread, table, workplace
from tests.instance import wait_for
from tests.machines import Desk, desk
from tests.pictures import message, write_result
from tests.servers.objects import ObjectServer, object_server
from tests.servers.rows import RowServer

COUNTS = (1, 2, 4, 8)
WAITING = [sys.executable, "-P", "-m", "benchmarks.waiting_image"]
UNSEALED = {"PICTUREDESK__POOL__SANDBOX": "off"}
"""The waiting workers read their own files."""

DEFAULTS = {"PICTUREDESK__IMAGES__WIDTHS": "[320, 640, 1280, 1920]"}
"""What the tests have otherwise."""


def make_export(folder: Path, count: int, distinct: int = 40) -> Path:
    """`count` posts of as many files: `distinct` photographs, each followed by its post's number."""
    photographs = [path.read_bytes() for path in make_photographs(folder / "sources", min(count, distinct))]
    (folder / "photos").mkdir()
    posts = [message(1)]
    for number in range(2, count + 2):
        name = f"photos/photo_{number}@01-02-2025_10-00-00.jpg"
        (folder / name).write_bytes(photographs[number % len(photographs)] + f"{number:08}".encode())
        posts.append(message(number, photo=name, width=1280, height=960))
    write_result(folder, posts)
    return folder


@contextmanager
def running(folder: Path, export: Path, servers: tuple[ObjectServer, RowServer], machines: int) -> Iterator[Desk]:
    """That many machines of one waiting worker each, of which one is the origin."""
    objects, rows = servers
    folder.mkdir()
    with desk(folder, export, objects, rows, nodes=machines - 1, above=2, lease=120, reconcile=300) as found:
        for machine in found.machines:
            machine.program = WAITING
        found.start(**UNSEALED)
        yield found


def published(rows: RowServer) -> int:
    return int(rows.sql("select count(*) as rows from public.images")[0]["rows"])


def rate_of(machines: Desk, rows: RowServer, seconds: float) -> tuple[float, float]:
    """Rows a second within a window, once every machine is at work; and the processors' load in it, of 1."""
    wait_for("every machine to have published one", lambda: all_at_work(machines), 120)
    psutil.cpu_percent()
    before, began = published(rows), time.monotonic()
    time.sleep(seconds)
    after, ended = published(rows), time.monotonic()
    return (after - before) / (ended - began), psutil.cpu_percent() / 100


def all_at_work(machines: Desk) -> bool:
    shares = machines.published_by()
    return all(shares.values())


def linear(folder: Path, servers: tuple[ObjectServer, RowServer], seconds: float, repeats: int) -> None:
    rates: dict[int, list[float]] = {count: [] for count in COUNTS}
    loads: dict[int, list[float]] = {count: [] for count in COUNTS}
    export = make_export(folder / "export", round(COUNTS[-1] * (seconds + 60) / 2))
    for repeat in range(repeats):
        for count in COUNTS if repeat % 2 == 0 else reversed(COUNTS):
            with running(folder / f"{repeat}-{count}", export, servers, count) as machines:
                rate, load = rate_of(machines, servers[1], seconds)
            rates[count].append(rate)
            loads[count].append(load)
            say(f"{count} machines: {rate:.3f} pictures/s, processors {load:.0%}")
    one = statistics.median(rates[1])
    rows = [
        (str(count), *spread(of, 3), f"{statistics.median(of) / one:.2f}", f"{max(loads[count]):.0%}")
        for count, of in rates.items()
    ]
    table(("machines", "pictures/s, median", "min", "max", "T(n)/T(1)", "processors, at most"), rows)


def honest(folder: Path, servers: tuple[ObjectServer, RowServer], pictures: int, pairs: int) -> None:
    export = make_export(folder / "export-real", pictures, pictures)
    ratios = []
    for number in range(pairs):
        taken = {}
        for kind in ("one", "two") if number % 2 == 0 else ("two", "one"):
            taken[kind] = seconds_of(folder / f"{number}-{kind}", export, servers, pictures, kind)
        ratios.append(taken["one"] / taken["two"])
        say(f"pair {number + 1}: {taken}, {ratios[-1]:.3f}")
    middle, least, most = spread(ratios, 3)
    print(f"Two trees of one worker / one tree of two: median **{middle}**, min {least}, max {most}.\n")


def seconds_of(folder: Path, export: Path, servers: tuple[ObjectServer, RowServer], pictures: int, kind: str) -> float:
    """From the first row to the last, but for what is published before all machines are at work."""
    objects, rows = servers
    folder.mkdir()
    workers, nodes = (2, 0) if kind == "one" else (1, 1)
    with desk(folder, export, objects, rows, nodes=nodes, above=2, workers=workers, lease=120, reconcile=300) as found:
        found.start(**DEFAULTS)
        wait_for("the first rows", lambda: published(rows) >= pictures // 10, 120)
        before, began = published(rows), time.monotonic()
        wait_for("all rows", lambda: published(rows) >= pictures, 600)
        took = time.monotonic() - began
        found.stop()
    return took / (pictures - before)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run machines", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each window")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=80, help="of the honest comparison")
    parser.add_argument("--pairs", type=int, default=4)
    parser.add_argument("--parts", nargs="+", choices=("linear", "honest"), default=("linear", "honest"))
    options = parser.parse_args()
    with workplace(3600) as folder, object_server() as objects, RowServer() as rows:
        rows.apply_schema()
        rows.apply_machines()
        heading("machines", f"{os.cpu_count()} processors for all machines, database and bucket together.")
        if "linear" in options.parts:
            linear(folder, (objects, rows), options.seconds, options.repeats)
        if "honest" in options.parts:
            honest(folder, (objects, rows), options.pictures, options.pairs)


if __name__ == "__main__":
    main()
