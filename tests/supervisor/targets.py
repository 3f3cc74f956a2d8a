"""Tiny children for the tests: each is a main function that the real bootstrap resolves and runs in a real process.

`note` appends a line to the file `options["notes"]`, so that a test can see what happened in which order."""

from __future__ import annotations

import errno
import json
import os
import time
from pathlib import Path

from ipc.process.holds import Hold
from ipc.transport.context import Context
from ipc.transport.messages import Report


def note(context: Context, word: str) -> None:
    with Path(context.options["notes"]).open("a") as file:
        file.write(f"{word}\n")


def serve(context: Context) -> None:
    """A good child."""
    note(context, f"start {context.name}")
    context.ready()
    while not context.stopping:
        context.receive(0.2)
    note(context, f"stop {context.name}")


def slow_to_be_ready(context: Context) -> None:
    time.sleep(0.4)
    serve(context)


def slow_to_stop(context: Context) -> None:
    context.ready()
    while not context.stopping:
        context.receive(0.2)
    time.sleep(0.5)
    note(context, f"stop {context.name}")


def never_ready(context: Context) -> None:
    while not context.stopping:
        context.receive(0.2)


def ready_at_first_only(context: Context) -> None:
    if context.incarnation == 1:
        serve(context)
    else:
        never_ready(context)


def never_ready_once(context: Context) -> None:
    if context.incarnation == 1:
        never_ready(context)
    else:
        serve(context)


def stalled_once(context: Context) -> None:
    """The main loop stands, the heartbeat thread goes on."""
    context.ready()
    if context.incarnation == 1:
        time.sleep(1000)
    serve(context)


def crash(context: Context) -> None:
    raise RuntimeError("as the test wants it")


def crash_at_first(context: Context) -> None:
    """Crash in the first `crashes` incarnations."""
    if context.incarnation <= context.options["crashes"]:
        raise RuntimeError("as the test wants it")
    serve(context)


def hold(context: Context) -> None:
    raise Hold(context.options.get("what", "no account"), context.options.get("remedy", "make one"))


def hold_for_a_file(context: Context) -> None:
    raise Hold(f"no file named {os.fsdecode(bytes([255]))}", "rename it")


def meet_a_read_only_disk(context: Context) -> None:
    raise OSError(errno.EROFS, "Read-only file system")


def exit_config(context: Context) -> None:
    raise SystemExit(78)


def starve_once(context: Context) -> None:
    if context.incarnation == 1:
        raise MemoryError("40 GiB wanted")
    serve(context)


def grow_once(context: Context) -> None:
    """Take 80 MiB more, all of it touched."""
    context.ready()
    hoard = b"\1" * (80 * 2**20) if context.incarnation == 1 else b""
    note(context, f"has {len(hoard)}")
    while not context.stopping:
        context.receive(0.2)


def grow_when_stopped(context: Context) -> None:
    context.ready()
    while not context.stopping:
        context.receive(0.2)
    hoard = b"\1" * (80 * 2**20)
    while hoard:
        time.sleep(0.1)


def count_signals(context: Context) -> None:
    """How many requests to stop came, within half a second of the first."""
    context.ready()
    while not context.stopping:
        context.receive(0.2)
    time.sleep(0.5)
    note(context, f"signals {len(os.read(context.stop_fd, 64))}")


def deaf(context: Context) -> None:
    """Never stops by itself."""
    context.ready()
    note(context, f"start {context.name}")
    while True:
        context.progress()
        time.sleep(0.05)


def leave_a_grandchild(context: Context) -> None:
    """Die, and leave a grandchild that holds every pipe of ours open."""
    if context.incarnation == 1:
        pid = os.fork()
        if pid == 0:
            time.sleep(60)
            os._exit(0)
        note(context, f"grandchild {pid}")
        os._exit(3)
    serve(context)


def flood(context: Context) -> None:
    context.ready()
    while not context.stopping:
        for _ in range(1000):
            context.wake("nonsense")


def chatter(context: Context) -> None:
    """Each incarnation sends its part of `chatter` (hexadecimal) down the outbox, then goes on as if all were well."""
    if context.incarnation <= len(context.options["chatter"]):
        os.write(context.outbox.fileno(), bytes.fromhex(context.options["chatter"][context.incarnation - 1]))
    serve(context)


def say_much_and_die(context: Context) -> None:
    context.ready()
    if context.incarnation == 1:
        for number in range(300):
            context.send(Report(f"topic-{number}", {}))
        os._exit(9)
    serve(context)


def never_reads(context: Context) -> None:
    context.ready()
    while not context.stopping:
        time.sleep(0.05)


def finish(context: Context) -> None:
    context.ready()


def echo(context: Context) -> None:
    """Give every Report back."""
    context.ready()
    while not context.stopping:
        if message := context.receive(0.2):
            context.send(message)


def tell_environment(context: Context) -> None:
    note(context, json.dumps(dict(os.environ)))
    context.ready()
    while not context.stopping:
        context.receive(0.2)


def tell_fds(context: Context) -> None:
    folder = Path("/proc/self/fd")
    fds = sorted(str(fd.readlink()).split(":")[0] for fd in folder.iterdir() if fd.is_symlink())
    command = Path("/proc/self/cmdline").read_text()
    note(context, json.dumps({"fds": fds, "nice": os.nice(0), "options": context.options, "command": command}))
    serve(context)


def hold_the_interpreter(context: Context) -> None:
    """Stuck in C with the interpreter's lock held: no thread of this process runs any more."""
    context.ready()
    note(context, f"start {context.name}")
    time.sleep(0.2)  # for the message to be on its way; nothing depends on it
    sum(range(10**13))
