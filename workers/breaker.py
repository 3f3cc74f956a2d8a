"""A circuit breaker: stops asking a service that fails, and finds out when it is back. Pure: the clock is an argument.

closed ──failures in a row──► open ──timeout──► half-open ──success──► closed
                               ▲                    │
                               └──────failure───────┘

Our own, because what libraries there are keep no state that could be shown, count every exception alike, and know
neither of a service that says when to come back nor of one that will not take our key.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

LONGEST_SECONDS = 3600.0
"""However long a service asks to be left alone."""


@dataclass
class Breaker:
    """One service's breaker: opens after `failures` failures in a row, for `timeout_seconds`.

    The clock is in monotonic seconds. `last_error` is what failed since the last success; `opened_at` is when it opened
    first since then, `silent_until` the time before which nothing is asked.
    """

    failures: int
    timeout_seconds: float
    in_a_row: int = 0
    opened_at: float | None = None
    silent_until: float = 0.0
    last_error: str = ""

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        if self.opened_at is None:
            return "closed"
        return "open" if now < self.silent_until else "half-open"

    def allows(self, now: float) -> bool:
        """Whether the service may be asked now. While half-open one request is made: its answer decides."""
        return self.state(now) != "open"

    def succeed(self) -> None:
        self.in_a_row = 0
        self.opened_at = None
        self.last_error = ""

    def fail(self, now: float, error: str, *, fatal: bool = False, retry_after_seconds: float | None = None) -> None:
        """The service failed; a fault of the request itself is not reported here.

        `fatal`: waiting alone won't help, so it opens at once. A service that has said when to come back is taken at
        its word: it opens at once too, for as long.
        """
        self.in_a_row += 1
        self.last_error = error
        if self.opened_at is None and not (fatal or retry_after_seconds) and self.in_a_row < self.failures:
            return
        pause = min(retry_after_seconds, LONGEST_SECONDS) if retry_after_seconds else self.timeout_seconds
        self.opened_at = now if self.opened_at is None else self.opened_at
        self.silent_until = now + pause

    def seconds_to_probe(self, now: float) -> float:
        """How long until the service is asked again; 0 if it may be now."""
        return 0.0 if self.opened_at is None else max(0.0, self.silent_until - now)
