"""What claims are called in the queue."""

from __future__ import annotations

from collections.abc import Iterable

from ipc.journal import Journal, lookup
from ipc.journal.machines import claims
from ipc.journal.machines.claims import Claim


def by_key(journal: Journal, origin: str, some: Iterable[Claim]) -> dict[str, Claim]:
    """The claims by the key of their hand-over, in their order."""
    return {
        str(claims.key_of(origin, one, job)): one
        for one in some
        if (job := lookup.job(journal, one.job_id)) is not None
    }
