"""Which ids that are not there are asked for again, and how often."""

from __future__ import annotations

import math

import pytest

from workers.sources.telegram.history import late_ids
from workers.sources.telegram.history.late_ids import LATE_SECONDS, MAX_REMEMBERED, PAUSES, LateIds
from workers.sources.telegram.wire.media import Message

NOW = 1_800_000_000


def there(message_id: int, age: int = 0) -> Message:
    return Message(message_id, "text", NOW - age)


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(late_ids, "PAUSES", (0.0,) * len(PAUSES))


def noted(messages: list[Message], low: int, high: int) -> list[int]:
    ids = LateIds()
    ids.note(messages, low, high, NOW)
    return ids.due()


def test_an_id_is_as_old_as_its_neighbour_above() -> None:
    assert noted([there(1), there(2), there(3)], 1, 3) == []
    assert noted([there(1, 500), there(3, 5)], 1, 3) == [2]
    assert noted([there(1, 5), there(3, 500)], 1, 3) == []
    assert noted([there(3, 500), there(5, 5)], 1, 6) == [4, 6]
    assert noted([Message(1, "absent"), there(2, 500), Message(3, "absent")], 1, 3) == [3]
    assert noted([there(1), Message(3, "unreadable")], 1, 3) == [2], "of what can't be read, nobody knows the age"
    assert noted([], 1, 3) == [1, 2, 3]


def test_it_is_asked_for_until_it_is_there_or_old() -> None:
    ids = LateIds()
    assert ids.seconds_to_ask() == math.inf
    ids.note([there(3)], 1, 3, NOW)
    ids.asked([1, 2], {2})
    assert ids.due() == [1] and ids.seconds_to_ask() == 0.0
    for _ in range(len(PAUSES) - 1):
        ids.asked([1], set())
    assert ids.due() == [] and ids.seconds_to_ask() == math.inf


def test_the_times_reach_over_a_minute_and_no_more_are_kept_than_is_of_use() -> None:
    assert sum(PAUSES) > LATE_SECONDS
    assert len(noted([], 1, 10 * MAX_REMEMBERED)) == MAX_REMEMBERED
