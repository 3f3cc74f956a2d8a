"""Durations in words, for people."""

from __future__ import annotations


def duration(seconds: float) -> str:
    """For people: the two largest units, rounded up.

    >>> [duration(one) for one in (0.3, 1, 59.5, 61, 3600, 48_038, 200_000)]
    ['0.3 s', '1 s', '1 min', '2 min', '1 h', '13 h 21 min', '2 d 8 h']
    """
    if seconds < 1:
        return f"{seconds:.1g} s"
    if round(seconds) < 60:
        return f"{seconds:.0f} s"
    minutes = -int(-seconds // 60)
    hours, minutes = divmod(minutes, 60)
    if hours < 24:
        parts = [(hours, "h"), (minutes, "min")]
    else:
        parts = [*zip(divmod(hours + (minutes > 0), 24), ("d", "h"), strict=True)]
    return " ".join(f"{count} {unit}" for count, unit in parts if count)
