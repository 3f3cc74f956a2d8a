"""The watchdog: ends the children that outgrow their memory, give no sign of life, or do not stop in time.

It looks and kills; what an exit means and what follows is decided when the child is gone. The reason is put down before
each kill.
"""

from __future__ import annotations

from collections.abc import Collection

import structlog

from supervisor.processes import policy
from supervisor.processes.policy import Intent, Oom
from supervisor.processes.process import Process
from supervisor.processes.slot import Slot
from supervisor.resources import memory

SAMPLE_SECONDS = 1.0
"""How often memory is sampled where no picture is in hand, or as often as there is a tick."""

log = structlog.get_logger()


class Watchdog:
    """Watches the children in their slots."""

    def __init__(self, slots: Collection[Slot]) -> None:
        self._slots = slots
        self._sampled = 0.0
        self._oom_kills = (memory.kernel_oom_kills(),) * 2

    def look(self, now: float, *, closely: bool) -> None:
        """Sample the memory of all (`closely`: now, else at most once a second) and enforce every cap and deadline.

        `now` is when the loop last woke, not the clock's time: if this process was suspended since, the clock has moved
        on and no message was read, and only the next wake-up knows how long that was.
        """
        if closely or now - self._sampled >= SAMPLE_SECONDS:
            self._sample(now)
        for slot in self._slots:
            if slot.process is None:
                continue
            slot.process.escalate(now)
            if slot.process.intent in (None, Intent.STOP):
                _enforce(slot, slot.process, now)

    def oom_of(self, process: Process) -> Oom:
        """Attribute this exit to the kernel's out-of-memory killer, or not."""
        events = process.leaf.events() if process.leaf else {}
        if "oom_kill" in events:
            whose = Oom.OURS if events.get("oom") else Oom.OTHERS
            return whose if events["oom_kill"] else Oom.NO
        return Oom.PERHAPS if memory.kernel_oom_kills() > self._oom_kills[0] else Oom.NO

    def _sample(self, now: float) -> None:
        once_a_second = now - self._sampled >= SAMPLE_SECONDS
        if once_a_second:
            self._oom_kills = (self._oom_kills[1], memory.kernel_oom_kills())
            self._sampled = now
        for slot in self._slots:
            process = slot.process
            if process is None:
                continue
            sample(process)
            if once_a_second and process.leaf:
                process.leaf_peak_bytes = process.leaf.peak_bytes()
            if slot.spec.command is not None and process.history.is_due(now):
                process.history.add(now, process.rss_bytes, memory.share(process.pid))


def sample(process: Process) -> None:
    """Note how much memory the process has now."""
    process.rss_bytes = memory.rss_bytes(process.pid)
    process.peak_rss_bytes = max(process.peak_rss_bytes, process.rss_bytes)


def _enforce(slot: Slot, process: Process, now: float) -> None:
    if process.is_over_cap():
        log.error(
            "child.cap_exceeded",
            child=slot.spec.name,
            pid=process.pid,
            rss_bytes=process.rss_bytes,
            cap_bytes=process.cap_bytes,
        )
        process.end(Intent.MEMORY)
    elif process.intent is Intent.STOP:
        if now >= slot.stop_until:
            log.warning("child.stop_timed_out", child=slot.spec.name, pid=process.pid)
            process.end(Intent.STOP)
            slot.stop_until = now + SAMPLE_SECONDS
    elif _is_hung(slot, process, now):
        log.error(
            "child.hung",
            child=slot.spec.name,
            pid=process.pid,
            ready=process.ready,
            silent_seconds=round(now - process.heard, 1),
            stalled_seconds=process.stalled_seconds,
        )
        process.end_hung(now)


def _is_hung(slot: Slot, process: Process, now: float) -> bool:
    if not process.ready:
        return now - process.spawned - process.suspended_seconds > slot.spec.ready_seconds
    return policy.is_hung(now, process.heard, process.stalled_seconds, slot.spec.hang_seconds, slot.spec.stall_seconds)
