"""Which job a service's failures are blamed on. Pure: `Service` charges attempts and postpones.

A job that failed alone is a suspect. If the breaker opens, it was the service's failure, and the suspects go free. If
another job succeeds next, it may have been the suspect's own: the ALONE_FAILURES-th time it costs the job an attempt,
as a service that fails now and then hits every job once.

A job whose failure opens the breaker, or keeps it open, comes after all others from then on: so what the service never
takes keeps no other job out. If others were served since, and its next fault is again one that opens the breaker at
once, it costs the job an attempt.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence

from ipc.jobs import Job

ALONE_FAILURES = 3
"""How often a job fails alone, others succeeding after it, before that costs it an attempt."""

LAST_JOBS = 1000
"""How many jobs come after all others, at most. A service that says "in a second" for an hour has more probes."""


class Suspects:
    """The jobs that may be to blame for what a service has failed with since it last worked."""

    def __init__(self) -> None:
        self._suspects: dict[int, tuple[Job, str]] = {}
        self._alone: dict[int, int] = {}
        """How often each has failed alone while others did not."""
        self._last: dict[int, bool] = {}
        """The jobs that come after all others, in this order: whether others have succeeded since."""

    @property
    def last(self) -> Collection[int]:
        """The ids of the jobs that come after all others, in their order."""
        return self._last.keys()

    def add(self, job: Job, reason: str) -> None:
        """Note a job that has failed alone, while the breaker stays closed."""
        self._suspects[job.id] = (job, reason)

    def served(self, jobs: Sequence[Job]) -> list[tuple[Job, str]]:
        """Note that the service has served these jobs. Returns the suspects that this costs an attempt, and why."""
        for job in jobs:
            self._suspects.pop(job.id, None)
            self._last.pop(job.id, None)
            self._alone.pop(job.id, None)
        if not jobs:
            return []
        self._last = dict.fromkeys(self._last, True)
        return [(job, reason) for job, reason in self.acquit() if self._is_to_blame(job)]

    def acquit(self) -> list[tuple[Job, str]]:
        """Forget who is suspected; the jobs, and what each failed with."""
        suspects = list(self._suspects.values())
        self._suspects.clear()
        return suspects

    def put_last(self, job: Job, *, fatal: bool) -> bool:
        """Note a job that opened the breaker, or kept it open. Returns whether that costs it an attempt."""
        others_succeeded = self._last.pop(job.id, False)
        self._last[job.id] = False
        if len(self._last) > LAST_JOBS:
            del self._last[next(iter(self._last))]
        return fatal and others_succeeded

    def forget_all_but(self, waits: Callable[[int], bool]) -> None:
        """Forget the jobs that do not wait any more: deleted, given another picture, dead."""
        self._last = {job_id: served for job_id, served in self._last.items() if waits(job_id)}
        self._alone = {job_id: times for job_id, times in self._alone.items() if waits(job_id)}

    def _is_to_blame(self, job: Job) -> bool:
        self._alone[job.id] = self._alone.get(job.id, 0) + 1
        if self._alone[job.id] < ALONE_FAILURES:
            return False
        del self._alone[job.id]
        return True
