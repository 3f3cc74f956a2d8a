"""The uploader: objects to the storage, rows to the catalogue, then the spool files go.

The order is what makes it safe to be killed anywhere: all objects, then `stored` in the journal (durably), and only
then are the spool files deleted; then the row, then `published`. Every step can be repeated. Each service has its
breaker: while it is open nothing is asked of that service, and the waiting jobs keep their attempts.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import structlog

from ipc import failpoints
from ipc.context import Context
from ipc.jobs import Job
from ipc.journal import Journal
from ipc.messages import clip
from ipc.retry import RetryPolicy
from ipc.spool import Spool
from workers.breaker import Breaker
from workers.catalog import Catalog, CatalogFault, RowFault, SqliteCatalog
from workers.rows import objects_of, rows_of
from workers.storage import FileStorage, Storage, StorageFault

POLL_SECONDS = 1.0
BATCH = 16

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
    state_dir = Path(options["state_dir"])
    uploader = Uploader(
        context=context,
        journal=Journal.open(context.journal_path, durable=True),
        spool=Spool(context.spool_path),
        storage=FileStorage(state_dir / "media", options["storage"]["public_url"]),
        catalog=SqliteCatalog(state_dir / "catalog.db"),
        prefix=options["storage"]["prefix"],
        policy=RetryPolicy(**options["retry"]),
        storage_breaker=Breaker(**options["breaker"]),
        catalog_breaker=Breaker(**options["breaker"]),
    )
    uploader.sweep()
    context.ready()
    uploader.tell()
    while not context.stopping:
        published = uploader.publish_due()
        uploader.sweep_sometimes()
        if not published:
            context.receive(POLL_SECONDS)


class Uploader:
    """Publishes jobs, one after another."""

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
        self._storage_breaker = storage_breaker
        self._catalog_breaker = catalog_breaker
        self._titles: dict[int, str] = {}
        self._swept = time.monotonic()
        self._told: dict[str, Any] = {}

    def publish_due(self) -> int:
        """Publish what is due, until a stop is asked for or a service fails; how many jobs went a step on."""
        published = 0
        self._titles.clear()  # a channel may have been renamed
        for job in self._due():
            if self._context.stopping:
                break
            published += self._publish(job)
        self.tell()
        return published

    def _due(self) -> list[Job]:
        """The oldest jobs that can go a step on: those that wait for a service that is out keep nobody else waiting."""
        now = time.monotonic()
        storage, catalog = self._storage_breaker.allows(now), self._catalog_breaker.allows(now)
        if storage and catalog:
            return self._journal.due("rendered", BATCH)
        if not storage and not catalog:
            return []
        return self._journal.due("rendered", BATCH, stored=catalog)

    def _publish(self, job: Job) -> bool:
        """Take one job as far as it goes; True if it went a step on."""
        failpoints.reach("published.before")
        try:
            if job.stored:
                return self._write_row(job)
            stored = self._store(job)
            if stored:
                self._write_row(job)
            return stored
        except FileNotFoundError as error:
            log.warning("the spool has lost files, they are made again", job=job.id, file=error.filename)
            self._make_again(job)
        except (StorageFault, CatalogFault) as fault:
            log.error("cannot publish", job=job.id, reason=str(fault))
        except RowFault as fault:
            outcome = self._journal.fail(job, str(fault), self._policy)
            log.error("row refused", job=job.id, reason=str(fault), outcome=outcome)
        except _FAULTS_OF_A_JOB as error:  # one job must not stop the others, whatever is the matter with it
            log.exception("publishing failed", job=job.id)
            self._journal.fail(job, f"{type(error).__name__}: {error}", self._policy)
        return False

    def _make_again(self, job: Job) -> None:
        """From the original where that is still there (a dead letter's is kept), else from the source."""
        if self._spool.original(job.id, job.generation).exists():
            self._spool.keep_original_only(job.id, job.generation)
            self._journal.render_again(job)
            self._context.wake("fetched")
        else:
            self._spool.remove(job.id, job.generation)
            self._journal.send_back(job)
            self._context.wake("seen")

    def _store(self, job: Job) -> bool:
        """Put every object of the job, record it, delete its spool files; False if the storage's breaker is open."""
        if not self._storage_breaker.allows(time.monotonic()):
            return False
        folder = self._spool.folder(job.id, job.generation)
        try:
            for thing in objects_of(job, self._prefix):
                self._storage.put(thing.key, folder / thing.file, thing.content_type)
                failpoints.reach("published.put")
            self._storage.settle()
        except StorageFault as fault:
            self._storage_breaker.fail(time.monotonic(), str(fault))
            raise
        self._storage_breaker.succeed()
        failpoints.reach("published.stored")
        if not self._journal.record_stored(job):
            return False  # the message has another picture by now
        failpoints.reach("published.recorded")
        self._spool.remove(job.id, job.generation)
        failpoints.reach("published.deleted")
        return True

    def _write_row(self, job: Job) -> bool:
        """Write the job's row, record it as published; False if the catalogue's breaker is open."""
        if not self._catalog_breaker.allows(time.monotonic()):
            return False
        rows = rows_of(job, self._prefix, self._storage.url)
        channel = {"id": job.channel_id, "title": self._title(job.channel_id)}
        try:
            self._catalog.write(channel, rows["messages"], rows["images"])
        except CatalogFault as fault:
            self._catalog_breaker.fail(time.monotonic(), str(fault))
            raise
        self._catalog_breaker.succeed()
        failpoints.reach("published.row")
        if not self._journal.record_published(job):
            return True  # a newer revision came meanwhile; it is due, and comes next
        failpoints.reach("published.after")
        log.info("published", job=job.id, channel=job.channel_id, message=job.message_id, sha256=job.sha256)
        return True

    def _title(self, channel_id: int) -> str:
        if channel_id not in self._titles:
            self._titles = {channel["id"]: channel["title"] for channel in self._journal.channels()}
        return self._titles.get(channel_id, "")

    def sweep(self) -> None:
        """Delete the strays of killed processes from the spool."""
        self._swept = time.monotonic()
        swept = self._spool.sweep(self._journal.unfinished)
        if swept:
            log.info("swept strays from the spool", folders=swept)

    def sweep_sometimes(self) -> None:
        if time.monotonic() - self._swept > SWEEP_SECONDS:
            self.sweep()

    def tell(self) -> None:
        """Report the breakers when they change."""
        now = time.monotonic()
        facts = {
            "r2_circuit_breaker": self._storage_breaker.state(now),
            "supabase_circuit_breaker": self._catalog_breaker.state(now),
            "storage_error": clip(self._storage_breaker.last_error, ERROR_BYTES),
            "catalog_error": clip(self._catalog_breaker.last_error, ERROR_BYTES),
        }
        if facts != self._told:
            self._told = facts
            self._context.report("uploader", **facts)
