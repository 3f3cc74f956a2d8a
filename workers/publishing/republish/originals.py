"""What is published in a way that the settings don't want any more: how much that is, and how it is put right.

Originals that are published as they came, from before they were stripped or with `storage.originals = "as_is"`: each is
read back, the stripped one is put, the old object is deleted, and only then does the journal say so. Killed anywhere,
the next run finds out from the storage how far it had come, and repeats the rest. Meanwhile the picture is under the
lease that `gc` takes (see `workers.publishing.gc`): the uploader stores nothing of it.

Rows whose URLs begin as `storage.public_url` says no more: the journal sends them to the uploader, which writes them
with a higher revision, as after an edit. Nothing else writes rows.
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

from ipc.files.object_layout import Published, address_of, objects_of, original_key, stripped_key
from ipc.jobs import Job
from ipc.journal import Journal, JournalError
from ipc.posts import BACKFILL
from workers.publishing import catalog as catalogs
from workers.publishing import storage as storages
from workers.publishing import threads as crew
from workers.publishing.catalog import CatalogFault
from workers.publishing.storage import Item, Storage
from workers.stripping import StripperFault, Unstrippable, strip

CHUNK = 64
"""Pictures that are under way at once: a lease is taken on so many."""

THREADS = 4
"""Originals that are held in memory at once."""

ANSWER_SECONDS = 30.0
"""Longest for an answer of the storage. A picture's four take far less than a lease lasts."""

ROWS = 500
"""Rows that are sent back in one transaction: whoever else writes waits for that long."""

SAMPLE = 50
"""So many rows are looked at where nobody noted how their URLs begin: the oldest."""

Became = Literal["stripped", "removed", "missing", "damaged", "failed"]
"""What became of an original that was published as it came.

It was replaced; deleted, since it can't be stripped, or nobody shows it or wants it; it is not where it should be, and
neither are its renditions; it is not the file that its name says; stripping it failed through a fault of our own. The
last three are left as they are.
"""


@dataclass(frozen=True, slots=True)
class Replaced:
    """An original, by the key that it had, and what became of it, and why if it is none that was to be expected."""

    key: str
    became: Became
    why: str = ""


# Counting


def check(options: Mapping[str, Any]) -> list[str]:
    """What is published otherwise than the settings want, a line each. `options` are the uploader's."""
    path = Path(options["state_dir"]) / "journal.db"
    if not path.exists():
        return []
    try:
        journal = Journal.open_to_read(path)
    except JournalError:
        return []  # which `check` says of the journal itself
    try:
        return [f"warning: {line}" for line in (*_originals_as_is(journal, options), *_stale_rows(journal, options))]
    finally:
        journal.close()


def _originals_as_is(journal: Journal, options: Mapping[str, Any]) -> Iterator[str]:
    wanted = options["storage"]["originals"]
    if wanted != "as_is" and (count := journal.count_as_is()):
        yield (
            f"{count} originals are published as they came, with whatever their cameras wrote into them (place, device,"
            f' time), while storage.originals = "{wanted}": bin/run republish --originals replaces them'
        )


def _stale_rows(journal: Journal, options: Mapping[str, Any]) -> Iterator[str]:
    url, prefix = _address(options)
    same_prefix = elsewhere = 0
    for number, found_url, found_prefix, rows in journal.rows_by_address():
        if number is None:
            same_prefix += rows if _are_stale(journal, options, url) else 0
        elif found_prefix != prefix:
            elsewhere += rows
        elif found_url != url:
            same_prefix += rows
    if same_prefix:
        yield f"the URLs in {same_prefix} rows do not begin with {url}: bin/run republish --urls writes them again"
    if elsewhere:
        yield (
            f"{elsewhere} rows name objects that are not under storage.prefix {prefix!r}, and objects are not moved:"
            " set it back to what it was"
        )


def _are_stale(journal: Journal, options: Mapping[str, Any], url: str) -> bool:
    """Whether one of the oldest rows of which nobody noted it has URLs that begin in another way."""
    catalog = catalogs.make(options)
    try:
        found = catalog.urls(journal.published_under(None, SAMPLE))
    except CatalogFault:
        return False  # which `check` says of the catalogue itself
    finally:
        catalog.close()
    return not all(one.startswith(url) for one in found)


def _address(options: Mapping[str, Any]) -> tuple[str, str]:
    """What today's URLs begin with, and the prefix."""
    storage, prefix = storages.make(options), options["storage"]["prefix"]
    try:
        return address_of(storage.url, prefix), prefix
    finally:
        storage.close()


# Rows


def write_rows_again(options: Mapping[str, Any]) -> Iterator[int]:
    """Send all rows whose URLs begin otherwise than today's to the uploader; how many, some at a time.

    Those of which nobody noted how they begin are among them; those of another prefix are not.
    """
    url, prefix = _address(options)
    journal = Journal.open(Path(options["state_dir"]) / "journal.db")
    try:
        for number, found_url, found_prefix, _ in journal.rows_by_address():
            if number is None or (found_prefix == prefix and found_url != url):
                while count := journal.write_again(number, BACKFILL, ROWS):
                    yield count
    finally:
        journal.close()


