"""Prevents SVT-AV1 from raising its threads to real-time priority.

Where it may, SVT-AV1 gives its threads and the calling one real-time priority (SCHED_FIFO 99), for good, and threads
that they start inherit it. Other processes then get no CPU for 950 of each 1,000 ms, and a busy process at that
priority brings the machine to a stand. SVT-AV1 needs CAP_SYS_NICE for that, which root has: the capability is given up
before the first encode, and the encoder goes on without it, with the same result.

A process without the capability has nothing to give up, and asks the kernel for nothing: a hardened service has no
capabilities, and its filter denies capset.
"""

from __future__ import annotations

import ctypes
import os
from pathlib import Path
from typing import Final

_CAP_SYS_NICE: Final = 1 << 23
_VERSION: Final = 0x20080522
"""linux/capability.h: capabilities of 64 bits, in two halves."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Half(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def give_up_priority() -> None:
    """Give up the right to real-time priority, for this thread and those that it starts. May be repeated.

    Raises OSError where the thread holds the right and cannot give it up. Programs that it executes are not affected.
    """
    libc = ctypes.CDLL(None, use_errno=True)
    header, halves = _Header(_VERSION, 0), (_Half * 2)()
    if libc.capget(ctypes.byref(header), halves) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    if not (halves[0].effective | halves[0].permitted) & _CAP_SYS_NICE:
        return
    for name in ("effective", "permitted", "inheritable"):
        setattr(halves[0], name, getattr(halves[0], name) & ~_CAP_SYS_NICE)
    if libc.capset(ctypes.byref(header), halves) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def is_ordinary() -> bool:
    """Whether every thread of this process has the default scheduling (SCHED_OTHER)."""
    threads = Path("/proc/self/task").iterdir()
    return all(os.sched_getscheduler(int(thread.name)) == os.SCHED_OTHER for thread in threads)
