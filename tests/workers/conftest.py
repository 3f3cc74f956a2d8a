"""Fixtures for the tests of the workers."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.workers.desk import Desk


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    state_dir = tmp_path / "state"
    state_dir.mkdir()
    desk = Desk(state_dir)
    yield desk
    desk.close()
