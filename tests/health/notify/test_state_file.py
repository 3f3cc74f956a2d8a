"""What a health process leaves to the next one."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest

from health.notify import state_file
from health.notify.decisions import Episode, Told
from health.notify.notices import Notice
from health.notify.state_file import NotifyState
from ipc.private_files import IsLink

STATE = NotifyState(
    Told({("child pool", "child.held"): 5.5}, {"child pool": Episode(("child.held",), "so ü", 4.0, None)}),
    [[Notice("problem", "x", "y", 1.0), Notice("over", "x", since=1.0, until=2.0)], []],
)


def test_it_comes_back_as_it_was_and_is_private(tmp_path: Path) -> None:
    assert state_file.read(tmp_path) == NotifyState()
    state_file.write(tmp_path, state_file.to_text(NotifyState()))
    state_file.write(tmp_path, state_file.to_text(STATE))
    assert state_file.read(tmp_path) == STATE
    [file] = tmp_path.iterdir()
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_link_is_neither_followed_nor_replaced(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text("mine")
    for name in (state_file.NAME, f"{state_file.NAME}.new"):
        (tmp_path / name).symlink_to(other)
        with pytest.raises(IsLink):
            state_file.write(tmp_path, "{}")
        assert other.read_text() == "mine"
        (tmp_path / name).unlink()
    (tmp_path / state_file.NAME).symlink_to(other)
    with pytest.raises(IsLink):
        state_file.read(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "[]",
        "{}",
        "null",
        '{"seen": 1, "episodes": {}, "waiting": []}',
        '{"seen": [["a"]], "episodes": {}, "waiting": []}',
        '{"seen": [], "episodes": {"a": 1}, "waiting": []}',
        '{"seen": [], "episodes": {}, "waiting": [[{}]]}',
        '{"seen": [], "episodes": {}, "waiting": [[{"kind": "x", "what": "", "remedy": "", "since": 1, "until": 1}]]}',
        "[" * 100_000,
    ],
)
def test_a_damaged_file_is_refused_as_a_whole(text: str) -> None:
    with pytest.raises(ValueError):
        state_file.from_text(text)
