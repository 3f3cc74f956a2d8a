"""Put off, tried again, dead, and back from the dead."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import islice
from typing import Literal

from ipc import failpoints
from ipc.jobs import FailureCause, Job
from ipc.journal import Journal
from ipc.journal.life import OPERATOR, LifeStep, record
from ipc.journal.statistics import Outcome
from ipc.journal.transitions import arrows
from ipc.journal.transitions.renewing import restore
from ipc.retry import RetryPolicy
from ipc.transport.messages import clip

POISON = "poison, set aside"
"""Beginning of the reason, for people, of a dead letter whose cause is `poison`."""

REVIVED_AT_ONCE = 1000
"""Dead letters that are brought back in one transaction: every other writer waits for it."""


def postpone(journal: Journal, job: Job, seconds: float, reason: str) -> bool:
    """seen, fetched or rendered → the same, later. Not the job's fault (an outage): it keeps its attempts."""
    return arrows.apply(
        journal,
        "postpone",
        LifeStep.POSTPONED,
        arrows.taker_of(job),
        ended=(arrows.stage_of(job), "postponed"),
        id=job.id,
        generation=job.generation,
        state=job.state,
        next_at=journal.clock() + seconds,
        reason=clip(reason),
    )


def strike(journal: Journal, job: Job, reason: str, *, alone: bool) -> bool:
    """fetched, claimed → fetched. The job cost an image worker its life or its memory: it is tried again at once.

    `alone`: with no other job at work, and under the larger memory cap. Such a job is handed over to no other machine.
    """
    return arrows.apply(
        journal,
        "strike",
        LifeStep.STRUCK,
        arrows.taker_of(job),
        ended=("render", "retried"),
        total="retried",
        id=job.id,
        generation=job.generation,
        reason=clip(reason),
        alone=int(alone),
    )


def fail(
    journal: Journal, job: Job, reason: str, policy: RetryPolicy, *, alone: bool = False
) -> Literal["later", "dead", "moved on"]:
    """seen, fetched or rendered → the same, later, or → dead when the policy's attempts are used up.

    `alone`: as in `strike`. "moved on": the job is not where its caller saw it, and nothing was changed.
    """
    delay = policy.delay_seconds(job.attempts + 1, journal.random)
    if delay is None:
        buried = bury(journal, job, f"{reason} (after {job.attempts + 1} attempts)")
        return "dead" if buried else "moved on"
    put_off = arrows.apply(
        journal,
        "try_later",
        LifeStep.RETRIED,
        arrows.taker_of(job),
        ended=(arrows.stage_of(job), "retried"),
        total="retried",
        id=job.id,
        generation=job.generation,
        state=job.state,
        next_at=journal.clock() + delay,
        reason=clip(reason),
        alone=int(alone),
    )
    return "later" if put_off else "moved on"


def bury(journal: Journal, job: Job, reason: str, *, cause: FailureCause = "failure", is_failure: bool = True) -> bool:
    """seen, fetched or rendered → dead. Only the operator's retry, or an edit, brings it back.

    A job whose cause is `poison` comes back by the operator's retry only. `is_failure`: something went wrong, and is
    what /status shows as the last failure. One that was to be rendered anew is restored instead, which gives False: the
    job is not where its caller saw it any more.
    """
    if restore(journal, job, reason):
        return False
    outcome: Outcome = "left_out" if not is_failure else "poison" if cause == "poison" else "dead"
    failpoints.reach("dead.before")
    buried = arrows.apply(
        journal,
        "to_dead",
        LifeStep.DEAD,
        arrows.taker_of(job),
        ended=(arrows.stage_of(job), outcome),
        total="failed",
        id=job.id,
        generation=job.generation,
        state=job.state,
        is_failure=is_failure,
        cause=cause,
        reason=clip(reason),
    )
    failpoints.reach("dead.after")
    return buried


# Back from the dead


def revive(journal: Journal, job_ids: Iterable[int]) -> list[int]:
    """dead → the state in which it died, with a clean record; unless its picture is blocked. The ids of those."""
    revived: list[int] = []
    ids = iter(job_ids)
    while some := list(islice(ids, REVIVED_AT_ONCE)):
        with journal.transaction():
            revived += _revive_some(journal, some)
    return revived


def _revive_some(journal: Journal, job_ids: Iterable[int]) -> list[int]:
    now = int(journal.clock())
    values = {"now": now, "step": record(LifeStep.REVIVED, OPERATOR, now)}
    came_back = [job_id for job_id in job_ids if journal.run("revive", id=job_id, **values).rowcount == 1]
    journal.run("add_total", name="retried", by=len(came_back))
    return came_back


def revive_changed(journal: Journal, job: Job) -> bool:
    """dead, not of poison → the state in which it died. The message was edited, or its file lies elsewhere.

    In the intake's transaction.
    """
    is_revived = job.state == "dead" and arrows.move(journal, "revive_changed", LifeStep.REVIVED, id=job.id)
    if is_revived:
        journal.run("add_total", name="retried", by=1)
    return is_revived
