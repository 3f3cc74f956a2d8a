"""A circuit breaker: stops asking a service that fails, and finds out when it is back. Pure: the clock is an argument.

closed ──failures in a row──► open ──timeout──► half-open ──success──► closed
                               ▲                    │
                               └──────failure───────┘
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal


@dataclass
class Breaker:
    """One service's breaker: opens after `failures` failures in a row, for `timeout_seconds`.

    The clock is in monotonic seconds. `last_error` is what failed since the last success.
    """

    failures: int
    timeout_seconds: float
    in_a_row: int = 0
    opened_at: float | None = None
    last_error: str = field(default="")

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        if self.opened_at is None:
            return "closed"
        return "open" if now - self.opened_at < self.timeout_seconds else "half-open"

    def allows(self, now: float) -> bool:
        """Whether the service may be asked now. While half-open one caller asks: its answer decides."""
        return self.state(now) != "open"

    def succeed(self) -> None:
        self.in_a_row = 0
        self.opened_at = None
        self.last_error = ""

    def fail(self, now: float, error: str) -> None:
        """The service failed; a fault of the request itself is not reported here."""
        self.in_a_row += 1
        self.last_error = error
        if self.in_a_row >= self.failures:
            self.opened_at = now

    def seconds_to_probe(self, now: float) -> float:
        """How long until the service may be asked again; 0 if it may be now."""
        return 0.0 if self.opened_at is None else max(0.0, self.opened_at + self.timeout_seconds - now)
