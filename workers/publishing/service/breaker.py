"""A circuit breaker: stops asking a service that fails, and finds out when it is back. Pure: the clock is an argument.

closed ──failures in a row, or at a rate──► open ──timeout──► half-open ──success──► closed
                                             ▲                    │
                                             └──────failure───────┘

Our own. Considered were pybreaker 1.4.1, purgatory 3.0.1, circuitbreaker 2.1.3 and aiobreaker 1.2.0. Each wraps a call
and counts: none opens at once for a service that won't take our key, or for as long as one asks in its Retry-After, or
at a rate; what survives a restart survives it in Redis (circuitbreaker: not at all); whether a failure counts is
decided when it is raised, where we learn only from the next job whose fault it was; and each reads the system's clock,
so that an outage of an hour can't be tested. What would be left of a library is the diagram above.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Literal

from workers.publishing.service.retry_after import bounded

WINDOW_SECONDS = 60.0
WINDOW_CALLS = 20
WINDOW_SHARE = 0.5
"""The breaker opens as well when this share of at least WINDOW_CALLS calls has failed within the window."""


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
    _calls: deque[tuple[float, bool]] = field(default_factory=deque)

    def state(self, now: float) -> Literal["closed", "open", "half-open"]:
        """Its state. While open, the service is not asked. While half-open, one request is made: its answer decides."""
        if self.opened_at is None:
            return "closed"
        return "open" if now < self.silent_until else "half-open"

    def succeed(self, now: float) -> None:
        self._note(now, failed=False)
        self.in_a_row = 0
        self.opened_at = None
        self.last_error = ""

    def fail(self, now: float, error: str, *, fatal: bool = False, retry_after_seconds: float | None = None) -> None:
        """The service failed; a fault of the request itself is not reported here.

        `fatal`: waiting alone won't help, so it opens at once. For a service that says when to come back it
        opens at once too, for as long.
        """
        self.in_a_row += 1
        self.last_error = error
        self._note(now, failed=True)
        is_too_much = self.in_a_row >= self.failures or self._fails_too_often()
        if self.opened_at is None and not (fatal or retry_after_seconds or is_too_much):
            return
        pause = bounded(retry_after_seconds) if retry_after_seconds else self.timeout_seconds
        self.opened_at = now if self.opened_at is None else self.opened_at
        self.silent_until = now + pause
        self._calls.clear()  # what comes after this outage is judged by itself

    def reopen(self, now: float, seconds: float, error: str) -> None:
        """Go on as the breaker of an earlier process: open for that many seconds more."""
        self.in_a_row = self.failures
        self.opened_at = now
        self.silent_until = now + bounded(seconds)
        self.last_error = error

    def seconds_to_probe(self, now: float) -> float:
        """Seconds until the service is asked again; 0 if it may be now."""
        return 0.0 if self.opened_at is None else max(0.0, self.silent_until - now)

    def _note(self, now: float, *, failed: bool) -> None:
        self._calls.append((now, failed))
        while self._calls[0][0] < now - WINDOW_SECONDS:
            self._calls.popleft()

    def _fails_too_often(self) -> bool:
        failed = sum(failed for _, failed in self._calls)
        return len(self._calls) >= WINDOW_CALLS and failed >= WINDOW_SHARE * len(self._calls)
