"""The command line, `bin/run [COMMAND]`: a module for each command, their table in `parser`, run by `dispatch`."""

from __future__ import annotations

import os

from supervisor.cli.exit_codes import ExitCode
from supervisor.cli.parser import parse


def main(arguments: list[str], stop_fd: int | None) -> int:
    """Run one command; its exit code. `stop_fd` is the pipe of signals if the command runs the tree, else None."""
    options = parse(arguments)
    from supervisor.cli import dispatch  # noqa: PLC0415 - `--version` and `--help` have ended by now

    try:
        return dispatch.run(options, stop_fd)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # `bin/run status | head`
        return ExitCode.GAVE_UP
    except KeyboardInterrupt:
        return ExitCode.INTERRUPTED
