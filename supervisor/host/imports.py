"""Imports through the running tree: `bin/run import DIR` beside an instance has it take in one more export.

One at a time, by a child of its own (`tree.importer`), whatever the tree's source is. A killed one is replaced and goes
on; one that is done, or is not wanted any more, leaves the tree.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from supervisor import tree
from supervisor.processes.router import RootRouter
from supervisor.processes.slot import Slot, SlotState
from supervisor.processes.spec import ChildSpec
from supervisor.processes.supervisor import Supervisor
from supervisor.settings import Settings

OVER = (SlotState.FINISHED, SlotState.STOPPED, SlotState.HELD)


class Imports:
    """Carries out what the command asks for: begin, how far, stop. Each answer has `lines` for people."""

    def __init__(self, supervisor: Supervisor, router: RootRouter) -> None:
        self._supervisor = supervisor
        self._router = router
        self._number = 0
        self._path = ""

    def begin(self, path: object, settings: Settings) -> dict[str, Any]:
        """Take in the export at that absolute path."""
        if not isinstance(path, str) or not Path(path).is_absolute():
            return {"ok": False, "lines": [f"an import needs an absolute path, not {path!r}"]}
        if slot := self._slot():
            if slot.state not in OVER:
                what = f"an import of {self._path} is under way"
                return {"ok": False, "lines": [f"{what}: wait for its end, or stop it with bin/run stop {tree.IMPORT}"]}
            self._supervisor.roster.retire_child(tree.IMPORT)
        self._number, self._path = self._number + 1, path
        spec = tree.importer(settings, Path(path), self._number, int(time.time()) + 1)
        self._supervisor.roster.add_child(spec)
        return {"ok": True, "lines": [f"{path} is being imported"], "number": self._number}

    def progress(self, number: object) -> dict[str, Any]:
        """How far that import is: the child's last report in `facts` (empty: none yet), and its `state`."""
        if number != self._number:
            return {"ok": False, "lines": ["another import has begun since"]}
        facts = self._router.latest(tree.IMPORT)
        answer = {"ok": True, "lines": [], "facts": facts if facts.get("number") == number else {}}
        slot = self._slot()
        if slot is None:
            return {**answer, "state": "gone"}
        answer |= {"state": slot.state.value, "why": slot.last_exit.text[:300] if slot.last_exit else ""}
        if slot.state in OVER:
            self._supervisor.roster.retire_child(tree.IMPORT)
        return answer

    def stop(self, number: object) -> dict[str, Any]:
        """Have that import end; what it has taken in goes on without it."""
        if number == self._number and (slot := self._slot()) and not slot.retired:
            self._supervisor.roster.retire_child(tree.IMPORT)
        return {"ok": True, "lines": ["the import is being stopped"]}

    def specs(self) -> tuple[ChildSpec, ...]:
        """The specs that a reload has to keep."""
        slot = self._slot()
        return (slot.spec,) if slot and not slot.retired and slot.state not in OVER else ()

    def _slot(self) -> Slot | None:
        return next((slot for slot in self._supervisor.slots if slot.spec.name == tree.IMPORT), None)
