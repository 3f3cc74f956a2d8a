"""The uploader's first half: the objects of rendered pictures go to the storage, then their spool files go.

All objects, then `stored` in the journal (durably), and only then are the spool files deleted. Every step can be
repeated. Several pictures are stored at once while there are several; a single one is done with at once.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Iterator
from dataclasses import replace
from itertools import chain

import structlog

from ipc import failpoints
from ipc.files.object_layout import Layout, objects_of, original_of
from ipc.files.spool import STRIPPED, Spool
from ipc.jobs import Job, Rendition
from ipc.journal import Journal, leases, queue, transitions
from ipc.journal import pictures as journal_pictures
from ipc.retry import RetryPolicy
from workers.publishing.service import Service
from workers.publishing.stage import FAULTS_OF_A_JOB, Watch, unforeseen_as
from workers.publishing.storage import Item, ObjectFault, Put, Storage, StorageFault
from workers.publishing.threads import Interrupted

BATCH_PICTURES = 64
RECORD_PICTURES = 16
"""So many are recorded in one transaction while others are still on their way, or all that there are at the end."""

TRIES = 3
"""How often an object is tried at once, where the service works as far as is known."""

log = structlog.get_logger()


class ObjectStage:
    """Puts what is due. `wake` tells whoever takes jobs in that state that there is one."""

    def __init__(
        self,
        *,
        service: Service,
        journal: Journal,
        spool: Spool,
        storage: Storage,
        layout: Layout,
        policy: RetryPolicy,
        watch: Watch,
        wake: Callable[[str], None],
    ) -> None:
        self.service = service
        self.watch = watch
        self._journal = journal
        self._spool = spool
        self._storage = storage
        self._prefix = layout.prefix
        self._originals = layout.originals
        self._policy = policy
        self._wake = wake
        self._spooled: list[Job] = []

    def step(self) -> int:
        """Store what is due; how many jobs went a step on."""
        jobs = self.service.take(BATCH_PICTURES, self._due)
        if not jobs:
            self._clear_spool()
            self._probe()
            return 0
        jobs = list(self._with_originals(jobs))
        pictures = self._pictures(jobs)
        return self._store([job for job in jobs if job.id in pictures], pictures) if pictures else 0

    def _due(self, most: int, besides: Collection[int]) -> list[Job]:
        """Those whose objects are being removed wait until that is done, or has been given up for long enough."""
        besides = set(besides)
        while jobs := queue.due(self._journal, "rendered", most, stored=False, besides=besides):
            going = leases.being_removed(self._journal, (job.sha256 for job in jobs if job.sha256))
            if not going:
                break
            besides.update(job.id for job in jobs if job.sha256 in going)
        return jobs

    def _probe(self) -> None:
        """Nobody is there to find out whether the storage is back: ask it something of our own."""
        if not self.service.wants_probe:
            return
        try:
            self.watch.ask(unforeseen_as(StorageFault)(self._storage.probe))
        except StorageFault as fault:
            self.service.failed([], fault)
        except Interrupted:
            pass  # the next process asks anew
        else:
            self.service.succeeded([])

    def _with_originals(self, jobs: Iterable[Job]) -> Iterator[Job]:
        """The jobs with what of their originals is published. Those that still have to be stripped are made again."""
        for job in jobs:
            published = original_of(job, self._originals)
            if published is not None:
                yield replace(job, original=published)
            else:
                self._make_again(job, "the original was not stripped yet", STRIPPED)

    def _pictures(self, jobs: Iterable[Job]) -> dict[int, list[Item]]:
        """The objects by job. A job that none can be named for must not stop the others."""
        jobs = list(jobs)
        posted_again = journal_pictures.posted_again(self._journal, (job.sha256 for job in jobs if job.sha256))
        pictures: dict[int, list[Item]] = {}
        for job in jobs:
            folder = self._spool.folder(job.id, job.generation)
            try:
                objects = list(objects_of(job, self._prefix))
            except FAULTS_OF_A_JOB as error:
                log.exception("no objects can be named", job=job.id)
                transitions.fail(self._journal, job, f"{type(error).__name__}: {error}", self._policy)
                continue
            is_expected = job.sha256 in posted_again
            pictures[job.id] = [
                Item(one.key, folder / one.file, one.content_type, is_expected, one.is_exact) for one in objects
            ]
        return pictures

    def _store(self, jobs: list[Job], pictures: dict[int, list[Item]]) -> int:
        """Put the objects of these jobs, and record whose are all there; how many jobs went a step on."""
        failpoints.reach("published.before")
        missing = {job.id: {item.key for item in pictures[job.id]} for job in jobs}
        wanted_by: dict[str, list[Job]] = {}
        for job in jobs:
            for key in missing[job.id]:
                wanted_by.setdefault(key, []).append(job)
        sizes: dict[str, int] = {}
        complete = [job for job in jobs if not missing[job.id]]  # no rendition is wanted, and no original
        stored: list[Job] = []

        def note(put: Put) -> None:
            failpoints.reach("published.put")
            self.watch.answered()
            self._clear_spool()
            sizes[put.key] = put.bytes
            for job in wanted_by.pop(put.key, ()):
                missing[job.id].remove(put.key)
                if not missing[job.id]:
                    complete.append(job)
            if len(complete) >= RECORD_PICTURES:
                record()  # while the next ones are on their way

        def record() -> None:
            self._storage.settle()
            with self.watch.busy():
                self._record_stored(complete, sizes)
            stored.extend(complete)
            complete.clear()

        fault = self._put_all(list(chain.from_iterable(pictures[job.id] for job in jobs)), note)
        try:
            if complete:
                with self.watch.asking(), unforeseen_as(StorageFault):
                    record()
        except StorageFault as error:
            fault = error
        if len(jobs) < BATCH_PICTURES:
            self._clear_spool()
        done = {job.id for job in stored}
        left = [job for job in jobs if job.id not in done]
        self._settle(fault, stored, left, pictures)
        return len(stored)

    def _settle(
        self, fault: Exception | None, stored: list[Job], left: list[Job], pictures: dict[int, list[Item]]
    ) -> None:
        """What kept those that are left from being stored, and what follows."""
        match fault:
            case None:
                self.service.succeeded(stored)
            case StorageFault():
                log.error("storage failed", jobs=[job.id for job in left], reason=str(fault))
                if stored:  # so it is not out, or was not then
                    self.service.succeeded(stored)
                self.service.failed(left, fault)
            case FileNotFoundError():
                # Nobody's, if another message's picture is the same and has been put: then it is needed no more.
                for job in left:
                    if any(str(item.source) == fault.filename for item in pictures[job.id]):
                        self._make_again(job, "the spool has lost files", fault.filename)
            case ObjectFault() if left:
                self._blame(left, fault)

    def _put_all(self, items: list[Item], note: Callable[[Put], None]) -> Exception | None:
        """Put these; what kept the rest of them out. A storage that has just failed gets one of them at first."""
        try:
            with self.watch.asking(), unforeseen_as(StorageFault):
                if self.service.is_in_doubt and items:
                    self._storage.put_all([items.pop(0)], stop=self.watch.stopping, stored=note)
                self._storage.put_all(items, stop=self.watch.stopping, stored=note, tries=TRIES)
        except (StorageFault, ObjectFault, FileNotFoundError, Interrupted) as error:
            return error
        return None

    def _record_stored(self, jobs: list[Job], sizes: dict[str, int]) -> None:
        """Record that the jobs' objects are there: their spool files may go."""
        failpoints.reach("published.stored")
        as_found = {job.id: found for job in jobs if (found := self._as_found(job, sizes)) != job.renditions}
        transitions.record_stored(self._journal, jobs, as_found)
        failpoints.reach("published.recorded")
        self._spooled.extend(jobs)  # whoever has another picture by now needs these files no more either

    def _clear_spool(self) -> None:
        """Delete the files of pictures that are stored. It takes milliseconds each, so best while others are put."""
        if self._spooled:
            for job in self._spooled:
                self._spool.remove(job.id, job.generation)
            self._spooled.clear()
            failpoints.reach("published.deleted")

    def _as_found(self, job: Job, sizes: dict[str, int]) -> tuple[Rendition, ...]:
        """The job's renditions as they are in the storage: one that was there already may be of another encoder."""
        keys = [one.key for one in objects_of(job, self._prefix)]
        return tuple(
            replace(one, bytes=sizes.get(key, one.bytes)) for one, key in zip(job.renditions, keys, strict=False)
        )

    def _blame(self, jobs: list[Job], fault: ObjectFault) -> None:
        """An object of one of these jobs is refused: the storage works."""
        self.watch.answered()
        self.service.answered()
        if len(jobs) > 1:
            self.service.one_by_one()
            return
        outcome = transitions.fail(self._journal, jobs[0], str(fault), self._policy)
        log.error("object refused", job=jobs[0].id, reason=str(fault), outcome=outcome)

    def _make_again(self, job: Job, why: str, file: str) -> None:
        """From the original where that is still there (a dead letter's is kept), else from the source."""
        log.warning(f"{why}, the picture is made again", job=job.id, file=file)
        if self._spool.original(job.id, job.generation).exists():
            self._spool.keep_original_only(job.id, job.generation)
            transitions.render_again(self._journal, job)
            self._wake("fetched")
        else:
            self._spool.remove(job.id, job.generation)
            transitions.send_back(self._journal, job)
            self._wake("seen")
