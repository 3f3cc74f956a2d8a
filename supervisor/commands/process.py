"""The process of a child that is a command of the operator's: a program that knows nothing of us.

It has no mailboxes and no heartbeat, so it counts as ready once it runs and is never taken for hung. In everything else
it is a child like the others: watched by a pidfd, under a memory cap, replaced by its restart type.

It leads a session and a process group of its own. Its stop signal goes to itself alone, so that it can stop its own
children in its own order; whatever kills it kills its whole group, and what is left of the group when it has ended is
killed as well. When the supervisor dies, the kernel kills the command (see `supervisor.commands.exec_shim`), and the
rest of the group is killed by `supervisor.commands.group_killer`. A process that leaves the group (setsid, a daemon) is
not followed; systemd ends it with the service, and so does the end of a container.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

from ipc.transport.mailbox import Closed
from ipc.transport.messages import Message, Ready, Unrunnable
from supervisor.commands.output import Output
from supervisor.home import HOME
from supervisor.processes.policy import Intent
from supervisor.processes.process import Process
from supervisor.processes.spec import ChildSpec, CommandSpec
from supervisor.resources import descriptors

LAUNCH = Path(__file__).with_name("exec_shim.py")

PYTHONPATH_BEFORE = "PICTUREDESK_PYTHONPATH"
"""Where bin/run keeps the PYTHONPATH that it was given, which is not for the program itself."""

_OURS = ("CREDENTIALS_DIRECTORY", "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC")
"""Meant for the program itself: its secrets, and its line to systemd."""


@dataclass
class CommandProcess(Process):
    """A running command. `outputs` are the pipes that it writes to."""

    outputs: tuple[Output, ...] = ()
    stop_signal: signal.Signals = signal.SIGTERM

    def signal(self, number: signal.Signals) -> None:
        with contextlib.suppress(PermissionError):  # it has become somebody else's, like sudo
            super().signal(number)

    def ask_to_stop(self) -> None:
        self.signal(self.stop_signal)

    def end(self, intent: Intent) -> None:
        super().end(intent)
        self._kill_group()

    def end_hung(self, now: float) -> None:
        """End the process, which has not become the command in time. It has no stacks to show."""
        self.end(Intent.HUNG)

    def has_ended(self) -> bool:
        if os.waitid(os.P_PID, self.pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is None:
            return False
        self._kill_group()  # before it is waited for: until then its number can be no other group's
        return super().has_ended()

    def stacks(self) -> str:
        return ""

    def close(self) -> None:
        self.inbox.close()
        os.close(self.pidfd)

    def _kill_group(self) -> None:
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(self.pid, signal.SIGKILL)


class LaunchReport:
    """What the exec shim says, in the place of an inbox: at its end the command runs, or it is known why not."""

    def __init__(self, fd: int) -> None:
        self._fd = fd
        self._said = b""
        self._is_told = False
        os.set_blocking(fd, False)

    def fileno(self) -> int:
        return self._fd

    def receive(self) -> Message | None:
        """Ready or Unrunnable, once; None before; Closed after, and if the shim was killed."""
        try:
            while data := os.read(self._fd, 4096):
                self._said += data
        except BlockingIOError:
            return None
        if self._is_told or not self._said:
            raise Closed("the launcher has said all") from EOFError()
        self._is_told = True
        why = self._said[1:].decode(errors="replace")
        return Unrunnable(why) if why else Ready()

    def close(self) -> None:
        os.close(self._fd)


class _NoOutbox:
    """A command takes no messages."""

    def send(self, message: Message) -> bool:
        return False

    def close(self) -> None:
        pass


def launch(spec: ChildSpec, number: int) -> CommandProcess:
    """Start incarnation `number` (from 1) of the command. Raises OSError if the machine has no process to give."""
    command = spec.command
    assert command is not None
    with ExitStack() as ours, ExitStack() as its:
        (report, told), (out, its_out), (err, its_err) = (_pipe(ours, its) for _ in range(3))
        given = (told, os.getpid(), descriptors.limit_at_start())
        popen = subprocess.Popen(
            [sys.executable, "-I", "-S", str(LAUNCH), *map(str, given), command.directory, *command.words],
            stdin=subprocess.DEVNULL,
            stdout=its_out,
            stderr=its_err,
            env=environment(command, os.environ),
            pass_fds=(told,),
            start_new_session=True,
        )
        try:
            pidfd = os.pidfd_open(popen.pid)
        except OSError:
            popen.kill()  # it cannot be watched, so it must not live
            popen.wait()
            raise
        ours.pop_all()
    inbox = LaunchReport(report)
    return CommandProcess(
        number=number,
        popen=popen,
        pidfd=pidfd,
        inbox=inbox,
        inbox_fd=report,
        outbox=_NoOutbox(),
        stacks_fd=-1,
        outputs=(Output(out, spec.name, "stdout"), Output(err, spec.name, "stderr")),
        cap_bytes=spec.cap_bytes,
        stop_signal=signal.Signals[command.stop_signal],
    )


def _pipe(ours: ExitStack, its: ExitStack) -> tuple[int, int]:
    """A pipe as (reading end, writing end), each closed by its stack."""
    reader, writer = os.pipe()
    ours.callback(os.close, reader)
    its.callback(os.close, writer)
    return reader, writer


def environment(command: CommandSpec, environ: Mapping[str, str]) -> dict[str, str]:
    """The command's whole environment: that of the program, `environ`, less what is the program's own.

    So no setting of ours, which may be a secret, is in it. Python is told to write at once: else what a Python program
    prints would come when it ends.
    """
    given = {name: text for name, text in environ.items() if not name.startswith("PICTUREDESK_") and name not in _OURS}
    paths = environ.get(PYTHONPATH_BEFORE, given.pop("PYTHONPATH", "")).split(os.pathsep)
    if others := [path for path in paths if path and Path(path) != HOME]:
        given["PYTHONPATH"] = os.pathsep.join(others)
    return {"PYTHONUNBUFFERED": "1", **given, **command.environment}


def fault(command: CommandSpec) -> str:
    """Why the command cannot be run, as far as that can be seen before; mostly empty."""
    folder, program = Path(command.directory), command.words[0]
    if not folder.is_dir():
        return f"there is no folder {folder}"
    if "/" in program:
        return "" if shutil.which(folder / program) else f"{folder / program} is no program: is it executable?"
    path = environment(command, os.environ).get("PATH", os.defpath)
    return "" if shutil.which(program, path=path) else f"there is no program {program} on the PATH, {path}"