# Originals


@dataclass(frozen=True, slots=True)
class Shop:
    """Where originals are replaced, and by what."""

    storage: Storage
    journal: Journal
    prefix: str
    wanted: Published
    threads: int = 1
    putting: threading.Lock = field(default_factory=threading.Lock)
    """Who stores objects side by side is the storage itself: it is asked by one at a time."""


def replace_originals(options: Mapping[str, Any]) -> Iterator[Replaced]:
    """Replace, or delete, each original that is published as it came. Raises StorageFault.

    `options` are the uploader's; they want it "stripped" or "none".
    """
    settings = options["storage"]
    storage = storages.make(options, ANSWER_SECONDS)
    journal = Journal.open(Path(options["state_dir"]) / "journal.db", durable=True)
    threads = 1 if settings.get("backend", "files") == "files" else min(THREADS, settings["concurrency"])
    try:
        yield from replace_all(Shop(storage, journal, settings["prefix"], settings["originals"], threads))
    finally:
        journal.close()
        storage.close()


def replace_all(shop: Shop) -> Iterator[Replaced]:
    after = ""
    while pictures := shop.journal.pictures_as_is(after, CHUNK):
        after = pictures[-1]
        inherited = shop.journal.removals().keys()  # of a run that got no answer: those run out by themselves
        leased = shop.journal.begin_removal(pictures, lambda asked: set())
        yield from _replace_some(shop, pictures)
        shop.journal.end_removal(leased - inherited)  # after a fault they run out: a request may still be carried out


def _replace_some(shop: Shop, pictures: list[str]) -> list[Replaced]:
    """Replace these side by side; the journal is told in this thread, as soon as each is done."""
    replaced: list[Replaced] = []

    def done(result: tuple[str, Replaced, Published | None]) -> None:
        sha256, one, published = result
        if published is not None:
            shop.journal.replace_original(sha256, published)
        replaced.append(one)

    jobs = {sha256: shop.journal.jobs_as_is(sha256) for sha256 in pictures}
    calls: list[Callable[[], tuple[str, Replaced, Published | None]]] = [
        partial(_replace, shop, sha256, jobs[sha256]) for sha256 in pictures if jobs[sha256]
    ]
    crew.run(calls, threads=shop.threads, done=done)
    return replaced


def _replace(shop: Shop, sha256: str, jobs: list[Job]) -> tuple[str, Replaced, Published | None]:
    """Replace one in the storage; what became of it, and how the original is published now (None: as before)."""
    job = jobs[0]
    key = original_key(job, shop.prefix)
    data = shop.storage.read(key)
    if data is None:
        published = _found_gone(shop, job, is_shown=any(one.deleted_at is None for one in jobs))
        became: Became = "missing" if published is None else "stripped" if published == "stripped" else "removed"
        why = "neither it nor its renditions are there: is storage.prefix another one now?" if published is None else ""
        return sha256, Replaced(key, became, why), published
    if hashlib.sha256(data).hexdigest() != sha256:
        return sha256, Replaced(key, "damaged", "it is not the file that its name says, and was left alone"), None
    if all(one.deleted_at is not None for one in jobs) or shop.wanted == "none":
        shop.storage.delete(key)
        return sha256, Replaced(key, "removed"), "none"
    try:
        stripped = strip(data, job.extension or "")
    except Unstrippable as reason:
        shop.storage.delete(key)
        return sha256, Replaced(key, "removed", f"it can't be stripped: {reason}"), "none"
    except StripperFault as fault:  # nothing is deleted for that
        return sha256, Replaced(key, "failed", f"a fault of ours, please report it, and was left alone: {fault}"), None
    _put(shop, job, stripped)
    shop.storage.delete(key)
    return sha256, Replaced(key, "stripped"), "stripped"


def _found_gone(shop: Shop, job: Job, *, is_shown: bool) -> Published | None:
    """How an original is published that is not there: a run before this one may have been killed. None: unknown."""
    if shop.storage.read(stripped_key(job, shop.prefix)) is not None:
        return "stripped"
    rendition = next(objects_of(job, shop.prefix))
    is_elsewhere = is_shown and rendition.key != original_key(job, shop.prefix)
    return None if is_elsewhere and shop.storage.read(rendition.key) is None else "none"


def _put(shop: Shop, job: Job, stripped: bytes) -> None:
    """Put the stripped original, for good. One that is there already stays: no key's bytes ever change."""
    with tempfile.TemporaryDirectory(prefix="picturedesk-") as folder:
        source = Path(folder) / "stripped"
        with source.open("xb") as file:
            file.write(stripped)
            file.flush()
            os.fsync(file.fileno())
        content_type = job.mime or "application/octet-stream"
        item = Item(stripped_key(job, shop.prefix), source, content_type, is_exact=False)
        with shop.putting:
            shop.storage.put_all([item], tries=3)
            shop.storage.settle()
