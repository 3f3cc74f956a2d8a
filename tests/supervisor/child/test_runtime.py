"""A child from inside, in real processes: heartbeats, last words, and no orphans."""

from __future__ import annotations

import os
import select
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipc.journal import Journal
from ipc.transport.mailbox import Closed
from ipc.transport.messages import Beat, Held, Message, Ready, Report, Starved, Wake
from supervisor.child import runtime, stacks
from supervisor.child.exit_codes import ORPHANED
from supervisor.processes import process
from supervisor.processes.process import Process, spawn
from tests.instance import DEADLINE_SECONDS, wait_for
from tests.supervisor.stage import spec

pytestmark = pytest.mark.tree


class Started:
    """A child without a supervisor: the test reads its outbox."""

    def __init__(self, it: Process) -> None:
        self.it = it

    def next_message(self) -> Message:
        select.select([self.it.inbox.fileno()], [], [], DEADLINE_SECONDS)
        message = self.it.inbox.receive()
        assert message is not None
        return message

    def until(self, kind: type[Any]) -> Any:
        while not isinstance(message := self.next_message(), kind):
            pass
        return message

    def all(self) -> list[Message]:
        """Everything up to the end."""
        said = []
        while True:
            try:
                said.append(self.next_message())
            except Closed:
                return [message for message in said if not isinstance(message, Beat)]

    def wait(self) -> int:
        return self.it.popen.wait(DEADLINE_SECONDS)


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


@pytest.fixture
def start(notes: Path) -> Iterator[Callable[..., Started]]:
    made: list[Started] = []
    reader, writer = os.pipe()

    def start(target: str, **more: Any) -> Started:
        made.append(Started(spawn(spec(notes, "a", target, **more), 1, reader, {"level": "info", "format": "json"})))
        return made[-1]

    yield start
    for one in made:
        one.it.signal(signal.SIGKILL)
        one.it.popen.wait()
        one.it.close()
    os.close(reader)
    os.close(writer)


def test_resolve() -> None:
    assert runtime.resolve("supervisor.child.runtime:main") is runtime.main
    assert runtime.resolve("supervisor.processes.process:Process") is process.Process
    with pytest.raises(ModuleNotFoundError):
        runtime.resolve("supervisor.nowhere:main")
    with pytest.raises(AttributeError):
        runtime.resolve("supervisor.child.runtime:nothing")


def test_a_child_that_ends_by_itself(start: Callable[..., Started]) -> None:
    one = start("finish")
    assert one.all() == [Ready()] and one.wait() == 0


def test_a_crash_is_exit_code_1_and_a_log_record(start: Callable[..., Started], capfd: Any) -> None:
    one = start("crash")
    assert one.all() == [] and one.wait() == 1
    log = capfd.readouterr().err
    assert (
        log.count("\n") == 1 and '"event": "process.crashed", ' in log and "RuntimeError: as the test wants it" in log
    )
    assert '"process": "a"' in log


def test_a_target_that_is_not_there_is_a_crash(start: Callable[..., Started]) -> None:
    one = start("no_such_function")
    assert one.wait() == 1


def test_the_last_words_of_a_hold(start: Callable[..., Started]) -> None:
    one = start("hold")
    assert one.all() == [Held("no account", "make one")] and one.wait() == 78


@pytest.mark.parametrize("text", ["ж" * 5000, "🙂" * 5000, "\x00" * 5000])
def test_last_words_always_fit_a_message(text: str, start: Callable[..., Started]) -> None:
    one = start("hold", options={"what": text, "remedy": text})
    [held] = one.all()
    assert isinstance(held, Held) and held.what[:100] == text[:100] == held.remedy[:100]
    assert one.wait() == 78


def test_the_last_words_of_a_starved_one(start: Callable[..., Started]) -> None:
    one = start("starve_once")
    assert one.all() == [Starved("40 GiB wanted")] and one.wait() == 1


