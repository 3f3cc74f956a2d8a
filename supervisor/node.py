"""A supervisor that is itself a child: the pool. The same class as the root, one level down."""

from __future__ import annotations

from ipc.context import Context
from supervisor.runtime import resolve
from supervisor.spec import ChildSpec, Intensity
from supervisor.supervisor import Supervisor


class GaveUp(Exception):
    """A child of this supervisor outran its restart intensity; the supervisor above decides what follows."""


def main(context: Context) -> None:
    """Supervise `options["children"]` with the router that `options["router"]` names."""
    options = context.options
    supervisor = Supervisor(
        specs=[ChildSpec(**child) for child in options["children"]],
        intensity=Intensity(**options["intensity"]),
        drain_seconds=options["drain_seconds"],
        log_settings=options["log"],
        stop_fd=context.stop_fd,
        in_order=False,
    )
    router = resolve(options["router"])(supervisor, context)

    def on_inbox() -> None:
        message = context.receive(0)
        if message is not None:
            router.on_order(message)

    supervisor.watch(context.inbox.fileno(), on_inbox)
    context.ready()
    if supervisor.run(router) != 0:
        raise GaveUp("an image worker keeps dying without a picture in hand; see the log records before this one")
