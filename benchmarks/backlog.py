"""What everything costs with a million pictures waiting, dead and published each, against a thousand of each.

The looks: two journals that differ in nothing but that. Those that wait are in all queues and in four channels; of
each three, one was never put off, one is put off for an hour, and one was put off and its time has come. Timed is what
the processes ask for again and again, each in turn on the one journal and on the other, and the way of a picture
through all its states. The ratio is that of the medians.

The tree: the real program on a state_dir with such a journal, whose waiting pictures are Telegram's, which nobody
fetches here. Photographs of an export come in on top. Timed are the pictures a second, as in `throughput`, and
meanwhile GET /status, as in `status`. The two take turns; the ratio is that of a pair.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from contextlib import closing
from functools import partial
from pathlib import Path
from urllib.parse import urlsplit

from benchmarks.common import SETTLE_SECONDS, Export, heading, make_export, moment, say, spread, table, workplace
from benchmarks.journal import CHANNEL, RENDITIONS, post
from benchmarks.status import ask_while, quantile, running_behind
from ipc.intake import take
from ipc.journal import Journal, lookup, queue, transitions
from ipc.journal import figures as journal_figures
from ipc.posts import Channel, Page
from ipc.transport.messages import JobDone
from tests.backlog import CHANNELS, fill_journal

QUEUES = ("telegram", "export", "render", "alone", "store", "write")
WAIT_SECONDS = 300.0


def fill(path: Path, count: int, queues: tuple[str, ...]) -> None:
    """Make a journal with `count` pictures waiting in these queues together, and as many dead and published ones."""
    waiting = {queue: count // len(queues) for queue in queues}
    fill_journal(path, {**waiting, "dead": count, "published": count})
    with closing(Journal.open(path)) as journal:
        take(journal, Page(Channel(CHANNEL, "Benchmark"), (), low=1, high=0, ignored={}), time.time())


# The looks


def looks(journal: Journal) -> dict[str, Callable[[], object]]:
    """What is asked of the journal again and again, by who asks it."""
    in_hand = [job.id for job in queue.first_to_fetch(journal, CHANNELS)]
    ids = range(1, 257)
    return {
        "connection: the next download": lambda: queue.first_to_fetch(journal, CHANNELS, in_hand),
        "connection: the next of an export": lambda: queue.due(journal, "seen", 16, source="export"),
        "connection: room in the spool": partial(journal_figures.spool_bytes, journal),
        "pool: what to give out": lambda: queue.due(journal, "fetched", 2),
        "pool: take claims back": partial(transitions.release_claims, journal),
        "uploader: what to store": lambda: queue.due(journal, "rendered", 64, stored=False),
        "uploader: whose row to write": lambda: queue.due(journal, "rendered", 64, stored=True),
        "uploader: 256 folders of the spool": lambda: lookup.unfinished(journal, ids),
        "health: the figures of /status": lambda: figures(journal),
        "a picture, from new to published": lambda: go_through(journal),
    }


def figures(journal: Journal) -> None:
    """What /status asks the journal."""
    with journal.reading():
        journal_figures.states(journal)
        journal_figures.totals(journal)
        journal_figures.channels(journal)
        journal_figures.waiting_for_retry(journal)
        journal_figures.spool_bytes(journal)
        journal_figures.last_failure(journal)
        journal_figures.quarantined(journal, 20)


def go_through(journal: Journal) -> None:
    """Take a new message in, and its picture from seen to published."""
    (channel,) = (one for one in journal_figures.channels(journal) if one["id"] == CHANNEL)
    number = channel["cursor"] + 1
    take(journal, Page(Channel(CHANNEL, "Benchmark"), (post(number),), number, number, {}), time.time())
    job = lookup.known(journal, CHANNEL, number)
    assert job is not None
    done = JobDone(job.id, job.generation, 0, "image/jpeg", "jpg", 1280, 960, RENDITIONS)
    went = (
        transitions.record_fetched(journal, [(job, f"{job.id:064x}", 200_000, None)])
        and transitions.claim(journal, job, "image-1")
        and transitions.record_rendered(journal, done)
        and transitions.record_stored(journal, [job])
        and transitions.record_published(journal, [job])
    )
    assert went, "nobody else has the job"


def time_looks(folder: Path, few: int, many: int, rounds: int) -> list[tuple[str, ...]]:
    """A line of the table for each look."""
    journals = []
    for count in (few, many):
        start = time.monotonic()
        fill(folder / f"{count}.db", count, QUEUES)
        say(f"a journal of 3 × {count:,} pictures: {time.monotonic() - start:.0f} s")
        journals.append(Journal.open(folder / f"{count}.db"))
    both = [looks(journal) for journal in journals]
    rows = []
    for name in both[0]:
        times: tuple[list[float], list[float]] = ([], [])
        for _ in range(rounds):
            for mine, look in zip(times, (both[0][name], both[1][name]), strict=True):
                start = time.perf_counter()
                look()
                mine.append(1000 * (time.perf_counter() - start))
        middle = [statistics.median(mine) for mine in times]
        rows.append((name, *(f"{one:.3f}" for one in middle), f"{middle[1] / middle[0]:.2f}"))
        say(" ".join(rows[-1]))
    for journal in journals:
        journal.close()
    return rows


# The tree


def run_tree(folder: Path, export: Export, count: int) -> tuple[float, float]:
    """Pictures a second, and the median milliseconds of GET /status meanwhile."""
    export.empty()
    with running_behind(folder, export, count) as tree:
        tree.wait_until_ready()
        time.sleep(SETTLE_SECONDS)
        address = urlsplit(tree.url() or "").netloc
        begun = moment(tree.feed(export))
        pictures = len(export.photographs)
        until = time.monotonic() + WAIT_SECONDS
        times, _ = ask_while(
            address, lambda: tree.count_events("job.published") < pictures and time.monotonic() < until
        )
        last = moment(tree.wait_until_published(pictures)[-1])
    return pictures / (last - begun), quantile(times, 0.5)


def time_tree(folder: Path, few: int, many: int, pictures: int, pairs: int) -> list[tuple[str, ...]]:
    """A line of the table for the pictures a second and for /status."""
    export = make_export(folder / "export", pictures)
    found = []
    for pair in range(pairs):
        found.append([run_tree(folder / f"tree-{pair}-{count}", export, count) for count in (few, many)])
        say(" ".join(f"{rate:.2f}/s, /status {milliseconds:.1f} ms" for rate, milliseconds in found[-1]))
    rows = []
    for index, name in enumerate(("pictures a second", "GET /status, ms (median of a run)")):
        columns = [[run[side][index] for run in found] for side in (0, 1)]
        ratios = [much / little for little, much in zip(*columns, strict=True)]
        figures = (spread(values) for values in (*columns, ratios))
        rows.append((name, *(f"{middle} ({least}–{most})" for middle, least, most in figures)))
    return rows


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run backlog", description=__doc__.splitlines()[0])
    parser.add_argument("--few", type=int, default=1_000)
    parser.add_argument("--many", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=200)
    parser.add_argument("--pictures", type=int, default=40)
    parser.add_argument("--pairs", type=int, default=3)
    options = parser.parse_args()
    heading(
        "backlog",
        f"{options.few:,} and {options.many:,} pictures waiting, and as many dead and published each. Milliseconds,"
        f" medians of {options.rounds}. Then the whole tree, {options.pictures} JPEGs of 1280 pixels on top,"
        f" {options.pairs} pairs.",
    )
    titles = ("", f"{options.few:,} of each", f"{options.many:,} of each", "ratio")
    with workplace(900) as folder:
        table(titles, time_looks(folder, options.few, options.many, options.rounds))
        if options.pairs:
            table(titles, time_tree(folder, options.few, options.many, options.pictures, options.pairs))


if __name__ == "__main__":
    main()
