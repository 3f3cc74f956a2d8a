"""Bad things at the edges, to the whole tree: a clock that is set, a slow disk, no files or processes, a freeze."""

from __future__ import annotations

import os
import resource
import signal
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.machine import BadMachine, bad_machine
from tests.instance import Instance, wait_for
from tests.pictures import make_export

COUNT = 8
MakeInstance = Callable[..., Instance]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("edges") / "export", COUNT, size=(640, 480))


@pytest.fixture
def machine(tmp_path: Path) -> Iterator[BadMachine]:
    (tmp_path / "machine").mkdir()
    with bad_machine(tmp_path / "machine") as machine:
        yield machine


@pytest.fixture
def instance(export: Path, make_instance: MakeInstance) -> Instance:
    return make_instance(export, "[images]\nwidths = [320]")


def processed(instance: Instance, at_least: int) -> Callable[[], bool]:
    return lambda: ((instance.status() or {"stats": {"processed": 0}})["stats"]["processed"]) >= at_least


def ended(instance: Instance) -> list[tuple[str, str]]:
    """Who has ended without having been asked, and of what."""
    records = [one for one in instance.records() if one["event"] == "child.exited" and one["cause"] != "asked"]
    return [(one["child"], one["what"]) for one in records]


def finish(instance: Instance) -> None:
    """All is published, nothing is left."""
    instance.wait_until_done()
    assert instance.stop() == 0
    instance.assert_published(list(range(1, COUNT + 1)))
    instance.assert_nothing_left()


def test_the_clock_is_set_an_hour_on_and_back_again(instance: Instance, machine: BadMachine) -> None:
    """Nobody is taken for hung or silent, and the work goes on."""
    instance.through = machine.through
    instance.start()
    instance.wait_until_running()
    before = instance.pids()
    for seconds, pictures in ((3600, 1), (0, 3), (-3600, 5)):
        wait_for("some pictures", processed(instance, pictures))
        machine.set(clock_seconds=seconds)
        wait_for("/status", instance.status)
        time.sleep(2.5)  # for everybody to look at the clock once
        wait_for("all to be well", lambda: (instance.status() or {"problems": None})["problems"] == [])
    assert instance.pids() == before
    assert ended(instance) == []
    finish(instance)


def test_a_slow_disk_is_waited_for(instance: Instance, machine: BadMachine) -> None:
    """Every fsync takes its time: nothing is lost, nobody is taken for hung, /status answers."""
    instance.through = machine.through
    machine.set(fsync_seconds=0.15)
    instance.start()
    instance.wait_until_running()
    wait_for("the first picture", processed(instance, 1))
    for _ in range(5):
        wait_for("/status, which waits for no disk", instance.status)
    machine.set()
    finish(instance)
    assert ended(instance) == []


def test_no_process_to_be_had(export: Path, make_instance: MakeInstance, machine: BadMachine) -> None:
    """EAGAIN: it is tried again, the others go on, and nobody is blamed."""
    instance = make_instance(export, "[images]\nwidths = [320]", workers=2)
    instance.through = machine.through
    instance.start()
    pids = instance.wait_until_running()
    machine.set(no_processes=True)
    for name in ("uploader", "image-1"):
        os.kill(pids[name], signal.SIGKILL)

    def refused() -> set[str]:
        return {one["child"] for one in instance.records() if one["event"] == "child.start_failed"}

    wait_for("both to be refused", lambda: refused() == {"uploader", "image-1"})
    assert instance.row("image-2")["state"] == "running"
    machine.set()
    instance.wait_until_running()
    assert instance.row("root")["pid"] == pids["root"]
    finish(instance)


def test_no_thread_to_be_had(instance: Instance, machine: BadMachine) -> None:
    """A process starts, but gets no thread: as if it could not be started. Those that run go on without new ones."""
    instance.through = machine.through
    instance.start()
    pids = instance.wait_until_running()
    machine.set(no_threads=True)
    victims = {"uploader", "image-1", "health", "connection"}
    for name in victims:
        os.kill(pids[name], signal.SIGKILL)

    def refused() -> Counter[str]:
        return Counter(one["child"] for one in instance.records() if one["event"] == "child.start_failed")

    wait_for("all to be refused, and again", lambda: all(refused()[name] >= 2 for name in victims))
    machine.set()
    now = instance.wait_until_running()
    assert {name: pid for name, pid in now.items() if name not in victims} == {
        name: pid for name, pid in pids.items() if name not in victims
    }
    assert {name: instance.row(name)["restarts"] for name in victims} == dict.fromkeys(victims, 1)
    machine.set(no_threads=True)  # what a process has to do now, it does without another thread
    finish(instance)
    assert sorted(ended(instance)) == sorted((name, "killed by SIGKILL") for name in victims)
    assert not [one for one in instance.log.read_text().splitlines() if one.startswith(("Traceback", "  File "))]


@pytest.mark.parametrize("victim", ["root", "pool"])
def test_no_file_descriptor_to_be_had(victim: str, instance: Instance) -> None:
    """EMFILE in a process that starts others: it is tried again, and the process lives."""
    instance.start()
    pids = instance.wait_until_running()
    process = psutil.Process(pids[victim])
    limits = process.rlimit(resource.RLIMIT_NOFILE)
    process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds(), limits[1]))
    child = "uploader" if victim == "root" else "image-1"
    os.kill(pids[child], signal.SIGKILL)
    wait_for("a start that fails", lambda: "Too many open files" in instance.log.read_text())
    process.rlimit(resource.RLIMIT_NOFILE, limits)
    wait_for("another", lambda: instance.pids().get(child, pids[child]) != pids[child])
    assert instance.wait_until_running()[victim] == pids[victim]
    finish(instance)


def test_no_file_descriptor_for_those_who_ask(instance: Instance) -> None:
    """EMFILE in the process that answers: a client waits, and gets its answer when there is a descriptor again."""
    instance.start()
    pids = instance.wait_until_running()
    process = psutil.Process(pids["health"])
    limits = process.rlimit(resource.RLIMIT_NOFILE)
    process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds() - 1, limits[1]))
    for _ in range(3):
        instance.status()
    process.rlimit(resource.RLIMIT_NOFILE, limits)
    wait_for("an answer", instance.status)
    assert instance.pids()["health"] == pids["health"]
    finish(instance)


@pytest.mark.parametrize("frozen", ["everybody", "root"])
def test_a_freeze_and_a_thaw(frozen: str, instance: Instance) -> None:
    """As a laptop's lid or a debugger does it. (A freeze that outlasts every deadline: tests/supervisor.)"""
    instance.start()
    pids = instance.wait_until_running()
    wait_for("the first picture", processed(instance, 1))
    victims = list(pids.values()) if frozen == "everybody" else [pids[frozen]]
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3.0)  # longer than the root's patience with its own loop
    for pid in victims:
        os.kill(pid, signal.SIGCONT)
    assert instance.wait_until_running() == pids
    finish(instance)
    assert ended(instance) == []
