"""Keeps this process an ordinary one among others, whatever its libraries would like to be.

SVT-AV1, where it may, gives its threads and whoever calls it real-time priority (SCHED_FIFO 99), for good, and all that
is started by them has it too. Then nobody else gets a processor for 950 of each 1,000 ms, and a process that keeps busy
at that priority brings the machine to a stand. It needs CAP_SYS_NICE for that, as root has it: so that is given up
before the first encode, and the encoder goes on without, with the same result.

Who does not hold the capability has nothing to give up, and asks the kernel for nothing: a hardened service has no
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
    """From here on this thread, and those that it starts, can have no real-time priority. Any number of times.

    Raises OSError where it holds the right to one and cannot give it up. Programs that are executed by it are as they
    would be anyway.
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
    """Whether every thread of this process is scheduled as any other."""
    threads = Path("/proc/self/task").iterdir()
    return all(os.sched_getscheduler(int(thread.name)) == os.SCHED_OTHER for thread in threads)
