"""What the two halves of the uploader have in common: each asks one service, in a thread of its own.

So a storage that hangs keeps no row waiting, and a catalogue that hangs keeps no object waiting. `Watch` is what the
process sees of a half meanwhile: that it goes round, and whether its service owes it an answer.
"""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from workers.publishing import threads
from workers.publishing.faults import JobFault, ServiceFault
from workers.publishing.service import Service
from workers.unforeseen import contained

POLL_SECONDS = 2.0
"""How often work is looked for where nobody hints at any, and how they stand is looked at."""

LOOK_SECONDS = 0.5
"""How often the main thread looks at how they stand while a service owes an answer."""

SILENT_SECONDS = 9.0
"""A service that gives no sign of life for so long while it is being asked is said to be silent. This does not depend
on its time-out, which may be longer or shorter, and it is the main thread that looks: the half waits for the answer.

It is longer than the 8 s that a hosted project gives a statement, and short enough to be told within 12 s of when
something became due, though nobody hinted at it.
"""

HANG_SECONDS = 60.0
"""A half that shows no sign of life for so long hangs. Twice the longest wait for the journal, as for any child."""

DRAIN_SECONDS = threads.STOP_SECONDS + 2.0
"""How long a half is waited for after a stop was asked for. What it has not recorded by then is repeated."""

FAULTS_OF_A_JOB = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""Not the journal's errors, nor the system's: those end the process, and the next incarnation begins afresh."""

FORESEEN = (ServiceFault, JobFault, threads.Interrupted, OSError)
"""Errors that say themselves whose they are, and the system's, which end the process unless a half knows what to do.
Any other one is the service's failure, if it does not concern the whole process.
"""


class Hangs(Exception):
    """A half gives no sign of life: which, and for how long. The process is replaced."""


class Watch:
    """A half seen from outside. Its thread writes, any may read. `stop` says whether a stop was asked for.

    `last_sign` is when the service last took or gave anything, by the monotonic clock: a byte of an upload, or an
    answer of whatever content. It keeps a slow service from being taken for a silent one.
    """

    def __init__(self, stop: Callable[[], bool], last_sign: Callable[[], float] = lambda: -math.inf) -> None:
        self._stop = stop
        self._last_sign = last_sign
        self._lock = threading.Lock()
        """Who looks must not find the service silent that is being said to have answered."""
        self._alive = time.monotonic()
        self._waiting_since: float | None = None
        self._silent_since: float | None = None
        self._failing_since: float | None = None

    def stopping(self) -> bool:
        """Whether to finish the work in hand. Being asked this is the half's sign of life."""
        self._alive = time.monotonic()
        return self._stop()

    @property
    def quiet_seconds(self) -> float:
        """For how long there has been no sign of life."""
        return time.monotonic() - self._alive

    @property
    def is_waiting(self) -> bool:
        """Whether the service owes an answer."""
        return self._waiting_since is not None

    @contextmanager
    def asking(self) -> Iterator[None]:
        """Meanwhile the service owes an answer. One that was silent or failing stays so until `answered`."""
        with self._lock:
            self._waiting_since = time.monotonic()
        try:
            yield
        except ServiceFault:
            self.failed()
            raise
        finally:
            with self._lock:
                self._waiting_since = None

    @contextmanager
    def busy(self) -> Iterator[None]:
        """Within `asking`: meanwhile the half does something else, such as waiting for the journal."""
        with self._lock:
            was_waiting, self._waiting_since = self._waiting_since is not None, None
        try:
            yield
        finally:
            with self._lock:
                self._waiting_since = time.monotonic() if was_waiting else None

    def failed(self) -> None:
        """The service has failed with what it was asked last."""
        with self._lock:
            waited = 0.0 if self._waiting_since is None else time.monotonic() - self._waiting_since
            self._failing_since = self._failing_since or time.time() - waited

    def answered(self) -> None:
        """The service has done something of what it was asked."""
        with self._lock:
            if self._waiting_since is not None:
                self._waiting_since = time.monotonic()
            self._silent_since = self._failing_since = None

    def ask(self, question: Callable[[], object]) -> None:
        """Ask the service something of our own, and be alive while it takes its time to answer.

        Raises what the question raises, and crew.Interrupted some seconds after a stop was asked for.
        """
        with self.asking():
            threads.run([question], threads=1, done=lambda _: self.answered(), stop=self.stopping)

    def look(self) -> float | None:
        """Since when the service has been silent, in Unix seconds; None if it is not, or not for long."""
        with self._lock:
            if self._silent_since is None and self._waiting_since is not None:
                silent_seconds = time.monotonic() - max(self._waiting_since, self._last_sign())
                if silent_seconds >= SILENT_SECONDS:
                    self._silent_since = time.time() - silent_seconds
            return self._silent_since

    @property
    def failing_since(self) -> float | None:
        """Since when the service fails, in Unix seconds: when it was first asked in vain. None: it answered since."""
        return self._failing_since


@contextmanager
def unforeseen_as(kind: type[ServiceFault]) -> Iterator[None]:
    """Make a service's fault of an error that nobody foresaw: so one job ends no process, and no other half.

    The breaker and the search for the job to blame go on as with any other failure, and /status shows the error.
    """
    try:
        yield
    except FORESEEN:
        raise
    except Exception as error:
        raise kind(_told(error)) from error


def _told(error: Exception, **facts: object) -> str:
    """What to say of an error that nobody foresaw. Raises it again if it concerns the whole process."""
    unforeseen = contained(error, "unforeseen error", **facts)
    return f"{unforeseen}. Please report it. Nothing is lost, it is tried again"


class Half(Protocol):
    """One of the two. `step` does what is due, and says how many jobs went a step on."""

    watch: Watch
    service: Service

    def step(self) -> int: ...


class Shift(threading.Thread):
    """A half at work in a thread of its own, which nobody has to wait for. `error` is what ended it."""

    def __init__(self, name: str, half: Half, after_step: Callable[[int], None], before: Shift | None = None) -> None:
        super().__init__(name=name, daemon=True)
        self._half = half
        self._after_step = after_step
        self._before = before
        self._bell = threading.Event()
        self.error: BaseException | None = None

    def ring(self) -> None:
        """There may be something to do."""
        self._bell.set()

    def run(self) -> None:
        try:
            while not self._half.watch.stopping():
                went_on = self._step()
                self._after_step(went_on)
                if not went_on:
                    self._bell.wait(POLL_SECONDS)
                    self._bell.clear()
            if self._before is not None:
                self._before.join(DRAIN_SECONDS)
                self._step()  # what the other one has handed over meanwhile
        except BaseException as error:
            self.error = error

    def _step(self) -> int:
        """One step. Should it fail in a way that nobody foresaw, that counts for the breaker, and the half goes on."""
        try:
            return self._half.step()
        except FORESEEN:
            raise
        except Exception as error:
            told = _told(error, half=self.name)
            self._half.watch.failed()
            self._half.service.failed([], ServiceFault(told))
            return 0

    def check(self) -> None:
        """Raise what ended the thread, or Hangs."""
        if self.error is not None:
            raise self.error
        if (quiet := self._half.watch.quiet_seconds) > HANG_SECONDS:
            raise Hangs(f"{self.name} has shown no sign of life for {quiet:.0f} s. The process is replaced")
