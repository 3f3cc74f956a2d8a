"""Objects that no row names any more: found, and removed if asked.

An object stays when a row names it; when it is the original, a row has its digest, and the journal does not know it to
be published in another way now; when a picture on its way here has its digest; when it is younger than the grace; and
when its key is none that this program makes.

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

import re
import time
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import groupby, islice
from operator import itemgetter
from pathlib import Path
from typing import Any

from ipc.files.object_layout import OBJECT_NAME, objects_of
from ipc.journal import Journal
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing.catalog import Catalog, CatalogFault
from workers.publishing.storage import Storage, Stored

CHUNK = 500
"""Pictures that the catalogue is asked about, and leases are taken on, at once."""

ANSWER_SECONDS = 5.0
"""Longest for an answer of the storage: far less than a lease lasts."""

SHARED_GRACE_SECONDS = 24 * 3600.0

SAMPLE = 200
"""So many pictures are asked about to see whose catalogue it is."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """The objects of one picture that nothing names; `removed` if they have been.

    `is_whole`: no row has its digest. Else there are others of its objects that some row names.
    """

    sha256: str
    objects: tuple[Stored, ...]
    is_whole: bool = True
    removed: bool = False

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.objects)


@dataclass(frozen=True, slots=True)
class Yard:
    """Where garbage is looked for. `row_seconds` is the longest that a row is on its way."""

    storage: Storage
    catalog: Catalog
    journal: Journal
    prefix: str
    row_seconds: float = 0.0
    sleep: Callable[[float], None] = time.sleep


def collect(options: Mapping[str, Any], *, delete: bool, grace_seconds: float) -> Iterator[Garbage]:
    """Find garbage, and remove it if `delete` says so. Raises StorageFault and CatalogFault.

    `options` are the uploader's.
    """
    storage, catalog = storages.make(options, ANSWER_SECONDS), catalogs.make(options)
    journal = Journal.open(Path(options["state_dir"]) / "journal.db")
    yard = Yard(storage, catalog, journal, options["storage"]["prefix"], row_seconds(options["catalog"]))
    try:
        see_that_it_is_ours(yard)
        before = time.time() - grace_seconds
        if delete:
            journal.forget_removals()
            yield from remove_all(yard, before, may_be_shared=grace_seconds >= SHARED_GRACE_SECONDS)
        else:
            yield from find(yard, before)
    finally:
        journal.close()
        catalog.close()
        storage.close()


def row_seconds(settings: Mapping[str, Any]) -> float:
    """The longest that a row is on its way to the catalogue of these settings.

    A hosted project gives up on a statement in less time than the uploader waits for its answer.
    """
    return 2.0 * settings["answer_seconds"] if settings["backend"] == "supabase" else 1.0


def see_that_it_is_ours(yard: Yard) -> None:
    """Raise CatalogFault if the catalogue names nothing of what it should: it would make garbage of all.

    That is what was published last. A fresh journal has published nothing: then it is some of what is stored.
    """
    if published := yard.journal.published_pictures(SAMPLE):
        if not yard.catalog.referenced(published):
            raise CatalogFault(
                f"the catalogue names none of the {len(published)} pictures that were published last: it is another"
                " one, or it was emptied. Check catalog.backend, catalog.url and state_dir. Nothing was removed"
            )
    elif not yard.journal.states()["published"]:  # else all of them were deleted since
        stored = [sha256 for sha256, _ in islice(_pictures(yard.storage, yard.prefix), SAMPLE)]
        # The journal's own are on their way, and need no row yet.
        if set(stored) - yard.journal.pictures_ever(stored) and not yard.catalog.referenced(stored):
            raise CatalogFault(
                f"the journal has published nothing, and the catalogue names none of {len(stored)} pictures in the"
                " storage: one of the three is another one, or it was emptied. Check catalog.backend, catalog.url,"
                " storage.prefix and state_dir. Nothing was removed"
            )


def find(yard: Yard, before: float) -> Iterator[Garbage]:
    """What was last modified before that Unix second and is named by nothing."""
    for _, found in _chunks(yard, before):
        yield from found


def remove_all(yard: Yard, before: float, *, may_be_shared: bool) -> Iterator[Garbage]:
    """Find it, and remove it; what has been removed. Raises CatalogFault if `may_be_shared` is not so, but it seems."""
    for pictures, found in _chunks(yard, before):
        if not may_be_shared and found:
            _refuse_shared(yard, pictures)
        asked_at = time.monotonic()
        yield from remove(yard, found, asked_at)


def remove(yard: Yard, found: Iterable[Garbage], asked_at: float) -> Iterator[Garbage]:
    """Remove this, but for what has come again meanwhile. `asked_at`: when it was found to be garbage (monotonic).

    Raises StorageFault at the first request that fails: the lease on that picture runs out by itself.
    """
    found = list(found)
    inherited = yard.journal.removals().keys()  # of a run that got no answer: those run out by themselves in any case
    leased = _lease(yard.journal, found)
    under_way: set[str] = set()
    try:
        if leased:
            yard.sleep(max(0.0, asked_at + yard.row_seconds - time.monotonic()))
        kinds = {one.sha256: one.is_whole for one in found}
        for garbage in _judge(yard, {one.sha256: one.objects for one in found if one.sha256 in leased}):
            if garbage.is_whole != kinds[garbage.sha256]:
                continue
            under_way.add(garbage.sha256)
            is_done = _delete(yard, garbage)
            under_way.clear()
            if garbage.sha256 not in inherited:
                yard.journal.end_removal([garbage.sha256])
            if is_done:
                yield replace(garbage, removed=True)
    finally:
        yard.journal.end_removal(leased - inherited - under_way)


def _lease(journal: Journal, found: list[Garbage]) -> set[str]:
    """Those that a lease was taken on."""
    whole = {one.sha256 for one in found if one.is_whole}
    part = {one.sha256 for one in found if not one.is_whole}
    return journal.begin_removal(whole, journal.known_pictures) | journal.begin_removal(
        part, journal.pictures_under_way
    )


def _delete(yard: Yard, garbage: Garbage) -> bool:
    """Delete its objects. False: the lease is lost, since this took too long, and they are somebody else's now."""
    for one in garbage.objects:
        if not yard.journal.renew_removal(garbage.sha256):
            return False
        yard.storage.delete(one.key)
    return True


