"""Originals that are published as they came, replaced by stripped ones or deleted.

They are from before originals were stripped, or of `storage.originals = "as_is"`. Each is read back, the stripped one
is put, the old object is deleted, and only then does the journal say so. Killed anywhere, the next run finds out from
the storage how far it had come, and repeats the rest. Meanwhile the picture is under the lease that `gc` takes (see
`workers.publishing.gc`): the uploader stores nothing of it.
"""

from __future__ import annotations

import hashlib
import os
import tempfile
import threading
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal

from ipc.files.object_layout import Published, objects_of, original_key, stripped_key
from ipc.jobs import Job
from ipc.journal import Journal, leases
from ipc.journal import pictures as journal_pictures
from workers.publishing import storage as storages
from workers.publishing import threads
from workers.publishing.storage import NewObject, Storage
from workers.stripping import StripperFault, Unstrippable, strip

CHUNK = 64
"""How many pictures a lease is taken on at once."""

THREADS = 4
"""Originals that are held in memory at once."""

ANSWER_SECONDS = 30.0
"""Longest for an answer of the storage. A picture's four take far less than a lease lasts."""

Became = Literal["stripped", "removed", "missing", "damaged", "failed"]
"""The end of an original that was published as it came.

It was replaced; deleted, since it can't be stripped, no message shows it, or the settings want none; it is not where it
should be, and neither are its renditions; it is not the file that its name says; stripping it failed through a fault of
our own. The last three are left as they are.
"""


@dataclass(frozen=True, slots=True)
class Replaced:
    """An original, by the key that it had, and how it ended. `why` is empty where that was to be expected."""

    key: str
    became: Became
    why: str = ""


@dataclass(frozen=True, slots=True)
class OriginalsScope:
    """Where originals are replaced, and how the settings want them published. `threads`: number of threads."""

    storage: Storage
    journal: Journal
    prefix: str
    wanted: Published
    threads: int = 1
    putting: threading.Lock = field(default_factory=threading.Lock)
    """Held around `Storage.put_all`, which one thread may call at a time."""


def replace_originals(options: Mapping[str, Any]) -> Iterator[Replaced]:
    """Replace, or delete, each original that is published as it came. Raises StorageFault.

    `options` are the uploader's; they want it "stripped" or "none".
    """
    settings = options["storage"]
    storage = storages.make(options, ANSWER_SECONDS)
    journal = Journal.open(Path(options["state_dir"]) / "journal.db", durable=True)
    at_once = 1 if settings.get("backend", "files") == "files" else min(THREADS, settings["concurrency"])
    try:
        yield from replace_all(OriginalsScope(storage, journal, settings["prefix"], settings["originals"], at_once))
    finally:
        journal.close()
        storage.close()


def replace_all(scope: OriginalsScope) -> Iterator[Replaced]:
    """Replace CHUNK after CHUNK. Raises StorageFault."""
    after = ""
    while pictures := journal_pictures.as_is(scope.journal, after, CHUNK):
        after = pictures[-1]
        inherited = leases.times(scope.journal).keys()  # of a run that got no answer: those run out by themselves
        leased = leases.begin(scope.journal, pictures, lambda asked: set())
        yield from _replace_some(scope, pictures)
        leases.end(scope.journal, leased - inherited)  # after a fault they run out: a request may still be carried out


def _replace_some(scope: OriginalsScope, pictures: list[str]) -> list[Replaced]:
    """Replace these side by side. This thread records each in the journal, as soon as it is done."""
    replaced: list[Replaced] = []

    def done(result: tuple[str, Replaced, Published | None]) -> None:
        sha256, one, published = result
        if published is not None:
            journal_pictures.replace_original(scope.journal, sha256, published)
        replaced.append(one)

    jobs = {sha256: journal_pictures.jobs_as_is(scope.journal, sha256) for sha256 in pictures}
    calls: list[Callable[[], tuple[str, Replaced, Published | None]]] = [
        partial(_replace, scope, sha256, jobs[sha256]) for sha256 in pictures if jobs[sha256]
    ]
    threads.run(calls, threads=scope.threads, done=done)
    return replaced


def _replace(scope: OriginalsScope, sha256: str, jobs: list[Job]) -> tuple[str, Replaced, Published | None]:
    """Replace one in the storage; what became of it, and how the original is published now (None: as before)."""
    job = jobs[0]
    key = original_key(job, scope.prefix)
    data = scope.storage.read(key)
    is_shown = any(one.deleted_at is None for one in jobs)
    if data is None:
        return sha256, *_replaced_before(scope, job, is_shown=is_shown)
    if hashlib.sha256(data).hexdigest() != sha256:
        return sha256, Replaced(key, "damaged", "it is not the file that its name says, and was left alone"), None
    if not is_shown or scope.wanted == "none":
        scope.storage.delete(key)
        return sha256, Replaced(key, "removed"), "none"
    try:
        stripped = strip(data, job.extension or "")
    except Unstrippable as reason:
        scope.storage.delete(key)
        return sha256, Replaced(key, "removed", f"it can't be stripped: {reason}"), "none"
    except StripperFault as fault:  # nothing is deleted for that
        return sha256, Replaced(key, "failed", f"a fault of ours, please report it, and was left alone: {fault}"), None
    _put(scope, job, stripped)
    scope.storage.delete(key)
    return sha256, Replaced(key, "stripped"), "stripped"


def _replaced_before(scope: OriginalsScope, job: Job, *, is_shown: bool) -> tuple[Replaced, Published | None]:
    """An original that is not there: a run before this one may have been killed."""
    key = original_key(job, scope.prefix)
    match _found_gone(scope, job, is_shown=is_shown):
        case None:
            why = "neither it nor its renditions are there: is storage.prefix another one now?"
            return Replaced(key, "missing", why), None
        case "stripped":
            return Replaced(key, "stripped"), "stripped"
        case published:
            return Replaced(key, "removed"), published


def _found_gone(scope: OriginalsScope, job: Job, *, is_shown: bool) -> Published | None:
    """How an original is published that is not there; None: unknown, since not even a rendition is."""
    if scope.storage.read(stripped_key(job, scope.prefix)) is not None:
        return "stripped"
    rendition = next(objects_of(job, scope.prefix))
    is_elsewhere = is_shown and rendition.key != original_key(job, scope.prefix)
    return None if is_elsewhere and scope.storage.read(rendition.key) is None else "none"


def _put(scope: OriginalsScope, job: Job, stripped: bytes) -> None:
    """Put the stripped original, for good. One that is there already stays: no key's bytes ever change."""
    with tempfile.TemporaryDirectory(prefix="picturedesk-") as folder:
        source = Path(folder) / "stripped"
        with source.open("xb") as file:
            file.write(stripped)
            file.flush()
            os.fsync(file.fileno())
        content_type = job.mime or "application/octet-stream"
        item = NewObject(stripped_key(job, scope.prefix), source, content_type, is_exact=False)
        with scope.putting:
            scope.storage.put_all([item], tries=3)
            scope.storage.sync()
