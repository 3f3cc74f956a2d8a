"""Whether memory is short and what follows, as truth tables; and what the kernel's files say."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from supervisor.resources.pressure import (
    STEP_SECONDS,
    MemoryLimits,
    PressureState,
    RationState,
    Reading,
    judge,
    read,
    step,
)

LASTS: tuple[PressureState, float] = ("short", STEP_SECONDS)
HEALS: tuple[PressureState, float] = ("ok", STEP_SECONDS)
LIMITS = MemoryLimits(floor_bytes=100, percent=20.0)


@pytest.mark.parametrize(
    ("available", "percent", "limits", "from_ok", "from_short"),
    [
        (1000, 0.0, LIMITS, "ok", "ok"),
        (100, 0.0, LIMITS, "ok", "short"),
        (99, 0.0, LIMITS, "short", "short"),
        (149, 0.0, LIMITS, "ok", "short"),
        (150, 0.0, LIMITS, "ok", "ok"),
        (1000, 20.0, LIMITS, "ok", "short"),
        (1000, 20.1, LIMITS, "short", "short"),
        (1000, 10.1, LIMITS, "ok", "short"),
        (1000, 10.0, LIMITS, "ok", "ok"),
        (0, 100.0, MemoryLimits(0, 0.0), "ok", "ok"),
        (0, 0.0, MemoryLimits(0, 20.0), "ok", "ok"),
        (1000, 100.0, MemoryLimits(100, 0.0), "ok", "ok"),
        (None, None, LIMITS, "ok", "ok"),
        (None, 50.0, LIMITS, "short", "short"),
    ],
)
def test_what_is_short(
    available: int | None,
    percent: float | None,
    limits: MemoryLimits,
    from_ok: PressureState,
    from_short: PressureState,
) -> None:
    reading = Reading(available, percent)
    assert (judge(reading, limits, "ok"), judge(reading, limits, "short")) == (from_ok, from_short)


@given(st.integers(0, 300), st.floats(0, 100))
def test_what_is_short_from_well_is_short_from_short(available: int, percent: float) -> None:
    reading = Reading(available, percent)
    assert judge(reading, LIMITS, "ok") == "ok" or judge(reading, LIMITS, "short") == "short"


def played(workers: int, *states: tuple[PressureState, float]) -> list[tuple[int, bool]]:
    """Workers and intake after each of these states, the second of which says how long after the one before."""
    ration, now, seen = RationState(), 1000.0, []
    for state, seconds in states:
        now += seconds
        ration = step(ration, state, workers, now)
        seen.append((ration.workers, ration.intake))
    return seen


def test_well_is_well() -> None:
    assert played(8, ("ok", 0), ("ok", 1e6)) == [(0, True)] * 2


def test_half_of_them_at_once_and_half_of_those_left_while_it_lasts() -> None:
    seen = played(8, ("short", 0), ("short", STEP_SECONDS - 1), ("short", 1), ("short", 1), *[LASTS] * 3)
    assert seen == [(4, False), (4, False), (2, False), (2, False), (1, False), (1, False), (1, False)]


def test_it_recovers_in_steps_when_it_has_been_well_for_some_time() -> None:
    seen = played(8, *[LASTS] * 3, ("ok", 1), ("ok", STEP_SECONDS - 1), *[HEALS] * 3)
    assert seen == [(4, False), (2, False), (1, False), (1, False), (1, False), (2, True), (4, True), (0, True)]


def test_short_again_while_it_recovers() -> None:
    seen = played(8, ("short", 0), ("ok", 1), ("short", 1), ("ok", 1), ("ok", STEP_SECONDS), ("short", 1))
    assert seen == [(4, False), (4, False), (2, False), (2, False), (4, True), (2, False)]


@pytest.mark.parametrize(("workers", "left"), [(1, 1), (2, 1), (3, 1), (5, 2)])
def test_one_is_always_at_work(workers: int, left: int) -> None:
    assert played(workers, ("short", 0), ("ok", 1), ("ok", STEP_SECONDS), ("ok", STEP_SECONDS))[0] == (left, False)
    assert played(workers, ("short", 0), ("ok", 1), *[HEALS] * 3)[-1] == (0, True)


@given(st.integers(1, 64), st.lists(st.tuples(st.sampled_from(["ok", "short"]), st.floats(0, 100))))
def test_whatever_comes_it_ends_well(workers: int, states: list[tuple[PressureState, float]]) -> None:
    for count, _ in played(workers, *states):
        assert 0 <= count <= workers
    assert played(workers, *states, *[HEALS] * 8)[-1] == (0, True)


# --- the kernel's files ---------------------------------------------------------------------------------------


def proc(tmp_path: Path, available_kb: int, percent: float) -> Path:
    (tmp_path / "pressure").mkdir()
    (tmp_path / "meminfo").write_text(f"MemTotal: 9000 kB\nMemFree: 1 kB\nMemAvailable:   {available_kb} kB\n")
    (tmp_path / "pressure" / "memory").write_text(
        f"some avg10={percent} avg60=99.00 avg300=99.00 total=7\nfull avg10=99.00 avg60=0.00 avg300=0.00 total=1\n"
    )
    return tmp_path


def test_the_machine(tmp_path: Path) -> None:
    assert read(None, proc(tmp_path, 500, 12.34)) == Reading(500 * 1024, 12.34)


def test_this_machine() -> None:
    reading = read(None)
    assert reading.available_bytes is not None and reading.available_bytes > 0
    assert reading.percent is None or 0 <= reading.percent <= 100


def test_a_kernel_that_says_nothing(tmp_path: Path) -> None:
    assert read(tmp_path / "nowhere", tmp_path) == Reading(None, None)


@pytest.mark.parametrize(
    ("limit", "available"), [("max", 500 * 1024), ("300000", 300_000 - 120_000 + 30_000), ("100000", 10_000)]
)
def test_the_cgroup_that_we_are_in_counts_too(limit: str, available: int, tmp_path: Path) -> None:
    cgroup = tmp_path / "cgroup"
    cgroup.mkdir()
    (cgroup / "memory.max").write_text(f"{limit}\n")
    (cgroup / "memory.current").write_text("120000\n")
    (cgroup / "memory.stat").write_text("anon 90000\nfile 30000\ninactive_file 10000\nactive_file 20000\n")
    (cgroup / "memory.pressure").write_text("some avg10=33.00 avg60=0.00 avg300=0.00 total=7\n")
    assert read(cgroup, proc(tmp_path, 500, 1.0)) == Reading(available, 33.0)
