"""The state machine: every change of a job, each arrow one function, in the order of the flow.

       see          record_fetched        record_rendered         record_stored, record_published
    ────────► seen ────────────────► fetched ──────────────► rendered ───────────────────────────► published
               ▲                      │   ▲                   │ │  ▲                                  │
               ├── doubt, send_back ──┘   └── render_again ───┘ │  └─── edit, write_again, withdraw ──┘
               └──────────────────── send_back ─────────────────┘

    seen, fetched, rendered ── bury; fail, when its attempts are used up ──► dead
    published ── renew ──► seen or fetched, as a new generation; restored by edit, bury and restore
    dead ── revive, revive_changed ──► the state in which it died
    any state ── change_picture ──► seen, as a new generation
    any state ── withdraw ──► rendered, as a tombstone

The state stays: relocate, edit (unless published), claim, release, strike, postpone, fail (while attempts are left).

Promises. An arrow is one transaction, and it applies only to the job, generation and state that its caller saw: the
second caller changes nothing and gets False. The arrows of the intake (see, change_picture, relocate, edit, withdraw,
revive_changed) run in its transaction, together with the channel's cursor: a lost tail of the file (power cut,
synchronous=NORMAL) only moves the cursor back, and the repeated work is idempotent.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import astuple
from itertools import islice
from types import MappingProxyType
from typing import Any, Literal

import msgpack

from ipc import failpoints
from ipc.jobs import DeadCause, Job, Rendition
from ipc.journal import Journal, arrows, changes, statistics
from ipc.journal.life import CONNECTION, OPERATOR, POOL, UPLOADER, Step, number_of, record
from ipc.journal.statistics import Outcome
from ipc.posts import RENEWAL
from ipc.retry import RetryPolicy
from ipc.transport.messages import NOT_STRIPPED, JobDone, clip

POISON = "poison, set aside"
"""How the reason of a dead letter begins, for people, whose cause is `poison`."""

MAX_DOUBTS = 3
"""Downloads of an original after which one that can't be decoded is final, though its bytes differ each time."""

REVIVED_AT_ONCE = 1000
"""Dead letters that are brought back in one transaction: every other writer waits for it."""


# Into the flow: the intake's, in its transaction


def see(
    journal: Journal,
    channel_id: int,
    message_id: int,
    priority: int,
    message: Mapping[str, Any],
    picture: Mapping[str, Any],
    now: float,
) -> None:
    """(new) → seen. The message has no job yet. `message` and `picture` are columns of its job."""
    address = {"channel_id": channel_id, "message_id": message_id, "priority": priority}
    journal.run("add_job", **message, **picture, **address, now=int(now), step=record(Step.SEEN, CONNECTION, now))


def change_picture(journal: Journal, job: Job, message: Mapping[str, Any], picture: Mapping[str, Any]) -> None:
    """(any state) → seen, as a new generation. The message has another picture, or has one again."""
    arrows.move(journal, "change_picture", Step.CHANGED, **message, **picture, id=job.id)
    _drop_renewal(journal, job)


def relocate(journal: Journal, job: Job, picture: Mapping[str, Any]) -> None:
    """(any state) → the same. The same picture lies elsewhere, or another source has it too."""
    arrows.move(journal, "relocate", Step.MOVED, **picture, id=job.id)


def edit(journal: Journal, job: Job, message: Mapping[str, Any]) -> None:
    """published → rendered; any other state → the same. The message was edited, its picture is the same.

    One that is rendered anew is what it was before: its row must not wait for that. Then it is rendered anew again.
    """
    arrows.move(journal, "edit_message", Step.EDITED, **message, id=job.id)
    if job.priority == RENEWAL and _restored(journal, job, "rendered"):
        journal.run("move_renewal", id=job.id, stage="making", next_stage="wanted", now=0.0, reason=None)


def withdraw(journal: Journal, job: Job, revision: int, now: float) -> None:
    """(any state) → rendered, as a tombstone. The message is gone: only its row is left to be written."""
    step = record(Step.WITHDRAWN, CONNECTION, now)
    journal.run("withdraw", id=job.id, revision=revision, now=int(now), step=step)
    _drop_renewal(journal, job)


def _drop_renewal(journal: Journal, job: Job) -> None:
    """Its picture is not rendered anew any more: there is another one, or none."""
    for dropped in journal.run("drop_renewal", id=job.id).fetchall():
        if dropped["step"] == "making":
            journal.run("set_priority", id=job.id, priority=dropped["priority"])


# seen → fetched → rendered → published


def record_fetched(journal: Journal, fetched: Iterable[tuple[Job, str, int, float | None]]) -> set[int]:
    """seen → fetched for these jobs, in one transaction: their originals are in the spool, complete and fsynced.

    With each job its original's sha256, bytes, and the seconds that fetching took. The ids of those it applied to.
    """
    step = record(Step.FETCHED, CONNECTION, journal.clock())
    took: dict[int, float | None] = {}
    with journal.transaction():
        for job, sha256, size_bytes, seconds in fetched:
            values = {"id": job.id, "generation": job.generation, "sha256": sha256, "bytes": size_bytes}
            if journal.run("to_fetched", **values, step=step).rowcount == 1:
                took[job.id] = seconds
        statistics.note_done(journal, "fetch", list(took.values()))
    return set(took)


