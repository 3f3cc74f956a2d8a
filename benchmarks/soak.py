"""The chaos suite for as long as asked: what the tree survives, how fast it is back, and what it gains with time.

A tree with a Telegram, an S3 and a Supabase of its own, pictures posted all the while, and the schedule of
`tests/chaos/schedule.py`: kill -9, SIGSEGV, SIGSTOP (with SIGCONT later or never), pictures that take all memory or all
time, somebody else who has the journal, services that fail. In the first two thirds everybody is hit, the root too; in
the last third only the image workers are, so that the others grow old, and show in memory and file descriptors what
they gain. At the end the invariants of the suite: nothing lost, doubled, orphaned or leaked.

Death to ready: from the signal to the "ready" of the next incarnation, pauses between quick restarts included; "at
once" are those that had none, for the child had lived for ten seconds.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections import Counter, defaultdict
from collections.abc import Iterable, Sequence
from typing import Any

from benchmarks.common import heading, kind_of, moment, percentile, say, table, workplace
from ipc import failpoints
from supervisor.processes.policy import STEADY_SECONDS
from tests.chaos import schedule
from tests.chaos.rage import COUNTED, Blow, Chaos, Sample, scene
from tests.chaos.schedule import CHILDREN, DECK, FOR_EVER, MINOR_DECK, Card
from tests.servers.objects import object_server
from tests.servers.rows import RowServer

MAJOR_DECK = (*2 * DECK, *(Card("freeze", child, FOR_EVER, FOR_EVER) for child in CHILDREN))
"""There is time here for everybody to be found to hang."""

NEWS_SECONDS = 10.0
"""From a blow to the log's word of it, at most: its supervisor may be frozen."""

WARM_SECONDS = 60.0
"""Memory is compared from this age on."""


def slope_per_hour(points: Sequence[tuple[float, float]]) -> float:
    """Of values at times in seconds: how much they rise in an hour, by least squares.

    >>> slope_per_hour([(0, 1), (3600, 2), (7200, 3)])
    1.0
    """
    times, values = [at for at, _ in points], [value for _, value in points]
    return 3600 * statistics.linear_regression(times, values).slope


def replacements(records: list[dict[str, Any]], blows: Sequence[Blow]) -> Iterable[tuple[str, float, bool]]:
    """Of each death: the child, the seconds until the next incarnation was ready, whether that was started at once.

    A death whose next incarnation died before it was ready is followed to the one that was; one that a death of the
    supervisor cut short is left out.
    """
    by_pid: dict[int, list[Blow]] = defaultdict(list)
    for blow in blows:
        by_pid[blow.pid].append(blow)
    waiting: dict[str, tuple[float, bool]] = {}
    for record in records:
        child = record.get("child", "")
        match record["event"]:
            case "child.exited" if record["cause"] != "asked":
                quick = child in waiting or record["lived_seconds"] < STEADY_SECONDS
                ended = moment(record)
                died = max((one.at for one in by_pid[record["pid"]] if one.at <= ended), default=0.0)
                died = died if ended - died < NEWS_SECONDS else ended  # a number may have been another's before
                waiting.setdefault(child, (died, not quick))
                if child == "pool":
                    waiting = {name: one for name, one in waiting.items() if not name.startswith("image")}
            case "child.ready" if child in waiting:
                died, at_once = waiting.pop(child)
                yield child, moment(record) - died, at_once
            case "supervisor.stop_begun":
                waiting.clear()
            case _:
                pass


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run soak", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--minutes", type=float, default=5.0)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--post-seconds", type=float, default=0.7, help="from one good picture to the next")
    parser.add_argument("--pace-seconds", type=float, default=1.0, help="from one step to the next")
    options = parser.parse_args()
    seconds = 60 * options.minutes
    with workplace(int(seconds) + 1200) as folder, object_server() as objects, RowServer() as rows:
        rows.apply_schema()
        heading("soak", f"{options.minutes:g} minutes, seed {options.seed}, a step every {options.pace_seconds:g} s.")
        with scene(folder / "tree", objects, rows, PICTUREDESK__LOG__LEVEL="info") as chaos:
            rage(chaos, options, seconds)
            verdict(chaos)


def rage(chaos: Chaos, options: argparse.Namespace, seconds: float) -> None:
    """Two thirds with all that there is, one third in which only image workers end."""
    chaos.begin()
    until = time.monotonic() + seconds
    points = tuple(failpoints.NAMES)
    major, minor = 2 * seconds / 3, seconds / 3
    pace, post = options.pace_seconds, options.post_seconds
    steps = schedule.make(options.seed, major, pace_seconds=pace, deck=MAJOR_DECK, failpoints=points)
    chaos.run(steps, seconds=major, post_seconds=post)
    say(f"the first part is over, {len(chaos.kinds)} pictures posted; {until - time.monotonic():.0f} s to go")
    steps = schedule.make(options.seed + 1, minor, pace_seconds=pace, deck=MINOR_DECK, root_dies=False)
    chaos.run(steps, seconds=minor, post_seconds=post)
    say("no more blows; waiting for everything to be published or dead")
    chaos.settle(seconds=900)


