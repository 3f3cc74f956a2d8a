"""How long the random tests are: short in every run, at their full lengths with `bin/test --long`."""

from __future__ import annotations

import os
import time
from typing import TypeVar

T = TypeVar("T", int, float)

is_long = False
"""Set from the command line before any test is imported."""


def length(short: T, long: T) -> T:
    """The number of steps, seconds, seeds or examples of this run."""
    return long if is_long else short


def seed_of_the_run(number: int = 0) -> int:
    """A seed that no run had before, or the one that is to be repeated; it is shown when the test fails."""
    given = os.environ.get("PICTUREDESK_TEST_SEED")
    seed = int(given) if given else time.time_ns() % 10**6 + number
    print(f"seed {seed}: run again with PICTUREDESK_TEST_SEED={seed}")
    return seed
