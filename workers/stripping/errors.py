"""Why an original cannot be stripped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

MOST_PARTS = 100_000
"""No camera and no program writes so many: a file of them is made to cost time and memory."""


class Unstrippable(Exception):
    """The file isn't built as its format says, or in a way that nothing here knows: what is wrong with it."""


class StripperFault(Exception):
    """Our own lines failed in a way that nobody foresaw: it says nothing of the file."""


def at_most(parts: Iterable[T]) -> Iterator[T]:
    """The parts of a file one after another. Raises Unstrippable beyond MOST_PARTS."""
    for number, part in enumerate(parts):
        if number >= MOST_PARTS:
            raise Unstrippable(f"a file of more than {MOST_PARTS:,} parts")
        yield part
