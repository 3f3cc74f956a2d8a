"""A stage for the real Supervisor with real tiny children (see `targets`), played by a script.

A script is a generator that runs in the supervisor's own loop, one step each 50 ms: it looks, acts, and yields to wait.
At its end the supervisor is stopped. Nothing may be left behind: no process, no zombie, no file descriptor.
"""

from __future__ import annotations

import contextlib
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from ipc.transport.exits import Exit
from ipc.transport.messages import Message
from ipc.transport.router import Router
from supervisor.commands.runner import Runner
from supervisor.processes.slot import Slot
from supervisor.processes.spec import ChildSpec, Intensity
from supervisor.processes.supervisor import Supervisor
from tests.instance import children

DEADLINE_SECONDS = 60.0
QUICK = Intensity(max_restarts=100, window_seconds=60.0, delay_seconds=0.1)
LOG = {"level": "error", "format": "json"}

Script = Callable[["Stage"], Iterator[None]]


class Stage:
    """A supervisor, what its router was told, and the script that is played."""

    def __init__(
        self,
        notes: Path,
        *specs: ChildSpec,
        intensity: Intensity = QUICK,
        drain_seconds: float = 10.0,
        in_order: bool = True,
        busy: bool = True,
        cgroup: Path | None = None,
    ) -> None:
        self._fds = open_fds()
        self.notes_file = notes
        self.stop_reader, self._stop_writer = os.pipe()
        self.supervisor = Supervisor(
            specs=specs,
            intensity=intensity,
            drain_seconds=drain_seconds,
            log_settings=LOG,
            stop_fd=self.stop_reader,
            in_order=in_order,
            cgroup=cgroup,
            commands=Runner,
        )
        self.busy = busy
        self.counts = True
        self.messages: list[tuple[str, Message]] = []
        self.starts: list[str] = []
        self.readies: list[str] = []
        self.exits: list[tuple[str, str, str]] = []
        self.ends: list[tuple[str, dict[str, Any]]] = []
        self.states: dict[str, dict[str, Any]] = {}
        self.history: list[tuple[str, str]] = []
        self.seen_exits: list[float] = []
        self._script: Iterator[None] = iter(())
        self._until = 0.0
        self._failure: BaseException | None = None

    def play(self, script: Script, router: Callable[[], Router] | None = None) -> int:
        """Run the supervisor until the script is over and everything has stopped; its exit code.

        `router` makes one that stands before ours.
        """
        self._script, self._until = script(self), time.monotonic() + DEADLINE_SECONDS
        try:
            code = self.supervisor.run(router() if router else self)
        finally:
            for child in children():  # none, if all went well
                child.kill()
            os.close(self.stop_reader)
            os.close(self._stop_writer)
        if self._failure:
            raise self._failure
        assert children() == []
        assert open_fds() == self._fds
        return code

    # What scripts use

    def until(self, what: str, look: Callable[[], object]) -> Iterator[None]:
        while not look():
            yield
            if time.monotonic() > self._until:
                raise AssertionError(f"waited in vain for {what}; {self.exits}, {self.states}")

    def for_ever(self) -> Iterator[None]:
        """Until the supervisor ends by itself."""
        return self.until("the supervisor to end", lambda: False)

    def all_ready(self) -> Iterator[None]:
        names = self.supervisor.children.names()
        yield from self.until("all to be ready", lambda: all(map(self.supervisor.children.is_ready, names)))

    def replaced(self, name: str, count: int = 1) -> Iterator[None]:
        """Until the child has been replaced `count` times and is ready."""
        yield from self.until(
            f"{name} to be replaced",
            lambda: self.slot(name).restarts >= count and self.supervisor.children.is_ready(name),
        )

    def press_stop(self) -> None:
        os.write(self._stop_writer, b"\x0f")

    def slot(self, name: str) -> Slot:
        return next(one for one in self.supervisor.slots if one.spec.name == name)

    def pid(self, name: str) -> int:
        return int(self.states[name]["pid"])

    def notes(self) -> list[str]:
        return self.notes_file.read_text().splitlines() if self.notes_file.exists() else []

    def ended(self, name: str) -> list[tuple[str, str]]:
        """(cause, text) of each end of the child."""
        return [(cause, text) for child, cause, text in self.exits if child == name]

    # The router

    def on_message(self, child: str, message: Message) -> None:
        self.messages.append((child, message))

    def on_start(self, child: str) -> None:
        self.starts.append(child)

    def on_ready(self, child: str) -> None:
        self.readies.append(child)

    def on_exit(self, child: str, end: Exit) -> bool:
        self.exits.append((child, end.cause.value, end.text))
        self.seen_exits.append(time.monotonic())
        return self.counts

    def on_state(self, child: str, facts: dict[str, Any]) -> None:
        if (state := facts.get("state")) and self.states.get(child, {}).get("state") != state:
            self.history.append((child, state))
        self.states[child] = facts

    def on_ended(self, child: str, facts: dict[str, Any]) -> None:
        self.ends.append((child, facts))

    def on_tick(self) -> None:
        try:
            next(self._script)
        except StopIteration:
            self._script = iter(())
            self.supervisor.begin_stop()
        except BaseException as failure:
            self._script = iter(())
            self._failure = self._failure or failure
            self.supervisor.begin_stop()
            self.supervisor.stops.at_once()

    def is_busy(self) -> bool:
        return self.busy


def spec(notes: Path, name: str, target: str = "serve", **more: Any) -> ChildSpec:
    options = {"notes": str(notes), **more.pop("options", {})}
    beats = {"beat_seconds": 0.1, **more}
    return ChildSpec(name, f"tests.supervisor.targets:{target}", options, **beats)


def open_fds() -> set[str]:
    """The file descriptors of this process with what they lead to."""
    gc.collect()  # what an earlier test has dropped is closed now, and not in between
    found = set()
    for fd in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # the one that lists them
            found.add(f"{fd.name} {fd.readlink()}")
    return found


def run_alone(settings: str) -> None:
    """A supervisor that is this whole process, for tests that kill it: `settings` is a JSON list of child specs."""

    class Quiet:
        def on_message(self, child: str, message: Message) -> None: ...
        def on_start(self, child: str) -> None: ...
        def on_ready(self, child: str) -> None:
            os.write(1, f"ready {child}\n".encode())

        def on_exit(self, child: str, end: Exit) -> bool:
            os.write(1, f"exit {child} {end.cause}\n".encode())
            return True

        def on_state(self, child: str, facts: dict[str, Any]) -> None: ...
        def on_ended(self, child: str, facts: dict[str, Any]) -> None: ...
        def on_tick(self) -> None: ...
        def is_busy(self) -> bool:
            return False

    from supervisor.host import signals  # noqa: PLC0415 - the handlers are this process' own

    supervisor = Supervisor(
        specs=[ChildSpec(**one) for one in json.loads(settings)],
        intensity=QUICK,
        drain_seconds=10.0,
        log_settings=LOG,
        stop_fd=signals.listen(),
        in_order=True,
        commands=Runner,
    )
    sys.exit(supervisor.run(Quiet()))
