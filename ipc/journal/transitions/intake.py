"""The intake's arrows, in its transaction: into the flow, and what an edit or a deletion changes."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from ipc.jobs import Job
from ipc.journal import Journal
from ipc.journal.life import CONNECTION, LifeStep, record
from ipc.journal.outputs import takedowns
from ipc.journal.transitions import arrows, renewing


def see(
    journal: Journal,
    channel_id: int,
    message_id: int,
    priority: int,
    message: Mapping[str, Any],
    picture: Mapping[str, Any],
    now: float,
) -> None:
    """(new) → seen. The message has no job yet. `message` and `picture` are columns of its job."""
    address = {"channel_id": channel_id, "message_id": message_id, "priority": priority}
    journal.run("add_job", **message, **picture, **address, now=int(now), step=record(LifeStep.SEEN, CONNECTION, now))


def change_picture(journal: Journal, job: Job, message: Mapping[str, Any], picture: Mapping[str, Any]) -> None:
    """(any state) → seen, as a new generation. The message has another picture, or has one again.

    One that is hidden, and whose row readers may still see, is first of all written without a picture: → rendered. Not
    if that was for its former picture (`block`): the caller judges it anew.
    """
    arrows.move(journal, "change_picture", LifeStep.CHANGED, **message, **picture, id=job.id)
    if job.hidden_at is not None and job.shown and job.hidden_by != "block":
        journal.run("hide_unready", id=job.id, now=int(journal.clock()))
    if job.deleted_at is not None:
        takedowns.spare(journal, job)
    elif job.may_be_seen:
        takedowns.let_go(journal, job, journal.clock())
    renewing.drop_renewal(journal, job)


def relocate(journal: Journal, job: Job, picture: Mapping[str, Any]) -> None:
    """(any state) → the same. The same picture lies elsewhere, or another source has it too."""
    arrows.move(journal, "relocate", LifeStep.MOVED, **picture, id=job.id)


def edit(journal: Journal, job: Job, message: Mapping[str, Any]) -> None:
    """published → rendered; any other state → the same. The message was edited, its picture is the same.

    One that is rendered anew is what it was before: its row must not wait for that. Then it is rendered anew again.
    """
    arrows.move(journal, "edit_message", LifeStep.EDITED, **message, id=job.id)
    renewing.renew_later(journal, job)


def withdraw(journal: Journal, job: Job, revision: int, now: float, *, is_told: bool = False) -> None:
    """(any state) → rendered, as a tombstone. The message is gone: only its row is left to be written.

    `is_told`: the source has said so, of this very message: its objects may go as soon as the tombstone is there.
    """
    step = record(LifeStep.WITHDRAWN, CONNECTION, now)
    journal.run("withdraw", id=job.id, revision=revision, now=int(now), step=step)
    if is_told:
        takedowns.mark(journal, job, now)
    else:
        takedowns.keep_replaced(journal, job)
    renewing.drop_renewal(journal, job)
