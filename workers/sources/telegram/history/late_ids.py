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

LATE_SECONDS: Final = 60.0
"""How long after the next message an id may still come."""

PAUSES: Final = (2.0, 5.0, 15.0, 40.0)
"""Seconds between the requests for an id: together, LATE_SECONDS and a little more."""

MAX_REMEMBERED: Final = 500


@dataclass(slots=True)
class _Id:
    """When to ask for it next (monotonic), and how often it was asked for."""

    at: float
    times: int = 0


class LateIds:
    """The late ids of one channel."""

    def __init__(self) -> None:
        self._ids: dict[int, _Id] = {}

    def note(self, messages: Sequence[Message], low: int, high: int, now: float) -> None:
        """Note all messages from `low` to `high`, as read at Unix second `now` of Telegram's clock."""
        there = {one.id: one.at for one in messages if one.kind != "absent"}
        if len(there) > high - low:
            return
        may_come = True  # above the newest that is there, the age of an id is unknown
        for one in range(high, low - 1, -1):
            if one in there:
                may_come = not there[one] or now - there[one] < LATE_SECONDS
            elif may_come and len(self._ids) < MAX_REMEMBERED:
                self._ids[one] = _Id(time.monotonic() + PAUSES[0])

    def seconds_to_ask(self) -> float:
        """Seconds until one of them is due; infinite without any."""
        return max(0.0, min((one.at for one in self._ids.values()), default=math.inf) - time.monotonic())

    def due(self) -> list[int]:
        """The ids to ask for now, ascending."""
        now = time.monotonic()
        return sorted(message_id for message_id, one in self._ids.items() if one.at <= now)

    def asked(self, message_ids: Iterable[int], there: set[int]) -> None:
        """Note that these ids were asked for, and which of them were there."""
        for message_id in message_ids:
            one = self._ids[message_id]
            one.times += 1
            if message_id in there or one.times == len(PAUSES):
                del self._ids[message_id]
            else:
                one.at = time.monotonic() + PAUSES[one.times]
