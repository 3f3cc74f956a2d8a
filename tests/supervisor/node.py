"""A supervisor that is itself a child, and its routers. Its process imports this module, so it needs no pytest: that
imports pygments, which our processes leave out."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from ipc.transport.context import Context
from ipc.transport.exits import Exit
from ipc.transport.messages import ChildState, Ended, Message
from ipc.transport.router import Tree
from supervisor.processes.spec import ChildSpec, Intensity
from tests.supervisor.stage import LOG, QUICK


class Recorder:
    """A router for the supervisor below: passes everything on to the one above."""

    def __init__(self, tree: Tree, context: Context) -> None:
        self._tree, self._context = tree, context

    def on_supervisor_message(self, message: Message) -> None:
        for name in self._tree.names():
            self._tree.send(name, message)

    def on_message(self, child: str, message: Message) -> None:
        self._context.send(message)

    def on_start(self, child: str) -> None: ...

    def on_ready(self, child: str) -> None: ...

    def on_exit(self, child: str, end: Exit) -> bool:
        return True

    def on_state(self, child: str, facts: dict[str, Any]) -> None:
        self._context.send(ChildState(child, facts))

    def on_ended(self, child: str, facts: dict[str, Any]) -> None:
        self._context.send(Ended(child, facts))

    def on_tick(self) -> None:
        self._context.progress()

    def is_busy(self) -> bool:
        return False


class Faulty(Recorder):
    """Its first order is too much for it."""

    def on_supervisor_message(self, message: Message) -> None:
        raise RuntimeError("as the test wants it")


def node(*children: ChildSpec, intensity: Intensity = QUICK, router: str = "Recorder") -> ChildSpec:
    options = {
        "router": f"{__name__}:{router}",
        "children": [asdict(child) for child in children],
        "intensity": asdict(intensity),
        "drain_seconds": 5.0,
        "log": LOG,
    }
    return ChildSpec("node", "supervisor.processes.subtree:main", options, beat_seconds=0.1)
