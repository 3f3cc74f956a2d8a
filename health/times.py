"""Times as /status has them."""

from __future__ import annotations

from datetime import UTC, datetime


def iso(seconds: float) -> str:
    """Unix seconds as ISO 8601 in UTC, in whole seconds."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def unix_seconds(time: str | None) -> float | None:
    """Unix seconds of a time that a process has reported.

    >>> unix_seconds("1970-01-01T00:01:00Z"), unix_seconds(None)
    (60.0, None)
    """
    return datetime.fromisoformat(time).timestamp() if time else None
