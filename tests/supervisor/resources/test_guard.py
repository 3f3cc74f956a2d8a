"""The guard: who is told what when memory is short, and what is put down."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from ipc.transport.messages import Message, Ration
from supervisor.resources.guard import LOOK_SECONDS, RATIONED, Guard
from supervisor.resources.pressure import STEP_SECONDS, MemoryLimits, Reading
from tests.instance import Instance, wait_for
from tests.pictures import make_export
from tests.supervisor.processes.test_router import FakeTree

WELL, SHORT = Reading(1000, 0.0), Reading(50, 0.0)


class Machine:
    """A machine whose memory and clock the test sets."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.reading = WELL
        self.looks: list[Path | None] = []

    def read(self, cgroup: Path | None) -> Reading:
        self.looks.append(cgroup)
        return self.reading


@pytest.fixture
def machine() -> Machine:
    return Machine()


@pytest.fixture
def tree() -> FakeTree:
    return FakeTree()


@pytest.fixture
def told() -> list[dict[str, Any]]:
    return []


@pytest.fixture
def guard(machine: Machine, tree: FakeTree, told: list[dict[str, Any]]) -> Guard:
    def tell(topic: str, **facts: Any) -> None:
        assert topic == "machine"
        told.append(facts)

    guard = Guard(tree, tell, Path("/cgroup"), read=machine.read, clock=lambda: machine.now)
    guard.configure(MemoryLimits(100, 20.0), 4)
    return guard


def look(guard: Guard, machine: Machine, reading: Reading, seconds: float = LOOK_SECONDS) -> None:
    machine.reading = reading
    machine.now += seconds
    guard.on_tick()


def both(ration: Ration) -> list[tuple[str, Message]]:
    return sorted((name, ration) for name in RATIONED)


def test_it_looks_once_a_second(guard: Guard, machine: Machine) -> None:
    for _ in range(3):
        guard.on_tick()
    assert machine.looks == [Path("/cgroup")]
    look(guard, machine, WELL)
    assert len(machine.looks) == 2


def test_while_all_is_well_nobody_is_told_anything(
    guard: Guard, machine: Machine, tree: FakeTree, told: list[dict[str, Any]]
) -> None:
    for _ in range(5):
        look(guard, machine, WELL)
    guard.on_start("pool")
    assert tree.take() == [] and told == []


def test_both_are_told_of_every_step_and_status_too(
    guard: Guard, machine: Machine, tree: FakeTree, told: list[dict[str, Any]]
) -> None:
    look(guard, machine, SHORT)
    assert sorted(tree.take(), key=lambda one: one[0]) == both(Ration(2, False))
    assert (told[-1]["state"], told[-1]["workers"], told[-1]["intake"], told[-1]["rationed"]) == (
        "short",
        2,
        False,
        True,
    )
    assert told[-1]["available_bytes"] == 50 and told[-1]["since"] > 0
    since = told[-1]["since"]
    look(guard, machine, SHORT)
    assert tree.take() == []
    look(guard, machine, WELL)
    assert tree.take() == [], "it is not yet trusted"
    assert told[-1]["state"] == "ok" and told[-1]["rationed"]
    look(guard, machine, WELL, STEP_SECONDS)
    assert sorted(tree.take(), key=lambda one: one[0]) == both(Ration(0, True))
    assert not told[-1]["rationed"] and told[-1]["workers"] == 4
    assert [one["since"] for one in told] == [since, since, None]


def test_what_does_not_arrive_is_told_again(guard: Guard, machine: Machine, tree: FakeTree) -> None:
    sent, full = [], {"pool"}

    def send(name: str, message: Message) -> bool:
        if name in full:
            return False
        sent.append((name, message))
        return True

    tree.send = send  # type: ignore[method-assign]
    look(guard, machine, SHORT)
    assert sent == [("connection", Ration(2, False))]
    full.clear()
    look(guard, machine, SHORT)
    look(guard, machine, SHORT)
    assert sent[1:] == [("pool", Ration(2, False))]


def test_who_is_new_is_told(guard: Guard, machine: Machine, tree: FakeTree) -> None:
    look(guard, machine, SHORT)
    tree.take()
    for child in ("health", "uploader", "connection", "pool"):
        guard.on_start(child)
    assert tree.take() == [("connection", Ration(2, False)), ("pool", Ration(2, False))]


def test_a_shortage_that_lasts_is_told_once(
    guard: Guard, machine: Machine, tree: FakeTree, told: list[dict[str, Any]]
) -> None:
    for _ in range(10):
        look(guard, machine, SHORT, STEP_SECONDS)
    assert [(one["workers"], one["intake"]) for one in told] == [(2, False), (1, False)]
    assert len(tree.take()) == 2 * len(RATIONED)


def test_switched_off_it_lets_go_at_once(guard: Guard, machine: Machine, tree: FakeTree) -> None:
    look(guard, machine, SHORT)
    tree.take()
    guard.configure(MemoryLimits(0, 0.0), 4)
    look(guard, machine, SHORT)
    assert sorted(tree.take(), key=lambda one: one[0]) == both(Ration(0, True))


def test_other_limits_are_in_force_at_once(guard: Guard, machine: Machine, tree: FakeTree) -> None:
    guard.configure(MemoryLimits(0, 0.0), 4)
    look(guard, machine, SHORT)
    assert tree.take() == []
    guard.configure(MemoryLimits(100, 0.0), 8)
    look(guard, machine, SHORT)
    assert ("pool", Ration(4, False)) in tree.take()


@pytest.mark.tree
@pytest.mark.reaches("machine.short_of_memory")
def test_a_machine_that_is_short_works_less_and_fetches_nothing(
    tmp_path: Path, make_instance: Callable[..., Instance]
) -> None:
    instance = make_instance(make_export(tmp_path / "export", 3), workers=2)
    text = instance.config.read_text()
    floor = "[supervisor]\nmemory_floor_mb = {}"  # 16 TiB is more than it has; 0 is off, as is the other limit
    off = "\nmemory_pressure_percent = 0"
    instance.config.write_text(text.replace("[supervisor]", floor.format(2**24) + off))
    instance.start()

    def is_rationed() -> dict[str, Any] | None:
        body = instance.status()
        whats = [one["what"] for one in body["problems"]] if body else []
        rests = instance.row("image-2").get("state") == "stopped"
        return body if rests and any("short of memory" in what for what in whats) else None

    body = wait_for("it to be rationed", is_rationed)
    wait_for("all to be recorded", lambda: (instance.status() or body)["stats"]["seen"] == 3)
    body = wait_for("it to be a problem", is_rationed)
    (problem,) = body["problems"]
    assert "1 image worker at work, nothing is fetched" in problem["what"] and "bin/run memory" in problem["remedy"]
    assert body["stats"]["seen"] == 3, "recorded, and not fetched"
    wait_for("the one to be at work", lambda: instance.row("image-1")["state"] == "running")
    os.kill(instance.pids()["connection"], signal.SIGKILL)
    wait_for("it to be replaced", lambda: instance.row("connection").get("restarts") == 1)
    wait_for("it to run", lambda: instance.row("connection")["state"] == "running")
    instance.config.write_text(text.replace("[supervisor]", floor.format(0) + off))
    assert instance.answer("reload").returncode == 0
    instance.wait_until_done()
    wait_for("all to work again", lambda: instance.row("image-2")["state"] == "running")
    assert [one["event"] for one in instance.records() if one["event"].startswith("machine.")] == [
        "machine.memory_short",
        "machine.memory_recovered",
    ]
    assert instance.stop() == 0
    instance.assert_published([1, 2, 3])
    instance.assert_nothing_left()
