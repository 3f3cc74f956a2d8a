"""Whose turn it is while a picture waits that must be rendered alone."""

from __future__ import annotations

import math
from typing import Literal

ALONE_SECONDS = 15.0
"""How long the others may keep a picture waiting that must be alone, and how long they have between two of those."""

Turn = Literal["alone", "others", "nobody"]


def turn(*, others_in_hand: bool, others_due: bool, waited_seconds: float, rested_seconds: float) -> Turn:
    """Whose turn it is.

    The picture waits until no worker has another one in hand. It does not wait for ever: after `ALONE_SECONDS` nothing
    more is given out until its turn has come. Nor do the others, however many such pictures there are: until
    `ALONE_SECONDS` after the last of those (`rested_seconds`) it is their turn.
    """
    may = rested_seconds >= ALONE_SECONDS or not (others_due or others_in_hand)
    if not others_in_hand:
        return "alone" if may else "others"
    return "nobody" if may and waited_seconds >= ALONE_SECONDS else "others"


class Turns:
    """Since when a picture waits to be alone, and when the last one ended. Times in monotonic seconds."""

    def __init__(self) -> None:
        self._waiting_since: float | None = None
        self._ended = -math.inf

    def none_waits(self) -> None:
        self._waiting_since = None

    def ended(self, now: float) -> None:
        """A picture is done that was alone."""
        self._waiting_since, self._ended = None, now

    def next(self, now: float, *, others_in_hand: bool, others_due: bool) -> Turn:
        """Whose turn it is, while a picture waits."""
        if self._waiting_since is None:
            self._waiting_since = now
        return turn(
            others_in_hand=others_in_hand,
            others_due=others_due,
            waited_seconds=now - self._waiting_since,
            rested_seconds=now - self._ended,
        )
