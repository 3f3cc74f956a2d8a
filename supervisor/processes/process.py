"""The process of a child, with two mailboxes that it shares with its supervisor alone.

A child is exec'd, not forked, so it starts with a clean memory, a clean environment and only the file descriptors that
are passed on by name: its inbox, its outbox, its child spec (in an anonymous file: nothing shows on a command line),
the reading end of its supervisor's liveness pipe, by which it learns that its supervisor is gone, and a file in memory
that its stacks are written to when it hangs or crashes.

Spawn from the main thread only: the parent-death signal that a child arms belongs to the thread that made it.
"""

from __future__ import annotations

import contextlib
import fcntl
import math
import os
import signal
import subprocess
import sys
import time
from dataclasses import asdict, dataclass, field
from typing import Any, Protocol

import msgpack

from ipc import failpoints
from ipc.transport.mailbox import Inbox, Outbox, pair
from ipc.transport.messages import LastWords, Message
from supervisor.child import stacks
from supervisor.home import HOME
from supervisor.processes.policy import Intent
from supervisor.processes.spec import ChildSpec
from supervisor.resources.cgroups import Leaf
from supervisor.resources.memory import MemoryHistory

_HANDED_ON = ("PATH", "HOME", "LANG", "LC_ALL", "TZ", "TMPDIR", "LD_LIBRARY_PATH", "SSL_CERT_FILE", "SSL_CERT_DIR")

_ARENAS = {"MALLOC_ARENA_MAX": "2"}
_RETURNS_MEMORY = {"MALLOC_TRIM_THRESHOLD_": "65536"}
"""What glibc reads before the first instruction of Python. A threshold also fixes the size from which an allocation is
mapped by itself, so a process that works on large buffers faults in every page of every one of them."""

_ONE_HEAP = {"PYTHONMALLOC": "malloc"}
"""Python's own allocator gives a mebibyte back only when nothing is left in it: a file of 100,000 parts leaves some of
them behind each time. glibc gives every free page back when it is asked to (`imaging.trim`), and costs no time here."""

SHOW_SECONDS = 0.3
"""How long a child that hangs has to show its stacks: the kernel delivers the signal at once, unless it is stopped."""

TERM_SECONDS = 2.0
"""How long the child then has to end by itself."""


class Receives(Protocol):
    """The supervisor's end of what a child says (see `ipc.transport.mailbox.Inbox`)."""

    def fileno(self) -> int: ...
    def receive(self) -> Message | None: ...
    def close(self) -> None: ...


class Sends(Protocol):
    """The supervisor's end of the pipe to a child (see `ipc.transport.mailbox.Outbox`)."""

    def send(self, message: Message) -> bool: ...
    def close(self) -> None: ...


