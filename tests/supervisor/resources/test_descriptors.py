"""Standard descriptors that are closed, and the limit on open files: what the program makes of them, and hands on."""

from __future__ import annotations

import resource
import subprocess
import sys
from collections.abc import Callable
from itertools import chain, combinations
from pathlib import Path

import psutil
import pytest

from tests.instance import HOME, Instance, wait_for
from tests.pictures import make_export

CLOSED = [" ".join(some) for some in chain(*(combinations(("<&-", ">&-", "2>&-"), n) for n in (1, 2, 3)))]
SHOW = """
import os
from supervisor.resources import descriptors
descriptors.fill_standard()
import sys
fds = [os.readlink(f"/proc/self/fd/{fd}") == os.devnull for fd in range(3)]
file = open(sys.argv[1], "w")
file.write(f"{fds} {file.fileno() > 2} {[one is not None for one in (sys.stdin, sys.stdout, sys.stderr)]}")
print("said", flush=True)
print("complained", file=sys.stderr, flush=True)
"""


@pytest.mark.parametrize("closed", CLOSED)
def test_what_is_closed_leads_nowhere(closed: str, tmp_path: Path) -> None:
    told = tmp_path / "told"
    done = subprocess.run(
        ["sh", "-c", f'exec "$@" {closed}', "sh", sys.executable, "-P", "-c", SHOW, told],
        stdin=subprocess.PIPE,
        capture_output=True,
        cwd=HOME,
        env={"PYTHONPATH": str(HOME)},
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    expected = [f"{one}&-" in closed.split() for one in ("<", ">", "2>")]
    assert told.read_text() == f"{expected} True {[True] * 3}"
    assert (done.stdout, done.stderr) == (b"" if expected[1] else b"said\n", b"" if expected[2] else b"complained\n")


@pytest.mark.parametrize("closed", CLOSED)
def test_a_command_of_the_program_ends_as_ever(closed: str, tmp_path: Path) -> None:
    words = [sys.executable, "-P", "-m", "supervisor", "status", "--config", str(tmp_path / "none")]
    done = subprocess.run(["sh", "-c", f'exec "$@" {closed}', "sh", *words], cwd=HOME, timeout=60, check=False)
    assert done.returncode == 78


@pytest.mark.tree
def test_a_tree_with_nobody_to_talk_to_and_few_descriptors(
    tmp_path: Path, make_instance: Callable[..., Instance]
) -> None:
    """It runs and stops as ever. The root takes more descriptors than it was given, and a command gets no more."""
    instance = make_instance(make_export(tmp_path / "export", 2))
    instance.through = ["sh", "-c", 'ulimit -Sn 300 && exec "$@" <&- >&- 2>&-', "sh"]
    told = instance.folder / "told"
    instance.start(WORKER_SCRIPT=f"sh -c 'ulimit -Sn >{told}; exec sleep 1000'")
    pids = instance.wait_until_running()
    soft, hard = psutil.Process(pids["root"]).rlimit(resource.RLIMIT_NOFILE)
    assert soft == hard > 300
    assert wait_for("the command", lambda: told.exists() and told.read_text()) == "300\n"
    instance.wait_until_done()
    assert instance.stop() == 0
    instance.assert_published([1, 2])
    instance.assert_nothing_left()
