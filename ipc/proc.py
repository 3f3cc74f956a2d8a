"""What the kernel says in /proc, read and parsed. Nothing here raises: what cannot be read is empty, zero or None."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def read(path: Path) -> str:
    """The file's text; empty if it can't be read (a kernel without PSI says EOPNOTSUPP)."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


def sizes(text: str) -> dict[str, int]:
    """The fields that are given in kB, in bytes: of `status`, `meminfo`, `smaps_rollup`.

    >>> sizes("Name:\\tpython\\nVmRSS:\\t  12 kB\\n")
    {'VmRSS': 12288}
    """
    lines = (line.split() for line in text.splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3 and words[2] == "kB"}


def process_sizes(pid: int | str = "self") -> dict[str, int]:
    """A process' memory by kind, in bytes, as in proc_pid_status(5): VmRSS, VmHWM, VmData, …"""
    return sizes(read(PROC / str(pid) / "status"))


def shared_sizes(pid: int) -> dict[str, int]:
    """A process' part of memory that it shares, in bytes: Pss, Private_Clean, … Some 2 ms."""
    return sizes(read(PROC / str(pid) / "smaps_rollup"))


def available_bytes(proc: Path = PROC) -> int | None:
    """The memory that the machine could still give."""
    return sizes(read(proc / "meminfo")).get("MemAvailable")


def counter(text: str, name: str) -> int | None:
    """A line "name count", of `vmstat` or a cgroup's `memory.stat`.

    >>> counter("oom_kill_disable 9\\noom_kill 3\\n", "oom_kill")
    3
    """
    found = (words[1] for line in text.splitlines() if (words := line.split())[:1] == [name] and len(words) > 1)
    return next((int(count) for count in found if count.isdecimal()), None)


def pressure_percent(path: Path) -> float | None:
    """The part of the last 10 s in which some process had to wait.

    It is avg10 of the line "some avg10=0.00 avg60=0.00 avg300=0.00 total=0".
    """
    for line in read(path).splitlines():
        if line.startswith("some avg10="):
            return float(line.split()[1].partition("=")[2])
    return None


@dataclass(frozen=True, slots=True)
class Running:
    """A process by proc_pid_stat(5): its state's letter, and the processor time of all its threads."""

    state: str
    cpu_seconds: float


def running(pid: int) -> Running | None:
    """None: it is gone."""
    fields = read(PROC / str(pid) / "stat").rpartition(")")[2].split()
    if not fields:
        return None
    return Running(fields[0], (int(fields[11]) + int(fields[12])) / _TICKS_PER_SECOND)


def queued_seconds(pid: int) -> float:
    """How long all threads of the process were ready to run and others ran; 0 where the kernel doesn't count it."""
    total = 0
    with contextlib.suppress(OSError):  # it is gone
        for task in (PROC / str(pid) / "task").iterdir():
            words = read(task / "schedstat").split()  # empty: that thread has just ended, or there is no such file
            total += int(words[1]) if len(words) > 1 else 0
    return total / 1e9
