"""What commands write, in our log: whole lines, fit to be shown, and never more than the supervisor can take."""

from __future__ import annotations

import doctest
import os
import signal
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import psutil
import pytest

from supervisor import logs
from supervisor.commands import output
from supervisor.commands.output import BYTES_A_SECOND, LAST_LINES, LINE_BYTES, LINES_A_SECOND, Output, Outputs, readable
from supervisor.processes.spec import ChildSpec, CommandSpec
from tests.supervisor.commands.test_process import Log, python, said
from tests.supervisor.stage import Stage

__all__ = ["said"]


@pytest.fixture
def pipe() -> Iterator[tuple[Output, int]]:
    """An output, and the end that a command would write to."""
    reader, writer = os.pipe()
    yield Output(reader, "own", "stdout"), writer
    for fd in (reader, writer):
        try:
            os.close(fd)
        except OSError:
            continue  # the test has closed it


def written(pipe: tuple[Output, int], *parts: bytes) -> None:
    """Write and read each part by itself."""
    for part in parts:
        os.write(pipe[1], part)
        assert pipe[0].read() is True


# --- lines --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("parts", "lines"),
    [
        ((b"one\n",), ["one"]),
        ((b"one\ntwo\n\n\n", b"three\n"), ["one", "two", "three"]),
        ((b"o", b"n", b"e", b"\n", b"tw"), ["one"]),
        ((b" indented  \n",), [" indented"]),
        ((b"10 %\r20 %\r", b"30 %\r\n"), ["10 %", "20 %", "30 %"]),
        (("Grüße €".encode()[:4], "Grüße €".encode()[4:] + b"\n"), ["Grüße €"]),
        ((b"\xff\xfe \x00\x1b]0;title\x07\tx\n",), ["�� ��]0;title�\tx"]),
        ((b"\x1b[1;31mred\x1b[0m\n\x1b[2K\n",), ["red"]),
        ((b"x" * LINE_BYTES + b"\n",), ["x" * LINE_BYTES]),
        ((b"x" * (LINE_BYTES + 1) + b"\nnext\n",), ["x" * LINE_BYTES + "…", "next"]),
        ((b"x" * 2000, b"y" * 3000, b"y" * 3000 + b"\nnext\n"), ["x" * LINE_BYTES + "…", "next"]),
    ],
)
def test_lines(parts: tuple[bytes, ...], lines: list[str], pipe: tuple[Output, int], said: Log) -> None:
    written(pipe, *parts)
    assert said.lines() == lines


def test_the_end(pipe: tuple[Output, int], said: Log) -> None:
    written(pipe, b"whole\nno end of ")
    os.write(pipe[1], b"line")
    pipe[0].finish()
    assert said.lines() == ["whole", "no end of line"]
    with pytest.raises(BrokenPipeError):
        os.write(pipe[1], b"somebody else still writes")


def test_the_end_of_one_who_has_closed_it(pipe: tuple[Output, int], said: Log) -> None:
    written(pipe, b"a\nb")
    os.close(pipe[1])
    assert pipe[0].read() is False
    pipe[0].finish()
    assert said.lines() == ["a", "b"]


def test_of_much_at_the_end_the_last_lines_are_told(pipe: tuple[Output, int], said: Log) -> None:
    os.write(pipe[1], b"".join(b"%d\n" % number for number in range(9000)))
    pipe[0].finish()
    assert said.lines() == [str(number) for number in range(8000, 9000)] and LAST_LINES == 1000
    assert said.records[0] == {"event": "command.output_omitted", "child": "own", "stream": "stdout", "lines": 8000}


def test_it_is_as_the_examples_say() -> None:
    assert doctest.testmod(output).failed == 0


@pytest.mark.parametrize("line", [b"\0" * 5000, b'"' * 5000, b"\\" * 5000, b"\xff" * 5000, "€".encode() * 2000])
@pytest.mark.parametrize("style", ["json", "console"])
def test_any_line_fits_into_one_record(line: bytes, style: str) -> None:
    renderer = logs._render_json if style == "json" else logs._render_console
    record = {
        "timestamp": "2026-01-01T00:00:00.000000Z",
        "level": "info",
        "process": "root",
        "event": "command.printed",
        "child": "a" * 32,
        "stream": "stdout",
        "line": readable(line),
    }
    whole = renderer(None, "info", logs._shorten(None, "info", record))
    assert len(whole) <= logs.PIPE_BUF and b"cut" not in whole
    assert b"a" * 32 in whole and b"stdout" in whole and len(whole) > 700


# --- how much -----------------------------------------------------------------------------------------------------


class Clock:
    now = 1000.0

    def monotonic(self) -> float:
        return self.now


class Loop:
    """In the place of the supervisor's."""

    def __init__(self) -> None:
        self.watched: dict[int, Callable[[], None]] = {}

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        assert fd not in self.watched
        self.watched[fd] = callback

    def unwatch(self, fd: int) -> None:
        del self.watched[fd]


