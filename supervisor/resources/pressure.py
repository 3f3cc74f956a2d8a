"""Whether the machine is short of memory, and what follows: pure functions, with the clock as an argument.

Short is a machine that could give less than a floor (MemAvailable), or whose processes wait for memory more than some
part of their time (PSI). Then half of the image workers rest and nothing more is fetched; if it lasts, half of those
left. It recovers in the same steps, the other way round.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from ipc.kernel import proc

PressureState = Literal["ok", "short"]

STEP_SECONDS = 30.0
"""Between two steps down, for the last one to show in the kernel's averages (of 10 s); and how long it must have
been well before a step up."""

FLOOR_MARGIN = 1.5
"""Memory is well again at this multiple of the floor, and at half of the allowed pressure. Else it would be short again
with the first worker that comes back."""


@dataclass(frozen=True, slots=True)
class MemoryLimits:
    """What is short: below `floor_bytes`, above `percent` of the time (each 0: never)."""

    floor_bytes: int
    percent: float


@dataclass(frozen=True, slots=True)
class Reading:
    """What the machine, or the cgroup that we are in, could still give, and the part of the last 10 s in which some
    process had to wait for memory (percent). None: it doesn't say.
    """

    available_bytes: int | None
    percent: float | None


@dataclass(frozen=True, slots=True)
class RationState:
    """How the work is rationed: the number of image workers (0: all), and whether pictures are fetched; `since` is when
    the state or the ration last changed (monotonic seconds).
    """

    state: PressureState = "ok"
    since: float = 0.0
    workers: int = 0
    intake: bool = True

    @property
    def is_full(self) -> bool:
        return self.workers == 0 and self.intake


def judge(reading: Reading, limits: MemoryLimits, before: PressureState) -> PressureState:
    """Whether memory is short now. It is short from the limits on, and well only at some distance from them."""
    available, percent = reading.available_bytes, reading.percent
    margin, part = (FLOOR_MARGIN, 0.5) if before == "short" else (1.0, 1.0)
    if limits.floor_bytes and available is not None and available < limits.floor_bytes * margin:
        return "short"
    if limits.percent and percent is not None and percent > limits.percent * part:
        return "short"
    return "ok"


def step(before: RationState, state: PressureState, workers: int, now: float) -> RationState:
    """The next ration. `workers` is the number of all image workers."""
    if state == "short" and before.state == "ok":
        return RationState("short", now, max(1, (before.workers or workers) // 2), intake=False)
    if state != before.state:
        return replace(before, state=state, since=now)
    if before.is_full or now - before.since < STEP_SECONDS:
        return before
    if state == "short":
        return replace(before, since=now, workers=before.workers // 2) if before.workers > 1 else before
    more = 2 * before.workers
    return RationState("ok", now, more if more < workers else 0, intake=True)


def read(cgroup: Path | None, root: Path = proc.PROC) -> Reading:
    """What the kernel says of the machine, and of our cgroup, whichever is worse. Some 100 µs; more with a cgroup."""
    available = [proc.available_bytes(root)]
    pressure = [proc.pressure_percent(root / "pressure" / "memory")]
    if cgroup is not None:
        available.append(_left_in(cgroup))
        pressure.append(proc.pressure_percent(cgroup / "memory.pressure"))
    return Reading(
        min((one for one in available if one is not None), default=None),
        max((one for one in pressure if one is not None), default=None),
    )


def _left_in(cgroup: Path) -> int | None:
    """What the cgroup may still take: up to its limit, and in place of the files that are only kept in memory."""
    limit, used = (proc.read(cgroup / f"memory.{name}").strip() for name in ("max", "current"))
    if not limit.isdecimal() or not used.isdecimal():
        return None
    stat = proc.read(cgroup / "memory.stat")
    files = [proc.counter(stat, f"{name}_file") or 0 for name in ("active", "inactive")]
    return max(0, int(limit) - int(used) + sum(files))
