"""A child's life from inside: heartbeats, its own main function, its last words.

A child that finds the disk full, read-only or failing waits until it is not, and says so; then it ends, and its
replacement begins afresh. One that finds the journal damaged is held.

A thread watches the liveness pipe, whose other end only the supervisor holds: at its end the process leaves at once.
Should the process be stopped, or stuck in C with the interpreter's lock held, the parent-death signal that
`supervisor.child.bootstrap` has armed ends it.
"""

from __future__ import annotations

import importlib
import math
import os
import select
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgpack
import structlog

from ipc import failpoints
from ipc.kernel import proc, process_limit
from ipc.process.holds import EX_CONFIG, Hold
from ipc.process.loading import loading
from ipc.transport.context import Context
from ipc.transport.mailbox import Closed, inbox_from_fd, outbox_from_fd
from ipc.transport.messages import Held, Leaving, OwnMemory, Sealed, Short, Starved, clip
from supervisor import logs
from supervisor.child import privileges
from supervisor.child.exit_codes import EX_TEMPFAIL, ORPHANED

log = structlog.get_logger()

MEMORY_SECONDS = 60.0
"""How often a child measures its part of shared memory, which takes 2 ms."""

DISK_SECONDS = 2.0
"""How often a child that waits for the disk tries it."""


def main(argv: list[str], stop_fd: int) -> int:
    """Be the child that the command line names (see `supervisor.child.bootstrap`); its exit code."""
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
    code = _run(spec, context, liveness_fd)
    if code == 0 and context.stopping:
        context.send(Leaving())
    return code


def _run(spec: dict[str, Any], context: Context, liveness_fd: int) -> int:
    """Run the child's main function; the exit code. Its last words go to the supervisor."""
    try:
        if spec["goes_first"]:
            privileges.go_first()
        privileges.hide()
        os.nice(spec["nice"])
        if spec["sandbox"]:  # before there is another thread, and after all imports: it can't read our code any more
            resolve(spec["target"])
            _seal(spec["sandbox"], resolve(spec["workplace"]), context)
        _watch(context, liveness_fd, spec["beat_seconds"])
        resolve(spec["target"])(context)
    except Hold as hold:
        return _hold(context, hold.what, hold.remedy)
    except Closed:
        return ORPHANED  # the supervisor is gone, and so are we
    except MemoryError as error:
        context.send(Starved(clip(str(error) or "no memory left")))
        return 1
    except Exception as error:
        if process_limit.says_no_thread(error):
            context.send(Short(clip(str(error))))
            return EX_TEMPFAIL
        if "state_dir" in context.options and (code := _blame_the_disk(context, error)) is not None:
            return code
        log.exception("process.crashed")
        return 1
    return 0


def _seal(mode: str, workplace: Callable[[Context], tuple[list[Path], list[Path]]], context: Context) -> None:
    """Enter the sandbox, as well as that can be done here, and tell how well it holds.

    Raises Hold where system calls must be filtered and are not.
    """
    from supervisor.child import sandbox  # noqa: PLC0415 - the other children need none of it

    proc.keep_own_open()
    privileges.keep_log_apart()
    readable, writable = workplace(context)
    level = sandbox.NONE if mode == "off" else sandbox.enter(readable, writable)
    for fault in level.faults:
        log.error("sandbox.layer_failed", why=fault)
    if mode == "require" and not level.seccomp:
        why = "; ".join(level.faults) or "this kernel or machine has no seccomp"
        raise Hold(f'pool.sandbox = "require": system calls can\'t be filtered: {why}', sandbox.REMEDY)
    context.send(Sealed(level.seccomp, level.landlock))


def _blame_the_disk(context: Context, error: Exception) -> int | None:
    """Deal with an error of state_dir's disk, and return the exit code; None if it was something else."""
    from ipc.files import disk  # noqa: PLC0415 - only a process that needs it pays for it

    journal = context.journal_path
    if damage := disk.damage(error, journal, context.progress):
        return _hold(
            context,
            f"{journal}: the journal is damaged: {damage}",
            f"Stop the program, check the disk, and restore a copy of {journal.name}; or move it aside and start anew:"
            " what is published stays published",
        )
    reason = disk.cannot_be_written(error)
    return _wait_for_the_disk(context, reason) if reason else None


def _wait_for_the_disk(context: Context, reason: str) -> int:
    """Wait for a disk that can be written, or for a stop; the exit code."""
    from ipc.files import disk  # noqa: PLC0415

    log.error("disk.awaited", why=reason)
    context.ready()  # whether it was or not: it does what can be done
    context.report(f"disk {context.name}", pid=os.getpid(), error=clip(reason))
    state_dir = context.journal_path.parent
    try:
        while not context.stopping:
            if _pause(context) and disk.has_room(state_dir):
                log.info("disk.recovered")
                return 1
    except Closed:
        return ORPHANED
    return 0


def _pause(context: Context) -> bool:
    """Wait some seconds, ignoring hints. Returns False if a stop came in between."""
    until = time.monotonic() + DISK_SECONDS
    while not context.stopping and (left := until - time.monotonic()) > 0:
        context.receive(left)
    return not context.stopping


def _hold(context: Context, what: str, remedy: str) -> int:
    log.error("process.held", what=what, remedy=remedy)
    context.send(Held(clip(what, 1500), clip(remedy, 1500)))
    return EX_CONFIG


def resolve(target: str) -> Callable[..., Any]:
    """The function (or class) that "package.module:name" names."""
    module, _, name = target.partition(":")
    with loading():
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    return function


def _watch(context: Context, liveness_fd: int, beat_seconds: float) -> None:
    """Send heartbeats, and end the process when its supervisor is gone."""

    def watch() -> None:
        poll = select.poll()  # not select(), which knows no descriptor above 1023
        poll.register(liveness_fd, select.POLLIN)
        measured_at = -math.inf
        while not poll.poll(1000 * beat_seconds):
            context.beat()
            if (now := time.monotonic()) - measured_at >= MEMORY_SECONDS:
                measured_at = now
                context.send(OwnMemory(*proc.share(proc.own("smaps_rollup"))))
        os._exit(ORPHANED)

    threading.Thread(target=watch, name="watch", daemon=True).start()
