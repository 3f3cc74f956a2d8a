"""The uploader's second stage: the rows of stored pictures go to the catalogue, then the pictures are published.

The row, then `published` in the journal. Either step can be repeated. Several rows are written in one go while there
are several; a single one is written at once.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Collection, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass

import structlog

from ipc import failpoints
from ipc.files.object_layout import address_of
from ipc.files.rows import RowLayout, rows_of
from ipc.jobs import Job
from ipc.journal import Journal, addresses, figures, queue, transitions
from ipc.journal.machines import taken
from ipc.machines.receipt import Receipt
from ipc.retry import RetryPolicy
from workers.publishing.catalog import (
    BATCH_ENTRIES,
    Catalog,
    CatalogFault,
    Fenced,
    MessageRows,
    NotAsked,
    RowFault,
    WriteOutcome,
)
from workers.publishing.on_behalf import behalves_of
from workers.publishing.running.liveness import Liveness
from workers.publishing.schema_watch import SchemaWatch
from workers.publishing.service.service import Service
from workers.publishing.stage import FAULTS_OF_A_JOB, unforeseen_as
from workers.publishing.threads import Interrupted

BATCHES = 8
"""Most batches of rows in one step."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class _Batch:
    """Jobs whose rows are on their way since `began` (monotonic seconds), those of origins with these receipts."""

    jobs: list[Job]
    receipts: dict[int, Receipt]
    began: float


