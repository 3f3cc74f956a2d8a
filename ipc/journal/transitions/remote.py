"""What another machine does with a picture: handed over, brought back, and its result."""

from __future__ import annotations

import os
from collections.abc import Iterable
from typing import Literal

from ipc.jobs import MACHINES, Job
from ipc.journal import Journal, statistics
from ipc.journal.life import UPLOADER, Step, record
from ipc.journal.transitions import flow, hiding
from ipc.machines.handover import Key
from ipc.machines.result import Dead, Published
from ipc.transport.messages import clip

Ending = Literal["published", "rendered", "dead", "fetched", "seen", "discarded"]
"""What a result has made of its job. rendered: its row is older than the message. fetched: it failed with an older one.
seen: its original can't be decoded, and is fetched again. discarded: it changes nothing, since its claim has ended."""

_TOKEN_BYTES = 16
"""128 random bits: nobody guesses the name of an original in the bucket."""


def claim_for_machines(journal: Journal, jobs: Iterable[Job]) -> int:
    """fetched → fetched, claimed for other machines, in one transaction. How many it applied to.

    Not to one that is hidden, put off, rendered anew or to be alone, or that a worker of ours has meanwhile.
    """
    now = journal.clock()
    step = record(Step.HANDED_OVER, UPLOADER, now)
    claimed = 0
    with journal.transaction():
        for job in jobs:
            values = {"id": job.id, "generation": job.generation}
            if journal.run("claim_for_machines", **values, step=step).rowcount == 1:
                journal.run("add_claim", id=job.id, token=os.urandom(_TOKEN_BYTES).hex(), now=now)
                claimed += 1
    return claimed


def bring_back(journal: Journal, numbers: Iterable[int]) -> int:
    """fetched, claimed for other machines → fetched, of the claims with these numbers. How many it applied to."""
    with journal.transaction():
        return sum(_bring_back(journal, number) for number in numbers)


def _bring_back(journal: Journal, number: int) -> bool:
    step = record(Step.RELEASED, UPLOADER, journal.clock())
    return journal.run("from_machines", number=number, step=step).rowcount == 1


def record_results(
    journal: Journal, results: Iterable[tuple[Published | Dead, int | None]]
) -> list[tuple[Ending, Job | None]]:
    """What other machines have made of these, in one transaction: they may be deleted there.

    How each ended, and its job as it was before; None if there is none of that generation.

    With one that is published comes the journal's number of the address in its row. A result that comes twice, or whose
    claim has ended, changes nothing.
    """
    with journal.transaction():
        return [_record_result(journal, result, address) for result, address in results]


def _record_result(journal: Journal, result: Published | Dead, address: int | None) -> tuple[Ending, Job | None]:
    job = _job_of(journal, result.key)
    return ("discarded" if job is None else _end(journal, job, result, address)), job


def _end(journal: Journal, job: Job, result: Published | Dead, address: int | None) -> Ending:
    has_claim = _has_claim(journal, job, result.key)
    if isinstance(result, Dead):
        return _record_dead(journal, job, result) if has_claim else "discarded"
    if not has_claim and job.state != "dead":
        return "discarded"
    return _record_published(journal, job, result, address)


def _job_of(journal: Journal, key: Key) -> Job | None:
    """The job, if it is ours and has the picture that was handed over."""
    if key.origin != journal.machine_id():
        return None
    row = journal.run("known_message", channel_id=key.channel_id, message_id=key.message_id).fetchone()
    return Job.from_row(row) if row and row["generation"] == key.generation else None


def _has_claim(journal: Journal, job: Job, key: Key) -> bool:
    row = journal.run("claim_of_job", job=job.id).fetchone()
    return job.claimed_by == MACHINES and row is not None and row["number"] == key.number


def _record_published(journal: Journal, job: Job, result: Published, address: int | None) -> Ending:
    """fetched or dead → published, or → rendered, stored if the message was changed since.

    That the row of a dead letter is there is a fact, however that came about; so it is of one whose picture is blocked,
    which is hidden then.
    """
    now = journal.clock()
    step = record(Step.MADE, UPLOADER, now)
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
        flow.publish(journal, [job], address, None)
    if job.sha256 and hiding.blocked(journal, [job.sha256]):
        now_job = Job.from_row(journal.run("job", id=job.id).fetchone())
        hiding.hide(journal, now_job, "block", now)
        return "rendered"
    return "published" if is_newest else "rendered"


def _record_dead(journal: Journal, job: Job, result: Dead) -> Ending:
    """fetched → dead. But where the message was edited meanwhile, that may have mended the failure: → fetched.

    And where the original can't be decoded, it may have come damaged: → seen, as `flow.doubt` has it.
    """
    now = journal.clock()
    if result.revision != job.revision and result.cause != "poison":
        claim = journal.run("claim_of_job", job=job.id).fetchone()
        _bring_back(journal, claim["number"])
        journal.run("add_total", name="retried", by=1)
        statistics.note_outcome(journal, "render", "retried")
        return "fetched"
    reason = clip(f"node {result.node}: {result.reason}")
    journal.run("put_last_failure", at=int(now), job=job.id, reason=reason)
    if result.is_doubtful and _doubt(journal, job, reason):
        return "seen"
    values = {"id": job.id, "generation": job.generation, "state": job.state, "cause": result.cause, "reason": reason}
    journal.run("to_dead", **values, step=record(Step.DEAD, UPLOADER, now))
    journal.run("add_total", name="failed", by=1)
    statistics.note_outcome(journal, "render", "poison" if result.cause == "poison" else "dead")
    return "dead"


def _doubt(journal: Journal, job: Job, reason: str) -> bool:
    """False: it was doubted before, or often enough."""
    values = {"id": job.id, "generation": job.generation, "reason": reason, "limit": flow.MAX_DOUBTS}
    step = record(Step.DOUBTED, UPLOADER, journal.clock())
    if journal.run("doubt", **values, step=step).rowcount == 0:
        return False
    journal.run("add_total", name="retried", by=1)
    statistics.note_outcome(journal, "render", "doubted")
    return True
