"""How long GET /status takes: while the image workers are busy, and in the same tree when it is idle.

One client, one request every 25 ms, a new connection for each as a probe or curl makes it; from connecting to the last
byte. The client is a process of the same machine and waits for a core like all others, which is inside the figures. How
long that is, is the baseline "asleep": by how much the client's own pauses between the requests were longer than they
should have been. A virtual machine whose host gives it less than its cores shows that here.

Then the same at 200 requests a second, which are sent whether those before have been answered or not, and the health
process' CPU meanwhile, which says what an answer costs on a machine that others use too. All of it with
very many pictures waiting, dead and published each; what waits is Telegram's, which nobody fetches here.
"""

from __future__ import annotations

import argparse
import http.client
import math
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.common import SETTLE_SECONDS, Export, Tree, cpu_seconds, heading, make_export, table, workplace
from tests.backlog import fill_journal

PAUSE_SECONDS = 0.025

RATE = 200.0
"""Requests a second where many ask. Goals: p99 below 10 ms in the idle tree, below 20 ms while both cores encode."""

MOST_AT_ONCE = 64


def ask(address: str) -> float:
    """Milliseconds of one GET /status."""
    start = time.perf_counter()
    connection = http.client.HTTPConnection(address, timeout=10)
    connection.request("GET", "/status")
    response = connection.getresponse()
    body = response.read()
    seconds = time.perf_counter() - start
    connection.close()
    if response.status != 200 or not body:
        raise SystemExit(f"picturedesk: /status answered {response.status}")
    return 1000 * seconds


def ask_while(address: str, wanted: Callable[[], bool]) -> tuple[list[float], list[float]]:
    """Milliseconds of each request, and by how much each pause after it was too long."""
    times, overslept = [], []
    while wanted():
        times.append(ask(address))
        start = time.perf_counter()
        time.sleep(PAUSE_SECONDS)
        overslept.append(1000 * (time.perf_counter() - start - PAUSE_SECONDS))
    return times, overslept


def ask_often(address: str, pid: int, wanted: Callable[[], bool], rate: float) -> tuple[list[float], int, float]:
    """Milliseconds of each of `rate` requests a second, whether the last has been answered or not; how many failed; CPU
    milliseconds a request of the process `pid`, which answers.
    """
    times: list[float] = []
    failed = 0

    def one() -> None:
        nonlocal failed
        try:
            times.append(ask(address))
        except (OSError, http.client.HTTPException):
            failed += 1

    began, number, cpu = time.monotonic(), 0, cpu_seconds(pid)
    with ThreadPoolExecutor(MOST_AT_ONCE) as pool:
        while wanted():
            time.sleep(max(0.0, began + number / rate - time.monotonic()))
            pool.submit(one)
            number += 1
    return times, failed, 1000 * (cpu_seconds(pid) - cpu) / number


def quantile(times: list[float], part: float) -> float:
    """The least of the times that so large a part of them does not exceed.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    return sorted(times)[max(0, math.ceil(part * len(times)) - 1)]


@contextmanager
def running_behind(folder: Path, export: Export, count: int) -> Iterator[Tree]:
    """A tree that has so many waiting, dead and published before it is started."""
    tree = Tree(folder, export)
    tree.state_dir.mkdir(parents=True, exist_ok=True)
    fill_journal(tree.state_dir / "journal.db", {"telegram": count, "dead": count, "published": count})
    tree.launch()
    try:
        yield tree
    finally:
        tree.shut()


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run status", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--often", type=int, default=2000, metavar="REQUESTS", help="at 200 a second")
    parser.add_argument("--idle", type=int, default=300, metavar="REQUESTS")
    parser.add_argument("--behind", type=int, default=300_000, help="pictures waiting, dead and published, of each")
    options = parser.parse_args()
    with workplace(600) as folder:
        heading(
            "status",
            f"GET /status while {options.pictures} JPEGs of 1280 pixels are rendered, and before, with"
            f" {options.behind:,} pictures waiting, dead and published each. ms.",
        )
        export = make_export(folder / "export", options.pictures)
        export.empty()
        with running_behind(folder / "tree", export, options.behind) as tree:
            tree.wait_until_ready()
            time.sleep(SETTLE_SECONDS)
            address, pid = urlsplit(tree.url() or "").netloc, tree.living()["health"]
            left = iter(range(options.idle))
            idle = ask_while(address, lambda: next(left, None) is not None)
            left = iter(range(options.often))
            often_idle = ask_often(address, pid, lambda: next(left, None) is not None, RATE)
            tree.feed(export)
            half = options.pictures // 2
            busy = ask_while(address, lambda: tree.count_events("job.rendered") < half)
            counted = Counted(tree, options.pictures)
            often_busy = ask_often(address, pid, counted.is_more, RATE)
    rows = [
        (name, what, f"{len(times)}", *(f"{quantile(times, part):.1f}" for part in (0.5, 0.9, 0.99, 1.0)))
        for name, both in (("idle", idle), ("busy", busy))
        for what, times in zip(("/status", "asleep"), both, strict=True)
    ]
    table(("the tree", "what", "n", "p50", "p90", "p99", "max"), rows)
    print(f"The same at {RATE:.0f} requests a second; the goals are a p99 below 10 ms (idle) and 20 ms (busy).\n")
    often = [
        (
            name,
            f"{len(times)}",
            f"{failed}",
            *(f"{quantile(times, part):.1f}" for part in (0.5, 0.9, 0.99, 1.0)),
            f"{cpu:.2f}",
        )
        for name, (times, failed, cpu) in (("idle", often_idle), ("busy", often_busy))
    ]
    table(("the tree", "n", "failed", "p50", "p90", "p99", "max", "CPU of health a request"), often)


class Counted:
    """Whether there are pictures left to render, looked at twice a second: it is asked before each request."""

    def __init__(self, tree: Tree, pictures: int) -> None:
        self._tree, self._pictures = tree, pictures
        self._looked, self._is_more = 0.0, True

    def is_more(self) -> bool:
        if time.monotonic() - self._looked > 0.5:
            self._looked, self._is_more = time.monotonic(), self._tree.count_events("job.rendered") < self._pictures
        return self._is_more


if __name__ == "__main__":
    main()
