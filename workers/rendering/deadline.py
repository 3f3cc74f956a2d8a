"""How long a job may take: `job_seconds` of wall and of processor time, less what the machine has kept from its worker.

A machine that was suspended, starved of processors or stuck in a slow disk is no picture's fault: the job gets more
time, up to some multiple of it, and is then ended without a strike. So it is with a worker that somebody has stopped.
A worker that just waits for nothing (a deadlock) hangs: nothing was kept from it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from ipc.transport.router import Effort

LATE_SECONDS = 3.0
"""We come round at least once a second. Two looks farther apart than this, and the machine has stood still."""


class Verdict(enum.Enum):
    """What a job's time says."""

    WITHIN = "within"
    OVER = "over"
    """It takes too long, and had all that it needed."""
    HINDERED = "hindered"
    """It takes too long, and the machine, or whoever has stopped it, is to blame."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """One job's time so far, as seen at some looks. Times in monotonic seconds."""

    began: float
    looked: float
    first: Effort | None
    last: Effort | None
    withheld_seconds: float = 0.0

    @classmethod
    def start(cls, now: float, effort: Effort | None) -> Deadline:
        return cls(now, now, effort, effort)

    def look(self, now: float, effort: Effort | None) -> Deadline:
        """The watch after another look at the worker."""
        if effort is None or self.last is None:
            return replace(self, looked=now, last=effort or self.last)
        passed = now - self.looked
        idle = max(0.0, passed - (effort.cpu_seconds - self.last.cpu_seconds))
        if passed > LATE_SECONDS or effort.waits_for_disk or effort.is_stopped:
            withheld = idle
        else:
            withheld = min(idle, max(0.0, effort.queued_seconds - self.last.queued_seconds))
        return replace(self, looked=now, last=effort, withheld_seconds=self.withheld_seconds + withheld)

    @property
    def cpu_seconds(self) -> float:
        return self.last.cpu_seconds - self.first.cpu_seconds if self.first and self.last else 0.0

    def verdict(self, job_seconds: float, patience: float) -> Verdict:
        """What its time says, at the last look."""
        wall = self.looked - self.began
        if self.cpu_seconds > job_seconds or wall - self.withheld_seconds > job_seconds:
            return Verdict.OVER
        is_stopped = self.last is not None and self.last.is_stopped  # and won't go on by itself
        longest = job_seconds if is_stopped else patience * job_seconds
        return Verdict.HINDERED if wall > longest else Verdict.WITHIN
