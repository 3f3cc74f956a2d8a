"""What the root tells systemd: when it is ready, how it stands, and that the tree makes progress."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from supervisor.host.sd_notify import SystemdNotifier
from supervisor.host.systemd import GRACE_SECONDS, Notified, makes_progress, overdue_seconds
from supervisor.processes.slot import SlotState
from tests.instance import HOME, Instance, wait_for
from tests.listener import Listener
from tests.pictures import make_export
from tests.supervisor.stage import Stage, spec

NOW = 1000.0


# --- the decision ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "spawned", "heard", "stalled", "overdue"),
    [
        # no process, as it should be: back-off, hold, stopped
        (SlotState.WAITING, 0, 0, 0, 0),
        (SlotState.HELD, 0, 0, 0, 0),
        (SlotState.STOPPED, 0, 0, 0, 0),
        (SlotState.FINISHED, 0, 0, 0, 0),
        # starting: has 20 s to be ready, silent or not
        (SlotState.STARTING, NOW - 19, NOW - 19, 0, -1),
        (SlotState.STARTING, NOW - 21, NOW, 0, 1),
        # running: heard within 60 s, and so is its main loop
        (SlotState.RUNNING, 0, NOW - 1, 0, -59),
        (SlotState.RUNNING, 0, NOW - 61, 0, 1),
        (SlotState.RUNNING, 0, NOW - 1, 61, 1),
        # stopping: heard within 60 s; its main loop is at its last work
        (SlotState.STOPPING, 0, NOW - 1, 600, -59),
        (SlotState.STOPPING, 0, NOW - 61, 0, 1),
    ],
)
def test_how_far_a_child_is_beyond_its_deadline(
    state: SlotState, spawned: float, heard: float, stalled: float, overdue: float
) -> None:
    found = overdue_seconds(
        state, NOW, spawned=spawned, heard=heard, stalled_seconds=stalled, ready_seconds=20, hang_seconds=60
    )
    assert found == overdue


def test_every_state_is_decided() -> None:
    assert all(overdue_seconds(state, 0.0) <= 0 for state in SlotState)


# --- a supervisor with tiny children ----------------------------------------------------------------------------


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Listener]:
    with Listener(tmp_path / "notify") as made:
        yield made


def notified(stage: Stage, listener: Listener, watchdog_seconds: float = 4.0) -> Notified:
    """Stands before the stage's own router."""
    environ = {"NOTIFY_SOCKET": listener.address, "WATCHDOG_USEC": str(int(watchdog_seconds * 1e6))}
    return Notified(stage, stage.supervisor, SystemdNotifier(environ, os.getpid()))


@pytest.mark.tree
def test_ready_when_every_child_had_its_chance(tmp_path: Path, listener: Listener) -> None:
    stage = Stage(
        tmp_path / "notes",
        spec(tmp_path / "notes", "slow", "slow_to_be_ready"),
        spec(tmp_path / "notes", "held", "hold"),
        spec(tmp_path / "notes", "bad", "crash"),
    )

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.until("a word", listener.statuses)
        assert listener.count("READY=1") == 0, "slow is not ready yet"
        yield from stage.until("READY", lambda: listener.count("READY=1"))
        assert stage.supervisor.children.is_ready("slow")
        yield from stage.until("the status", lambda: "running; held is held" in listener.statuses()[-1])

    assert stage.play(script, lambda: notified(stage, listener)) == 0
    assert listener.count("READY=1") == 1
    assert listener.count("STOPPING=1\nEXTEND_TIMEOUT_USEC=25000000") == 1


