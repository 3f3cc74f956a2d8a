"""How long a service asks to be left alone: its Retry-After. Pure functions."""

from __future__ import annotations

import re
from datetime import UTC

LONGEST_SECONDS = 3600.0
"""Longest pause. A service that wants a longer one is asked all the same: it may have been wrong, or restarted."""

_SECONDS = re.compile(r"[0-9]+(\.[0-9]+)?")


def pause_seconds(retry_after: str, now: float) -> float | None:
    """The pause that a Retry-After asks for, in seconds, at most LONGEST_SECONDS; None if it is no number and no date.

    `now` is in Unix seconds. Whatever the header holds, it is an answer of a failing service: nothing is raised.

    >>> pause_seconds("120", now=0), pause_seconds("Thu, 01 Jan 1970 00:02:00 GMT", now=90)
    (120.0, 30.0)
    >>> pause_seconds("Thu, 01 Jan 1970 00:02:00 -0000", now=90), pause_seconds("soon", now=0)
    (30.0, None)
    """
    text = retry_after.strip()
    if _SECONDS.fullmatch(text):
        return bounded(float(text))
    try:
        from email.utils import parsedate_to_datetime  # noqa: PLC0415 - 8 ms, for a date: most say seconds

        date = parsedate_to_datetime(text)
        # A zone of -0000 is UTC without a word on where, and comes back without a zone.
        seconds = (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - now
    except (ValueError, OverflowError, TypeError, LookupError):
        return None
    return bounded(seconds)


def bounded(seconds: float) -> float:
    """A pause, neither negative nor longer than LONGEST_SECONDS.

    >>> bounded(120.0), bounded(-5.0), bounded(86400.0)
    (120.0, 0.0, 3600.0)
    """
    return min(max(0.0, seconds), LONGEST_SECONDS)
