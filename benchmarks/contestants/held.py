"""The memory of running processes: the peak of their summed PSS."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterable
from contextlib import suppress
from pathlib import Path

import psutil

EVERY_SECONDS = 0.02


class Watch:
    """Sums the PSS of `processes()` (their ids) again and again while it is entered; `peak` in MiB.

    PSS divides a page among the processes that share it, so the sum is what they cost the machine.
    """

    def __init__(self, processes: Callable[[], Iterable[int]]) -> None:
        self.peak = 0.0
        self._processes = processes
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)

    def __enter__(self) -> Watch:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join()

    def _look(self) -> None:
        while not self._over.wait(EVERY_SECONDS):
            self.peak = max(self.peak, sum(map(pss, self._processes())))


def pss(pid: int) -> float:
    """The PSS of a process in MiB; 0 where it is gone."""
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="utf-8").splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) / 1024
    return 0.0


def family(pid: int) -> list[int]:
    """A process and all that it has started."""
    with suppress(psutil.NoSuchProcess):
        return [pid, *(child.pid for child in psutil.Process(pid).children(recursive=True))]
    return []
