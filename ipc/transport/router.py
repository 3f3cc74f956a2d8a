"""How a supervisor and the logic that rides on it speak to each other.

A supervisor keeps its children alive; what they tell each other is its *router's* business. The root's router passes
hints and states on; the pool's gives out jobs. A router runs in its supervisor's process and loop, so it never blocks.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from ipc.transport.exits import Exit
from ipc.transport.messages import Message


@dataclass(frozen=True, slots=True)
class CpuUsage:
    """What a process has had of the processors since it was started, in seconds, and whether the kernel lets it run."""

    cpu_seconds: float
    """Processor time of all its threads, in seconds."""
    queued_seconds: float
    """How long its threads were ready to run and others ran (those of them that have not ended yet)."""
    waits_for_disk: bool = False
    is_stopped: bool = False
    """Stopped by a signal or a debugger."""


class Tree(Protocol):
    """What a router may ask of its supervisor."""

    @property
    def stopping(self) -> bool:
        """Whether the whole is being stopped: give out no more work."""

    def names(self) -> list[str]:
        """The children, in the order they are started."""

    def is_ready(self, name: str) -> bool:
        """Whether the child takes messages."""

    def send(self, name: str, message: Message) -> bool:
        """Put a message into the child's inbox. False: it is down, or its inbox is full; the message is dropped."""

    def set_cap(self, name: str, cap_bytes: int) -> bool:
        """Change the running incarnation's memory cap (0: none).

        False: it has more than that now, and keeps the cap that it had.
        """

    def kill_hung(self, name: str) -> None:
        """End a child that is at work and makes no progress; it counts as hung."""

    def kill_for_protocol_error(self, name: str) -> None:
        """End a child that says what makes no sense; it counts as crashed."""

    def recycle(self, name: str) -> None:
        """Replace a child that has nothing to do, without counting it as a death."""

    def rest(self, name: str) -> None:
        """Have an idle child stop until it is woken. This counts as no death."""

    def wake(self, name: str) -> None:
        """Have a resting child run again, unless the operator has stopped it besides."""

    def is_wanted(self, name: str) -> bool:
        """Whether the child is to run at all: the operator has not stopped it, and it is not held."""

    def cpu_usage(self, name: str) -> CpuUsage | None:
        """What the child has had of the processors up to now; None: it is down."""


class Router(Protocol):
    """The logic that rides on a supervisor."""

    def on_message(self, child: str, message: Message) -> None:
        """A child said something that is not the supervisor's own business."""

    def on_start(self, child: str) -> None:
        """A child has a new incarnation. What is sent now, it reads when it gets so far."""

    def on_ready(self, child: str) -> None:
        """A child takes messages from now on."""

    def on_exit(self, child: str, end: Exit) -> bool:
        """A child is gone. True: its death counts against its restart intensity; False: it was its work's fault."""

    def on_state(self, child: str, facts: dict[str, Any]) -> None:
        """A child's row of /status, at every change and now and then; empty when the child is no more."""

    def on_ended(self, child: str, facts: dict[str, Any]) -> None:
        """How the child's last incarnation ended, for /status."""

    def on_tick(self) -> None:
        """Called at least every two seconds, and while `is_busy` every 50 ms."""

    def is_busy(self) -> bool:
        """Whether children are at work whose memory and time must be watched closely."""
