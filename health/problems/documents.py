"""Problems of what is made of the rows besides: feeds, the gallery."""

from __future__ import annotations

from collections.abc import Iterator

from health.problems.problem import Problem
from health.snapshot import Snapshot
from health.times import unix_seconds


def feeds_failing(snapshot: Snapshot) -> Iterator[Problem]:
    report = snapshot.report("feeds")
    if since := report.get("failing_since"):
        yield Problem(
            "feeds.failing",
            "feeds",
            f"the feeds can't be brought up to date since {since}: {report.get('error')}",
            "Pictures and rows are published meanwhile. It is tried again every minute. If it lasts, check storage and"
            " catalogue (bin/run check)",
            unix_seconds(since),
        )


def site_failing(snapshot: Snapshot) -> Iterator[Problem]:
    report = snapshot.report("site")
    if since := report.get("failing_since"):
        yield Problem(
            "site.failing",
            "site",
            f"the gallery can't be brought up to date since {since}: {report.get('error')}",
            "Pictures and rows are published meanwhile. It is tried again every minute. If it lasts, check storage and"
            " catalogue (bin/run check)",
            unix_seconds(since),
        )