def verdict(chaos: Chaos) -> None:
    """Report, and hold it against the invariants."""
    chaos.assert_nothing_leaked()
    records = chaos.instance.records()
    chaos.finish()
    kinds = Counter(chaos.kinds.values())
    shot = chaos.done.pop("good pictures taken for poison", 0)
    print(
        f"{kinds['good']:,} good pictures, each published once ({shot} of them were taken for poison, their workers"
        f" having been shot twice, and were brought back with `retry`); {sum(kinds.values()) - kinds['good']} bad ones,"
        " each dead with its reason. Nothing lost, doubled, orphaned or leaked.\n"
    )
    report_survived(chaos, records)
    report_replacements(records, chaos.blows)
    report_roots(chaos, records)
    report_drift(chaos.samples)


def report_survived(chaos: Chaos, records: list[dict[str, Any]]) -> None:
    ended = Counter(
        (kind_of(one["child"]), one["cause"] if one["cause"] != "signalled" else one["what"].removeprefix("killed by "))
        for one in records
        if one["event"] == "child.exited" and one["cause"] != "asked"
    )
    ended[("root", "SIGKILL")] = len(chaos.roots)
    how = sorted({cause for _, cause in ended})
    who = sorted({kind for kind, _ in ended})
    rows = [(kind, *(str(ended[(kind, cause)] or "") for cause in how), str(_total(ended, kind))) for kind in who]
    print(f"Deaths survived: {sum(ended.values())}.\n")
    table(("whose", *how, "all"), rows)
    steps = ", ".join(f"{what} {count}" for what, count in sorted(chaos.done.items()))
    print(f"What was done: {steps}.\n")


def _total(ended: Counter[tuple[str, str]], kind: str) -> int:
    return sum(count for (one, _), count in ended.items() if one == kind)


def report_replacements(records: list[dict[str, Any]], blows: Sequence[Blow]) -> None:
    every: dict[str, list[float]] = defaultdict(list)
    at_once: dict[str, list[float]] = defaultdict(list)
    for child, seconds, was_at_once in replacements(records, blows):
        every[kind_of(child)].append(seconds)
        if was_at_once:
            at_once[kind_of(child)].append(seconds)
    rows = [(kind, *_in_short(at_once.get(kind, [])), *_in_short(every[kind])) for kind in sorted(every)]
    table(("death to ready, s", "at once, n", "median", "p99", "all, n", "median", "p99"), rows)


def _in_short(values: Sequence[float]) -> tuple[str, str, str]:
    if not values:
        return "0", "", ""
    return str(len(values)), f"{statistics.median(values):.2f}", f"{percentile(values, 0.99):.2f}"


def report_roots(chaos: Chaos, records: list[dict[str, Any]]) -> None:
    """From the start of a root to its whole tree's being ready; only of those that lived to see it."""
    ready = [(moment(one), one["child"]) for one in records if one["event"] == "child.ready"]
    times = []
    starts = [started for _, started in chaos.roots]
    for started, until in zip(starts, [*starts[1:], float("inf")], strict=True):
        first: dict[str, float] = {}
        for at, child in ready:
            if started <= at < until:
                first.setdefault(child, at)
        if first.keys() >= set(CHILDREN):
            times.append(max(first.values()) - started)
    if times:
        print(f"A root started anew to all ready: median {statistics.median(times):.2f} s, {len(times)} times.\n")


def report_drift(samples: list[Sample]) -> None:
    """Of the process of each kind that has lived longest: it has seen the whole last third."""
    rows = []
    for name in COUNTED:
        lives: dict[tuple[int, int], list[Sample]] = defaultdict(list)
        for one in samples:
            if one.name == name and one.age_seconds > WARM_SECONDS:
                lives[one.pid, round((one.at - one.age_seconds) / 10)].append(one)
        oldest = max(lives.values(), key=len, default=[])
        if len(oldest) > 2:
            first, last = oldest[0], oldest[-1]
            memory = slope_per_hour([(one.at, one.rss_bytes / 2**20) for one in oldest])
            rows.append(
                (
                    name,
                    f"{(last.at - first.at) / 60:.1f}",
                    f"{first.rss_bytes / 2**20:.1f}",
                    f"{last.rss_bytes / 2**20:.1f}",
                    f"{memory:+.1f}",
                    str(first.fds),
                    str(last.fds),
                )
            )
    table(("process", "minutes", "RSS, MiB", "at the end", "slope, MiB/h", "file descriptors", "at the end"), rows)


if __name__ == "__main__":
    main()
