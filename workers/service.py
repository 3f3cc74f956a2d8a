"""A service that is published to: whether it may be asked, for how much at once, and what a failure means for a job.

Nobody can tell from one failure whether the service is out or the job is to blame. So after a failure as many jobs go
singly as had failed together, and a job that failed is a suspect: if another one succeeds next, it was the job's own
failure and costs it an attempt; if the breaker opens, it was the service's, and costs it nothing.

A job whose failure opens the breaker, or keeps it open, comes after all others from then on, and alone: so what the
service never takes keeps nobody out. If others were served since, and its next fault is again one that opens the
breaker at once, it costs the job an attempt.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable, Sized
from typing import Any, Protocol

import structlog

from ipc.jobs import Job
from ipc.journal import Journal
from ipc.retry import RetryPolicy
from workers.breaker import Breaker

SUSPECT_SECONDS = 5.0
"""How long a suspect waits for somebody else to show whether the service works."""

log = structlog.get_logger()


class Fault(Protocol):
    """A failure of the service: what `StorageFault` and `CatalogFault` have in common."""

    fatal: bool
    retry_after_seconds: float | None


class Service:
    """One service and its breaker. `clock` is monotonic, `wall_clock` in Unix seconds."""

    def __init__(
        self,
        breaker: Breaker,
        journal: Journal,
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._breaker = breaker
        self._journal = journal
        self._policy = policy
        self._clock = clock
        self._wall_clock = wall_clock
        self._singly = 0  # so many jobs
        self._suspects: dict[int, tuple[Job, str]] = {}
        self._last: dict[int, bool] = {}  # who comes after all others, in this order: others have succeeded since
        self._open_since: float | None = None
        self._next_probe_at: float | None = None

    def take(self, most: int, due: Callable[[int, Collection[int]], list[Job]]) -> list[Job]:
        """Who of those that are due is given to the service at once now; nobody while it is not to be asked.

        `due` gives so many at most, and others than those of these ids.
        """
        state = self._breaker.state(self._clock())
        if state == "open":
            return []
        # Asked for without those that come last: there is one for each probe of an outage, as many as a batch holds.
        if first := due(most if state == "closed" and not self._singly else 1, self._last):
            return first
        by_id = {job.id: job for job in due(len(self._last), ())} if self._last else {}
        return [by_id[job_id] for job_id in self._last if job_id in by_id][:1]

    @property
    def is_in_doubt(self) -> bool:
        """Whether its last answer was a failure, so that one question is enough to see if it still fails."""
        return self._breaker.in_a_row > 0

    def succeeded(self, jobs: Iterable[Job]) -> None:
        """It has done what these jobs wanted: so whoever else failed had himself to blame."""
        jobs = list(jobs)
        for job in jobs:
            self._suspects.pop(job.id, None)
            self._last.pop(job.id, None)
        self._last = dict.fromkeys(self._last, True)
        for job, reason in self._suspects.values():
            self._charge(job, reason)
        self._suspects.clear()
        self._breaker.succeed()
        self._singly = max(0, self._singly - len(jobs))
        self._open_since = self._next_probe_at = None

    def failed(self, jobs: list[Job], fault: Fault) -> None:
        """It has failed with these jobs."""
        now, wall = self._clock(), self._wall_clock()
        self._breaker.fail(now, str(fault), fatal=fault.fatal, retry_after_seconds=fault.retry_after_seconds)
        self.one_by_one(jobs)
        alone = jobs[0] if len(jobs) == 1 else None
        if self._breaker.state(now) == "closed":
            if alone:
                self._suspects[alone.id] = (alone, str(fault))
                self._journal.postpone(alone, SUSPECT_SECONDS, str(fault))
            return
        self._open_since = self._open_since or wall
        self._next_probe_at = wall + self._breaker.seconds_to_probe(now)
        for job, reason in self._suspects.values():
            self._journal.postpone(job, 0.0, reason)
        self._suspects.clear()
        if alone:
            others_succeeded = self._last.pop(alone.id, False)
            self._last[alone.id] = False
            if fault.fatal and others_succeeded:
                self._charge(alone, str(fault))

    def one_by_one(self, jobs: Sized) -> None:
        """Something is the matter with one of these jobs: find out with which."""
        self._singly = max(self._singly, len(jobs))

    def _charge(self, job: Job, reason: str) -> None:
        outcome = self._journal.fail(job, reason, self._policy)
        log.warning("publishing failed", job=job.id, reason=reason, outcome=outcome)

    def facts(self) -> dict[str, Any]:
        """How it stands, for /status: state, since when it is out and when it is asked next (Unix seconds), error."""
        return {
            "state": self._breaker.state(self._clock()),
            "since": self._open_since,
            "next_probe_at": self._next_probe_at,
            "error": self._breaker.last_error,
        }
