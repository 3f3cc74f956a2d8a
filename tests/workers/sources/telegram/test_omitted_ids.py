"""When an id that answers leave out counts as absent."""

from __future__ import annotations

import math

from workers.sources.telegram.history.omitted_ids import AGAIN_SECONDS, MAX_REMEMBERED, OmittedIds


def test_an_id_that_is_left_out_twice_minutes_apart_is_absent() -> None:
    ids = OmittedIds()
    assert ids.note([1, 2, 3], {2}, 100.0) == []
    assert ids.note([1, 3], set(), 100.0 + AGAIN_SECONDS - 1) == [], "too soon to say"
    assert ids.first_open(1, 9) == 1 and ids.first_open(2, 9) == 3 and ids.first_open(4, 9) is None
    assert ids.note([1], set(), 100.0 + AGAIN_SECONDS) == [1]
    assert ids.absent([1, 2, 3]) == [1] and ids.first_open(1, 9) == 3
    assert ids.note([1], set(), 900.0) == [], "it is known"
    assert ids.note([1, 3], {1, 3}, 901.0) == []
    assert ids.absent([1, 3]) == [] and ids.first_open(1, 9) is None


def test_it_is_asked_for_again_when_that_says_something() -> None:
    ids = OmittedIds()
    assert ids.seconds_to_ask(0.0) == math.inf and ids.due(0.0) == []
    ids.note([7, 5], set(), 100.0)
    ids.note([3], set(), 110.0)
    assert ids.seconds_to_ask(100.0) == AGAIN_SECONDS and ids.due(100.0) == []
    assert ids.due(100.0 + AGAIN_SECONDS) == [5, 7] and ids.seconds_to_ask(1000.0) == 0.0
    ids.note([5, 7, 3], set(), 110.0 + AGAIN_SECONDS)
    assert ids.due(10_000.0) == [] and ids.seconds_to_ask(10_000.0) == math.inf


def test_no_more_are_kept_than_is_of_use() -> None:
    ids = OmittedIds()
    ids.note(range(2 * MAX_REMEMBERED), set(), 0.0)
    assert len(ids.due(AGAIN_SECONDS)) == MAX_REMEMBERED
