"""Times as /status has them."""

from __future__ import annotations

from datetime import datetime


def unix_seconds(time: str | None) -> float | None:
    """Unix seconds of a time that a process has reported.

    >>> unix_seconds("1970-01-01T00:01:00Z"), unix_seconds(None)
    (60.0, None)
    """
    return datetime.fromisoformat(time).timestamp() if time else None
