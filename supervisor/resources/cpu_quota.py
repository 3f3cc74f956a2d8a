"""How many processors' worth of time this process may use: its affinity, and what its cgroups give it.

A container that gets half a processor of a machine of 64 still sees 64. What it may use is in its own cgroup or in any
above it: `cpu.max` (v2), `cpu.cfs_quota_us` and `cpu.cfs_period_us` (v1). The least of them counts, rounded up: with a
worker less, a part of what was paid for would never be used.
"""

from __future__ import annotations

import math
import os
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from ipc.kernel import proc


@dataclass(frozen=True, slots=True)
class Processors:
    """How many, and what says so."""

    count: int
    why: str


@dataclass(frozen=True, slots=True)
class _Mount:
    """A cgroup hierarchy as it is mounted: `root` is the cgroup that is seen at `point`."""

    root: str
    point: str
    is_v2: bool


def usable(affinity: int | None = None, root: Path = Path("/")) -> Processors:
    """The processors that this process may use. `affinity`: number it may run on; `root`: where /proc and /sys are."""
    there = len(os.sched_getaffinity(0)) if affinity is None else affinity
    quotas = [found for folder in _cgroups(root) if (found := _quota_of(folder))]
    if quotas:
        quota, file = min(quotas)
        count = max(1, math.ceil(quota))
        if count < there:
            return Processors(count, f"a CPU quota of {quota:g} in {file}, rounded up")
    return Processors(there, f"the process may run on {there} processor{'' if there == 1 else 's'}")


def _cgroups(root: Path) -> Iterator[Path]:
    """The folders of this process' cgroups that limit the processor, and of all above them."""
    mounts = list(_mounts(proc.read(root / "proc/self/mountinfo")))
    for line in proc.read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        is_v2 = number == "0" and not controllers
        if not is_v2 and "cpu" not in controllers.split(","):
            continue
        for mount in mounts:
            if mount.is_v2 is is_v2:
                top = root / mount.point.lstrip("/")
                folder = top / _below(path, mount.root)
                yield folder
                yield from (one for one in folder.parents if one.is_relative_to(top))


def _below(path: str, mounted: str) -> str:
    """Where the cgroup `path` is below a mount of the cgroup `mounted`; that itself, where it is not seen there.

    A container has its own cgroup mounted, but without a namespace of its own it reads the machine's path of it.

    >>> _below("/docker/4711/tree", "/docker/4711"), _below("/user.slice", "/"), _below("/docker/4711", "/other")
    ('tree', 'user.slice', '')
    """
    folder = mounted.rstrip("/") + "/"
    return path.removeprefix(folder) if path.startswith(folder) and ".." not in path.split("/") else ""


def _mounts(mountinfo: str) -> Iterator[_Mount]:
    """The mounts of cgroups with a processor controller, by proc_pid_mountinfo(5)."""
    for line in mountinfo.splitlines():
        before, _, after = line.partition(" - ")
        fields, kind = before.split(), after.split()
        if len(fields) < 5 or len(kind) < 3 or kind[0] not in ("cgroup", "cgroup2"):
            continue
        is_v2 = kind[0] == "cgroup2"
        if is_v2 or "cpu" in kind[2].split(","):
            yield _Mount(_unescaped(fields[3]), _unescaped(fields[4]), is_v2)


def _unescaped(path: str) -> str:
    """A path, of which a space, say, is written there as a backslash and 040."""
    return re.sub(r"\\([0-7]{3})", lambda found: chr(int(found[1], 8)), path)


def _quota_of(folder: Path) -> tuple[float, Path] | None:
    """How many processors' time it gives, and the file that says so; None: no limit."""
    for names in (("cpu.max",), ("cpu.cfs_quota_us", "cpu.cfs_period_us")):
        words = [word for name in names for word in proc.read(folder / name).split()]
        if len(words) == 2 and all(word.isdecimal() and int(word) for word in words):  # else "max" or -1
            return int(words[0]) / int(words[1]), folder / names[0]
    return None
