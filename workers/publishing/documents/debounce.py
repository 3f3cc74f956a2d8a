"""When what has changed is acted on: once nothing more has come for a while, but not later than some time after the
first of it. Pure: the clock is an argument, in monotonic seconds.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Debounce:
    """`quiet_seconds` without a change make it due, or `longest_seconds` since the first one.

    >>> debounce = Debounce(2.0, 10.0)
    >>> debounce.is_due(0.0), debounce.note(1.0), debounce.is_due(2.9), debounce.is_due(3.0)
    (False, None, False, True)
    """

    quiet_seconds: float
    longest_seconds: float
    _first: float | None = None
    _last: float = 0.0

    def note(self, now: float) -> None:
        """Something has changed."""
        self._first = now if self._first is None else self._first
        self._last = now

    def is_due(self, now: float) -> bool:
        """Whether it is time to act."""
        if self._first is None:
            return False
        return now - self._last >= self.quiet_seconds or now - self._first >= self.longest_seconds

    def reset(self) -> None:
        """Begin anew: what was collected was acted on."""
        self._first = None

    @property
    def is_waiting(self) -> bool:
        """Whether something has changed that was not acted on."""
        return self._first is not None
