"""The supervisor, with real children: what it does when they die, hang, grow, shout, or do not want to stop."""

from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgpack
import psutil
import pytest

from ipc.transport.messages import Report, Wake
from supervisor.processes.loop.rows import row_of
from supervisor.processes.loop.stops import SAME_REQUEST_SECONDS
from supervisor.processes.process import Process
from supervisor.processes.spec import ChildSpec, Intensity, SpecError
from supervisor.processes.supervisor import Supervisor
from tests.instance import DEADLINE_SECONDS, HOME, all_pids, children, session_of, wait_for
from tests.supervisor.stage import LOG, QUICK, Stage, open_fds, run_alone, spec

pytestmark = pytest.mark.tree


@pytest.fixture
def notes(tmp_path: Path) -> Path:
    return tmp_path / "notes"


def made_up(**more: Any) -> Process:
    """One without a process."""
    nothing: Any = None
    return Process(1, nothing, -1, nothing, -1, nothing, -1, **more)


# --- starting -----------------------------------------------------------------------------------------------


def test_starts_in_order_and_the_last_only_when_the_others_are_ready(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "slow_to_be_ready"), spec(notes, "b"), spec(notes, "c", after_others=True))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("c to start", lambda: "pid" in stage.states.get("c", {}))
        assert stage.supervisor.children.is_ready("a") and stage.supervisor.children.is_ready("b")
        yield from stage.all_ready()

    assert stage.play(script) == 0
    assert sorted(stage.readies[:2]) == ["a", "b"] and stage.readies[2:] == ["c"]
    assert stage.starts == ["a", "b", "c"]


def test_the_last_does_not_wait_for_a_child_that_is_held_or_has_had_its_chance(notes: Path) -> None:
    stage = Stage(
        notes, spec(notes, "held", "hold"), spec(notes, "bad", "crash"), spec(notes, "last", after_others=True)
    )

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("last to be ready", lambda: stage.supervisor.children.is_ready("last"))

    assert stage.play(script) == 0


def test_a_child_that_comes_back_does_not_wait_again(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "ready_at_first_only"), spec(notes, "last", after_others=True))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        for name in ("a", "last"):
            os.kill(stage.pid(name), signal.SIGKILL)
        yield from stage.replaced("last")
        assert not stage.supervisor.children.is_ready("a")

    assert stage.play(script) == 0


def test_two_children_of_one_name_are_refused(notes: Path) -> None:
    before = open_fds()
    with pytest.raises(SpecError, match="a, a: each needs a name of its own"):
        Supervisor(
            specs=[spec(notes, "a"), spec(notes, "a")],
            intensity=QUICK,
            drain_seconds=1,
            log_settings=LOG,
            stop_fd=0,
            in_order=True,
        )
    assert open_fds() == before


