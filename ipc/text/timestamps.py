"""Times as rows and /status have them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final, overload

LATEST: Final = 253_402_300_799
"""The last second of the year 9999, which no row's time can go beyond (Unix seconds)."""


@overload
def iso(seconds: float) -> str: ...
@overload
def iso(seconds: None) -> None: ...
@overload
def iso(seconds: float | None) -> str | None: ...
def iso(seconds: float | None) -> str | None:
    """Unix seconds as ISO 8601 in UTC, in whole seconds.

    >>> iso(0), iso(1.9)
    ('1970-01-01T00:00:00Z', '1970-01-01T00:00:01Z')
    """
    if seconds is None:
        return None
    return datetime.fromtimestamp(int(seconds), UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
