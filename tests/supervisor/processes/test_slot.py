"""A place's life cycle, without a process: incarnations come and go, the place remembers."""

from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import pytest

from ipc.transport.exits import Cause, Exit
from supervisor.processes import slot as slots
from supervisor.processes.loop.rows import row_of
from supervisor.processes.policy import Intent
from supervisor.processes.slot import Slot, SlotState
from supervisor.processes.spec import ChildSpec, CommandSpec, Intensity
from supervisor.resources.memory import MemoryHistory

INTENSITY = Intensity(max_restarts=3, window_seconds=60.0, delay_seconds=8.0)


class Clock:
    def __init__(self) -> None:
        self.now = 1_000_000.0

    def monotonic(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    """The clock of `since`."""
    clock = Clock()
    monkeypatch.setattr(slots, "time", clock)
    return clock


def make(**more: Any) -> Slot:
    return Slot(ChildSpec("a", "x:y", cap_bytes=7, **more))


class FakeProcess(SimpleNamespace):
    """What a place asks of an incarnation, without a process."""

    @property
    def ready(self) -> bool:
        return bool(self.ready_at < math.inf)


def begin(slot: Slot, ready_at: float = math.inf, *, ready: bool = False) -> None:
    fake: Any = FakeProcess(
        pid=42,
        spawned=5.0,
        heard=6.0,
        ready_at=ready_at,
        intent=None,
        leaf=None,
        leaf_peak_bytes=0,
        sandbox=None,
        rss_bytes=10,
        peak_rss_bytes=20,
        cap_bytes=70,
        history=MemoryHistory(pss_bytes=5),
    )
    slot.begin(fake)
    if ready:
        slot.mark_ready()


def end(slot: Slot, cause: Cause, now: float = 1.0, *, counts: bool = True) -> bool:
    exit_ = Exit(cause, 1, said="as it says", remedy="do something")
    return slot.after_exit(exit_, now, counts=counts, intensity=INTENSITY, random=lambda: 0.0)


def stands(slot: Slot) -> SlotState:
    """As it stands now: a call, so that no type checker takes it for settled."""
    return slot.state


def test_from_waiting_to_running(clock: Clock) -> None:
    slot = make()
    assert stands(slot) is SlotState.WAITING and slot.is_due(0.0) and not slot.started_before
    assert not slot.has_been_tried()
    begin(slot)
    assert stands(slot) is SlotState.STARTING and not slot.is_due(1e9)
    assert slot.count == 1
    assert not slot.has_been_tried()
    clock.now += 3
    slot.mark_ready()
    assert stands(slot) is SlotState.RUNNING and slot.has_been_tried()
    assert row_of(slot) == {
        "state": "running",
        "restarts": 0,
        "since": 1_000_003,
        "cap_bytes": 70,
        "pid": 42,
        "spawned": 5.0,
        "rss_bytes": 10,
        "peak_rss_bytes": 20,
        "enforced_by": "sampling",
        "pss_bytes": 5,
        "uss_bytes": 0,
        "rss_trend_bytes_per_hour": None,
        "heard": 6.0,
        "beats": True,
    }


def test_a_dead_child_waits_has_no_pid_and_says_why() -> None:
    slot = make()
    begin(slot, ready=True)
    assert end(slot, Cause.CRASHED)
    assert stands(slot) is SlotState.WAITING and slot.is_due(1.0), "the first replacement comes at once"
    facts = row_of(slot)
    ended = {"last_exit", "last_cause", "remedy", "exit_causes", "heard"}
    assert facts.keys() == {"state", "restarts", "since", "cap_bytes"} | ended
    assert facts["exit_causes"] == {"crashed": 1}
    assert (facts["cap_bytes"], facts["last_exit"], facts["last_cause"]) == (7, "exit code 1", "crashed")
    assert facts["remedy"] == "do something" and facts["restarts"] == 0
    begin(slot)
    assert row_of(slot)["restarts"] == 1 and slot.has_been_tried(), "it has had a first try"


def test_quick_deaths_wait_longer_and_longer_until_one_lives() -> None:
    slot = make()
    pauses = []
    for _ in range(4):
        begin(slot, ready_at=0.0)
        end(slot, Cause.CRASHED, now=1.0)
        pauses.append(slot.due_at - 1.0)
    assert pauses == [0.0, 0.25, 0.5, 1.0]
    assert not slot.is_due(1.9) and slot.is_due(2.0)
    begin(slot, ready_at=2.0)
    end(slot, Cause.CRASHED, now=12.0)
    assert slot.due_at == 12.0


def test_outrun_by_more_deaths_than_allowed_within_the_window() -> None:
    slot = make()
    for now in (0.0, 10.0, 20.0):
        begin(slot, ready_at=now)
        end(slot, Cause.SIGNALLED, now=now)
        assert not slot.has_outrun(INTENSITY)
    begin(slot)
    end(slot, Cause.SIGNALLED, now=59.0)
    assert slot.has_outrun(INTENSITY)


def test_not_outrun_when_the_first_has_left_the_window() -> None:
    slot = make()
    for now in (0.0, 10.0, 20.0, 60.0):
        begin(slot, ready_at=now)
        end(slot, Cause.SIGNALLED, now=now)
    assert slot.deaths == (10.0, 20.0, 60.0) and not slot.has_outrun(INTENSITY)


def test_a_death_that_does_not_count_is_replaced_at_once() -> None:
    slot = make()
    for _ in range(10):
        begin(slot)
        assert end(slot, Cause.SIGNALLED, counts=False)
        assert slot.is_due(1.0)
    assert slot.deaths == () and not slot.has_outrun(INTENSITY)


def test_a_program_that_is_not_there_waits_longer_and_longer_and_never_outruns() -> None:
    slot = make()
    pauses = []
    for _ in range(10):
        begin(slot)
        assert end(slot, Cause.UNRUNNABLE)
        pauses.append(slot.due_at - 1.0)
    assert pauses == [0.0, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 8.0, 8.0, 8.0]
    assert slot.deaths == () and not slot.has_outrun(INTENSITY)


def test_recycled_is_replaced_at_once_without_counting_and_only_once() -> None:
    slot = make()
    begin(slot, ready=True)
    slot.recycled = True
    assert end(slot, Cause.ASKED)
    assert slot.is_due(1.0) and slot.deaths == () and not slot.recycled
    begin(slot)
    assert not end(slot, Cause.ASKED)
    assert stands(slot) is SlotState.STOPPED


@pytest.mark.parametrize(
    ("cause", "restart", "state"),
    [
        (Cause.ASKED, "permanent", SlotState.STOPPED),
        (Cause.HELD, "permanent", SlotState.HELD),
        (Cause.HELD, "transient", SlotState.HELD),
        (Cause.FINISHED, "transient", SlotState.FINISHED),
        (Cause.FINISHED, "temporary", SlotState.FINISHED),
        (Cause.CRASHED, "temporary", SlotState.STOPPED),
        (Cause.UNRUNNABLE, "temporary", SlotState.STOPPED),
        (Cause.UNRUNNABLE, "transient", SlotState.WAITING),
        (Cause.FINISHED, "permanent", SlotState.WAITING),
        (Cause.CRASHED, "transient", SlotState.WAITING),
        (Cause.SIGNALLED, "transient", SlotState.WAITING),
        (Cause.HUNG, "permanent", SlotState.WAITING),
        (Cause.OUT_OF_MEMORY, "permanent", SlotState.WAITING),
    ],
)
def test_what_follows_an_exit(cause: Cause, restart: str, state: SlotState) -> None:
    slot = make(restart=restart)
    begin(slot)
    assert end(slot, cause) is (state is SlotState.WAITING)
    assert stands(slot) is state
    assert slot.has_been_tried() is (state is not SlotState.WAITING)
    slot.cancel()
    assert stands(slot) is (SlotState.STOPPED if state is SlotState.WAITING else state)
    assert not slot.is_due(1e9)


def test_stopping_shows() -> None:
    slot = make()
    begin(slot, ready=True)
    assert slot.process
    slot.process.intent = Intent.STOP
    assert stands(slot) is SlotState.STOPPING
    slot.cancel()
    assert stands(slot) is SlotState.STOPPING, "what still runs is not called off, it is stopped"


def test_put_off() -> None:
    slot = make()
    slot.postpone(9.0, "cannot be started: EAGAIN", "Raise the limit")
    assert not slot.is_due(8.9) and slot.is_due(9.0) and not slot.started_before
    assert (row_of(slot)["trouble"], row_of(slot)["remedy"]) == ("cannot be started: EAGAIN", "Raise the limit")
    begin(slot)
    assert "trouble" not in row_of(slot)


def test_a_start_that_failed_for_want_of_something_is_no_life(clock: Clock) -> None:
    slot = make()
    for _ in range(30):
        begin(slot)
        slot.start_failed(9.0, "no thread", "Raise the limit")
        assert stands(slot) is SlotState.WAITING and not slot.is_due(8.9) and slot.is_due(9.0)
    assert slot.restarts == 0 and slot.deaths == () and "last_exit" not in row_of(slot)
    begin(slot, ready=True)
    assert slot.restarts == 0
    assert end(slot, Cause.SHORT, now=100.0) and slot.due_at == 100.0 + 2.0, "it is put off"
    assert slot.deaths == ()
    begin(slot)
    assert slot.restarts == 1


def own(**more: Any) -> Slot:
    return Slot(ChildSpec("own", command=CommandSpec(("sh",)), **more))


def live(slot: Slot, clock: Clock, seconds: float) -> None:
    """From its start to its end."""
    begin(slot, ready_at=clock.now, ready=True)
    clock.now += seconds
    end(slot, Cause.CRASHED, clock.now)


def test_a_command_that_outran_its_intensity_is_held_and_tried_again_ever_more_slowly(clock: Clock) -> None:
    slot = own()
    for _ in range(INTENSITY.max_restarts + 1):
        live(slot, clock, 1.0)
    assert slot.has_outrun(INTENSITY)
    assert slot.hold(clock.now, INTENSITY) == 60.0
    held_since = clock.now
    facts = row_of(slot)
    assert (facts["state"], facts["since"], facts["due"]) == ("held", held_since, held_since + 60)
    assert facts["trouble"] == "it has ended 4 times within 60 s; the last time: exit code 1"
    assert facts["remedy"].endswith("bin/run restart own")
    assert slot.is_scheduled and not slot.is_due(clock.now + 59) and slot.is_due(clock.now + 60)

    for seconds in (120.0, 240.0):  # each time it is tried once
        clock.now = slot.due_at
        live(slot, clock, 1.0)
        assert slot.has_outrun(INTENSITY), "though its other deaths are long ago"
        assert slot.hold(clock.now, INTENSITY) == seconds
        assert row_of(slot)["since"] == held_since

    clock.now = slot.due_at
    begin(slot, ready_at=clock.now, ready=True)
    assert row_of(slot)["trouble"] and row_of(slot)["since"] == held_since, "not well yet"
    clock.now += 10
    assert "trouble" not in row_of(slot) and stands(slot) is SlotState.RUNNING
    end(slot, Cause.CRASHED, clock.now)
    assert not slot.has_outrun(INTENSITY) and stands(slot) is SlotState.WAITING


def test_an_order_ends_such_a_hold(clock: Clock) -> None:
    for order, expected in (("start", SlotState.WAITING), ("stop", SlotState.STOPPED)):
        slot = own()
        for _ in range(INTENSITY.max_restarts + 1):
            live(slot, clock, 1.0)
        slot.hold(clock.now, INTENSITY)
        (slot.release if order == "start" else slot.cancel)()
        assert stands(slot) is expected and slot.is_due(clock.now) is (order == "start")
        assert "trouble" not in row_of(slot)


def test_since_when_it_is_down_does_not_begin_anew_with_every_try(clock: Clock) -> None:
    """A child that dies before it is ready, again and again, is one problem that lasts."""
    slot = make()
    begin(slot, ready=True)
    clock.now += 100
    end(slot, Cause.CRASHED)
    assert row_of(slot)["since"] == 1_000_100
    for _ in range(3):
        clock.now += 4
        begin(slot)
        clock.now += 1
        end(slot, Cause.CRASHED)
        assert row_of(slot)["since"] == 1_000_100
    clock.now += 10
    begin(slot, ready=True)
    assert row_of(slot)["since"] == 1_000_125
    end(slot, Cause.HELD)
    assert row_of(slot)["since"] == 1_000_125


def test_a_row_of_quick_deaths_is_one_trouble_though_it_is_ready_in_between(clock: Clock) -> None:
    """What knows nothing of us counts as ready as soon as it runs."""
    slot = make()
    for seconds in (0, 3, 6, 9):
        clock.now = 1_000_000.0 + seconds
        begin(slot, ready=True)
        end(slot, Cause.CRASHED, now=clock.now)
        assert row_of(slot)["since"] == 1_000_000
    clock.now += 1
    begin(slot, ready=True)
    assert row_of(slot)["since"] == 1_000_010, "it runs"
    clock.now += 10
    end(slot, Cause.CRASHED, now=clock.now)
    assert row_of(slot)["since"] == 1_000_020, "and did so for long enough"


def test_held_since_it_is_held(clock: Clock) -> None:
    slot = make()
    begin(slot)
    clock.now += 50
    end(slot, Cause.HELD)
    assert row_of(slot)["since"] == 1_000_050


def test_long_texts_are_cut_to_fit_a_message() -> None:
    slot = make()
    begin(slot)
    slot.after_exit(
        Exit(Cause.HELD, said="w" * 9000, remedy="r" * 9000), 1.0, counts=True, intensity=INTENSITY, random=lambda: 0.0
    )
    facts = row_of(slot)
    assert (len(facts["last_exit"]), len(facts["remedy"])) == (300, 500)


def test_one_that_was_never_ready_is_no_steadier_for_having_taken_its_time() -> None:
    slot = make()
    pauses = []
    for number in range(1, 4):
        begin(slot)
        end(slot, Cause.HUNG, now=100.0 * number)
        pauses.append(slot.due_at - 100.0 * number)
    assert pauses == [0.0, 0.25, 0.5]


def test_deaths_of_long_ago_are_not_held_against_it() -> None:
    """When it is replaced for another reason, and fewer are allowed by now."""
    slot = make()
    for now in (0.0, 1.0, 2.0):
        begin(slot, ready_at=now)
        end(slot, Cause.CRASHED, now=now)
    begin(slot, ready_at=3.0)
    slot.recycled = True
    end(slot, Cause.ASKED, now=1_000_000.0)
    strict = Intensity(max_restarts=0, window_seconds=60.0, delay_seconds=1.0)
    assert slot.deaths == () and not slot.has_outrun(strict)


@pytest.mark.parametrize("cause", list(Cause))
def test_what_was_ordered_to_stop_is_not_replaced_however_it_ends(cause: Cause) -> None:
    slot = make()
    begin(slot, ready=True)
    slot.wanted = False
    assert not end(slot, cause)
    assert stands(slot) in (SlotState.STOPPED, SlotState.HELD)


def test_one_that_rests_is_started_by_nothing_but_its_waking() -> None:
    slot = make()
    begin(slot, ready=True)
    slot.rests = True
    end(slot, Cause.ASKED)
    slot.release()
    assert stands(slot) is SlotState.STOPPED and not slot.is_due(1e9)
    slot.rests = False
    slot.release()
    assert slot.is_due(1e9)
