"""Ids that were not there, but may be a moment later: Telegram's servers do not learn of a message all at once.

They are asked for again until their neighbour above is a minute old. By then, an id that is not there was never posted,
or is deleted.
"""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from workers.sources.telegram.wire.media import Message

YOUNG_SECONDS: Final = 60.0

PAUSES: Final = (2.0, 5.0, 15.0, 40.0)
"""Seconds between the times that an id is asked for: together, YOUNG_SECONDS and a little more."""

MOST: Final = 500


@dataclass(slots=True)
class _Id:
    """When to ask for it next (monotonic), and how often it was asked for."""

    at: float
    times: int = 0


class LateIds:
    """Of one channel."""

    def __init__(self) -> None:
        self._ids: dict[int, _Id] = {}

    def note(self, messages: Sequence[Message], low: int, high: int, now: float) -> None:
        """These messages are all that there are from `low` to `high`, at Unix second `now` of Telegram's clock."""
        there = {one.id: one.at for one in messages if one.kind != "absent"}
        if len(there) > high - low:
            return
        is_young = True  # above the newest that is there, nobody knows how old an id is
        for one in range(high, low - 1, -1):
            if one in there:
                is_young = not there[one] or now - there[one] < YOUNG_SECONDS
            elif is_young and len(self._ids) < MOST:
                self._ids[one] = _Id(time.monotonic() + PAUSES[0])

    def seconds_to_ask(self) -> float:
        """In how many seconds one of them is due; infinite without any."""
        return max(0.0, min((one.at for one in self._ids.values()), default=math.inf) - time.monotonic())

    def due(self) -> list[int]:
        """Those to ask for now, ascending."""
        now = time.monotonic()
        return sorted(message_id for message_id, one in self._ids.items() if one.at <= now)

    def asked(self, message_ids: Iterable[int], there: set[int]) -> None:
        """They were asked for, and these of them were there."""
        for message_id in message_ids:
            one = self._ids[message_id]
            one.times += 1
            if message_id in there or one.times == len(PAUSES):
                del self._ids[message_id]
            else:
                one.at = time.monotonic() + PAUSES[one.times]
