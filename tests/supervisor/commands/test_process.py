"""Commands of the operator's own under a real supervisor: what they get, how they end, what is left of them."""

from __future__ import annotations

import json
import os
import signal
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from supervisor.commands import output, process
from supervisor.commands.process import environment
from supervisor.home import HOME
from supervisor.processes.spec import ChildSpec, CommandSpec, Intensity
from tests.instance import children, wait_for
from tests.supervisor.stage import Stage, open_fds

PYTHON = sys.executable
SERVE = "import signal; print('here', flush=True); signal.pause()"


class Log:
    """In the place of the log that output goes to."""

    def __init__(self) -> None:
        self.records: list[dict[str, Any]] = []

    def info(self, event: str, **fields: Any) -> None:
        self.records.append({"event": event, **fields})

    warning = info

    def lines(self, stream: str = "stdout") -> list[str]:
        return [one["line"] for one in self.records if one["event"] == "command.printed" and one["stream"] == stream]


@pytest.fixture
def said(monkeypatch: pytest.MonkeyPatch) -> Log:
    log = Log()
    monkeypatch.setattr(output, "log", log)
    return log


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def own(*words: str, name: str = "own", **more: Any) -> ChildSpec:
    """A child that is this command."""
    given = {key: more.pop(key) for key in ("directory", "environment", "stop_signal") if key in more}
    return ChildSpec(name, command=CommandSpec(words, **given), **{"hang_seconds": float("inf"), **more})


def python(code: str, **more: Any) -> ChildSpec:
    return own(PYTHON, "-c", code, **more)


# --- what it gets -------------------------------------------------------------------------------------------------

SECRETS = {
    "PICTUREDESK__HEALTH__TOKEN": "s3cret",
    "PICTUREDESK__CATALOG__KEY": "s3cret",
    "PICTUREDESK_CONFIG": "s3cret",
    "CREDENTIALS_DIRECTORY": "/run/s3cret",
    "NOTIFY_SOCKET": "/run/s3cret",
    "WATCHDOG_USEC": "5",
}


def test_its_environment_is_the_programs_less_what_is_ours() -> None:
    environ = {**SECRETS, "HOME": "/h", "HEARTBEAT_SECS": "60", "LOG_LEVEL": "info", "PYTHONPATH": str(HOME)}
    given = environment(CommandSpec(("x",), environment={"LOG_LEVEL": "debug", "A": "1"}), environ)
    assert given == {"HOME": "/h", "HEARTBEAT_SECS": "60", "LOG_LEVEL": "debug", "A": "1", "PYTHONUNBUFFERED": "1"}


@pytest.mark.parametrize(
    ("environ", "path"),
    [
        ({"PYTHONPATH": str(HOME), "PICTUREDESK_PYTHONPATH": ""}, None),
        ({"PYTHONPATH": str(HOME), "PICTUREDESK_PYTHONPATH": "/a:/b"}, "/a:/b"),
        ({"PYTHONPATH": f"{HOME}:/a"}, "/a"),
        ({"PYTHONPATH": "/a", "PYTHONUNBUFFERED": ""}, "/a"),
        ({}, None),
    ],
)
def test_the_programs_own_modules_are_not_on_its_path(environ: dict[str, str], path: str | None) -> None:
    given = environment(CommandSpec(("x",)), environ)
    assert given.get("PYTHONPATH") == path
    assert given["PYTHONUNBUFFERED"] == environ.get("PYTHONUNBUFFERED", "1")


@pytest.mark.tree
def test_what_a_real_command_sees(notes: Path, said: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, text in SECRETS.items():
        monkeypatch.setenv(name, text)
    signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGUSR1})
    code = """if True:
        import json, os, signal
        fds = sorted(int(fd) for fd in os.listdir("/proc/self/fd") if os.path.exists(f"/proc/self/fd/{fd}"))
        status = dict(line.split(":", 1) for line in open("/proc/self/status").read().splitlines())
        print(json.dumps({"fds": fds, "cwd": os.getcwd(), "group": os.getpgid(0), "session": os.getsid(0),
            "ignored": int(status["SigIgn"], 16) & ~(1 << signal.SIGPIPE - 1) & ~(1 << signal.SIGXFSZ - 1),
            "blocked": int(status["SigBlk"], 16), "A": os.environ.get("A")}), flush=True)
        signal.pause()"""
    try:
        stage = Stage(notes, python(code, directory=str(notes.parent), environment={"A": "b c"}, nice=0))
        seen_environment = []

        def script(stage: Stage) -> Iterator[None]:
            yield from stage.all_ready()
            yield from stage.until("its words", said.lines)
            seen_environment.append(Path(f"/proc/{stage.pid('own')}/environ").read_text())
            assert stage.states["own"]["rss_bytes"] >= 0

        assert stage.play(script) == 0
    finally:
        signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGUSR1})
    seen = json.loads(said.lines()[0])
    assert seen.pop("group") == seen.pop("session") > 0
    assert seen == {"fds": [0, 1, 2], "cwd": str(notes.parent), "ignored": 0, "blocked": 0, "A": "b c"}
    assert "PICTUREDESK" not in seen_environment[0] and "s3cret" not in seen_environment[0]


