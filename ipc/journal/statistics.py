"""How long the work takes and how it ends: counters that outlive every process, kept in the transition's transaction.

`transitions` notes what each stage did, health what ended. Everything here reads a few rows, however many jobs there
are.
"""

from __future__ import annotations

import math
from bisect import bisect_left
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, get_args

from ipc.jobs import Job
from ipc.journal import Journal
from ipc.posts import LIVE

Stage = Literal["fetch", "render", "store", "write"]
STAGES: tuple[Stage, ...] = get_args(Stage)

Outcome = Literal["done", "retried", "postponed", "doubted", "lost", "left_out", "dead", "poison"]
OUTCOMES: tuple[Outcome, ...] = get_args(Outcome)
"""How the work of a stage on one picture ended.

`retried`: it failed, and is tried again. `postponed`: an outage, not the picture's fault. `doubted`: the original can't
be decoded and is fetched again. `lost`: the spool had lost its files. `left_out`: the source was told not to have it.
`dead`: it became a dead letter, `poison`: since it killed its workers.
"""

STAGE_BOUNDS = (0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 300.0)
POST_TO_ROW_BOUNDS = (1.0, 2.0, 3.0, 5.0, 10.0, 20.0, 30.0, 60.0, 120.0, 300.0, 600.0, 1800.0, 3600.0, 21600.0, 86400.0)
"""Upper bounds of the histograms, in seconds."""

POST_TO_ROW = "post_to_row"


@dataclass(frozen=True, slots=True)
class Histogram:
    """`counts[i]` samples were at most `bounds[i]` seconds and more than the bound before; the last count is of those
    above all bounds. `sum` is that of all samples.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    sum: float

    @property
    def count(self) -> int:
        return sum(self.counts)

    def quantile(self, share: float) -> float | None:
        """The seconds that this share of the samples did not exceed, interpolated within its bucket; None without
        samples. Above the last bound it is that bound.

        >>> Histogram((1.0, 2.0), (1, 1, 0), 2.5).quantile(0.75)
        1.5
        """
        if not (left := share * self.count):
            return None
        for count, low, high in zip(self.counts, (0.0, *self.bounds), self.bounds, strict=False):
            if left <= count:
                return low + (high - low) * left / count
            left -= count
        return self.bounds[-1]


NO_POSTS = Histogram(POST_TO_ROW_BOUNDS, (0,) * (len(POST_TO_ROW_BOUNDS) + 1), 0.0)
"""What `post_to_row` is before there was one."""


# What is read


def stages(journal: Journal) -> Mapping[Stage, Histogram]:
    """Seconds of the work of one picture, by stage, from when a process took it up to its success."""
    found: dict[str, list[tuple[float, int, float]]] = {}
    for name, *row in journal.run("durations"):
        found.setdefault(name, []).append(tuple(row))
    return {stage: _histogram(found.get(stage, ()), STAGE_BOUNDS) for stage in STAGES}


def post_to_row(journal: Journal) -> Histogram:
    """Seconds from the posting of a live post to its row. Backfill, exports and edits are not in it."""
    return _histogram(journal.run("durations_of", name=POST_TO_ROW), POST_TO_ROW_BOUNDS)


def outcomes(journal: Journal) -> Mapping[tuple[Stage, Outcome], int]:
    """How often the work of each stage ended in each way; every pair is there."""
    found: Counter[tuple[str, str]] = Counter()
    for stage, outcome, count in journal.run("outcomes"):
        found[stage, outcome] += count
    return {(stage, outcome): found[stage, outcome] for stage in STAGES for outcome in OUTCOMES}


def restarts(journal: Journal) -> Mapping[tuple[str, str], int]:
    """How often each child ended of each cause (see `ipc.transport.exits.Cause`)."""
    return {(row["child"], row["cause"]): row["count"] for row in journal.run("restarts")}


def minutes(journal: Journal, since: int) -> list[tuple[int, int]]:
    """The minutes from Unix second `since` to now: the Unix second at which each begins, and the number of pictures
    first published in it, in order. Minutes without any are left out. They are kept for three days.
    """
    rows = journal.run("minutes", first=since // 60, last=int(journal.clock()) // 60)
    return [(60 * row["minute"], row["published"]) for row in rows]


def hours(journal: Journal) -> Mapping[int, list[tuple[int, int]]]:
    """The last 24 hours, the current one included, by channel: the Unix second at which each begins, and the number of
    pictures first published in it, in order. Hours without any are left out.
    """
    last = int(journal.clock()) // 3600
    found: dict[int, list[tuple[int, int]]] = {}
    for row in sorted(journal.run("hours", first=last - 23, last=last), key=tuple):
        found.setdefault(row["channel_id"], []).append((3600 * row["hour"], row["published"]))
    return found


def oldest_waiting_seconds(journal: Journal, now: float) -> float:
    """How long the oldest picture that is neither published nor dead has waited; 0 if none waits.

    An edit of a published picture waits from the edit on.
    """
    (since,) = journal.run("oldest_waiting").fetchone()
    return 0.0 if since is None else max(0.0, now - since)


def _histogram(rows: Iterable[Sequence[Any]], bounds: tuple[float, ...]) -> Histogram:
    """The histogram of rows of bound, count, seconds. A bound of an earlier version counts to the next of today's."""
    counts, total = [0] * (len(bounds) + 1), 0.0
    for bound, count, seconds in rows:
        counts[bisect_left(bounds, bound)] += count
        total += seconds
    return Histogram(bounds, tuple(counts), total)


