"""What `bin/run check` has tried: one result for each trial, told at once, whichever process' part was tried."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal, NamedTuple

Verdict = Literal["ok", "warning", "failed"]


class Result(NamedTuple):
    """What was tried and found, in one line; the remedy too, where it is not ok."""

    verdict: Verdict
    what: str


def _ignore(result: Result) -> None:
    return None


class Checklist:
    """Takes the results of trials as they come; `tell` is called at once with each."""

    def __init__(self, tell: Callable[[Result], object] = _ignore) -> None:
        self._tell = tell
        self.results: list[Result] = []

    def ok(self, what: str) -> None:
        """Note that something works."""
        self._add("ok", what)

    def warn(self, what: str) -> None:
        """Note that something works less well than it could."""
        self._add("warning", what)

    def fail(self, what: str) -> None:
        """Note what keeps the program from working."""
        self._add("failed", what)

    def count(self, verdict: Verdict) -> int:
        return sum(one.verdict == verdict for one in self.results)

    def _add(self, verdict: Verdict, what: str) -> None:
        result = Result(verdict, what)
        self.results.append(result)
        self._tell(result)
