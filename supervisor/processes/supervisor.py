"""The supervisor: keeps its children alive, replaces the dead, stops them in order. The root is one; so is the pool.

One thread, one loop, nothing that blocks: it waits for exits (pidfds), messages and signals, then looks at its
deadlines. All decisions are in `policy`; what children tell each other is the router's business
(`ipc.transport.router`).
"""

from __future__ import annotations

import logging
import math
import os
import selectors
import signal
import subprocess
import time
from collections.abc import Callable, Collection, Sequence
from pathlib import Path
from random import random
from typing import Any

import structlog

from ipc import process_limit
from ipc.transport.exits import Cause, Exit
from ipc.transport.mailbox import Closed
from ipc.transport.messages import Beat, Held, Leaving, Message, MessageError, Ready, Short, Starved, Unrunnable
from ipc.transport.router import Effort, Router
from supervisor.child import stacks
from supervisor.processes import policy, reaper
from supervisor.processes.loop import CommandRunner, Loop
from supervisor.processes.policy import Intent
from supervisor.processes.process import Process, spawn
from supervisor.processes.reload import Changes, Reload
from supervisor.processes.slot import Slot, State
from supervisor.processes.spec import ChildSpec, Intensity, SpecError
from supervisor.processes.watchdog import Watchdog, sample
from supervisor.resources import cpu
from supervisor.resources.cgroups import Leaves

TICK_SECONDS = 2.0
"""How often it looks at everything where nobody wants anything of it."""

BUSY_TICK_SECONDS = 0.05
"""How often a busy pool's memory is sampled: an image can allocate some 135 MB in between."""

TELL_SECONDS = 1.0
"""Between two looks at what has changed in the children's rows of /status, at least."""

LEAST_STOP_SECONDS = 1.0
"""What a child gets to stop in, even if those before it have used up all the time there was."""

SAME_REQUEST_SECONDS = 0.5
"""Two signals closer than this are one request: `timeout` and some terminals send a process two."""

ASSURE_SECONDS = 0.5
"""Between two looks whether to go on at all, where nobody is started."""

RETELL_SECONDS = 10.0
BUSY_RETELL_SECONDS = 2.0
"""How often a child's row of /status is told anew though nothing in it has changed. A busy router adds to it how far
the work is; and that a child gives signs of life, those who read the row are to see before they miss it.
"""

MOST_MESSAGES = 64
"""Read from one child in one round, so that a chatterer cannot keep the loop from the others."""

LAST_MESSAGES = 16384
"""Read from a child that is gone: more than its pipe can hold, but an end if somebody else still writes to it."""

TRIED_AGAIN = "It is tried again by itself. See what the machine is short of"

log = structlog.get_logger()


