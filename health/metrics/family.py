"""A family of /metrics: samples of one meaning, under one name."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Literal, NamedTuple

from health.snapshot import Snapshot

Kind = Literal["counter", "gauge", "histogram", "info"]

UNITS = ("bytes", "seconds")
"""Base units that OpenMetrics gets. Other units only say what is counted."""


class Sample(NamedTuple):
    """The value for these values of the family's labels."""

    value: float
    labels: tuple[str, ...] = ()


class Distribution(NamedTuple):
    """A histogram for these values of the family's labels.

    `buckets` holds (upper bound, how many were at most that), the last bound being infinite; `total` is the sum of all.
    """

    buckets: Sequence[tuple[float, int]]
    total: float
    labels: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Family:
    """`name` as the text format has it, `_total` and `_info` included. `help` is for people, in a sentence without an
    end. `samples` makes what is there now: of a histogram distributions, else samples.
    """

    name: str
    kind: Kind
    help: str
    samples: Callable[[Snapshot], Iterable[Sample | Distribution]]
    labels: tuple[str, ...] = ()

    @property
    def unit(self) -> str:
        """The unit as OpenMetrics wants it; empty where the name says what is counted."""
        return next((unit for unit in UNITS if self.name.removesuffix("_total").endswith(f"_{unit}")), "")


def flag(value: object) -> float:
    """1 for yes, 0 for no."""
    return 1.0 if value else 0.0
