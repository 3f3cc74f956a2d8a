"""Unforeseen errors, kept to the one job, channel or service that raised them: the process lives.

Errors of the whole process are not kept: no memory, no thread to be had, a full or damaged disk, the journal, a
supervisor that is gone.
"""

from __future__ import annotations

import structlog

from ipc import database
from ipc.files import disk
from ipc.journal import JournalError
from ipc.kernel import process_limit
from ipc.process.holds import Hold
from ipc.transport.mailbox import Closed

log = structlog.get_logger()


class Unforeseen(Exception):
    """An unforeseen error, whose traceback is in the log."""

    def __init__(self, error: Exception) -> None:
        super().__init__(f"an unforeseen error, see the log: {type(error).__name__}: {error}")


def contained(error: Exception, what: str, **facts: object) -> Unforeseen:
    """The error as that of a single job, channel or service, logged with its traceback and `what` follows from it.

    An error of the whole process is raised again.
    """
    if concerns_all(error):
        raise error
    log.error("error.unforeseen", exc_info=error, what=what, **facts)
    return Unforeseen(error)


def concerns_all(error: Exception) -> bool:
    """Whether an error is the whole process's to deal with.

    >>> concerns_all(MemoryError()), concerns_all(KeyError("x"))
    (True, False)
    """
    if isinstance(error, Hold | Closed | JournalError | MemoryError) or disk.cannot_be_written(error):
        return True
    if process_limit.says_no_thread(error):
        return True
    return isinstance(error, database.Error) and not database.refuses_a_value(error)
