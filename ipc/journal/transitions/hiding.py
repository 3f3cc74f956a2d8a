"""What readers do not see: hidden, shown again, blocked (in the caller's transaction), and taken down."""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Literal

from ipc.jobs import HiddenBy, Job
from ipc.journal import Journal, statistics
from ipc.journal.life import CONNECTION, OPERATOR, UPLOADER, LifeStep, record
from ipc.journal.outputs import takedowns
from ipc.journal.transitions import arrows, renewing

_BLOCKED = "blocked by the operator"
"""The reason of a dead letter whose picture is kept out, for people: its cause is `blocked`."""


def hide(journal: Journal, job: Job, by: HiddenBy, now: float, sha256: str | None = None) -> None:
    """published → rendered; any other state → the same. Readers must see neither it nor what they saw of it.

    Where they see a row, and the job's files are not ready for a new one (its picture was changed, say), that row is
    written at once, without a picture. `sha256` is the picture for which it is blocked.
    """
    process = CONNECTION if by == "caption" else OPERATOR
    values = {"id": job.id, "hidden_by": by, "now": int(now), "revision": 1000 * int(now)}
    journal.run("hide", **values, step=record(LifeStep.HIDDEN, process, now))
    if not renewing.renew_later(journal, job) and journal.run("hide_unready", id=job.id, now=int(now)).rowcount == 1:
        takedowns.let_go(journal, job, now)
        renewing.drop_renewal(journal, job)
    if by == "block":
        journal.run("add_blocked_post", id=job.id, sha256=sha256 or job.sha256)


def unhide(journal: Journal, job: Job, by: Literal["operator"] | None, now: float) -> None:
    """published → rendered, or → seen if its files are gone; any other state → the same. Readers may see it again.

    `by` the operator: whatever its caption says, until it is edited. One whose picture is blocked stays hidden.
    """
    if blocked(journal, [job.sha256] if job.sha256 else []):
        hide(journal, job, "block", now)
        return
    step = record(LifeStep.UNHIDDEN, OPERATOR if by else CONNECTION, now)
    values = {"id": job.id, "hidden_by": by, "now": int(now), "revision": 1000 * int(now)}
    journal.run("unhide", **values, step=step)
    if not renewing.renew_later(journal, job) and job.is_taken_down:
        journal.run("unhide_unready", id=job.id)


def block(journal: Journal, job: Job, sha256: str, now: float) -> Literal["hidden", "stopped", "untouched"]:
    """The job has a picture that is kept out: hide it if it may have a row, else it goes no further, as a dead letter.

    One that is hidden already stays so, and a dead letter stays dead: neither comes back while its picture is blocked,
    and a dead letter vouches for no object.
    """
    if job.hidden_at is None and (job.may_be_seen or job.state in ("rendered", "published")):
        hide(journal, job, "block", now, sha256)
        return "hidden"
    step = record(LifeStep.BLOCKED, OPERATOR, now)
    if journal.run("to_blocked", id=job.id, reason=_BLOCKED, step=step).rowcount == 0:
        journal.run("to_blocked_dead", id=job.id)
        return "untouched"
    journal.run("add_total", name="failed", by=1)
    statistics.note_outcome(journal, arrows.stage_of(job), "left_out")
    return "stopped"


def blocked(journal: Journal, sha256s: Iterable[str]) -> set[str]:
    """The digests among these that the operator keeps out."""
    return {row["sha256"] for row in journal.run("blocked", sha256s=json.dumps(list(sha256s)))}


def take_down(journal: Journal, job: Job) -> bool:
    """published, hidden → the same, without a picture. Its row names none, and its takedown has waited long enough.

    Shown again, the job has to begin at seen: nothing of its picture is left.
    """
    now = int(journal.clock())
    step = record(LifeStep.TAKEN_DOWN, UPLOADER, now)
    with journal.transaction():
        is_taken = journal.run("take_down", id=job.id, generation=job.generation, step=step).rowcount == 1
        if is_taken:
            journal.run("begin_takedown", job=job.id, sha256=job.sha256, now=now)
    return is_taken
