"""Ids that Telegram has left out of an answer, where it should have said that nothing is there.

Once may be a server's mistake of a moment, and says nothing. An id that is left out again, minutes later, counts as
absent, until an answer has it. Pure.
"""

from __future__ import annotations

import math
from collections import OrderedDict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

AGAIN_SECONDS: Final = 120.0
"""How far apart an id must have been left out twice."""

MAX_REMEMBERED: Final = 5000


@dataclass(slots=True)
class _Id:
    since: float  # it was first left out
    is_absent: bool = False


class OmittedIds:
    """The omitted ids of one channel. Times are monotonic."""

    def __init__(self) -> None:
        self._ids: OrderedDict[int, _Id] = OrderedDict()

    def note(self, asked: Iterable[int], answered: set[int], now: float) -> list[int]:
        """`asked` were asked for, `answered` were in the answer. Returns those that count as absent from now on."""
        newly = []
        for message_id in asked:
            if message_id in answered:
                self._ids.pop(message_id, None)
                continue
            one = self._ids.setdefault(message_id, _Id(now))
            if not one.is_absent and now - one.since >= AGAIN_SECONDS:
                one.is_absent = True
                newly.append(message_id)
        while len(self._ids) > MAX_REMEMBERED:
            self._ids.popitem(last=False)
        return newly

    def absent(self, message_ids: Iterable[int]) -> list[int]:
        """Those of these ids that count as absent."""
        return [one for one in message_ids if one in self._ids and self._ids[one].is_absent]

    def first_open(self, low: int, high: int) -> int | None:
        """The lowest id from `low` to `high` of which nothing is known yet."""
        return min((one for one, of in self._ids.items() if low <= one <= high and not of.is_absent), default=None)

    def seconds_to_ask(self, now: float) -> float:
        """Seconds until one is to be asked for again; infinite without any."""
        earliest = min((of.since for of in self._ids.values() if not of.is_absent), default=math.inf)
        return max(0.0, earliest + AGAIN_SECONDS - now)

    def due(self, now: float) -> list[int]:
        """The ids to ask for again now, ascending."""
        return sorted(one for one, of in self._ids.items() if not of.is_absent and now - of.since >= AGAIN_SECONDS)
