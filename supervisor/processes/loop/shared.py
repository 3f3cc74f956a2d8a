"""What the parts of one supervisor share: its children's slots, the rules for them, whether it is stopping."""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import structlog

from ipc.transport.mailbox import Closed
from ipc.transport.messages import Message, MessageError
from ipc.transport.router import Router
from supervisor.processes.slot import Slot
from supervisor.processes.spec import ChildSpec, Intensity, SpecError

log = structlog.get_logger()


def slots_of(specs: Sequence[ChildSpec]) -> dict[str, Slot]:
    """A slot for each child, by its name. Raises SpecError if two have one name."""
    slots = {spec.name: Slot(spec) for spec in specs}
    if len(slots) < len(specs):
        raise SpecError(f"children {', '.join(spec.name for spec in specs)}: each needs a name of its own")
    return slots


@dataclass
class Shared:
    """`slots` is in the order of starting. `drain_until` is when the drain of a stop is over (monotonic seconds)."""

    slots: dict[str, Slot]
    intensity: Intensity
    drain_seconds: float
    log_settings: dict[str, str]
    exit_code: int = 0
    drain_until: float | None = None
    running_router: Router | None = None
    liveness_reader: int = field(init=False)
    liveness_writer: int = field(init=False)

    def __post_init__(self) -> None:
        self.liveness_reader, self.liveness_writer = os.pipe()

    @property
    def router(self) -> Router:
        assert self.running_router is not None, "only while it runs"
        return self.running_router

    @property
    def stopping(self) -> bool:
        return self.drain_until is not None

    @property
    def is_over(self) -> bool:
        return self.stopping and all(slot.process is None for slot in self.slots.values())

    def begin_stop(self) -> None:
        """Stop taking in, let the work in hand be finished, end the children; then the supervisor returns."""
        if not self.stopping:
            self.drain_until = time.monotonic() + self.drain_seconds
            log.info("supervisor.stop_begun", drain_seconds=self.drain_seconds)

    def give_up(self) -> None:
        """Stop because a child cannot be kept alive; the exit code says so."""
        self.exit_code = 1
        self.begin_stop()

    def send(self, name: str, message: Message) -> bool:
        """Put a message into the child's inbox. False: it is down, or its inbox is full; the message is dropped."""
        slot = self.slots.get(name)
        process = slot.process if slot else None
        if process is None:
            return False
        try:
            return process.outbox.send(message)
        except Closed:
            return False  # it is dead; its pidfd says so in a moment
        except MessageError as error:
            log.error("message.rejected", child=name, error=str(error))
            return False

    def remove(self, name: str) -> None:
        """Delete the child's slot, and with it the child's row of /status."""
        self.router.on_state(name, {})
        del self.slots[name]

    def close(self) -> None:
        os.close(self.liveness_reader)
        os.close(self.liveness_writer)
