"""A slot: a child's place in the tree. It outlives the processes that fill it, and remembers how they ended."""

from __future__ import annotations

import enum
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from ipc.transport.exits import Cause, Exit
from supervisor.processes import policy
from supervisor.processes.process import Process
from supervisor.processes.spec import ChildSpec, Intensity


class SlotState(enum.Enum):
    """How a slot stands; the value is the `state` in /status."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    HELD = "held"


class Slot:
    """One child spec's slot. Times in monotonic seconds, those in its facts too: health tells them by its own clock.

    `wanted`: the operator has not stopped it. `rests`: it is stopped while there is no work for it. `recycled`: its
    process is replaced however it ends. `retired`: removed from the configuration, deleted on exit. `reported`: its
    facts as its router knows them.
    """

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.process: Process | None = None
        self.count = 0
        self.restarts = 0
        self.due_at = 0.0
        self.stop_until = 0.0
        self.recycled = False
        self.retired = False
        self.wanted = True
        self.rests = False
        self.reported: dict[str, Any] = {}
        self.reported_at = 0.0
        self.deaths: tuple[float, ...] = ()
        self._in_a_row = 0
        self._row_began = 0.0
        self._resting: SlotState = SlotState.WAITING
        self._since = time.monotonic()
        self.last_exit: Exit | None = None
        self.exit_causes: Counter[str] = Counter()
        self._failed_starts = 0
        self._why_not = ("", "")
        self._loop = ""
        self._holds = 0
        self._last_heard: float | None = None

    @property
    def state(self) -> SlotState:
        if self.process is None:
            return self._resting
        if self.process.intent is policy.Intent.STOP:
            return SlotState.STOPPING
        return SlotState.RUNNING if self.process.ready else SlotState.STARTING

    @property
    def started_before(self) -> bool:
        return self.count > 0

    @property
    def is_scheduled(self) -> bool:
        """Whether it is to be started at `due_at`."""
        return self.state is SlotState.WAITING or (self.state is SlotState.HELD and self._holds > 0)

    def is_due(self, now: float) -> bool:
        """Whether to start a process now."""
        return self.is_scheduled and now >= self.due_at

    def has_been_tried(self) -> bool:
        """Whether children that wait for it may stop waiting: it is ready, or has been tried once."""
        return self.count > 1 or self.state in (
            SlotState.RUNNING,
            SlotState.HELD,
            SlotState.STOPPED,
            SlotState.FINISHED,
        )

    def begin(self, process: Process) -> None:
        self.process = process
        self.count += 1
        self.restarts = self.count - 1 - self._failed_starts
        self._why_not = ("", "")

    def mark_ready(self) -> None:
        assert self.process is not None
        self.process.ready_at = time.monotonic()
        self._since = time.monotonic()

    def postpone(self, until: float, why: str, remedy: str) -> None:
        """Try the start again at `until`: it has failed."""
        self.due_at = until
        self._why_not = (why, remedy)

    def start_failed(self, until: float, why: str, remedy: str) -> None:
        """The process has ended before it was ready, for the machine was short of something: it was no start."""
        assert self.process is not None
        self._last_heard, self.process = self.process.heard, None
        self._failed_starts += 1
        self.restarts = max(0, self.count - 1 - self._failed_starts)
        self._resting = SlotState.WAITING if self.wanted and not self.rests else SlotState.STOPPED
        self.postpone(until, why, remedy)

    def hold(self, now: float, intensity: Intensity) -> float:
        """Hold the child, which has died too often, for a while; then try it once more. Returns the seconds."""
        if not self._holds:
            self._loop = f"it has ended {len(self.deaths)} times within {intensity.window_seconds:g} s"
            self._row_began = time.monotonic()
        self._holds += 1
        self._resting = SlotState.HELD
        seconds = policy.hold_seconds(self._holds, intensity)
        self.due_at = now + seconds
        return seconds

    def release(self) -> None:
        """Start it now, whatever it has been waiting for, with a clean record; one that rests, when it is woken."""
        if self.process is None and not self.rests:
            self._resting = SlotState.WAITING
        self.due_at = 0.0
        self.deaths, self._in_a_row, self._holds = (), 0, 0

    def cancel(self) -> None:
        """Cancel the next start: the tree is being stopped, or the operator has said so."""
        if self.process is None and self.is_scheduled:
            self._resting, self._holds = SlotState.STOPPED, 0

    def after_exit(
        self, end: Exit, now: float, *, counts: bool, intensity: Intensity, random: Callable[[], float]
    ) -> bool:
        """The process is gone. Decide what follows; True if it is replaced.

        `counts`: whether this death speaks against the child (and not against the work that it had in hand).
        """
        assert self.process is not None
        self._last_heard = self.process.heard
        was_ready, served = self.process.ready, max(0.0, now - self.process.ready_at)
        self.process, self.last_exit = None, end
        self.exit_causes[end.cause.value] += 1
        self.deaths = policy.recent(self.deaths, now, intensity.window_seconds)
        replaced = (
            self.wanted and not self.rests and (self.recycled or policy.is_replaced(end.cause, self.spec.restart))
        )
        recycled, self.recycled = self.recycled, False
        if served >= policy.STEADY_SECONDS:
            self._holds = 0
        if not replaced:
            self._resting = self._at_rest(end.cause)
            self._since = time.monotonic()
            return False
        self._resting = SlotState.WAITING
        if was_ready:  # else it has been down all the time: a child that never gets ready is not down "since just now"
            self._since = time.monotonic()
        self.due_at = now
        if end.cause is Cause.SHORT:
            self.postpone(now + policy.shortage_delay_seconds(intensity), end.text, end.remedy)
        elif counts and not recycled and end.cause is not Cause.TERMINATED:
            if policy.is_death(end.cause):
                self.deaths = (*self.deaths, now)
            self._in_a_row = policy.deaths_in_a_row(self._in_a_row, served)
            if self._in_a_row == 1:
                self._row_began = time.monotonic()
            self.due_at = now + policy.restart_delay_seconds(self._in_a_row, intensity, random)
        return True

    def _at_rest(self, cause: Cause) -> SlotState:
        if cause is Cause.HELD:
            return SlotState.HELD
        return SlotState.FINISHED if cause is Cause.FINISHED and self.spec.restart != "permanent" else SlotState.STOPPED

    @property
    def since(self) -> float:
        """Since when it stands so. A row of quick deaths is one trouble, however often it is ready for a moment."""
        if self._is_on_trial():
            return self._row_began
        if self._in_a_row > 1 and self.state in (SlotState.WAITING, SlotState.STARTING):
            return min(self._since, self._row_began)
        return self._since

    def has_outrun(self, intensity: Intensity) -> bool:
        """Whether it has died too often to be replaced once more: or at once, where it is there on trial."""
        return self.process is None and (self._holds > 0 or policy.outruns(self.deaths, intensity))

    def _is_on_trial(self) -> bool:
        """Whether it is held for having died too often, or is tried once more and has not shown yet that it lives."""
        served = 0.0 if self.process is None else time.monotonic() - self.process.ready_at
        return self._holds > 0 and served < policy.STEADY_SECONDS

    @property
    def tried_again_at(self) -> float | None:
        """When it is tried once more, if it is held for having died too often."""
        return self.due_at if self._holds and self.is_scheduled else None

    @property
    def heard(self) -> float | None:
        """When its process, or its last one, was last heard of."""
        return self._last_heard if self.process is None else self.process.heard

    @property
    def trouble(self) -> tuple[str, str]:
        """What keeps it from running, besides how it ended last, and what to do; mostly nothing."""
        if self._is_on_trial() and self.last_exit is not None:
            remedy = (
                f"The others go on. The log has what it printed. When it is mended: bin/run restart {self.spec.name}"
            )
            return f"{self._loop}; the last time: {self.last_exit.text}", remedy
        return self._why_not
