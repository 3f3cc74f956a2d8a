"""What a process has had of the processors, as the kernel counts it."""

from __future__ import annotations

import contextlib
import os
from pathlib import Path

from ipc.transport.router import Effort

_TICKS_PER_SECOND = os.sysconf("SC_CLK_TCK")


def read(pid: int) -> Effort | None:
    """The effort of a process that is ours and not reaped yet; None if it is gone. Some 50 µs."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8", errors="replace").rpartition(")")[2].split()
    except OSError:
        return None
    state, user, system = fields[0], int(fields[11]), int(fields[12])
    return Effort(
        cpu_seconds=(user + system) / _TICKS_PER_SECOND,
        queued_seconds=_queued_seconds(pid),
        waits_for_disk=state == "D",
        is_stopped=state in "Tt",
    )


def _queued_seconds(pid: int) -> float:
    """Of all its threads; 0 where the kernel doesn't count it."""
    total = 0
    with contextlib.suppress(OSError):  # it is gone
        for task in Path(f"/proc/{pid}/task").iterdir():
            with contextlib.suppress(OSError):  # that thread has just ended, or the kernel has no such file
                total += int((task / "schedstat").read_text(encoding="ascii").split()[1])
    return total / 1e9
