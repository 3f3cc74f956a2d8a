"""Whether a failed job is tried again, and when: a pure function of its attempts, the clock and a random source."""

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
        pause = self.base_seconds * 2.0 ** min(failures - 1, 40)
        return float(min(LONGEST_SECONDS, pause) * (1 - JITTER + 2 * JITTER * random()))