def claim(journal: Journal, job: Job, worker: str) -> bool:
    """fetched → fetched, claimed. No worker has the job. Comes before the worker gets it, so that its death counts."""
    values: dict[str, Any] = {"id": job.id, "generation": job.generation, "worker": worker}
    return arrows.apply(journal, "claim", Step.CLAIMED, number_of(worker), **values)


def release(journal: Journal, job: Job) -> bool:
    """fetched, claimed → fetched. The worker gives the job back untouched."""
    return arrows.apply(journal, "release", Step.RELEASED, POOL, id=job.id, generation=job.generation)


def release_claims(journal: Journal) -> int:
    """fetched, claimed → fetched for all jobs. The pool that claimed them has ended. The number of jobs."""
    with journal.transaction():
        return journal.run("release_claims", step=record(Step.RELEASED, POOL, journal.clock())).rowcount


def record_rendered(journal: Journal, done: JobDone, worker: str = "", seconds: float | None = None) -> bool:
    """fetched → rendered. All renditions are in the spool, complete and fsynced, `seconds` after the worker got it."""
    return arrows.apply(
        journal,
        "to_rendered",
        Step.RENDERED,
        number_of(worker),
        took=("render", seconds),
        total="encoder_fallbacks",
        by=done.fallbacks,
        id=done.job_id,
        generation=done.generation,
        mime=done.mime,
        extension=done.extension,
        width=done.width,
        height=done.height,
        renditions=msgpack.packb(done.renditions),
        rendition_bytes=sum(one[3] for one in done.renditions) + max(0, done.stripped_bytes) + done.preview_bytes,
        recipe=done.recipe or None,
        appearance=msgpack.packb(done.appearance) if done.appearance else None,
        preview_bytes=done.preview_bytes,
        stripped_bytes=None if done.stripped_bytes == NOT_STRIPPED else done.stripped_bytes,
    )


def record_stored(
    journal: Journal,
    jobs: Iterable[Job],
    as_found: Mapping[int, tuple[Rendition, ...]] = MappingProxyType({}),
    seconds: float | None = None,
) -> list[Job]:
    """rendered → rendered, stored. Every object of these jobs is in the storage: their spool files are not needed.

    `Job.original` says what of each original is there. `as_found` are the renditions, by job, of those that found
    other ones there than theirs. `seconds` is what storing each took. The jobs it applied to. One transaction, as each
    waits for the disk.
    """
    jobs = list(jobs)
    with journal.transaction():
        for job in jobs:
            if job.id in as_found:
                packed = msgpack.packb([astuple(one) for one in as_found[job.id]])
                journal.run("correct_renditions", id=job.id, generation=job.generation, renditions=packed)
        by_id = {job.id: job for job in jobs}
        stored = arrows.apply_to_all(journal, "mark_stored", Step.STORED, by_id, "id", "generation", "original")
        statistics.note_done(journal, "store", [seconds] * len(stored))
    return stored


def record_published(
    journal: Journal, jobs: Iterable[Job], address: int | None = None, seconds: float | None = None
) -> list[Job]:
    """rendered, stored → published. The rows of these revisions are written.

    `address` is the number of what the URLs in the rows begin with, `seconds` is what writing each took. The jobs it
    applied to; of the others a newer revision has to be written. One transaction.
    """
    now = int(journal.clock())
    by_id = {job.id: job for job in jobs}
    values = {"now": now, "address": address}
    with journal.transaction():
        published = arrows.apply_to_all(
            journal, "to_published", Step.PUBLISHED, by_id, "id", "generation", "revision", **values
        )
        first = [job for job in published if job.published_at is None and job.deleted_at is None]
        journal.run("add_total", name="processed", by=len(first))
        _note_renewed(journal, published)
        changes.note(journal, published, now)
        statistics.note_done(journal, "write", [seconds] * len(published))
        statistics.note_published(journal, first, now)
    return published


# Back in the flow


def doubt(journal: Journal, job: Job, reason: str) -> bool:
    """fetched → seen. The original can't be decoded, and the same bytes have not been doubted before: fetch it again.

    False also if it was doubted MAX_DOUBTS times.
    """
    return arrows.apply(
        journal,
        "doubt",
        Step.DOUBTED,
        POOL,
        ended=("render", "doubted"),
        total="retried",
        id=job.id,
        generation=job.generation,
        reason=clip(reason),
        limit=MAX_DOUBTS,
    )


def send_back(journal: Journal, job: Job) -> bool:
    """fetched or rendered → seen. The spool has lost the job's files, and the message is not deleted."""
    values: dict[str, Any] = {"id": job.id, "generation": job.generation}
    return arrows.apply(
        journal, "back_to_seen", Step.LOST, arrows.taker_of(job), ended=(arrows.stage_of(job), "lost"), **values
    )


