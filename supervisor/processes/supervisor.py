"""The supervisor: keeps its children alive, replaces the dead, stops them in order. The root is one; so is the pool.

One thread, one loop, nothing that blocks: it waits for exits (pidfds), messages and signals, then looks at its
deadlines. `run` is the table of contents; each part is a module of `supervisor.processes.loop`. All decisions are in
`policy`; what children tell each other is the router's business (`ipc.transport.router`).
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path

import structlog

from ipc.transport.router import Router
from supervisor.processes.loop import reaper
from supervisor.processes.loop.exits import Exits
from supervisor.processes.loop.inboxes import Inboxes
from supervisor.processes.loop.poller import Poller
from supervisor.processes.loop.protocols import CommandRunner, Loop
from supervisor.processes.loop.requests.children import Children
from supervisor.processes.loop.requests.roster import Roster
from supervisor.processes.loop.rows import Rows
from supervisor.processes.loop.shared import Shared, slots_of
from supervisor.processes.loop.starts import Starts
from supervisor.processes.loop.stops import Stops
from supervisor.processes.loop.watchdog import Watchdog
from supervisor.processes.process import Process
from supervisor.processes.slot import Slot, SlotState
from supervisor.processes.spec import ChildSpec, Intensity
from supervisor.resources.cgroups import Leaves

TICK_SECONDS = 2.0
"""How often it looks at everything while it is idle."""

BUSY_TICK_SECONDS = 0.05
"""How often a busy pool's memory is sampled: an image can allocate some 135 MB in between."""

CHECK_SECONDS = 0.5
"""Between two calls of `may_go_on`, where no child is started."""

log = structlog.get_logger()


class Supervisor:
    """Runs a list of children until it is stopped or a child outruns its restart intensity.

    `stop_fd` becomes readable at every signal, whose number it gives: the first begins an orderly stop, the second ends
    it at once; a SIGHUP is for `on_hangup`, if there is one, and a request to stop if not. `in_order` starts and stops
    the children one after another (first started, last stopped) rather than together. `cgroup` is where those that have
    a cap get cgroups of their own (`cgroups.divide`). Without `hurries` a second signal ends nothing at once: a child
    that supervises may get one from its own supervisor, and one that went to the whole group. `commands` makes the
    runner of the operator's commands; without it none of the children may be one.

    `children` is what its router may ask for, `roster` what the operator may.
    """

    def __init__(
        self,
        *,
        specs: Sequence[ChildSpec],
        intensity: Intensity,
        drain_seconds: float,
        log_settings: dict[str, str],
        stop_fd: int,
        in_order: bool,
        cgroup: Path | None = None,
        hurries: bool = True,
        commands: Callable[[Loop], CommandRunner] | None = None,
    ) -> None:
        leaves = Leaves(cgroup)
        self._shared = shared = Shared(slots_of(specs), intensity, drain_seconds, log_settings)
        self._stop_fd = stop_fd
        self._poller = Poller(stop_fd)
        self._commands = runner = commands(self) if commands else None
        self._rows = rows = Rows(shared)
        self.stops = Stops(shared, stop_fd, in_order=in_order, hurries=hurries)
        self._watchdog = Watchdog(shared.slots.values())
        self._inboxes = Inboxes(shared, self._poller, rows)
        self._exits = Exits(shared, self._poller, rows, self._inboxes, self._watchdog, leaves, runner)
        self._starts = Starts(shared, rows, leaves, runner, may_start=self._may_start, on_start=self._on_start)
        self.roster = Roster(shared, rows, self.stops)
        self.children = Children(shared, rows, self.stops, self.roster)
        self._checked_at = -math.inf
        self._is_abandoned = False
        self.may_go_on: Callable[[], bool] = lambda: True
        """Called twice a second, and before each start; once it says no, all children are ended (`Stops.abandon`)."""

    def run(self, router: Router) -> int:
        """Supervise until stopped; the exit code: 0 stopped as asked, 1 gave up."""
        self._shared.running_router = router
        self.watch(self._stop_fd, self.stops.on_signal)
        while not self._shared.is_over:
            self._check()
            self._starts.start_due()
            self._wait()
            self._watchdog.look(self._poller.awake_at, closely=router.is_busy())
            if self._commands:
                self._commands.look()
            self.roster.reload.go_on()
            self.stops.go_on()
            self._rows.look()
            self._reap_orphans()
            router.on_tick()
        self._close()
        return self._shared.exit_code

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` from the loop whenever `fd` is readable."""
        self._poller.watch(fd, callback)

    def unwatch(self, fd: int) -> None:
        self._poller.unwatch(fd)

    def begin_stop(self) -> None:
        """Stop taking in, let the work in hand be finished, end the children; then `run` returns."""
        self._shared.begin_stop()

    @property
    def slots(self) -> Collection[Slot]:
        """The children's slots, in the order of starting."""
        return self._shared.slots.values()

    @property
    def stopping(self) -> bool:
        return self._shared.stopping

    @property
    def drain_seconds(self) -> float:
        """How long a stop may take, by the settings that are in force."""
        return self._shared.drain_seconds

    @property
    def awake_at(self) -> float:
        """When this round of the loop began (monotonic seconds): judge silence by it, not by the clock's time."""
        return self._poller.awake_at

    # Whether to go on

    def _may_start(self) -> bool:
        """Whether a process may be started now: it opens its files by their paths."""
        self._check(now=True)
        return not self.stopping

    def _check(self, *, now: bool = False) -> None:
        is_due = now or time.monotonic() - self._checked_at >= CHECK_SECONDS
        if not is_due or self._is_abandoned:
            return
        self._checked_at = time.monotonic()
        if not self.may_go_on():
            self._is_abandoned = True
            self.stops.abandon()

    # Waiting

    def _on_start(self, slot: Slot, process: Process) -> None:
        self.roster.reload.note_start(slot.spec.name)
        self.watch(process.pidfd, lambda: self._exits.look(slot))
        self._inboxes.open(slot, process)

    def _wait(self) -> None:
        tick = BUSY_TICK_SECONDS if self._shared.router.is_busy() else TICK_SECONDS
        # Our own signal is served first: a child that got the same one has not ended by itself.
        callbacks = self._poller.wait(min([time.monotonic() + tick, *self._moments()]))
        if self._poller.suspended_seconds:
            self._exclude_suspension(self._poller.suspended_seconds)
        for callback in callbacks:
            callback()

    def _exclude_suspension(self, seconds: float) -> None:
        """Exclude our own suspension from every deadline: the children may have shared it, and were not heard."""
        log.warning("supervisor.suspended", seconds=round(seconds, 1))
        if self._shared.drain_until is not None:
            self._shared.drain_until += seconds
        for slot in self.slots:
            if slot.process is not None:
                slot.process.exclude_suspension(seconds, self._poller.awake_at)
                slot.stop_until += seconds

    def _moments(self) -> list[float]:
        """When something will be due that was not when it was last looked at, in monotonic seconds."""
        escalations = [slot.process.escalates_at for slot in self.slots if slot.process]
        if self.stopping:
            return [*escalations, *(slot.stop_until for slot in self.slots if slot.state is SlotState.STOPPING)]
        starts = [slot.due_at for slot in self.slots if slot.is_scheduled]
        return [*escalations, *(moment for moment in starts if moment > self._starts.looked_at)]

    # Around the children

    def _reap_orphans(self) -> None:
        if reaper.is_needed():
            reaper.reap({slot.process.pid for slot in self.slots if slot.process})

    def _close(self) -> None:
        if self._commands:
            self._commands.close()
        self._poller.close()
        self._shared.close()