class Supervisor:
    """Runs a list of children until it is stopped or a child outruns its restart intensity.

    `stop_fd` becomes readable at every signal, whose number it gives: the first begins an orderly stop, the second ends
    it at once; a SIGHUP is for `on_hangup`, if there is one, and a request to stop if not. `in_order` starts and stops
    the children one after another (first started, last stopped) rather than together. `cgroup` is where those that have
    a cap get cgroups of their own (`cgroups.settle`). Without `hurries` a second signal ends nothing at once: who
    has a supervisor may get one from that, and one that went to all of us. `commands` makes the runner of the
    operator's commands; without it none of the children may be one.
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
        self._leaves = Leaves(cgroup)
        self._slots = {spec.name: Slot(spec) for spec in specs}
        if len(self._slots) < len(specs):
            raise SpecError(f"children {', '.join(spec.name for spec in specs)}: each needs a name of its own")
        self._intensity = intensity
        self._drain_seconds = drain_seconds
        self._log_settings = log_settings
        self._stop_fd = stop_fd
        self._in_order = in_order
        self._hurries = hurries
        self._router: Router | None = None
        self._selector = selectors.DefaultSelector()
        self._liveness_reader, self._liveness_writer = os.pipe()
        self._drain_until: float | None = None
        self._stop_asked_at: float | None = None
        self._exit_code = 0
        self._told_at = 0.0
        self._busy_at = -math.inf
        self._looked_at = 0.0
        self._reload_plan = Reload(self, self._slots)
        self._watchdog = Watchdog(self._slots.values())
        self._awake_at = time.monotonic()
        self._commands = commands(self) if commands else None
        self._assured_at = -math.inf
        self._is_abandoned = False
        self.on_hangup: Callable[[], None] | None = None
        self.may_go_on: Callable[[], bool] = lambda: True
        """Asked twice a second, and before each start; once it says no, all is ended (`abandon`)."""

    # The table of contents

    def run(self, router: Router) -> int:
        """Supervise until stopped; the exit code: 0 stopped as asked, 1 gave up."""
        self._router = router
        self.watch(self._stop_fd, self._on_stop_signal)
        while not self._is_over():
            self._assure_itself()
            self._start_who_is_due()
            self._wait()
            self._watchdog.look(self._awake_at, closely=router.is_busy())
            if self._commands:
                self._commands.look()
            self._reload_plan.go_on()
            self._stop_who_is_next()
            self._tell()
            self._reap_orphans()
            router.on_tick()
        self._close()
        return self._exit_code

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` from the loop whenever `fd` is readable."""
        self._selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        """Wait for it no more."""
        self._selector.unregister(fd)

    @property
    def slots(self) -> Collection[Slot]:
        """The children's places, in the order they are started."""
        return self._slots.values()

    @property
    def drain_seconds(self) -> float:
        """How long a stop may take, by the settings that are in force."""
        return self._drain_seconds

    @property
    def router(self) -> Router:
        assert self._router is not None, "only while it runs"
        return self._router

    def _is_over(self) -> bool:
        return self.stopping and all(slot.process is None for slot in self._slots.values())

    def _reap_orphans(self) -> None:
        if reaper.is_needed():
            reaper.reap({slot.process.pid for slot in self._slots.values() if slot.process})

    def _close(self) -> None:
        if self._commands:
            self._commands.close()
        self._selector.close()
        os.close(self._liveness_reader)
        os.close(self._liveness_writer)

    # Starting

    def _start_who_is_due(self) -> None:
        now = self._looked_at = time.monotonic()
        for slot in self._slots.values():
            if self.stopping:
                return
            if not slot.is_due(now):
                continue
            if slot.spec.after_others and not self._others_had_their_chance(slot):
                continue
            self._start(slot)

    def _others_had_their_chance(self, slot: Slot) -> bool:
        earlier = list(self._slots.values())[: list(self._slots).index(slot.spec.name)]
        return slot.started_before or all(other.has_settled() for other in earlier)

    def _assure_itself(self, *, now: bool = False) -> None:
        """Look whether there is any sense in going on."""
        is_due = now or time.monotonic() - self._assured_at >= ASSURE_SECONDS
        if not is_due or self._is_abandoned:
            return
        self._assured_at = time.monotonic()
        if not self.may_go_on():
            self.abandon()

    def _start(self, slot: Slot) -> None:
        self._assure_itself(now=True)  # a new process opens its files by their paths
        if self.stopping:
            return
        try:
            process = self._spawn(slot.spec, slot.count + 1)
        except (OSError, subprocess.SubprocessError) as error:
            # EAGAIN, ENOMEM, EMFILE: the machine is short of something. No fault of the child: try again.
            why = f"cannot be started: {error}"
            remedy = process_limit.REMEDY if isinstance(error, BlockingIOError) else TRIED_AGAIN
            slot.postpone(time.monotonic() + policy.shortage_delay_seconds(self._intensity), why, remedy)
            log.error("cannot start a child", child=slot.spec.name, error=str(error))
            self._tell_of(slot)
            return
        slot.begin(process)
        name = slot.spec.name
        if not slot.spec.command:  # whose cap is for itself alone, and a cgroup would hold its own children to it
            process.leaf = self._leaves.make(name, process.number, process.pid, process.cap_bytes)
        self._reload_plan.note_start(name)
        self.watch(process.pidfd, lambda: self._on_exit(slot))
        self.watch(process.inbox_fd, lambda: self._on_messages(slot))
        if self._commands:
            self._commands.started(process)
        log.debug("started", child=name, pid=process.pid, incarnation=process.number)
        self._tell_of(slot)
        self.router.on_start(name)

    def _spawn(self, spec: ChildSpec, number: int) -> Process:
        if spec.command:
            assert self._commands is not None, "a supervisor that runs commands is given their runner"
            return self._commands.launch(spec, number)
        return spawn(spec, number, self._liveness_reader, self._log_settings)

    # Waiting, and what comes of it

    def _wait(self) -> None:
        tick = BUSY_TICK_SECONDS if self.router.is_busy() else TICK_SECONDS
        now = time.monotonic()
        wanted = max(0.0, min([now + tick, *self._moments()]) - now)
        # Our own signal first: a child that has got the same one is not to be taken for one that ended by itself.
        events = sorted(self._selector.select(wanted), key=lambda one: one[0].fd != self._stop_fd)
        asleep_since, self._awake_at = self._awake_at, time.monotonic()
        self._exclude_suspension(policy.overslept_seconds(self._awake_at - asleep_since, wanted))
        for key, _ in events:
            key.data()

    def _exclude_suspension(self, seconds: float) -> None:
        """For so long this loop has not run, and perhaps nobody has: nobody is to be judged by that time."""
        if not seconds:
            return
        log.warning("the supervisor's loop did not run for a while", seconds=round(seconds, 1))
        if self._drain_until is not None:
            self._drain_until += seconds
        for slot in self._slots.values():
            if slot.process is not None:
                slot.process.exclude_suspension(seconds, self._awake_at)
                slot.stop_until += seconds

    def _moments(self) -> list[float]:
        """When something will be due that was not when it was last looked at, in monotonic seconds."""
        presses = [slot.process.escalates_at for slot in self._slots.values() if slot.process]
        if self.stopping:
            stops = [slot.stop_until for slot in self._slots.values() if slot.state is State.STOPPING]
            return [*presses, *stops]
        starts = [slot.due_at for slot in self._slots.values() if slot.is_scheduled]
        return [*presses, *(moment for moment in starts if moment > self._looked_at)]

    def _on_messages(self, slot: Slot, most: int = MOST_MESSAGES) -> None:
        process = slot.process
        if process is None or not process.listening:
            return
        for _ in range(most):
            try:
                message = process.inbox.receive()
            except Closed as closed:
                self._stop_listening(process)
                if not isinstance(closed.__cause__, EOFError):
                    self._on_protocol_error(slot, process, closed)
                return
            if message is None:
                return
            self._on_message(slot, process, message)

    def _on_protocol_error(self, slot: Slot, process: Process, error: Closed) -> None:
        """What it sends cannot be trusted any more, so neither can its work."""
        log.error("sends what is no message", child=slot.spec.name, pid=process.pid, error=str(error))
        process.end(Intent.PROTOCOL_ERROR)

    def _on_message(self, slot: Slot, process: Process, message: Message) -> None:
        process.heard = self._awake_at  # it was there by then, and the watchdog judges by that moment
        match message:
            case Ready():
                slot.mark_ready()
                sample(process)  # its row says at once how much memory it takes
                log.info(
                    "ready",
                    child=slot.spec.name,
                    pid=process.pid,
                    seconds=round(process.ready_at - process.spawned, 3),
                )
                self.router.on_ready(slot.spec.name)
                self._tell_of(slot)
            case Beat(stalled_seconds):
                process.beat(stalled_seconds, self._awake_at)
            case Held() | Starved() | Unrunnable() | Short() | Leaving():
                process.last_words = message
            case _:
                self.router.on_message(slot.spec.name, message)

    def _on_exit(self, slot: Slot) -> None:
        process = slot.process
        if process is None or not process.has_ended():
            return
        self._on_messages(slot, LAST_MESSAGES)  # its last words, and the work that it had just finished
        self.unwatch(process.pidfd)
        self._stop_listening(process)
        if self._commands:
            self._commands.ended(process)
        shown = process.stacks()
        process.close()
        self._bury(slot, process, shown)

    def _stop_listening(self, process: Process) -> None:
        """Once only: after an error the mailbox may be closed already, and the number soon be another file's."""
        if process.listening:
            process.listening = False
            self.unwatch(process.inbox_fd)

    def _bury(self, slot: Slot, process: Process, shown: str) -> None:
        """Put down what the end of the child was, and decide what follows."""
        end = policy.judge(
            process.popen.returncode,
            process.intent,
            process.last_words,
            self._watchdog.oom_of(process),
        )
        if process.leaf is not None:
            process.leaf_peak_bytes = process.leaf.peak_bytes()
            self._leaves.remove(process.leaf)
        now = time.monotonic()
        counts = self.router.on_exit(slot.spec.name, end)
        if end.cause is Cause.SHORT and now - process.ready_at < policy.STEADY_SECONDS:  # or it never was
            self._start_failed(slot, end, now)
            return
        counts = counts and not (slot.recycled or self.stopping)
        replaced = slot.after_exit(end, now, counts=counts, intensity=self._intensity, random=random)
        log.log(
            self._level_of(slot, end),
            "child ended",
            child=slot.spec.name,
            pid=process.pid,
            cause=end.cause.value,
            what=end.text,
            lived_seconds=round(now - process.spawned, 3),
            replaced=replaced and not self.stopping,
        )
        for piece in stacks.pieces(shown):
            log.error("stack", child=slot.spec.name, pid=process.pid, stack=piece)
        self.router.on_ended(
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
        if counts and slot.has_outrun(self._intensity):
            self._put_up_with_no_more(slot, now)
        self._tell_of(slot)
        if slot.retired:
            self.remove_child(slot.spec.name)

    def _level_of(self, slot: Slot, end: Exit) -> int:
        """An end that somebody wanted is no error."""
        # A signal to all of us at once may have found it before it could take it.
        went_with_us = self.stopping and end.returncode == -signal.SIGTERM
        if end.cause is Cause.ASKED or slot.state is State.FINISHED or went_with_us:
            return logging.INFO
        if end.cause is Cause.TERMINATED:
            return logging.INFO if self.stopping else logging.WARNING
        return logging.ERROR

    def _start_failed(self, slot: Slot, end: Exit, now: float) -> None:
        """The machine had a process for it, but not what it needs besides: as if it could not be started at all."""
        slot.start_failed(now + policy.shortage_delay_seconds(self._intensity), end.text, end.remedy)
        log.error("cannot start a child", child=slot.spec.name, error=end.text)
        self._tell_of(slot)
        if slot.retired:
            self.remove_child(slot.spec.name)

    def _put_up_with_no_more(self, slot: Slot, now: float) -> None:
        """It has outrun its intensity. A command of the operator's, or an import, costs only itself; without any other
        of our own children the whole is good for nothing: it ends, and whoever has started it starts it anew.
        """
        deaths, window_seconds = len(slot.deaths), self._intensity.window_seconds
        if slot.spec.command is not None or slot.spec.costs_only_itself:
            if slot.state is State.WAITING:
                seconds = slot.hold(now, self._intensity)
                log.error(
                    "held",
                    child=slot.spec.name,
                    deaths=deaths,
                    window_seconds=window_seconds,
                    tried_again_in_seconds=seconds,
                )
        elif not slot.retired:
            log.error("giving up", child=slot.spec.name, deaths=deaths, window_seconds=window_seconds)
            self._exit_code = 1
            self.begin_stop()

    # What the operator wants

    def command(self, action: str, name: str) -> None:
        """Do that to the child, if there is one of that name."""
        if name in self._slots and not self.stopping:
            log.info("commanded", action=action, child=name)
            {"stop": self.stop_child, "start": self.start_child, "restart": self.restart_child}[action](name)

    def stop_child(self, name: str) -> None:
        """Have the child stop, until it is started again. It counts as no death."""
        slot = self._slots[name]
        slot.wanted, slot.recycled = False, False
        slot.cancel()
        self._ask_to_stop(slot, math.inf)
        self._tell_of(slot)

    def start_child(self, name: str) -> None:
        """Have a child run that is stopped, held, or waiting for its turn."""
        slot = self._slots[name]
        slot.wanted = True
        if slot.process is None:
            slot.release()
        elif slot.state is State.STOPPING:
            slot.recycled = not slot.rests
        self._tell_of(slot)

    def restart_child(self, name: str) -> None:
        """Replace the child when it has finished what it has in hand; start it if it does not run."""
        self._ask_to_stop(self._slots[name], math.inf)
        self.start_child(name)

    def reconfigure(
        self,
        *,
        specs: Sequence[ChildSpec],
        intensity: Intensity,
        drain_seconds: float,
        log_settings: dict[str, str],
    ) -> Changes:
        """Take these for what the children shall be; who is going to be started, stopped or replaced for it."""
        everyone = log_settings != self._log_settings  # they are told once, when they start
        self._intensity, self._drain_seconds, self._log_settings = intensity, drain_seconds, log_settings
        return self._reload_plan.adapt(specs, everyone=everyone)

    def add_child(self, spec: ChildSpec) -> None:
        """One more child, for a while: a reload that does not name it ends it."""
        self._slots[spec.name] = Slot(spec)

    def retire_child(self, name: str) -> None:
        """Have the child stop, if it runs; then there is no such child any more."""
        slot = self._slots[name]
        slot.retired = True
        if slot.process is None:
            self.remove_child(name)
        else:
            self.stop_child(name)

    def remove_child(self, name: str) -> None:
        """There is no such child any more."""
        self.router.on_state(name, {})
        del self._slots[name]

    # Stopping

    def _on_stop_signal(self) -> None:
        signals = set(os.read(self._stop_fd, 64))
        if signals == {signal.SIGHUP} and self.on_hangup is not None:
            self.on_hangup()
        elif self._stop_asked_at is None:  # it may have begun by itself: that was nobody's first request
            self._stop_asked_at = time.monotonic()
            self.begin_stop()
        elif self._hurries and time.monotonic() - self._stop_asked_at > SAME_REQUEST_SECONDS:
            self._stop_at_once()

    def _stop_at_once(self) -> None:
        log.warning("stopping at once")
        self._exit_code = 1
        for slot in self._slots.values():
            slot.cancel()
            if slot.process:
                slot.process.end(Intent.STOP)
                slot.stop_until = math.inf

    def abandon(self) -> None:
        """What the children work on is not theirs any more: end them at once. Commands have no part in that, and are
        asked to stop as ever.
        """
        self._is_abandoned, self._exit_code = True, 1
        self.begin_stop()
        for slot in self._slots.values():
            slot.cancel()
            if slot.process and slot.spec.command is None:
                slot.process.end(Intent.STOP)
                slot.stop_until = math.inf

    def begin_stop(self) -> None:
        """Stop taking in, let the work in hand be finished, end the children; then `run` returns."""
        if self.stopping:
            return
        self._drain_until = time.monotonic() + self._drain_seconds
        log.info("stopping", drain_seconds=self._drain_seconds)

    def _stop_who_is_next(self) -> None:
        """Ask the last started child that still runs to stop, or all of them."""
        if self._drain_until is None:
            return
        for slot in reversed(self._slots.values()):
            slot.cancel()
            if slot.process is None:
                continue
            if slot.process.intent is not Intent.STOP:
                self._ask_to_stop(slot, self._drain_until)
            if self._in_order and slot.spec.command is None:  # for a command, nobody waits
                return

    def _ask_to_stop(self, slot: Slot, latest: float) -> None:
        """Ask it once, however often it is wanted: a second SIGTERM means "at once" to a child that supervises."""
        process = slot.process
        if process is None or process.intent is Intent.STOP:
            return
        if process.intent is None:
            process.intent = Intent.STOP
        now = time.monotonic()
        slot.stop_until = max(min(now + slot.spec.stop_seconds, latest), now + LEAST_STOP_SECONDS)
        process.ask_to_stop()

    # Telling

    def _tell(self) -> None:
        now = time.monotonic()
        if self.router.is_busy():
            self._busy_at = now
        if now - self._told_at >= TELL_SECONDS:
            self._told_at = now
            for slot in self._slots.values():
                self._tell_of(slot)

    def _tell_of(self, slot: Slot) -> None:
        """Tell how it stands now; what is as it was, only now and then."""
        now = time.monotonic()
        if slot.process is not None and slot.spec.command is not None:
            slot.process.heard = now  # it says nothing, but the kernel would have told of its end
        facts = slot.facts()
        often = now - self._busy_at < RETELL_SECONDS  # for a while after, or a row would tell of the last work
        after = BUSY_RETELL_SECONDS if often or _is_heard_anew(slot, facts) else RETELL_SECONDS
        if not _is_the_same(facts, slot.told) or now - slot.told_at >= after:
            slot.told, slot.told_at = facts, now
            self.router.on_state(slot.spec.name, facts)

    # What a router may ask (ipc.transport.router.Tree)

    @property
    def stopping(self) -> bool:
        return self._drain_until is not None

    def names(self) -> list[str]:
        return list(self._slots)

    def is_ready(self, name: str) -> bool:
        process = self._slots[name].process
        return process is not None and process.ready and process.intent is None

    def send(self, name: str, message: Message) -> bool:
        slot = self._slots.get(name)
        process = slot.process if slot else None
        if process is None:
            return False
        try:
            return process.outbox.send(message)
        except Closed:
            return False  # it is dead; its pidfd says so in a moment
        except MessageError as error:
            log.error("cannot send a message", child=name, error=str(error))
            return False

    def set_cap(self, name: str, cap_bytes: int) -> bool:
        process = self._slots[name].process
        if process is None or process.cap_bytes == cap_bytes:
            return True
        sample(process)  # what it had a moment ago, at the end of a large job, is no reason to kill it
        if 0 < cap_bytes < process.rss_bytes:
            return False
        process.cap_bytes = cap_bytes
        if process.leaf is not None:
            process.leaf.set_cap(cap_bytes)
        return True

    def effort(self, name: str) -> Effort | None:
        process = self._slots[name].process
        return cpu.read(process.pid) if process else None

    def kill_hung(self, name: str) -> None:
        process = self._slots[name].process
        if process is not None and process.intent in (None, Intent.STOP):
            process.end_hung(time.monotonic())

    def kill_for_protocol_error(self, name: str) -> None:
        process = self._slots[name].process
        if process is not None and process.intent in (None, Intent.STOP):
            process.end(Intent.PROTOCOL_ERROR)

    def recycle(self, name: str) -> None:
        slot = self._slots[name]
        if slot.process is not None and slot.process.intent is None:
            self._ask_to_stop(slot, time.monotonic() + slot.spec.stop_seconds)
            slot.recycled = True

    def rest(self, name: str) -> None:
        slot = self._slots[name]
        slot.rests, slot.recycled = True, False
        slot.cancel()
        self._ask_to_stop(slot, math.inf)
        self._tell_of(slot)

    def wake(self, name: str) -> None:
        slot = self._slots[name]
        slot.rests = False
        if slot.wanted:
            self.start_child(name)

    def is_wanted(self, name: str) -> bool:
        slot = self._slots[name]
        return slot.wanted and slot.state is not State.HELD


def _is_heard_anew(slot: Slot, facts: dict[str, Any]) -> bool:
    """Whether a child that beats has given a sign of life since its row was told."""
    return slot.spec.command is None and facts.get("heard") != slot.told.get("heard")


def _is_the_same(facts: dict[str, Any], told: dict[str, Any]) -> bool:
    """Whether nothing has changed but when it was last heard of."""
    return {**facts, "heard": None} == {**told, "heard": None}
