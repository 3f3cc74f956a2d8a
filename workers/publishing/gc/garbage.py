"""Which stored objects are garbage, as far as catalogue and journal know now."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Collection, Iterator, Mapping
from dataclasses import dataclass
from itertools import groupby, islice
from operator import itemgetter

from ipc.files.object_layout import OBJECT_NAME, objects_of
from ipc.journal import Journal
from ipc.journal import pictures as journal_pictures
from workers.publishing.catalog import Catalog
from workers.publishing.storage import Storage, Stored

CHUNK = 500
"""Pictures that the catalogue is asked about, and that leases are taken on, at once."""


@dataclass(frozen=True, slots=True)
class Garbage:
    """The objects of one picture that nothing names; `removed` if they have been. `sha256` is "" where nobody knows it.

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
class GarbageScope:
    """Where garbage is looked for, and what it is judged by. `row_seconds`: the longest that a row is on its way."""

    storage: Storage
    catalog: Catalog
    journal: Journal
    prefix: str
    row_seconds: float = 0.0
    sleep: Callable[[float], None] = time.sleep


def find(scope: GarbageScope, before: float) -> Iterator[Garbage]:
    """Garbage that was last modified before that Unix second."""
    for _, found in chunks(scope, before):
        yield from found


def chunks(scope: GarbageScope, before: float) -> Iterator[tuple[Collection[str], list[Garbage]]]:
    """The digests of the stored pictures, CHUNK at a time, and their garbage."""
    found = pictures_in(scope.storage, scope.prefix)
    while pictures := dict(islice(found, CHUNK)):
        old = {
            sha256: objects for sha256, objects in pictures.items() if max(one.modified_at for one in objects) < before
        }
        yield pictures.keys(), judge(scope, old)


def pictures_in(storage: Storage, prefix: str) -> Iterator[tuple[str, tuple[Stored, ...]]]:
    """The stored objects by picture, whose digest is in their keys. Both storages list a picture's objects together."""
    form = re.compile(rf"{re.escape(prefix)}([0-9a-f]{{2}})/(\1[0-9a-f]{{62}})/{OBJECT_NAME}")

    ours = ((match[2], one) for one in storage.list(prefix) if (match := form.fullmatch(one.key)))
    for sha256, group in groupby(ours, key=itemgetter(0)):
        yield sha256, tuple(one for _, one in group)


def objects_under(storage: Storage, prefix: str, sha256: str) -> tuple[Stored, ...]:
    """The stored objects of one picture, of whatever recipe."""
    folder = f"{prefix}{sha256[:2]}/{sha256}/"
    form = re.compile(rf"{re.escape(folder)}{OBJECT_NAME}")
    return tuple(one for one in storage.list(folder) if form.fullmatch(one.key))


def judge(scope: GarbageScope, pictures: Mapping[str, tuple[Stored, ...]]) -> list[Garbage]:
    """The garbage among these pictures' objects. Raises CatalogFault."""
    if not pictures:
        return []
    referenced, known = scope.catalog.referenced(pictures), journal_pictures.known(scope.journal, pictures)
    whole = [Garbage(sha256, objects) for sha256, objects in pictures.items() if sha256 not in referenced | known]
    settled = referenced - journal_pictures.under_way(scope.journal, pictures)
    return whole + (_unnamed_parts(scope, pictures, settled) if settled else [])


def _unnamed_parts(
    scope: GarbageScope, pictures: Mapping[str, tuple[Stored, ...]], settled: Collection[str]
) -> list[Garbage]:
    """The objects that no row names, of pictures with a row and no job under way."""
    jobs = journal_pictures.jobs_with(scope.journal, settled)
    named = scope.catalog.named(settled) | {one.key for job in jobs for one in objects_of(job, scope.prefix)}
    published: dict[str, set[str | None]] = {}
    for job in jobs:
        published.setdefault(str(job.sha256), set()).add(job.original)
    found = []
    for sha256 in sorted(settled):
        may_go = gone_originals(published.get(sha256, {None}))
        unnamed = tuple(
            one
            for one in pictures[sha256]
            if one.key not in named and (not (name := _original_name(one.key)) or name in may_go)
        )
        if unnamed:
            found.append(Garbage(sha256, unnamed, is_whole=False))
    return found


def gone_originals(published: Collection[str | None]) -> frozenset[str]:
    """The names of a picture's originals that may go, if its messages have published it in these ways.

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
