"""What the idle tree holds in memory, by process: after 60 pictures, and after a warm start.

RSS counts a page that several processes share in each of them; PSS divides it among them, so its sum is what the tree
costs the machine. Both from /proc/PID/smaps_rollup, the peak of RSS from /proc/PID/status.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import Tree, heading, kind_of, make_export, running, table, workplace


@dataclass(frozen=True, slots=True)
class Held:
    """One process' memory, in MiB."""

    rss: float
    pss: float
    peak: float


def held_by(pid: int) -> Held:
    rollup, status = (fields_of(Path(f"/proc/{pid}/{name}")) for name in ("smaps_rollup", "status"))
    return Held(rollup["Rss"], rollup["Pss"], status["VmHWM"])


def fields_of(path: Path) -> dict[str, float]:
    """The fields of a /proc file that are given in kB, in MiB."""
    words = (line.split() for line in path.read_text(encoding="utf-8").splitlines())
    return {line[0].rstrip(":"): int(line[1]) / 1024 for line in words if len(line) == 3 and line[2] == "kB"}


def idle(tree: Tree) -> dict[str, Held]:
    """Wait until the tree is at rest; what each of its processes holds then."""
    tree.wait_until_ready()
    tree.wait_until_idle()
    return {name: held_by(pid) for name, pid in tree.living().items()}


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run memory", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=60)
    options = parser.parse_args()
    with workplace(90) as folder:
        heading(
            "memory",
            f"MiB of each process of the idle tree: after {options.pictures} JPEGs of 1280 pixels, and after a restart"
            " that finds them all published.",
        )
        export = make_export(folder / "export", options.pictures)
        with running(folder / "tree", export) as (tree, _):
            after = idle(tree)
        with running(folder / "tree", export) as (tree, _):
            warm = idle(tree)
    rows = [figures(name, warm[name], after[name]) for name in in_order(warm)]
    rows.append(figures("all", total(warm), total(after)))
    table(("process", "RSS, warm start", "PSS", "RSS, after pictures", "PSS", "peak RSS"), rows)


def in_order(names: Iterable[str]) -> list[str]:
    """The processes as the tree is drawn."""
    drawn = ("root", "health", "uploader", "pool", "image", "connection")
    return sorted(names, key=lambda name: (drawn.index(kind_of(name)), name))


def total(them: dict[str, Held]) -> Held:
    every = them.values()
    return Held(sum(one.rss for one in every), sum(one.pss for one in every), sum(one.peak for one in every))


def figures(name: str, warm: Held, after: Held) -> tuple[str, ...]:
    return (name, *(f"{value:.1f}" for value in (warm.rss, warm.pss, after.rss, after.pss, after.peak)))


if __name__ == "__main__":
    main()
