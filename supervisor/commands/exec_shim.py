"""Becomes a command of the operator's: `python -I -S exec_shim.py REPORT_FD PARENT LIMIT FOLDER …`.

It makes sure that it dies with the supervisor, undoes what Python has done to its signals and the program to its limit
on open files, and executes the command. Through REPORT_FD it says "." just before that, and afterwards why it failed. A
command that runs does not have REPORT_FD: the kernel closes it at exec, so the supervisor knows that the command runs.

Run as a file, with nothing but the standard library: so it starts in a third of the time that other children take.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import resource
import signal
import sys

ORPHANED = 70
CANNOT_BE_RUN = 127
"""Exit code of a command that cannot be run, as in a shell."""

_PR_SET_PDEATHSIG = 1


def main(report_fd: int, parent: int, limit: int, directory: str, words: list[str]) -> None:
    """Become the command, or say why not and leave."""
    os.set_inheritable(report_fd, False)
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:
        os._exit(ORPHANED)
    for number in signal.valid_signals():
        with contextlib.suppress(OSError, ValueError):  # SIGKILL, SIGSTOP
            signal.signal(number, signal.SIG_DFL)
    signal.pthread_sigmask(signal.SIG_SETMASK, ())
    with contextlib.suppress(OSError, ValueError):
        resource.setrlimit(resource.RLIMIT_NOFILE, (limit, resource.getrlimit(resource.RLIMIT_NOFILE)[1]))
    os.write(report_fd, b".")
    try:
        os.chdir(directory)
    except OSError as error:
        os.write(report_fd, f"folder {directory}: {error.strerror}".encode(errors="replace"))
        os._exit(CANNOT_BE_RUN)
    try:
        os.execvp(words[0], words)
    except OSError as error:
        os.write(report_fd, f"{words[0][:200]}: {error.strerror}".encode(errors="replace"))
        os._exit(CANNOT_BE_RUN)


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]), sys.argv[4], sys.argv[5:])
