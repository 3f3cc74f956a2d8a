"""Published pictures rendered anew (`republish --renditions`): the uploader's third thread, which has work only then.

1. A few at a time, an original is put into the spool: as it is published, or by the source where it is not. Then the
   job goes its way once more, behind everything else. Its row and its objects stay meanwhile (see `transitions.renew`).
2. When its row names the new objects, the old ones are deleted: under the lease that `gc` takes, after catalogue and
   journal were asked whether any row or job names them still.

Killed anywhere, the next run repeats what was not recorded. A picture that can't be had, or rendered, stays as it is.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Mapping
from typing import Any, Literal

import structlog

from ipc import failpoints
from ipc.files.object_layout import Published, original_key, preview_key, rendition_key, stripped_key
from ipc.files.spool import Spool
from ipc.jobs import Job
from ipc.journal import Journal, lookup, pictures, renewals, transitions
from ipc.journal.renewals import Renewal
from workers.publishing.gc import ANSWER_SECONDS, Garbage, GarbageScope, remove, row_seconds
from workers.publishing.gc.garbage import judge
from workers.publishing.running.own_services import OwnServices
from workers.publishing.storage import Stored

IN_FLOW = 16
"""Pictures that are rendered anew at once: they take no room that others need."""

AT_ONCE = 64
"""Pictures whose old objects are deleted in one go."""

WAIT_SECONDS = 60.0
"""How long a renewal waits that can't be begun, or whose old objects can't go yet."""

SOURCE_SECONDS = 86400.0
"""How long a source may take to fetch an original once more before that is given up: perhaps it has no such channel."""

log = structlog.get_logger()


class Renewals:
    """`options` are the uploader's. `wake(state)` hints to the process that takes jobs in that state.

    `row_seconds` is how long a row may be on its way: what it no longer names stays stored until then.
    """

    def __init__(self, options: Mapping[str, Any], journal: Journal, spool: Spool, wake: Callable[[str], None]) -> None:
        self._options = options
        self._journal = journal
        self._spool = spool
        self._wake = wake
        self._prefix: str = options["storage"]["prefix"]
        self._wanted: Published = options["storage"]["originals"]
        self.row_seconds = row_seconds(options["catalog"])
        self._services = OwnServices(options, ANSWER_SECONDS)

    def step(self) -> int:
        """Do what is due. Returns the number of pictures that went a step on. Raises ServiceFault and OSError."""
        counts = renewals.counts(self._journal)
        if not any(counts[step] for step in ("wanted", "making", "moved")):
            self.close()
            return 0
        went_on = self._clear() if counts["moved"] else 0
        went_on += self._give_up() if counts["making"] >= IN_FLOW else 0
        free = IN_FLOW - counts["making"]
        for renewal in renewals.due(self._journal, "wanted", free) if free > 0 else ():
            went_on += self._begin(renewal)
        return went_on

    def close(self) -> None:
        """Let go of the services."""
        self._services.close()

    # To be rendered once more

    def _begin(self, renewal: Renewal) -> int:
        """Have a picture rendered anew if its row is written and its recipe another. Returns 1 if it went a step on."""
        job = lookup.job(self._journal, renewal.job_id)
        if job is None or not job.is_public or job.recipe == renewal.recipe:
            renewals.end(self._journal, [renewal])
            return 1
        if job.state != "published":  # its message was edited: first comes the row
            renewals.put_off(self._journal, renewal, WAIT_SECONDS)
            return 0
        kind, data = self._original(job)
        if data is not None:
            self._spool.put_original(job.id, job.generation + 1, data)
        state: Literal["fetched", "seen"] = "fetched" if data is not None else "seen"
        failpoints.reach("renewed.before")
        if not transitions.renew(self._journal, job, state, was_stripped=data is not None and kind == "stripped"):
            self._spool.remove(job.id, job.generation + 1)
            return 0
        failpoints.reach("renewed.begun")
        self._wake(state)
        return 1

    def _original(self, job: Job) -> tuple[Published, bytes | None]:
        """The original as it is published, and how that is. None: the source has to fetch it.

        One without metadata will do, as it has the same pixels: but not where originals are wanted as they came.
        """
        read = self._services.storage.read
        if job.original == "as_is" and (data := read(original_key(job, self._prefix))) is not None:
            return ("as_is", data) if hashlib.sha256(data).hexdigest() == job.sha256 else ("none", None)
        if job.original == "stripped" and self._wanted != "as_is":
            return "stripped", read(stripped_key(job, self._prefix))
        return "none", None

    def _give_up(self) -> int:
        """Restore those that no source has fetched for long: they keep others waiting."""
        went_on = 0
        for renewal in renewals.due(self._journal, "making", IN_FLOW, age_seconds=SOURCE_SECONDS):
            job = lookup.job(self._journal, renewal.job_id)
            if job is not None and job.state == "seen":
                went_on += transitions.restore(
                    self._journal, job, "its original is not in the storage, and no source has fetched it for a day"
                )
        return went_on

    # Old objects, which no row names any more

    def _clear(self) -> int:
        """Delete the old objects of those whose rows have been there for as long as any row may be on its way."""
        moved = renewals.due(self._journal, "moved", AT_ONCE, age_seconds=self.row_seconds)
        if not moved:
            return 0
        found = self._found(moved)
        storage, catalog = self._services.storage, self._services.catalog
        scope = GarbageScope(storage, catalog, self._journal, self._prefix, self.row_seconds)
        failpoints.reach("renewed.moved")
        removed = set()
        for one in remove(scope, found.values(), time.monotonic() - self.row_seconds):
            removed.add(one.sha256)
            log.info("renditions.replaced", sha256=one.sha256, renditions=len(one.objects))
        failpoints.reach("renewed.deleted")
        rest = {sha256: one.objects for sha256, one in found.items() if sha256 not in removed}
        left = {one.sha256 for one in judge(scope, rest)} | pictures.under_way(self._journal, rest)
        for renewal in moved:
            if renewal.sha256 in left:  # another message's row with that picture is on its way
                renewals.put_off(self._journal, renewal, WAIT_SECONDS)
        done = [renewal for renewal in moved if renewal.sha256 not in left]
        renewals.end(self._journal, done)
        failpoints.reach("renewed.after")
        return len(done)

    def _found(self, moved: list[Renewal]) -> dict[str, Garbage]:
        """The old objects by picture: several messages may have the same one."""
        objects: dict[str, dict[str, Stored]] = {}
        for renewal in moved:
            job = lookup.job(self._journal, renewal.job_id)
            assert job is not None, "no job is ever deleted"
            former = renewal.former(job)
            for one in former.renditions:
                key = rendition_key(former, one, self._prefix)
                objects.setdefault(str(former.sha256), {})[key] = Stored(key, one.bytes, 0.0)
            if former.preview_bytes:
                key = preview_key(former, self._prefix)
                objects.setdefault(str(former.sha256), {})[key] = Stored(key, former.preview_bytes, 0.0)
        return {sha256: Garbage(sha256, tuple(some.values()), is_whole=False) for sha256, some in objects.items()}
