"""Whether storage, catalogue and journal are of one instance, as far as they show: else all would be garbage."""

from __future__ import annotations

from collections.abc import Collection
from itertools import islice

from ipc.journal import figures
from ipc.journal import pictures as journal_pictures
from workers.publishing.catalog import CatalogFault
from workers.publishing.gc.garbage import GarbageScope, pictures_in

SHARED_GRACE_SECONDS = 24 * 3600.0

SAMPLE = 200
"""How many pictures are asked about to see whose catalogue it is."""


def check_ownership(scope: GarbageScope) -> None:
    """Raise CatalogFault if the catalogue names nothing of what it should: it would make garbage of all.

    That is what was published last. A fresh journal has published nothing: then it is some of what is stored.
    """
    if published := journal_pictures.published(scope.journal, SAMPLE):
        if not scope.catalog.referenced(published):
            raise CatalogFault(
                f"the catalogue names none of the {len(published)} pictures that were published last: it is another"
                " one, or it was emptied. Check catalog.backend, catalog.url and state_dir. Nothing was removed"
            )
    elif not figures.states(scope.journal)["published"]:  # else all of them were deleted since
        stored = [sha256 for sha256, _ in islice(pictures_in(scope.storage, scope.prefix), SAMPLE)]
        # The journal's own are on their way, and need no row yet.
        if set(stored) - journal_pictures.ever_known(scope.journal, stored) and not scope.catalog.referenced(stored):
            raise CatalogFault(
                f"the journal has published nothing, and the catalogue names none of {len(stored)} pictures in the"
                " storage: one of the three is another one, or it was emptied. Check catalog.backend, catalog.url,"
                " storage.prefix and state_dir. Nothing was removed"
            )


def refuse_shared(scope: GarbageScope, pictures: Collection[str]) -> None:
    """Raise CatalogFault if rows have more pictures that this journal never had than edits under way account for."""
    strangers = scope.catalog.referenced(pictures) - journal_pictures.ever_known(scope.journal, pictures)
    states = figures.states(scope.journal)
    if len(strangers) > sum(states[state] for state in ("seen", "fetched", "rendered", "dead")):
        raise CatalogFault(
            f"rows name {len(strangers)} pictures here that this instance never had: another one publishes to the same"
            " bucket and prefix, or the journal was lost. Give each instance a prefix of its own, or remove only what"
            " is older than a day (bin/run gc --delete --older-than 24)"
        )
