"""What of an origin's pictures is handed over to other machines, and how far; what is left of hand-overs that ended.

A claim begins with `transitions.claim_for_machines` and ends by itself, when its job leaves the machines' hands. Its
steps are those of handing over: `claimed`, then `put` (the original is in the bucket), then `handed` (it is in the
queue). Each may be taken again: a claim that has to go back is put, or handed over, once more under the same key.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal

from ipc.jobs import Job
from ipc.journal import Journal
from ipc.journal.leases import LEASE_SECONDS
from ipc.machines import LARGEST
from ipc.machines.handover import Key

ClaimStep = Literal["claimed", "put", "handed"]

ALL: Final = 10**6
"""As a limit: more claims than there ever are."""


@dataclass(frozen=True, slots=True)
class Claim:
    """`at` in Unix seconds: of its step. `token` names the original in the bucket; generation and revision are what the
    job had when it was claimed. Numbers grow, and no two journals give the same ones."""

    number: int
    job_id: int
    generation: int
    revision: int
    token: str
    step: ClaimStep
    at: float


@dataclass(frozen=True, slots=True)
class Leftover:
    """What is left of a claim that has ended: the object `token` to delete, the hand-over `key` to take out."""

    token: str
    key: str


def key_of(origin: str, claim: Claim, job: Job) -> Key:
    """What the hand-over of this claim is called, as the trigger of the journal has it too."""
    return Key(origin, job.channel_id, job.message_id, claim.generation, claim.number)


def to_hand_over(journal: Journal, keep: int, limit: int) -> list[Job]:
    """The jobs of the pool beyond the first `keep`, `limit` at most, in their order."""
    values = {"now": journal.clock(), "lease_seconds": LEASE_SECONDS}
    return [Job.from_row(row) for row in journal.run("to_hand_over", keep=keep, limit=limit, **values)]


def left_to_render(journal: Journal, limit: int) -> int:
    """How many jobs there are for our own workers to begin, `limit` at most."""
    return int(journal.run("count_to_render", limit=limit).fetchone()[0])


def outstanding(journal: Journal) -> int:
    """How many claims there are: some hundreds at most."""
    return int(journal.run("count_claims").fetchone()[0])


def is_any_left(journal: Journal) -> bool:
    """Whether there is a claim, or anything left of one."""
    return outstanding(journal) > 0 or bool(journal.run("has_leftovers").fetchone()[0])


def at_step(journal: Journal, step: ClaimStep, limit: int) -> list[Claim]:
    """The oldest claims at that step."""
    return [_claim(row) for row in journal.run("claims_at", stage=step, limit=limit)]


def newest(journal: Journal, limit: int, below: int | None = None) -> list[Claim]:
    """The newest claims, below that number."""
    rows = journal.run("newest_claims", below=LARGEST if below is None else below, limit=limit)
    return [_claim(row) for row in rows]


def handed_before(journal: Journal, before: float, after: int, limit: int) -> list[Claim]:
    """Claims that were handed over before that Unix second, with numbers beyond `after`, in their order.

    One from the future counts as well: the clock was set back since.
    """
    now = journal.clock()
    rows = journal.run("claims_handed_before", before=before, now=now, after=after, limit=limit)
    return [_claim(row) for row in rows]


def move(journal: Journal, claims: Iterable[Claim], step: ClaimStep) -> int:
    """Move the claims to that step, in one transaction, but for those that ended or moved meanwhile.

    Returns the number of those that were moved.
    """
    now = journal.clock()
    with journal.transaction():
        return sum(
            journal.run("move_claim", number=one.number, stage=one.step, next_stage=step, now=now).rowcount
            for one in claims
        )


def tokens(journal: Journal) -> dict[str, int | None]:
    """The number of each claim by its token; None for a leftover of a claim that has ended."""
    return {row["token"]: row["number"] for row in journal.run("claimed_tokens")}


def leftovers(journal: Journal, limit: int) -> list[Leftover]:
    return [Leftover(row["token"], row["key"]) for row in journal.run("claim_leftovers", limit=limit)]


def cleared(journal: Journal, some: Iterable[Leftover]) -> None:
    """Delete these leftovers: nothing is left of them."""
    with journal.transaction():
        for one in some:
            journal.run("drop_claim_leftover", token=one.token)


def _claim(row: object) -> Claim:
    return Claim(*row)  # type: ignore[misc]
