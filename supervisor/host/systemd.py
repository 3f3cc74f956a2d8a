"""What the root tells systemd, and when: a router that looks on, and hands everything to the router behind it.

READY=1 when every child is ready or was tried once, STATUS= at every change, STOPPING=1, and WATCHDOG=1 while the tree
makes progress. The last comes from the root's own loop, so it also says that this loop goes round; if it stays away,
systemd restarts the service.
"""

from __future__ import annotations

import time
from collections.abc import Collection
from typing import Any

import structlog

from ipc.transport.exits import Exit
from ipc.transport.messages import Message, Report
from ipc.transport.router import Router
from supervisor.host.sd_notify import SystemdNotifier
from supervisor.processes.slot import Slot, SlotState
from supervisor.processes.supervisor import TICK_SECONDS, Supervisor

GRACE_SECONDS = 5.0
"""How long after its deadline a child may still be there: the tree's own watchdog has killed it by then, and the kernel
has had the time to end it."""

STATUS_SECONDS = 1.0
STATUS_LENGTH = 500

STOP_MARGIN_SECONDS = 15.0
"""What a stop may take beyond the drain: each child gets some time of its own, however late it is."""

log = structlog.get_logger()


WELL = (SlotState.RUNNING, SlotState.FINISHED)
"""States of children that the status leaves out."""


def overdue_seconds(
    state: SlotState,
    now: float,
    *,
    spawned: float = 0.0,
    heard: float = 0.0,
    stalled_seconds: float = 0.0,
    ready_seconds: float = 0.0,
    hang_seconds: float = 0.0,
) -> float:
    """How far a child is beyond the moment when the supervisor should have ended it; up to 0: all is well.

    Times in monotonic seconds. A child in its back-off, one that is held and one that was stopped are as they should
    be: systemd could do nothing for them that the supervisor does not do. One that hangs, or is never ready, is ended
    by the supervisor and replaced. So something is wrong with the tree itself only where such a child is still there.
    """
    match state:
        case SlotState.WAITING | SlotState.HELD | SlotState.STOPPED | SlotState.FINISHED:
            return 0.0
        case SlotState.STARTING:
            return now - spawned - ready_seconds
        case SlotState.RUNNING:
            return max(now - heard, stalled_seconds) - hang_seconds
        case SlotState.STOPPING:  # its main loop may stand while it finishes its work; its heartbeats go on
            return now - heard - hang_seconds


def makes_progress(slots: Collection[Slot], now: float) -> bool:
    """Whether every child that should run is alive, or about to be."""
    return all(_overdue_seconds(slot, now) <= GRACE_SECONDS for slot in slots)


def _overdue_seconds(slot: Slot, now: float) -> float:
    if slot.process is None:
        return overdue_seconds(slot.state, now)
    return overdue_seconds(
        slot.state,
        now,
        spawned=slot.process.spawned + slot.process.suspended_seconds,
        heard=slot.process.heard,
        stalled_seconds=slot.process.stalled_seconds,
        ready_seconds=slot.spec.ready_seconds,
        hang_seconds=slot.spec.hang_seconds,
    )


class Notified:
    """The root's router for its supervisor: tells systemd, and has `router` do what a router does."""

    def __init__(self, router: Router, supervisor: Supervisor, notifier: SystemdNotifier) -> None:
        self._router = router
        self._supervisor = supervisor
        self._notifier = notifier
        self._ready = False
        self._stopping = False
        self._summary = ""
        self._status = ""
        self._status_at = 0.0
        self._alive_at = 0.0
        self._progressed = True

    def on_tick(self) -> None:
        self._router.on_tick()
        now = time.monotonic()
        if self._supervisor.stopping:
            self._stopping = self._stopping or self._notifier.stopping(
                self._supervisor.drain_seconds + STOP_MARGIN_SECONDS
            )
        elif not self._ready and all(slot.has_been_tried() for slot in self._supervisor.slots):
            self._ready = self._notifier.ready()
        elif self._ready and self._notifier.owes_ready:
            self._notifier.ready()
        self._tell_status(now)
        self._tell_alive(now)

    def _tell_status(self, now: float) -> None:
        status = self._describe()
        if status != self._status and now - self._status_at >= STATUS_SECONDS and self._notifier.status(status):
            self._status, self._status_at = status, now

    def _describe(self) -> str:
        slots = self._supervisor.slots
        if self._supervisor.stopping:
            return f"stopping: {', '.join(slot.spec.name for slot in slots if slot.process) or 'done'}"
        others = [f"{one.spec.name} is {one.state.value}" for one in slots if one.state not in WELL]
        first = (self._summary or "running") if self._ready else "starting"
        return "; ".join([first, *others])[:STATUS_LENGTH]

    def _tell_alive(self, now: float) -> None:
        """Say `alive` at half the time that systemd allows, as it advises; a tick early rather than one late."""
        if not self._notifier.watchdog_seconds:
            return
        progresses = self._supervisor.stopping or makes_progress(self._supervisor.slots, self._supervisor.awake_at)
        if not progresses and self._progressed:
            log.error("systemd.watchdog_starved")
        self._progressed = progresses
        if progresses and now + TICK_SECONDS >= self._alive_at + self._notifier.watchdog_seconds / 2:
            self._alive_at = now if self._notifier.alive() else self._alive_at

    def on_message(self, child: str, message: Message) -> None:
        match message:
            case Report("summary", {"text": str(text)}):
                self._summary = text
            case _:
                self._router.on_message(child, message)

    def on_start(self, child: str) -> None:
        self._router.on_start(child)

    def on_ready(self, child: str) -> None:
        self._router.on_ready(child)

    def on_exit(self, child: str, end: Exit) -> bool:
        if child == "health":  # whose words these were
            self._summary = ""
        return self._router.on_exit(child, end)

    def on_ended(self, child: str, facts: dict[str, Any]) -> None:
        self._router.on_ended(child, facts)

    def on_state(self, child: str, facts: dict[str, Any]) -> None:
        self._router.on_state(child, facts)

    def is_busy(self) -> bool:
        return self._router.is_busy()
