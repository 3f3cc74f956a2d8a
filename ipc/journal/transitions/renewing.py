"""What is rendered anew, while its row and its objects stay."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

from ipc.jobs import Job
from ipc.journal import Journal
from ipc.journal.life import CONNECTION, UPLOADER, LifeStep, record
from ipc.journal.transitions import arrows
from ipc.posts import RENEWAL
from ipc.transport.messages import clip


def renew(journal: Journal, job: Job, state: Literal["seen", "fetched"], *, was_stripped: bool) -> bool:
    """published → `state`, as a new generation, behind everything else. Its renewal is wanted, and begins.

    "fetched": the original is in the spool, in the folder of the next generation; `was_stripped`: without metadata.
    """
    now = journal.clock()
    values = {"id": job.id, "generation": job.generation, "revision": job.revision}
    with journal.transaction():
        begun = journal.run("begin_renewal", **values, now=now, was_stripped=int(was_stripped)).rowcount == 1
        if begun:
            revision, step = 1000 * int(now), record(LifeStep.RENEWED, UPLOADER, now)
            journal.run("to_renewed", id=job.id, state=state, revision=revision, priority=RENEWAL, step=step)
    return begun


def restore(journal: Journal, job: Job, reason: str) -> bool:
    """seen, fetched or rendered → published, as it was before its picture was to be rendered anew, which has failed.

    False: it was published for the first time, or has moved on.
    """
    if job.priority != RENEWAL:
        return False
    with journal.transaction():
        restored = put_back(journal, job, "published", stored=True)
        if restored:
            values = {"id": job.id, "stage": "making", "next_stage": "failed", "now": journal.clock()}
            journal.run("move_renewal", **values, reason=clip(reason))
    return restored


# In the caller's transaction


def put_back(journal: Journal, job: Job, state: str, *, stored: bool = False) -> bool:
    """Make it what it was before, in that state. `stored`: also if all of its new objects are there."""
    now = int(journal.clock())
    values = {"id": job.id, "generation": job.generation, "seen_in": job.state, "stored": int(stored), "now": now}
    step = record(LifeStep.RESTORED, CONNECTION if state == "rendered" else arrows.taker_of(job), now)
    return journal.run("restore_renewal", **values, state=state, step=step).rowcount == 1


def renew_later(journal: Journal, job: Job) -> bool:
    """Put a job that is being rendered anew back to what it was: first its row is written, then it begins once more."""
    is_restored = job.priority == RENEWAL and put_back(journal, job, "rendered")
    if is_restored:
        journal.run("move_renewal", id=job.id, stage="making", next_stage="wanted", now=0.0, reason=None)
    return is_restored


def drop_renewal(journal: Journal, job: Job) -> None:
    """Drop the job's renewal: there is another picture, or none."""
    for dropped in journal.run("drop_renewal", id=job.id).fetchall():
        if dropped["step"] == "making":
            journal.run("set_priority", id=job.id, priority=dropped["priority"])


def note_renewed(journal: Journal, published: Iterable[Job]) -> None:
    """The rows of those that were rendered anew name the new objects: the old ones may go, from now on."""
    if renewed := [job.id for job in published if job.priority == RENEWAL]:
        for row in journal.run("renewals_published", ids=json.dumps(renewed), now=journal.clock()).fetchall():
            journal.run("set_priority", id=row["job"], priority=row["priority"])
        journal.run("add_total", name="renewed", by=len(renewed))