# --- its life -----------------------------------------------------------------------------------------------------


@pytest.mark.tree
def test_it_is_replaced_when_it_is_killed_and_stopped_when_the_tree_is(notes: Path, said: Log) -> None:
    stage = Stage(notes, python(SERVE))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("its words", said.lines)
        os.kill(stage.pid("own"), signal.SIGKILL)
        yield from stage.replaced("own")
        yield from stage.until("its successor's", lambda: len(said.lines()) == 2)

    assert stage.play(script) == 0
    assert stage.ended("own") == [
        ("signalled", "killed by SIGKILL"),
        ("asked", "stopped as asked (killed by SIGTERM)"),
    ]
    assert [record["child"] for record in said.records] == ["own", "own"]


@pytest.mark.tree
@pytest.mark.parametrize(
    ("restart", "code", "state", "times"),
    [
        ("permanent", 0, "waiting", 3),
        ("permanent", 3, "waiting", 3),
        ("transient", 0, "finished", 1),
        ("transient", 3, "waiting", 3),
        ("temporary", 0, "finished", 1),
        ("temporary", 3, "stopped", 1),
        ("permanent", 78, "held", 1),
    ],
)
def test_exit_codes_by_restart_type(restart: str, code: int, state: str, times: int, notes: Path, said: Log) -> None:
    stage = Stage(notes, own("/bin/sh", "-c", f"echo $$; exit {code}", restart=restart))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("its ends", lambda: len(stage.ended("own")) == times)
        for _ in range(6 if times == 1 else 0):
            yield
        assert times > 1 or stage.states["own"]["state"] == state

    assert stage.play(script) == 0
    causes = {0: "finished", 3: "crashed", 78: "held"}
    assert {cause for cause, _ in stage.ended("own")} == {causes[code]}
    assert times <= len(said.lines()) == len(set(said.lines())) <= (1 if times == 1 else times + 1)


@pytest.mark.tree
def test_started_by_hand_when_it_has_ended(notes: Path, said: Log) -> None:
    stage = Stage(notes, own("/bin/sh", "-c", "echo once; exit 3", restart="temporary"))

    def script(stage: Stage) -> Iterator[None]:
        for count, action in enumerate(("start", "restart"), 1):
            yield from stage.until("its end", lambda count=count: len(stage.ended("own")) == count)  # type: ignore[misc]
            stage.supervisor.roster.operate(action, "own")
        yield from stage.until("its last end", lambda: len(stage.ended("own")) == 3)

    assert stage.play(script) == 0
    assert said.lines() == ["once"] * 3


@pytest.mark.tree
def test_one_that_cannot_be_run_is_tried_ever_more_slowly_and_takes_nobody_down(notes: Path) -> None:
    nobody = own("no-such-program", "x")
    stage = Stage(notes, nobody, python(SERVE, name="other"), intensity=Intensity(2, 60.0, 0.3))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("five tries", lambda: len(stage.ended("own")) == 5)
        assert stage.supervisor.children.is_ready("other") and not stage.supervisor.stopping

    assert stage.play(script) == 0
    assert set(stage.ended("own")) == {("cannot be run", "cannot be run: no-such-program: No such file or directory")}
    first = stage.seen_exits[0]
    assert stage.seen_exits[4] - first > 0.25 * 0.75 + 0.3 * 0.75 * 2


@pytest.mark.tree
@pytest.mark.parametrize(
    ("words", "more", "why"),
    [
        (("./no",), {}, "./no: No such file or directory"),
        (("/etc/passwd",), {}, "/etc/passwd: Permission denied"),
        (("true",), {"directory": "/no/such"}, "folder /no/such: No such file or directory"),
        (("true",), {"environment": {"PATH": "/nowhere"}}, "true: No such file or directory"),
    ],
)
def test_why_it_cannot_be_run(words: tuple[str, ...], more: dict[str, Any], why: str, notes: Path) -> None:
    stage = Stage(notes, own(*words, restart="temporary", **more))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("its end", lambda: stage.ended("own"))

    assert stage.play(script) == 0
    assert stage.ended("own") == [("cannot be run", f"cannot be run: {why}")]
    assert stage.readies == []
    fault = process.fault(CommandSpec(words, **more))
    assert fault and fault.splitlines() == [fault]


def test_a_command_that_can_be_run_has_no_fault(tmp_path: Path) -> None:
    (tmp_path / "here").write_text("#!/bin/sh\n")
    (tmp_path / "here").chmod(0o755)
    assert process.fault(CommandSpec(("sh",))) == ""
    assert process.fault(CommandSpec(("./here",), str(tmp_path))) == ""
    assert process.fault(CommandSpec(("here",), environment={"PATH": str(tmp_path)})) == ""


