"""What a process gives up of its own: its place in the queue for memory, being looked into, its capabilities."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
from typing import Final

_SET_DUMPABLE, _CAPBSET_READ, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT = 4, 23, 24, 38, 47
_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITIES: Final = 64
"""More than there are: the kernel says at which number they end."""

_VERSION: Final = 0x20080522
"""linux/capability.h: capabilities of 64 bits, in two halves."""


class _Header(ctypes.Structure):
    _fields_ = (("version", ctypes.c_uint32), ("pid", ctypes.c_int))


class _Half(ctypes.Structure):
    _fields_ = (("effective", ctypes.c_uint32), ("permitted", ctypes.c_uint32), ("inheritable", ctypes.c_uint32))


def go_first() -> None:
    """Where the machine runs out of memory, have the kernel take this process before others of ours.

    Before `hide`: a hidden process of a normal user may not write into its own folder in /proc.
    """
    with contextlib.suppress(OSError):
        Path("/proc/self/oom_score_adj").write_text("1000", encoding="ascii")


def hide() -> None:
    """Let no other process of this user look into this one: its memory, environment and open files. No core files.

    An exec undoes it, so every process does it for itself. Its size can still be seen.
    """
    _libc().prctl(_SET_DUMPABLE, 0, 0, 0, 0)


def give_up() -> None:
    """Have no capability from here on, and get none by any exec. For this thread and those that it starts.

    Raises OSError where the kernel refuses no_new_privs, or where a capability is held and can't be given up.
    """
    libc = _libc()
    if libc.prctl(_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_NO_NEW_PRIVS)")
    libc.prctl(_CAP_AMBIENT, _AMBIENT_CLEAR_ALL, 0, 0, 0)
    header, halves = _Header(_VERSION, 0), (_Half * 2)()
    if libc.capget(ctypes.byref(header), halves) != 0:
        raise OSError(ctypes.get_errno(), "capget")
    if not any(half.effective | half.permitted for half in halves):
        return  # a hardened service has none, and its filter denies capset
    for number in range(_CAPABILITIES):
        if libc.prctl(_CAPBSET_READ, number, 0, 0, 0) == 1:
            libc.prctl(_CAPBSET_DROP, number, 0, 0, 0)  # refused without CAP_SETPCAP: no_new_privs is enough then
    if libc.capset(ctypes.byref(header), (_Half * 2)()) != 0:
        raise OSError(ctypes.get_errno(), "capset")


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
