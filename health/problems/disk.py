"""Problems of state_dir's disk: the journal cannot be read, state_dir or the spool cannot be written."""

from __future__ import annotations

from collections.abc import Iterator

from health.problems.problem import Problem
from health.snapshot import Snapshot


def journal_unreadable(snapshot: Snapshot) -> Iterator[Problem]:
    if snapshot.journal_error:
        yield Problem(
            "journal.unreadable",
            "journal",
            snapshot.journal_error,
            "See the log; check the disk that state_dir is on",
        )


def state_dir_not_writable(snapshot: Snapshot) -> Iterator[Problem]:
    """A child that waits for the disk says so with its process id: what a process has said that is no more is void."""
    reports = {name: snapshot.report(f"disk {name}") for name in sorted(snapshot.tree)}
    waiting = {
        name: str(report["error"])
        for name, report in reports.items()
        if report and report["pid"] == snapshot.tree[name].get("pid")
    }
    if waiting:
        yield Problem(
            "state_dir.not_writable",
            "disk",
            f"state_dir cannot be written ({next(iter(waiting.values()))}): {', '.join(waiting)} waiting",
            "Nothing is lost, and it goes on by itself. Make room on state_dir's disk, or see what ails it",
        )


def spool_not_writable(snapshot: Snapshot) -> Iterator[Problem]:
    for topic in ("connection", "pool"):
        if error := snapshot.report(topic).get("spool_error"):
            yield Problem(
                "spool.not_writable",
                f"spool {topic}",
                error,
                "Nothing is lost; make room on the disk that state_dir is on",
            )