@dataclass
class Process:
    """A running child. Times are monotonic seconds.

    `suspended_seconds`: how long of its life the supervisor did not run, and so could not listen.
    `stacks_fd` is a file in memory that the child writes its stacks to when it is asked, or when it crashes. `leaf` is
    its cgroup, where it has one.
    """

    number: int
    popen: subprocess.Popen[bytes]
    pidfd: int
    inbox: Receives
    inbox_fd: int
    outbox: Sends
    stacks_fd: int
    spawned: float = field(default_factory=time.monotonic)
    listening: bool = True
    ready_at: float = math.inf
    heard: float = field(default_factory=time.monotonic)
    stalled_seconds: float = 0.0
    suspended_seconds: float = 0.0
    excluded_seconds: float = 0.0
    resumed_at: float = -math.inf
    intent: Intent | None = None
    last_words: LastWords | None = None
    rss_bytes: int = 0
    peak_rss_bytes: int = 0
    cap_bytes: int = 0
    leaf: Leaf | None = None
    leaf_peak_bytes: int = 0
    sandbox: dict[str, Any] | None = None
    history: MemoryHistory = field(default_factory=MemoryHistory)
    term_at: float = math.inf
    kill_at: float = math.inf

    @property
    def pid(self) -> int:
        return self.popen.pid

    @property
    def ready(self) -> bool:
        return self.ready_at < math.inf

    def beat(self, stalled_seconds: float, now: float) -> None:
        """Take a heartbeat: how long ago the child's main loop came round."""
        if now - stalled_seconds > self.resumed_at:  # a heartbeat from before our suspension proves nothing
            self.excluded_seconds = 0.0
        self.stalled_seconds = max(0.0, stalled_seconds - self.excluded_seconds)

    def exclude_suspension(self, seconds: float, now: float) -> None:
        """Exclude our own suspension, which ended just now, from hang detection: the child may have shared it."""
        self.heard = min(self.heard + seconds, now)
        self.resumed_at = now
        self.suspended_seconds += seconds
        self.excluded_seconds += seconds
        self.stalled_seconds = 0.0

    def signal(self, number: signal.Signals) -> None:
        """Send a signal. The process is ours and not yet reaped, so the id cannot be anybody else's."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self.pidfd, number)

    def has_ended(self) -> bool:
        """Whether it is dead; it has been waited for then, and `popen.returncode` is there."""
        return self.popen.poll() is not None

    def ask_to_stop(self) -> None:
        self.signal(signal.SIGTERM)

    def is_over_cap(self) -> bool:
        return 0 < self.cap_bytes < self.rss_bytes

    def end(self, intent: Intent) -> None:
        """Record why, then kill it. What was asked to stop counts as stopped, unless it is killed for its memory."""
        if self.intent is not Intent.STOP or intent is Intent.MEMORY:
            self.intent = intent
        self.signal(signal.SIGKILL)

    def end_hung(self, now: float) -> None:
        """End a hanging process: have it show its stacks, ask it to stop, then kill it. `escalate` does the rest."""
        self.intent = Intent.HUNG
        self.signal(signal.SIGUSR2)
        self.term_at, self.kill_at = now + SHOW_SECONDS, now + SHOW_SECONDS + TERM_SECONDS

    @property
    def escalates_at(self) -> float:
        """When `escalate` has something to do (monotonic seconds); infinite unless it was given up."""
        return min(self.term_at, self.kill_at)

    def escalate(self, now: float) -> None:
        """Send the signal whose time has come."""
        if now >= self.kill_at:
            self.kill_at = math.inf
            self.signal(signal.SIGKILL)
        elif now >= self.term_at:
            self.term_at = math.inf
            self.signal(signal.SIGTERM)

    def stacks(self) -> str:
        """What the child has shown of its stacks; mostly nothing."""
        return os.pread(self.stacks_fd, stacks.MOST_BYTES, 0).decode(errors="replace").strip("\0\n ")

    def close(self) -> None:
        """Give back everything that belonged to this incarnation."""
        os.close(self.stacks_fd)
        self.inbox.close()
        self.outbox.close()
        os.close(self.pidfd)


def spawn(spec: ChildSpec, number: int, liveness_fd: int, log: dict[str, str]) -> Process:
    """Start incarnation `number` (from 1) of the child. Raises OSError if the machine has no process to give."""
    with contextlib.ExitStack() as theirs, contextlib.ExitStack() as ours:
        child_inbox, to_child = pair()
        theirs.callback(child_inbox.close)
        ours.callback(to_child.close)
        from_child, child_outbox = pair()
        theirs.callback(child_outbox.close)
        ours.callback(from_child.close)
        spec_fd = _anonymous_file(msgpack.packb({"spec": asdict(spec), "incarnation": number, "log": log}))
        theirs.callback(os.close, spec_fd)
        stacks_fd = _file_for_stacks()
        ours.callback(os.close, stacks_fd)
        fds = (spec_fd, child_inbox.fileno(), child_outbox.fileno(), liveness_fd, stacks_fd)
        popen = subprocess.Popen(
            [sys.executable, "-P", "-m", "supervisor.child.bootstrap", spec.name, *map(str, fds)],
            stdin=subprocess.DEVNULL,
            env=environment(number, returns_memory=spec.returns_memory, has_one_heap=bool(spec.sandbox)),
            pass_fds=(*fds, *spec.inherit_fds),
        )
        pidfd = _pidfd(popen)
        os.set_blocking(from_child.fileno(), False)  # half a message must not hold up the supervisor
        ours.pop_all()  # it lives, and has them from now on
    return Process(
        number=number,
        popen=popen,
        pidfd=pidfd,
        inbox=Inbox(from_child),
        inbox_fd=from_child.fileno(),
        outbox=Outbox(to_child, blocking=False),
        stacks_fd=stacks_fd,
        cap_bytes=spec.cap_bytes,
    )


def _pidfd(popen: subprocess.Popen[bytes]) -> int:
    """The pidfd that shows its exit. A process that can't be watched must not live: another would start beside it."""
    try:
        return os.pidfd_open(popen.pid)
    except OSError:
        popen.kill()
        popen.wait()
        raise


def environment(number: int, *, returns_memory: bool = True, has_one_heap: bool = False) -> dict[str, str]:
    """A child's whole environment: no secret of ours is in it. A failpoint goes to first incarnations only."""
    handed_on = {name: os.environ[name] for name in _HANDED_ON if name in os.environ}
    python = {name: value for name, value in os.environ.items() if name.startswith("PYTHON")}
    ours = {"PYTHONPATH": str(HOME), "PICTUREDESK_PARENT": str(os.getpid())}
    if number == 1 and failpoints.VARIABLE in os.environ:
        ours[failpoints.VARIABLE] = os.environ[failpoints.VARIABLE]
    malloc = _ARENAS | (_RETURNS_MEMORY if returns_memory else {}) | (_ONE_HEAP if has_one_heap else {})
    return {**handed_on, **python, **malloc, **ours}


def _file_for_stacks() -> int:
    """A file in memory that can't grow: what a child writes there counts as nobody's memory."""
    fd = os.memfd_create("stacks", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
    os.ftruncate(fd, stacks.MOST_BYTES)
    fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_GROW | fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_SEAL)
    return fd


def _anonymous_file(data: bytes) -> int:
    """A file without a name that holds `data`, at its beginning."""
    fd = os.memfd_create("child-spec")
    try:
        with os.fdopen(fd, "wb", closefd=False) as file:
            file.write(data)
        os.lseek(fd, 0, os.SEEK_SET)
    except BaseException:
        os.close(fd)
        raise
    return fd
