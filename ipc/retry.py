"""Whether what has failed is tried again, and when: pure functions of the number of failures and a random source."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

LONGEST_SECONDS = 6 * 3600.0
"""The longest pause, its jitter aside, after any number of failures."""

JITTER = 0.25
"""A pause is shorter or longer by at most this part, so that jobs which failed together don't come back together."""

FARTHEST_SECONDS = (1 + JITTER) * LONGEST_SECONDS
"""A next attempt further off than this was set by a clock that has been set back since: such a job is due at once."""


@dataclass(frozen=True, slots=True)
class RetryPolicy:
    """`max_attempts` more tries after the first one; the first pause is `base_seconds`, each further one doubles."""

    max_attempts: int
    base_seconds: float

    def delay_seconds(self, failures: int, random: Callable[[], float]) -> float | None:
        """Seconds to wait after the `failures`-th failure (from 1), or None: the job is dead.

        `random` gives [0, 1).
        """
        if failures > self.max_attempts:
            return None
        return pause_seconds(failures, self.base_seconds, LONGEST_SECONDS, random)


def pause_seconds(times: int, first: float, longest: float, random: Callable[[], float]) -> float:
    """The pause after the `times`-th failure in a row (from 1): `first` seconds, doubled with each further failure, at
    most `longest`, then jittered. `random` gives [0, 1).

    >>> [pause_seconds(times, 1.0, 30.0, lambda: 0.5) for times in (1, 2, 3, 99)]
    [1.0, 2.0, 4.0, 30.0]
    """
    pause = first * 2.0 ** min(times - 1, 40)
    return float(min(longest, pause) * (1 - JITTER + 2 * JITTER * random()))
