"""File descriptors of the program as a whole: the three standard ones, and their highest number.

The program may be started with a standard descriptor closed (`bin/run >&-`). The next file to be opened would get its
number, and what is meant for people would go into that file. So /dev/null is put there, before anything else is opened.

Each child takes five of the root's descriptors, so the root takes as many as it may have. The operator's commands get
back what the program was started with: some close every number up to the limit, others use select(), which knows none
above 1023.
"""

from __future__ import annotations

import contextlib
import os
import resource
import sys

_SOFT: list[int] = []
"""The limit before it was raised, if it was."""


def fill_standard() -> None:
    """Open something at 0, 1 and 2 if they are closed. To be called before any file is opened."""
    for fd, name, mode in ((0, "stdin", "r"), (1, "stdout", "w"), (2, "stderr", "w")):
        try:
            os.fstat(fd)
        except OSError:
            os.open(os.devnull, os.O_RDWR)  # the lowest number that is free: this one
            os.set_inheritable(fd, True)
            setattr(sys, name, open(fd, mode, encoding="utf-8", closefd=False))  # noqa: SIM115 - for good


def raise_limit() -> None:
    """Raise the limit of open files to the hard limit."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        _SOFT.append(soft)


def limit_at_start() -> int:
    """The soft limit that the program was started with."""
    return _SOFT[0] if _SOFT else resource.getrlimit(resource.RLIMIT_NOFILE)[0]
