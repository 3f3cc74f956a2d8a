"""What an exception means under a cap, and that memory goes back; peaks are tried in a child of their own."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

from workers.rendering.imaging.memory import Gauge, OutOfMemory, memory_need, near_cap, side_by_side_need, trim

MIB = 1024 * 1024


def test_near_cap() -> None:
    assert not near_cap(10**12, None)
    assert not near_cap(899, 1000)
    assert near_cap(900, 1000)
    assert near_cap(5000, 1000)


def test_the_need_is_above_what_was_measured() -> None:
    """Data in MiB at the peak of 12 MP to 1920 px, less the 13 before, in Pillow 13 and pillow_avif 1.6."""
    landscape, portrait = 1920 * 1440, 1920 * 2560
    for measured, top in ((150, landscape), (168, landscape), (241, landscape), (233, portrait)):
        assert memory_need(12_000_000, top, 1_000_000) > measured * MIB


def test_so_many_threads_as_the_cap_lets_run() -> None:
    pixels = [1000 * MIB // 41, 500 * MIB // 41, 100]
    one, two, three = (side_by_side_need(pixels, threads) for threads in (1, 2, 3))
    assert one == 0
    assert 500 * MIB < two < three < two + 100 * MIB

    def threads(cap_mib: int | None) -> int:
        gauge = Gauge.start("a PNG", 1000 * MIB, cap_mib and cap_mib * MIB)
        granted, on_them = gauge.side_by_side(4, pixels)
        assert on_them.expected_bytes == gauge.expected_bytes + side_by_side_need(pixels, granted)
        assert not near_cap(on_them.expected_bytes, gauge.cap_bytes) or granted == 1
        return granted

    assert threads(None) == 3, "no more than renditions"
    assert threads(100_000) == 3
    assert {threads(cap) for cap in range(1000, 4000, 10)} == {1, 2, 3}
    assert Gauge.start("a PNG", 0, None).side_by_side(4, [])[0] == 1


@pytest.mark.parametrize("error", [OSError("broken data stream"), RuntimeError(), ValueError("encoding error 1")])
def test_an_error_is_a_verdict_only_far_from_the_cap(error: Exception) -> None:
    Gauge.start("a PNG", 100 * MIB, None).rule_out_memory(error)
    Gauge.start("a PNG", 100 * MIB, 4096 * MIB).rule_out_memory(error)
    with pytest.raises(OutOfMemory, match=r"^out of memory on a PNG: may need .* under a cap of 100 MiB") as caught:
        Gauge.start("a PNG", 100 * MIB, 100 * MIB).rule_out_memory(error)
    assert caught.value.__cause__ is error


@pytest.mark.parametrize(
    "text", ["Pixel allocation failed: Out of memory", "could not allocate", "out of memory error"]
)
def test_an_error_that_says_so_is_never_a_verdict(text: str) -> None:
    with pytest.raises(OutOfMemory):
        Gauge.start("an AVIF", 0, None).rule_out_memory(RuntimeError(text))


def test_where_the_system_would_not_give_the_need_there_is_no_verdict() -> None:
    """As by a kernel that commits no more than it has."""
    with pytest.raises(OutOfMemory, match="under no cap"):
        Gauge.start("a PNG", 2**46 * 1000, None).rule_out_memory(OSError("broken data stream"))


def test_memory_error_is_never_a_verdict() -> None:
    for cap in (None, 4096 * MIB):
        with pytest.raises(OutOfMemory, match="larger cap"):
            Gauge.start("a PNG", 0, cap).rule_out_memory(MemoryError())


LIES = """
import mmap
from workers.rendering.imaging.memory import Gauge, OutOfMemory
cap = 128 << 20
gauge = Gauge.start("an AVIF that lies", 0, cap)
gauge.rule_out_memory(OSError())
with mmap.mmap(-1, cap, flags=mmap.MAP_PRIVATE) as block:
    for at in range(0, cap, mmap.PAGESIZE):
        block[at] = 1
try:
    gauge.rule_out_memory(OSError())
except OutOfMemory:
    print("no verdict")
Gauge.start("the next", 0, cap).rule_out_memory(OSError())
print("a verdict again")
"""


def test_memory_used_beyond_the_need_counts_for_its_own_job_only() -> None:
    """Even when it was given back before the exception arrived; in a child, as a peak stays for good."""
    child = subprocess.run(
        [sys.executable, "-c", LIES],
        capture_output=True,
        text=True,
        check=False,
        cwd=Path(__file__).parents[4],
    )
    assert (child.stdout, child.stderr) == ("no verdict\na verdict again\n", "")


OUTER = """
import resource
from ipc.kernel import proc
from workers.rendering.imaging.memory import Gauge, OutOfMemory
def verdict(need, cap):
    try:
        Gauge.start("a WebP", need << 20, cap).rule_out_memory(OSError("could not create decoder object"))
    except OutOfMemory as error:
        return str(error)[:16]
    return "verdict"
for kind, field in ((resource.RLIMIT_DATA, "VmData"), (resource.RLIMIT_AS, "VmSize")):
    before = resource.getrlimit(kind)
    limit = proc.process_sizes()[field] + (200 << 20)
    resource.setrlimit(kind, (limit, before[1]))
    for cap in (None, 4096 << 20):
        print(verdict(190, cap), verdict(20, cap))
    resource.setrlimit(kind, before)
"""


def test_a_limit_that_was_set_outside_counts_as_well() -> None:
    """190 of the 200 MiB would fit: but the need is known roughly, and the decoder's allocation failed."""
    command = [sys.executable, "-P", "-c", OUTER]
    root = Path(__file__).parents[4]
    child = subprocess.run(
        command, capture_output=True, text=True, check=False, cwd=root, env={"PYTHONPATH": str(root)}
    )
    assert (child.stdout, child.stderr) == ("out of memory on verdict\n" * 4, "")


def test_trim_gives_memory_back() -> None:
    def resident() -> int:
        return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")

    trim()
    blocks: list[bytes] | None = [bytes(100_000) for _ in range(400)]
    full = resident()
    keep = blocks[-1] if blocks else b""
    blocks = None
    trim()
    assert len(keep) == 100_000
    assert resident() < full - 20 * MIB
