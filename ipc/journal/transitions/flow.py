"""From seen to published, and back: where files are lost, or a row is to be written again."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import astuple
from types import MappingProxyType
from typing import Any

import msgpack

from ipc.jobs import Job, Rendition
from ipc.journal import Journal, statistics
from ipc.journal.life import CONNECTION, OPERATOR, POOL, UPLOADER, LifeStep, number_of, record
from ipc.journal.outputs import changes, takedowns
from ipc.journal.transitions import arrows, hiding, renewing
from ipc.transport.messages import NOT_STRIPPED, JobDone, clip

MAX_DOUBTS = 3
"""Downloads of an original after which one that can't be decoded is final, though its bytes differ each time."""


def record_fetched(journal: Journal, fetched: Iterable[tuple[Job, str, int, float | None]]) -> set[int]:
    """seen → fetched for these jobs, in one transaction: their originals are in the spool, complete and fsynced.

    With each job its original's sha256, bytes, and the seconds that fetching took. The ids of those it applied to, but
    for those whose picture is blocked: they go no further.
    """
    fetched = list(fetched)
    step = record(LifeStep.FETCHED, CONNECTION, journal.clock())
    took: dict[int, float | None] = {}
    with journal.transaction():
        for job, sha256, size_bytes, seconds in fetched:
            values = {"id": job.id, "generation": job.generation, "sha256": sha256, "bytes": size_bytes}
            if journal.run("to_fetched", **values, step=step).rowcount == 1:
                took[job.id] = seconds
        kept_out = hiding.blocked(journal, {sha256 for _, sha256, _, _ in fetched})
        for job, sha256, _, _ in fetched:
            if sha256 in kept_out and job.id in took:
                del took[job.id]
                hiding.block(journal, _as_is(journal, job), sha256, journal.clock())
        statistics.note_done(journal, "fetch", list(took.values()))
    return set(took)


def claim(journal: Journal, job: Job, worker: str) -> bool:
    """fetched → fetched, claimed. No worker has the job. Comes before the worker gets it, so that its death counts."""
    values: dict[str, Any] = {"id": job.id, "generation": job.generation, "worker": worker}
    return arrows.apply(journal, "claim", LifeStep.CLAIMED, number_of(worker), **values)


def release(journal: Journal, job: Job) -> bool:
    """fetched, claimed → fetched. The worker gives the job back untouched. One that is handed over is not its."""
    return arrows.apply(journal, "release", LifeStep.RELEASED, POOL, id=job.id, generation=job.generation)


def release_claims(journal: Journal) -> int:
    """fetched, claimed → fetched for all jobs. The pool that claimed them has ended. The number of jobs.

    Those that are handed over are other machines', and stay so.
    """
    with journal.transaction():
        return journal.run("release_claims", step=record(LifeStep.RELEASED, POOL, journal.clock())).rowcount


def record_rendered(journal: Journal, done: JobDone, worker: str = "", seconds: float | None = None) -> bool:
    """fetched → rendered. All renditions are in the spool, complete and fsynced, `seconds` after the worker got it."""
    return arrows.apply(
        journal,
        "to_rendered",
        LifeStep.RENDERED,
        number_of(worker),
        took=("render", seconds),
        total="encoder_fallbacks",
        by=done.fallbacks,
        id=done.job_id,
        generation=done.generation,
        **columns_of(done),
    )


def columns_of(done: JobDone) -> dict[str, Any]:
    """What the worker says of the picture, as the columns of its job."""
    return {
        "mime": done.mime,
        "extension": done.extension,
        "width": done.width,
        "height": done.height,
        "renditions": msgpack.packb(done.renditions),
        "rendition_bytes": sum(one[3] for one in done.renditions) + max(0, done.stripped_bytes) + done.preview_bytes,
        "recipe": done.recipe or None,
        "appearance": msgpack.packb(done.appearance) if done.appearance else None,
        "preview_bytes": done.preview_bytes,
        "stripped_bytes": None if done.stripped_bytes == NOT_STRIPPED else done.stripped_bytes,
    }


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
        stored = arrows.apply_to_all(journal, "mark_stored", LifeStep.STORED, by_id, "id", "generation", "original")
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
            journal, "to_published", LifeStep.PUBLISHED, by_id, "id", "generation", "revision", **values
        )
        first = [job for job in published if job.published_at is None and job.deleted_at is None]
        journal.run("add_total", name="processed", by=len(first))
        renewing.note_renewed(journal, published)
        changes.note(journal, published, now)
        takedowns.note(journal, published, now)
        statistics.note_done(journal, "write", [seconds] * len(published))
        statistics.note_published(journal, first, now)
    return published


def _as_is(journal: Journal, job: Job) -> Job:
    return Job.from_row(journal.run("job", id=job.id).fetchone())


# Back in the flow


def doubt(journal: Journal, job: Job, reason: str) -> bool:
    """fetched → seen. The original can't be decoded, and the same bytes have not been doubted before: fetch it again.

    False also if it was doubted MAX_DOUBTS times.
    """
    return arrows.apply(
        journal,
        "doubt",
        LifeStep.DOUBTED,
        arrows.taker_of(job),
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
        journal, "back_to_seen", LifeStep.LOST, arrows.taker_of(job), ended=(arrows.stage_of(job), "lost"), **values
    )


def render_again(journal: Journal, job: Job) -> bool:
    """rendered, not stored → fetched. The spool has lost the job's renditions, but not its original."""
    values: dict[str, Any] = {"id": job.id, "generation": job.generation}
    return arrows.apply(
        journal, "back_to_fetched", LifeStep.RENDITIONS_LOST, UPLOADER, ended=(arrows.stage_of(job), "lost"), **values
    )


def write_again(journal: Journal, address: int | None, priority: int, limit: int) -> int:
    """published → rendered, stored, for `limit` jobs at most whose row is under that address. The number of jobs.

    The revision is in milliseconds of the clock, which outbids even a row of a journal that was lost.
    """
    now = int(journal.clock())
    values = {"address": address, "revision": 1000 * now, "priority": priority, "limit": limit}
    with journal.transaction():
        return journal.run("write_again", **values, now=now, step=record(LifeStep.REWRITTEN, OPERATOR, now)).rowcount
