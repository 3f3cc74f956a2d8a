"""The objects of posts that somebody has deleted or hidden go, some time after their rows say so.

1. Neither a tombstone nor a hidden post's row names a picture. A hidden post's job does, for as long as it may be shown
   again at once: it forgets it now (`transitions.take_down`).
2. The storage is asked for all that it has of the picture, of whatever recipe. The addresses that a CDN may have
   copies of are recorded, then the objects are deleted: under the lease that `gc` takes, after catalogue and journal
   were asked whether any row or job names the picture still. If one does, all of it stays.
3. The copies are purged (`purges`).

What lies in the spool of such a post goes as well. Killed anywhere, the next run repeats what was not recorded.
"""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import structlog

from ipc import failpoints
from ipc.files.spool import Spool
from ipc.journal import Journal, addresses, breakers, lookup, transitions
from ipc.journal.leases import LEASE_SECONDS
from ipc.journal.outputs import takedowns
from ipc.journal.outputs.takedowns import Takedown
from workers.publishing.gc import ANSWER_SECONDS, Garbage, GarbageScope, remove, row_seconds
from workers.publishing.gc.garbage import judge, objects_under
from workers.publishing.running.own_services import OwnServices
from workers.publishing.service.faults import ServiceFault
from workers.publishing.storage import Stored
from workers.publishing.takedown.purges import Purges, forgive

AT_ONCE = 256
"""Pictures whose objects are deleted in one go: each go waits for as long as a row may be on its way."""

WAIT_SECONDS = 60.0
"""How long a takedown waits whose row is on its way, or whose objects could not be deleted now."""

AFTER_SECONDS = 60.0
"""What "auto" means in an installation that is new."""

NEVER = -1.0

SERVICE = "takedown"
"""The journal's name for failures to delete, among the circuit breakers."""

REMEDY = (
    "Let the token of storage.access_key_id list and delete objects, and see that storage and catalogue answer. Nothing"
    " is lost; it is tried again by itself"
)

log = structlog.get_logger()


class Takedowns:
    """`options` are the uploader's. `row_seconds` is how long a row may be on its way: it may name a picture again."""

    def __init__(self, options: Mapping[str, Any], journal: Journal, spool: Spool) -> None:
        self._options = options
        self._journal = journal
        self._spool = spool
        self._prefix: str = options["storage"]["prefix"]
        self._after = seconds_of(options["storage"].get("takedown_after_seconds", NEVER), journal)
        self.row_seconds = row_seconds(options["catalog"])
        self._purges = Purges(options["storage"], journal)
        self._services = OwnServices(options, ANSWER_SECONDS)

    def step(self) -> int:
        """Do what is due. Returns how much was done. Raises ServiceFault and OSError."""
        counts = takedowns.counts(self._journal)
        if not any(counts[step] for step in ("waiting", "leaving", "purging")):
            self.close()
            forgive(self._journal, SERVICE)
            return 0
        if counts["waiting"] and self._after == NEVER:
            takedowns.spare_all(self._journal)
        went_on = self._purges.step() if counts["purging"] else 0
        try:
            went_on += self._begin() if counts["waiting"] and self._after != NEVER else 0
            went_on += self._delete() if counts["leaving"] else 0
        except (ServiceFault, OSError) as fault:
            now = self._journal.clock()
            failure = breakers.get(self._journal, SERVICE)
            breakers.put(self._journal, SERVICE, failure["opened_at"] if failure else now, now, str(fault), REMEDY)
            raise
        return went_on

    def close(self) -> None:
        """Let go of the services."""
        self._services.close()

    # Jobs that want their picture no more

    def _begin(self) -> int:
        """Start the takedowns that are due. Returns the number that went a step on."""
        due = takedowns.due(self._journal, "waiting", self._journal.clock() - self._after, AT_ONCE)
        if due:
            failpoints.reach("takedown.due")
        return sum(self._begin_one(one) for one in due)

    def _begin_one(self, one: Takedown) -> bool:
        job = lookup.job(self._journal, one.job_id)
        assert job is not None, "no job is ever deleted"
        if job.deleted_at is not None or job.hidden_at is None or job.sha256 != one.sha256:
            takedowns.leave(self._journal, one)
            failpoints.reach("takedown.begun")
            return True
        if transitions.take_down(self._journal, job):
            failpoints.reach("takedown.begun")
            return True
        now = self._journal.clock()  # its message was edited: first comes that row
        takedowns.put_off(self._journal, one, now - self._after + WAIT_SECONDS)
        return False

    # Objects that no row names any more

    def _delete(self) -> int:
        """Delete the objects of leaving pictures that nothing names any more. Returns the number of those done."""
        now = self._journal.clock()
        leaving = takedowns.due(self._journal, "leaving", now, AT_ONCE)
        if not leaving:
            return 0
        self._clear_spool(leaving)
        found = {one.sha256: self._found(one.sha256) for one in leaving}
        failpoints.reach("takedown.noted")
        storage, catalog = self._services.storage, self._services.catalog
        scope = GarbageScope(storage, catalog, self._journal, self._prefix, self.row_seconds)
        removed = set()
        for garbage in remove(scope, found.values(), time.monotonic()):
            self._services.storage.sync()
            failpoints.reach("takedown.deleted")
            removed.add(garbage.sha256)
            takedowns.end(self._journal, garbage.sha256, again_at=now + LEASE_SECONDS, is_removed=True)
            failpoints.reach("takedown.after")
            log.info("picture.taken_down", sha256=garbage.sha256, objects=len(garbage.objects))
        rest = {sha256: one.objects for sha256, one in found.items() if sha256 not in removed}
        left = {one.sha256 for one in judge(scope, rest) if one.is_whole}
        for sha256 in rest.keys() - left:
            takedowns.end(self._journal, sha256, again_at=now, is_removed=False)
            log.info("picture.kept", sha256=sha256, why="another post has it")
        for one in leaving:
            if one.sha256 in left:  # its lease was lost
                takedowns.put_off(self._journal, one, self._journal.clock() + WAIT_SECONDS)
        forgive(self._journal, SERVICE)
        return len(found) - len(left)

    def _found(self, sha256: str) -> Garbage:
        """All objects of a picture, under any prefix that there was. What is to be purged of it is recorded."""
        storage = self._services.storage
        prefixes = {self._prefix, *(prefix for _, prefix in addresses.all_of(self._journal))}
        objects: list[Stored] = [one for prefix in sorted(prefixes) for one in objects_under(storage, prefix, sha256)]
        keys = [one.key for one in objects]
        self._purges.note(sha256, map(storage.url, keys), keys)
        return Garbage(sha256, tuple(objects))

    def _clear_spool(self, leaving: list[Takedown]) -> None:
        """Delete what the spool has of these posts, but for what is on its way anew."""
        for one in leaving:
            job = lookup.job(self._journal, one.job_id)
            assert job is not None, "no job is ever deleted"
            is_over = job.state == "published" or job.stored
            self._spool.remove_generations(job.id, job.generation if is_over else job.generation - 1)


def seconds_of(setting: float | str, journal: Journal) -> float:
    """How long after its row a picture leaves, or NEVER. "auto": an older installation goes on as it was."""
    if isinstance(setting, str):
        return AFTER_SECONDS if takedowns.is_new_installation(journal) else NEVER
    return setting
