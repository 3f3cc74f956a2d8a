"""Pictures a second of an origin with nodes, against one machine: does the work really spread?

Linear: image workers that wait two seconds instead of rendering (`waiting_image`), so that eight machines fit onto the
processors of one. 1, 2, 4 and 8 whole trees of one worker each (an origin, and nodes for the others) share one real
PostgreSQL (fsync on), PostgREST and S3 server. Each run counts the rows committed within a window, from when every
machine has published its first picture; a backlog is there that outlasts it. T(n)/T(1) is the ratio of their rates, and
the goal is 7.5 for eight at less than 70 % of the processors.

Honest: really rendering, two trees of one worker each against one tree of two, on the same photographs, alternating.
The whole is from the origin's start to the last row; the start phase of it ends when every machine has published a
picture; the steady state is from then on until the last few pictures. The goal is 0.95.

Idle: posts one at a time to a channel on the tests' loopback Telegram, to an origin with nodes that wait, and to the
same machine with the role "all" (nodes are there all the same, for the same load), alternating. From the moment before
the post is made to the log record "published". The first post of each tree is not counted. The goal is 1: a post that
is alone is never handed over.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import statistics
import sys
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, BinaryIO

import psutil

from benchmarks.common import heading, make_photographs, moment, say, spread, table, workplace
from benchmarks.status import quantile
from benchmarks.telegram import Remote, section, telegram
from tests.hosted import HostedInstance
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

PARTS = ("linear", "honest", "idle")

STEADY_SECONDS = 60.0
"""Shorter, and the steady state says little."""

LAST = 16
"""Pictures at the end of a run that count for the whole alone: some workers have nothing left to do by then."""

PAUSE_SECONDS = (0.5, 2.0)
"""Between two posts to an idle machine; at random, since its processes look for work from time to time."""


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


# Honest


@dataclass(frozen=True, slots=True)
class Phases:
    """Of one run: seconds of its start phase; pictures a second and seconds of its steady state; of the whole."""

    start_seconds: float
    steady_rate: float
    steady_seconds: float
    whole_rate: float

    def told(self) -> str:
        steady = f"{self.steady_rate:.3f} pictures/s for {self.steady_seconds:.0f} s"
        return f"start phase {self.start_seconds:.1f} s, then {steady}, the whole {self.whole_rate:.3f} pictures/s"


def honest(folder: Path, servers: tuple[ObjectServer, RowServer], pictures: int, pairs: int) -> None:
    export = make_export(folder / "export-real", pictures, 80)
    found: dict[str, list[Phases]] = {"one": [], "two": []}
    for number in range(pairs):
        for kind in ("one", "two") if number % 2 == 0 else ("two", "one"):
            phases = phases_of(folder / f"{number}-{kind}", export, servers, pictures, kind)
            found[kind].append(phases)
            say(f"pair {number + 1}, {kind}: {phases.told()}")
            if phases.steady_seconds < STEADY_SECONDS:
                say(f"the steady state was shorter than {STEADY_SECONDS:.0f} s: more --pictures make it longer")
    names = {"one": "one tree of two workers", "two": "two trees of one"}
    rows = []
    for kind, runs in found.items():
        columns = zip(*((run.start_seconds, run.steady_rate, run.whole_rate) for run in runs), strict=True)
        rows.append((names[kind], *map(in_short, columns)))
    compared = list(zip(found["two"], found["one"], strict=True))
    steady = [two.steady_rate / one.steady_rate for two, one in compared]
    whole = [two.whole_rate / one.whole_rate for two, one in compared]
    rows.append(("two / one, of each pair", "", in_short(steady), in_short(whole)))
    titles = ("median (min–max)", "start phase, s", "steady, pictures/s", f"whole, {pictures} pictures, pictures/s")
    table(titles, rows)


def phases_of(folder: Path, export: Path, servers: tuple[ObjectServer, RowServer], pictures: int, kind: str) -> Phases:
    """Of one machine of two workers ("one"), or of two machines of one worker ("two")."""
    objects, rows = servers
    folder.mkdir()
    workers, nodes = (2, 0) if kind == "one" else (1, 1)
    options: dict[str, Any] = {"above": 2 * workers, "workers": workers, "lease": 120, "reconcile": 300}
    with desk(folder, export, objects, rows, nodes=nodes, **options) as found:
        found.start_nodes(**DEFAULTS)
        began = time.monotonic()
        found.origin.start(**DEFAULTS)
        wait_for("every machine to have published one", lambda: all_at_work(found), 120)
        before, at_work = published(rows), time.monotonic()
        wait_for("all but the last rows", lambda: published(rows) >= pictures - LAST, 1200)
        after, last = published(rows), time.monotonic()
        wait_for("all rows", lambda: published(rows) >= pictures, 120)
        ended = time.monotonic()
        found.stop()
    return Phases(at_work - began, (after - before) / (last - at_work), last - at_work, pictures / (ended - began))


def in_short(values: Iterable[float]) -> str:
    middle, least, most = spread(list(values), 3)
    return f"{middle} ({least}–{most})"


# Idle


def idle(folder: Path, servers: tuple[ObjectServer, RowServer], posts: int, pairs: int, nodes: int) -> None:
    photographs = make_photographs(folder / "posts", posts + 1)
    found: dict[str, list[float]] = {"all": [], "origin": []}
    ratios = []
    with telegram() as server:
        for number in range(pairs):
            taken = dict[str, list[float]]()
            for role in ("all", "origin") if number % 2 == 0 else ("origin", "all"):
                with live(folder / f"idle-{number}-{role}", servers, server, role, nodes) as origin:
                    taken[role] = latencies(origin, server, photographs)[1:]
                found[role] += taken[role]
            ratios.append(statistics.median(taken["origin"]) / statistics.median(taken["all"]))
            say(f"idle: pair {number + 1}: origin / all {ratios[-1]:.3f}")
    rows = [
        (f'"{role}"', str(len(values)), *(f"{quantile(values, part):.3f}" for part in (0.5, 0.9, 1.0)))
        for role, values in found.items()
    ]
    table((f"post to row, s, with {nodes} nodes", "posts", "p50", "p90", "max"), rows)
    print(f"Medians of each pair, origin / all: **{in_short(ratios)}**.\n")


@contextmanager
def live(
    folder: Path, servers: tuple[ObjectServer, RowServer], server: Remote, role: str, nodes: int
) -> Iterator[HostedInstance]:
    """The machine that reads the channel, with that role, while the nodes wait for work."""
    folder.mkdir()
    channel = section({**server.account(), "channels": ["@photos"]})
    options: dict[str, Any] = {"above": 2, "lease": 120, "reconcile": 300, "origin_more": channel}
    with desk(folder, Path("/nonexistent"), servers[0], servers[1], nodes=nodes, **options) as found:
        config = found.origin.config
        config.write_text(config.read_text().replace('role = "origin"', f'role = "{role}"'))
        found.start(**DEFAULTS)
        wait_for("the channel to be followed", lambda: b'"channel.begun"' in found.origin.log.read_bytes())
        yield found.origin
        found.stop()


def latencies(origin: HostedInstance, server: Remote, photographs: list[Path]) -> list[float]:
    """Seconds from post to row of each, posted when the one before has been there for a moment."""
    found = []
    dice = random.Random(1)
    with origin.log.open("rb") as log:
        for path in photographs:
            ((message, posted),) = server.post_photos([path], 0.0).items()
            at = wait_for("its row", partial(published_at, log, message))
            found.append(at - posted)
            time.sleep(dice.uniform(*PAUSE_SECONDS))
    return found


def published_at(log: BinaryIO, message: int) -> float | None:
    """When that message's row was written (Unix seconds). Reads on where the last call has ended."""
    while True:
        where, line = log.tell(), log.readline()
        if not line.endswith(b"\n"):
            log.seek(where)
            return None
        if b'"job.published"' in line and (record := json.loads(line))["message"] == message:
            return moment(record)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run machines", description=__doc__.splitlines()[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of each window")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--pictures", type=int, default=500, help="of the honest comparison")
    parser.add_argument("--pairs", type=int, default=4, help="of the honest comparison, and of the idle one")
    parser.add_argument("--posts", type=int, default=30, help="to each tree of the idle comparison")
    parser.add_argument("--nodes", type=int, default=2, help="of the idle comparison")
    parser.add_argument("--parts", nargs="+", choices=PARTS, default=PARTS)
    options = parser.parse_args()
    with workplace(7200) as folder, object_server() as objects, RowServer() as rows:
        rows.apply_schema()
        rows.apply_machines()
        heading("machines", f"{os.cpu_count()} processors for all machines, database and bucket together.")
        if "linear" in options.parts:
            linear(folder, (objects, rows), options.seconds, options.repeats)
        if "honest" in options.parts:
            honest(folder, (objects, rows), options.pictures, options.pairs)
        if "idle" in options.parts:
            idle(folder, (objects, rows), options.posts, options.pairs, options.nodes)


if __name__ == "__main__":
    main()
