"""One instance a state_dir: the kernel keeps the lock, the card names its holder."""

from __future__ import annotations

import fcntl
import os
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path

import pytest

from supervisor.host import instance_lock
from supervisor.host.instance_lock import AlreadyRunning, Card, Lock, running
from tests.instance import wait_for
from tests.supervisor.stage import open_fds

HOLDER = """
import sys
from pathlib import Path
from supervisor.host.instance_lock import Lock
lock = Lock(Path(sys.argv[1]))
print(flush=True)
sys.stdin.read()
"""

LOOKER = """
import sys
import time
from pathlib import Path
from supervisor.host.instance_lock import running
print(flush=True)
while True:
    running(Path(sys.argv[1]))
    time.sleep(0.001)  # as often as anybody could look, without having a core to itself
"""


@contextmanager
def run(code: str, state_dir: Path) -> Iterator[subprocess.Popen[bytes]]:
    command = [sys.executable, "-c", code, str(state_dir)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        try:
            yield process
        finally:
            process.kill()


def test_the_second_is_refused_with_the_pid_of_the_first(tmp_path: Path) -> None:
    with run(HOLDER, tmp_path) as holder:
        before = open_fds()
        with pytest.raises(AlreadyRunning) as caught:
            Lock(tmp_path)
        assert open_fds() == before
        assert caught.value.pid == holder.pid
        assert str(caught.value) == (
            f"{tmp_path}: another instance is running here (pid {holder.pid}). Stop it first (kill {holder.pid}), or"
            " give this one a state_dir of its own"
        )
        found = running(tmp_path)
        assert found == Card(holder.pid, "", "")


def test_a_holder_that_is_killed_lets_go(tmp_path: Path) -> None:
    with run(HOLDER, tmp_path) as holder:
        holder.kill()
        holder.wait()
        assert running(tmp_path) is None
        lock = Lock(tmp_path)
        assert running(tmp_path) == Card(os.getpid(), "", "")
        lock.release()
    assert running(tmp_path) is None


def test_the_card(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    long, short = Card(os.getpid(), "http://127.0.0.1:80801", "/a/long/path"), Card(os.getpid(), "", "")
    for card in (long, short, long):
        lock.write(card)
        assert running(tmp_path) == card
    lock.release()
    assert running(tmp_path) is None


@pytest.mark.parametrize("left", [b"", b"garbage", b'{"pid": 1}', b'{"pid": 1, "url": "", "config": ""}' * 9, b"\xff"])
def test_a_stale_file_is_no_instance(left: bytes, tmp_path: Path) -> None:
    (tmp_path / "instance.lock").write_bytes(left)
    assert running(tmp_path) is None
    Lock(tmp_path).release()


def test_a_holder_whose_card_cannot_be_read_is_a_holder_all_the_same(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    (tmp_path / "instance.lock").write_bytes(b"garbage")
    with pytest.raises(AlreadyRunning, match=r"pid unknown.*kill PID"):
        Lock(tmp_path)
    lock.release()


def test_nothing_there(tmp_path: Path) -> None:
    assert running(tmp_path / "nowhere") is None
    assert not (tmp_path / "nowhere").exists(), "looking makes nothing"


def test_the_folder_is_made_for_its_owner_only(tmp_path: Path) -> None:
    Lock(tmp_path / "a" / "b").release()
    assert (tmp_path / "a" / "b").stat().st_mode & 0o777 == 0o700
    assert (tmp_path / "a" / "b" / "instance.lock").stat().st_mode & 0o777 == 0o600


def test_children_do_not_inherit_the_lock(tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE, close_fds=False) as child:
        lock.release()
        wait_for("the lock to be free", lambda: running(tmp_path) is None, 5)
        assert child.poll() is None
        child.kill()


def test_lookers_never_make_a_starter_fail(tmp_path: Path) -> None:
    Lock(tmp_path).release()
    with run(LOOKER, tmp_path), run(LOOKER, tmp_path):
        for _ in range(30):
            Lock(tmp_path).release()


def test_a_starter_waits_for_a_looker_to_have_looked(tmp_path: Path) -> None:
    Lock(tmp_path).release()
    looker = os.open(tmp_path / "instance.lock", os.O_RDWR)
    fcntl.flock(looker, fcntl.LOCK_SH)
    done = threading.Timer(0.03, os.close, [looker])
    done.start()
    Lock(tmp_path).release()
    done.join()


def test_a_looker_always_sees_the_holder(tmp_path: Path) -> None:
    with run(HOLDER, tmp_path) as holder, run(LOOKER, tmp_path):
        until = time.monotonic() + 0.5
        while time.monotonic() < until:
            found = running(tmp_path)
            assert found is not None and found.pid == holder.pid


def test_two_starters_at_once(tmp_path: Path) -> None:
    """One gets it, the other is refused."""
    command = [sys.executable, "-c", HOLDER, str(tmp_path)]
    both = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        for _ in range(2)
    ]
    try:
        wait_for("one to be refused", lambda: [one for one in both if one.poll() not in (None, 0)])
        assert [one.poll() for one in both].count(None) == 1
    finally:
        for one in both:
            one.kill()
            one.communicate()


@pytest.mark.parametrize("by", ["nobody", "removal", "a move", "another folder", "another link"])
def test_a_holder_sees_that_its_folder_is_not_its_own_any_more(by: str, tmp_path: Path) -> None:
    here = tmp_path / "state"
    if by == "another link":
        here.symlink_to(tmp_path / "first")
        (tmp_path / "first").mkdir()
        (tmp_path / "second").mkdir()
    lock = Lock(here)
    assert lock.loss() == ""
    match by:
        case "removal":
            shutil.rmtree(here)
        case "a move":
            here.rename(tmp_path / "elsewhere")
        case "another folder":
            here.rename(tmp_path / "elsewhere")
            Lock(here).release()
        case "another link":
            here.unlink()
            here.symlink_to(tmp_path / "second")
            Lock(here).release()
    expected = {"nobody": "", "removal": "is gone", "a move": "is gone"}.get(by, "is another file now")
    assert (expected in lock.loss()) if expected else lock.loss() == ""
    lock.release()


def test_a_file_system_without_stable_numbers_loses_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ever_new = count()
    monkeypatch.setattr(instance_lock, "_numbers", lambda stat: (1, next(ever_new)))
    lock = Lock(tmp_path)
    assert lock.loss() == ""
    (tmp_path / "instance.lock").unlink()
    assert "is gone" in lock.loss()
    lock.release()
