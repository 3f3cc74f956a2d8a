"""What is known of a message, a channel's range, or some jobs."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from ipc.jobs import DeadCause, Job, State
from ipc.journal import Journal


@dataclass(frozen=True, slots=True)
class Fate:
    """How a picture stands: its state, when it was first published (Unix second), whether it waits for another try."""

    message_id: int
    state: State
    published_at: int | None
    is_put_off: bool


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter as it is shown: what is dead, the state in which it died, and why. See `Job` for each field."""

    id: int
    generation: int
    channel_id: int
    message_id: int
    dead_state: State
    dead_cause: DeadCause
    attempts: int
    reason: str | None


def job(journal: Journal, job_id: int) -> Job | None:
    row = journal.run("job", id=job_id).fetchone()
    return Job.from_row(row) if row else None


def known(journal: Journal, channel_id: int, message_id: int) -> Job | None:
    """The message's job."""
    row = journal.run("known_message", channel_id=channel_id, message_id=message_id).fetchone()
    return Job.from_row(row) if row else None


def album(journal: Journal, channel_id: int, grouped_id: int) -> list[Job]:
    """The jobs of an album's pictures, deleted ones aside."""
    return [Job.from_row(row) for row in journal.run("album", channel_id=channel_id, grouped_id=grouped_id)]


def posted_with(journal: Journal, job: Job) -> list[Job]:
    """The jobs of what was posted with this one, itself among them, deleted ones aside."""
    if job.grouped_id is None:
        return [] if job.deleted_at else [job]
    return album(journal, job.channel_id, job.grouped_id)


def dead(journal: Journal) -> list[Job]:
    return [Job.from_row(row) for row in journal.run("dead")]


def dead_reasons(journal: Journal, limit: int) -> list[tuple[str, int]]:
    """The most frequent reasons of dead letters, each with their number. Empty: those that have none."""
    return [(row["reason"], row["jobs"]) for row in journal.run("dead_reasons", limit=limit)]


def newest_dead(journal: Journal, reason: str, limit: int) -> list[Letter]:
    """The dead letters of that reason, those of the newest jobs first."""
    return [Letter(**dict(row)) for row in journal.run("newest_dead", reason=reason or None, limit=limit)]


def dead_beyond(journal: Journal, beyond: int, limit: int, reason: str | None = None) -> list[int]:
    """The ids of the next dead letters beyond that id, of that reason if it is not None."""
    if reason is None:
        return [row["id"] for row in journal.run("dead_beyond", beyond=beyond, limit=limit)]
    rows = journal.run("dead_of_reason_beyond", beyond=beyond, reason=reason or None, limit=limit)
    return [row["id"] for row in rows]


def unfinished(journal: Journal, job_ids: Iterable[int]) -> Mapping[tuple[int, int], str]:
    """State by (job, generation) of those of these jobs whose spool folder is still needed."""
    rows = journal.run("unfinished", ids=json.dumps(list(job_ids)))
    return {(row["id"], row["generation"]): row["state"] for row in rows}


def channel_range(journal: Journal, channel_id: int) -> tuple[int, int, int] | None:
    """Floor, cursor and number of messages backfilled of one channel; None if it was never seen."""
    row = journal.run("channel_range", id=channel_id).fetchone()
    return (row["floor"], row["cursor"], row["backfilled"]) if row else None


def messages_between(journal: Journal, channel_id: int, low: int, high: int) -> set[int]:
    """The ids of the channel's messages with a picture, deleted ones aside, in that range."""
    rows = journal.run("messages_between", channel_id=channel_id, low=low, high=high)
    return {row["message_id"] for row in rows}


def fates(journal: Journal, channel_id: int, message_ids: Iterable[int]) -> list[Fate]:
    """How these pictures of a channel stand; one that has no job is left out."""
    messages = json.dumps(list(message_ids))
    rows = journal.run("fates", channel_id=channel_id, messages=messages, now=journal.clock())
    return [Fate(row["message_id"], row["state"], row["published_at"], bool(row["is_put_off"])) for row in rows]
