"""The supervisor's decisions, as truth tables."""

from __future__ import annotations

import doctest
import signal
from itertools import product

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc.transport import exits
from ipc.transport.exits import Cause
from ipc.transport.messages import Held, LastWords, Leaving, Short, Starved, Unrunnable
from supervisor.processes import policy
from supervisor.processes.policy import Intent, Oom
from supervisor.processes.spec import Intensity

HELD = Held("no account", "make one")
STARVED = Starved("40 GiB wanted")
UNRUNNABLE = Unrunnable("x: No such file or directory")
SHORT = Short("can't start new thread")
LEAVING = Leaving()
RETURNCODES = (0, 1, 70, 78, -signal.SIGKILL, -signal.SIGTERM, -signal.SIGSEGV, -signal.SIGSYS)


def expected(returncode: int, intent: Intent | None, words: LastWords | None, oom: Oom) -> Cause:
    """The table: the first line that applies."""
    table = [
        (returncode == -9 and oom is Oom.OURS, Cause.OUT_OF_MEMORY),
        (returncode == -9 and oom is Oom.OTHERS, Cause.MACHINE_OUT_OF_MEMORY),
        (intent is Intent.STOP, Cause.ASKED),
        (intent is Intent.HUNG, Cause.HUNG),
        (intent is Intent.MEMORY, Cause.OUT_OF_MEMORY),
        (intent is Intent.PROTOCOL_ERROR, Cause.CRASHED),
        (returncode == -signal.SIGSYS, Cause.SANDBOX),
        (words is HELD, Cause.HELD),
        (words is STARVED, Cause.OUT_OF_MEMORY),
        (words is UNRUNNABLE, Cause.UNRUNNABLE),
        (words is SHORT, Cause.SHORT),
        (words is LEAVING, Cause.TERMINATED),
        (returncode == 78, Cause.HELD),
        (returncode == -9 and oom is Oom.PERHAPS, Cause.PERHAPS_OUT_OF_MEMORY),
        (returncode in (-9, -15, -11), Cause.SIGNALLED),
        (returncode == 0, Cause.FINISHED),
        (returncode in (1, 70), Cause.CRASHED),
    ]
    return next(cause for applies, cause in table if applies)


@pytest.mark.parametrize("intent", [None, *Intent])
@pytest.mark.parametrize("words", [None, HELD, STARVED, UNRUNNABLE, SHORT, LEAVING])
def test_what_an_exit_means(intent: Intent | None, words: LastWords | None) -> None:
    for returncode, oom in product(RETURNCODES, Oom):
        end = policy.judge(returncode, intent, words, oom)
        assert end.cause is expected(returncode, intent, words, oom), (returncode, oom)
        assert end.text


@pytest.mark.parametrize("words", [None, HELD, STARVED, UNRUNNABLE, SHORT, LEAVING])
def test_one_that_is_not_trusted_cannot_have_itself_held_or_put_off(words: LastWords | None) -> None:
    for returncode in RETURNCODES:
        believed = policy.judge(returncode, None, words, Oom.NO)
        end = policy.judge(returncode, None, words, Oom.NO, is_trusted=False)
        if believed.cause in (Cause.HELD, Cause.UNRUNNABLE, Cause.SHORT):
            assert (end.cause, end.said, end.remedy) == (Cause.CRASHED, "", "")
        else:
            assert end == believed or (returncode, end.cause) == (78, Cause.CRASHED)


@pytest.mark.parametrize(
    ("given_exit", "end"),
    [
        ((0, Intent.STOP, None, Oom.NO), (Cause.ASKED, "stopped as asked (exit code 0)")),
        ((-9, Intent.STOP, HELD, Oom.PERHAPS), (Cause.ASKED, "stopped as asked (killed by SIGKILL)")),
        ((-9, Intent.HUNG, None, Oom.NO), (Cause.HUNG, "hung: it gave no sign of life and was killed")),
        (
            (-9, Intent.MEMORY, None, Oom.NO),
            (Cause.OUT_OF_MEMORY, "out of memory: it outgrew its cap and was killed"),
        ),
        (
            (-9, Intent.PROTOCOL_ERROR, None, Oom.NO),
            (Cause.CRASHED, "crashed: it sent what is no message and was killed"),
        ),
        ((78, None, HELD, Oom.NO), (Cause.HELD, "no account", "make one")),
        (
            (78, None, None, Oom.NO),
            (Cause.HELD, "refused its configuration (exit code 78)", "See its last log records"),
        ),
        (
            (127, None, UNRUNNABLE, Oom.NO),
            (
                Cause.UNRUNNABLE,
                "cannot be run: x: No such file or directory",
                "Install it, or mend its command in the settings; it is tried again by itself",
            ),
        ),
        ((1, None, STARVED, Oom.NO), (Cause.OUT_OF_MEMORY, "out of memory: 40 GiB wanted")),
        (
            (-9, Intent.STOP, None, Oom.OURS),
            (Cause.OUT_OF_MEMORY, "out of memory: it outgrew its cgroup and was killed by the kernel"),
        ),
        (
            (-9, None, None, Oom.OTHERS),
            (Cause.MACHINE_OUT_OF_MEMORY, "killed by the kernel: there was no memory left for all of us"),
        ),
        (
            (-9, None, None, Oom.PERHAPS),
            (Cause.PERHAPS_OUT_OF_MEMORY, "killed by SIGKILL, perhaps for want of memory"),
        ),
        ((-9, None, None, Oom.NO), (Cause.SIGNALLED, "killed by SIGKILL")),
        ((-15, None, None, Oom.OURS), (Cause.SIGNALLED, "killed by SIGTERM")),
        ((0, None, None, Oom.NO), (Cause.FINISHED, "exit code 0")),
        ((3, None, None, Oom.PERHAPS), (Cause.CRASHED, "exit code 3")),
    ],
)
def test_the_words_of_an_exit(
    given_exit: tuple[int, Intent | None, LastWords | None, Oom], end: tuple[Cause, str] | tuple[Cause, str, str]
) -> None:
    found = policy.judge(*given_exit)
    cause, text, *remedy = end
    assert (found.cause, found.text, found.remedy) == (cause, text, "".join(remedy))
    assert found.returncode == given_exit[0]


