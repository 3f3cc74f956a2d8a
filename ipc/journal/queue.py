"""Which job is next. A statement reads the head of a queue: jobs that wait behind it cost nothing."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping

from ipc.jobs import Job, State
from ipc.journal import Journal
from ipc.posts import Source
from ipc.retry import FARTHEST_SECONDS

_QUEUES: Mapping[str, Mapping[object, tuple[str, ...]]] = {
    "seen": {
        "telegram": ("telegram",),
        "export": ("export",),
        "queue": ("queue",),
        None: ("telegram", "export", "queue"),
    },
    "fetched": {True: ("alone",), False: ("render",), None: ("render", "alone")},
    "rendered": {True: ("write",), False: ("store",), None: ("store", "write")},
}
"""The column `queue` by state, and by what `due` can be asked for there: source, alone, stored."""


def due(
    journal: Journal,
    state: State,
    limit: int,
    *,
    stored: bool | None = None,
    source: Source | None = None,
    exclude: Iterable[int] = (),
    alone: bool | None = None,
) -> list[Job]:
    """Up to `limit` jobs in `state` whose time has come and that no worker has claimed.

    By priority; of one priority first those that were put off, by their time, then the oldest.

    `stored` (of rendered jobs) selects those whose objects are stored already, or are not; `source` (of seen jobs)
    those whose picture it has; `alone` (of fetched jobs) those that must be alone, or need not. `exclude` leaves out
    the jobs of these ids.
    """
    now = journal.clock()
    asked = {"seen": source, "fetched": alone, "rendered": stored}.get(state)
    rows = journal.run(
        "due",
        queues=json.dumps(_QUEUES.get(state, {None: ()})[asked]),
        exclude=json.dumps(list(exclude)) if exclude else None,
        now=now,
        farthest=now + FARTHEST_SECONDS,
        limit=limit,
    )
    jobs = [Job.from_row(row) for row in rows]
    return sorted(jobs, key=lambda job: (job.priority, job.next_at == 0, job.next_at, job.id))


def jobs_before(journal: Journal, job: Job, limit: int) -> int | None:
    """How many jobs come before this one in its queue, `limit` at most; None if it is in none, claimed or put off.

    Those that were put off and whose time has come are not counted. For `why`: it reads them.
    """
    if job.queue is None or job.claimed_by or job.next_at:
        return None
    values = {"queue": job.queue, "priority": job.priority, "id": job.id, "limit": limit}
    return int(journal.run("jobs_before", **values).fetchone()[0])


def first_to_fetch(journal: Journal, channels: Iterable[int], exclude: Iterable[int] = ()) -> list[Job]:
    """The first jobs of each of these channels for Telegram to fetch: the first that was never put off, and for each
    priority the first that was. `exclude` leaves out the jobs of these ids.
    """
    now = journal.clock()
    rows = journal.run(
        "first_to_fetch",
        channels=json.dumps(list(channels)),
        exclude=json.dumps(list(exclude)),
        now=now,
        farthest=now + FARTHEST_SECONDS,
    )
    return [Job.from_row(row) for row in rows]
