"""Pictures of posts that somebody has deleted or hidden, until their objects are gone; then what a CDN is to forget.

Only what somebody has said counts: a source that says of this very message that it is gone, or whoever hides a post. A
deletion that is inferred from silence is none of these. `ipc.journal.transitions` moves the jobs.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal, get_args

from ipc.jobs import Job
from ipc.journal import Journal

TakedownStep = Literal["replaced", "marked", "waiting", "leaving", "purging"]
"""replaced: its job has another picture, or none, while its row may name it still. It goes if the next row is that of a
deleted or hidden post. marked: deleted, the tombstone is not written yet. waiting: the row is there, without a picture.
leaving: the job does not want it any more either, and the objects are deleted. purging, of an address: a CDN is to
forget its copy."""

STEPS: tuple[TakedownStep, ...] = get_args(TakedownStep)

FIRST_VERSION = 6
"""Version of the first journal with takedowns. An older installation takes down only if its settings say so."""


@dataclass(frozen=True, slots=True)
class Takedown:
    """`at` in Unix seconds: since when the row says that the post is gone; of one that is leaving: not before.

    `looks`: how often its objects are still looked for.
    """

    job_id: int
    sha256: str
    step: TakedownStep
    at: float
    looks: int


def mark(journal: Journal, job: Job, now: float) -> None:
    """The message of this job, as it was before, is said to be deleted. In the transaction that withdraws it, or later.

    What was on its way to the storage may still arrive there: it is looked for twice.
    """
    is_written = job.deleted_at is not None and job.state == "published"
    _put(journal, job, "waiting" if is_written else "marked", now, looks=1 if job.stored else 2)


def let_go(journal: Journal, job: Job, now: float) -> None:
    """The job, as it was before, has no such picture any more, while readers may see it. In the caller's transaction.

    The next row decides: one with another picture leaves it to `gc`, one without any takes it down.
    """
    _put(journal, job, "replaced", now, looks=1 if job.stored else 2)


def keep_replaced(journal: Journal, job: Job) -> None:
    """Leave what the job showed before to `gc`, like its picture: its post is deleted, but nobody has said so."""
    journal.run("keep_replaced", job=job.id)


def note(journal: Journal, published: Iterable[Job], now: float) -> None:
    """Note a change for each of these jobs whose row is written. In the transaction that records it.

    `published` are the jobs as they were before.
    """
    for job in published:
        if job.is_public:
            spare(journal, job)
            continue
        journal.run("row_is_empty", job=job.id, now=now)
        if job.deleted_at is None and not job.is_taken_down:
            _put(journal, job, "waiting", now, looks=1)


def _put(journal: Journal, job: Job, stage: TakedownStep, now: float, looks: int) -> None:
    """Put a takedown for the job's picture, and for the one before a renewal: the source may have given another."""
    former = {row["sha256"] for row in journal.run("renewed_from", job=job.id)}
    for sha256 in sorted({job.sha256, *former} - {None}):
        journal.run("put_takedown", job=job.id, sha256=sha256, stage=stage, now=now, looks=looks)


def spare(journal: Journal, job: Job) -> None:
    """Drop the job's takedowns that were not begun: its post is there again."""
    journal.run("spare", job=job.id)


def spare_all(journal: Journal) -> None:
    """Forget all takedowns that were not begun: nothing is taken down here."""
    with journal.transaction():
        journal.run("spare_all")


def of(journal: Journal, job_id: int) -> list[Takedown]:
    """The takedowns of one job: of each picture that it has, or had."""
    rows = journal.run("takedowns_of", job=job_id)
    return [Takedown(row["job"], row["sha256"], row["step"], row["at"], row["looks"]) for row in rows]


def due(journal: Journal, step: TakedownStep, before: float, limit: int) -> list[Takedown]:
    """The takedowns at that step whose time was before that Unix second, the oldest first."""
    rows = journal.run("takedowns_due", stage=step, before=before, limit=limit)
    return [Takedown(row["job"], row["sha256"], row["step"], row["at"], row["looks"]) for row in rows]


def put_off(journal: Journal, one: Takedown, at: float) -> None:
    with journal.transaction():
        journal.run("put_off_takedown", job=one.job_id, sha256=one.sha256, stage=one.step, at=at)


def leave(journal: Journal, one: Takedown) -> None:
    """waiting → leaving. Its job is deleted, or has another picture."""
    with journal.transaction():
        journal.run("begin_takedown", job=one.job_id, sha256=one.sha256, now=journal.clock())


def end(journal: Journal, sha256: str, *, again_at: float, is_removed: bool) -> None:
    """End the takedowns of a picture: its objects are deleted, or they stay, as something names them still.

    Those that are to be looked for once more are so at that Unix second.
    """
    with journal.transaction():
        if is_removed:
            journal.run("look_again", sha256=sha256, at=again_at)
            journal.run("add_total", name="taken_down", by=1)
            journal.run("ready_purges", sha256=sha256)
            journal.run("drop_moved_renewals", sha256=sha256)
            journal.run("replace_original", sha256=sha256, original="none")
        else:
            journal.run("drop_unready_purges", sha256=sha256)
        journal.run("end_takedowns", sha256=sha256, now=journal.clock())


def counts(journal: Journal) -> dict[str, int]:
    """How many there are at each step."""
    return dict.fromkeys(STEPS, 0) | {row["step"]: row["rows"] for row in journal.run("takedown_counts")}


def is_new_installation(journal: Journal) -> bool:
    """Whether the journal was made by a version that takes down, and not brought up to date from one that did not."""
    row = journal.run("origin").fetchone()
    return row is not None and row["version"] >= FIRST_VERSION


# Copies of a CDN


def want_purged(journal: Journal, sha256: str, urls: Iterable[str]) -> None:
    """Record that these addresses of the picture are to be purged, once its objects are deleted."""
    with journal.transaction():
        for url in urls:
            journal.run("add_purge", url=url, sha256=sha256)


def to_purge(journal: Journal, limit: int) -> list[str]:
    """Some addresses whose objects are deleted."""
    return [row["url"] for row in journal.run("purges", limit=limit)]


def purged(journal: Journal, urls: Iterable[str]) -> None:
    """Note that no copy of these is left."""
    with journal.transaction():
        for url in urls:
            journal.run("drop_purge", url=url)


def forget_purges(journal: Journal) -> None:
    """Forget all purges: nobody is asked any more."""
    with journal.transaction():
        journal.run("drop_purges")
