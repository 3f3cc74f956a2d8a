"""What a process has had of the processors, as the kernel counts it."""

from __future__ import annotations

from ipc.kernel import proc
from ipc.transport.router import CpuUsage


def read(pid: int) -> CpuUsage | None:
    """The usage of a process that is ours and not reaped yet; None if it is gone. Some 50 µs."""
    running = proc.running(pid)
    if running is None:
        return None
    return CpuUsage(
        cpu_seconds=running.cpu_seconds,
        queued_seconds=proc.queued_seconds(pid),
        waits_for_disk=running.state == "D",
        is_stopped=running.state in "Tt",
    )
