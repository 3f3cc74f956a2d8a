"""A service that is published to: whether it may be asked, for how much at once, and what a failure means for a job.

Nobody can tell from one failure whether the service is out or the job is to blame. So after a failure the jobs go
singly at first, then two at once, four, and so on: that finds the one to blame in a few rounds, and costs a backlog
next to nothing. A job that failed alone is a suspect. If the breaker opens, it was the service's failure, and costs
nothing. If another one succeeds next, it may have been the job's own: the third time it costs the job an attempt, as a
service that fails now and then hits everybody once.

A job whose failure opens the breaker, or keeps it open, comes after all others from then on: so what the service never
takes keeps nobody out. If others were served since, and its next fault is again one that opens the breaker at once, it
costs the job an attempt.

How an open breaker stands is in the journal: a process that replaces this one goes on with it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Iterable
from typing import Any

import structlog

from ipc.jobs import Job
from ipc.journal import Journal, breakers, lookup, transitions
from ipc.retry import RetryPolicy
from workers.publishing.breaker import Breaker
from workers.publishing.faults import ServiceFault

SUSPECT_SECONDS = 5.0
"""How long a suspect waits for somebody else to show whether the service works."""

ALONE_FAILURES = 3
"""So often a job fails alone, others succeeding after it, before that costs it an attempt."""

DOUBT_SECONDS = 10.0
"""So long after a failure that nobody has tried to repeat, a question of ours finds out whether the service works."""

LAST_JOBS = 1000
"""So many come after all others, at most. A service that says "in a second" for an hour has more probes than that."""

log = structlog.get_logger()


class Service:
    """One service and its breaker. `clock` is monotonic, `wall_clock` in Unix seconds."""

    def __init__(
        self,
        name: str,
        breaker: Breaker,
        journal: Journal,
        policy: RetryPolicy,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self.name = name
        self._breaker = breaker
        self._journal = journal
        self._policy = policy
        self._clock = clock
        self._wall_clock = wall_clock
        self._pace: int | None = None  # how many go at once since the last failure; None: as many as one likes
        self._suspects: dict[int, tuple[Job, str]] = {}
        self._alone: dict[int, int] = {}  # how often each has failed alone while others did not
        self._last: dict[int, bool] = {}  # who comes after all others, in this order: others have succeeded since
        self._failed_at = 0.0
        self._open_since: float | None = None
        self._next_probe_at: float | None = None
        self._remedy = ""

    def restore(self) -> None:
        """Go on with the breaker as the process before this one left it."""
        if (found := breakers.get(self._journal, self.name)) is None:
            return
        wall, now = self._wall_clock(), self._clock()
        self._breaker.reopen(now, found["silent_until"] - wall, found["error"])
        self._open_since = min(found["opened_at"], wall)
        self._next_probe_at = wall + self._breaker.seconds_to_probe(now)
        self._remedy = found["remedy"]
        self._pace = 1

    def take(self, most: int, due: Callable[[int, Collection[int]], list[Job]]) -> list[Job]:
        """Who of those that are due is given to the service at once now; nobody while it is not to be asked.

        `due` gives so many at most, and others than those of these ids.
        """
        state = self._breaker.state(self._clock())
        if state == "open":
            return []
        count = 1 if state == "half-open" else min(most, self._pace or most)
        # Asked for without those that come last: there is one for each probe of an outage, as many as a batch holds.
        if (first := due(count, self._last)) or not self._last:
            return first
        by_id = {job.id: job for job in due(len(self._last), ())}
        return [by_id[job_id] for job_id in self._last if job_id in by_id][:count]

    @property
    def wants_probe(self) -> bool:
        """Whether it is time to find out if the service is back. If no job asks it, a question of ours has to.

        Also of one that has failed once or twice, if whoever it failed with has gone, or waits for longer.
        """
        now = self._clock()
        state = self._breaker.state(now)
        return state == "half-open" or (
            state == "closed" and self.is_in_doubt and now - self._failed_at >= DOUBT_SECONDS
        )

    @property
    def is_in_doubt(self) -> bool:
        """Whether its last answer was a failure, so that one question is enough to see if it still fails."""
        return self._breaker.in_a_row > 0

    def succeeded(self, jobs: Iterable[Job]) -> None:
        """It has done what these jobs wanted: so whoever else failed may have himself to blame. No jobs: it answers."""
        jobs = list(jobs)
        for job in jobs:
            self._suspects.pop(job.id, None)
            self._last.pop(job.id, None)
            self._alone.pop(job.id, None)
        if jobs:
            self._last = dict.fromkeys(self._last, True)
            for job, reason in self._suspects.values():
                self._suspect_again(job, reason)
            self._suspects.clear()
            # Doubled each time, until nobody could tell it from all that are due.
            self._pace = None if self._pace is None or self._pace >= LAST_JOBS else 2 * self._pace
        self.answered()

    def answered(self) -> None:
        """It has answered as one does that works, be it that it won't have the object or the row."""
        was_open = self._breaker.opened_at is not None
        self._breaker.succeed(self._clock())
        self._open_since = self._next_probe_at = None
        self._remedy = ""
        if was_open:
            breakers.drop(self._journal, self.name)
            self._forget_those_gone()

    def failed(self, jobs: list[Job], fault: ServiceFault) -> None:
        """It has failed with these jobs; with none, if the question was our own."""
        now, wall = self._clock(), self._wall_clock()
        self._failed_at = now
        self._breaker.fail(now, str(fault), fatal=fault.fatal, retry_after_seconds=fault.retry_after_seconds)
        self.one_by_one()
        alone = jobs[0] if len(jobs) == 1 else None
        if self._breaker.state(now) == "closed":
            if alone:
                self._suspects[alone.id] = (alone, str(fault))
                transitions.postpone(self._journal, alone, SUSPECT_SECONDS, str(fault))
            return
        self._open_since = self._open_since or wall
        self._next_probe_at = wall + self._breaker.seconds_to_probe(now)
        self._remedy = fault.remedy if fault.fatal else ""
        # Who starts a process anew may well have mended the settings: then that is found out at once.
        silent_until = wall if fault.fatal and not fault.retry_after_seconds else self._next_probe_at
        breakers.put(self._journal, self.name, self._open_since, silent_until, str(fault), self._remedy)
        for job, reason in self._suspects.values():
            transitions.postpone(self._journal, job, 0.0, reason)
        self._suspects.clear()
        if alone:
            self._put_last(alone, fault)

    def one_by_one(self) -> None:
        """Something is the matter with one of those that go now: find out with which."""
        self._pace = 1

    def facts(self) -> dict[str, Any]:
        """How it stands, for /status: state, since when it is out and when it is asked next (Unix seconds), error,
        and what to do about it, where waiting alone won't help."""
        return {
            "state": self._breaker.state(self._clock()),
            "since": self._open_since,
            "next_probe_at": self._next_probe_at,
            "error": self._breaker.last_error,
            "remedy": self._remedy,
        }

    def _put_last(self, job: Job, fault: ServiceFault) -> None:
        """This one opened the breaker, or kept it open."""
        others_succeeded = self._last.pop(job.id, False)
        self._last[job.id] = False
        if len(self._last) > LAST_JOBS:
            del self._last[next(iter(self._last))]
        if fault.fatal and others_succeeded:
            self._charge(job, str(fault))

    def _suspect_again(self, job: Job, reason: str) -> None:
        self._alone[job.id] = self._alone.get(job.id, 0) + 1
        if self._alone[job.id] >= ALONE_FAILURES:
            del self._alone[job.id]
            self._charge(job, reason)

    def _charge(self, job: Job, reason: str) -> None:
        outcome = transitions.fail(self._journal, job, reason, self._policy)
        log.warning("publishing failed", job=job.id, reason=reason, outcome=outcome)

    def _forget_those_gone(self) -> None:
        """Those who have moved on meanwhile: deleted, given another picture, dead."""

        def waits(job_id: int) -> bool:
            job = lookup.job(self._journal, job_id)
            return job is not None and job.state == "rendered"

        self._last = {job_id: served for job_id, served in self._last.items() if waits(job_id)}
        self._alone = {job_id: times for job_id, times in self._alone.items() if waits(job_id)}