@pytest.mark.parametrize(
    ("where", "error"),
    [
        ("subprocess.Popen", BlockingIOError(errno.EAGAIN, "no process to give")),
        ("subprocess.Popen", FileNotFoundError(errno.ENOENT, "no interpreter")),
        ("os.pidfd_open", OSError(errno.EMFILE, "too many open files")),
        ("os.memfd_create", OSError(errno.ENFILE, "too many open files")),
    ],
)
def test_a_spawn_that_fails_is_tried_again(
    where: str, error: OSError, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    home, name = where.split(".")
    module = {"subprocess": subprocess, "os": os}[home]
    real, calls = getattr(module, name), []

    def fail_once(*given: Any, **more: Any) -> Any:
        calls.append(given)
        if len(calls) == 1:
            raise type(error)(*error.args)  # a new one: it would keep what its traceback holds
        return real(*given, **more)

    monkeypatch.setattr(module, name, fail_once)
    stage = Stage(notes, spec(notes, "a"), spec(notes, "b"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("b to be ready", lambda: stage.supervisor.children.is_ready("b"))
        assert len(children()) <= 2, "no process that nobody watches"
        yield from stage.all_ready()
        assert stage.slot("a").restarts == 0 and stage.slot("a").deaths == (), "it is no fault of the child"

    assert stage.play(script) == 0
    assert stage.notes().count("start a") == 1


# --- dying --------------------------------------------------------------------------------------------------


def test_a_killed_child_is_replaced_in_place_and_the_others_go_on(notes: Path) -> None:
    stage = Stage(notes, *(spec(notes, name) for name in ("a", "b", "c")))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        before = {name: stage.pid(name) for name in ("a", "b", "c")}
        for _ in range(2):
            os.kill(stage.pid("b"), signal.SIGKILL)
            yield from stage.replaced("b", stage.slot("b").restarts + 1)
        assert (stage.pid("a"), stage.pid("c")) == (before["a"], before["c"])
        assert stage.pid("b") != before["b"]
        assert stage.supervisor.children.names() == ["a", "b", "c"]

    assert stage.play(script) == 0
    assert stage.ended("b")[:2] == [("signalled", "killed by SIGKILL")] * 2
    assert stage.states["b"]["restarts"] == 2
    assert [state for child, state in stage.history if child == "b"][:5] == [
        "starting",
        "running",
        "waiting",
        "starting",
        "running",
    ]


def test_an_idle_supervisor_replaces_at_once_too(notes: Path) -> None:
    """No tick of 50 ms helps it: the death itself and the due time wake the loop."""
    stage = Stage(notes, spec(notes, "a", "crash_at_first", options={"crashes": 3}), busy=False)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("a to be ready", lambda: stage.supervisor.children.is_ready("a"))

    began = time.monotonic()
    assert stage.play(script) == 0
    assert len(stage.ended("a")) == 4
    gaps = [later - earlier for earlier, later in zip(stage.seen_exits[:3], stage.seen_exits[1:3], strict=False)]
    assert time.monotonic() - began < 30 and all(gap < 10 for gap in gaps)


def test_a_child_that_keeps_crashing_takes_the_supervisor_down_after_a_drain(notes: Path) -> None:
    stage = Stage(
        notes,
        spec(notes, "good"),
        spec(notes, "bad", "crash"),
        intensity=Intensity(max_restarts=3, window_seconds=60.0, delay_seconds=0.6),
    )

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("the supervisor to give up", lambda: stage.supervisor.stopping)

    assert stage.play(script) == 1
    assert stage.ended("bad") == [("crashed", "exit code 1")] * 4
    assert stage.ended("good") == [("asked", "stopped as asked (exit code 0)")]
    assert stage.notes() == ["start good", "stop good"], "the others were drained, not killed"
    pauses = [later - earlier for earlier, later in zip(stage.seen_exits, stage.seen_exits[1:4], strict=False)]
    assert pauses[1] >= 0.75 * 0.25 and pauses[2] >= 0.75 * 0.5, "it backs off"


def test_one_that_costs_only_itself_is_held_and_the_others_go_on(notes: Path) -> None:
    stage = Stage(
        notes,
        spec(notes, "good"),
        spec(notes, "bad", "crash_at_first", options={"crashes": 3}, restart="transient", costs_only_itself=True),
        intensity=Intensity(max_restarts=2, window_seconds=60.0, delay_seconds=0.01),
    )

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("bad to be held", lambda: stage.states.get("bad", {}).get("state") == "held")
        facts = stage.states["bad"]
        assert facts["trouble"] == "it has ended 3 times within 60 s; the last time: exit code 1"
        assert "bin/run restart bad" in facts["remedy"] and facts["due"] > time.monotonic() + 30
        stage.supervisor.roster.operate("restart", "bad")
        yield from stage.replaced("bad", 3)
        assert not stage.supervisor.stopping

    assert stage.play(script) == 0
    assert stage.ended("bad")[:3] == [("crashed", "exit code 1")] * 3
    assert stage.notes().count("start good") == 1


def test_deaths_that_do_not_count_never_take_it_down(notes: Path) -> None:
    intensity = Intensity(max_restarts=0, window_seconds=60.0, delay_seconds=5.0)
    stage = Stage(notes, spec(notes, "a", "crash_at_first", options={"crashes": 4}), intensity=intensity)
    stage.counts = False

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.replaced("a", 4)

    assert stage.play(script) == 0


@pytest.mark.parametrize(
    ("target", "options", "text", "remedy"),
    [
        ("hold", {}, "no account", "make one"),
        ("exit_config", {}, "refused its configuration (exit code 78)", "See its last log records"),
        ("hold", {"what": "ж" * 3000, "remedy": "🙂" * 3000}, "ж" * 300, "🙂" * 374 + "…"),
        ("hold_for_a_file", {}, "no file named ?", "rename it"),
    ],
)
def test_a_held_child_stays_held_and_the_others_go_on(
    target: str, options: dict[str, str], text: str, remedy: str, notes: Path
) -> None:
    stage = Stage(notes, spec(notes, "a", target, options=options), spec(notes, "b"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("a to be held", lambda: stage.states.get("a", {}).get("state") == "held")
        yield from stage.until("b to be ready", lambda: stage.supervisor.children.is_ready("b"))
        os.kill(stage.pid("b"), signal.SIGKILL)
        yield from stage.replaced("b")
        facts = row_of(stage.slot("a"))
        assert facts["state"] == "held" and "pid" not in facts and facts["restarts"] == 0
        assert (facts["last_exit"], facts["last_cause"], facts["remedy"]) == (text, "held", remedy)

    assert stage.play(script) == 0
    assert [cause for cause, _ in stage.ended("a")] == ["held"]


def test_a_transient_child_that_has_finished_is_not_started_again(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "finish", restart="transient"), spec(notes, "b", "finish"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("a to finish", lambda: stage.states["a"]["state"] == "finished")
        before = stage.slot("b").restarts
        yield from stage.until("b to be replaced", lambda: stage.slot("b").restarts >= before + 2)
        assert row_of(stage.slot("a"))["state"] == "finished" and stage.slot("a").restarts == 0

    assert stage.play(script) == 0
    assert stage.ended("a") == [("finished", "exit code 0")]


def test_one_that_is_there_for_a_while_leaves_when_it_has_finished_and_is_kept_when_it_is_stopped(notes: Path) -> None:
    more: dict[str, Any] = {"restart": "transient", "leaves_when_finished": True}
    stage = Stage(notes, spec(notes, "done", "finish", **more), spec(notes, "other", **more))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("done to leave", lambda: stage.states.get("done") == {})
        assert stage.supervisor.children.names() == ["other"]
        yield from stage.all_ready()
        stage.supervisor.roster.operate("stop", "other")
        yield from stage.until("other to stop", lambda: stage.states["other"]["state"] == "stopped")
        stage.supervisor.roster.operate("start", "other")
        yield from stage.all_ready()

    assert stage.play(script) == 0
    assert stage.ended("done") == [("finished", "exit code 0")]


def test_a_grandchild_that_holds_the_pipes_does_not_delay_the_news(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "leave_a_grandchild"))
    grandchild: list[int] = []

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.replaced("a")
        grandchild.append(int(stage.notes()[0].split()[1]))
        assert psutil.Process(grandchild[0]).status() == "sleeping"

    try:
        assert stage.play(script) == 0
        assert stage.ended("a")[0] == ("crashed", "exit code 3")
    finally:
        for pid in grandchild:
            os.kill(pid, signal.SIGKILL)


def test_restarts_leave_no_descriptor_and_no_zombie(notes: Path) -> None:
    stage = Stage(notes, *(spec(notes, f"a-{number}", "serve") for number in range(3)))
    counts: list[int] = []

    def script(stage: Stage) -> Iterator[None]:
        for turn in range(4):
            yield from stage.all_ready()
            counts.append(len(open_fds()))
            for name in stage.supervisor.children.names():
                os.kill(stage.pid(name), signal.SIGKILL)
            for name in stage.supervisor.children.names():
                yield from stage.replaced(name, turn + 1)
            assert len(children()) == 3

    stage.counts = False  # no pauses: this is about what is left behind
    assert stage.play(script) == 0
    assert len(stage.exits) == 15 and len(set(counts)) == 1


# --- hanging ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("target", "times"),
    [
        ("never_ready_once", {"ready_seconds": 1.0}),
        ("stalled_once", {"hang_seconds": 1.0}),
    ],
)
def test_a_hung_child_is_killed_and_replaced(target: str, times: dict[str, float], notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", target, **times), spec(notes, "b"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("b to be ready", lambda: stage.supervisor.children.is_ready("b"))
        other = stage.pid("b")
        yield from stage.until("a to be given up", lambda: stage.ended("a"))
        # Its successor is no part of this, and starts as slowly as the machine has it.
        stage.slot("a").spec = replace(stage.slot("a").spec, ready_seconds=60.0, hang_seconds=60.0)
        yield from stage.until("a to serve", lambda: "start a" in stage.notes())
        yield from stage.replaced("a")
        assert stage.pid("b") == other

    assert stage.play(script) == 0
    assert stage.ended("a")[0] == ("hung", "hung: it gave no sign of life and was killed")
    assert len(stage.ended("a")) == 2


@pytest.mark.parametrize("busy", [True, False])
def test_a_stopped_child_is_hung(busy: bool, notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", hang_seconds=1.0), busy=busy)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        os.kill(stage.pid("a"), signal.SIGSTOP)
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    assert [cause for cause, _ in stage.ended("a")] == ["hung", "asked"]


@pytest.mark.parametrize("target", ["stalled_once", "hold_the_interpreter"])
def test_a_child_that_hangs_shows_where(target: str, notes: Path) -> None:
    """The stacks of all its threads, also while it is stuck in C with the interpreter's lock."""
    stage = Stage(notes, spec(notes, "a", target, hang_seconds=1.0, stop_seconds=1.0))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.replaced("a")

    stage.play(script)
    facts = next(facts for name, facts in stage.ends if name == "a")
    assert facts["cause"] == "hung"
    assert f"in {target}" in facts["stacks"] and "runtime.py" in facts["stacks"]
    assert stage.states["a"]["exit_causes"]["hung"] == 1


@pytest.mark.parametrize("when", ["after the watchdog has looked", "before it looks"])
def test_a_freeze_of_the_whole_tree_makes_nobody_hung(when: str, notes: Path) -> None:
    """A stopped container, a suspended group: the supervisor wakes with heartbeats missing that were never due."""
    stage = Stage(notes, spec(notes, "a", hang_seconds=1.0), spec(notes, "b", "slow_to_stop", hang_seconds=1.0))
    reader, writer = os.pipe()  # closed by the script: the stage counts the descriptors from before
    frozen: list[int] = []

    def freeze() -> None:
        stage.supervisor.unwatch(reader)
        frozen.extend([stage.pid("a"), stage.pid("b")])
        for pid in frozen:
            os.kill(pid, signal.SIGSTOP)
        time.sleep(3.5)  # the freeze itself; the loop does not run either: this is called by it
        for pid in frozen:
            os.kill(pid, signal.SIGCONT)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        stage.supervisor.watch(reader, freeze)
        if when == "before it looks":
            os.write(writer, b".")
            yield from stage.until("the freeze", lambda: frozen)
        else:
            freeze()
        until = time.monotonic() + 2
        yield from stage.until("hasty judgement", lambda: time.monotonic() > until or stage.exits)
        assert not stage.exits
        os.kill(frozen[0], signal.SIGSTOP)  # this one alone is hung, as ever
        yield from stage.replaced("a")
        os.close(reader)
        os.close(writer)

    assert stage.play(script) == 0
    assert [cause for cause, _ in stage.ended("a")] == ["hung", "asked"]


def test_a_heartbeat_from_before_a_freeze_does_not_end_its_exclusion() -> None:
    """It is read first when the loop goes on; the next one counts the freeze as a round that took so long."""
    process = made_up(heard=100.0)
    process.exclude_suspension(50.0, now=151.0)
    process.beat(0.1, now=151.0)
    process.beat(50.2, now=151.1)
    assert process.stalled_seconds == pytest.approx(0.2) and process.heard == 150.0
    process.beat(70.0, now=171.0)
    assert process.stalled_seconds == pytest.approx(20.0), "its loop has stood since"
    process.beat(0.3, now=172.0)
    process.beat(60.0, now=240.0)
    assert process.stalled_seconds == 60.0, "it has come round since: nothing is excluded any more"


def test_a_freeze_excludes_no_time_to_come() -> None:
    process = made_up(heard=100.0)
    process.exclude_suspension(50.0, now=120.0)
    assert process.heard == 120.0


def test_an_order_to_stop_stands_even_if_the_child_hangs_over_it(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "deaf", stop_seconds=30.0), spec(notes, "b"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        stage.supervisor.roster.operate("stop", "a")
        stage.supervisor.children.kill_hung("a")
        yield from stage.until("a to stop", lambda: stage.states["a"]["state"] == "stopped")
        until = time.monotonic() + 0.5
        yield from stage.until("it to stay so", lambda: time.monotonic() > until)
        assert stage.slot("a").count == 1
        stage.supervisor.roster.operate("start", "a")
        yield from stage.until("a to run", lambda: stage.supervisor.children.is_ready("a"))

    stage.play(script)


def test_a_child_that_is_told_to_restart_twice_is_asked_once(notes: Path) -> None:
    """A second SIGTERM would have a supervisor below stop at once, with its work in hand lost."""
    stage = Stage(notes, spec(notes, "a", "count_signals"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        for _ in range(3):
            stage.supervisor.roster.operate("restart", "a")
            yield
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    assert stage.notes()[0] == "signals 1"


def test_the_first_signal_of_a_person_is_the_first_whatever_has_begun_by_itself(notes: Path) -> None:
    """The tree gives up and drains; a SIGTERM then asks for what is under way."""
    stage = Stage(
        notes,
        spec(notes, "a", "slow_to_stop"),
        spec(notes, "bad"),
        intensity=Intensity(max_restarts=0, window_seconds=60.0, delay_seconds=0.1),
    )

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()  # one that is still starting has nothing to finish
        os.kill(stage.pid("bad"), signal.SIGKILL)
        yield from stage.until("the drain", lambda: stage.supervisor.stopping)
        stage.press_stop()
        yield from stage.for_ever()

    assert stage.play(script) == 1
    assert "stop a" in stage.notes(), "it had its time"


@pytest.mark.parametrize("number", [signal.SIGHUP, signal.SIGINT])
def test_a_signal_to_everybody_is_the_roots_business(number: signal.Signals, notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        os.kill(stage.pid("a"), number)
        until = time.monotonic() + 0.5
        yield from stage.until("nothing", lambda: time.monotonic() > until)

    assert stage.play(script) == 0
    assert stage.ended("a") == [("asked", "stopped as asked (exit code 0)")]


def test_one_that_makes_no_sense_counts_as_crashed(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        stage.supervisor.children.kill_for_protocol_error("a")
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    assert [cause for cause, _ in stage.ended("a")] == ["crashed", "asked"]


def test_a_crash_in_c_shows_where(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        os.kill(stage.pid("a"), signal.SIGSEGV)
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    assert "Segmentation fault" in stage.ends[0][1]["stacks"]


def test_kill_hung_is_judged_hung(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        stage.supervisor.children.kill_hung("a")
        assert not stage.supervisor.children.is_ready("a"), "it takes no more work"
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    assert [cause for cause, _ in stage.ended("a")] == ["hung", "asked"]
    assert len(stage.slot("a").deaths) == 1


def test_a_hung_child_is_ended_in_time_however_long_the_loop_sleeps(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("supervisor.processes.supervisor.TICK_SECONDS", 40.0)
    stage = Stage(notes, spec(notes, "a", beat_seconds=3.0))
    stage.busy = False

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        os.kill(stage.pid("a"), signal.SIGSTOP)
        stage.supervisor.children.kill_hung("a")
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    assert [cause for cause, _ in stage.ended("a")] == ["hung", "asked"]
    assert stage.ends[0][1]["lived_seconds"] < 30


def test_what_a_busy_router_adds_to_a_row_is_told_while_it_is_busy(
    notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And once more after that; the row itself says nothing new."""
    monkeypatch.setattr("supervisor.processes.loop.rows.BUSY_REPEAT_SECONDS", 0.2)
    stage = Stage(notes, spec(notes, "a"))
    told: list[bool] = []
    stage.busy = True

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        slot = stage.slot("a")
        facts = row_of(slot)
        monkeypatch.setattr("supervisor.processes.loop.rows.row_of", lambda _: facts)
        monkeypatch.setattr(stage, "on_state", lambda child, facts: told.append(stage.busy))
        yield from stage.until("it to be told", lambda: told.count(True) >= 3)
        stage.busy = False
        yield from stage.until("it to be told once more", lambda: False in told)
        monkeypatch.undo()

    assert stage.play(script) == 0


# --- memory -------------------------------------------------------------------------------------------------


def test_a_child_over_its_cap_is_killed_and_judged_so(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "grow_once", cap_bytes=60 * 2**20))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.replaced("a")
        assert 0 < row_of(stage.slot("a"))["rss_bytes"] < 60 * 2**20

    assert stage.play(script) == 0
    assert stage.ended("a")[0] == ("out of memory", "out of memory: it outgrew its cap and was killed")
    assert stage.states["a"]["cap_bytes"] == 60 * 2**20


def test_a_cap_can_be_raised_for_one_incarnation(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "grow_once", cap_bytes=60 * 2**20))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("a to be up", lambda: "pid" in stage.states.get("a", {}))
        stage.supervisor.children.set_cap("a", 400 * 2**20)
        yield from stage.until("it to be told", lambda: stage.states["a"]["rss_bytes"] > 80 * 2**20)
        assert stage.states["a"]["cap_bytes"] == 400 * 2**20
        os.kill(stage.pid("a"), signal.SIGKILL)
        yield from stage.replaced("a")
        assert row_of(stage.slot("a"))["cap_bytes"] == 60 * 2**20

    assert stage.play(script) == 0
    assert stage.ended("a")[0] == ("signalled", "killed by SIGKILL")


def test_a_child_that_is_stopping_keeps_its_cap(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "grow_when_stopped", cap_bytes=60 * 2**20, stop_seconds=50), drain_seconds=50)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()

    began = time.monotonic()
    assert stage.play(script) == 0
    assert time.monotonic() - began < 40
    assert stage.ended("a") == [("out of memory", "out of memory: it outgrew its cap and was killed")]


def test_a_child_that_is_killed_for_its_memory_while_it_stops_stays_stopped(notes: Path) -> None:
    child = spec(notes, "a", "grow_when_stopped", cap_bytes=60 * 2**20, stop_seconds=50)
    stage = Stage(notes, child, drain_seconds=50)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        stage.supervisor.roster.operate("stop", "a")
        yield from stage.until("it to be gone", lambda: stage.ended("a"))
        for _ in range(10):
            yield
        assert stage.starts == ["a"], "as the operator has said"
        assert row_of(stage.slot("a"))["last_cause"] == "out of memory"
        stage.supervisor.roster.operate("start", "a")
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    assert stage.slot("a").deaths == ()


def test_a_cap_is_lowered_by_what_the_child_has_now_and_not_by_an_old_sample(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "grow_once", cap_bytes=400 * 2**20), spec(notes, "b"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        yield from stage.until("a to have grown", lambda: "has 83886080" in stage.notes())
        assert not stage.supervisor.children.set_cap("a", 60 * 2**20), "it has more: it would be killed"
        assert row_of(stage.slot("a"))["cap_bytes"] == 400 * 2**20
        process = stage.slot("b").process
        assert process is not None
        process.rss_bytes = 500 * 2**20  # as it was a moment ago
        assert stage.supervisor.children.set_cap("b", 60 * 2**20)
        assert not process.is_over_cap()
        yield

    assert stage.play(script) == 0
    assert [cause for _, cause, _ in stage.exits] == ["asked", "asked"]


WHAT_A_LEAF_SAYS = [(0, 0, "signalled"), (1, 1, "out of memory"), (0, 1, "machine out of memory")]
"""How often it was full, how many of it were killed for memory, and what that makes of a SIGKILL."""


def test_a_child_with_a_cap_gets_a_cgroup_and_what_that_says_is_believed(notes: Path) -> None:
    """On a folder that looks like one: that processes are placed for real, `test_cgroups` shows."""
    folder = notes.parent / "cgroup"
    folder.mkdir()
    stage = Stage(notes, spec(notes, "a", cap_bytes=300 * 2**20), spec(notes, "b"), cgroup=folder)

    def leaf(number: int) -> Path:
        return folder / f"a.{os.getpid()}.{number}"

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        assert [path.name for path in folder.iterdir()] == [leaf(1).name], "b has no cap"
        assert (leaf(1) / "cgroup.procs").read_text() == str(stage.pid("a"))
        assert stage.supervisor.children.set_cap("a", 500 * 2**20)
        assert (leaf(1) / "memory.max").read_text() == str(532 * 2**20)
        for number, (full, killed, cause) in enumerate(WHAT_A_LEAF_SAYS, 1):
            (leaf(number) / "memory.events").write_text(f"max 9\noom {full}\noom_kill {killed}\n")
            (leaf(number) / "memory.peak").write_text("123000000\n")
            yield from stage.until("it to be told", lambda: stage.states["a"].get("cgroup_peak_bytes") == 123000000)
            assert stage.states["a"]["enforced_by"] == "cgroup"
            os.kill(stage.pid("a"), signal.SIGKILL)
            yield from stage.replaced("a", number)
            assert stage.ended("a")[-1][0] == cause
            assert stage.ends[-1][1]["peak_bytes"] == 123000000
        assert (leaf(4) / "memory.max").read_text() == str(332 * 2**20), "a new one has its usual cap"

    assert stage.play(script) == 0
    assert "enforced_by" not in stage.states["b"]


def test_a_child_that_rests_comes_back_when_it_is_woken_unless_it_was_stopped(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"), spec(notes, "b"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        for name in ("a", "b"):
            stage.supervisor.children.rest(name)
            assert stage.states[name]["resting"]
        stage.supervisor.roster.operate("stop", "b")
        yield from stage.until("both to be gone", lambda: stage.ended("a") and stage.ended("b"))
        stage.supervisor.children.wake("a")
        stage.supervisor.children.wake("b")
        yield from stage.replaced("a")
        assert "resting" not in stage.states["a"] and stage.states["b"]["state"] == "stopped"
        stage.supervisor.children.rest("a")
        os.kill(stage.pid("a"), signal.SIGKILL)
        stage.supervisor.children.wake("a")
        yield from stage.replaced("a", 2)

    assert stage.play(script) == 0
    assert stage.starts == ["a", "b", "a", "a"] and stage.slot("a").deaths == ()


def test_what_a_child_has_had_of_the_processors(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        cpu_usage = stage.supervisor.children.cpu_usage("a")
        assert cpu_usage is not None and cpu_usage.cpu_seconds > 0 and not cpu_usage.is_stopped
        stage.supervisor.roster.stop_child("a")
        yield from stage.until("it to be gone", lambda: stage.ended("a"))
        assert stage.supervisor.children.cpu_usage("a") is None

    assert stage.play(script) == 0


def test_a_child_that_ran_out_of_memory_by_itself_is_judged_so(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "starve_once"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    assert stage.ended("a")[0] == ("out of memory", "out of memory: 40 GiB wanted")


def test_recycling_replaces_without_counting(notes: Path) -> None:
    intensity = Intensity(max_restarts=0, window_seconds=60.0, delay_seconds=5.0)
    stage = Stage(notes, spec(notes, "a"), spec(notes, "b"), intensity=intensity)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        for count in (1, 2):
            stage.supervisor.children.recycle("a")
            assert not stage.supervisor.children.is_ready("a")
            yield from stage.replaced("a", count)
        assert stage.slot("a").deaths == () and stage.slot("b").restarts == 0

    assert stage.play(script) == 0
    assert [cause for cause, _ in stage.ended("a")] == ["asked"] * 3


def test_a_recycled_child_that_does_not_stop_is_killed_and_replaced(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "deaf", stop_seconds=0.3), drain_seconds=0.3)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        stage.supervisor.children.recycle("a")
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    assert stage.slot("a").deaths == ()


# --- stopping -----------------------------------------------------------------------------------------------


def test_stops_in_the_reverse_order_one_after_another(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"), spec(notes, "b"), spec(notes, "c", "slow_to_stop"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        stage.press_stop()
        yield from stage.for_ever()

    assert stage.play(script) == 0
    assert [child for child, _, _ in stage.exits] == ["c", "b", "a"]
    assert [line for line in stage.notes() if line.startswith("stop")] == ["stop c", "stop b", "stop a"]
    assert [cause for _, cause, _ in stage.exits] == ["asked"] * 3


def test_stops_together_when_not_in_order(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"), spec(notes, "b", "deaf", stop_seconds=2.0), in_order=False)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()

    assert stage.play(script) == 0
    assert [child for child, _, _ in stage.exits] == ["a", "b"], "a did not wait for the deaf one"


def test_a_deaf_child_is_killed_at_its_deadline_and_then_the_next_is_asked(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"), spec(notes, "b", "deaf", stop_seconds=0.5), busy=False)
    began: list[float] = []

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        began.append(time.monotonic())

    assert stage.play(script) == 0
    assert stage.exits == [
        ("b", "asked", "stopped as asked (killed by SIGKILL)"),
        ("a", "asked", "stopped as asked (exit code 0)"),
    ]
    assert stage.seen_exits[0] - began[0] >= 0.5


def test_the_drain_is_the_longest_that_anybody_gets(notes: Path) -> None:
    deaf = [spec(notes, name, "deaf", stop_seconds=30.0) for name in ("a", "b")]
    stage = Stage(notes, *deaf, drain_seconds=0.5)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()

    began = time.monotonic()
    assert stage.play(script) == 0
    assert time.monotonic() - began < 25
    assert [child for child, _, _ in stage.exits] == ["b", "a"]


def test_waiting_for_a_child_to_stop_costs_no_processor_time(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a"), spec(notes, "b", "deaf", stop_seconds=1.5), busy=False)
    used: list[float] = []

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        used.append(time.process_time())

    assert stage.play(script) == 0
    assert time.process_time() - used[0] < 0.7


def test_two_requests_stop_at_once(notes: Path) -> None:
    deaf = [spec(notes, name, "deaf", stop_seconds=50.0) for name in ("a", "b")]
    stage = Stage(notes, *deaf, drain_seconds=50.0)
    moments: list[float] = []

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        stage.press_stop()
        while not stage.supervisor.stopping:
            yield
        stage.press_stop()  # within half a second: the same request
        yield
        yield
        assert stage.exits == []
        yield from stage.until("b to be asked", lambda: stage.states["b"]["state"] == "stopping")
        another = time.monotonic() + SAME_REQUEST_SECONDS
        yield from stage.until("the time of another request", lambda: time.monotonic() > another)
        stage.press_stop()
        moments.append(time.monotonic())
        yield from stage.for_ever()

    assert stage.play(script) == 1
    assert time.monotonic() - moments[0] < 20
    assert {child for child, _, _ in stage.exits} == {"a", "b"}


def test_a_stop_while_children_are_still_starting(notes: Path) -> None:
    stage = Stage(
        notes,
        spec(notes, "a", "slow_to_be_ready"),
        spec(notes, "b", "slow_to_be_ready"),
        spec(notes, "never", after_others=True),
    )

    def script(stage: Stage) -> Iterator[None]:
        stage.press_stop()
        yield from stage.for_ever()

    assert stage.play(script) == 0
    assert [child for child, _, _ in stage.exits] == ["b", "a"]
    assert [cause for _, cause, _ in stage.exits] == ["asked"] * 2
    assert stage.states["never"]["state"] == "waiting" and "pid" not in stage.states["never"]


def test_a_stop_while_a_child_waits_to_be_replaced(notes: Path) -> None:
    intensity = Intensity(max_restarts=100, window_seconds=60.0, delay_seconds=100.0)
    stage = Stage(notes, spec(notes, "a", "crash"), spec(notes, "b"), intensity=intensity)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("a to have died often", lambda: len(stage.ended("a")) >= 3)

    assert stage.play(script) == 0
    assert row_of(stage.slot("a"))["state"] == "stopped"


def test_a_stopped_child_is_killed_at_the_stop_deadline(notes: Path) -> None:
    """SIGTERM does not wake a process that is stopped; SIGKILL ends it."""
    stage = Stage(notes, spec(notes, "a", stop_seconds=0.5))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        os.kill(stage.pid("a"), signal.SIGSTOP)

    assert stage.play(script) == 0
    assert stage.exits == [("a", "asked", "stopped as asked (killed by SIGKILL)")]


# --- messages -----------------------------------------------------------------------------------------------


def test_messages_go_both_ways(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "echo"))

    def script(stage: Stage) -> Iterator[None]:
        assert stage.supervisor.children.send("a", Wake("fetched")), "it reads that when it gets so far"
        yield from stage.all_ready()
        assert stage.supervisor.children.send("a", Wake("seen"))
        yield from stage.until("an answer", lambda: ("a", Wake("seen")) in stage.messages)
        assert stage.messages[0] == ("a", Wake("fetched"))
        assert not stage.supervisor.children.send("a", Report("much", {"text": "x" * 5000})), (
            "it does not fit, and is no crash"
        )

    assert stage.play(script) == 0


def test_a_full_inbox_takes_no_more_and_blocks_nobody(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "never_reads"), spec(notes, "b"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        report = Report("topic", {"text": "x" * 3000})
        sent = [stage.supervisor.children.send("a", report) for _ in range(50)]
        assert sent[0] and not sent[-1]
        assert stage.supervisor.children.send("b", report)
        yield

    assert stage.play(script) == 0


def test_all_that_a_dead_child_has_said_is_heard(notes: Path) -> None:
    stage = Stage(notes, spec(notes, "a", "say_much_and_die"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.replaced("a")

    assert stage.play(script) == 0
    heard = [message.topic for _, message in stage.messages if isinstance(message, Report)]
    assert heard == [f"topic-{number}" for number in range(300)]


def test_a_flood_does_not_keep_the_supervisor_from_the_others(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    stage = Stage(notes, spec(notes, "flood", "flood"), spec(notes, "b"))

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        flood = stage.pid("flood")
        process = stage.slot("flood").process
        assert process is not None
        # However slow this machine makes the child: there is always one more.
        monkeypatch.setattr(process.inbox, "receive", lambda: Wake("nonsense"))
        for count in (1, 2):
            os.kill(stage.pid("b"), signal.SIGKILL)
            yield from stage.replaced("b", count)
        assert stage.pid("flood") == flood
        monkeypatch.undo()

    assert stage.play(script) == 0
    assert len(stage.messages) > 1000


GIBBERISH = [
    b"garbage, all of it",
    b"\x00\x00\x00\x03abc",
    b"\x00\x00\x00\x02" + msgpack.packb([99]),
    b"\x00\x00\x00\x01" + msgpack.packb(5),
    b"\x00\x00\x00\x00",
    b"\x00\x00\x0f\x00half of it",
    b"\x00\x00",
    b"\x7f\xff\xff\xff",
    b"\xff\xff\xff\xff" + b"\x00\x00\x7f\xff" + b"\xff" * 4,
    b"\xff\xff\xff\xfe",
]


def test_gibberish_costs_its_sender_the_life_and_nobody_else(notes: Path) -> None:
    """Each kind of it from an incarnation of its own; the one after them says nothing, and lives."""
    options = {"chatter": [data.hex() for data in GIBBERISH]}
    stage = Stage(notes, spec(notes, "a", "chatter", options=options), spec(notes, "b"))
    stage.counts = False  # no pauses between them

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("b to be ready", lambda: stage.supervisor.children.is_ready("b"))
        other = stage.pid("b")
        yield from stage.replaced("a", len(GIBBERISH))
        assert stage.pid("b") == other

    assert stage.play(script) == 0
    assert [cause for cause, _ in stage.ended("a")] == [*["crashed"] * len(GIBBERISH), "asked"]


# --- orphans ------------------------------------------------------------------------------------------------


class Alone:
    """A supervisor in a process and session of its own."""

    def __init__(self, *specs: ChildSpec) -> None:
        settings = json.dumps([{**asdict(one), "inherit_fds": list(one.inherit_fds)} for one in specs])
        code = f"import sys; from {run_alone.__module__} import run_alone; run_alone(sys.argv[1])"
        self.process = subprocess.Popen(
            [sys.executable, "-c", code, settings],
            stdout=subprocess.PIPE,
            env={**os.environ, "PYTHONPATH": str(HOME)},
            start_new_session=True,
        )
        self.lines: list[str] = []
        assert self.process.stdout is not None
        os.set_blocking(self.process.stdout.fileno(), False)

    def wait_for_line(self, line: str) -> None:
        def look() -> bool:
            assert self.process.stdout is not None
            self.lines += (self.process.stdout.read() or b"").decode().splitlines()
            return line in self.lines

        wait_for(line, look)

    def members(self) -> list[int]:
        return [pid for pid in all_pids() if session_of(pid) == self.process.pid]

    def end(self) -> None:
        for pid in self.members():
            os.kill(pid, signal.SIGKILL)
        self.process.wait()
        assert self.process.stdout is not None
        self.process.stdout.close()


@pytest.fixture
def make_alone() -> Iterator[Callable[..., Alone]]:
    made: list[Alone] = []

    def make(*specs: ChildSpec) -> Alone:
        made.append(Alone(*specs))
        return made[-1]

    yield make
    for alone in made:
        alone.end()


def _nested(notes: Path) -> ChildSpec:
    """A supervisor below the supervisor, as the pool is."""
    options = {
        "router": "tests.supervisor.node:Recorder",
        "children": [asdict(spec(notes, "inner"))],
        "intensity": asdict(QUICK),
        "drain_seconds": 5.0,
        "log": LOG,
        "notes": str(notes),
    }
    return ChildSpec("pool", "supervisor.processes.subtree:main", options)


@pytest.mark.parametrize("what", ["serving", "deaf", "stopped", "in C", "starting", "nested"])
def test_a_killed_supervisor_leaves_no_process(what: str, notes: Path, make_alone: Callable[..., Alone]) -> None:
    target = {"deaf": "deaf", "in C": "hold_the_interpreter", "starting": "never_ready"}.get(what, "serve")
    children = [spec(notes, f"a-{number}", target) for number in (1, 2)]
    alone = make_alone(*([_nested(notes)] if what == "nested" else children))
    expected = {"nested": 3}.get(what, 3)
    if what not in ("starting", "nested"):
        alone.wait_for_line("ready a-1")
        alone.wait_for_line("ready a-2")
        wait_for("both to be in it", lambda: len(notes.read_text().splitlines()) == 2)
    wait_for("the children to be there", lambda: len(alone.members()) == expected)
    if what == "nested":
        wait_for("the grandchild to serve", lambda: notes.exists() and "start inner" in notes.read_text())
    if what == "stopped":
        for pid in alone.members():
            if pid != alone.process.pid:
                os.kill(pid, signal.SIGSTOP)
    alone.process.kill()
    until = time.monotonic() + DEADLINE_SECONDS
    while (left := alone.members()) and time.monotonic() < until:
        time.sleep(0.02)
    assert not left, [Path(f"/proc/{pid}/status").read_text()[:200] for pid in left]


FREEZE_HANG_SECONDS = 6.0
"""A supervisor that sleeps for 2 s at most takes no more of a freeze for its own: 2 s of it are left as the child's
silence. What is left of this, a child has for its first heartbeat afterwards, whatever else the machine has to do."""


@pytest.mark.parametrize("frozen", ["supervisor", "everybody"])
def test_a_freeze_from_outside_makes_nobody_hung(frozen: str, notes: Path, make_alone: Callable[..., Alone]) -> None:
    """SIGSTOP for longer than any child may be silent, then SIGCONT: with a supervisor below the supervisor."""
    pool = replace(_nested(notes), beat_seconds=0.1, hang_seconds=FREEZE_HANG_SECONDS)
    alone = make_alone(spec(notes, "a", hang_seconds=FREEZE_HANG_SECONDS), pool)
    alone.wait_for_line("ready a")
    alone.wait_for_line("ready pool")
    wait_for("the grandchild to serve", lambda: "start inner" in notes.read_text())
    members = alone.members()
    victims = members if frozen == "everybody" else [alone.process.pid]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(FREEZE_HANG_SECONDS + 0.5)  # the freeze itself
    for pid in victims:
        os.kill(pid, signal.SIGCONT)
    time.sleep(1.0)  # nobody ends in this: a hasty judgement would be made in it
    assert alone.members() == members
    alone.process.terminate()
    alone.wait_for_line("exit a asked")
    assert [line for line in alone.lines if line.startswith("exit") and "asked" not in line] == []


def test_signals_stop_it(notes: Path, make_alone: Callable[..., Alone]) -> None:
    alone = make_alone(spec(notes, "a"), spec(notes, "b"))
    alone.wait_for_line("ready a")
    alone.wait_for_line("ready b")
    alone.process.send_signal(signal.SIGINT)
    assert alone.process.wait(30) == 0
    alone.wait_for_line("exit a asked")
    assert alone.members() == []
