"""The circuit breaker, with its clock in the test's hand."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from workers.breaker import Breaker

AT = 1000.0


def opened(failures: int = 3, timeout_seconds: float = 60.0) -> Breaker:
    breaker = Breaker(failures, timeout_seconds)
    for _ in range(failures):
        breaker.fail(AT, "no route to host")
    return breaker


@pytest.mark.parametrize(
    ("failed_before", "seconds_since", "state", "allows", "to_probe"),
    [
        pytest.param(0, 0.0, "closed", True, 0.0, id="new"),
        pytest.param(2, 0.0, "closed", True, 0.0, id="one less than the limit"),
        pytest.param(3, 0.0, "open", False, 60.0, id="the limit"),
        pytest.param(3, 59.9, "open", False, pytest.approx(0.1), id="just before the time is up"),
        pytest.param(3, 60.0, "half-open", True, 0.0, id="the time is up"),
        pytest.param(3, 9999.0, "half-open", True, 0.0, id="long after"),
    ],
)
def test_states(failed_before: int, seconds_since: float, state: str, allows: bool, to_probe: float) -> None:
    breaker = Breaker(3, 60.0)
    for _ in range(failed_before):
        breaker.fail(AT, "no route to host")
    now = AT + seconds_since
    assert (breaker.state(now), breaker.allows(now), breaker.seconds_to_probe(now)) == (state, allows, to_probe)


def test_only_failures_in_a_row_count() -> None:
    breaker = Breaker(3, 60.0)
    for _ in range(5):
        breaker.fail(AT, "timed out")
        breaker.fail(AT, "timed out")
        breaker.succeed()
    assert breaker.state(AT) == "closed"


def test_half_open_one_success_closes_it_altogether() -> None:
    breaker = opened()
    breaker.succeed()
    breaker.fail(AT + 60, "timed out")
    assert breaker.state(AT + 60) == "closed"


def test_half_open_one_failure_opens_it_for_the_whole_time_again() -> None:
    breaker = opened()
    breaker.fail(AT + 60, "timed out")
    assert breaker.state(AT + 119.9) == "open"
    assert breaker.state(AT + 120) == "half-open"


def test_the_last_error_is_kept_until_the_next_success() -> None:
    breaker = opened()
    breaker.fail(AT + 60, "timed out")
    assert breaker.last_error == "timed out"
    breaker.succeed()
    assert not breaker.last_error


@settings(deadline=None)  # the machine is shared
@given(st.lists(st.tuples(st.booleans(), st.integers(0, 100)), max_size=40), st.integers(1, 5))
def test_it_is_never_open_for_longer_than_its_time(steps: list[tuple[bool, int]], failures: int) -> None:
    breaker, now = Breaker(failures, 60.0), AT
    for succeeds, pause in steps:
        now += pause
        if breaker.allows(now):
            breaker.succeed() if succeeds else breaker.fail(now, "timed out")
        assert breaker.seconds_to_probe(now) <= 60.0
        assert breaker.allows(now + breaker.seconds_to_probe(now) + 1e-6)
        assert breaker.allows(now) or not succeeds or breaker.last_error
