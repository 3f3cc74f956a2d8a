"""A supervisor that is itself a child."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import psutil
import pytest

from ipc.transport.messages import ChildState, Wake
from supervisor.processes.spec import Intensity
from tests.supervisor.node import node
from tests.supervisor.stage import Stage, spec

pytestmark = pytest.mark.tree


def inner_pid(stage: Stage, name: str) -> int | None:
    """The process id of a child of the child, by its last word."""
    told = [m.facts for _, m in stage.messages if isinstance(m, ChildState) and m.name == name]
    return told[-1].get("pid") if told and told[-1]["state"] == "running" else None


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def test_it_supervises_passes_orders_on_and_stops(notes: Path) -> None:
    stage = Stage(notes, node(spec(notes, "inner", "echo"), spec(notes, "other")))
    pids: list[int] = []

    def script(stage: Stage) -> Iterator[None]:
        for name in ("inner", "other"):
            yield from stage.until(f"{name} to run", partial(inner_pid, stage, name))
        pids.extend(pid for name in ("inner", "other") if (pid := inner_pid(stage, name)))
        for number in range(3):  # several that come at once are all taken
            assert stage.supervisor.children.send("node", Wake(f"{number}"))
        yield from stage.until("the echo", lambda: [m for _, m in stage.messages if m == Wake("2")])
        os.kill(pids[0], signal.SIGKILL)
        yield from stage.until("it to be replaced", lambda: inner_pid(stage, "inner") not in (None, pids[0]))
        assert stage.slot("node").restarts == 0

    assert stage.play(script) == 0
    assert stage.exits == [("node", "asked", "stopped as asked (exit code 0)")]
    assert "stop other" in stage.notes()
    assert not [pid for pid in pids if psutil.pid_exists(pid)]


def test_a_child_that_outruns_its_intensity_takes_the_node_down_and_the_one_above_replaces_it(notes: Path) -> None:
    intensity = Intensity(max_restarts=1, window_seconds=60.0, delay_seconds=0.1)
    stage = Stage(notes, node(spec(notes, "good"), spec(notes, "bad", "crash"), intensity=intensity))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("the node to be replaced", lambda: stage.slot("node").restarts >= 1)

    assert stage.play(script) == 0
    assert stage.ended("node")[0] == ("crashed", "exit code 1")
    assert stage.notes()[:2] == ["start good", "stop good"]


def test_a_node_whose_loop_fails_leaves_no_child(notes: Path) -> None:
    stage = Stage(notes, node(spec(notes, "inner", "deaf"), router="Faulty"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("inner to run", lambda: inner_pid(stage, "inner"))
        before = inner_pid(stage, "inner")
        assert before
        assert stage.supervisor.children.send("node", Wake("anything"))
        yield from stage.until("the node to end", lambda: stage.exits)
        assert not psutil.pid_exists(before)
        yield from stage.until("another to run", lambda: inner_pid(stage, "inner") not in (None, before))
        last = inner_pid(stage, "inner")
        assert last
        os.kill(last, signal.SIGKILL)  # deaf: it would take its whole stop deadline

    assert stage.play(script) == 0
    assert stage.ended("node")[0] == ("crashed", "exit code 1")


def test_a_killed_node_takes_its_children_with_it(notes: Path) -> None:
    stage = Stage(notes, node(spec(notes, "inner", "deaf")))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("inner to run", lambda: inner_pid(stage, "inner"))
        before = inner_pid(stage, "inner")
        assert before
        stage.messages.clear()
        os.kill(stage.pid("node"), signal.SIGKILL)
        yield from stage.until("its child to be gone", lambda: not psutil.pid_exists(before))
        yield from stage.until("another to run", lambda: inner_pid(stage, "inner"))
        last = inner_pid(stage, "inner")
        assert last
        os.kill(last, signal.SIGKILL)  # deaf: it would take its whole stop deadline

    assert stage.play(script) == 0
