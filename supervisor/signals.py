"""Signals of the root. Handlers do nothing; the signal's number arrives as one byte in a pipe that the loop reads."""

from __future__ import annotations

import os
import signal

STOPPING = (signal.SIGTERM, signal.SIGINT, signal.SIGHUP)


def listen() -> int:
    """From here on SIGTERM, SIGINT and SIGHUP each put one byte into the returned file descriptor, and no more."""
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    for number in STOPPING:
        signal.signal(number, lambda number, frame: None)
    return reader


def ignore() -> None:
    """From here on these signals do nothing at all."""
    for number in STOPPING:
        signal.signal(number, signal.SIG_IGN)


def is_for_root(arguments: list[str]) -> bool:
    """Whether a command line starts the tree in this very process: `start`, or no command at all."""
    rest = iter(arguments)
    for word in rest:
        if word == "--config":
            next(rest, None)
        elif not word.startswith("-"):
            return word == "start" and not {"-h", "--help"} & set(arguments)
    return not {"-h", "--help"} & set(arguments)
