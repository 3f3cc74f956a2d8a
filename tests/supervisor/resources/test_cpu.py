"""What the kernel counts of a process' processor time."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest

from ipc.transport.router import CpuUsage
from supervisor.resources import cpu
from tests.instance import wait_for

BUSY = (
    "import os, threading\nos.sched_setaffinity(0, {min(os.sched_getaffinity(0))})\n"
    "def spin():\n    while True: pass\nthreading.Thread(target=spin).start()\nspin()"
)


@pytest.fixture
def busy() -> Iterator[int]:
    """A process that has always something to do, in two threads, on one processor."""
    with subprocess.Popen([sys.executable, "-c", BUSY]) as process:
        yield process.pid
        process.kill()


def of(pid: int) -> CpuUsage:
    read = cpu.read(pid)
    assert read is not None
    return read


def test_the_time_of_all_threads_is_counted(busy: int) -> None:
    wait_for("it to work", lambda: of(busy).cpu_seconds > 0.3)
    before = of(os.getpid())
    assert before.cpu_seconds <= of(os.getpid()).cpu_seconds
    assert not of(busy).waits_for_disk and not of(busy).is_stopped


def test_to_wait_for_a_processor_is_counted(busy: int) -> None:
    """Two threads that are held to one processor."""
    wait_for("it to wait", lambda: of(busy).queued_seconds > 0.1)


def test_who_is_stopped(busy: int) -> None:
    os.kill(busy, signal.SIGSTOP)
    wait_for("it to be stopped", lambda: of(busy).is_stopped)
    cpu_seconds = of(busy).cpu_seconds
    os.kill(busy, signal.SIGCONT)
    wait_for("it to go on", lambda: of(busy).cpu_seconds > cpu_seconds and not of(busy).is_stopped)


def test_a_process_that_is_gone() -> None:
    assert cpu.read(2**22 + 1) is None
