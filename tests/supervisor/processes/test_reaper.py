"""Process 1 of a container: orphans are reaped, and the exit codes of its own children are left to it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import psutil
import pytest

from tests.instance import HOME, wait_for
from tests.supervisor.stage import spec

pytestmark = pytest.mark.tree

ALONE = """
import ctypes, os, subprocess, time
from supervisor.processes.loop import reaper
ctypes.CDLL(None).prctl(36, 1)  # PR_SET_CHILD_SUBREAPER: orphans come to this process, as they do to process 1
own = subprocess.Popen(["sh", "-c", "sleep 0.3; exit 7"])
parent = subprocess.Popen(["sh", "-c", "sleep 0.1 & sleep 0.1 & exit 5"], stdout=subprocess.DEVNULL)
assert parent.wait() == 5
reaped, until = [], time.monotonic() + 60
while len(reaped) < 2 and time.monotonic() < until:
    reaped += reaper.reap({own.pid})
    time.sleep(0.01)
assert len(set(reaped)) == 2 and own.pid not in reaped, reaped
while os.waitid(os.P_PID, own.pid, os.WEXITED | os.WNOWAIT | os.WNOHANG) is None:
    time.sleep(0.01)
assert reaper.reap({own.pid}) == []
assert own.wait() == 7
assert reaper.reap(()) == []
"""

ROOT = """
import sys
from supervisor.processes.loop import reaper
reaper.is_needed = lambda: True
from tests.supervisor.stage import run_alone
import ctypes
ctypes.CDLL(None).prctl(36, 1)
run_alone(sys.argv[1])
"""


def environ() -> dict[str, str]:
    return {**os.environ, "PYTHONPATH": str(HOME)}


def test_orphans_are_reaped_and_own_children_are_not() -> None:
    done = subprocess.run(
        [sys.executable, "-c", ALONE], env=environ(), capture_output=True, text=True, timeout=100, check=False
    )
    assert (done.returncode, done.stderr) == (0, "")


def test_a_supervisor_that_is_process_1_leaves_no_zombie(tmp_path: Path) -> None:
    """A child dies and leaves a grandchild; when that ends, nobody else would wait for it."""
    one = spec(tmp_path / "notes", "a", "leave_a_grandchild")
    given = json.dumps([{"name": one.name, "target": one.target, "options": one.options}])
    root = subprocess.Popen([sys.executable, "-c", ROOT, given], env=environ(), stdout=subprocess.PIPE)
    try:

        def grandchild() -> int:
            text = (tmp_path / "notes").read_text() if (tmp_path / "notes").exists() else ""
            return next((int(line.split()[1]) for line in text.splitlines() if line.startswith("grandchild")), 0)

        pid = wait_for("the grandchild", grandchild)
        wait_for("the orphan", lambda: psutil.pid_exists(pid) and psutil.Process(pid).ppid() == root.pid)
        psutil.Process(pid).kill()
        wait_for("it to be reaped", lambda: not psutil.pid_exists(pid))
        root.terminate()
        assert root.wait(timeout=60) == 0
    finally:
        root.kill()
        root.communicate()
