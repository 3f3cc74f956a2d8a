"""The pictures that a node has in hand for their origins: guests, which leave nothing behind when they go."""

from __future__ import annotations

from collections.abc import Collection, Iterable

import structlog

from ipc.files.spool import Spool
from ipc.jobs import State
from ipc.journal import Journal
from ipc.journal.machines import taken
from ipc.journal.machines.taken import GuestEnding

log = structlog.get_logger()


def forget(
    journal: Journal,
    spool: Spool,
    ending: GuestEnding,
    job_ids: Iterable[int],
    *,
    idle: bool = False,
    states: Collection[State] = (),
) -> list[int]:
    """Forget these jobs, as `taken.forget` says; those that it applied to, of which nothing is left in the spool.

    The journal first, so that it never speaks of a file that is gone. What a process leaves that is killed in between
    is a stray: no other job gets that id, and the uploader sweeps it, at its next start or within ten minutes. A power
    cut may bring a job back whose files are gone: it is fetched again, or its lease is over by then.
    """
    gone = taken.forget(journal, ending, job_ids, idle=idle, states=states)
    for job_id, generation in gone:
        spool.remove(job_id, generation)
    return [job_id for job_id, _ in gone]


def forget_all(journal: Journal, spool: Spool) -> None:
    """Forget all guests: nothing here would finish them. Their leases are not extended, so others get them soon."""
    if gone := forget(journal, spool, "lost", [one.job for one in taken.in_hand(journal)]):
        log.warning("handover.lost", job_ids=gone)
