"""A supervisor that is itself a child: the pool. The same class as the root, one level down."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from ipc.process.options import reading_options
from ipc.transport.context import Context
from ipc.transport.messages import NewOptions, OperationRequest
from supervisor.child.runtime import resolve
from supervisor.processes.policy import Intent
from supervisor.processes.spec import ChildSpec, Intensity, numbered
from supervisor.processes.supervisor import Supervisor


class GaveUp(Exception):
    """A child of this supervisor outran its restart intensity; the supervisor above decides what follows."""


def main(context: Context) -> None:
    """Supervise the children of the options with the router that `options["router"]` names."""
    options = context.options
    with reading_options():
        cgroup = Path(options["cgroup"]) if options.get("cgroup") else None
        arrangement = _arrangement(options)
        supervisor = Supervisor(**arrangement, stop_fd=context.stop_fd, in_order=False, cgroup=cgroup, hurries=False)
        router = resolve(options["router"])(supervisor.children, context)

    def on_inbox() -> None:
        match context.receive(0):
            case None:
                pass
            case NewOptions(options):
                supervisor.roster.reconfigure(**_arrangement(options))
                router.on_options(options)
            case OperationRequest(action, name):
                supervisor.roster.operate(action, name)
            case message:
                router.on_supervisor_message(message)

    supervisor.watch(context.inbox.fileno(), on_inbox)
    context.ready()
    try:
        code = supervisor.run(router)
    except BaseException:
        _abandon(supervisor)
        raise
    if code != 0:
        raise GaveUp("an image worker keeps dying without a picture in hand; see the log records before this one")
    context.note_stop()


def _abandon(supervisor: Supervisor) -> None:
    """End the children: the loop that looked after them has failed."""
    for process in [slot.process for slot in supervisor.slots if slot.process]:
        process.end(Intent.STOP)
        process.popen.wait()


def children_of(options: Mapping[str, Any]) -> list[ChildSpec]:
    """The child specs of the options: those in `children`, each repeated `copies` times where that is given."""
    specs = [ChildSpec(**{**child, "inherit_fds": tuple(child["inherit_fds"])}) for child in options["children"]]
    return [one for spec in specs for one in numbered(spec, options["copies"])] if "copies" in options else specs


def _arrangement(options: Mapping[str, Any]) -> dict[str, Any]:
    return {
        "specs": children_of(options),
        "intensity": Intensity(**options["intensity"]),
        "drain_seconds": options["drain_seconds"],
        "log_settings": options["log"],
    }