# What is noted, in the caller's transaction


def note_outcome(journal: Journal, stage: Stage, outcome: Outcome, by: int = 1) -> None:
    """The work of a stage on `by` pictures ended so."""
    if by:
        journal.run("add_outcome", stage=stage, outcome=outcome, by=by)


def note_done(journal: Journal, stage: Stage, seconds: Sequence[float | None]) -> None:
    """The work of a stage succeeded, on one picture each; None: how long it took was not measured."""
    known = [one for one in seconds if one is not None]
    _add_durations(journal, stage, STAGE_BOUNDS, known)
    note_outcome(journal, stage, "done", len(seconds) - len(known))


def note_published(journal: Journal, jobs: Iterable[Job], now: int) -> None:
    """The rows of these jobs were written for the first time."""
    by_channel = Counter(job.channel_id for job in jobs)
    if not by_channel:
        return
    journal.run("add_to_minute", minute=now // 60, by=by_channel.total())
    for channel, count in by_channel.items():
        journal.run("add_to_hour", channel=channel, hour=now // 3600, by=count, now=now)
    live = [max(0.0, now - job.posted_at) for job in jobs if job.priority == LIVE and job.source == "telegram"]
    _add_durations(journal, POST_TO_ROW, POST_TO_ROW_BOUNDS, live)


def note_end(journal: Journal, child: str, cause: str, at: int, lived_seconds: float) -> bool:
    """A process of the child ended at Unix second `at`. False: that is counted already."""
    is_new = journal.run("add_end", child=child, at=at, lived_seconds=lived_seconds).rowcount == 1
    if is_new:
        journal.run("add_restart", child=child, cause=cause)
    return is_new


def _add_durations(journal: Journal, name: str, bounds: tuple[float, ...], samples: Iterable[float]) -> None:
    """One statement a bucket that gets some."""
    buckets: dict[int, tuple[int, float]] = {}
    for seconds in samples:
        bucket = bisect_left(bounds, seconds)
        count, total = buckets.get(bucket, (0, 0.0))
        buckets[bucket] = (count + 1, total + seconds)
    for bucket, (count, total) in buckets.items():
        bound = bounds[bucket] if bucket < len(bounds) else math.inf
        journal.run("add_durations", name=name, bound=bound, by=count, seconds=total)
