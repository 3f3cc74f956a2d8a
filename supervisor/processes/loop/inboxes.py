"""What the children send: heartbeats and last words are the supervisor's, all else is for the router."""

from __future__ import annotations

import structlog

from ipc.transport.mailbox import Closed
from ipc.transport.messages import (
    Beat,
    Held,
    Leaving,
    Message,
    OwnMemory,
    Ready,
    Sealed,
    Short,
    Starved,
    Unrunnable,
)
from supervisor.processes.loop.poller import Poller
from supervisor.processes.loop.rows import Rows
from supervisor.processes.loop.shared import Shared
from supervisor.processes.loop.watchdog import sample
from supervisor.processes.policy import Intent
from supervisor.processes.process import Process
from supervisor.processes.slot import Slot
from supervisor.resources.memory import Share

MOST_MESSAGES = 64
"""Read from one child in one round, so that one that sends much cannot keep the loop from the others."""

LAST_MESSAGES = 16384
"""Read from a child that is gone: more than its pipe can hold, but an end if another process still writes to it."""

log = structlog.get_logger()


class Inboxes:
    """Reads them in the supervisor's loop."""

    def __init__(self, shared: Shared, poller: Poller, rows: Rows) -> None:
        self._shared = shared
        self._poller = poller
        self._rows = rows

    def open(self, slot: Slot, process: Process) -> None:
        self._poller.watch(process.inbox_fd, lambda: self._read(slot, MOST_MESSAGES))

    def drain(self, slot: Slot, process: Process) -> None:
        """Read the last words of a child that is gone, and of the work that it had just finished."""
        self._read(slot, LAST_MESSAGES)
        self._close(process)

    def _read(self, slot: Slot, most: int) -> None:
        process = slot.process
        if process is None or not process.listening:
            return
        for _ in range(most):
            try:
                message = process.inbox.receive()
            except Closed as closed:
                self._close(process)
                if not isinstance(closed.__cause__, EOFError):
                    self._on_protocol_error(slot, process, closed)
                return
            if message is None:
                return
            self.take(slot, process, message)

    def _close(self, process: Process) -> None:
        """Close an inbox, once only: after an error it may be closed already, and its number soon be another file's."""
        if process.listening:
            process.listening = False
            self._poller.unwatch(process.inbox_fd)

    def _on_protocol_error(self, slot: Slot, process: Process, error: Closed) -> None:
        """End a child whose messages can't be trusted any more, so neither can its work."""
        log.error("child.protocol_error", child=slot.spec.name, pid=process.pid, error=str(error))
        process.end(Intent.PROTOCOL_ERROR)

    def take(self, slot: Slot, process: Process, message: Message) -> None:
        process.heard = self._poller.awake_at  # it was there by then, and the watchdog judges by that moment
        match message:
            case Ready():
                if not process.ready:
                    self._on_ready(slot, process)
            case Beat(stalled_seconds):
                process.beat(stalled_seconds, self._poller.awake_at)
            case OwnMemory(pss_bytes, uss_bytes):
                sample(process)
                process.history.add(self._poller.awake_at, process.rss_bytes, Share(pss_bytes, uss_bytes))
            case Sealed(seccomp, landlock) if not process.ready:
                process.sandbox = {"seccomp": seccomp, "landlock": landlock}
            case Held() | Starved() | Unrunnable() | Short() | Leaving():
                process.last_words = message
            case _:
                self._shared.router.on_message(slot.spec.name, message)

    def _on_ready(self, slot: Slot, process: Process) -> None:
        slot.mark_ready()
        sample(process)  # its row says at once how much memory it takes
        seconds = round(process.ready_at - process.spawned, 3)
        log.info("child.ready", child=slot.spec.name, pid=process.pid, seconds=seconds)
        self._shared.router.on_ready(slot.spec.name)
        self._rows.report(slot)
