"""What a sealed image worker sees of the machine, from inside a real one."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from ipc.transport.messages import Report
from supervisor.child import sandbox
from tests.workers.aging import worker


def test_nothing_of_ours_is_open_or_can_be_opened(tmp_path: Path) -> None:
    (tmp_path / "journal.db").write_text("secret")
    with worker(tmp_path, "tests.workers.attacks:look_around") as one:
        seen = one.next(Report)
    assert isinstance(seen, Report)
    found = Counter(seen.facts["open"])
    # The inbox, the liveness pipe and that of signals; the outbox, the other end of that of signals, perhaps the log.
    assert found["pipe r"] == 3 and 2 <= found["pipe w"] <= 4
    # status, statm and smaps_rollup of its own; its stacks, perhaps the log.
    assert found["file r"] == 3 and 1 <= found["file w"] <= 3
    assert set(found) <= {"pipe r", "pipe w", "file r", "file w", "device w", "other w"}
    if sandbox.best().landlock:
        assert seen.facts["read"] == []
    assert "PYTHONMALLOC" in seen.facts["environment"]
    assert not [name for name in seen.facts["environment"] if "PICTUREDESK_" in name and name != "PICTUREDESK_PARENT"]
