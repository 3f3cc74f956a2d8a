"""What the two halves of the uploader have in common: each asks one service, in a thread of its own.

So a storage that hangs keeps no row waiting, and a catalogue that hangs keeps no object waiting. `Watch` is what the
process sees of a half meanwhile: that it goes round, and whether its service owes it an answer.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Protocol

from workers import crew

POLL_SECONDS = 2.0
"""How often work is looked for where nobody hints at any, and how they stand is looked at."""

SILENT_SECONDS = 10.0
"""So long after the last answer a service that is being asked is said to be silent."""

SLOW_BYTES_PER_SECOND = 100_000
"""A large object may take longer: by this."""

HANG_SECONDS = 60.0
"""A half that shows no sign of life for so long hangs. Twice the longest wait for the journal, as for any child."""

DRAIN_SECONDS = crew.STOP_SECONDS + 2.0
"""How long a half is waited for after a stop was asked for. What it has not recorded by then is repeated."""

FAULTS_OF_A_JOB = (ArithmeticError, AssertionError, AttributeError, LookupError, TypeError, ValueError)
"""Not the journal's errors, nor the system's: those end the process, and the next incarnation begins afresh."""


class Hangs(Exception):
    """A half gives no sign of life: which, and for how long. The process is replaced."""


class Watch:
    """A half seen from outside. Its thread writes, any may read. `stop` says whether a stop was asked for."""

    def __init__(self, stop: Callable[[], bool]) -> None:
        self._stop = stop
        self._lock = threading.Lock()
        """Who looks must not find the service silent that is being said to have answered."""
        self._alive = time.monotonic()
        self._patience = SILENT_SECONDS
        self._answered: float | None = None
        self._silent_since: float | None = None

    def stopping(self) -> bool:
        """Whether to finish the work in hand. Being asked this is the half's sign of life."""
        self._alive = time.monotonic()
        return self._stop()

    @property
    def quiet_seconds(self) -> float:
        """For how long there has been no sign of life."""
        return time.monotonic() - self._alive

    @contextmanager
    def asking(self, largest_bytes: int = 0) -> Iterator[None]:
        """Meanwhile the service owes an answer. One that was silent stays so until `answered`."""
        with self._lock:
            self._patience = SILENT_SECONDS + largest_bytes / SLOW_BYTES_PER_SECOND
            self._answered = time.monotonic()
        try:
            yield
        finally:
            with self._lock:
                self._answered = None

    def answered(self) -> None:
        """The service has done something of what it was asked."""
        with self._lock:
            self._answered = time.monotonic()
            self._silent_since = None

    def ask(self, question: Callable[[], object]) -> None:
        """Ask the service something of our own, and be alive while it takes its time to answer.

        Raises what the question raises, and crew.Interrupted some seconds after a stop was asked for.
        """
        with self.asking():
            crew.run([question], threads=1, done=lambda _: self.answered(), stop=self.stopping)

    def look(self) -> float | None:
        """Since when the service has been silent, in Unix seconds; None if it is not, or not for long."""
        with self._lock:
            if self._silent_since is None and self._answered is not None:
                silent_seconds = time.monotonic() - self._answered
                if silent_seconds > self._patience:
                    self._silent_since = time.time() - silent_seconds
            return self._silent_since


class Half(Protocol):
    """One of the two. `step` does what is due, and says how many jobs went a step on."""

    watch: Watch

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
                went_on = self._half.step()
                self._after_step(went_on)
                if not went_on:
                    self._bell.wait(POLL_SECONDS)
                    self._bell.clear()
            if self._before is not None:
                self._before.join(DRAIN_SECONDS)
                self._half.step()  # what the other one has handed over meanwhile
        except BaseException as error:
            self.error = error

    def check(self) -> None:
        """Raise what ended the thread, or Hangs."""
        if self.error is not None:
            raise self.error
        if (quiet := self._half.watch.quiet_seconds) > HANG_SECONDS:
            raise Hangs(f"{self.name} has shown no sign of life for {quiet:.0f} s. The process is replaced")