@pytest.mark.parametrize(("chunk", "a_second"), [(b"x\n" * 2048, LINES_A_SECOND), (b"x" * 65536, None)])
def test_so_much_a_second_and_no_more(
    chunk: bytes, a_second: int | None, pipe: tuple[Output, int], said: Log, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A command that writes more waits."""
    clock, loop = Clock(), Loop()
    monkeypatch.setattr(output, "time", clock)
    os.set_blocking(pipe[1], False)
    outputs = Outputs(loop)
    outputs.add((pipe[0],))
    took = 0
    seconds = 40  # the first share, and what is read beyond the last, are a few more
    for _ in range(seconds):
        for _ in range(100):
            outputs.look()
            try:
                took += os.write(pipe[1], chunk)
            except BlockingIOError:
                if pipe[0].fd not in loop.watched:
                    break
            for callback in list(loop.watched.values()):
                callback()
        assert loop.watched == {}, "it pauses"
        clock.now += 1.0
    if a_second:
        assert a_second * seconds * 0.8 < len(said.lines()) < a_second * seconds * 1.2
    else:
        assert BYTES_A_SECOND * seconds * 0.8 < took < BYTES_A_SECOND * seconds * 1.2
        assert len(said.lines()) == 1, "one line without an end"
    clock.now += 5.0
    outputs.look()
    assert loop.watched.keys() == {pipe[0].fd}
    outputs.end((pipe[0],))
    assert loop.watched == {}
    outputs.look()


def test_what_is_reported_of_a_pipe_in_the_round_in_which_it_was_closed(pipe: tuple[Output, int], said: Log) -> None:
    loop = Loop()
    outputs = Outputs(loop)
    outputs.add((pipe[0],))
    callback = loop.watched[pipe[0].fd]
    outputs.end((pipe[0],))
    callback()


FLOOD = "import os, sys; chunk = bytes.fromhex(sys.argv[1]) * 4096\nwhile True: os.write(1, chunk)"


@pytest.mark.tree
@pytest.mark.parametrize("chunk", ["x" * 16, "\0\xff\x1b[", "ab\n"])
def test_a_chatterer_holds_up_nobody(chunk: str, tmp_path: Path, said: Log) -> None:
    """100 MB/s and more, if it were let: the loop goes round, others are replaced, and the supervisor stays small."""
    words = (sys.executable, "-c", FLOOD, chunk.encode("latin-1").hex())
    chatterer = ChildSpec("own", command=CommandSpec(words), hang_seconds=float("inf"))
    other = python("import signal; signal.pause()", name="other")
    stage = Stage(tmp_path / "notes", chatterer, other, busy=True)
    rounds: list[float] = []
    sizes: list[int] = []

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("its words", said.lines)
        us = psutil.Process()
        sizes.append(us.memory_info().rss)
        for kills in range(1, 4):
            until = time.monotonic() + 0.7
            while time.monotonic() < until:
                rounds.append(time.monotonic())
                yield
            os.kill(stage.pid("other"), signal.SIGKILL)
            yield from stage.replaced("other", kills)
        sizes.append(us.memory_info().rss)

    assert stage.play(script) == 0
    assert stage.ended("own") == [("asked", "stopped as asked (killed by SIGTERM)")]
    assert len(rounds) > 10
    assert len(said.lines()) < 20 * LINES_A_SECOND
    assert sizes[1] - sizes[0] < 20 * 2**20
    if "\n" not in chunk:
        assert len(said.lines()) == 1


@pytest.mark.tree
def test_both_streams_and_what_was_said_last(tmp_path: Path, said: Log) -> None:
    code = "import sys; print('out'); print('err', file=sys.stderr); sys.stdout.write('no newline'); 1 / 0"
    stage = Stage(tmp_path / "notes", python(code, restart="temporary"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("its end", lambda: stage.ended("own"))

    assert stage.play(script) == 0
    assert said.lines("stdout") == ["out", "no newline"]
    errors = said.lines("stderr")
    assert errors[0] == "err" and errors[-1] == "ZeroDivisionError: division by zero"
    assert all(record["child"] == "own" for record in said.records)


@pytest.mark.tree
def test_one_that_closes_its_output_runs_on(tmp_path: Path, said: Log) -> None:
    code = "import os, signal; print('bye', flush=True); os.close(1); os.close(2); signal.pause()"
    stage = Stage(tmp_path / "notes", python(code))
    cpu: list[Any] = []

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("its words", said.lines)
        us = psutil.Process()
        before = us.cpu_times().user
        until = time.monotonic() + 1.0
        while time.monotonic() < until:
            yield
        cpu.append(us.cpu_times().user - before)
        assert stage.supervisor.children.is_ready("own")

    assert stage.play(script) == 0
    assert cpu[0] < 0.5, "a pipe at its end is always readable: nobody looks at it any more"
