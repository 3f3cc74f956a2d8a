"""Runs the operator's own commands for a supervisor: launches them, reads their output, and kills what they leave."""

from __future__ import annotations

from supervisor.commands.group_killer import GroupKiller
from supervisor.commands.output import Outputs
from supervisor.commands.process import CommandIncarnation, launch
from supervisor.processes.loop import Loop
from supervisor.processes.process import Incarnation
from supervisor.processes.spec import ChildSpec


class Runner:
    """What the supervisor's loop asks for (`supervisor.processes.loop.CommandRunner`)."""

    def __init__(self, loop: Loop) -> None:
        self._outputs = Outputs(loop)
        self._group_killer = GroupKiller()

    def launch(self, spec: ChildSpec, number: int) -> CommandIncarnation:
        incarnation = launch(spec, number)
        self._group_killer.add(incarnation.pid)
        return incarnation

    def started(self, incarnation: Incarnation) -> None:
        if isinstance(incarnation, CommandIncarnation):
            self._outputs.add(incarnation.outputs)

    def look(self) -> None:
        self._outputs.look()

    def ended(self, incarnation: Incarnation) -> None:
        if isinstance(incarnation, CommandIncarnation):
            self._outputs.end(incarnation.outputs)
            self._group_killer.remove(incarnation.pid)

    def close(self) -> None:
        self._group_killer.close()
