"""The two protocols of the supervisor's loop: what others ask of it, and what it asks of the runner of commands.

They are protocols: the loop uses the rooms above it (`supervisor.host`, `supervisor.commands`) without importing them.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from supervisor.processes.process import Process
from supervisor.processes.spec import ChildSpec


class Loop(Protocol):
    """Waits for file descriptors on behalf of others."""

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        """Call `callback` whenever `fd` is readable."""

    def unwatch(self, fd: int) -> None:
        """Wait for it no more."""


class CommandRunner(Protocol):
    """Starts the operator's own commands, reads what they write, and kills what they leave (`commands.runner`)."""

    def launch(self, spec: ChildSpec, number: int) -> Process:
        """Start incarnation `number` of the command. Raises OSError if the machine has no process to give."""

    def started(self, process: Process) -> None:
        """The supervisor watches it now: read what it writes."""

    def look(self) -> None:
        """Called in each round of the loop."""

    def ended(self, process: Process) -> None:
        """Take note that the process has ended, and has been waited for."""

    def close(self) -> None:
        """The supervisor is about to end."""
