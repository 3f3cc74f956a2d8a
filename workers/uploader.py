"""The uploader: objects to the storage, rows to the catalogue, then the spool files go.

The order is what makes it safe to be killed anywhere: all objects, then `stored` in the journal (durably), and only
then are the spool files deleted; then the row, then `published`. Every step can be repeated.

Several pictures are stored at once, and several rows written in one go, while there are several; a single one is done
with at once. Each service has its breaker: while it is open nothing is asked of that service, and the other goes on.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Collection, Iterable, Iterator
from itertools import chain
from typing import Any

import structlog

from ipc import failpoints
from ipc.context import Context
from ipc.jobs import Job
from ipc.journal import Journal
from ipc.messages import clip
from ipc.retry import RetryPolicy
from ipc.spool import Spool
from workers import catalog as catalogs
from workers import storage as storages
from workers.breaker import Breaker
from workers.catalog import BATCH_ENTRIES, Catalog, CatalogFault, Entry, Outcome, RowFault
from workers.crew import Interrupted
from workers.rows import iso, objects_of, rows_of
from workers.service import Service
from workers.storage import Item, ObjectFault, Storage, StorageFault

POLL_SECONDS = 1.0
BATCH_PICTURES = 32
RECORD_PICTURES = 16
"""So many are recorded in one transaction while others are still on their way, or all that there are at the end."""

BATCHES = 8
"""Full batches of rows that are written before the storage has its turn again."""

SWEEP_SECONDS = 600.0
"""How often strays are looked for in the spool, besides at every start."""

ERROR_BYTES = 1000
"""Of each service's error in a report: both go in one message."""

