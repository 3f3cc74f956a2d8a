"""What a process gives up of its own: its place in the queue for memory, being looked into, its capabilities."""

from __future__ import annotations

import contextlib
import ctypes
from pathlib import Path
from typing import Final

from ipc.kernel import capabilities

_SET_DUMPABLE, _CAPBSET_READ, _CAPBSET_DROP, _SET_NO_NEW_PRIVS, _CAP_AMBIENT = 4, 23, 24, 38, 47
_AMBIENT_CLEAR_ALL: Final = 4
_CAPABILITIES: Final = 64
"""More than there are: the kernel says at which number they end."""


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
    if not capabilities.held():
        return
    for number in range(_CAPABILITIES):
        if libc.prctl(_CAPBSET_READ, number, 0, 0, 0) == 1:
            libc.prctl(_CAPBSET_DROP, number, 0, 0, 0)  # refused without CAP_SETPCAP: no_new_privs is enough then
    capabilities.give_up(capabilities.ALL)


def _libc() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)
