"""Bad things at the edges, to the whole tree: a clock that is set, a slow disk, no files or processes, a freeze."""

from __future__ import annotations

import os
import resource
import signal
import socket
import time
from collections import Counter
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.chaos.machine import BadMachine, bad_machine
from tests.instance import DEADLINE_SECONDS, Instance, wait_for
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


def test_a_slow_disk_freezes_and_a_clock_that_is_set_end_nobody(instance: Instance, machine: BadMachine) -> None:
    """Nothing is lost, nobody is taken for hung or silent, and the work goes on.

    On one tree, one after the other; the slow disk makes that there is work all the while.
    """
    instance.through = machine.through
    machine.set(fsync_seconds=0.15)
    instance.start()
    before = instance.wait_until_running()
    wait_for("the first picture", processed(instance, 1))
    for _ in range(5):
        wait_for("/status, which waits for no disk", instance.status)
    freeze_and_thaw(instance, list(before.values()))
    freeze_and_thaw(instance, [before["root"]])
    for seconds, pictures in ((3600, 1), (0, 3), (-3600, 5)):
        wait_for("some pictures", processed(instance, pictures))
        machine.set(clock_seconds=seconds, fsync_seconds=0.15)
        wait_for("/status", instance.status)
        time.sleep(2.5)  # nobody is ended while each looks at the clock once: no sign shows that it has
        wait_for("all to be well", lambda: (instance.status() or {"problems": None})["problems"] == [])
    machine.set(clock_seconds=-3600)
    assert instance.pids() == before
    finish(instance)
    assert ended(instance) == []


def freeze_and_thaw(instance: Instance, victims: list[int]) -> None:
    """As a laptop's lid or a debugger does it. (A freeze that outlasts every deadline: tests/supervisor.)"""
    before = instance.pids()
    for pid in victims:
        os.kill(pid, signal.SIGSTOP)
    time.sleep(3.0)  # the freeze itself: nobody is blamed for one that outlasts the root's patience with its own loop
    for pid in victims:
        os.kill(pid, signal.SIGCONT)
    assert instance.wait_until_running() == before


def test_no_process_and_no_thread_to_be_had(export: Path, make_instance: MakeInstance, machine: BadMachine) -> None:
    """EAGAIN: it is tried again, the others go on, and nobody is blamed."""
    instance = make_instance(export, "[images]\nwidths = [320]", workers=2)
    instance.through = machine.through
    instance.start()
    no_process_to_be_had(instance, machine)
    no_thread_to_be_had(instance, machine)
    machine.set(no_threads=True)  # what a process has to do now, it does without another thread
    finish(instance)
    victims = ["connection", "health", "image-1", "image-1", "uploader", "uploader"]
    assert sorted(ended(instance)) == [(name, "killed by SIGKILL") for name in victims]
    assert not [one for one in instance.log.read_text().splitlines() if one.startswith(("Traceback", "  File "))]


def refused(instance: Instance) -> Counter[str]:
    """How often each could not be started."""
    return Counter(one["child"] for one in instance.records() if one["event"] == "child.start_failed")


def no_process_to_be_had(instance: Instance, machine: BadMachine) -> None:
    pids = instance.wait_until_running()
    machine.set(no_processes=True)
    for name in ("uploader", "image-1"):
        os.kill(pids[name], signal.SIGKILL)
    wait_for("both to be refused", lambda: set(refused(instance)) == {"uploader", "image-1"})
    assert instance.row("image-2")["state"] == "running"
    machine.set()
    instance.wait_until_running()
    assert instance.row("root")["pid"] == pids["root"]


def no_thread_to_be_had(instance: Instance, machine: BadMachine) -> None:
    """A process starts, but gets no thread: as if it could not be started. Those that run go on without new ones."""
    victims = {"uploader", "image-1", "health", "connection"}
    pids, before = instance.wait_until_running(), refused(instance)
    restarts = {name: instance.row(name)["restarts"] for name in victims}
    machine.set(no_threads=True)
    for name in victims:
        os.kill(pids[name], signal.SIGKILL)
    wait_for("all to be refused, and again", lambda: all(refused(instance)[one] >= before[one] + 2 for one in victims))
    machine.set()
    now = instance.wait_until_running()
    assert {name: pid for name, pid in now.items() if name not in victims} == {
        name: pid for name, pid in pids.items() if name not in victims
    }
    assert {name: instance.row(name)["restarts"] - restarts[name] for name in victims} == dict.fromkeys(victims, 1)


def test_no_file_descriptor_to_be_had(instance: Instance) -> None:
    """EMFILE. In a process that starts others: it is tried again, and the process lives. In the process that answers:
    a client waits, and gets its answer when there is a descriptor again."""
    instance.start()
    for victim, child in (("root", "uploader"), ("pool", "image-1")):
        no_file_descriptor_to_start(instance, victim, child)
    pids = instance.wait_until_running()
    process, port = psutil.Process(pids["health"]), int(str(instance.url()).rpartition(":")[2])
    limits = process.rlimit(resource.RLIMIT_NOFILE)
    process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds() - 1, limits[1]))
    with socket.create_connection(("127.0.0.1", port), timeout=0.5) as client:
        client.sendall(b"GET /status HTTP/1.1\r\nHost: 127.0.0.1\r\nConnection: close\r\n\r\n")
        with pytest.raises(TimeoutError):
            client.recv(1)
        process.rlimit(resource.RLIMIT_NOFILE, limits)
        client.settimeout(DEADLINE_SECONDS)
        assert client.recv(100).startswith(b"HTTP/1.1 200 ")
    assert instance.pids()["health"] == pids["health"]
    finish(instance)


def no_file_descriptor_to_start(instance: Instance, victim: str, child: str) -> None:
    pids = instance.wait_until_running()
    process = psutil.Process(pids[victim])
    limits, said = process.rlimit(resource.RLIMIT_NOFILE), too_many_open(instance)
    process.rlimit(resource.RLIMIT_NOFILE, (process.num_fds(), limits[1]))
    os.kill(pids[child], signal.SIGKILL)
    wait_for("a start that fails", lambda: too_many_open(instance) > said)
    process.rlimit(resource.RLIMIT_NOFILE, limits)
    wait_for("another", lambda: instance.pids().get(child, pids[child]) != pids[child])
    assert instance.wait_until_running()[victim] == pids[victim]


def too_many_open(instance: Instance) -> int:
    return instance.log.read_text().count("Too many open files")
