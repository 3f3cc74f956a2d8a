"""What the kernel says in /proc, of this process and of none."""

from __future__ import annotations

import doctest
import os
from pathlib import Path

from ipc.kernel import proc

GONE = 2**22 + 1
"""Above the largest process id."""


def test_of_this_process() -> None:
    sizes = proc.process_sizes()
    assert sizes == proc.process_sizes(os.getpid()) or sizes["VmHWM"] >= sizes["VmRSS"] > 2**20
    pss, uss = proc.share(proc.own("smaps_rollup"))
    assert 0 < uss <= pss <= 2 * sizes["VmRSS"]
    running = proc.running(os.getpid())
    assert running is not None and running.state == "R" and running.cpu_seconds > 0
    assert proc.queued_seconds(os.getpid()) >= 0.0
    assert (proc.available_bytes() or 0) > 2**20
    assert proc.counter(proc.read(proc.PROC / "vmstat"), "nr_free_pages")


def test_own_files_stay_readable_and_fresh() -> None:
    """Kept open, as in a sandbox, they are read anew each time."""
    proc.keep_own_open()
    before, _ = proc.rss_bytes(), proc.share(proc.own("smaps_rollup"))
    ballast = os.urandom(64 * 2**20)
    assert 60 * 2**20 < proc.rss_bytes() - before < 80 * 2**20
    assert proc.share(proc.own("smaps_rollup"))[1] > len(ballast)


def test_what_is_not_there_is_nothing(tmp_path: Path) -> None:
    assert proc.process_sizes(GONE) == {} and proc.share("") == (0, 0)
    assert proc.running(GONE) is None and proc.queued_seconds(GONE) == 0.0
    assert proc.available_bytes(tmp_path) is None and proc.pressure_percent(tmp_path) is None
    assert proc.counter("oom_kill\noom_kill x\n", "oom_kill") is None


def test_examples() -> None:
    assert doctest.testmod(proc).failed == 0
