"""Stops the children: one after another in a drain, at once where that is asked for, a single one by request."""

from __future__ import annotations

import math
import os
import signal
import time
from collections.abc import Callable

import structlog

from supervisor.processes.loop.shared import Shared
from supervisor.processes.policy import Intent
from supervisor.processes.slot import Slot

LEAST_STOP_SECONDS = 1.0
"""What a child gets to stop in, even if those before it have used up all the time there was."""

SAME_REQUEST_SECONDS = 0.5
"""Two signals closer than this are one request: `timeout` and some terminals send a process two."""

log = structlog.get_logger()


class Stops:
    """`in_order`: the last started stops first, and the next when it is gone. `hurries`: a second signal ends all."""

    def __init__(self, shared: Shared, stop_fd: int, *, in_order: bool, hurries: bool) -> None:
        self._shared = shared
        self._stop_fd = stop_fd
        self._in_order = in_order
        self._hurries = hurries
        self._asked_at: float | None = None
        self.on_hangup: Callable[[], None] | None = None

    def on_signal(self) -> None:
        """Signals have arrived at `stop_fd`."""
        signals = set(os.read(self._stop_fd, 64))
        if signals == {signal.SIGHUP} and self.on_hangup is not None:
            self.on_hangup()
        elif self._asked_at is None:  # a stop may have begun by itself: that was no request
            self._asked_at = time.monotonic()
            self._shared.begin_stop()
        elif self._hurries and time.monotonic() - self._asked_at > SAME_REQUEST_SECONDS:
            self.at_once()

    def at_once(self) -> None:
        """End all children now."""
        log.warning("supervisor.stop_forced")
        self._shared.exit_code = 1
        for slot in self._shared.slots.values():
            _end(slot)

    def abandon(self) -> None:
        """End at once all children whose work is not theirs any more. Commands are not concerned: they are asked to
        stop.
        """
        self._shared.give_up()
        for slot in self._shared.slots.values():
            slot.cancel()
            if slot.spec.command is None:
                _end(slot)

    def go_on(self) -> None:
        """Go on with a stop: ask the last started child that still runs, or all of them."""
        if self._shared.drain_until is None:
            return
        for slot in reversed(self._shared.slots.values()):
            slot.cancel()
            if slot.process is None:
                continue
            if slot.process.intent is not Intent.STOP:
                self.ask(slot, self._shared.drain_until)
            if self._in_order and slot.spec.command is None:  # no child waits for a command
                return

    def ask(self, slot: Slot, latest: float = math.inf) -> None:
        """Ask the slot's process to stop by then (monotonic seconds), once: a second SIGTERM means "at once" to a child
        that supervises.
        """
        process = slot.process
        if process is None or process.intent is Intent.STOP:
            return
        if process.intent is None:
            process.intent = Intent.STOP
        now = time.monotonic()
        slot.stop_until = max(min(now + slot.spec.stop_seconds, latest), now + LEAST_STOP_SECONDS)
        process.ask_to_stop()


def _end(slot: Slot) -> None:
    slot.cancel()
    if slot.process:
        slot.process.end(Intent.STOP)
        slot.stop_until = math.inf
