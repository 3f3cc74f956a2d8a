"""Problems of takedown: readers still see what should be gone, its objects are not deleted, or a CDN keeps copies."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from health.problems.problem import Problem
from health.snapshot import NO_FIGURES, Snapshot

FAILING_SECONDS = 3.0
"""How long it may fail before that is a problem."""


def rows_stay(snapshot: Snapshot) -> Iterator[Problem]:
    count = (snapshot.figures or NO_FIGURES).still_shown
    if count:
        what, rows = (
            ("a deleted or hidden picture", "its row")
            if count == 1
            else (
                f"{count} deleted or hidden pictures",
                "their rows",
            )
        )
        yield Problem(
            "takedown.rows_stay",
            "rows",
            f"readers still see {what}: the catalogue refused {rows}, and that was given up",
            "bin/run dead has the catalogue's reason. Mend that, then bin/run retry writes the rows again. Until then"
            " delete them from the tables messages and images yourself",
        )


def objects_stay(snapshot: Snapshot) -> Iterator[Problem]:
    figures = snapshot.figures or NO_FIGURES
    if failure := _lasting(snapshot, "takedown"):
        count = sum(figures.takedowns.get(step, 0) for step in ("waiting", "leaving"))
        yield Problem(
            "takedown.objects_stay",
            "takedown",
            f"the objects of {count} deleted or hidden pictures can't be deleted: {failure['error']}",
            failure["remedy"],
            failure["opened_at"],
        )


def copies_stay(snapshot: Snapshot) -> Iterator[Problem]:
    figures = snapshot.figures or NO_FIGURES
    if failure := _lasting(snapshot, "cdn"):
        yield Problem(
            "takedown.copies_stay",
            "cdn",
            f"{figures.takedowns.get('purging', 0)} deleted objects may still come from the CDN: {failure['error']}",
            failure["remedy"],
            failure["opened_at"],
        )


def _lasting(snapshot: Snapshot, service: str) -> Mapping[str, Any] | None:
    """Since when and why it has failed, if for long enough. abs: the clock may have been set back."""
    failure = (snapshot.figures or NO_FIGURES).failures.get(service)
    return failure if failure and abs(snapshot.now - failure["opened_at"]) >= FAILING_SECONDS else None