@pytest.mark.tree
def test_a_tree_that_cannot_end_a_hung_child_is_silent_and_one_that_can_is_not(
    tmp_path: Path, listener: Listener, monkeypatch: pytest.MonkeyPatch
) -> None:
    notes = tmp_path / "notes"
    stage = Stage(notes, spec(notes, "a", hang_seconds=0.5), spec(notes, "b"))
    monkeypatch.setattr("supervisor.host.systemd.GRACE_SECONDS", 0.0)

    def pings() -> int:
        return listener.count("WATCHDOG=1")

    def more_pings(stage: Stage) -> Iterator[None]:
        before = pings()
        yield from stage.until("a ping", lambda: pings() > before + 2)

    def script(stage: Stage) -> Iterator[None]:
        yield from stage.all_ready()
        yield from more_pings(stage)
        os.kill(stage.pid("a"), signal.SIGSTOP)  # the supervisor's own watchdog replaces it
        yield from stage.replaced("a")
        yield from more_pings(stage)
        with monkeypatch.context() as broken:  # nobody ends it: as if it could not be killed
            broken.setattr("supervisor.processes.loop.watchdog._enforce", lambda *_: None)
            os.kill(stage.pid("a"), signal.SIGSTOP)
            slots = stage.supervisor.slots
            yield from stage.until("no progress", lambda: not makes_progress(slots, time.monotonic()))
            yield
            before, until = pings(), time.monotonic() + 1.0
            yield from stage.until("a second", lambda: time.monotonic() > until)
            assert pings() == before
        yield from stage.replaced("a", 2)
        yield from more_pings(stage)

    assert stage.play(script, lambda: notified(stage, listener, 2.0)) == 0


def test_the_grace_is_less_than_the_watchdog_of_the_unit() -> None:
    text = (HOME / "deploy" / "picturedesk.service").read_text(encoding="utf-8")
    (line,) = [one for one in text.splitlines() if one.startswith("WatchdogSec=")]
    assert int(line.partition("=")[2]) > GRACE_SECONDS * 4


# --- the whole tree ---------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("systemd") / "export", 2, bad={2: b"no picture"})


@pytest.mark.tree
def test_the_tree_says_that_it_is_ready_how_it_stands_and_that_it_lives(
    export: Path, make_instance: Callable[..., Instance], listener: Listener
) -> None:
    instance = make_instance(export)
    instance.start(NOTIFY_SOCKET=listener.address, WATCHDOG_USEC="3000000")
    wait_for("READY=1", lambda: listener.count("READY=1"))
    assert listener.statuses()[0].startswith("starting; ")
    instance.wait_until_done()
    body = instance.status()
    assert body is not None
    dead = body["stats"]["dead"]
    wait_for("the status", lambda: listener.statuses()[-1] == f"connected, 0 pictures waiting, {dead} dead")

    def pings() -> int:
        return listener.count("WATCHDOG=1")

    before = pings()
    wait_for("pings", lambda: pings() >= before + 2)
    assert instance.root is not None
    root = psutil.Process(instance.root.pid)
    root.suspend()
    wait_for("the root to stand still", lambda: root.status() == psutil.STATUS_STOPPED)
    before = pings()
    time.sleep(2.0)  # no ping comes in this, though one is due each 1.5 s: WATCHDOG_USEC / 2
    assert pings() == before, "pings come from the root's own loop"
    instance.root.send_signal(signal.SIGCONT)
    wait_for("pings again", lambda: pings() > before)
    instance.root.send_signal(signal.SIGHUP)
    wait_for("the reload", lambda: listener.count("READY=1") == 2)
    assert [one.splitlines()[0] for one in listener.messages].count("RELOADING=1") == 1
    assert instance.stop() == 0
    assert listener.count("STOPPING=1\nEXTEND_TIMEOUT_USEC=45000000") == 1
    assert any(one.startswith("stopping: ") for one in listener.statuses())
    instance.assert_nothing_left(dead)


@pytest.mark.tree
def test_without_systemd_all_is_as_ever(export: Path, make_instance: Callable[..., Instance], tmp_path: Path) -> None:
    instance = make_instance(export)
    instance.start(NOTIFY_SOCKET=str(tmp_path / "nobody"), WATCHDOG_USEC="3000000")
    instance.wait_until_running()
    assert instance.stop() == 0
    assert not instance.left_over()
