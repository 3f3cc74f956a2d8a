"""What every child runs first: `python -m supervisor.child.bootstrap NAME SPEC_FD INBOX_FD OUTBOX_FD LIVENESS_FD
STACKS_FD`.

Before any import that takes its time, a child listens for a stop and makes sure that it dies with its parent: a tree
that is ended while it is starting leaves nothing behind. The rest of its life is in `supervisor.child.runtime`.
"""

from __future__ import annotations

import ctypes
import faulthandler
import os
import signal
import sys

from ipc.process.loading import loading
from supervisor.child.exit_codes import ORPHANED

_PR_SET_PDEATHSIG = 1


def listen_for_stop() -> int:
    """Have SIGTERM make the returned file descriptor readable, and do nothing else.

    SIGINT is the operator's Ctrl-C, SIGHUP the end of the terminal: every process gets them, the root alone acts.
    SIGCHLD may have been inherited as ignored: then no exit code would ever be seen.
    """
    reader, writer = os.pipe()
    os.set_blocking(writer, False)
    signal.set_wakeup_fd(writer, warn_on_full_buffer=False)
    signal.signal(signal.SIGTERM, lambda number, frame: None)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    return reader


def die_with_parent() -> None:
    """Have the kernel kill this process when its parent dies, and leave now if that has happened already."""
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != int(os.environ.get("PICTUREDESK_PARENT", os.getppid())):
        os._exit(ORPHANED)


def show_stacks(fd: int) -> None:
    """Write the stacks of all threads to `fd` at SIGUSR2, and before a crash: also while Python code is not run.

    The supervisor asks for them before it ends a child that hangs.
    """
    faulthandler.register(signal.SIGUSR2, file=fd, all_threads=True)
    faulthandler.enable(file=fd, all_threads=True)


if __name__ == "__main__":
    stop_fd = listen_for_stop()
    show_stacks(int(sys.argv[6]))
    die_with_parent()

    with loading():
        from supervisor import logs
        from supervisor.child import runtime

    logs.catch_uncaught()
    sys.exit(runtime.main(sys.argv, stop_fd))
