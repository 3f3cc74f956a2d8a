"""Objects that no row names any more: found, and removed if asked.

An object stays when a row has its digest, when a picture on its way here has it, when it is younger than the grace (a
tree on another machine may be about to write its row), and when its key is none that this program makes. Before a
picture's objects are removed the journal is held, so that the same picture cannot come in between the last look and the
removal: the uploader would find its objects there, and write a row that names nothing.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby
from operator import itemgetter
from pathlib import Path
from typing import Any

from ipc.journal import Journal
from workers import catalog as catalogs
from workers import storage as storages
from workers.catalog import Catalog
from workers.storage import Storage, StorageFault, Stored

CHUNK = 500
"""Pictures that the catalogue is asked about at once."""

HOLD_SECONDS = 10.0
"""How long the journal is held for a picture, but for the last request's own time-out: others wait 30 s for it."""

ANSWER_SECONDS = 5.0
"""Longest for an answer of the storage."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """The objects of one picture that nothing names; `removed` if they have been."""

    sha256: str
    objects: tuple[Stored, ...]
    removed: bool = False

    @property
    def bytes(self) -> int:
        return sum(one.bytes for one in self.objects)


def collect(options: Mapping[str, Any], *, delete: bool, grace_seconds: float) -> Iterator[Garbage]:
    """Find garbage, and remove it if `delete` says so. Raises StorageFault and CatalogFault.

    `options` are the uploader's.
    """
    storage, catalog = storages.make(options, ANSWER_SECONDS), catalogs.make(options)
    journal = Journal.open(Path(options["state_dir"]) / "journal.db")
    try:
        found = find(storage, catalog, journal, options["storage"]["prefix"], time.time() - grace_seconds)
        for garbage in found:
            if not delete:
                yield garbage
            elif remove(storage, catalog, journal, garbage):
                yield Garbage(garbage.sha256, garbage.objects, removed=True)
    finally:
        journal.close()
        catalog.close()
        storage.close()


def find(storage: Storage, catalog: Catalog, journal: Journal, prefix: str, before: float) -> Iterator[Garbage]:
    """What was last modified before that Unix second and is named by nothing."""
    for pictures in _chunks(_pictures(storage, prefix)):
        old = {sha256: objects for sha256, objects in pictures if all(one.modified_at < before for one in objects)}
        needed = catalog.referenced(old) | journal.known_pictures(old)
        yield from (Garbage(sha256, objects) for sha256, objects in old.items() if sha256 not in needed)


def remove(storage: Storage, catalog: Catalog, journal: Journal, garbage: Garbage) -> bool:
    """Remove the objects, unless the picture has come again meanwhile.

    Raises StorageFault, too, when it takes too long to go on with; what is left is found again the next time.
    """
    if catalog.referenced([garbage.sha256]):
        return False
    with journal.transaction():  # nobody records it as fetched now: the one place where I/O is done within one
        until = time.monotonic() + HOLD_SECONDS
        if journal.known_pictures([garbage.sha256]):
            return False
        for one in garbage.objects:
            if time.monotonic() > until:
                raise StorageFault(f"deleting takes too long: {HOLD_SECONDS:.0f} s for a picture were not enough")
            storage.delete(one.key)
    return True


def _pictures(storage: Storage, prefix: str) -> Iterator[tuple[str, tuple[Stored, ...]]]:
    """The stored objects by picture, whose digest is in their keys. Both storages list a picture's objects together."""
    form = re.compile(rf"{re.escape(prefix)}([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})/[0-9a-z]+\.[0-9a-z]+")

    ours = ((match[2], one) for one in storage.list(prefix) if (match := form.fullmatch(one.key)))
    for sha256, group in groupby(ours, key=itemgetter(0)):
        yield sha256, tuple(one for _, one in group)


def _chunks(pictures: Iterable[tuple[str, tuple[Stored, ...]]]) -> Iterator[list[tuple[str, tuple[Stored, ...]]]]:
    chunk = []
    for picture in pictures:
        chunk.append(picture)
        if len(chunk) == CHUNK:
            yield chunk
            chunk = []
    if chunk:
        yield chunk
