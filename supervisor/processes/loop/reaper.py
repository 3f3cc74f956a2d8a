"""Reaping orphans, where the root is process 1: in a container that has no init of its own.

A process that loses its parent becomes process 1's child, and stays a zombie until process 1 waits for it: the image
workers, when their pool is killed. This is done here rather than by an init such as tini, so that the image needs no
other program, and a platform that offers no `--init` (Railway) is served as well.

`waitpid(-1)` would also take the exit codes of the root's own children, which it must learn from them. So an exit is
first looked at without taking it (WNOWAIT), and taken only if the process is none that the root knows. The root has one
thread, so none of its own can come to be in between.
"""

from __future__ import annotations

import os
from collections.abc import Collection

MOST = 64
"""Reaped in one go, so that the loop goes round."""


def is_needed() -> bool:
    return os.getpid() == 1


def reap(own: Collection[int]) -> list[int]:
    """Wait for every child that is dead and not among `own`; their ids.

    One of `own` that is dead and not yet waited for hides those behind it: the next call finds them.
    """
    reaped: list[int] = []
    while len(reaped) < MOST:
        try:
            dead = os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
            if dead is None or dead.si_pid in own:
                break
            os.waitpid(dead.si_pid, os.WNOHANG)
        except ChildProcessError:
            break
        reaped.append(dead.si_pid)
    return reaped
