"""Garbage is removed: under a lease, after it was judged once more."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import replace
from functools import partial

from ipc.journal import Journal, leases
from ipc.journal import pictures as journal_pictures
from workers.publishing.gc.garbage import Garbage, GarbageScope, chunks, judge
from workers.publishing.gc.ownership import refuse_shared


def remove_all(scope: GarbageScope, before: float, *, may_be_shared: bool) -> Iterator[Garbage]:
    """Find garbage and remove it; yields what has been removed.

    Raises CatalogFault if another instance seems to publish here too, unless `may_be_shared`.
    """
    for pictures, found in chunks(scope, before):
        if not may_be_shared and found:
            refuse_shared(scope, pictures)
        asked_at = time.monotonic()
        yield from remove(scope, found, asked_at)


def remove(scope: GarbageScope, found: Iterable[Garbage], asked_at: float) -> Iterator[Garbage]:
    """Remove this garbage, but for what has come again meanwhile. `asked_at`: when it was found (monotonic seconds).

    Raises StorageFault at the first request that fails: the lease on that picture runs out by itself.
    """
    found = list(found)
    inherited = leases.times(
        scope.journal
    ).keys()  # of a run that got no answer: those run out by themselves in any case
    leased = _lease(scope.journal, found)
    under_way: set[str] = set()
    try:
        if leased:
            scope.sleep(max(0.0, asked_at + scope.row_seconds - time.monotonic()))
        kinds = {one.sha256: one.is_whole for one in found}
        for garbage in judge(scope, {one.sha256: one.objects for one in found if one.sha256 in leased}):
            if garbage.is_whole != kinds[garbage.sha256]:
                continue
            under_way.add(garbage.sha256)
            is_done = _delete(scope, garbage)
            under_way.clear()
            if garbage.sha256 not in inherited:
                leases.end(scope.journal, [garbage.sha256])
            if is_done:
                yield replace(garbage, removed=True)
    finally:
        leases.end(scope.journal, leased - inherited - under_way)


def _lease(journal: Journal, found: list[Garbage]) -> set[str]:
    """Take leases; the digests that got one."""
    whole = {one.sha256 for one in found if one.is_whole}
    part = {one.sha256 for one in found if not one.is_whole}
    return leases.begin(journal, whole, partial(journal_pictures.known, journal)) | leases.begin(
        journal, part, partial(journal_pictures.under_way, journal)
    )


def _delete(scope: GarbageScope, garbage: Garbage) -> bool:
    """Delete its objects. False: this took too long, so the lease is lost, and the uploader may store them again."""
    for one in garbage.objects:
        if not leases.renew(scope.journal, garbage.sha256):
            return False
        scope.storage.delete(one.key)
    return True
