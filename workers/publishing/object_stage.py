"""The uploader's first stage: the objects of rendered pictures go to the storage, then their spool files go.

All objects, then `stored` in the journal (durably), and only then are the spool files deleted. Every step can be
repeated. Several pictures are stored at once while there are several; a single one is done with at once.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Iterator, Sequence
from dataclasses import replace
from itertools import chain

import structlog

from ipc import failpoints
from ipc.files.object_layout import Layout, objects_of, original_of
from ipc.files.spool import STRIPPED, Spool
from ipc.jobs import Job, Rendition
from ipc.journal import Journal, leases, queue, renewals, transitions
from ipc.journal import pictures as journal_pictures
from ipc.posts import RENEWAL
from ipc.retry import RetryPolicy
from workers.publishing.on_behalf import layouts_of
from workers.publishing.running.liveness import Liveness
from workers.publishing.service.service import Service
from workers.publishing.stage import FAULTS_OF_A_JOB, unforeseen_as
from workers.publishing.storage import NewObject, ObjectFault, Put, Storage, StorageFault
from workers.publishing.threads import Interrupted

BATCH_PICTURES = 64
RECORD_PICTURES = 16
"""Pictures that are recorded in one transaction while others are still on their way; the rest is at the end."""

TRIES = 3
"""Number of immediate tries of an object while the service is not known to fail."""

log = structlog.get_logger()


class BatchProgress:
    """How far the objects of these jobs have got: `complete` are jobs with no object missing, `sizes` bytes by key."""

    def __init__(self, jobs: Sequence[Job], pictures: dict[int, list[NewObject]]) -> None:
        self.complete: list[Job] = []
        self.sizes: dict[str, int] = {}
        self._missing = {job.id: {item.key for item in pictures[job.id]} for job in jobs}
        self._wanted_by: dict[str, list[Job]] = {}
        for job in jobs:
            for key in self._missing[job.id]:
                self._wanted_by.setdefault(key, []).append(job)
            if not self._missing[job.id]:  # no rendition is wanted, and no original
                self.complete.append(job)

    def note(self, put: Put) -> None:
        """Note that the object is stored."""
        self.sizes[put.key] = put.bytes
        for job in self._wanted_by.pop(put.key, ()):
            self._missing[job.id].remove(put.key)
            if not self._missing[job.id]:
                self.complete.append(job)


class ObjectStage:
    """Puts what is due. `wake(state)` hints to the process that takes jobs in that state."""

    def __init__(
        self,
        *,
        service: Service,
        journal: Journal,
        spool: Spool,
        storage: Storage,
        layout: Layout,
        policy: RetryPolicy,
        liveness: Liveness,
        wake: Callable[[str], None],
    ) -> None:
        self.service = service
        self.liveness = liveness
        self._journal = journal
        self._spool = spool
        self._storage = storage
        self._layout = layout
        self._layouts: dict[int, Layout] = {}
        """Layout of each job that is being stored, by job id."""
        self._policy = policy
        self._wake = wake
        self._spooled: list[Job] = []

    def step(self) -> int:
        """Store what is due. Returns the number of jobs that went a step on."""
        jobs = self.service.take(BATCH_PICTURES, self._due)
        if not jobs:
            self._clear_spool()
            self._probe()
            return 0
        self._layouts = layouts_of(self._journal, jobs, self._layout)
        jobs = list(self._with_originals(jobs))
        pictures = self._pictures(jobs)
        return self._store([job for job in jobs if job.id in pictures], pictures) if pictures else 0

    def _due(self, most: int, exclude: Collection[int]) -> list[Job]:
        """The due jobs, but for those whose objects `gc` removes: they wait until it is done, or the lease is over."""
        exclude = set(exclude)
        while jobs := queue.due(self._journal, "rendered", most, stored=False, exclude=exclude):
            going = leases.being_removed(self._journal, (job.sha256 for job in jobs if job.sha256))
            if not going:
                break
            exclude.update(job.id for job in jobs if job.sha256 in going)
        return jobs

    def _probe(self) -> None:
        """If no job asks whether the storage is back, ask it something of our own."""
        if not self.service.wants_probe:
            return
        try:
            self.liveness.ask(unforeseen_as(StorageFault)(self._storage.probe))
        except StorageFault as fault:
            self.service.failed([], fault)
        except Interrupted:
            pass  # the next process asks anew
        else:
            self.service.succeeded([])

    def _with_originals(self, jobs: list[Job]) -> Iterator[Job]:
        """Each job, with the original that is published. Those that still have to be stripped are made again."""
        renewed = (job.id for job in jobs if job.priority == RENEWAL)
        made_of_stripped = renewals.made_of_stripped(self._journal, renewed)
        for job in jobs:
            # What is in the spool of these is not the file as it came, and must not become an object as such.
            wanted = self._layout_of(job).originals
            published = original_of(job, "stripped" if job.id in made_of_stripped and wanted == "as_is" else wanted)
            if published is not None:
                yield replace(job, original=published)
            else:
                log.warning("original.unstripped", job=job.id, file=STRIPPED)
                self._make_again(job)

    def _layout_of(self, job: Job) -> Layout:
        """The layout of the job's origin if it was taken from one, else our own."""
        return self._layouts.get(job.id, self._layout)

    def _pictures(self, jobs: Iterable[Job]) -> dict[int, list[NewObject]]:
        """The objects by job. A job that none can be named for must not stop the others."""
        jobs = list(jobs)
        posted_again = journal_pictures.posted_again(self._journal, (job.sha256 for job in jobs if job.sha256))
        pictures: dict[int, list[NewObject]] = {}
        for job in jobs:
            folder = self._spool.folder(job.id, job.generation)
            try:
                objects = list(objects_of(job, self._layout_of(job).prefix))
            except FAULTS_OF_A_JOB as error:
                log.exception("object_keys.failed", job=job.id)
                transitions.fail(self._journal, job, f"{type(error).__name__}: {error}", self._policy)
                continue
            is_expected = job.sha256 in posted_again
            pictures[job.id] = [
                NewObject(one.key, folder / one.file, one.content_type, is_expected, one.is_exact) for one in objects
            ]
        return pictures

    def _store(self, jobs: list[Job], pictures: dict[int, list[NewObject]]) -> int:
        """Put the objects of these jobs, and record the jobs whose objects are all there. Returns their number."""
        failpoints.reach("published.before")
        began = time.monotonic()
        progress = BatchProgress(jobs, pictures)
        stored: list[Job] = []

        def note(put: Put) -> None:
            failpoints.reach("published.put")
            self.liveness.answered()
            self._clear_spool()
            progress.note(put)
            if len(progress.complete) >= RECORD_PICTURES:
                record()  # while the next ones are on their way

        def record() -> None:
            self._storage.sync()
            with self.liveness.busy():
                self._record_stored(progress.complete, progress.sizes, time.monotonic() - began)
            stored.extend(progress.complete)
            progress.complete.clear()

        fault = self._put_all(list(chain.from_iterable(pictures[job.id] for job in jobs)), note)
        try:
            if progress.complete:
                with self.liveness.asking(), unforeseen_as(StorageFault):
                    record()
        except StorageFault as error:
            fault = error
        if len(jobs) < BATCH_PICTURES:
            self._clear_spool()
        done = {job.id for job in stored}
        self._settle(fault, stored, [job for job in jobs if job.id not in done], pictures)
        return len(stored)

    def _settle(
        self, fault: Exception | None, stored: list[Job], left: list[Job], pictures: dict[int, list[NewObject]]
    ) -> None:
        """Act on what kept those that are left from being stored."""
        match fault:
            case None:
                self.service.succeeded(stored)
            case StorageFault():
                log.error("storage.failed", job_ids=[job.id for job in left], reason=str(fault))
                if stored:  # so it is not out, or was not then
                    self.service.succeeded(stored)
                self.service.failed(left, fault)
            case FileNotFoundError():
                # The file of no job that is left, if another message's picture is the same and has been put.
                for job in left:
                    if any(str(item.source) == fault.filename for item in pictures[job.id]):
                        log.warning("spool_file.lost", job=job.id, file=fault.filename)
                        self._make_again(job)
            case ObjectFault() if left:
                self._blame(left, fault)

    def _put_all(self, items: list[NewObject], note: Callable[[Put], None]) -> Exception | None:
        """Put these; the fault that kept the rest out. A storage that has just failed gets one of them at first."""
        try:
            with self.liveness.asking(), unforeseen_as(StorageFault):
                if self.service.is_in_doubt and items:
                    self._storage.put_all([items.pop(0)], stop=self.liveness.stopping, stored=note)
                self._storage.put_all(items, stop=self.liveness.stopping, stored=note, tries=TRIES)
        except (StorageFault, ObjectFault, FileNotFoundError, Interrupted) as error:
            return error
        return None

    def _record_stored(self, jobs: list[Job], sizes: dict[str, int], seconds: float) -> None:
        """Record that the jobs' objects are there, after `seconds`: their spool files may go."""
        failpoints.reach("published.stored")
        as_found = {job.id: found for job in jobs if (found := self._as_found(job, sizes)) != job.renditions}
        transitions.record_stored(self._journal, jobs, as_found, seconds)
        failpoints.reach("published.recorded")
        self._spooled.extend(jobs)  # a job that has another picture by now needs these files no more either

    def _clear_spool(self) -> None:
        """Delete the files of pictures that are stored. It takes milliseconds each, so best while others are put."""
        if self._spooled:
            for job in self._spooled:
                self._spool.remove(job.id, job.generation)
            self._spooled.clear()
            failpoints.reach("published.deleted")

    def _as_found(self, job: Job, sizes: dict[str, int]) -> tuple[Rendition, ...]:
        """The job's renditions as they are in the storage: one that was there already may be of another encoder."""
        keys = [one.key for one in objects_of(job, self._layout_of(job).prefix)]
        return tuple(
            replace(one, bytes=sizes.get(key, one.bytes)) for one, key in zip(job.renditions, keys, strict=False)
        )

    def _blame(self, jobs: list[Job], fault: ObjectFault) -> None:
        """An object of one of these jobs is refused: the storage works."""
        self.liveness.answered()
        self.service.answered()
        if len(jobs) > 1:
            self.service.one_by_one()
            return
        outcome = transitions.fail(self._journal, jobs[0], str(fault), self._policy)
        log.error("object.refused", job=jobs[0].id, reason=str(fault), outcome=outcome)

    def _make_again(self, job: Job) -> None:
        """Have the job rendered again: from its original if that is still there (a dead letter's is), else fetched."""
        if self._spool.original(job.id, job.generation).exists():
            self._spool.keep_original_only(job.id, job.generation)
            transitions.render_again(self._journal, job)
            self._wake("fetched")
        else:
            self._spool.remove(job.id, job.generation)
            transitions.send_back(self._journal, job)
            self._wake("seen")
