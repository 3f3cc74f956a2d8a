"""health/view/exit_counts.py: how processes ended is counted in the journal, once, whatever health goes through."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from health.view.exit_counts import ExitCounter
from ipc.journal import Journal, statistics


def ended(at: int = 7, cause: str = "crashed", **more: Any) -> dict[str, Any]:
    return {"at": at, "cause": cause, "what": "exit code 1", "lived_seconds": 1.5, **more}


def restarts(path: Path) -> dict[tuple[str, str], int]:
    with closing(Journal.open_to_read(path)) as journal:
        return dict(statistics.restarts(journal))


def test_ends_are_counted_and_a_new_process_counts_none_again(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    Journal.open(path).close()
    for _ in range(2):  # the second one is told of them once more
        counter = ExitCounter(path)
        for child, facts in (("image-1", ended()), ("image-1", ended(8)), ("pool", ended(8, "hung"))):
            counter.add(child, facts)
        counter.wait(30)
        counter.go_on()
        counter.wait(30)
    assert restarts(path) == {("image-1", "crashed"): 2, ("pool", "hung"): 1}


def test_what_cannot_be_written_is_written_later(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    counter = ExitCounter(path)
    counter.add("image-1", ended())
    assert not path.exists(), "health makes no journal"
    with closing(sqlite3.connect(path)) as broken:
        broken.execute("PRAGMA user_version = 99")
    counter.go_on()
    counter.wait(30)
    path.unlink()
    Journal.open(path).close()
    counter.go_on()
    counter.wait(30)
    assert restarts(path) == {("image-1", "crashed"): 1}