def test_who_meets_a_bad_disk_says_so_and_waits_until_it_is_good(start: Callable[..., Started], tmp_path: Path) -> None:
    """Then it ends, for its replacement to begin afresh; and until then it is ready and beats."""
    state_dir = tmp_path / "state"
    started = start("meet_a_read_only_disk", options={"state_dir": str(state_dir)})
    started.until(Ready)
    report = started.until(Report)
    assert report == Report("disk a", {"pid": started.it.pid, "error": "Read-only file system"})
    assert started.until(Beat).stalled_seconds < DEADLINE_SECONDS
    assert started.it.popen.poll() is None
    state_dir.mkdir()
    Journal.open(state_dir / "journal.db").close()
    assert started.wait() == 1


def test_who_waits_for_the_disk_can_be_stopped(start: Callable[..., Started], tmp_path: Path) -> None:
    started = start("meet_a_read_only_disk", options={"state_dir": str(tmp_path / "gone")})
    started.until(Report)
    started.it.signal(signal.SIGTERM)
    assert started.wait() == 0


def test_heartbeats_tell_of_a_loop_that_stands(start: Callable[..., Started]) -> None:
    one = start("stalled_once")
    one.until(Ready)
    stalled = [one.until(Beat).stalled_seconds for _ in range(4)]
    assert stalled == sorted(stalled) and stalled[-1] - stalled[0] >= 0.2


def test_heartbeats_of_a_good_one_stay_low(start: Callable[..., Started]) -> None:
    one = start("deaf")
    one.until(Ready)
    assert min(one.until(Beat).stalled_seconds for _ in range(5)) < 0.5


def test_a_sigterm_is_a_request_and_a_sigint_is_not_for_us(start: Callable[..., Started], notes: Path) -> None:
    one = start("serve")
    one.until(Ready)
    one.it.signal(signal.SIGINT)
    one.until(Beat)
    assert one.it.popen.poll() is None
    one.it.signal(signal.SIGTERM)
    assert one.wait() == 0
    assert notes.read_text().splitlines() == ["start a", "stop a"]


def test_a_message_wakes_it(start: Callable[..., Started]) -> None:
    one = start("echo")
    one.until(Ready)
    one.it.outbox.send(Wake("seen"))
    assert one.until(Wake) == Wake("seen")


PARENT = """
import os, sys, time
from pathlib import Path
from supervisor.processes.process import spawn
from tests.supervisor.stage import LOG, spec
reader, writer = os.pipe()
os.set_inheritable(writer, True)  # the pipe does not end with this process: only the kernel's signal is left
one = spawn(spec(Path(sys.argv[1]), "a", "deaf", inherit_fds=(writer,)), 1, reader, LOG)
print(one.pid, flush=True)
time.sleep(60)
"""


def test_the_kernel_kills_it_with_its_parent(notes: Path) -> None:
    """Also when the liveness pipe does not end."""
    command = [sys.executable, "-c", PARENT, str(notes)]
    with subprocess.Popen(command, stdout=subprocess.PIPE) as parent:
        assert parent.stdout is not None
        pid = int(parent.stdout.readline())
        wait_for("it to serve", lambda: notes.exists() and "start a" in notes.read_text())
        parent.kill()
    wait_for("it to be gone", lambda: not _lives(pid), 2.0)


def test_a_parent_that_was_gone_before_is_noticed(start: Callable[..., Started], monkeypatch: Any) -> None:
    """The parent died between exec and prctl: the kernel's signal would never come."""
    given = process.environment(1)
    monkeypatch.setattr(process, "environment", lambda number, **more: {**given, "PICTUREDESK_PARENT": "1"})
    one = start("serve")
    assert one.wait() == ORPHANED
    assert one.all() == []


def _lives(pid: int) -> bool:
    try:
        return ") Z" not in Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return False


def test_the_file_of_its_stacks_does_not_grow(start: Callable[..., Started]) -> None:
    """It is memory that no limit of the child's counts."""
    one = start("finish")
    with pytest.raises(PermissionError):
        os.pwrite(one.it.stacks_fd, b"more", stacks.MOST_BYTES)
    assert os.pwrite(one.it.stacks_fd, b"File", 0) == 4 and one.it.stacks() == "File"
    assert one.wait() == 0
