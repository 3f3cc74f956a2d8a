"""The exit codes of `bin/run`."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum

from ipc.process.holds import EX_CONFIG


class ExitCode(IntEnum):
    DONE = 0
    GAVE_UP = 1
    USAGE = 2  # argparse's own
    CONFIGURATION = EX_CONFIG
    INTERRUPTED = 130  # as a shell reports SIGINT


MEANINGS: Mapping[ExitCode, str] = {
    ExitCode.DONE: "done; for `bin/run` itself: stopped in order",
    ExitCode.GAVE_UP: "gave up: standard error says why. A later attempt may succeed",
    ExitCode.USAGE: "unknown or missing arguments",
    ExitCode.CONFIGURATION: "the configuration is refused, or does not fit what it names: a restart cannot help",
    ExitCode.INTERRUPTED: "interrupted with Ctrl-C, while a command only looks or waits",
}
"""docs/reference.md shows this table."""
