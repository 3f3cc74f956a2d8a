"""Applies verdicts on jobs in hand: the one place where the pool changes a job's state, and what the spool has of it.

A job that is no longer where the pool saw it has moved on: the message was deleted, or has another picture by now.
Nothing is changed then, and its files are removed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import structlog

from ipc import failpoints
from ipc.files.spool import Spool
from ipc.files.workplace import Workplace
from ipc.jobs import FailureCause, Job
from ipc.journal import Journal, transitions
from ipc.retry import RetryPolicy
from ipc.transport.messages import JobDone
from workers.rendering.verdicts import results, verdicts
from workers.rendering.verdicts.verdicts import Verdict

BROKEN_SECONDS = 600.0
"""How long a picture waits after a codec that it needs was found broken."""

log = structlog.get_logger()


class Settlement:
    """Applies verdicts. `wake(state)` hints to the process that takes such jobs. `policy` holds from when it is set."""

    def __init__(self, journal: Journal, spool: Spool, wake: Callable[[str], None], policy: RetryPolicy) -> None:
        self._journal = journal
        self._spool = spool
        self._wake = wake
        self.policy = policy

    def record_rendered(self, worker: str, done: JobDone, seconds: float) -> None:
        """Take what the worker has made, `seconds` after it was given the job.

        Raises results.FalseResult where it is not as the worker says; OSError as the disk does.
        """
        out = Workplace(self._spool.root, worker).writable
        results.take(done, out, self._spool.folder(done.job_id, done.generation))
        failpoints.reach("rendered.before")
        if not transitions.record_rendered(self._journal, done, worker, seconds):
            self._spool.remove(done.job_id, done.generation)
            return
        failpoints.reach("rendered.after")
        self._wake("rendered")
        log.info("job.rendered", job=done.job_id, renditions=len(done.renditions), seconds=round(seconds, 3))

    def apply(self, job: Job, verdict: Verdict) -> None:
        match verdict:
            case verdicts.GiveBack():
                transitions.release(self._journal, job)
            case verdicts.FetchAgain():
                log.warning("original.lost", job=job.id)
                transitions.send_back(self._journal, job)
                self._wake("seen")
            case verdicts.Doubt(reason):
                self._doubt(job, reason)
            case verdicts.Retry(reason, at_once, alone):
                self._retry(job, reason, at_once=at_once, alone=alone)
            case verdicts.Strike(reason, alone):
                self._strike(job, reason, alone=alone)
            case verdicts.SetAside(reason):
                self._bury(job, reason, cause="poison")
            case verdicts.WaitForDisk(reason):
                self._spool.keep_original_only(job.id, job.generation)
                transitions.release(self._journal, job)
                log.error("rendering.paused", job=job.id, reason=reason)
            case verdicts.WaitForCodec(reason):
                self._spool.keep_original_only(job.id, job.generation)
                transitions.postpone(self._journal, job, BROKEN_SECONDS, reason)
                log.error("codec.broken", job=job.id, reason=reason)

    def _doubt(self, job: Job, reason: str) -> None:
        """The original stays until another takes its place: the source may be gone by now."""
        self._spool.keep_original_only(job.id, job.generation)  # first: once it is "seen", its fetcher writes here
        if not transitions.doubt(self._journal, job, reason):
            self._bury(job, reason)
            return
        log.warning("original.doubted", job=job.id, reason=reason)
        self._wake("seen")

    def _retry(self, job: Job, reason: str, *, at_once: bool, alone: bool) -> None:
        policy = replace(self.policy, base_seconds=0.0) if at_once else self.policy
        outcome = transitions.fail(self._journal, job, reason, policy, alone=alone)
        self._tidy(job, outcome)
        log.warning("rendering.failed", job=job.id, reason=reason, outcome=outcome)

    def _strike(self, job: Job, reason: str, *, alone: bool) -> None:
        if not transitions.strike(self._journal, job, reason, alone=alone):
            self._tidy(job, "moved on")
            return
        log.warning("rendering.failed", job=job.id, reason=reason, outcome="later, alone" if alone else "later")

    def _bury(self, job: Job, reason: str, *, cause: FailureCause = "failure") -> None:
        buried = transitions.bury(self._journal, job, reason, cause=cause)
        self._tidy(job, "dead" if buried else "moved on")
        if buried:
            log.error("job.dead", job=job.id, channel=job.channel_id, message=job.message_id, reason=reason)

    def _tidy(self, job: Job, outcome: str) -> None:
        """Delete from the spool what this outcome leaves behind."""
        if outcome == "dead":
            self._spool.keep_original_only(job.id, job.generation)
        elif outcome == "moved on":
            self._spool.remove(job.id, job.generation)
