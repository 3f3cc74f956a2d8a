"""Waits for file descriptors, and notices when this process did not run."""

from __future__ import annotations

import selectors
import time
from collections.abc import Callable

from supervisor.processes import policy

Callback = Callable[[], None]


class Poller:
    """`awake_at` is when the last wait ended (monotonic seconds), `suspended_seconds` how late that was."""

    def __init__(self, first_fd: int) -> None:
        """`first_fd` is served before all others."""
        self._first_fd = first_fd
        self._selector = selectors.DefaultSelector()
        self.awake_at = time.monotonic()
        self.suspended_seconds = 0.0

    def watch(self, fd: int, callback: Callback) -> None:
        """Have `wait` return `callback` whenever `fd` is readable."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        self._selector.unregister(fd)

    def wait(self, until: float) -> list[Callback]:
        """Wait for a descriptor, at most until then (monotonic seconds); what is to be called."""
        wanted = max(0.0, until - time.monotonic())
        events = sorted(self._selector.select(wanted), key=lambda one: one[0].fd != self._first_fd)
        asleep_since, self.awake_at = self.awake_at, time.monotonic()
        self.suspended_seconds = policy.overslept_seconds(self.awake_at - asleep_since, wanted)
        return [key.data for key, _ in events]

    def close(self) -> None:
        self._selector.close()
