"""The schedules of chaos are pure data."""

from __future__ import annotations

import pytest

from ipc import failpoints
from tests.chaos import schedule
from tests.chaos.schedule import CHILDREN, DECK, MINOR_DECK, ROOT_EVERY, make
from tests.lengths import length

POINTS = tuple(failpoints.NAMES)


def test_the_same_seed_makes_the_same_schedule() -> None:
    def of(seed: int) -> list[schedule.Step]:
        return make(seed, 100, pace_seconds=0.5, failpoints=POINTS)

    assert of(1) == of(1) != of(2)


@pytest.mark.parametrize("seed", range(length(10, 200)))
def test_everything_comes_up(seed: int) -> None:
    steps = make(seed, 1.6 * len(DECK), pace_seconds=1.0)
    done = {(step.action, step.target) for step in steps}
    assert done == {(card.action, card.target) for card in DECK} | {("kill", "root")}


@pytest.mark.parametrize("seed", range(length(10, 200)))
def test_steps_are_in_order_within_the_time_and_at_the_pace(seed: int) -> None:
    steps = make(seed, 300, pace_seconds=0.5)
    times = [step.at_seconds for step in steps]
    assert times == sorted(times) and times[0] > 0 and times[-1] < 300
    assert 500 < len(steps) < 700
    assert [step for step in steps[ROOT_EVERY - 1 :: ROOT_EVERY] if step.target != "root"] == []


def test_every_failpoint_comes_up_before_one_comes_twice() -> None:
    steps = make(7, 2 * len(POINTS) * ROOT_EVERY, pace_seconds=1.0, failpoints=POINTS)
    used = [step.detail for step in steps if step.target == "root" and step.detail][: len(POINTS)]
    assert len(set(used)) == len(used) > len(POINTS) - 3


def test_the_minor_deck_ends_image_workers_alone() -> None:
    steps = make(3, 500, pace_seconds=1.0, deck=MINOR_DECK, root_dies=False)
    ended = {step.target for step in steps if step.action in ("kill", "crash", "freeze")}
    assert ended == {child for child in CHILDREN if child.startswith("image")}
