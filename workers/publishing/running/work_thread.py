"""A thread of the uploader beside its two stages, for work that may wait: it never holds a picture up.

It has connections of its own. A service that fails puts its work off, and that alone.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Generic, Protocol, TypeVar

import structlog

from workers.publishing.service.faults import ServiceFault
from workers.unforeseen import contained

POLL_SECONDS = 2.0
"""Poll interval without a hint, in seconds."""

WAIT_SECONDS = 60.0
"""How long a thread waits after a failure, unless the failure says otherwise."""

log = structlog.get_logger()


class Work(Protocol):
    """What such a thread does, step by step. Every step can be repeated."""

    def step(self) -> int:
        """Do what is due. Returns how much was done, 0 if nothing was due. Raises ServiceFault and OSError."""

    def close(self) -> None:
        """Let go of the services. The next step opens them anew."""


W = TypeVar("W", bound=Work)


def now_and_then(_: Work) -> float:
    """Poll interval for work that also gets hints."""
    return POLL_SECONDS


class WorkThread(threading.Thread, Generic[W]):
    """Does its work again and again until a stop. `error` is what ended it. No exit waits for it: work can be repeated.

    `make` is called in the thread itself: connections are not shared by threads. `poll_seconds` is how long it waits
    for a hint after a step that found nothing.
    """

    def __init__(
        self,
        name: str,
        make: Callable[[], W],
        stopping: Callable[[], bool],
        poll_seconds: Callable[[W], float] = now_and_then,
        pause_seconds: float = WAIT_SECONDS,
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._make = make
        self._stopping = stopping
        self._poll_seconds = poll_seconds
        self._pause_seconds = pause_seconds
        self._bell = threading.Event()
        self._stopped = threading.Event()
        self.error: BaseException | None = None

    def run(self) -> None:
        try:
            work = self._make()
            while not self._stopping():
                self._step(work)
        except BaseException as error:
            self.error = error

    def _step(self, work: W) -> None:
        """One step, and the wait after it. No service's failure is anybody's but this thread's."""
        try:
            if not work.step():
                self._bell.wait(self._poll_seconds(work))
                self._bell.clear()
            return
        except (ServiceFault, OSError) as fault:
            log.warning("work.paused", thread=self.name, seconds=self._pause_seconds, reason=str(fault))
        except Exception as error:
            contained(error, "work put off for an unforeseen error", thread=self.name)
        work.close()
        self._stopped.wait(self._pause_seconds)  # a hint is no reason to ask a service sooner that has just failed

    def ring(self) -> None:
        """Wake the thread: there may be something to do."""
        self._bell.set()

    def stop(self) -> None:
        """Don't wait any more: a stop is asked for."""
        self._stopped.set()
        self._bell.set()

    def check(self) -> None:
        """Raise what ended the thread."""
        if self.error is not None:
            raise self.error
