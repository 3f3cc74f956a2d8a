"""Transitions a second of the journal, against a bare loop of the least that SQLite can do for one.

A picture takes five: fetched, claimed, rendered, stored, published; each is one write transaction by `ipc.journal`, as
the processes of the tree call it. With three processes, each takes pictures of its own through all five, in one file.

The baseline, "bare": as many processes, each with a plain sqlite3 connection and the same pragmas, run as many
BEGIN IMMEDIATE, UPDATE of one column of one row by its id, COMMIT on a table of (id, state): no index but the key, no
trigger, no guard. It has as many finished rows as the journal. The two take turns; the ratio is that of a pair.

NORMAL and FULL are PRAGMA synchronous: the uploader's connection has FULL, all others NORMAL. `due` is the query that
finds the next 16 jobs for a process, once a picture is waiting in each state.
"""

from __future__ import annotations

import argparse
import multiprocessing
import sqlite3
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from multiprocessing.queues import SimpleQueue
from multiprocessing.synchronize import Barrier
from pathlib import Path

from benchmarks.common import heading, say, spread, table, workplace
from ipc.database import BUSY_SECONDS
from ipc.intake import take
from ipc.journal import Journal, lookup, queue, transitions
from ipc.journal import figures as journal_figures
from ipc.posts import Channel, Page, Photo, Post
from ipc.transport.messages import JobDone

STEPS = 5
WAIT_SECONDS = 60.0
CHANNEL = 1234567890
RENDITIONS = [[width, width * 3 // 4, name, 40_000] for width in (320, 640, 1280) for name in ("webp", "avif")]

FINISH = """
INSERT INTO jobs (channel_id, message_id, state, revision, digest, caption, entities, posted_at, generation, identity,
                  locator, sha256, bytes, mime, extension, width, height, renditions, rendition_bytes, stored, priority,
                  attempts, next_at, deaths, alone, seen_at, published_at, source)
WITH RECURSIVE numbers (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM numbers WHERE n < :rows)
SELECT :channel, n, 'published', 1, randomblob(16), 'caption ' || n, x'90', 1738404000, 1, 'file:' || n,
       randomblob(60), hex(randomblob(32)), 200000, 'image/jpeg', 'jpg', 1280, 960, randomblob(90), 240000, 1, 0, 0, 0,
       0, 0, 0, 0, 'export'
FROM numbers
"""


@dataclass(frozen=True, slots=True)
class Case:
    """What one line of the table measures."""

    processes: int
    finished: int
    synchronous: str


Work = Callable[[Path, Case, int, int, Barrier, SimpleQueue[tuple[float, float]]], None]
"""A process: file, case, first id, number of ids, when to begin; it puts its start and end (monotonic seconds)."""


# The journal


def make_journal(path: Path, finished: int) -> None:
    """A journal with `finished` published jobs."""
    journal = Journal.open(path)
    take(journal, Page(Channel(CHANNEL, "Benchmark"), (), low=1, high=0, ignored={}), time.time())
    journal.close()
    if finished:
        database = sqlite3.connect(path)
        database.execute(FINISH, {"rows": finished, "channel": CHANNEL})
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        database.close()


def add_seen(path: Path, count: int) -> int:
    """Take `count` new messages in; the id of the first one's job. The others follow it."""
    journal = Journal.open(path)
    known = max((channel["cursor"] for channel in journal_figures.channels(journal)), default=0)
    first = max(known, sum(journal_figures.states(journal).values())) + 1
    posts = tuple(post(number) for number in range(first, first + count))
    take(journal, Page(Channel(CHANNEL, "Benchmark"), posts, known + 1, first + count - 1, {}), time.time())
    job = lookup.known(journal, CHANNEL, first)
    journal.close()
    assert job is not None
    return job.id


def post(number: int) -> Post:
    locator: dict[str, str | int] = {"export": "/srv/export", "file": f"photos/photo_{number}@01-02-2025_10-00-00.jpg"}
    photo = Photo(None, f"file:{number}", locator, 200_000, 1280, 960, "image/jpeg", source="export")
    return Post(CHANNEL, number, 1_738_404_000, None, None, f"caption {number}", photo)


def go_through(
    path: Path, case: Case, first: int, count: int, barrier: Barrier, results: SimpleQueue[tuple[float, float]]
) -> None:
    """Take the jobs `first` to `first + count - 1` from seen to published."""
    journal = Journal.open(path, durable=case.synchronous == "FULL")
    jobs = [job for job in map(partial(lookup.job, journal), range(first, first + count)) if job is not None]
    barrier.wait(WAIT_SECONDS)
    start = time.monotonic()
    for job in jobs:
        done = JobDone(job.id, job.generation, 0, "image/jpeg", "jpg", 1280, 960, RENDITIONS)
        went = (
            transitions.record_fetched(journal, [(job, f"{job.id:064x}", 200_000, None)])
            and transitions.claim(journal, job, "image-1")
            and transitions.record_rendered(journal, done)
            and transitions.record_stored(journal, [job])
            and transitions.record_published(journal, [job])
        )
        if not went:
            raise SystemExit(f"picturedesk: job {job.id} did not get through")
    results.put((start, time.monotonic()))
    journal.close()


def time_due(path: Path) -> float:
    """Median milliseconds of the query for the next jobs, with some waiting in each state."""
    add_seen(path, 16)
    journal = Journal.open(path)
    times = []
    for _ in range(50):
        for state in ("seen", "fetched", "rendered"):
            start = time.perf_counter()
            queue.due(journal, state, 16)
            times.append(time.perf_counter() - start)
    journal.close()
    return 1000 * statistics.median(times)


# The baseline


def make_bare(path: Path, finished: int) -> None:
    database = bare(path, "NORMAL")
    database.execute("CREATE TABLE jobs (id INTEGER PRIMARY KEY, state TEXT NOT NULL) STRICT")
    database.execute("BEGIN")
    database.executemany("INSERT INTO jobs VALUES (?, 'published')", ((number,) for number in range(1, finished + 1)))
    database.execute("COMMIT")
    database.close()


def add_bare(path: Path, count: int) -> int:
    """Add `count` rows; the id of the first one."""
    database = bare(path, "NORMAL")
    first: int = database.execute("SELECT coalesce(max(id), 0) + 1 FROM jobs").fetchone()[0]
    database.execute("BEGIN")
    database.executemany("INSERT INTO jobs VALUES (?, 'seen')", ((number,) for number in range(first, first + count)))
    database.execute("COMMIT")
    database.close()
    return first


def bare(path: Path, synchronous: str) -> sqlite3.Connection:
    """A connection with the journal's pragmas."""
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None)
    database.execute("PRAGMA journal_mode = WAL")
    database.execute(f"PRAGMA synchronous = {synchronous}")
    database.execute("PRAGMA foreign_keys = ON")
    return database


def update(
    path: Path, case: Case, first: int, count: int, barrier: Barrier, results: SimpleQueue[tuple[float, float]]
) -> None:
    """Write each of the rows `first` to `first + count - 1` as often as a job has transitions."""
    database = bare(path, case.synchronous)
    barrier.wait(WAIT_SECONDS)
    start = time.monotonic()
    for number in range(first, first + count):
        for state in ("fetched", "claimed", "rendered", "stored", "published"):
            database.execute("BEGIN IMMEDIATE")
            database.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, number))
            database.execute("COMMIT")
    results.put((start, time.monotonic()))
    database.close()


