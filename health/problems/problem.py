"""A problem of /status."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from health.snapshot import Snapshot


@dataclass(frozen=True, slots=True)
class Problem:
    """Something that is wrong.

    `id` names the kind and never changes. `subject` names what is concerned (`child pool`): as long as it has a problem
    of whatever kind, `since` goes on, unless a detector knows it (Unix seconds). `what` and `remedy` are for people.
    """

    id: str
    subject: str
    what: str
    remedy: str
    since: float | None = None


Detector = Callable[[Snapshot], Iterator[Problem]]
