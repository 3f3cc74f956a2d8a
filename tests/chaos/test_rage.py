"""Everything at once, in a random order: every process is killed, crashed, frozen, starved, locked out and cut off."""

from __future__ import annotations

import os
import time
from pathlib import Path

import pytest

from ipc import failpoints
from tests.chaos import schedule
from tests.chaos.rage import scene
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer

SECONDS = 15.0


@pytest.mark.chaos
def test_nothing_is_lost_doubled_orphaned_or_leaked(
    object_server: ObjectServer, row_server: RowServer, tmp_path: Path
) -> None:
    seed = int(os.environ.get("PICTUREDESK_TEST_SEED", time.time_ns() % 10**6))
    print(f"seed {seed}: run again with PICTUREDESK_TEST_SEED={seed}")  # shown when the test fails
    steps = schedule.make(seed, SECONDS, pace_seconds=0.4, failpoints=tuple(failpoints.NAMES))
    with scene(tmp_path / "chaos", object_server, row_server) as chaos:
        chaos.begin()
        chaos.run(steps, seconds=SECONDS, post_seconds=0.3)
        chaos.settle()
        chaos.assert_nothing_leaked()
        chaos.finish()
