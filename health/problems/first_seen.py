"""Since when each problem is there."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

from health.problems.problem import Problem
from health.snapshot import Snapshot
from ipc.text.timestamps import iso

SAME_SECONDS = 2.0
"""Two times of one event that are nearer than this are one, told by different clocks."""


class Dated(NamedTuple):
    """A problem that is there, and since which Unix second."""

    problem: Problem
    since: float


@dataclass
class FirstSeen:
    """Since when each subject has a problem (Unix seconds): forgotten as soon as it has none.

    `problems` are those that were dated last, `begun` has the same moments by the monotonic clock: the other one may be
    set while a problem lasts.
    """

    since: dict[str, float] = field(default_factory=dict)
    begun: dict[str, float] = field(default_factory=dict)
    problems: list[Dated] = field(default_factory=list)

    def date(self, problems: Iterable[Problem], snapshot: Snapshot) -> list[dict[str, str]]:
        """The problems as /status shows them."""
        dated = [(one, self._since(one, snapshot)) for one in problems]
        self.since = {one.subject: since for one, since in dated}
        self.begun = {subject: snapshot.monotonic - (snapshot.now - since) for subject, since in self.since.items()}
        self.problems = [Dated(one, self.since[one.subject]) for one, _ in dated]
        return [
            {
                "id": one.id,
                "subject": one.subject,
                "what": one.what,
                "since": iso(since),
                "remedy": one.remedy,
            }
            for one, since in self.problems
        ]

    def _since(self, problem: Problem, snapshot: Snapshot) -> float:
        """The time given before, unless the clock has been set since: one moment does not show as two."""
        begun = self.begun.get(problem.subject, snapshot.monotonic)
        since = snapshot.unix(begun) if problem.since is None else problem.since
        before = self.since.get(problem.subject, since)
        return before if abs(before - since) < SAME_SECONDS else since
