"""The killer of the commands' process groups, with real processes: what it ends, and when it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import psutil
import pytest

from supervisor.commands.group_killer import GroupKiller
from tests.instance import HOME, wait_for
from tests.supervisor.stage import open_fds

pytestmark = pytest.mark.tree


@pytest.fixture
def groups() -> Iterator[list[subprocess.Popen[bytes]]]:
    """Three process groups of one process each."""
    made = [subprocess.Popen(["sleep", "1000"], start_new_session=True) for _ in range(3)]
    yield made
    for one in made:
        one.kill()
        one.wait()


@pytest.fixture
def killer() -> Iterator[GroupKiller]:
    before = open_fds()
    killer = GroupKiller()
    yield killer
    killer.close()
    killer.close()
    assert open_fds() == before


def test_one_that_is_closed_kills_nobody(killer: GroupKiller, groups: list[subprocess.Popen[bytes]]) -> None:
    for one in groups:
        killer.add(one.pid)
    killer.close()
    assert [one.poll() for one in groups] == [None] * 3


def test_the_groups_that_are_left_end_with_the_supervisor(groups: list[subprocess.Popen[bytes]]) -> None:
    """Also if the process itself was killed in between, and asked politely to leave."""
    code = """if True:
        import os, psutil, signal, sys, time
        from pathlib import Path
        from supervisor.commands.group_killer import GroupKiller
        killer = GroupKiller()
        first, second, third = map(int, sys.argv[1:])
        killer.add(first)
        (helper,) = psutil.Process().children()
        helper.kill()
        helper.wait()
        killer.add(second)
        killer.add(third)
        killer.remove(second)
        (helper,) = psutil.Process().children()
        status = Path(f"/proc/{helper.pid}/status")
        ignored = lambda: int(status.read_text().partition("SigIgn:")[2].split()[0], 16)
        while not ignored() & 1 << signal.SIGTERM - 1: time.sleep(0.01)
        helper.terminate()
        print("ready", flush=True)
        signal.pause()"""
    pids = [str(one.pid) for one in groups]
    command = [sys.executable, "-P", "-c", code, *pids]
    with subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(HOME)}, stdout=subprocess.PIPE) as supervisor:
        assert supervisor.stdout is not None and supervisor.stdout.readline() == b"ready\n"
        supervisor.kill()
    wait_for("their end", lambda: groups[0].poll() is not None and groups[2].poll() is not None, 20)
    assert [one.poll() for one in groups] == [-signal.SIGKILL, None, -signal.SIGKILL]


def test_one_that_stands_still_holds_up_nobody(killer: GroupKiller, groups: list[subprocess.Popen[bytes]]) -> None:
    others = set(psutil.Process().children())
    killer.add(groups[0].pid)
    (helper,) = set(psutil.Process().children()) - others
    helper.suspend()
    for number in range(10**6, 10**6 + 20_000):
        killer.add(number)
    assert helper.status() == psutil.STATUS_STOPPED
