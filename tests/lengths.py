"""How long the random tests are: short in every run, at their full lengths with `bin/test --long`."""

from __future__ import annotations

from typing import TypeVar

T = TypeVar("T", int, float)

is_long = False
"""Set from the command line before any test is imported."""


def length(short: T, long: T) -> T:
    """The number of steps, seconds, seeds or examples of this run."""
    return long if is_long else short
