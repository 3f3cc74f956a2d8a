"""What a child's main function gets: its name, its options, its mailboxes, and whether it has been asked to stop.

A child is written as `def main(context: Context) -> None`: set up, `context.ready()`, then

    while not context.stopping:
        message = context.receive(timeout_seconds)
        ...

and return when its work in hand is finished. It never looks at signals, environment or command line.
"""

from __future__ import annotations

import math
import select
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from ipc.transport.mailbox import Closed, Inbox, Outbox
from ipc.transport.messages import Beat, Message, Ready, Report, Wake


@dataclass
class Context:
    """One incarnation of one child, seen from inside.

    `options` is the plain data of its child spec. `stop_fd` becomes readable when the child is asked to stop.
    """

    name: str
    incarnation: int
    options: dict[str, Any]
    inbox: Inbox
    outbox: Outbox
    stop_fd: int
    _last_progress: float = field(default_factory=time.monotonic)
    _stopping: bool = False

    @property
    def journal_path(self) -> Path:
        return Path(self.options["state_dir"]) / "journal.db"

    @property
    def spool_path(self) -> Path:
        return Path(self.options["state_dir"]) / "spool"

    @property
    def stopping(self) -> bool:
        """Whether to finish the work in hand and return."""
        self.progress()
        if not self._stopping:
            self._stopping = bool(_readable(0, self.stop_fd))
        return self._stopping

    def note_stop(self) -> None:
        """A stop was asked for, and a reader of `stop_fd` other than `stopping` has taken it from there."""
        self._stopping = True

    def progress(self) -> None:
        """The main loop has come round. Called by `stopping` and `receive`; a child with another loop calls it."""
        self._last_progress = time.monotonic()

    def receive(self, timeout_seconds: float) -> Message | None:
        """The next message, after waiting `timeout_seconds` at most; None when none came or a stop was asked for."""
        self.progress()
        message = self.inbox.receive()
        if message is None:
            ready = _readable(timeout_seconds, self.inbox.fileno(), self.stop_fd)
            message = self.inbox.receive() if self.inbox.fileno() in ready else None
        self.progress()
        return message

    def send(self, message: Message) -> None:
        """Tell the supervisor. If it is gone this process is about to end too, so that is no error."""
        try:
            self.outbox.send(message)
        except Closed:
            self._stopping = True

    def ready(self) -> None:
        """Set-up is done."""
        self.send(Ready())

    def wake(self, state: str) -> None:
        """Hint to the process that takes jobs in `state` that there is one. The hint may be lost."""
        self.send(Wake(state))

    def report(self, topic: str, **facts: Any) -> None:
        """Report facts of this child for /status."""
        self.send(Report(topic, facts))

    def beat(self) -> None:
        """One heartbeat, with how long ago the main loop last came round."""
        self.send(Beat(round(time.monotonic() - self._last_progress, 3)))


def _readable(timeout_seconds: float, *fds: int) -> set[int]:
    """The descriptors that can be read, or have come to their end, after at most `timeout_seconds` for the first.

    Not select(), which knows no descriptor above 1023.
    """
    poll = select.poll()
    for fd in fds:
        poll.register(fd, select.POLLIN)
    return {fd for fd, _ in poll.poll(math.ceil(1000 * timeout_seconds))}
