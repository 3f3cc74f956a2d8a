"""A child's life from inside: heartbeats, its own main function, its last words.

A thread watches the liveness pipe, whose other end only the supervisor holds: at its end the process leaves at once.
Should the process be stopped, or stuck in C with the interpreter's lock held, the parent-death signal that
`supervisor.bootstrap` has armed ends it.
"""

from __future__ import annotations

import importlib
import os
import select
import threading
from collections.abc import Callable
from typing import Any

import msgpack
import structlog

from ipc import failpoints
from ipc.context import Context
from ipc.holds import EX_CONFIG, Hold
from ipc.mailbox import Closed, inbox_from_fd, outbox_from_fd
from ipc.messages import Held, Starved, clip
from supervisor import logs
from supervisor.bootstrap import ORPHANED


def main(argv: list[str], stop_fd: int) -> int:
    """Be the child that the command line names (see `supervisor.bootstrap`); its exit code."""
    name, spec_fd, inbox_fd, outbox_fd, liveness_fd = argv[1], *map(int, argv[2:6])
    with os.fdopen(spec_fd, "rb") as file:
        whole = msgpack.unpackb(file.read())
    spec = whole["spec"]
    logs.configure(**whole["log"], process=name)
    failpoints.arm(os.environ.get(failpoints.VARIABLE))
    context = Context(
        name=name,
        incarnation=whole["incarnation"],
        options=spec["options"],
        inbox=inbox_from_fd(inbox_fd),
        outbox=outbox_from_fd(outbox_fd),
        stop_fd=stop_fd,
    )
    _watch(context, liveness_fd, spec["beat_seconds"])
    os.nice(spec["nice"])
    return _run(spec["target"], context)


def _run(target: str, context: Context) -> int:
    """Run the child's main function; the exit code. Its last words go to the supervisor."""
    log = structlog.get_logger()
    try:
        resolve(target)(context)
    except Hold as hold:
        log.error("held", what=hold.what, remedy=hold.remedy)
        context.send(Held(clip(hold.what, 1500), clip(hold.remedy, 1500)))
        return EX_CONFIG
    except Closed:
        return ORPHANED  # the supervisor is gone, and so are we
    except MemoryError as error:
        context.send(Starved(clip(str(error) or "no memory left")))
        return 1
    except Exception:
        log.exception("crashed")
        return 1
    return 0


def resolve(target: str) -> Callable[..., Any]:
    """The function (or class) that "package.module:name" names."""
    module, _, name = target.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _watch(context: Context, liveness_fd: int, beat_seconds: float) -> None:
    """Send heartbeats, and end the process when its supervisor is gone."""

    def watch() -> None:
        poll = select.poll()  # not select(), which knows no descriptor above 1023
        poll.register(liveness_fd, select.POLLIN)
        while not poll.poll(1000 * beat_seconds):
            context.beat()
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="watch", daemon=True).start()
