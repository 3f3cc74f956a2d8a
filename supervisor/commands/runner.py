"""Runs the operator's own commands for a supervisor: launches them, reads their output, and kills what they leave."""

from __future__ import annotations

from supervisor.commands.group_killer import GroupKiller
from supervisor.commands.output import Outputs
from supervisor.commands.process import CommandProcess, launch
from supervisor.processes.loop.protocols import Loop
from supervisor.processes.process import Process
from supervisor.processes.spec import ChildSpec


class Runner:
    """What the supervisor's loop asks for (`supervisor.processes.loop.protocols.CommandRunner`)."""

    def __init__(self, loop: Loop) -> None:
        self._outputs = Outputs(loop)
        self._group_killer = GroupKiller()

    def launch(self, spec: ChildSpec, number: int) -> CommandProcess:
        process = launch(spec, number)
        self._group_killer.add(process.pid)
        return process

    def started(self, process: Process) -> None:
        if isinstance(process, CommandProcess):
            self._outputs.add(process.outputs)

    def look(self) -> None:
        self._outputs.look()

    def ended(self, process: Process) -> None:
        if isinstance(process, CommandProcess):
            self._outputs.end(process.outputs)
            self._group_killer.remove(process.pid)

    def close(self) -> None:
        self._group_killer.close()
