"""What the end of a fetch means for its job, for every source: the outcomes, and how each is recorded.

A source fetches and returns one of these; `settle` enters it into the journal and into the log.

    Fetched     the original is in the spool                       seen → fetched
    Withdrawn   the message has no such picture any more           nothing to do: the intake has changed the job
    NoRoom      the spool's disk takes nothing                     nothing recorded: the source waits
    PutOff      nothing that the picture could be blamed for       waits, and keeps its attempts
    Failed      damaged, unreadable, or an unforeseen error        costs an attempt, the last one its life
    TooLarge    larger than `images.max_bytes`                     dead
    Gone        the source does not have it                        dead
    LeftOut     the source was told not to have it                 dead, and no failure

Whose fault an error is, and how long to wait, each source knows by itself. Whether the bytes are a picture, an image
worker finds out: it sends them back once, and the same bytes a second time are its verdict
(`ipc.journal.transitions.doubt`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeAlias, assert_never

import structlog

from ipc import failpoints
from ipc.files.spool import Spool, has_no_room
from ipc.jobs import Job
from ipc.journal import Journal, lookup, transitions
from ipc.retry import RetryPolicy

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Fetched:
    """The original is in the spool, whole and fsynced, after `seconds`. `sha256` is hexadecimal."""

    sha256: str
    bytes: int
    seconds: float | None = None


@dataclass(frozen=True, slots=True)
class Withdrawn:
    """The message was deleted, or has another picture: the intake knows, and the job has moved on."""


@dataclass(frozen=True, slots=True)
class NoRoom:
    reason: str


@dataclass(frozen=True, slots=True)
class PutOff:
    reason: str
    seconds: float


@dataclass(frozen=True, slots=True)
class Failed:
    reason: str


@dataclass(frozen=True, slots=True)
class TooLarge:
    bytes: int
    limit: int

    @property
    def reason(self) -> str:
        return f"too large: {self.bytes} bytes, at most {self.limit} (MAX_IMAGE_SIZE_BYTES)"


@dataclass(frozen=True, slots=True)
class Gone:
    reason: str


@dataclass(frozen=True, slots=True)
class LeftOut:
    reason: str


FetchEnd: TypeAlias = Fetched | Withdrawn | NoRoom | PutOff | Failed | TooLarge | Gone | LeftOut


def of_os_error(error: OSError, reason: str) -> NoRoom | Failed:
    """What an error of the disk means: that of the spool is full, or this picture alone has failed for `reason`."""
    if has_no_room(error):
        return NoRoom(f"the spool cannot be written: {error.strerror}")
    return Failed(reason)


def settle(journal: Journal, spool: Spool, policy: RetryPolicy, job: Job, outcome: FetchEnd) -> bool:
    """Enter the outcome into the journal and the log. Returns whether the job has left the state "seen" by it."""
    match outcome:
        case Fetched():
            return job.id in record_fetched(journal, spool, [(job, outcome)])
        case Withdrawn():
            return False
        case NoRoom(reason):
            log.error("fetching.paused", job=job.id, reason=reason)
            return False
        case PutOff(reason, seconds):
            log.warning("fetching.postponed", job=job.id, seconds=round(seconds, 1), reason=reason)
            transitions.postpone(journal, job, seconds, reason)
            return False
        case Failed(reason):
            fate = transitions.fail(journal, job, f"cannot be fetched: {reason}", policy)
            log.warning("fetching.failed", job=job.id, reason=reason, outcome=fate)
            return fate == "dead"
        case TooLarge() | Gone() | LeftOut():
            return _bury(journal, job, outcome)
        case _:
            assert_never(outcome)


def record_fetched(journal: Journal, spool: Spool, fetched: Sequence[tuple[Job, Fetched]]) -> set[int]:
    """Record these originals in one transaction; the ids of the jobs that wanted theirs.

    The others have another picture by now: what is in the spool for them is deleted.
    """
    failpoints.reach("fetched.before")
    wanted = transitions.record_fetched(
        journal, [(job, original.sha256, original.bytes, original.seconds) for job, original in fetched]
    )
    failpoints.reach("fetched.after")
    for job, original in fetched:
        if job.id in wanted:
            log.debug("picture.fetched", job=job.id, bytes=original.bytes)
        else:
            spool.remove(job.id, job.generation)
            _tell_blocked(journal, job)
    return wanted


def _tell_blocked(journal: Journal, job: Job) -> None:
    """Log it if the job is dead since its picture is blocked."""
    now = lookup.job(journal, job.id)
    if now and now.state == "dead" and now.dead_cause == "blocked":
        log.info("picture.left_out", job=job.id, channel=job.channel_id, message=job.message_id, reason=now.reason)


def _bury(journal: Journal, job: Job, outcome: TooLarge | Gone | LeftOut) -> bool:
    """Make it a dead letter. What was left out on purpose is listed among them, and that is all."""
    is_failure = not isinstance(outcome, LeftOut)
    if not transitions.bury(journal, job, outcome.reason, is_failure=is_failure):
        return False
    facts = {"job": job.id, "channel": job.channel_id, "message": job.message_id, "reason": outcome.reason}
    if is_failure:
        log.error("job.dead", **facts)
    else:
        log.info("picture.left_out", **facts)
    return True
