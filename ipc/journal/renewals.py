"""Published pictures that are to be rendered anew by today's recipe: which, how far that is, what they were.

`ipc.journal.transitions` moves their jobs.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal, get_args

import msgpack

from ipc.jobs import Job, Rendition
from ipc.journal import Journal
from ipc.retry import FARTHEST_SECONDS

RenewalStep = Literal["wanted", "making", "moved", "failed"]
"""wanted; making: the job is on its way once more; moved: its row names the new objects, the old ones are still there;
failed: the picture stays as it is."""

STEPS: tuple[RenewalStep, ...] = get_args(RenewalStep)

WIDTH = 2000
"""Jobs that are looked at in one transaction, to see which are wanted."""


@dataclass(frozen=True, slots=True)
class Renewal:
    """`recipe` is the one wanted. `at` in Unix seconds: not before; of one that is made or moved, since when."""

    job_id: int
    step: RenewalStep
    recipe: str
    at: float
    sha256: str | None
    renditions: tuple[Rendition, ...]
    former_recipe: str | None
    preview_bytes: int | None

    def former(self, job: Job) -> Job:
        """The job with the renditions that it had before."""
        return replace(
            job,
            sha256=self.sha256,
            renditions=self.renditions,
            recipe=self.former_recipe,
            preview_bytes=self.preview_bytes,
        )


def want(journal: Journal, recipe: str, *, channels: Sequence[int] | None = None, since: float = 0.0) -> Iterator[int]:
    """Want all pictures rendered anew that were published by another recipe. Yields the number of each batch.

    Only of these channels (None: all), posted since that Unix second. Failed ones are tried once more.
    """
    last = journal.run("last_job").fetchone()[0] or 0
    values: dict[str, Any] = {"recipe": recipe, "channels": None if channels is None else json.dumps(list(channels))}
    for after in range(0, last, WIDTH):
        with journal.transaction():
            count = journal.run("want_renewals", **values, after=after, width=WIDTH, since=since).rowcount
        yield count


def due(journal: Journal, step: RenewalStep, limit: int, *, age_seconds: float = 0.0) -> list[Renewal]:
    """The renewals at that step whose time has come, or came that long ago."""
    now = journal.clock()
    values = {"stage": step, "before": now - age_seconds, "farthest": now + FARTHEST_SECONDS, "limit": limit}
    return [_renewal(row) for row in journal.run("renewals_at", **values)]


def _renewal(row: Any) -> Renewal:
    packed = row["renditions"]
    return Renewal(
        job_id=row["job"],
        step=row["step"],
        recipe=row["recipe"],
        at=row["next_at"],
        sha256=row["sha256"],
        renditions=tuple(Rendition(*one) for one in msgpack.unpackb(packed)) if packed else (),
        former_recipe=row["former_recipe"],
        preview_bytes=row["preview_bytes"],
    )


def counts(journal: Journal) -> dict[str, int]:
    """The number of renewals at each step."""
    return dict.fromkeys(STEPS, 0) | {row["step"]: row["jobs"] for row in journal.run("renewal_counts")}


def made_of_stripped(journal: Journal, job_ids: Iterable[int]) -> set[int]:
    """The jobs among these whose original in the spool is a published one without metadata, not the file as it came."""
    return {row["job"] for row in journal.run("made_of_stripped", ids=json.dumps(list(job_ids)))}


def put_off(journal: Journal, renewal: Renewal, seconds: float) -> None:
    """Postpone this renewal by `seconds`."""
    values = {"id": renewal.job_id, "stage": renewal.step, "next_at": journal.clock() + seconds}
    with journal.transaction():
        journal.run("put_off_renewal", **values)


def end(journal: Journal, some: Iterable[Renewal]) -> None:
    """Delete these renewals, unless their step has changed since they were read."""
    with journal.transaction():
        for one in some:
            journal.run("end_renewal", id=one.job_id, stage=one.step)


def failed(journal: Journal, limit: int) -> list[tuple[int, int, str]]:
    """Channel and message of some that could not be rendered anew, and why; the newest failures first."""
    rows = journal.run("failed_renewals", limit=limit)
    return [(row["channel_id"], row["message_id"], row["reason"] or "") for row in rows]