# Both


def rate(work: Work, path: Path, case: Case, first: int, pictures: int) -> float:
    """Transitions a second of all processes together."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(case.processes)
    results: SimpleQueue[tuple[float, float]] = context.SimpleQueue()
    share = pictures // case.processes
    processes = [
        context.Process(target=work, args=(path, case, first + number * share, share, barrier, results), daemon=True)
        for number in range(case.processes)
    ]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
        if process.exitcode != 0:
            raise SystemExit(f"picturedesk: a process ended with {process.exitcode}")
    ends = [results.get() for _ in processes]
    return STEPS * share * case.processes / (max(end for _, end in ends) - min(start for start, _ in ends))


def main() -> None:
    parser = argparse.ArgumentParser(prog="benchmarks/run journal", description=__doc__.splitlines()[0])
    parser.add_argument("--pictures", type=int, default=900)
    parser.add_argument("--pairs", type=int, default=5)
    parser.add_argument("--finished", type=int, default=200_000)
    options = parser.parse_args()
    heading(
        "journal",
        f"Transitions a second, {options.pictures} pictures of {STEPS} each (a sixth of them with FULL),"
        f" {options.pairs} pairs,"
        f" SQLite {sqlite3.sqlite_version}. Median (min–max).",
    )
    rows, due = [], []
    with workplace(120) as folder:
        for finished in (0, options.finished):
            journal, plain = folder / f"journal-{finished}.db", folder / f"bare-{finished}.db"
            make_journal(journal, finished)
            make_bare(plain, finished)
            for synchronous, processes in (("NORMAL", 1), ("NORMAL", 3), ("FULL", 1), ("FULL", 3)):
                case = Case(processes, finished, synchronous)
                # A commit that waits for the disk takes some ten times as long.
                pictures = options.pictures if synchronous == "NORMAL" else options.pictures // 6
                pairs = [
                    (
                        rate(update, plain, case, add_bare(plain, pictures), pictures),
                        rate(go_through, journal, case, add_seen(journal, pictures), pictures),
                    )
                    for _ in range(options.pairs)
                ]
                rows.append(line(case, pairs))
                say(" ".join(rows[-1]))
            due.append(f"{time_due(journal):.3f} ms with {finished:,} finished rows")
    table(("finished rows", "synchronous", "processes", "bare", "journal", "journal / bare"), rows)
    print(f"`due`: {', '.join(due)}.\n")


def line(case: Case, pairs: list[tuple[float, float]]) -> tuple[str, ...]:
    columns = (
        spread([plain for plain, _ in pairs], 0),
        spread([journal for _, journal in pairs], 0),
        spread([journal / plain for plain, journal in pairs], 2),
    )
    figures = (f"{middle} ({least}–{most})" for middle, least, most in columns)
    return (f"{case.finished:,}", case.synchronous, str(case.processes), *figures)


if __name__ == "__main__":
    main()
