"""Pictures a second of the whole tree with all that follows a row, against the same tree with all of it off.

On: feeds, the gallery, a webhook that accepts everything, and takedown. Off: none of them. Both run as `throughput`
runs the tree: warm, on the same photographs, with files and SQLite, timed from the new connection's "ready" to the last
"published". They take turns, off, on, on, off, so that whatever else the machine does hits both, and neither is always
the second; the ratio is that of a pair.

What follows goes on after the last "published": how long until it has caught up is measured too.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

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
from benchmarks.throughput import KINDS, cpu_by_kind
from tests.instance import wait_for
from tests.servers.receiver import SECRET, Receiver

OFF = {
    "PICTUREDESK__SITE__ENABLED": "false",
    "PICTUREDESK__FEEDS__ENABLED": "false",
    "PICTUREDESK__STORAGE__TAKEDOWN_AFTER_SECONDS": "-1",
}
ON = {
    "PICTUREDESK__SITE__ENABLED": "true",
    "PICTUREDESK__FEEDS__ENABLED": "true",
    "PICTUREDESK__STORAGE__TAKEDOWN_AFTER_SECONDS": "60",
}


@dataclass(frozen=True, slots=True)
class Run:
    """Pictures a second, CPU milliseconds a picture by kind of process.

    `caught_up`: seconds from the last row until all had followed.
    """

    rate: float
    cpu: dict[str, float]
    caught_up: float = 0.0


def run(folder: Path, export: Export, more: dict[str, str], has_followed: Callable[[Tree], bool]) -> Run:
    """Have a new tree publish the photographs of the export, with `more` in its environment."""
    count = len(export.photographs)
    export.empty()
    with running(folder, export, PYTHON, **more) as (tree, _):
        tree.wait_until_ready()
        tree.wait_until_idle()
        ready = tree.feed(export)
        before = cpu_by_kind(tree)
        published = tree.wait_until_published(count)
        after = cpu_by_kind(tree)
        last = max(map(moment, published))
        wait_for("all that follows", lambda: has_followed(tree))
        cpu = {kind: 1000 * (after[kind] - before[kind]) / count for kind in KINDS}
        return Run(count / (last - moment(ready)), cpu, time.time() - last)


def shows(tree: Tree, count: int, receiver: Receiver) -> bool:
    """Whether each picture has its page, the feeds are written, and the webhook was told of all."""
    media = tree.state_dir / "media"
    pages = sum(1 for _ in media.glob("site/*/[0-9]*.html"))
    return pages == count and (media / "feeds/all.xml").exists() and len(receiver.requests) >= count


def with_all(folder: Path, export: Export) -> Run:
    count = len(export.photographs)
    with Receiver() as receiver:
        webhook = f'[{{"url": "{receiver.url}", "secret": "{SECRET}"}}]'
        return run(folder, export, {**ON, "PICTUREDESK__WEBHOOK": webhook}, lambda tree: shows(tree, count, receiver))


def pair_of(folder: Path, export: Export, *, is_off_first: bool) -> tuple[Run, Run]:
    """Off and on, in either order."""
    folder.mkdir()
    if is_off_first:
        off = run(folder / "off", export, OFF, lambda _: True)
        return off, with_all(folder / "on", export)
    on = with_all(folder / "on", export)
    return run(folder / "off", export, OFF, lambda _: True), on


def report(pairs: list[tuple[Run, Run]]) -> None:
    rows = [
        (str(number), f"{off.rate:.2f}", f"{on.rate:.2f}", f"{on.rate / off.rate:.3f}", f"{on.caught_up:.1f}")
        for number, (off, on) in enumerate(pairs, 1)
    ]
    table(("pair", "off, pictures/s", "on, pictures/s", "on / off", "until all have followed, s"), rows)
    middle, least, most = spread([on.rate / off.rate for off, on in pairs], 3)
    print(f"Ratio on / off: median **{middle}**, min {least}, max {most}; the goal is 0.9.\n")
    shares = []
    for kind in KINDS:
        off, on = (statistics.median(pair[which].cpu[kind] for pair in pairs) for which in (0, 1))
        shares.append((kind, f"{off:.1f}", f"{on:.1f}"))
    table(("CPU of (median, ms a picture)", "off", "on"), shares)


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run outputs", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=60)
    parser.add_argument("--pairs", type=int, default=4)
    options = parser.parse_args()
    with workplace(120 + 90 * options.pairs) as folder:
        export = make_export(folder / "export", options.pictures)
        heading(
            "outputs",
            f"{options.pictures} JPEGs of 1280 pixels, {len(image_specs())} image workers. On: feeds, gallery, one"
            " webhook, takedown; off: none of them.",
        )
        pairs = []
        for number in range(1, options.pairs + 1):
            off, on = pair_of(folder / f"{number}", export, is_off_first=number % 2 == 1)
            pairs.append((off, on))
            say(f"pair {number} of {options.pairs}: on / off {on.rate / off.rate:.3f}")
        report(pairs)


if __name__ == "__main__":
    main()
