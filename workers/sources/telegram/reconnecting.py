"""When to connect again, and when a server that refuses the session means it."""

from __future__ import annotations

from typing import Final

from ipc.process.holds import Hold
from ipc.text.durations import duration
from workers.sources.telegram.wire.account import LOGIN
from workers.sources.telegram.wire.errors import SessionRefused

MAX_DELAY_SECONDS: Final = 60.0
"""Between two attempts to connect: a picture need not wait longer once Telegram is back."""

REFUSED_TIMES: Final = 5
REFUSED_SECONDS: Final = 600.0
"""A server in trouble may refuse a session for a moment; one that does so as often and as long in a row means it."""


class Refusals:
    """How often in a row, and for how long, the server has refused the session."""

    def __init__(self) -> None:
        self.reset()

    def reset(self) -> None:
        """Forget the refusals: Telegram has taken the session, or something else was wrong."""
        self._times, self._since = 0, 0.0

    def note(self, trouble: Exception, now: float) -> None:
        """Connecting has failed for that reason; `now` is monotonic. Raises Hold if it was that often and that long."""
        if not isinstance(trouble, SessionRefused):
            self.reset()
            return
        self._since = self._since if self._times else now
        self._times += 1
        if self._times >= REFUSED_TIMES and now - self._since >= REFUSED_SECONDS:
            raise Hold(f"{trouble}, {self._times} times in {duration(now - self._since)}", LOGIN) from trouble


def reconnect_delay(failures: int, first_seconds: float, chance: float) -> float:
    """Seconds before the next attempt to connect; `chance` in [0, 1) is its jitter, which only shortens it.

    A connection that has just been lost is made again at once: most are back within milliseconds.

    >>> [reconnect_delay(failures, 5.0, 0.0) for failures in range(6)]
    [0.0, 5.0, 10.0, 20.0, 40.0, 60.0]
    """
    if failures == 0:
        return 0.0
    return float(min(MAX_DELAY_SECONDS, first_seconds * 2 ** (failures - 1)) * (1 - chance / 4))