def render_again(journal: Journal, job: Job) -> bool:
    """rendered, not stored → fetched. The spool has lost the job's renditions, but not its original."""
    values: dict[str, Any] = {"id": job.id, "generation": job.generation}
    return arrows.apply(
        journal, "back_to_fetched", Step.RENDITIONS_LOST, UPLOADER, ended=(arrows.stage_of(job), "lost"), **values
    )


def write_again(journal: Journal, address: int | None, priority: int, limit: int) -> int:
    """published → rendered, stored, for `limit` jobs at most whose row is under that address. The number of jobs.

    The revision is in milliseconds of the clock, which outbids even a row of a journal that was lost.
    """
    now = int(journal.clock())
    values = {"address": address, "revision": 1000 * now, "priority": priority, "limit": limit}
    with journal.transaction():
        return journal.run("write_again", **values, now=now, step=record(Step.REWRITTEN, OPERATOR, now)).rowcount


# Rendered anew, while the row and the objects stay


def renew(journal: Journal, job: Job, state: Literal["seen", "fetched"], *, was_stripped: bool) -> bool:
    """published → `state`, as a new generation, behind everything else. Its renewal is wanted, and begins.

    "fetched": the original is in the spool, in the folder of the next generation; `was_stripped`: without metadata.
    """
    now = journal.clock()
    values = {"id": job.id, "generation": job.generation, "revision": job.revision}
    with journal.transaction():
        begun = journal.run("begin_renewal", **values, now=now, was_stripped=int(was_stripped)).rowcount == 1
        if begun:
            revision, step = 1000 * int(now), record(Step.RENEWED, UPLOADER, now)
            journal.run("to_renewed", id=job.id, state=state, revision=revision, priority=RENEWAL, step=step)
    return begun


def restore(journal: Journal, job: Job, reason: str) -> bool:
    """seen, fetched or rendered → published, as it was before its picture was to be rendered anew, which has failed.

    False: it was published for the first time, or has moved on.
    """
    if job.priority != RENEWAL:
        return False
    with journal.transaction():
        restored = _restored(journal, job, "published", stored=True)
        if restored:
            values = {"id": job.id, "stage": "making", "next_stage": "failed", "now": journal.clock()}
            journal.run("move_renewal", **values, reason=clip(reason))
    return restored


def _restored(journal: Journal, job: Job, state: str, *, stored: bool = False) -> bool:
    """Make it what it was before, in that state. `stored`: also if all of its new objects are there."""
    now = int(journal.clock())
    values = {"id": job.id, "generation": job.generation, "seen_in": job.state, "stored": int(stored), "now": now}
    step = record(Step.RESTORED, CONNECTION if state == "rendered" else arrows.taker_of(job), now)
    return journal.run("restore_renewal", **values, state=state, step=step).rowcount == 1


def _note_renewed(journal: Journal, published: Iterable[Job]) -> None:
    """The rows of those that were rendered anew name the new objects: the old ones may go, from now on."""
    if renewed := [job.id for job in published if job.priority == RENEWAL]:
        for row in journal.run("renewals_published", ids=json.dumps(renewed), now=journal.clock()).fetchall():
            journal.run("set_priority", id=row["job"], priority=row["priority"])
        journal.run("add_total", name="renewed", by=len(renewed))


# Failures


def postpone(journal: Journal, job: Job, seconds: float, reason: str) -> bool:
    """seen, fetched or rendered → the same, later. Not the job's fault (an outage): it keeps its attempts."""
    return arrows.apply(
        journal,
        "postpone",
        Step.POSTPONED,
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

    `alone`: with no other job at work, and under the larger memory cap.
    """
    return arrows.apply(
        journal,
        "strike",
        Step.STRUCK,
        POOL,
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
        Step.RETRIED,
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


def bury(journal: Journal, job: Job, reason: str, *, cause: DeadCause = "failure", is_failure: bool = True) -> bool:
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
        Step.DEAD,
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
    """dead → the state in which it died, with a clean record. The ids of those that were dead."""
    revived: list[int] = []
    ids = iter(job_ids)
    now = int(journal.clock())
    values = {"now": now, "step": record(Step.REVIVED, OPERATOR, now)}
    while some := list(islice(ids, REVIVED_AT_ONCE)):
        with journal.transaction():
            came_back = [job_id for job_id in some if journal.run("revive", id=job_id, **values).rowcount == 1]
            journal.run("add_total", name="retried", by=len(came_back))
        revived += came_back
    return revived


def revive_changed(journal: Journal, job: Job) -> bool:
    """dead, not of poison → the state in which it died. The message was edited, or its file lies elsewhere.

    In the intake's transaction.
    """
    is_revived = job.state == "dead" and arrows.move(journal, "revive_changed", Step.REVIVED, id=job.id)
    if is_revived:
        journal.run("add_total", name="retried", by=1)
    return is_revived
