"""Whether a stage goes round, and whether its service answers, as the process's main thread sees it."""

from __future__ import annotations

import math
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from workers.publishing import threads
from workers.publishing.service.faults import ServiceFault

SILENT_SECONDS = 9.0
"""How long a service that owes an answer gives no sign of life before it counts as silent. This does not depend on its
time-out, which may be longer or shorter, and it is the main thread that looks: the stage waits for the answer.

It is longer than the 8 s that a hosted project gives a statement, and short enough to be told within 12 s of when
something became due, even without a hint.
"""


class Liveness:
    """The signs of life of a stage and its service. The stage's thread writes, any thread may read.

    `stop` says whether a stop was asked for. `last_sign` is when the service last took or gave anything, by the
    monotonic clock: a byte of an upload, or an answer of whatever content. It keeps a slow service from being taken for
    a silent one.
    """

    def __init__(self, stop: Callable[[], bool], last_sign: Callable[[], float] = lambda: -math.inf) -> None:
        self._stop = stop
        self._last_sign = last_sign
        self._lock = threading.Lock()
        """Keeps `look` from finding a service silent that is being noted as having answered."""
        self._alive = time.monotonic()
        self._waiting_since: float | None = None
        self._silent_since: float | None = None
        self._failing_since: float | None = None
        self._answered_at: float | None = None

    def stopping(self) -> bool:
        """Whether to finish the work in hand. Being asked this is the stage's sign of life."""
        self._alive = time.monotonic()
        return self._stop()

    @property
    def quiet_seconds(self) -> float:
        """How long ago the stage's last sign of life was."""
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
        """Within `asking`: meanwhile the stage does something else, such as waiting for the journal."""
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
            self._answered_at = time.time()

    def ask(self, question: Callable[[], object]) -> None:
        """Ask the service something of our own, and give signs of life while it takes its time to answer.

        Raises what the question raises, and threads.Interrupted some seconds after a stop was asked for.
        """
        with self.asking():
            threads.run([question], threads=1, done=lambda _: self.answered(), stop=self.stopping)

    def look(self) -> float | None:
        """Since when the service has been silent, in Unix seconds; None if it is not, or not for SILENT_SECONDS."""
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

    @property
    def answered_at(self) -> float | None:
        """When the service last did something of what this process asked, in Unix seconds; None: not yet."""
        return self._answered_at
