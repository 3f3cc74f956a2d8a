"""A service that is published to: whether it may be asked, for how much at once, and what a failure means for a job.

One failure does not tell whether the service is out or the job is to blame. So after a failure the jobs go singly at
first, then two at once, four, and so on: that finds the one to blame in a few rounds, and costs a backlog next to
nothing. `suspects` says which job pays for what.

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
from workers.publishing.service.breaker import Breaker
from workers.publishing.service.faults import ServiceFault
from workers.publishing.service.suspects import Suspects

SUSPECT_SECONDS = 5.0
"""How long a suspect waits for another job to show whether the service works."""

DOUBT_SECONDS = 10.0
"""How long after a failure that no job has tried to repeat a question of ours finds out whether the service works."""

FULL_PACE = 1000
"""More jobs at once than any batch holds: from here on there is no limit."""

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
        self._suspects = Suspects()
        self._pace: int | None = None
        """How many jobs go at once since the last failure; None: no limit."""
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
        """The jobs that are given to the service at once now; none while it is not to be asked.

        `due(count, exclude)` gives at most `count` jobs that are due, and none of those ids.
        """
        state = self._breaker.state(self._clock())
        if state == "open":
            return []
        count = 1 if state == "half-open" else min(most, self._pace or most)
        last = self._suspects.last
        # Asked for without those that come last: there is one for each probe of an outage, as many as a batch holds.
        if (first := due(count, last)) or not last:
            return first
        by_id = {job.id: job for job in due(len(last), ())}
        return [by_id[job_id] for job_id in last if job_id in by_id][:count]

    @property
    def wants_probe(self) -> bool:
        """Whether it is time to find out if the service is back. If no job asks it, a question of ours has to.

        Also of one that has failed once or twice, if the jobs that it failed with have gone, or wait for longer.
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
        """Note that the service has served these jobs: other jobs that failed may be to blame. No jobs: it answers."""
        jobs = list(jobs)
        for job, reason in self._suspects.served(jobs):
            self._charge(job, reason)
        if jobs:
            self._pace = None if self._pace is None or self._pace >= FULL_PACE else 2 * self._pace
        self.answered()

    def answered(self) -> None:
        """Note that the service works: it has answered, even if it refused the object or the row."""
        was_open = self._breaker.opened_at is not None
        self._breaker.succeed(self._clock())
        self._open_since = self._next_probe_at = None
        self._remedy = ""
        if was_open:
            breakers.drop(self._journal, self.name)
            self._suspects.forget_all_but(self._waits)

    def failed(self, jobs: list[Job], fault: ServiceFault) -> None:
        """Note that the service has failed with these jobs; with none, if the question was our own."""
        now = self._clock()
        self._failed_at = now
        self._breaker.fail(now, str(fault), fatal=fault.fatal, retry_after_seconds=fault.retry_after_seconds)
        self.one_by_one()
        alone = jobs[0] if len(jobs) == 1 else None
        if self._breaker.state(now) == "closed":
            if alone:
                self._suspects.add(alone, str(fault))
                transitions.postpone(self._journal, alone, SUSPECT_SECONDS, str(fault))
            return
        self._note_open(now, fault)
        for job, reason in self._suspects.acquit():
            transitions.postpone(self._journal, job, 0.0, reason)
        if alone and self._suspects.put_last(alone, fatal=fault.fatal):
            self._charge(alone, str(fault))

    def _note_open(self, now: float, fault: ServiceFault) -> None:
        """The breaker is open: for /status, and for the process after this one."""
        wall = self._wall_clock()
        self._open_since = self._open_since or wall
        self._next_probe_at = wall + self._breaker.seconds_to_probe(now)
        self._remedy = fault.remedy if fault.fatal else ""
        # After a restart the settings may have been mended: then that is found out at once.
        silent_until = wall if fault.fatal and not fault.retry_after_seconds else self._next_probe_at
        breakers.put(self._journal, self.name, self._open_since, silent_until, str(fault), self._remedy)

    def one_by_one(self) -> None:
        """One of the jobs that go now may be to blame: find out which."""
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

    def _charge(self, job: Job, reason: str) -> None:
        outcome = transitions.fail(self._journal, job, reason, self._policy)
        log.warning("publication.failed", job=job.id, reason=reason, outcome=outcome)

    def _waits(self, job_id: int) -> bool:
        job = lookup.job(self._journal, job_id)
        return job is not None and job.state == "rendered"
