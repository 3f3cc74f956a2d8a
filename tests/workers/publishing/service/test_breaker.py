"""The circuit breaker, with its clock in the test's hand."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workers.publishing.service.breaker import WINDOW_CALLS, WINDOW_SECONDS, Breaker
from workers.publishing.service.retry_after import LONGEST_SECONDS

AT = 1000.0


def opened(failures: int = 3, timeout_seconds: float = 60.0) -> Breaker:
    breaker = Breaker(failures, timeout_seconds)
    for _ in range(failures):
        breaker.fail(AT, "no route to host")
    return breaker


@pytest.mark.parametrize(
    ("failed_before", "seconds_since", "state", "to_probe"),
    [
        pytest.param(0, 0.0, "closed", 0.0, id="new"),
        pytest.param(2, 0.0, "closed", 0.0, id="one less than the limit"),
        pytest.param(3, 0.0, "open", 60.0, id="the limit"),
        pytest.param(3, 59.9, "open", pytest.approx(0.1), id="just before the time is up"),
        pytest.param(3, 60.0, "half-open", 0.0, id="the time is up"),
        pytest.param(3, 9999.0, "half-open", 0.0, id="long after"),
    ],
)
def test_states(failed_before: int, seconds_since: float, state: str, to_probe: float) -> None:
    breaker = Breaker(3, 60.0)
    for _ in range(failed_before):
        breaker.fail(AT, "no route to host")
    now = AT + seconds_since
    assert (breaker.state(now), breaker.seconds_to_probe(now)) == (state, to_probe)


def test_only_failures_in_a_row_count() -> None:
    breaker = Breaker(3, 60.0)
    for _ in range(5):
        breaker.fail(AT, "timed out")
        breaker.fail(AT, "timed out")
        breaker.succeed(AT)
    assert breaker.state(AT) == "closed"


@pytest.mark.parametrize(("failing", "opens"), [(9, False), (10, True), (11, True)])
def test_it_opens_at_a_rate_too(failing: int, opens: bool) -> None:
    """Each success begins the row anew, so of a service that fails every other time there is no row of three."""
    breaker = Breaker(3, 60.0)
    for number in range(20):
        if (number % 2 and number // 2 < failing) or (number == 18 and failing > 10):
            breaker.fail(AT + number, "timed out")
        else:
            breaker.succeed(AT + number)
    assert (breaker.state(AT + 20) == "open") == opens


def test_the_rate_is_that_of_the_last_minute() -> None:
    breaker = Breaker(3, 60.0)
    for number in range(200):
        now = AT + 10 * number
        breaker.fail(now, "timed out") if number % 2 else breaker.succeed(now)
    assert breaker.state(now) == "closed", "six calls in a minute are too few to tell"


@pytest.mark.parametrize(("seconds", "opens"), [(WINDOW_SECONDS, True), (WINDOW_SECONDS + 1, False)])
def test_the_window_of_the_rate_ends_after_a_minute(seconds: float, opens: bool) -> None:
    breaker = Breaker(WINDOW_CALLS + 1, 60.0)
    for _ in range(WINDOW_CALLS - 1):
        breaker.fail(AT, "timed out")
    breaker.fail(AT + seconds, "timed out")
    assert (breaker.state(AT + seconds) == "open") == opens


def test_what_failed_before_it_opened_is_no_reason_to_open_it_again() -> None:
    breaker = Breaker(3, 60.0)
    for _ in range(15):
        breaker.fail(AT, "timed out")
    breaker.succeed(AT + 1)
    for number in range(10):
        breaker.succeed(AT + 2 + number)
    breaker.fail(AT + 13, "timed out")
    assert breaker.state(AT + 13) == "closed"


def test_it_goes_on_as_another_one_was() -> None:
    breaker = Breaker(3, 60.0)
    breaker.reopen(AT, 20.0, "no route to host")
    assert (breaker.state(AT + 19), breaker.state(AT + 20)) == ("open", "half-open")
    assert (breaker.last_error, breaker.in_a_row) == ("no route to host", 3)
    breaker.reopen(AT, 1e9, "of a clock that was set back")
    assert breaker.seconds_to_probe(AT) == LONGEST_SECONDS


def test_half_open_one_success_closes_it_altogether() -> None:
    breaker = opened()
    breaker.succeed(AT)
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
    breaker.succeed(AT)
    assert not breaker.last_error


def test_a_fatal_failure_opens_it_at_once() -> None:
    breaker = Breaker(3, 60.0)
    breaker.fail(AT, "unknown key", fatal=True)
    assert (breaker.state(AT), breaker.seconds_to_probe(AT)) == ("open", 60.0)
    breaker.succeed(AT)
    breaker.fail(AT + 60, "timed out")
    assert breaker.state(AT + 60) == "closed"


@pytest.mark.parametrize(
    ("asked", "pause"),
    [
        pytest.param(7.0, 7.0, id="shorter than ours"),
        pytest.param(600.0, 600.0, id="longer than ours"),
        pytest.param(1e9, LONGEST_SECONDS, id="for ever"),
    ],
)
@pytest.mark.parametrize("fatal", [False, True])
@pytest.mark.parametrize("failed_before", [0, 1, 5])
def test_a_service_that_says_when_to_come_back(asked: float, pause: float, fatal: bool, failed_before: int) -> None:
    breaker = Breaker(3, 60.0)
    for _ in range(failed_before):
        breaker.fail(AT - 60, "timed out")
    breaker.fail(AT, "slow down", fatal=fatal, retry_after_seconds=asked)
    assert (breaker.state(AT), breaker.seconds_to_probe(AT)) == ("open", pause)
    assert breaker.state(AT + pause) == "half-open"


def test_a_service_that_says_at_once_is_not_asked_without_a_pause() -> None:
    breaker = Breaker(3, 60.0)
    for number in (1, 2, 3):
        assert breaker.state(AT) == "closed", number
        breaker.fail(AT, "slow down", retry_after_seconds=0.0)
    assert (breaker.state(AT), breaker.seconds_to_probe(AT)) == ("open", 60.0)


def test_it_is_known_since_when_it_is_open() -> None:
    breaker = opened()
    for minute in (1, 2, 3):
        breaker.fail(AT + 60 * minute, "timed out")
    assert breaker.opened_at == AT
    breaker.succeed(AT)
    assert breaker.opened_at is None


@given(
    st.lists(
        st.tuples(st.booleans(), st.integers(0, 5000), st.booleans(), st.none() | st.integers(0, 10**6)), max_size=40
    ),
    st.integers(1, 5),
)
def test_it_is_never_open_for_longer_than_its_time(
    steps: list[tuple[bool, int, bool, int | None]], failures: int
) -> None:
    """Its time is its own, or what the service has asked for, but at most an hour."""
    breaker, now, longest = Breaker(failures, 60.0), AT, 60.0
    for succeeds, pause, fatal, retry_after in steps:
        now += pause
        if breaker.state(now) != "open":
            if succeeds:
                breaker.succeed(now)
            else:
                breaker.fail(now, "timed out", fatal=fatal, retry_after_seconds=retry_after)
                longest = min(float(retry_after), LONGEST_SECONDS) if retry_after else 60.0
                assert breaker.in_a_row < failures or breaker.state(now) == "open"
        assert breaker.seconds_to_probe(now) <= longest
        assert breaker.state(now + breaker.seconds_to_probe(now) + 1e-6) != "open"
        assert breaker.state(now) != "open" or not succeeds or breaker.last_error
        assert (breaker.state(now) == "closed") == (breaker.opened_at is None)
