"""Whose a failure is: the service's, the job's, or ours.

The service's is a ServiceFault (StorageFault, CatalogFault), the job's a JobFault (ObjectFault, RowFault). Ours is any
other error: `workers.publishing.stage.unforeseen_as` makes a ServiceFault of it, since it looks as if the service
failed until other jobs succeed. No text is read to tell them apart.
"""

from __future__ import annotations


class ServiceFault(Exception):
    """The service itself fails (full, gone, refuses us): no fault of what it was given. It counts for the breaker.

    `fatal`: waiting does not help, the settings or the service have to be changed.
    `retry_after_seconds`: how long the service wants to be left alone, if it says so. `remedy`: what to do, a sentence
    without its full stop.
    """

    def __init__(
        self, text: str, *, fatal: bool = False, retry_after_seconds: float | None = None, remedy: str = ""
    ) -> None:
        super().__init__(text)
        self.fatal = fatal
        self.retry_after_seconds = retry_after_seconds
        self.remedy = remedy


class JobFault(Exception):
    """The service works, but will never take this object or row: the job's own fault. It says nothing of the others."""
