"""Calls in threads that no exit waits for: the caller stays able to answer, to stop, and to prepare what is next.

Not concurrent.futures: its threads are joined when the process ends, so one stalled upload would hold up a stop for as
long as its timeout. These threads are daemons, made anew for each set of calls; eight start in under a millisecond.
"""

from __future__ import annotations

import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import Generic, TypeVar

T = TypeVar("T")

STOP_SECONDS = 5.0
"""How long the calls in hand may go on after a stop was asked for: enough for a service that works."""

POLL_SECONDS = 0.1
"""How often `stop` is asked and results are given to `done`. Not with each: a caller that wakes up takes the
interpreter's lock from the threads, which with results every millisecond or two costs a tenth of their speed.
"""


class Interrupted(Exception):
    """A stop was asked for before all was done. No fault; what was done is found again next time."""


def never() -> bool:
    return False


def run(
    calls: Iterable[Callable[[], T]],
    *,
    threads: int,
    done: Callable[[T], None],
    stop: Callable[[], bool] = never,
) -> None:
    """Make all calls, at most `threads` at once, and wait for them: see `Threads.finish`."""
    Threads(calls, threads).finish(done=done, stop=stop)


class Threads(Generic[T]):
    """Makes all the calls, at most `threads` at once, while the caller does something else, until it calls `finish`."""

    def __init__(self, calls: Iterable[Callable[[], T]], threads: int = 1) -> None:
        self._todo = deque(calls)
        self._results: deque[T] = deque()
        self._errors: deque[BaseException] = deque()
        self._bell = threading.Event()
        # Threads at work are counted here: a thread is alive for a little while longer than it is at work.
        self._at_work: deque[int] = deque()
        for number in range(min(threads, len(self._todo))):
            self._at_work.append(number)
            try:
                threading.Thread(target=self._work, name="call", daemon=True).start()
            except RuntimeError:  # the machine has no more threads to give: fewer do the same, more slowly
                self._at_work.pop()
                break
        self._is_alone = not self._at_work
        """Whether `finish` makes the calls itself. True also if all is done already, which is the same there."""

    def finish(self, *, done: Callable[[T], None], stop: Callable[[], bool] = never) -> None:
        """Wait until all is done, and give each result to `done`, in this thread, soon after it comes.

        Where there is not even one thread to be had, the calls are made here, one after another.

        At the first exception no further call is begun; those under way are waited for, and it is raised. Once `stop`
        says yes there are STOP_SECONDS left; then those under way are left to themselves and Interrupted is raised.
        """
        until: float | None = None
        try:
            while True:
                is_over = not self._at_work and not (self._is_alone and self._call_one())
                self._give_results(done)
                if is_over:
                    break
                if stop() and until is None:
                    until = time.monotonic() + STOP_SECONDS
                if until is not None and time.monotonic() >= until:
                    raise Interrupted(f"not everything was done {STOP_SECONDS:g} s after the stop")
                self._bell.wait(0.0 if self._is_alone else POLL_SECONDS)
                self._bell.clear()
        finally:
            self._todo.clear()
        if self._errors:
            raise self._errors[0]

    def _give_results(self, done: Callable[[T], None]) -> None:
        while self._results:
            done(self._results.popleft())

    def _call_one(self) -> bool:
        """Make the next call; False: there is none, or it was the last."""
        try:
            call = self._todo.popleft()
        except IndexError:
            return False
        try:
            self._results.append(call())
        except BaseException as error:
            self._todo.clear()
            self._errors.append(error)
            return False
        return True

    def _work(self) -> None:
        while self._call_one():
            pass
        self._at_work.pop()
        self._bell.set()
