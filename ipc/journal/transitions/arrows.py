"""How an arrow of the state machine is applied: the job's row, its life, the counters and the statistics, in one go.

The modules beside it have the arrows themselves.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from ipc.jobs import Job
from ipc.journal import Journal, statistics
from ipc.journal.life import CONNECTION, POOL, UPLOADER, LifeStep, record
from ipc.journal.statistics import Outcome, Stage


def stage_of(job: Job) -> Stage:
    """The stage whose work is next, or was when the job was in hand."""
    if job.state == "rendered":
        return "write" if job.stored else "store"
    return "render" if job.state == "fetched" else "fetch"


def taker_of(job: Job) -> int:
    """The process that takes jobs in that state. One that is handed over is the uploader's, which hears of it."""
    if job.is_handed_over:
        return UPLOADER
    return {"fetched": POOL, "rendered": UPLOADER}.get(job.state, CONNECTION)


def move(journal: Journal, query: str, step: LifeStep, **values: Any) -> bool:
    """Run one arrow of the intake, in its transaction. False: it does not apply."""
    now = int(journal.clock())
    return journal.run(query, **values, now=now, step=record(step, CONNECTION, now)).rowcount == 1


def apply(
    journal: Journal,
    query: str,
    step: LifeStep,
    process: int,
    *,
    total: str | None = None,
    by: int = 1,
    is_failure: bool = True,
    ended: tuple[Stage, Outcome] | None = None,
    took: tuple[Stage, float | None] | None = None,
    **values: Any,
) -> bool:
    """Run one arrow, in its caller's transaction or one of its own. False: the job has moved on meanwhile.

    `total` is the counter that grows, `by` how much. An arrow with a reason is the last failure, unless `is_failure`
    says otherwise. `ended` or `took` is what the statistics get: the stage, and how its work ended or how many seconds
    it took.
    """
    now = journal.clock()
    with journal.transaction():
        changed = journal.run(query, **values, step=record(step, process, now)).rowcount == 1
        if changed and total and by:
            journal.run("add_total", name=total, by=by)
        if changed and is_failure and "reason" in values:
            journal.run("put_last_failure", at=int(now), job=values["id"], reason=values["reason"])
        if changed and ended:
            statistics.note_outcome(journal, *ended)
        if changed and took:
            statistics.note_done(journal, took[0], [took[1]])
    return changed


def apply_to_all(
    journal: Journal, query: str, step: LifeStep, by_id: Mapping[int, Job], *fields: str, **values: Any
) -> list[Job]:
    """Run one arrow of the uploader's for many jobs, each told by these fields. Those it applied to, in their order."""
    rows = json.dumps([[getattr(job, field) for field in fields] for job in by_id.values()])
    taken = record(step, UPLOADER, journal.clock())
    changed = {row["id"] for row in journal.run(query, jobs=rows, step=taken, **values).fetchall()}
    return [job for job_id, job in by_id.items() if job_id in changed]
