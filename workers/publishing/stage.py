"""What the uploader's two stages have in common: each asks one service, in a thread of its own.

So a storage that hangs keeps no row waiting, and a catalogue that hangs keeps no object waiting.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from workers.publishing import threads
from workers.publishing.running.liveness import Liveness
from workers.publishing.service.faults import JobFault, ServiceFault
from workers.publishing.service.service import Service
from workers.unforeseen import contained

POLL_SECONDS = 2.0
"""How often a stage looks for work without a hint."""

HANG_SECONDS = 60.0
"""A stage that shows no sign of life for this long hangs. Twice the longest wait for the journal, as for any child."""

DRAIN_SECONDS = threads.STOP_SECONDS + 2.0
"""How long a stage is waited for after a stop was asked for. What it has not recorded by then is repeated."""

FAULTS_OF_A_JOB = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""Errors that count against the job. The journal's and the system's end the process, and the next begins afresh."""

FORESEEN = (ServiceFault, JobFault, threads.Interrupted, OSError)
"""Errors that say themselves whose they are, and the system's, which end the process unless a stage knows what to do.
Any other one is the service's failure, if it does not concern the whole process.
"""


class StageHangs(Exception):
    """A stage gives no sign of life: which, and for how long. The process is replaced."""


class Stage(Protocol):
    """One of the two stages. `step` does what is due, and returns the number of jobs that went a step on."""

    liveness: Liveness
    service: Service

    def step(self) -> int: ...


@contextmanager
def unforeseen_as(kind: type[ServiceFault]) -> Iterator[None]:
    """Make a service's fault of an unforeseen error: so one job ends no process, and no other stage.

    The breaker and the search for the job to blame go on as with any other failure, and /status shows the error.
    """
    try:
        yield
    except FORESEEN:
        raise
    except Exception as error:
        raise kind(_told(error)) from error


def _told(error: Exception, **facts: object) -> str:
    """The words for an unforeseen error. Raises it again if it concerns the whole process."""
    unforeseen = contained(error, "unforeseen error", **facts)
    return f"{unforeseen}. Please report it. Nothing is lost, it is tried again"


class StageThread(threading.Thread):
    """A stage at work in a thread that no exit waits for. `error` is what ended it.

    It takes its last step when the stage `before` has ended, which may have handed work over.
    """

    def __init__(
        self, name: str, stage: Stage, after_step: Callable[[int], None], before: StageThread | None = None
    ) -> None:
        super().__init__(name=name, daemon=True)
        self._stage = stage
        self._after_step = after_step
        self._before = before
        self._bell = threading.Event()
        self.error: BaseException | None = None

    def ring(self) -> None:
        """Wake the thread: there may be something to do."""
        self._bell.set()

    def run(self) -> None:
        try:
            while not self._stage.liveness.stopping():
                went_on = self._step()
                self._after_step(went_on)
                if not went_on:
                    self._bell.wait(POLL_SECONDS)
                    self._bell.clear()
            if self._before is not None:
                self._before.join(DRAIN_SECONDS)
                self._step()
        except BaseException as error:
            self.error = error

    def _step(self) -> int:
        """One step. An unforeseen error counts for the breaker, and the stage goes on."""
        try:
            return self._stage.step()
        except FORESEEN:
            raise
        except Exception as error:
            told = _told(error, thread=self.name)
            self._stage.liveness.failed()
            self._stage.service.failed([], ServiceFault(told))
            return 0

    def check(self) -> None:
        """Raise what ended the thread, or StageHangs."""
        if self.error is not None:
            raise self.error
        if (quiet := self._stage.liveness.quiet_seconds) > HANG_SECONDS:
            raise StageHangs(f"{self.name} has shown no sign of life for {quiet:.0f} s. The process is replaced")
