"""What a node has taken out of the queues and has in hand, and what it forgets once its answer is given.

A job of a node is a guest: its origin's journal is the truth. So it is deleted here when its row is written
(`published`), or when it was given up, given back or lost (`forget`); only the counters stay, by origin. The queue's
receipt is kept with it, since the database takes no answer without one that still holds.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import msgpack

from ipc.jobs import DeadCause, Job, State
from ipc.journal import Journal, statistics
from ipc.machines.receipt import Receipt

GuestEnding = Literal["published", "dead", "returned", "lost"]
"""returned: untouched, for others. lost: its lease was over, or its origin has taken it back."""

_STATES: Mapping[GuestEnding, tuple[State, ...]] = {
    "published": ("rendered",),
    "dead": ("dead",),
    "returned": ("seen", "fetched", "rendered"),
    "lost": ("seen", "fetched", "rendered", "published", "dead"),
}
"""The states that a job may be in, by its ending."""


@dataclass(frozen=True, slots=True)
class TakenJob:
    """A job that was taken: the key of its hand-over, its receipt, and how its origin wants it done."""

    job: int
    key: str
    receipt: Receipt
    terms: dict[str, Any]
    taken_at: float


@dataclass(frozen=True, slots=True)
class Guest:
    """One that is in hand, and how its job stands. `is_doubted`: the original could not be decoded at least once."""

    job: int
    key: str
    receipt: Receipt
    taken_at: float
    state: State
    generation: int
    revision: int
    is_stored: bool
    is_claimed: bool
    dead_state: State | None
    dead_cause: DeadCause | None
    reason: str | None
    is_doubted: bool


@dataclass(frozen=True, slots=True)
class Origin:
    """What was taken of one origin and what became of it. `last_at`: Unix seconds, when one was last taken."""

    origin: str
    in_hand: int
    published: int
    dead: int
    returned: int
    lost: int
    last_at: float


def in_hand(journal: Journal) -> list[Guest]:
    """All jobs in hand, the oldest first."""
    return [
        Guest(
            row["job"],
            row["key"],
            _receipt(row),
            row["taken_at"],
            row["state"],
            row["generation"],
            row["revision"],
            bool(row["stored"]),
            row["claimed_by"] is not None,
            row["dead_state"],
            row["dead_cause"],
            row["reason"],
            row["doubted"] is not None,
        )
        for row in journal.run("taken")
    ]


def of(journal: Journal, job_ids: Iterable[int]) -> dict[int, TakenJob]:
    """The taken jobs among these, by job id."""
    rows = journal.run("taken_of", ids=json.dumps(list(job_ids)))
    return {
        row["job"]: TakenJob(row["job"], row["key"], _receipt(row), msgpack.unpackb(row["terms"]), row["taken_at"])
        for row in rows
    }


def origins(journal: Journal) -> list[Origin]:
    """Every origin that pictures were ever taken from, the most recent first."""
    found = [Origin(**dict(row)) for row in journal.run("origins")]
    return sorted(found, key=lambda one: (-one.last_at, one.origin))


def put(journal: Journal, job: Job, origin: str, receipt: Receipt, terms: Mapping[str, Any], now: float) -> None:
    """The job was taken. In the transaction that records it."""
    journal.run("put_taken", id=job.id, origin=origin, **receipt.packed(), terms=msgpack.packb(terms), now=now)
    journal.run("note_taken", origin=origin, now=now)


def renew(journal: Journal, receipt: Receipt) -> bool:
    """The message has come again, with another receipt. False: it is not in hand."""
    with journal.transaction():
        return journal.run("renew_receipt", **receipt.packed()).rowcount == 1


def forget(
    journal: Journal,
    ending: GuestEnding,
    job_ids: Iterable[int],
    *,
    idle: bool = False,
    states: Collection[State] = (),
    receipt: Receipt | None = None,
) -> list[tuple[int, int]]:
    """Delete these jobs and all that refers to them, in one transaction; job and generation of those that it applied
    to: what lies in the spool of these is a stray.

    `states`: only what is in one of these. `idle`: only what no image worker has. `receipt`: only what has this one
    still; it may have been renewed meanwhile.
    """
    allowed = json.dumps([state for state in _STATES[ending] if not states or state in states])
    held = json.dumps([receipt.queue, receipt.msg_id, receipt.read_ct]) if receipt else None
    gone = []
    with journal.transaction():
        for job_id in job_ids:
            row = journal.run("drop_taken", id=job_id, states=allowed, idle=int(idle), receipt=held).fetchone()
            if row is not None:
                gone.append((job_id, _forget(journal, job_id, row["origin"], ending)))
    return gone


def published(journal: Journal, jobs: Iterable[Job], seconds: float | None = None) -> list[Job]:
    """rendered, stored → forgotten. The rows of these jobs are written, `seconds` after they were begun, and their
    origins are told. Those that it applied to. One transaction.
    """
    now = int(journal.clock())
    with journal.transaction():
        written = [job for job in jobs if _end_published(journal, job)]
        journal.run("add_total", name="processed", by=len(written))
        statistics.note_done(journal, "write", [seconds] * len(written))
        statistics.note_published(journal, written, now)
    return written


def _end_published(journal: Journal, job: Job) -> bool:
    row = journal.run("drop_taken", id=job.id, states=json.dumps(_STATES["published"]), idle=0, receipt=None).fetchone()
    if row is not None:
        _forget(journal, job.id, row["origin"], "published")
    return row is not None


def _forget(journal: Journal, job_id: int, origin: str, ending: GuestEnding) -> int:
    """The generation of the job that is forgotten."""
    (row,) = journal.run("forget_job", id=job_id).fetchall()
    counted = {"published": 0, "dead": 0, "returned": 0, "lost": 0, ending: 1}
    journal.run("add_to_origin", origin=origin, **counted)
    return int(row["generation"])


def _receipt(row: Mapping[str, Any]) -> Receipt:
    return Receipt(row["queue"], row["msg_id"], row["read_ct"], row["key"])
