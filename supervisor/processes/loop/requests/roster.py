"""Which children there are and which of them are to run: what the operator, a reload and an import ask for."""

from __future__ import annotations

from collections.abc import Sequence

import structlog

from ipc.transport.messages import Message
from supervisor.processes.loop.requests.reload import Changes, Reload
from supervisor.processes.loop.rows import Rows
from supervisor.processes.loop.shared import Shared
from supervisor.processes.loop.stops import Stops
from supervisor.processes.slot import Slot, SlotState
from supervisor.processes.spec import ChildSpec, Intensity

log = structlog.get_logger()


class Roster:
    """Changes the slots of one supervisor."""

    def __init__(self, shared: Shared, rows: Rows, stops: Stops) -> None:
        self._shared = shared
        self._rows = rows
        self._stops = stops
        self.reload = Reload(self, shared.slots)

    @property
    def stopping(self) -> bool:
        return self._shared.stopping

    def operate(self, action: str, name: str) -> None:
        """Do what the operator asks of the child ("stop", "start" or "restart"), if there is one of that name."""
        if name in self._shared.slots and not self.stopping:
            log.info("child.operation_requested", action=action, child=name)
            {"stop": self.stop_child, "start": self.start_child, "restart": self.restart_child}[action](name)

    def stop_child(self, name: str) -> None:
        """Stop the child until it is started again. It counts as no death."""
        slot = self._shared.slots[name]
        slot.wanted, slot.recycled = False, False
        slot.cancel()
        self._stops.ask(slot)
        self._rows.report(slot)

    def start_child(self, name: str) -> None:
        """Start a child that is stopped, held, or waiting for its turn."""
        slot = self._shared.slots[name]
        slot.wanted = True
        if slot.process is None:
            slot.release()
        elif slot.state is SlotState.STOPPING:
            slot.recycled = not slot.rests
        self._rows.report(slot)

    def restart_child(self, name: str) -> None:
        """Replace the child when it has finished what it has in hand; start it if it does not run."""
        self._stops.ask(self._shared.slots[name])
        self.start_child(name)

    def reconfigure(
        self,
        *,
        specs: Sequence[ChildSpec],
        intensity: Intensity,
        drain_seconds: float,
        log_settings: dict[str, str],
    ) -> Changes:
        """Put these children and rules in force; which children are started, stopped or replaced for it."""
        shared = self._shared
        everyone = log_settings != shared.log_settings  # a child gets them once, when it starts
        shared.intensity, shared.drain_seconds, shared.log_settings = intensity, drain_seconds, log_settings
        return self.reload.adapt(specs, everyone=everyone)

    def add_child(self, spec: ChildSpec) -> None:
        """Add a child for a while: a reload that does not name it ends it."""
        self._shared.slots[spec.name] = Slot(spec)

    def retire_child(self, name: str) -> None:
        """Remove the child from the configuration: its slot is deleted when its process has ended."""
        slot = self._shared.slots[name]
        slot.retired = True
        if slot.process is None:
            self._shared.remove(name)
        else:
            self.stop_child(name)

    def send(self, name: str, message: Message) -> bool:
        return self._shared.send(name, message)
