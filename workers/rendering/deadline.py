"""How long a job may take: `job_seconds` of wall time and of CPU time, less what the machine withheld from its worker.

A machine that was suspended, starved of processors or stuck in a slow disk is no picture's fault: the job gets more
time, up to a multiple of `job_seconds`, and is then ended without a strike. The same goes for a worker that a signal
has stopped. A worker in a deadlock hangs: the machine withheld nothing from it.
"""

from __future__ import annotations

import enum
from dataclasses import dataclass, replace

from ipc.transport.router import CpuUsage

LATE_SECONDS = 3.0
"""The pool looks at least once a second. Two looks farther apart than this: the machine stood still."""


class Timing(enum.Enum):
    """How a job keeps to its time."""

    WITHIN = "within"
    OVER = "over"
    """The job takes too long, and had all that it needed."""
    HINDERED = "hindered"
    """The job takes too long, because the machine or a stop signal kept its worker from working."""


@dataclass(frozen=True, slots=True)
class Deadline:
    """One job's time up to the last look at its worker. Times in monotonic seconds."""

    began: float
    looked: float
    first: CpuUsage | None
    last: CpuUsage | None
    withheld_seconds: float = 0.0

    @classmethod
    def start(cls, now: float, cpu_usage: CpuUsage | None) -> Deadline:
        return cls(now, now, cpu_usage, cpu_usage)

    def look(self, now: float, cpu_usage: CpuUsage | None) -> Deadline:
        """The deadline after another look at the worker; `cpu_usage` is None where the worker is down."""
        if cpu_usage is None or self.last is None:
            return replace(self, looked=now, last=cpu_usage or self.last)
        passed = now - self.looked
        idle = max(0.0, passed - (cpu_usage.cpu_seconds - self.last.cpu_seconds))
        if passed > LATE_SECONDS or cpu_usage.waits_for_disk or cpu_usage.is_stopped:
            withheld = idle
        else:
            withheld = min(idle, max(0.0, cpu_usage.queued_seconds - self.last.queued_seconds))
        return replace(self, looked=now, last=cpu_usage, withheld_seconds=self.withheld_seconds + withheld)

    @property
    def cpu_seconds(self) -> float:
        return self.last.cpu_seconds - self.first.cpu_seconds if self.first and self.last else 0.0

    def timing(self, job_seconds: float, deadline_multiplier: float) -> Timing:
        """At the last look. `deadline_multiplier`: of `job_seconds`, while the machine keeps the worker off the CPU."""
        wall = self.looked - self.began
        if self.cpu_seconds > job_seconds or wall - self.withheld_seconds > job_seconds:
            return Timing.OVER
        is_stopped = self.last is not None and self.last.is_stopped  # it won't go on by itself
        longest = job_seconds if is_stopped else deadline_multiplier * job_seconds
        return Timing.HINDERED if wall > longest else Timing.WITHIN
