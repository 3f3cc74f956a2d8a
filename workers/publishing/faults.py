"""How a service that pictures are published to fails, or refuses one of them, whichever it is."""

from __future__ import annotations


class ServiceFault(Exception):
    """The service itself fails (full, gone, refuses us): no fault of what it was given. It counts for the breaker.

    `fatal`: no waiting helps, the settings or the service's have to be changed; asking again is no use for long.
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
