"""One incarnation: what a child's process gets, and what it does not."""

from __future__ import annotations

import contextlib
import errno
import json
import os
import resource
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from ipc.failpoints import VARIABLE
from supervisor.home import HOME
from supervisor.processes import process as processes
from supervisor.processes.policy import Intent
from supervisor.processes.process import Process, environment, spawn
from tests.instance import children, wait_for
from tests.supervisor.stage import LOG, Stage, open_fds, spec

SECRETS = {
    "PICTUREDESK__HEALTH__TOKEN": "s3cret",
    "PICTUREDESK__STORAGE__SECRET_ACCESS_KEY": "s3cret",
    "TELEGRAM_API_HASH": "s3cret",
    "AWS_SECRET_ACCESS_KEY": "s3cret",
    "PICTUREDESK_CONFIG": "/etc/s3cret.toml",
}


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def test_the_environment_is_a_list_of_what_is_needed(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv("TZ", "Europe/Berlin")
    monkeypatch.setenv("PYTHONPATH", "/somewhere/else")
    monkeypatch.delenv(VARIABLE, raising=False)
    given = environment(1)
    assert "s3cret" not in " ".join(given.values())
    assert {name for name in given if name.startswith("PICTUREDESK")} == {"PICTUREDESK_PARENT"}
    assert given["TZ"] == "Europe/Berlin" and given["PATH"] == os.environ["PATH"]
    assert given["PYTHONPATH"] == str(HOME) and given["PICTUREDESK_PARENT"] == str(os.getpid())
    assert given["MALLOC_TRIM_THRESHOLD_"] == "65536" and given["MALLOC_ARENA_MAX"] == "2"


@pytest.mark.parametrize(("number", "there"), [(1, True), (2, False), (9, False)])
def test_a_failpoint_goes_to_first_incarnations_only(number: int, there: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(VARIABLE, "seen.after:2")
    assert environment(number).get(VARIABLE) == ("seen.after:2" if there else None)


@pytest.mark.tree
def test_what_a_real_child_sees(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in SECRETS.items():
        monkeypatch.setenv(name, value)
    monkeypatch.setenv(VARIABLE, "seen.after")
    stage = Stage(notes, spec(notes, "a", "tell_environment"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        os.kill(stage.pid("a"), signal.SIGKILL)
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    first, second = map(json.loads, stage.notes())
    assert first.pop(VARIABLE) == "seen.after"
    for seen in (first, second):
        assert "s3cret" not in json.dumps(seen)
        assert seen["MALLOC_TRIM_THRESHOLD_"] == "65536" and seen["MALLOC_ARENA_MAX"] == "2"
    assert VARIABLE not in second


@pytest.mark.tree
def test_a_child_has_its_own_pipes_its_options_and_nothing_of_its_siblings(notes: Path) -> None:
    with (notes.parent / "inherited").open("w") as file:
        more = {"nice": 3, "inherit_fds": (file.fileno(),), "options": {"secret": "s3cret", "nested": {"a": [1, None]}}}
        stage = Stage(notes, spec(notes, "other"), spec(notes, "a", "tell_fds", **more), spec(notes, "third"))

        def script(stage: Stage) -> Iterator[None]:
            yield from stage.all_ready()

        assert stage.play(script) == 0
    seen = json.loads(next(line for line in stage.notes() if line.startswith("{")))
    # Standard input; the two ends of the stop pipe, the inbox, the outbox, the liveness pipe; the inherited file.
    assert seen["fds"].count("pipe") - _pipes_of_ours() == 5
    assert str(notes.parent / "inherited") in seen["fds"] and "/dev/null" in seen["fds"]
    assert [fd for fd in seen["fds"] if "memfd" in fd] == ["/memfd"], "for its stacks; the spec is read and closed"
    assert seen["options"] == {"notes": str(notes), "secret": "s3cret", "nested": {"a": [1, None]}}
    assert seen["nice"] == os.nice(0) + 3
    assert "s3cret" not in seen["command"], "every user of the machine can read that"


def _pipes_of_ours() -> int:
    """Standard output and error, where they are pipes: they are shared on purpose."""
    return sum(str(Path(f"/proc/self/fd/{fd}").readlink()).startswith("pipe:") for fd in (1, 2))


# --- a spawn that fails ---------------------------------------------------------------------------------------


@pytest.mark.parametrize("where", ["subprocess.Popen", "os.pidfd_open", "os.memfd_create"])
def test_a_failed_spawn_leaves_nothing_behind(where: str, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = open_fds()

    def refuse(*_: object, **__: object) -> None:
        raise BlockingIOError(errno.EAGAIN, "no")

    home, name = where.split(".")
    reader, writer = os.pipe()
    monkeypatch.setattr(getattr(processes, home), name, refuse)
    with pytest.raises(BlockingIOError):
        spawn(spec(notes, "a"), 1, reader, LOG)
    os.close(reader)
    os.close(writer)
    assert children() == []
    assert open_fds() == before


def test_a_spawn_without_descriptors_takes_none_of_those_that_become_free(notes: Path) -> None:
    """However few are missing, and wherever that shows."""
    before = open_fds()
    reader, writer = os.pipe()
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    one = None
    try:
        for limit in range(max(int(fd.split()[0]) for fd in open_fds()) - 8, soft):
            resource.setrlimit(resource.RLIMIT_NOFILE, (limit, hard))
            with contextlib.suppress(OSError):
                one = spawn(spec(notes, "a"), 1, reader, LOG)
                break
            resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
            assert open_fds() == before | open_fds(), limit
            assert len(open_fds()) == len(before) + 2, limit
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
        os.close(reader)
        os.close(writer)
    assert one is not None
    one.popen.kill()
    one.popen.wait()
    one.close()
    assert open_fds() == before


# --- a process ---------------------------------------------------------------------------------------------


@pytest.fixture
def process(notes: Path) -> Iterator[Process]:
    before = open_fds()
    reader, writer = os.pipe()
    one = spawn(spec(notes, "a"), 7, reader, LOG)
    yield one
    one.signal(signal.SIGKILL)
    one.popen.wait()
    one.signal(signal.SIGKILL)  # gone: no error, and nobody else is hit
    one.close()
    os.close(reader)
    os.close(writer)
    assert open_fds() == before


@pytest.mark.tree
def test_ending_puts_down_why_first(process: Process, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[Any] = []
    monkeypatch.setattr(signal, "pidfd_send_signal", lambda *_: seen.append(process.intent))
    process.end(Intent.MEMORY)
    assert seen == [Intent.MEMORY]
    process.intent = Intent.STOP
    process.end(Intent.HUNG)
    assert process.intent is Intent.STOP, "it was asked to go before"
    monkeypatch.undo()


@pytest.mark.tree
def test_the_end_of_the_liveness_pipe_is_the_end_of_the_child(notes: Path) -> None:
    reader, writer = os.pipe()
    one = spawn(spec(notes, "a", "deaf"), 1, reader, LOG)
    wait_for("it to serve", lambda: notes.exists() and "start a" in notes.read_text())
    os.close(writer)
    wait_for("it to be gone", lambda: one.popen.poll() is not None, 10)
    assert one.popen.returncode == 70
    one.close()
    os.close(reader)


@pytest.mark.parametrize(("cap", "rss", "over"), [(0, 5, False), (5, 5, False), (5, 6, True), (5, 0, False)])
@pytest.mark.tree
def test_over_the_cap(cap: int, rss: int, over: bool, process: Process) -> None:
    process.cap_bytes, process.rss_bytes = cap, rss
    assert process.is_over_cap() is over
