"""Objects that no row names any more: found, and removed if asked.

An object stays when a row names it; when it is the original, a row has its digest, and the journal does not know it to
be published in another way now; when a picture on its way here has its digest; when it is younger than the grace; and
when its key is none that this program makes.

Originals on their way to other machines (`{prefix}wire/`) have keys of another form, and are passed over until they are
a week old: then nobody waits for them (`strays`).

How nothing is removed that a row is about to name:

1. A lease is taken in the journal on a picture that no message here is known to have. The uploader stores nothing of a
   picture under a lease: one that is posted again waits, and is put anew afterwards. No request is made while the
   journal is held.
2. A row that was on its way when the picture was last known is waited for; only then is the catalogue asked once more.
3. The lease is renewed before each request to delete, and ends when all of them are answered. One without an answer may
   still be carried out later: then the lease is left to run out, LEASE_SECONDS after that request, whether or not the
   process lives.

What the journal cannot know is another instance that publishes to the same bucket under the same prefix, with the same
catalogue. Keep one bucket and prefix for each instance. Where the catalogue names pictures that this journal never had,
nothing is removed with a grace of less than a day; a picture that the other one finds there, older than that, and has
written no row for yet, is not protected. A catalogue that names nothing of what this instance has published, or of
what is stored where it has published nothing yet, is not believed at all.
"""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from ipc.journal import Journal, leases
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.gc.garbage import Garbage, GarbageScope, find
from workers.publishing.gc.ownership import SHARED_GRACE_SECONDS, check_ownership
from workers.publishing.gc.removal import remove, remove_all
from workers.publishing.gc.strays import find_strays

__all__ = ["ANSWER_SECONDS", "Garbage", "GarbageScope", "collect", "find", "remove", "row_seconds"]

ANSWER_SECONDS = 5.0
"""Longest for an answer of the storage: far less than a lease lasts."""


def collect(options: Mapping[str, Any], *, delete: bool, grace_seconds: float) -> Iterator[Garbage]:
    """Find garbage, and remove it if `delete` says so. Raises StorageFault and CatalogFault.

    `options` are the uploader's.
    """
    storage, catalog = storages.make(options, ANSWER_SECONDS), catalogs.make(options)
    journal = Journal.open(Path(options["state_dir"]) / "journal.db")
    scope = GarbageScope(storage, catalog, journal, options["storage"]["prefix"], row_seconds(options["catalog"]))
    try:
        check_ownership(scope)
        before = time.time() - grace_seconds
        if delete:
            leases.forget_expired(journal)
            yield from remove_all(scope, before, may_be_shared=grace_seconds >= SHARED_GRACE_SECONDS)
        else:
            yield from find(scope, before)
        yield from find_strays(options, journal, ANSWER_SECONDS, delete=delete)
    finally:
        journal.close()
        catalog.close()
        storage.close()


def row_seconds(settings: Mapping[str, Any]) -> float:
    """The longest that a row is on its way to the catalogue of these settings.

    A hosted project gives up on a statement in less time than the uploader waits for its answer.
    """
    return 2.0 * settings["answer_seconds"] if settings.get("backend") == "supabase" else 1.0
