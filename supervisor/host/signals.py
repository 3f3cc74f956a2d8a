"""Signals of the root. Handlers do nothing; the signal's number arrives as one byte in a pipe that the loop reads.

SIGHUP has two meanings: "read your configuration again" from an operator, and "your terminal is gone" from the kernel.
The terminal itself tells which. A program that was started with SIGHUP ignored (`nohup`) outlives its terminal: the
signal stays ignored, and operations come over the control socket.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator

HEARD = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)
INFORMING = {"-h", "--help", "--version"}


def listen() -> int:
    """Have SIGTERM, SIGINT and SIGHUP each put one byte into the returned file descriptor, and do nothing else."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in HEARD:
        if number != signal.SIGHUP or signal.getsignal(number) is not signal.SIG_IGN:
            signal.signal(number, lambda number, frame: None)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)  # inherited as ignored, it would hide every exit code
    return reader


def has_terminal() -> bool:
    """Whether this process has a controlling terminal at this moment."""
    try:
        os.close(os.open("/dev/tty", os.O_RDWR | os.O_NOCTTY))
    except OSError:
        return False
    return True


def ignore() -> None:
    """Make these signals do nothing at all."""
    for number in HEARD:
        signal.signal(number, signal.SIG_IGN)


def is_for_root(arguments: list[str]) -> bool:
    """Whether a command line starts the tree in this very process: `start`, or no command at all."""
    rest = iter(arguments)
    for word in rest:
        if word == "--config":
            next(rest, None)
        elif not word.startswith("-"):
            return word == "start" and not _names_somebody(rest) and not INFORMING & set(arguments)
    return not INFORMING & set(arguments)


def _names_somebody(words: Iterator[str]) -> bool:
    """Whether it is `start NAME`, which is an operation on a running tree."""
    for word in words:
        if word in ("--config", "--export", "--parent-fd"):
            next(words, None)
        elif not word.startswith("-"):
            return True
    return False