_FAULTS_OF_A_JOB = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""Not the journal's errors, nor the system's: those end the process, and the next incarnation begins afresh."""

log = structlog.get_logger()


def main(context: Context) -> None:
    """Publish rendered jobs until asked to stop. Options: `storage`, `catalog`, `breaker`, `retry`."""
    options = context.options
    uploader = Uploader(
        context=context,
        journal=Journal.open(context.journal_path, durable=True),
        spool=Spool(context.spool_path),
        storage=storages.make(options),
        catalog=catalogs.make(options),
        prefix=options["storage"]["prefix"],
        policy=RetryPolicy(**options["retry"]),
        storage_breaker=Breaker(**options["breaker"]),
        catalog_breaker=Breaker(**options["breaker"]),
    )
    uploader.sweep()
    context.ready()
    uploader.tell()
    while not context.stopping:
        went_on = uploader.publish_due()
        uploader.sweep_sometimes()
        if not went_on:
            context.receive(POLL_SECONDS)


class Uploader:
    """Publishes jobs: a step of those that wait for the storage, then one of those that wait for the catalogue."""

    def __init__(
        self,
        *,
        context: Context,
        journal: Journal,
        spool: Spool,
        storage: Storage,
        catalog: Catalog,
        prefix: str,
        policy: RetryPolicy,
        storage_breaker: Breaker,
        catalog_breaker: Breaker,
    ) -> None:
        self._context = context
        self._journal = journal
        self._spool = spool
        self._storage = storage
        self._catalog = catalog
        self._prefix = prefix
        self._policy = policy
        self._storage_service = Service(storage_breaker, journal, policy)
        self._catalog_service = Service(catalog_breaker, journal, policy)
        self._swept = time.monotonic()
        self._told: dict[str, Any] = {}

    def publish_due(self) -> int:
        """Store, then write, what is due; how many jobs went a step on."""
        went_on = self._store_due()
        went_on += self._write_due()  # what has just been stored gets its row at once
        self.tell()
        return went_on

    # Objects

    def _store_due(self) -> int:
        jobs = self._storage_service.take(
            BATCH_PICTURES, lambda most, besides: self._journal.due("rendered", most, stored=False, besides=besides)
        )
        pictures = self._pictures(jobs)
        return self._store([job for job in jobs if job.id in pictures], pictures) if pictures else 0

    def _pictures(self, jobs: Iterable[Job]) -> dict[int, list[Item]]:
        """The objects by job. A job that none can be named for must not stop the others."""
        jobs = list(jobs)
        posted_again = self._journal.posted_again(job.sha256 for job in jobs if job.sha256)
        pictures: dict[int, list[Item]] = {}
        for job in jobs:
            folder = self._spool.folder(job.id, job.generation)
            try:
                objects = list(objects_of(job, self._prefix))
            except _FAULTS_OF_A_JOB as error:
                self._fail(job, "no objects can be named", error)
                continue
            is_expected = job.sha256 in posted_again
            pictures[job.id] = [Item(one.key, folder / one.file, one.content_type, is_expected) for one in objects]
        return pictures

    def _store(self, jobs: list[Job], pictures: dict[int, list[Item]]) -> int:
        """Put the objects of these jobs, and record whose are all there; how many jobs went a step on."""
        failpoints.reach("published.before")
        missing = {job.id: {item.key for item in pictures[job.id]} for job in jobs}
        complete: list[Job] = []
        stored: list[Job] = []

        def note(key: str, is_new: bool) -> None:
            failpoints.reach("published.put")
            for job in jobs:
                if key in missing[job.id]:
                    missing[job.id].remove(key)
                    if not missing[job.id]:
                        complete.append(job)
            if len(complete) >= RECORD_PICTURES:
                record()  # while the next ones are on their way

        def record() -> None:
            self._storage.settle()
            self._record_stored(complete)
            stored.extend(complete)
            complete.clear()

        fault = self._put_all(chain.from_iterable(pictures.values()), note)
        try:
            if complete:
                record()
        except StorageFault as error:
            fault = error
        done = {job.id for job in stored}
        left = [job for job in jobs if job.id not in done]
        match fault:
            case None:
                self._storage_service.succeeded(stored)
            case StorageFault():
                log.error("storage failed", jobs=[job.id for job in left], reason=str(fault))
                self._storage_service.failed(left, fault)
            case FileNotFoundError():
                # Nobody's, if another message's picture is the same and has been put: then it is needed no more.
                for job in left:
                    if _has_source(pictures[job.id], fault.filename):
                        self._make_again(job, fault.filename)
            case ObjectFault() if left:
                self._blame(left, fault)
        return len(stored)

    def _put_all(self, items: Iterable[Item], note: Callable[[str, bool], None]) -> Exception | None:
        """Put these; what kept the rest of them out. A storage that has just failed gets one of them at first."""
        items = list(items)
        try:
            if self._storage_service.is_in_doubt:
                self._storage.put_all([items.pop(0)], stop=lambda: self._context.stopping, stored=note)
            self._storage.put_all(items, stop=lambda: self._context.stopping, stored=note)
        except (StorageFault, ObjectFault, FileNotFoundError, Interrupted) as error:
            return error
        return None

    def _record_stored(self, jobs: list[Job]) -> None:
        """Record that the jobs' objects are there, and delete their spool files."""
        failpoints.reach("published.stored")
        self._journal.record_stored(jobs)
        failpoints.reach("published.recorded")
        for job in jobs:  # whoever has another picture by now needs these files no more either
            self._spool.remove(job.id, job.generation)
        failpoints.reach("published.deleted")

    def _blame(self, jobs: list[Job], fault: ObjectFault) -> None:
        """An object of one of these jobs is refused."""
        if len(jobs) > 1:
            self._storage_service.one_by_one(jobs)
            return
        outcome = self._journal.fail(jobs[0], str(fault), self._policy)
        log.error("object refused", job=jobs[0].id, reason=str(fault), outcome=outcome)

    def _fail(self, job: Job, what: str, error: Exception) -> None:
        log.exception(what, job=job.id)
        self._journal.fail(job, f"{type(error).__name__}: {error}", self._policy)

    def _make_again(self, job: Job, file: str) -> None:
        """From the original where that is still there (a dead letter's is kept), else from the source."""
        log.warning("the spool has lost files, they are made again", job=job.id, file=file)
        if self._spool.original(job.id, job.generation).exists():
            self._spool.keep_original_only(job.id, job.generation)
            self._journal.render_again(job)
            self._context.wake("fetched")
        else:
            self._spool.remove(job.id, job.generation)
            self._journal.send_back(job)
            self._context.wake("seen")

    # Rows

    def _write_due(self) -> int:
        """Write what is due, a batch after another while there are full ones; how many jobs went a step on."""
        written, under_way = 0, deque[list[Job]]()
        try:
            for outcomes in self._catalog.write_each(self._batches(under_way), stop=lambda: self._context.stopping):
                written += self._record_written(under_way.popleft(), outcomes)
        except CatalogFault as fault:
            jobs = under_way.popleft()
            log.error("catalogue failed", jobs=[job.id for job in jobs], reason=str(fault))
            self._catalog_service.failed(jobs, fault)
        except Interrupted:
            pass  # whether they were written or not, they can be written again
        return written

    def _batches(self, under_way: deque[list[Job]]) -> Iterator[list[Entry]]:
        """The rows to write, in batches, each made when the one before is on its way. `under_way`: whose they are."""

        def due(most: int, besides: Collection[int]) -> list[Job]:
            taken = {job.id for jobs in under_way for job in jobs}
            return self._journal.due("rendered", most, stored=True, besides=taken.union(besides))

        for number in range(BATCHES):
            if number and self._context.stopping:
                return  # each has as long as a stop gives it: eight of a slow service would outlast the drain
            jobs = self._catalog_service.take(BATCH_ENTRIES, due)
            entries = self._entries(jobs)
            if entries:
                under_way.append([job for job in jobs if job.id in entries])
                yield list(entries.values())
            if len(jobs) < BATCH_ENTRIES:
                return

    def _entries(self, jobs: Iterable[Job]) -> dict[int, Entry]:
        """The rows by job. A job that none can be made of must not stop the others."""
        titles = {channel["id"]: channel["title"] for channel in self._journal.channels()}
        entries: dict[int, Entry] = {}
        for job in jobs:
            try:
                rows = rows_of(job, self._prefix, self._storage.url)
                message = rows["messages"]
                assert message is not None, "every job has a message"
                entries[job.id] = Entry(
                    {"id": job.channel_id, "title": titles.get(job.channel_id, "")}, message, rows["images"]
                )
            except _FAULTS_OF_A_JOB as error:
                self._fail(job, "no row can be made", error)
        return entries

    def _record_written(self, jobs: list[Job], outcomes: list[Outcome]) -> int:
        """Record whose rows are there; how many jobs went a step on."""
        failpoints.reach("published.row")
        self._catalog_service.succeeded(jobs)
        written = []
        for job, outcome in zip(jobs, outcomes, strict=True):
            if isinstance(outcome, RowFault):
                ending = self._journal.fail(job, str(outcome), self._policy)
                log.error("row refused", job=job.id, reason=str(outcome), outcome=ending)
            else:
                written.append(job)
        published = self._journal.record_published(written)
        failpoints.reach("published.after")
        for job in published:
            what = "published" if job.deleted_at is None else "deletion published"
            log.info(what, job=job.id, channel=job.channel_id, message=job.message_id, sha256=job.sha256)
        return len(written)

    # The spool

    def sweep(self) -> None:
        """Delete the strays of killed processes from the spool."""
        self._swept = time.monotonic()
        swept = self._spool.sweep(self._journal.unfinished)
        if swept:
            log.info("swept strays from the spool", folders=swept)

    def sweep_sometimes(self) -> None:
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            self.sweep()

    # Telling

    def tell(self) -> None:
        """Report how the services stand, when that changes."""
        storage, catalog = self._storage_service.facts(), self._catalog_service.facts()
        facts = {
            "r2_circuit_breaker": storage["state"],
            "r2_circuit_breaker_since": _iso(storage["since"]),
            "r2_next_probe_at": _iso(storage["next_probe_at"]),
            "storage_error": clip(storage["error"], ERROR_BYTES),
            "supabase_circuit_breaker": catalog["state"],
            "supabase_circuit_breaker_since": _iso(catalog["since"]),
            "supabase_next_probe_at": _iso(catalog["next_probe_at"]),
            "catalog_error": clip(catalog["error"], ERROR_BYTES),
        }
        if facts != self._told:
            self._told = facts
            self._context.report("uploader", **facts)


def _has_source(items: Iterable[Item], file: str) -> bool:
    return any(str(item.source) == file for item in items)


def _iso(seconds: float | None) -> str | None:
    return iso(None if seconds is None else int(seconds))
