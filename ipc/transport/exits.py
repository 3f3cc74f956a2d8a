"""How a process ended, as a value: its supervisor finds it, a router decides by it, people read its text."""

from __future__ import annotations

import enum
import signal
from collections.abc import Mapping
from dataclasses import dataclass


class Cause(enum.StrEnum):
    """What an exit was: the `cause` in /status and in the log."""

    ASKED = "asked"
    FINISHED = "finished"
    CRASHED = "crashed"
    SIGNALLED = "signalled"
    OUT_OF_MEMORY = "out of memory"
    MACHINE_OUT_OF_MEMORY = "machine out of memory"
    PERHAPS_OUT_OF_MEMORY = "perhaps out of memory"
    SANDBOX = "broke its sandbox"
    """It made a system call that its filter ends it for: no decoder of ours does so by itself."""
    HUNG = "hung"
    HELD = "held"
    UNRUNNABLE = "cannot be run"
    SHORT = "short of processes"
    TERMINATED = "terminated"
    """It was asked to stop, but not by its supervisor."""


FOR_MEMORY = frozenset({Cause.OUT_OF_MEMORY, Cause.MACHINE_OUT_OF_MEMORY, Cause.PERHAPS_OUT_OF_MEMORY})
"""The causes that /status counts as kills for want of memory."""


class Killer(enum.Enum):
    """Which part of the machine killed the process, where that is known."""

    SUPERVISOR = "supervisor"
    KERNEL = "kernel"


@dataclass(frozen=True, slots=True)
class Exit:
    """The end of one process.

    `returncode` as `subprocess` gives it (negative: the signal), `said` what the process said of it before.
    """

    cause: Cause
    returncode: int = 0
    killer: Killer | None = None
    said: str = ""
    remedy: str = ""

    @property
    def signal(self) -> int | None:
        """The signal that ended it, where none of us sent it; None: it ended otherwise."""
        return -self.returncode if self.cause is Cause.SIGNALLED else None

    @property
    def text(self) -> str:
        """A sentence for people."""
        template = _TEXTS.get((self.cause, self.killer), "{how}")
        if self.cause is Cause.HELD and not self.said:
            template = "refused its configuration ({how})"
        return template.format(how=describe_returncode(self.returncode), said=self.said)


_TEXTS: Mapping[tuple[Cause, Killer | None], str] = {
    (Cause.ASKED, None): "stopped as asked ({how})",
    (Cause.CRASHED, Killer.SUPERVISOR): "crashed: it sent what is no message and was killed",
    (Cause.OUT_OF_MEMORY, None): "out of memory: {said}",
    (Cause.OUT_OF_MEMORY, Killer.SUPERVISOR): "out of memory: it outgrew its cap and was killed",
    (Cause.OUT_OF_MEMORY, Killer.KERNEL): "out of memory: it outgrew its cgroup and was killed by the kernel",
    (Cause.MACHINE_OUT_OF_MEMORY, Killer.KERNEL): "killed by the kernel: there was no memory left for all of us",
    (Cause.PERHAPS_OUT_OF_MEMORY, None): "{how}, perhaps for want of memory",
    (Cause.SANDBOX, Killer.KERNEL): "broke the rules of its sandbox and was killed by the kernel",
    (Cause.HUNG, Killer.SUPERVISOR): "hung: it gave no sign of life and was killed",
    (Cause.HELD, None): "{said}",
    (Cause.UNRUNNABLE, None): "cannot be run: {said}",
    (Cause.SHORT, None): "no process to be had: {said}",
    (Cause.TERMINATED, None): "stopped at a SIGTERM that was not its supervisor's ({how})",
}
"""The others say how it ended and no more."""


def describe_returncode(returncode: int) -> str:
    """A return code in words.

    >>> describe_returncode(-9), describe_returncode(1)
    ('killed by SIGKILL', 'exit code 1')
    """
    if returncode >= 0:
        return f"exit code {returncode}"
    try:
        return f"killed by {signal.Signals(-returncode).name}"
    except ValueError:
        return f"killed by signal {-returncode}"
