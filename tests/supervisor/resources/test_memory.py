"""Figures of memory, as the kernel gives them."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from supervisor.resources import memory


def test_rss_of_a_process() -> None:
    fields = dict(line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines())
    ours = int(fields["VmRSS"].split()[0]) * 1024
    assert 0.5 * ours < memory.rss_bytes(os.getpid()) < 2 * ours


def test_the_share_of_a_process() -> None:
    ours = memory.share(os.getpid())
    assert 0 < ours.uss_bytes <= ours.pss_bytes <= memory.rss_bytes(os.getpid()) * 1.1
    assert memory.share(2**22 + 1) == memory.Share(), "there is no such process"


def test_what_is_shared_is_not_ones_own() -> None:
    hoard = b"x" * (32 << 20)
    before = memory.share(os.getpid())
    child = os.fork()
    if child == 0:
        time.sleep(60)
        os._exit(0)
    after = memory.share(os.getpid())
    os.kill(child, signal.SIGKILL)
    os.waitpid(child, 0)
    assert before.uss_bytes - after.uss_bytes > 0.9 * len(hoard)
    assert before.pss_bytes - after.pss_bytes > 0.4 * len(hoard), "half of it"


def test_a_trend() -> None:
    history = memory.MemoryHistory()
    for minute in range(60):
        assert history.is_due(60.0 * minute)
        history.add(60.0 * minute, 10**6 + 1000 * minute + (-1) ** minute, memory.Share(7, 5))
        assert not history.is_due(60.0 * minute + 59)
        assert (history.trend_bytes_per_hour() is None) == (minute < memory.TREND_SAMPLES - 1)
    assert abs((history.trend_bytes_per_hour() or 0) - 60_000) < 100
    for minute in range(60, 60 + memory.HISTORY_SAMPLES):
        history.add(60.0 * minute, 10**6, memory.Share(8, 6))
    assert history.facts() == {"pss_bytes": 8, "uss_bytes": 6, "rss_trend_bytes_per_hour": 0}, "the rest is forgotten"


def test_rss_grows_with_what_is_touched() -> None:
    code = "import sys; b = b'x' * (64 << 20); print(flush=True); sys.stdin.read()"
    with subprocess.Popen([sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE) as process:
        assert process.stdout is not None
        process.stdout.readline()
        assert 64 * memory.MIB < memory.rss_bytes(process.pid) < 128 * memory.MIB
    assert memory.rss_bytes(process.pid) == 0, "it is gone"


def test_oom_kills_are_counted_since_the_machine_was_started(monkeypatch: pytest.MonkeyPatch) -> None:
    assert memory.kernel_oom_kills() >= 0
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "nr_free_pages 12\noom_kill_disable 9\noom_kill 3\nx 1\n")
    assert memory.kernel_oom_kills() == 3
    monkeypatch.setattr(Path, "read_text", lambda *_, **__: "nr_free_pages 12\n")
    assert memory.kernel_oom_kills() == 0


def test_a_machine_that_does_not_tell_has_none(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object, **__: object) -> str:
        raise PermissionError

    monkeypatch.setattr(Path, "read_text", refuse)
    assert memory.kernel_oom_kills() == 0
