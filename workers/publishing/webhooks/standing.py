"""How a webhook stands: whether it may be asked, and for how many messages at once. The journal keeps it."""

from __future__ import annotations

import time
from collections.abc import Callable

import structlog

from ipc.journal import Journal
from ipc.journal.outputs import webhooks
from workers.publishing.service.breaker import Breaker
from workers.publishing.service.faults import JobFault, ServiceFault
from workers.publishing.webhooks.target import Target

log = structlog.get_logger()


class Standing:
    """The standing of one webhook. `clock` is monotonic."""

    def __init__(
        self, target: Target, journal: Journal, breaker: Breaker, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._target = target
        self._journal = journal
        self._breaker = breaker
        self._clock = clock
        self._is_failing = False
        row = webhooks.standing(journal, target.name)
        if row["opened_at"] is not None:
            breaker.reopen(clock(), row["silent_until"] - journal.clock(), row["error"])
        self._is_failing = row["failing_since"] is not None

    def room(self, most: int) -> int:
        """How many messages may be sent at once."""
        state = self._breaker.state(self._clock())
        return 0 if state == "open" else 1 if state == "half-open" else most

    @property
    def is_closed(self) -> bool:
        """Whether the circuit breaker is closed. A failure may then be the message's own fault."""
        return self._breaker.opened_at is None

    def accepted(self) -> None:
        """The journal has it already."""
        self._breaker.succeed(self._clock())
        if self._is_failing:
            self._is_failing = False
            log.info("webhook.recovered", webhook=self._target.label)

    def failed(self, fault: ServiceFault | JobFault) -> None:
        """An attempt came to nothing. A message that was refused says nothing against its receiver."""
        now = self._clock()
        self._is_failing = True
        remedy = ""
        if isinstance(fault, ServiceFault):
            remedy = fault.remedy
            self._breaker.fail(now, str(fault), fatal=fault.fatal, retry_after_seconds=fault.retry_after_seconds)
        else:
            self._breaker.succeed(now)
        silent = None if self.is_closed else self._breaker.seconds_to_probe(now)
        webhooks.note_failure(self._journal, self._target.name, str(fault), remedy, silent)
