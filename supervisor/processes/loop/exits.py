"""Takes note of a child's end, and of what follows: a replacement, a pause, a hold, or the end of the whole."""

from __future__ import annotations

import logging
import signal
import time
from random import random

import structlog

from ipc.transport.exits import Cause, Exit
from supervisor.child import stacks
from supervisor.processes import policy
from supervisor.processes.loop.inboxes import Inboxes
from supervisor.processes.loop.poller import Poller
from supervisor.processes.loop.protocols import CommandRunner
from supervisor.processes.loop.rows import Rows
from supervisor.processes.loop.shared import Shared
from supervisor.processes.loop.watchdog import Watchdog
from supervisor.processes.process import Process
from supervisor.processes.slot import Slot, SlotState
from supervisor.resources.cgroups import Leaves

log = structlog.get_logger()


class Exits:
    """Called by the supervisor's loop when a pidfd says that a process is gone."""

    def __init__(
        self,
        shared: Shared,
        poller: Poller,
        rows: Rows,
        inboxes: Inboxes,
        watchdog: Watchdog,
        leaves: Leaves,
        commands: CommandRunner | None,
    ) -> None:
        self._shared = shared
        self._poller = poller
        self._rows = rows
        self._inboxes = inboxes
        self._watchdog = watchdog
        self._leaves = leaves
        self._commands = commands

    def look(self, slot: Slot) -> None:
        """If the slot's process has ended: wait for it, give back what it had, decide what follows."""
        process = slot.process
        if process is None or not process.has_ended():
            return
        self._inboxes.drain(slot, process)
        self._poller.unwatch(process.pidfd)
        if self._commands:
            self._commands.ended(process)
        shown = process.stacks()
        process.close()
        self.handle_exit(slot, process, shown)

    def handle_exit(self, slot: Slot, process: Process, shown: str) -> None:
        """Judge the end of a process that has been waited for, and decide what follows. `shown`: its stacks."""
        end = policy.judge(
            process.popen.returncode,
            process.intent,
            process.last_words,
            self._watchdog.oom_of(process),
            is_trusted=not (slot.spec.sandbox and process.ready),  # from then on it opens what strangers made
        )
        if process.leaf is not None:
            process.leaf_peak_bytes = process.leaf.peak_bytes()
            self._leaves.remove(process.leaf)
        now = time.monotonic()
        counts = self._shared.router.on_exit(slot.spec.name, end)
        if end.cause is Cause.SHORT and now - process.ready_at < policy.STEADY_SECONDS:  # or it never was ready
            self._start_failed(slot, end, now)
        else:
            counts = counts and not (slot.recycled or self._shared.stopping)
            self._ended(slot, process, end, now, counts=counts, shown=shown)
        if slot.retired or (slot.spec.leaves_when_finished and slot.state is SlotState.FINISHED):
            self._shared.remove(slot.spec.name)

    def _start_failed(self, slot: Slot, end: Exit, now: float) -> None:
        """The machine had a process for it, but not what it needs besides: as if it could not be started at all."""
        slot.start_failed(now + policy.shortage_delay_seconds(self._shared.intensity), end.text, end.remedy)
        log.error("child.start_failed", child=slot.spec.name, error=end.text)
        self._rows.report(slot)

    def _ended(self, slot: Slot, process: Process, end: Exit, now: float, *, counts: bool, shown: str) -> None:
        intensity = self._shared.intensity
        replaced = slot.after_exit(end, now, counts=counts, intensity=intensity, random=random)
        self._log(slot, process, end, now, replaced=replaced and not self._shared.stopping)
        for piece in stacks.pieces(shown):
            log.error("child.stack_shown", child=slot.spec.name, pid=process.pid, stack=piece)
        self._shared.router.on_ended(
            slot.spec.name,
            {
                "at": int(time.time()),
                "cause": end.cause.value,
                "what": end.text[:300],
                "lived_seconds": round(now - process.spawned, 1),
                "peak_bytes": process.leaf_peak_bytes or process.peak_rss_bytes,
                "cap_bytes": process.cap_bytes,
                **({"stacks": stacks.digest(shown)} if shown else {}),
            },
        )
        if counts and slot.has_outrun(intensity):
            self._on_outrun(slot, now)
        self._rows.report(slot)

    def _log(self, slot: Slot, process: Process, end: Exit, now: float, *, replaced: bool) -> None:
        log.log(
            level_of(end, is_finished=slot.state is SlotState.FINISHED, stopping=self._shared.stopping),
            "child.exited",
            child=slot.spec.name,
            pid=process.pid,
            cause=end.cause.value,
            what=end.text,
            lived_seconds=round(now - process.spawned, 3),
            replaced=replaced,
        )

    def _on_outrun(self, slot: Slot, now: float) -> None:
        """Hold a command of the operator's, or an import, which costs only itself. Without any other child the whole
        is of no use: it ends, and is restarted from outside.
        """
        deaths, window_seconds = len(slot.deaths), self._shared.intensity.window_seconds
        if slot.spec.command is not None or slot.spec.costs_only_itself:
            if slot.state is SlotState.WAITING:
                seconds = slot.hold(now, self._shared.intensity)
                log.error(
                    "child.held",
                    child=slot.spec.name,
                    deaths=deaths,
                    window_seconds=window_seconds,
                    tried_again_in_seconds=seconds,
                )
        elif not slot.retired:
            log.error("supervisor.gave_up", child=slot.spec.name, deaths=deaths, window_seconds=window_seconds)
            self._shared.give_up()


def level_of(end: Exit, *, is_finished: bool, stopping: bool) -> int:
    """The log level of an exit: one that was wanted is no error."""
    # A signal to the whole process group may have found the child before it could take it.
    went_with_us = stopping and end.returncode == -signal.SIGTERM
    if end.cause is Cause.ASKED or is_finished or went_with_us:
        return logging.INFO
    if end.cause is Cause.TERMINATED:
        return logging.INFO if stopping else logging.WARNING
    return logging.ERROR
