"""Why an original cannot be stripped."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TypeVar

T = TypeVar("T")

MOST_PARTS = 100_000
"""Most parts of one file. No camera and no program writes more: such a file is made to cost time and memory."""


class Unstrippable(Exception):
    """The file isn't built as its format says, or in a way that is not known here. `str()` says what is wrong."""


class StripperFault(Exception):
    """An unforeseen error of our own lines: it says nothing of the file."""


def at_most(parts: Iterable[T]) -> Iterator[T]:
    """Yield the parts of a file. Raises Unstrippable beyond MOST_PARTS."""
    for number, part in enumerate(parts):
        if number >= MOST_PARTS:
            raise Unstrippable(f"a file of more than {MOST_PARTS:,} parts")
        yield part
