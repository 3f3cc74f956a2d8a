"""What a process gives up of its own: its place in the queue for memory, being looked into, its capabilities, and its
hold on the log that it shares with others."""

from __future__ import annotations

import contextlib
import ctypes
import fcntl
import os
import stat
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


def keep_log_apart() -> None:
    """Open standard output and error anew, for appending alone.

    What several processes have open together has one position and one set of flags for them all, and a terminal is read
    through it as well. A socket (the journal of systemd) or another user's file can't be opened anew, and stays.
    """
    for fd in (1, 2):
        with contextlib.suppress(OSError):
            if stat.S_ISREG(os.fstat(fd).st_mode):  # the others go on at its end too then, and not over our records
                fcntl.fcntl(fd, fcntl.F_SETFL, fcntl.fcntl(fd, fcntl.F_GETFL) | os.O_APPEND)
            flags = os.O_WRONLY | os.O_APPEND | os.O_NOCTTY | os.O_CLOEXEC
            mine = os.open(f"/proc/self/fd/{fd}", flags | os.O_NONBLOCK)  # a pipe that nobody reads: no waiting
            os.set_blocking(mine, True)
            os.dup2(mine, fd)
            os.close(mine)


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