def _judge(yard: Yard, pictures: Mapping[str, tuple[Stored, ...]]) -> list[Garbage]:
    """What of these pictures' objects is garbage, as far as catalogue and journal know now."""
    if not pictures:
        return []
    referenced, known = yard.catalog.referenced(pictures), yard.journal.known_pictures(pictures)
    whole = [Garbage(sha256, objects) for sha256, objects in pictures.items() if sha256 not in referenced | known]
    settled = referenced - yard.journal.pictures_under_way(pictures)
    if not settled:
        return whole
    jobs = yard.journal.jobs_with(settled)
    named = yard.catalog.named(settled) | {one.key for job in jobs for one in objects_of(job, yard.prefix)}
    published: dict[str, set[str | None]] = {}
    for job in jobs:
        published.setdefault(str(job.sha256), set()).add(job.original)
    part = []
    for sha256 in sorted(settled):
        may_go = gone_originals(published.get(sha256, {None}))
        stale = tuple(
            one
            for one in pictures[sha256]
            if one.key not in named and (not (name := _original_name(one.key)) or name in may_go)
        )
        if stale:
            part.append(Garbage(sha256, stale, is_whole=False))
    return whole + part


def _refuse_shared(yard: Yard, pictures: Collection[str]) -> None:
    """Raise CatalogFault if rows have more pictures that this journal never had than edits under way account for."""
    strangers = yard.catalog.referenced(pictures) - yard.journal.pictures_ever(pictures)
    states = yard.journal.states()
    if len(strangers) > sum(states[state] for state in ("seen", "fetched", "rendered", "dead")):
        raise CatalogFault(
            f"rows name {len(strangers)} pictures here that this instance never had: another one publishes to the same"
            " bucket and prefix, or the journal was lost. Give each instance a prefix of its own, or remove only what"
            " is older than a day (bin/run gc --delete --older-than 24)"
        )


def gone_originals(published: Collection[str | None]) -> frozenset[str]:
    """Which originals of a picture nobody wants any more, where its messages have published it in these ways.

    No row names an original, so what the journal does not know is kept. So is a stripped one, while another message has
    it published as it came: that one is about to be replaced by it.

    >>> sorted(gone_originals({"none"})), sorted(gone_originals({"stripped"})), sorted(gone_originals({"as_is", None}))
    (['original', 'stripped'], ['original'], [])
    """
    if None in published or "as_is" in published:
        return frozenset()
    return frozenset({"original"} if "stripped" in published else {"original", "stripped"})


def _original_name(key: str) -> str:
    """ "original" or "stripped"; empty for a rendition's."""
    name = key.rpartition("/")[2].partition(".")[0]
    return name if name in ("original", "stripped") else ""


def _chunks(yard: Yard, before: float) -> Iterator[tuple[Collection[str], list[Garbage]]]:
    """The pictures, some at a time, and what of them is garbage."""
    found = _pictures(yard.storage, yard.prefix)
    while pictures := dict(islice(found, CHUNK)):
        old = {
            sha256: objects for sha256, objects in pictures.items() if max(one.modified_at for one in objects) < before
        }
        yield pictures.keys(), _judge(yard, old)


def _pictures(storage: Storage, prefix: str) -> Iterator[tuple[str, tuple[Stored, ...]]]:
    """The stored objects by picture, whose digest is in their keys. Both storages list a picture's objects together."""
    form = re.compile(rf"{re.escape(prefix)}([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})/{OBJECT_NAME}")

    ours = ((match[2], one) for one in storage.list(prefix) if (match := form.fullmatch(one.key)))
    for sha256, group in groupby(ours, key=itemgetter(0)):
        yield sha256, tuple(one for _, one in group)
