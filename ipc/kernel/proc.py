"""What the kernel says in /proc, read and parsed. Nothing here raises: what cannot be read is empty, zero or None."""

from __future__ import annotations

import contextlib
import os
from dataclasses import dataclass
from pathlib import Path

PROC = Path("/proc")

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES = os.sysconf("SC_PAGE_SIZE")


def read(path: Path) -> str:
    """The file's text; empty if it can't be read (a kernel without PSI says EOPNOTSUPP)."""
    try:
        return path.read_text(encoding="utf-8", errors="surrogateescape")
    except OSError:
        return ""


_own: dict[str, int] = {}


def keep_own_open() -> None:
    """Open what `own` reads, while that can still be opened: before a sandbox closes /proc."""
    for name in ("status", "statm", "smaps_rollup"):
        if name not in _own:
            with contextlib.suppress(OSError):
                _own[name] = os.open(PROC / "self" / name, os.O_RDONLY | os.O_CLOEXEC)


def own(name: str) -> str:
    """The text of a file of this process, one of those that `keep_own_open` opens; empty if it can't be read."""
    if name not in _own:
        return read(PROC / "self" / name)
    try:
        return os.pread(_own[name], 65536, 0).decode()
    except OSError:
        return ""


def sizes(text: str) -> dict[str, int]:
    """The fields that are given in kB, in bytes: of `status`, `meminfo`, `smaps_rollup`.

    >>> sizes("Name:\\tpython\\nVmRSS:\\t  12 kB\\n")
    {'VmRSS': 12288}
    """
    lines = (line.split() for line in text.splitlines())
    return {words[0].rstrip(":"): int(words[1]) * 1024 for words in lines if len(words) == 3 and words[2] == "kB"}


def process_sizes(pid: int | None = None) -> dict[str, int]:
    """A process' memory by kind, in bytes, as in proc_pid_status(5): VmRSS, VmHWM, VmData, … None: this process."""
    return sizes(own("status") if pid is None else read(PROC / str(pid) / "status"))


def rss_bytes(pid: int | None = None) -> int:
    """The resident memory of a process now; 0 if it is gone. None: this process.

    Not `ru_maxrss`, which an exec'd child inherits from its parent.
    """
    words = (own("statm") if pid is None else read(PROC / str(pid) / "statm")).split()
    return int(words[1]) * _PAGE_BYTES if len(words) > 1 else 0


def share(text: str) -> tuple[int, int]:
    """PSS and USS in bytes, of the text of a `smaps_rollup`: pages that n processes share count 1/n there, or not."""
    found = sizes(text)
    return found.get("Pss", 0), sum(size for name, size in found.items() if name.startswith("Private_"))


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
    """How long threads of the process were ready to run while others ran; 0 if the kernel doesn't count it."""
    total = 0
    with contextlib.suppress(OSError):  # it is gone
        for task in (PROC / str(pid) / "task").iterdir():
            words = read(task / "schedstat").split()  # empty: that thread has just ended, or there is no such file
            total += int(words[1]) if len(words) > 1 else 0
    return total / 1e9
