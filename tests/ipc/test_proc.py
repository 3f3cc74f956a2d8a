"""What the kernel says in /proc, of this process and of none."""

from __future__ import annotations

import doctest
import os
from pathlib import Path

from ipc import proc

GONE = 2**22 + 1
"""Above the largest process id."""


def test_of_this_process() -> None:
    sizes = proc.process_sizes()
    assert sizes == proc.process_sizes(os.getpid()) or sizes["VmHWM"] >= sizes["VmRSS"] > 2**20
    assert 0 < proc.shared_sizes(os.getpid())["Pss"] <= 2 * sizes["VmRSS"]
    running = proc.running(os.getpid())
    assert running is not None and running.state == "R" and running.cpu_seconds > 0
    assert proc.queued_seconds(os.getpid()) >= 0.0
    assert (proc.available_bytes() or 0) > 2**20
    assert proc.counter(proc.read(proc.PROC / "vmstat"), "nr_free_pages")


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert proc.process_sizes(GONE) == proc.shared_sizes(GONE) == {}
    assert proc.running(GONE) is None and proc.queued_seconds(GONE) == 0.0
    assert proc.available_bytes(tmp_path) is None and proc.pressure_percent(tmp_path) is None
    assert proc.counter("oom_kill\noom_kill x\n", "oom_kill") is None


def test_examples() -> None:
    assert doctest.testmod(proc).failed == 0
