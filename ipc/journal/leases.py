"""Leases on pictures whose objects are being removed from the storage: none of these is stored until the lease ends."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable

from ipc.journal import Journal

LEASE_SECONDS = 900.0
"""How long a removal that was given up in the middle keeps a picture's objects from being stored again. The storage
carries out no request that is older.
"""


def begin(journal: Journal, sha256s: Iterable[str], needed: Callable[[set[str]], set[str]]) -> set[str]:
    """Take a lease on these pictures, except those that `needed`, a query of the journal's, names.

    Those it was taken on. None of their objects is stored until `end`, or LEASE_SECONDS after the last `renew`.
    """
    with journal.transaction():
        wanted = set(sha256s)
        free = wanted - needed(wanted)
        for sha256 in free:
            journal.run("put_removal", sha256=sha256, now=journal.clock())
    return free


def renew(journal: Journal, sha256: str) -> bool:
    """Extend the lease, since something is asked of the storage now. False: it is lost, and nothing may be asked."""
    with journal.transaction():
        is_held = bool(_held(journal, [sha256]))
        if is_held:
            journal.run("put_removal", sha256=sha256, now=journal.clock())
    return is_held


def end(journal: Journal, sha256s: Iterable[str]) -> None:
    with journal.transaction():
        for sha256 in sha256s:
            journal.run("drop_removal", sha256=sha256)


def forget_expired(journal: Journal) -> None:
    """Delete the leases of removals that were given up, and have run out."""
    now = journal.clock()
    with journal.transaction():
        journal.run("forget_removals", before=now - LEASE_SECONDS, now=now)


def times(journal: Journal) -> dict[str, float]:
    """Unix time of the last request to the storage by digest, of all that are being removed."""
    return {row["sha256"]: row["at"] for row in journal.run("removals")}


def being_removed(journal: Journal, sha256s: Iterable[str]) -> set[str]:
    """The digests whose objects are being removed: ask before storing some of them.

    An expired lease is dropped here; its holder finds that out before its next request.
    """
    asked = list(sha256s)
    if not (found := _times_of(journal, asked)):
        return set()
    with journal.transaction():
        held = _held(journal, asked)
        for sha256 in found.keys() - held:
            journal.run("drop_removal", sha256=sha256)
    return held


def _held(journal: Journal, sha256s: Iterable[str]) -> set[str]:
    """The digests that have a lease. One from the future (the clock was set back) does not hold either."""
    now = journal.clock()
    return {sha256 for sha256, at in _times_of(journal, sha256s).items() if abs(now - at) < LEASE_SECONDS}


def _times_of(journal: Journal, sha256s: Iterable[str]) -> dict[str, float]:
    rows = journal.run("being_removed", sha256s=json.dumps(list(sha256s)))
    return {row["sha256"]: row["at"] for row in rows}
