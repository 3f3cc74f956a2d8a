"""What another machine does with a picture: handed over, brought back, and its result.

A result is recorded by the arrows that our own workers' answers take, in the transaction of its page.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

from ipc.jobs import MACHINES, Job
from ipc.journal import Journal, statistics
from ipc.journal.leases import LEASE_SECONDS
from ipc.journal.life import UPLOADER, LifeStep, record
from ipc.journal.transitions import failures, flow, hiding
from ipc.machines.handover import Key
from ipc.machines.result import Dead, Published, Result
from ipc.transport.messages import clip

ResultEffect = Literal["published", "rendered", "dead", "fetched", "seen", "discarded"]
"""What a result has made of its job. rendered: its row is older than the message. fetched: it failed there, and our own
workers try it. seen: its original can't be decoded, and is fetched again. dead: nor could the same bytes before.
discarded: it changes nothing, since its claim has ended."""

_TOKEN_BYTES = 16
"""128 random bits: nobody guesses the name of an original in the bucket. What is before them tells each origin which
originals there are its own."""


def claim_for_machines(journal: Journal, jobs: Iterable[Job]) -> int:
    """fetched → fetched, claimed for other machines, in one transaction. How many it applied to.

    Not to one that is hidden, put off, rendered anew or to be alone, whose objects are being removed, or that a worker
    of ours has meanwhile.
    """
    now, origin = journal.clock(), journal.machine_id()
    step = record(LifeStep.HANDED_OVER, UPLOADER, now)
    claimed = 0
    with journal.transaction():
        for job in jobs:
            values = {"id": job.id, "generation": job.generation, "now": now, "lease_seconds": LEASE_SECONDS}
            if journal.run("claim_for_machines", **values, step=step).rowcount == 1:
                token = f"{origin}/{os.urandom(_TOKEN_BYTES).hex()}"
                journal.run("add_claim", id=job.id, token=token, now=now)
                claimed += 1
    return claimed


def bring_back(journal: Journal, numbers: Iterable[int]) -> int:
    """fetched, claimed for other machines → fetched, of the claims with these numbers. How many it applied to."""
    with journal.transaction():
        return sum(_bring_back(journal, number) for number in numbers)


def _bring_back(journal: Journal, number: int) -> bool:
    step = record(LifeStep.RELEASED, UPLOADER, journal.clock())
    return journal.run("from_machines", number=number, step=step).rowcount == 1


def record_results(
    journal: Journal, results: Iterable[tuple[Result, int | None]]
) -> list[tuple[ResultEffect, Job | None]]:
    """What other machines have made of these, in one transaction: they may be deleted there.

    How each ended, and its job as it was before; None if there is none of that generation.

    With one that is published comes the journal's number of the address in its row. A result that comes twice, or whose
    claim has ended, changes nothing.
    """
    with journal.transaction():
        return [_record_result(journal, result, address) for result, address in results]


def _record_result(journal: Journal, result: Result, address: int | None) -> tuple[ResultEffect, Job | None]:
    job = _job_of(journal, result.key)
    return ("discarded" if job is None else _end(journal, job, result, address)), job


def _end(journal: Journal, job: Job, result: Result, address: int | None) -> ResultEffect:
    has_claim = _has_claim(journal, job, result.key)
    if isinstance(result, Published):
        return _record_published(journal, job, result, address) if has_claim or job.state == "dead" else "discarded"
    if not has_claim:
        return "discarded"
    return _record_dead(journal, job, result) if isinstance(result, Dead) else _try_here(journal, job, result.reason)


def _job_of(journal: Journal, key: Key) -> Job | None:
    """The job, if it is ours and has the picture that was handed over."""
    if key.origin != journal.machine_id():
        return None
    row = journal.run("known_message", channel_id=key.channel_id, message_id=key.message_id).fetchone()
    return Job.from_row(row) if row and row["generation"] == key.generation else None


def _has_claim(journal: Journal, job: Job, key: Key) -> bool:
    row = journal.run("claim_of_job", job=job.id).fetchone()
    return job.claimed_by == MACHINES and row is not None and row["number"] == key.number


def _record_published(journal: Journal, job: Job, result: Published, address: int | None) -> ResultEffect:
    """fetched or dead → published, or → rendered, stored if the message was changed since.

    That the row of a dead letter is there is a fact, however that came about; so it is of one whose picture is blocked,
    which is hidden then. A row of another picture is not this job's: a journal that was restored from a backup may hear
    of what it handed over in its earlier life.
    """
    if result.sha256 not in ("", job.sha256):
        return "discarded"
    now = journal.clock()
    step = record(LifeStep.MADE, UPLOADER, now)
    values = {"id": job.id, "generation": job.generation, "original": result.original, "address": address}
    columns = flow.columns_of(result.done)
    if journal.run("to_made", **values, **columns, now=int(now), step=step).rowcount == 0:
        return "discarded"
    if result.done.fallbacks:
        journal.run("add_total", name="encoder_fallbacks", by=result.done.fallbacks)
    statistics.note_done(journal, "render", [None])
    statistics.note_done(journal, "store", [None])
    is_newest = result.revision == job.revision
    if is_newest:
        flow.record_published(journal, [job], address)
    if job.sha256 and hiding.blocked(journal, [job.sha256]):
        now_job = Job.from_row(journal.run("job", id=job.id).fetchone())
        hiding.hide(journal, now_job, "block", now)
        return "rendered"
    return "published" if is_newest else "rendered"


def _record_dead(journal: Journal, job: Job, result: Dead) -> ResultEffect:
    """fetched → the same: what a node could not fetch, render, store or write, our own workers try before it is dead.

    A node may have less memory than we, or be older than the catalogue, which refuses its rows alone. But an original
    that can't be decoded may have come damaged: → seen, as `flow.doubt` has it, and → dead with the same bytes again.
    """
    reason = clip(f"node {result.node}: {result.reason}")
    if not result.is_doubtful:
        return _try_here(journal, job, reason, is_poison=result.cause == "poison")
    if flow.doubt(journal, job, reason):
        return "seen"
    failures.bury(journal, job, reason, cause=result.cause)
    return "dead"


def _try_here(journal: Journal, job: Job, reason: str, *, is_poison: bool = False) -> ResultEffect:
    """Have our own workers do it: other machines don't get it again, so it can't go round for ever.

    A node may have had less memory than we, or have lost its bucket, so it costs no attempt. What may have killed it is
    tried alone here, and how often our own policy says.
    """
    if is_poison:
        failures.strike(journal, job, reason, alone=True)
    else:
        failures.postpone(journal, job, 0.0, reason)
    return "fetched"
