"""Starts the children whose time has come, and tries again where the machine has nothing to give."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable

import structlog

from ipc.kernel import process_limit
from supervisor.processes import policy
from supervisor.processes.loop.protocols import CommandRunner
from supervisor.processes.loop.rows import Rows
from supervisor.processes.loop.shared import Shared
from supervisor.processes.process import Process, spawn
from supervisor.processes.slot import Slot
from supervisor.resources.cgroups import Leaves

TRIED_AGAIN = "It is tried again by itself. See what the machine is short of"

log = structlog.get_logger()


class Starts:
    """`may_start` is asked before each start; `on_start` is given the slot that has a new process."""

    def __init__(
        self,
        shared: Shared,
        rows: Rows,
        leaves: Leaves,
        commands: CommandRunner | None,
        *,
        may_start: Callable[[], bool],
        on_start: Callable[[Slot, Process], None],
    ) -> None:
        self._shared = shared
        self._rows = rows
        self._leaves = leaves
        self._commands = commands
        self._may_start = may_start
        self._on_start = on_start
        self.looked_at = 0.0
        """When the children that were due were last started (monotonic seconds)."""

    def start_due(self) -> None:
        now = self.looked_at = time.monotonic()
        for slot in self._shared.slots.values():
            if self._shared.stopping:
                return
            if slot.is_due(now) and not (slot.spec.after_others and self._waits_for_others(slot)):
                self._start(slot)

    def _waits_for_others(self, slot: Slot) -> bool:
        """Whether a child before it has not been tried yet. One that comes back does not wait again."""
        slots = self._shared.slots
        earlier = list(slots.values())[: list(slots).index(slot.spec.name)]
        return not slot.started_before and not all(other.has_been_tried() for other in earlier)

    def _start(self, slot: Slot) -> None:
        if not self._may_start():
            return
        try:
            process = self._spawn(slot)
        except (OSError, subprocess.SubprocessError) as error:
            self._postpone(slot, error)
            return
        slot.begin(process)
        name = slot.spec.name
        if not slot.spec.command:  # whose cap is for itself alone, and a cgroup would hold its own children to it
            process.leaf = self._leaves.make(name, process.number, process.pid, process.cap_bytes)
        self._on_start(slot, process)
        if self._commands:
            self._commands.started(process)
        log.debug("child.started", child=name, pid=process.pid, incarnation=process.number)
        self._rows.report(slot)
        self._shared.router.on_start(name)

    def _spawn(self, slot: Slot) -> Process:
        if slot.spec.command:
            assert self._commands is not None, "a supervisor that runs commands is given their runner"
            return self._commands.launch(slot.spec, slot.count + 1)
        return spawn(slot.spec, slot.count + 1, self._shared.liveness_reader, self._shared.log_settings)

    def _postpone(self, slot: Slot, error: Exception) -> None:
        """EAGAIN, ENOMEM, EMFILE: the machine is short of something. No fault of the child: try again later."""
        remedy = process_limit.REMEDY if isinstance(error, BlockingIOError) else TRIED_AGAIN
        until = time.monotonic() + policy.shortage_delay_seconds(self._shared.intensity)
        slot.postpone(until, f"cannot be started: {error}", remedy)
        log.error("child.start_failed", child=slot.spec.name, error=str(error))
        self._rows.report(slot)
