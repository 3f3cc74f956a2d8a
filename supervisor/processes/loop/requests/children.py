"""What a router may ask of its supervisor (`ipc.transport.router.Tree`)."""

from __future__ import annotations

import time

from ipc.transport.messages import Message
from ipc.transport.router import CpuUsage
from supervisor.processes.loop.requests.roster import Roster
from supervisor.processes.loop.rows import Rows
from supervisor.processes.loop.shared import Shared
from supervisor.processes.loop.stops import Stops
from supervisor.processes.loop.watchdog import sample
from supervisor.processes.policy import Intent
from supervisor.processes.process import Process
from supervisor.processes.slot import SlotState
from supervisor.resources import cpu


class Children:
    """The children of one supervisor, as its router sees them."""

    def __init__(self, shared: Shared, rows: Rows, stops: Stops, roster: Roster) -> None:
        self._shared = shared
        self._rows = rows
        self._stops = stops
        self._roster = roster

    @property
    def stopping(self) -> bool:
        return self._shared.stopping

    def names(self) -> list[str]:
        return list(self._shared.slots)

    def is_ready(self, name: str) -> bool:
        process = self._process(name)
        return process is not None and process.ready and process.intent is None

    def send(self, name: str, message: Message) -> bool:
        return self._shared.send(name, message)

    def set_cap(self, name: str, cap_bytes: int) -> bool:
        process = self._process(name)
        if process is None or process.cap_bytes == cap_bytes:
            return True
        sample(process)  # what it had a moment ago, at the end of a large job, is no reason to kill it
        if 0 < cap_bytes < process.rss_bytes:
            return False
        process.cap_bytes = cap_bytes
        if process.leaf is not None:
            process.leaf.set_cap(cap_bytes)
        return True

    def cpu_usage(self, name: str) -> CpuUsage | None:
        process = self._process(name)
        return cpu.read(process.pid) if process else None

    def kill_hung(self, name: str) -> None:
        process = self._process(name)
        if process is not None and process.intent in (None, Intent.STOP):
            process.end_hung(time.monotonic())

    def kill_for_protocol_error(self, name: str) -> None:
        process = self._process(name)
        if process is not None and process.intent in (None, Intent.STOP):
            process.end(Intent.PROTOCOL_ERROR)

    def recycle(self, name: str) -> None:
        slot = self._shared.slots[name]
        if slot.process is not None and slot.process.intent is None:
            self._stops.ask(slot)
            slot.recycled = True

    def rest(self, name: str) -> None:
        slot = self._shared.slots[name]
        slot.rests, slot.recycled = True, False
        slot.cancel()
        self._stops.ask(slot)
        self._rows.report(slot)

    def wake(self, name: str) -> None:
        slot = self._shared.slots[name]
        slot.rests = False
        if slot.wanted:
            self._roster.start_child(name)

    def is_wanted(self, name: str) -> bool:
        slot = self._shared.slots[name]
        return slot.wanted and slot.state is not SlotState.HELD

    def _process(self, name: str) -> Process | None:
        return self._shared.slots[name].process
