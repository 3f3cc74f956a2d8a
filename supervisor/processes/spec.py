"""A child spec: what a child is and how it is kept, as validated data."""

from __future__ import annotations

import re
import signal
from dataclasses import dataclass, field, replace
from typing import Any, Literal, get_args

Restart = Literal["permanent", "transient", "temporary"]
Sandbox = Literal["auto", "require", "off"]


class SpecError(ValueError):
    """A child spec that makes no sense: which child, which field, what is allowed."""


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """A program that knows nothing of us, run as a child: see `supervisor.commands.process`."""

    words: tuple[str, ...]
    """Program and arguments."""
    directory: str = "."
    """The folder that it runs in."""
    environment: dict[str, str] = field(default_factory=dict, repr=False)
    """Added to the environment that the supervisor was started with."""
    stop_signal: str = "SIGTERM"
    """Asks it to stop."""


@dataclass(frozen=True, slots=True)
class ChildSpec:
    """One child. Times in seconds, memory in bytes.

    A *permanent* child is always replaced; a *transient* one only if it did not end by itself with exit code 0; a
    *temporary* one never. It has either a `target` or a `command`.
    """

    name: str
    target: str = ""
    """"package.module:function", resolved in the child's own process."""
    options: dict[str, Any] = field(default_factory=dict)
    """All data that the child gets: a secret goes only to the child that needs it."""
    command: CommandSpec | None = None
    restart: Restart = "permanent"
    ready_seconds: float = 45.0
    """Time within which the child says that it is ready, else it is hung. More than the longest wait for a journal."""
    beat_seconds: float = 4.0
    """Between two heartbeats. /status names a problem after ten seconds of silence."""
    hang_seconds: float = 60.0
    """Hung after this time without a heartbeat or a round of its main loop. Twice the longest wait for the journal."""
    stall_seconds: float = 0.0
    """What its main loop may take for one round, where that is more than `hang_seconds`."""
    stop_seconds: float = 10.0
    """How long the child may finish its work in hand after it was asked to stop."""
    cap_bytes: int = 0
    """Memory above which the child is killed; 0: none."""
    costs_only_itself: bool = False
    """The tree goes on without it: where it dies too often, it is held, and tried once more later. So is a command."""
    leaves_when_finished: bool = False
    """Delete the slot when the child has ended by itself: nobody will start it again."""
    after_others: bool = False
    """Started only when all those before it are ready (or have been tried once)."""
    nice: int = 0
    returns_memory: bool = True
    """Whether glibc gives freed memory back to the system at once. Not for one that soon needs as much again."""
    sandbox: Sandbox | Literal[""] = ""
    """How the child is sealed (`supervisor.child.sandbox`): as well as the machine can, or it is held unless system
    calls are filtered, or not at all. Empty: it is a process of ours like the others.
    """
    workplace: str = ""
    """"package.module:function", which makes its folders: what it may read, and what it may write into."""
    goes_first: bool = False
    """Whether the kernel takes this child before others, where the machine runs out of memory."""
    inherit_fds: tuple[int, ...] = ()
    takes_options: bool = False
    """Whether it can be told other options while it runs (`ipc.transport.messages.NewOptions`), so that it need not be
    replaced.
    """

    def __post_init__(self) -> None:
        self._require(re.fullmatch(r"[a-z][a-z0-9-]*", self.name), "name", "lower-case letters, digits, hyphens")
        if self.command:
            self._require(not self.target, "target", "none besides a command")
            self._require(self.command.words and self.command.words[0], "command", "one that names a program")
            self._require(
                self.command.stop_signal in signal.Signals.__members__, "command", "a stop_signal that there is"
            )
        else:
            self._require(re.fullmatch(r"[\w.]+:\w+", self.target), "target", '"package.module:function"')
        self._require(self.restart in get_args(Restart), "restart", "permanent, transient or temporary")
        for key in ("ready_seconds", "beat_seconds", "hang_seconds", "stop_seconds"):
            self._require(getattr(self, key) > 0, key, "more than 0")
        self._require(self.beat_seconds < self.hang_seconds, "beat_seconds", "less than hang_seconds")
        self._require(self.stall_seconds >= 0, "stall_seconds", "0 or more")
        self._require(bool(self.workplace) == bool(self.sandbox), "workplace", "one for a child with a sandbox alone")
        self._require(self.cap_bytes >= 0, "cap_bytes", "0 or more")

    def _require(self, holds: object, key: str, allowed: str) -> None:
        if not holds:
            raise SpecError(f"child {self.name!r}: {key} = {getattr(self, key)!r}: allowed is {allowed}")


def numbered(spec: ChildSpec, count: int) -> tuple[ChildSpec, ...]:
    """`count` children like this one, numbered from 1: "image" becomes "image-1", "image-2", …"""
    return tuple(replace(spec, name=f"{spec.name}-{number}") for number in range(1, count + 1))


@dataclass(frozen=True, slots=True)
class Intensity:
    """How many deaths a supervisor allows: the (n + 1)-th counted death of a child within the window is too many.

    The first replacement comes at once, further ones after a pause that doubles up to `delay_seconds`.
    """

    max_restarts: int
    window_seconds: float
    delay_seconds: float
