"""How long GET /status takes: while the image workers are busy, and in the same tree when it is idle.

One client, one request every 25 ms, a new connection for each as a probe or curl makes it; from connecting to the last
byte. The client is a process of the same machine and waits for a core like all others, which is inside the figures. How
long that is, is the baseline "asleep": by how much the client's own pauses between the requests were longer than they
should have been. A virtual machine whose host gives it less than its cores shows that here.
"""

from __future__ import annotations

import argparse
import http.client
import math
import time
from collections.abc import Callable
from urllib.parse import urlsplit

from benchmarks.common import heading, make_export, running, table, workplace

PAUSE_SECONDS = 0.025


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


def quantile(times: list[float], part: float) -> float:
    """The least of the times that so large a part of them does not exceed.

    >>> quantile([1.0, 2.0, 3.0, 4.0], 0.5)
    2.0
    """
    return sorted(times)[max(0, math.ceil(part * len(times)) - 1)]


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run status", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--idle", type=int, default=300, metavar="REQUESTS")
    options = parser.parse_args()
    with workplace(90) as folder:
        heading("status", f"GET /status while {options.pictures} JPEGs of 1280 pixels are rendered, and before. ms.")
        export = make_export(folder / "export", options.pictures)
        export.empty()
        with running(folder / "tree", export) as (tree, _):
            tree.wait_until_ready()
            tree.wait_until_idle()
            address = urlsplit(tree.url() or "").netloc
            left = iter(range(options.idle))
            idle = ask_while(address, lambda: next(left, None) is not None)
            tree.feed(export)
            busy = ask_while(address, lambda: tree.count("rendered") < options.pictures)
    rows = [
        (name, what, f"{len(times)}", *(f"{quantile(times, part):.1f}" for part in (0.5, 0.9, 0.99, 1.0)))
        for name, both in (("idle", idle), ("busy", busy))
        for what, times in zip(("/status", "asleep"), both, strict=True)
    ]
    table(("the tree", "what", "n", "p50", "p90", "p99", "max"), rows)


if __name__ == "__main__":
    main()