class RowStage:
    """Writes what is due."""

    def __init__(
        self,
        *,
        service: Service,
        journal: Journal,
        catalog: Catalog,
        layout: RowLayout,
        policy: RetryPolicy,
        liveness: Liveness,
        node: str = "",
    ) -> None:
        self.service = service
        self.liveness = liveness
        self._node = node
        self.schema = SchemaWatch(catalog, liveness.stopping)
        self._journal = journal
        self._catalog = catalog
        self._layout = layout
        self._policy = policy
        self._addresses: dict[int, int] = {}
        """The journal's number for the beginning of our rows' URLs, by version of the columns."""

    def step(self) -> int:
        """Write what is due, batch after batch while they are full. Returns the number of jobs that went a step on."""
        written, under_way = 0, deque[_Batch]()
        try:
            with self.liveness.asking(), unforeseen_as(CatalogFault):
                for outcomes in self._catalog.write_each(self._batches(under_way), stop=self.liveness.stopping):
                    written += self._record(under_way[0], outcomes)
                    under_way.popleft()  # only now: should recording fail, it is these that it failed with
        except CatalogFault as fault:
            jobs = under_way.popleft().jobs if under_way else []
            log.error("catalogue.failed", job_ids=[job.id for job in jobs], reason=str(fault))
            self.service.failed(jobs, fault)
        except Interrupted:
            pass  # whether they were written or not, they can be written again
        if not written:
            self._probe()
        self._look_at_schema()
        return written

    def _look_at_schema(self) -> None:
        """While the catalogue works: find out now and then if it has all columns."""
        if self.service.is_in_doubt:
            return
        with suppress(Interrupted), self.liveness.asking():  # the next process asks anew
            if self.schema.look():
                self.liveness.answered()

    def _probe(self) -> None:
        """If no job asks whether the catalogue is back, ask it something of our own."""
        if not self.service.wants_probe or self._journal_has_some():
            return
        try:
            self.liveness.ask(unforeseen_as(CatalogFault)(self._catalog.probe))
        except (CatalogFault, RowFault) as fault:
            self.service.failed([], fault if isinstance(fault, CatalogFault) else CatalogFault(str(fault)))
        except Interrupted:
            pass  # the next process asks anew
        else:
            self.service.succeeded([])

    def _journal_has_some(self) -> bool:
        return bool(self._due(1, ()))

    def _due(self, most: int, exclude: Collection[int]) -> list[Job]:
        return queue.due(self._journal, "rendered", most, stored=True, exclude=exclude)

    def _batches(self, under_way: deque[_Batch]) -> Iterator[list[MessageRows]]:
        """The rows to write, in batches, each made when the one before is on its way. `under_way`: whose they are."""

        def due(most: int, exclude: Collection[int]) -> list[Job]:
            taken = {job.id for batch in under_way for job in batch.jobs}
            return self._due(most, taken.union(exclude))

        for number in range(BATCHES):
            if number and self.liveness.stopping():
                return  # each has as long as a stop gives it: eight of a slow service would outlast the drain
            jobs = self.service.take(BATCH_ENTRIES, due)
            entries = self._entries(jobs)
            if entries:
                receipts = {job: Receipt.of(rows.receipt) for job, rows in entries.items() if rows.receipt}
                under_way.append(_Batch([job for job in jobs if job.id in entries], receipts, time.monotonic()))
                yield list(entries.values())
            if len(jobs) < BATCH_ENTRIES:
                return

    def _entries(self, jobs: Iterable[Job]) -> dict[int, MessageRows]:
        """The rows by job. A job that none can be made of must not stop the others."""
        channels = {channel["id"]: channel for channel in figures.channels(self._journal)}
        behalves = behalves_of(self._journal, jobs := list(jobs), self._layout)
        entries: dict[int, MessageRows] = {}
        for job in jobs:
            if (behalf := behalves.get(job.id)) is None:
                continue
            try:
                rows = rows_of(job, behalf.layout)
                message = rows["messages"]
                assert message is not None, "every job has a message"
                channel = channels.get(job.channel_id, {"title": "", "name": None})
                described = {"id": job.channel_id, "title": channel["title"], "name": channel["name"]}
                receipt = behalf.receipt(job, self._node, self.schema.columns()) if behalf.taken else None
                entries[job.id] = MessageRows(described, message, rows["images"], receipt)
            except FAULTS_OF_A_JOB as error:
                log.exception("row.failed", job=job.id)
                transitions.fail(self._journal, job, f"{type(error).__name__}: {error}", self._policy)
        return entries

    def _number_of_address(self, columns: int) -> int:
        """What the journal calls the address that the URLs in our rows begin with, where they have those columns."""
        if columns not in self._addresses:
            prefix = self._layout.prefix
            url = address_of(self._layout.url_of, prefix)
            self._addresses[columns] = addresses.number_of(self._journal, url, prefix, columns)
        return self._addresses[columns]

    def _record(self, batch: _Batch, outcomes: list[WriteOutcome]) -> int:
        """Record the jobs whose rows are there. Returns the number of jobs that went a step on."""
        failpoints.reach("published.row")
        if not all(isinstance(outcome, NotAsked) for outcome in outcomes):
            self.liveness.answered()
            self.service.succeeded(batch.jobs)
        written = []
        for job, outcome in zip(batch.jobs, outcomes, strict=True):
            if isinstance(outcome, Fenced):  # not what has come again meanwhile: its new receipt holds
                taken.forget(self._journal, "lost", [job.id], receipt=batch.receipts.get(job.id))
                log.warning("job.fenced", job=job.id, channel=job.channel_id, message=job.message_id)
            elif isinstance(outcome, RowFault):
                ending = transitions.fail(self._journal, job, str(outcome), self._policy)
                log.error("row.refused", job=job.id, reason=str(outcome), outcome=ending)
            else:
                written.append(job)
        own, guests = _own_and_guests(written)
        seconds, columns = time.monotonic() - batch.began, self.schema.columns()
        with self.liveness.busy():
            address = self._number_of_address(columns)
            published = transitions.record_published(self._journal, own, address, seconds)
            published += taken.published(self._journal, guests, seconds)
        failpoints.reach("published.after")
        for job in published:
            if job.deleted_at is None:
                log.info("job.published", job=job.id, channel=job.channel_id, message=job.message_id, sha256=job.sha256)
            else:
                log.info("tombstone.published", job=job.id, channel=job.channel_id, message=job.message_id)
        return len(written)


def _own_and_guests(jobs: Iterable[Job]) -> tuple[list[Job], list[Job]]:
    """This machine's own jobs, and those that it has taken from origins."""
    own: list[Job] = []
    guests: list[Job] = []
    for job in jobs:
        (guests if job.source == "queue" else own).append(job)
    return own, guests
