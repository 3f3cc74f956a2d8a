"""What the kernel keeps an image worker to: its memory, its CPU time, the size and number of its files."""

from __future__ import annotations

import math
import resource
import time

FILE_BYTES = 1024 * 1024 * 1024
"""The largest file that a worker may write: far more than a rendition or a stripped original has."""

OPEN_FILES = 256
"""Most files that are open at once. A job has some ten open."""

CPU_MARGIN_SECONDS = 5.0
"""What the pool needs to see that a job takes too long, and to end its worker in good order."""


def set_memory_cap(cap_bytes: int) -> None:
    """Cap what this process may allocate (RLIMIT_DATA; 0: no cap).

    Not RLIMIT_AS: the AV1 encoder reserves far more address space than it uses. The soft limit only, so that the next
    job may have another cap.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    soft = cap_bytes or resource.RLIM_INFINITY
    if hard != resource.RLIM_INFINITY:
        soft = min(soft, hard) if cap_bytes else hard
    resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def set_time_limit(cpu_seconds: float) -> None:
    """Have the kernel end this process (SIGXCPU) when it has used `cpu_seconds` more of CPU time (0: no limit).

    A backstop: the pool looks at the time itself, and has the stacks shown first. The soft limit only, so that the next
    job may have its own time.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    soft = resource.RLIM_INFINITY
    if cpu_seconds:
        soft = math.ceil(time.process_time() + cpu_seconds + CPU_MARGIN_SECONDS)
    if hard != resource.RLIM_INFINITY:
        soft = hard if soft == resource.RLIM_INFINITY else min(soft, hard)
    resource.setrlimit(resource.RLIMIT_CPU, (soft, hard))


def set_hard_limits(cap_bytes: int) -> None:
    """Set the limits that no job's can exceed while the process lives. `cap_bytes`: the largest job's; 0: no cap."""
    if cap_bytes:
        _lower(resource.RLIMIT_DATA, cap_bytes)
    _lower(resource.RLIMIT_FSIZE, FILE_BYTES)
    _lower(resource.RLIMIT_NOFILE, OPEN_FILES)
    _lower(resource.RLIMIT_CORE, 0)


def _lower(kind: int, limit: int) -> None:
    _, hard = resource.getrlimit(kind)
    limit = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(kind, (limit, limit))
