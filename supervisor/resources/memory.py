"""How much memory a process has, and whether the kernel has had to kill for it. The only home of psutil."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, field
from typing import Any

import psutil

from ipc.kernel import proc

MIB = 1024 * 1024

HISTORY_SECONDS = 60.0
"""Between two samples that are kept."""

HISTORY_SAMPLES = 180
"""The last three hours."""

TREND_SAMPLES = 10
"""Fewer say nothing: what a process loads in its first minutes is no leak."""


@dataclass(frozen=True, slots=True)
class Share:
    """A process' part of memory that several have: pages that n of them share count for 1/n (PSS), or not (USS)."""

    pss_bytes: int = 0
    uss_bytes: int = 0


@dataclass
class MemoryHistory:
    """One incarnation's memory over time: a sample a minute, of the last hours. Times in monotonic seconds."""

    pss_bytes: int = 0
    uss_bytes: int = 0
    _samples: deque[tuple[float, int]] = field(default_factory=lambda: deque(maxlen=HISTORY_SAMPLES))

    def is_due(self, now: float) -> bool:
        return not self._samples or now - self._samples[-1][0] >= HISTORY_SECONDS

    def add(self, now: float, rss: int, share: Share) -> None:
        self._samples.append((now, rss))
        self.pss_bytes, self.uss_bytes = share.pss_bytes, share.uss_bytes

    def facts(self) -> dict[str, Any]:
        """What a row of /status says of it."""
        return {
            "pss_bytes": self.pss_bytes,
            "uss_bytes": self.uss_bytes,
            "rss_trend_bytes_per_hour": self.trend_bytes_per_hour(),
        }

    def trend_bytes_per_hour(self) -> int | None:
        """How fast the resident memory grows, by a straight line through the samples; None while there are few."""
        if len(self._samples) < TREND_SAMPLES:
            return None
        # Least squares by hand: the statistics module would cost the root 2 MiB.
        count = len(self._samples)
        middle = sum(at for at, _ in self._samples) / count
        spread = sum((at - middle) ** 2 for at, _ in self._samples)
        return round(sum((at - middle) * rss for at, rss in self._samples) / spread * 3600)


def rss_bytes(pid: int) -> int:
    """Resident memory of a process now, in bytes; 0 if it is gone. About 12 µs.

    Not `ru_maxrss`, which an exec'd child inherits from its parent.
    """
    try:
        return int(psutil.Process(pid).memory_info().rss)
    except psutil.Error:
        return 0


def share(pid: int | None = None) -> Share:
    """What it shares with others and what it has for itself; nothing if it is gone or hidden. Some 2 ms.

    None: this process. Our children are hidden, and tell it themselves; commands are not.
    """
    text = proc.own("smaps_rollup") if pid is None else proc.read(proc.PROC / str(pid) / "smaps_rollup")
    return Share(*proc.share(text))


def kernel_oom_kills() -> int:
    """How many processes of this machine the kernel's out-of-memory killer has killed since the machine was started."""
    return proc.counter(proc.read(proc.PROC / "vmstat"), "oom_kill") or 0