@pytest.mark.parametrize("returncode", RETURNCODES)
def test_the_signal_of_an_exit_is_one_that_nobody_accounts_for(returncode: int) -> None:
    end = policy.judge(returncode, None, None, Oom.NO)
    accounted_for = returncode >= 0 or returncode == -signal.SIGSYS
    assert end.signal == (None if accounted_for else -returncode)
    assert policy.judge(returncode, Intent.STOP, None, Oom.NO).signal is None
    assert policy.judge(returncode, None, LEAVING, Oom.NO).signal is None


def test_returncodes_in_words() -> None:
    assert exits.describe_returncode(-11) == "killed by SIGSEGV"
    assert exits.describe_returncode(-63) == "killed by signal 63", "a real-time signal without a name"
    assert exits.describe_returncode(0) == "exit code 0"
    assert doctest.testmod(policy).failed == doctest.testmod(exits).failed == 0


@pytest.mark.parametrize("cause", list(Cause))
def test_who_is_replaced(cause: Cause) -> None:
    never = cause in (Cause.ASKED, Cause.HELD)
    assert policy.is_replaced(cause, "permanent") is not never
    assert policy.is_replaced(cause, "transient") is not (never or cause is Cause.FINISHED)
    assert policy.is_replaced(cause, "temporary") is False


@pytest.mark.parametrize("cause", list(Cause))
def test_what_counts_against_the_intensity(cause: Cause) -> None:
    assert policy.is_death(cause) is (cause not in (Cause.UNRUNNABLE, Cause.SHORT, Cause.TERMINATED))


# --- the restart intensity ----------------------------------------------------------------------------------


def test_deaths_leave_the_window() -> None:
    assert policy.recent((0.0, 39.9, 40.0, 40.1, 99.0), 100.0, 60.0) == (40.1, 99.0)
    assert policy.recent((), 100.0, 60.0) == ()


@given(st.lists(st.floats(0, 1e6)), st.floats(0, 1e6), st.floats(0, 1e6))
def test_what_is_recent_lies_within_the_window(deaths: list[float], now: float, window: float) -> None:
    kept = policy.recent(tuple(deaths), now, window)
    assert all(now - death < window for death in kept)
    assert len(kept) == sum(now - death < window for death in deaths)


@pytest.mark.parametrize(("deaths", "most", "too_many"), [(0, 0, False), (1, 0, True), (3, 3, False), (4, 3, True)])
def test_one_more_than_allowed_is_too_many(deaths: int, most: int, too_many: bool) -> None:
    assert policy.outruns(tuple(map(float, range(deaths))), Intensity(most, 60.0, 1.0)) is too_many


def test_a_row_of_quick_deaths_ends_with_a_steady_life() -> None:
    assert policy.deaths_in_a_row(0, 0.1) == 1
    assert policy.deaths_in_a_row(4, 9.99) == 5
    assert policy.deaths_in_a_row(4, 10.0) == 1


# --- the pause ----------------------------------------------------------------------------------------------


def no_jitter() -> float:
    return 0.0


def most_jitter() -> float:
    return 0.9999999


def test_the_pause_doubles_up_to_its_limit() -> None:
    intensity = Intensity(100, 60.0, 10.0)
    pauses = [policy.restart_delay_seconds(deaths, intensity, no_jitter) for deaths in range(10)]
    assert pauses == [0.0, 0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 10.0, 10.0]


@given(st.integers(0, 10**6), st.floats(0, 3600), st.floats(0, 1, exclude_max=True))
def test_the_pause_and_its_jitter_stay_in_bounds(deaths: int, longest: float, chance: float) -> None:
    intensity = Intensity(100, 60.0, longest)
    pause = policy.restart_delay_seconds(deaths, intensity, lambda: chance)
    full = policy.restart_delay_seconds(deaths, intensity, no_jitter)
    assert 0.75 * full <= pause <= full <= longest
    assert pause == 0.0 if deaths <= 1 else pause <= policy.restart_delay_seconds(deaths + 1, intensity, lambda: chance)


def test_the_jitter_takes_up_to_a_quarter() -> None:
    intensity = Intensity(100, 60.0, 8.0)
    assert policy.restart_delay_seconds(50, intensity, most_jitter) == pytest.approx(6.0)
    assert policy.restart_delay_seconds(50, intensity, no_jitter) == 8.0


# --- hanging ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("silent", "stalled", "hung"),
    [
        (0.0, 0.0, False),
        (60.0, 60.0, False),
        (60.1, 0.0, True),
        (0.0, 60.1, True),
        (60.1, 60.1, True),
    ],
)
def test_who_is_hung(silent: float, stalled: float, hung: bool) -> None:
    assert policy.is_hung(1000.0, 1000.0 - silent, stalled, 60.0) is hung


def test_a_loop_may_stand_for_longer_than_nothing_is_heard() -> None:
    assert not policy.is_hung(1000.0, 1000.0, 99.0, 60.0, 100.0)
    assert policy.is_hung(1000.0, 1000.0, 101.0, 60.0, 100.0)
    assert policy.is_hung(1000.0, 939.0, 0.0, 60.0, 100.0)
