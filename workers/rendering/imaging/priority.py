"""Prevents SVT-AV1 from raising its threads to real-time priority.

Where it may, SVT-AV1 gives its threads and the calling one real-time priority (SCHED_FIFO 99), for good, and threads
that they start inherit it. Other processes then get no CPU for 950 of each 1,000 ms, and a busy process at that
priority brings the machine to a stand. SVT-AV1 needs CAP_SYS_NICE for that, which root has: the capability is given up
before the first encode, and the encoder goes on without it, with the same result.

A process without the capability has nothing to give up, and asks the kernel for nothing: a hardened service has no
capabilities, and its filter denies capset.
"""

from __future__ import annotations

from ipc.kernel import capabilities


def give_up_priority() -> None:
    """Give up the right to real-time priority, for this thread and those that it starts. May be repeated.

    Raises OSError where the thread holds the right and cannot give it up. Programs that it executes are not affected.
    """
    capabilities.give_up(capabilities.SYS_NICE)