# --- its end ------------------------------------------------------------------------------------------------------


@pytest.mark.tree
def test_the_stop_signal_goes_to_it_alone(notes: Path, said: Log) -> None:
    """Its children are its own business, as long as there is time."""
    code = """if True:
        import os, signal, sys, time
        child = os.fork()
        if child == 0:
            signal.signal(signal.SIGINT, lambda *_: print("child interrupted", flush=True))
            while True: time.sleep(60)
        signal.signal(signal.SIGTERM, lambda *_: print("terminated", flush=True))
        def end(*_):
            time.sleep(0.3)  # the child says nothing in this: it was not sent the signal
            print("interrupted", flush=True)
            os.kill(child, signal.SIGTERM)
            print("child", os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
            sys.exit(5)
        signal.signal(signal.SIGINT, end)
        print("here", flush=True)
        while True: time.sleep(60)"""
    stage = Stage(notes, python(code, stop_signal="SIGINT"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("its words", said.lines)

    assert stage.play(script) == 0
    assert said.lines() == ["here", "interrupted", "child -15"]
    assert stage.ended("own") == [("asked", "stopped as asked (exit code 5)")]


FAMILY = """if True:
    import os, signal, time
    hoard = []
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGUSR1, lambda *_: hoard.append(b"x" * (100 * 2**20)))
    if os.fork() == 0: os.fork()
    os.write(1, b"%d\\n" % os.getpid())
    while True: time.sleep(60)"""


def family(said: Log) -> list[int]:
    return [int(line) for line in said.lines()]


@pytest.mark.tree
@pytest.mark.parametrize("how", ["deaf to the stop", "killed", "over its cap"])
def test_nothing_is_left_of_its_group(how: str, notes: Path, said: Log) -> None:
    stage = Stage(notes, python(FAMILY, stop_seconds=0.3, restart="temporary", cap_bytes=64 * 2**20))
    gone: list[bool] = []

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("the family", lambda: len(family(said)) == 3)
        if how == "over its cap":
            os.kill(stage.pid("own"), signal.SIGUSR1)
        elif how == "killed":
            os.kill(stage.pid("own"), signal.SIGKILL)
        else:
            stage.supervisor.roster.stop_child("own")
        yield from stage.until("its end", lambda: stage.ended("own"))
        yield from stage.until("all to be gone", lambda: not any(map(is_alive, family(said))))
        gone.append(True)

    assert stage.play(script) == 0
    assert gone
    causes = {"deaf to the stop": "asked", "killed": "signalled", "over its cap": "out of memory"}
    assert [cause for cause, _ in stage.ended("own")] == [causes[how]]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] not in ("Z", "X")
    except OSError:
        return False


@pytest.mark.tree
def test_a_second_stop_ends_the_group_at_once(notes: Path, said: Log) -> None:
    stage = Stage(notes, python(FAMILY, stop_seconds=60.0), drain_seconds=60.0)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("the family", lambda: len(family(said)) == 3)
        stage.press_stop()
        yield from stage.until("the stop", lambda: stage.supervisor.stopping)
        until = time.monotonic() + 0.6
        while time.monotonic() < until:
            yield
        stage.press_stop()
        yield from stage.for_ever()

    assert stage.play(script) == 1
    assert not any(map(is_alive, family(said)))


@pytest.mark.tree
def test_nobody_waits_for_a_command_to_stop(notes: Path, said: Log) -> None:
    stage = Stage(notes, python(SERVE, name="first"), python(FAMILY, stop_seconds=3.0))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("all", lambda: len(said.lines()) == 4)

    assert stage.play(script) == 0
    assert [name for name, _, _ in stage.exits] == ["first", "own"]


# --- a launch that fails ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["os.pidfd_open", "subprocess.Popen"])
def test_a_failed_launch_leaves_nothing_behind(where: str, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_fds()

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError("no")

    home, name = where.split(".")
    monkeypatch.setattr(getattr(process, home), name, refuse)
    with pytest.raises(BlockingIOError):
        process.launch(own("true"), 1)
    assert children() == []
    assert open_fds() == before


@pytest.mark.tree
def test_the_launcher_leaves_when_its_parent_is_another(notes: Path) -> None:
    reader, writer = os.pipe()
    words = [PYTHON, "-I", "-S", str(process.LAUNCH), str(writer), "1", "256", "/", "/bin/echo", "alive"]
    os.set_inheritable(writer, True)
    pid = os.spawnv(os.P_NOWAIT, PYTHON, words)
    os.close(writer)
    codes: list[int] = []

    def look() -> bool:
        done, status = os.waitpid(pid, os.WNOHANG)
        codes.extend([os.waitstatus_to_exitcode(status)] if done else [])
        return bool(done)

    wait_for("it to leave", look, 20)
    assert codes == [70] and os.read(reader, 10) == b""
    os.close(reader)
