"""Failures by the limit on processes: the machine, the user or the cgroup has none left to give (EAGAIN).

For the kernel a thread is a process. The shortage passes, and no picture is to blame: a process that meets it does
without a thread, or ends and is started again later (`ipc.transport.messages.Short`).
"""

from __future__ import annotations

REMEDY = (
    "Nothing is lost, and it is tried again by itself. Raise the limit on processes (ulimit -u, TasksMax= of the"
    " service, pids.max of the container), or lower pool.workers"
)


def says_no_thread(error: BaseException) -> bool:
    """Whether the error, or one that caused it, is that no thread could be started."""
    if isinstance(error, BaseExceptionGroup):
        return any(map(says_no_thread, error.exceptions))
    # Python has no type of its own for it, and keeps the kernel's error to itself.
    is_it = isinstance(error, RuntimeError) and "start new thread" in str(error)
    return is_it or (error.__cause__ is not None and says_no_thread(error.__cause__))
