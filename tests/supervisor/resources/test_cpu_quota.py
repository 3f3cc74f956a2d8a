"""What the cgroups give of the processors, in folders like the kernel's."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from supervisor.resources.cpu_quota import Processors, usable

V2 = "30 25 0:26 / /sys/fs/cgroup rw,nosuid - cgroup2 cgroup2 rw,nsdelegate\n"
V1 = (
    "31 25 0:27 / /sys/fs/cgroup/cpu,cpuacct rw - cgroup cgroup rw,cpu,cpuacct\n"
    "32 25 0:28 / /sys/fs/cgroup/memory rw - cgroup cgroup rw,memory\n"
    "33 25 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n"
)


def machine(root: Path, mounts: str, own: str, files: dict[str, str]) -> Path:
    (root / "proc/self").mkdir(parents=True)
    (root / "proc/self/mountinfo").write_text("25 1 8:1 / / rw - ext4 /dev/sda1 rw\n" + mounts)
    (root / "proc/self/cgroup").write_text(own)
    for name, text in files.items():
        path = root / "sys/fs/cgroup" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


def v1(folder: str, quota: int, period: int = 100_000) -> dict[str, str]:
    at = f"cpu,cpuacct/{folder}"
    return {f"{at}/cpu.cfs_quota_us": f"{quota}\n", f"{at}/cpu.cfs_period_us": f"{period}\n"}


@pytest.mark.parametrize(
    ("mounts", "own", "files", "count"),
    [
        (V2, "0::/\n", {}, 8),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "max 100000\n"}, 8),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "150000 100000\n"}, 2),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "200000 100000\n"}, 2),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "5000 100000\n"}, 1),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "max 100000\n", "a/cpu.max": "30000 10000\n"}, 3),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "400000 100000\n", "a/cpu.max": "100000 100000\n"}, 1),
        (V2, "0::/a/b\n", {"a/b/cpu.max": "6400000 100000\n"}, 8),
        (V2, "0::/a/b\n", {"a/c/cpu.max": "100000 100000\n"}, 8),
        (V2, "0::/\n", {"cpu.max": "50000 100000\n"}, 1),  # a container with a namespace of its own
        (V2, "0::/../elsewhere\n", {"cpu.max": "50000 100000\n"}, 1),
        (V2.replace(" / /sys", " /docker/4711 /sys"), "0::/docker/4711/tree\n", {"cpu.max": "250000 100000\n"}, 3),
        (V2.replace(" / /sys", " /docker/4711 /sys"), "0::/docker/4711\n", {"cpu.max": "250000 100000\n"}, 3),
        (V2, "0::/a\n", {"a/cpu.max": "rubbish\n"}, 8),
        (V2, "0::/a\n", {"a/cpu.max": "0 0\n"}, 8),
        ("", "", {}, 8),
        (V1, "4:cpu,cpuacct:/a\n3:memory:/b\n", v1("a", -1), 8),
        (V1, "4:cpu,cpuacct:/a\n3:memory:/b\n", v1("a", 120_000), 2),
        (V1, "4:cpu,cpuacct:/a/b\n", v1("a/b", -1) | v1("a", 50_000, 50_000), 1),
        (V1, "4:cpuset:/a\n", v1("a", 120_000), 8),
        (V1, "4:cpu,cpuacct:/kubepods/x\n", v1("", 300_000), 3),
        (V1 + V2, "4:cpu,cpuacct:/a\n0::/b\n", v1("a", 300_000) | {"b/cpu.max": "100000 100000\n"}, 1),
        (V2.replace("/sys/fs/cgroup", "/sys/fs/cgroup/a\\040b"), "0::/\n", {"a b/cpu.max": "100000 100000\n"}, 1),
    ],
)
def test_the_least_of_all_counts_rounded_up(
    mounts: str, own: str, files: dict[str, str], count: int, tmp_path: Path
) -> None:
    assert usable(8, machine(tmp_path, mounts, own, files)).count == count


def test_it_says_why(tmp_path: Path) -> None:
    root = machine(tmp_path, V2, "0::/a\n", {"a/cpu.max": "150000 100000\n"})
    quota = f"a CPU quota of 1.5 in {tmp_path}/sys/fs/cgroup/a/cpu.max, rounded up"
    assert usable(8, root) == Processors(2, quota)
    assert usable(2, root) == Processors(2, "the process may run on 2 processors")
    assert usable(1, root) == Processors(1, "the process may run on 1 processor")


def test_on_this_machine() -> None:
    assert 1 <= usable().count <= len(os.sched_getaffinity(0))
