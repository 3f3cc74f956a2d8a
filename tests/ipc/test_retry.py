"""ipc.retry: when a failed job is tried again, and when it is not."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc.retry import FARTHEST_SECONDS, LONGEST_SECONDS, RetryPolicy

HIGHEST = 0.9999999999999999
POLICY = RetryPolicy(max_attempts=5, base_seconds=60)


@pytest.mark.parametrize(
    ("failures", "lowest", "middle", "highest"),
    [(1, 45, 60, 75), (2, 90, 120, 150), (3, 180, 240, 300), (4, 360, 480, 600), (5, 720, 960, 1200)],
)
def test_the_delays(failures: int, lowest: float, middle: float, highest: float) -> None:
    assert POLICY.delay_seconds(failures, lambda: 0.0) == lowest
    assert POLICY.delay_seconds(failures, lambda: 0.5) == middle
    assert POLICY.delay_seconds(failures, lambda: HIGHEST) == pytest.approx(highest)


@pytest.mark.parametrize(
    ("max_attempts", "failures", "dead"), [(5, 5, False), (5, 6, True), (5, 99, True), (0, 1, True), (1, 1, False)]
)
def test_max_attempts_counts_the_tries_after_the_first(max_attempts: int, failures: int, dead: bool) -> None:
    delay = RetryPolicy(max_attempts, 60).delay_seconds(failures, lambda: 0.5)
    assert (delay is None) is dead


def test_no_pause_at_all() -> None:
    assert RetryPolicy(5, 0).delay_seconds(5, lambda: HIGHEST) == 0


@pytest.mark.parametrize("failures", [10, 100, 100_000])
def test_the_cap(failures: int) -> None:
    policy = RetryPolicy(10**6, 60)
    assert policy.delay_seconds(failures, lambda: 0.5) == LONGEST_SECONDS


@given(st.integers(1, 10**6), st.floats(0, 10**9), st.floats(0, 1, exclude_max=True))
def test_no_next_attempt_looks_as_if_the_clock_had_been_set_back(failures: int, base: float, random: float) -> None:
    delay = RetryPolicy(10**6, base).delay_seconds(failures, lambda: random)
    assert delay is not None
    assert 0 <= delay <= FARTHEST_SECONDS
    assert 0.75 * min(base, LONGEST_SECONDS) <= delay or base == 0
