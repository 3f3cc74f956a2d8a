"""Whose turn it is while a picture waits that must be alone: pure."""

from __future__ import annotations

import pytest

from workers.rendering.dispatch.alone import ALONE_SECONDS, Turns, turn


@pytest.mark.parametrize(
    ("in_hand", "due", "waited", "rested", "expected"),
    [
        (False, False, 0, 0, "alone"),
        (False, True, 0, 1e9, "alone"),
        (False, True, 0, 0, "others"),
        (False, True, ALONE_SECONDS, ALONE_SECONDS, "alone"),
        (True, True, 0, 1e9, "others"),
        (True, False, 0, 1e9, "others"),
        (True, True, ALONE_SECONDS, 1e9, "nobody"),
        (True, True, ALONE_SECONDS, ALONE_SECONDS, "nobody"),
        (True, True, ALONE_SECONDS, 0, "others"),
        (True, False, 1e9, 0, "others"),
    ],
)
def test_whose_turn_it_is(in_hand: bool, due: bool, waited: float, rested: float, expected: str) -> None:
    given = turn(others_in_hand=in_hand, others_due=due, waited_seconds=waited, rested_seconds=rested)
    assert given == expected


def test_the_wait_begins_when_a_picture_first_waits() -> None:
    turns = Turns()
    assert turns.next(100.0, others_in_hand=True, others_due=True) == "others"
    assert turns.next(100.0 + ALONE_SECONDS, others_in_hand=True, others_due=True) == "nobody"
    turns.none_waits()
    assert turns.next(200.0, others_in_hand=True, others_due=True) == "others"


def test_the_wait_begins_anew_after_a_picture_that_was_alone() -> None:
    turns = Turns()
    assert turns.next(100.0, others_in_hand=False, others_due=True) == "alone"
    turns.ended(110.0)
    assert turns.next(110.0, others_in_hand=False, others_due=True) == "others"
    assert turns.next(110.0 + ALONE_SECONDS - 1, others_in_hand=True, others_due=True) == "others"
    assert turns.next(110.0 + ALONE_SECONDS, others_in_hand=True, others_due=True) == "nobody"
    turns.ended(130.0)
    assert turns.next(130.0 + ALONE_SECONDS, others_in_hand=True, others_due=True) == "others", "it waits since now"
