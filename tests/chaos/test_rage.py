"""Everything at once, in a random order: every process is killed, crashed, frozen, starved, locked out and cut off."""

from __future__ import annotations

from pathlib import Path

import pytest

from ipc import failpoints
from tests.chaos import schedule
from tests.chaos.rage import scene
from tests.lengths import length, seed_of_the_run
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer

SECONDS = length(6.0, 120.0)

ROUNDS = length(1, 5)
"""Each with a schedule of its own."""


@pytest.mark.chaos
@pytest.mark.parametrize("number", range(ROUNDS))
def test_nothing_is_lost_doubled_orphaned_or_leaked(
    number: int, object_server: ObjectServer, row_server: RowServer, tmp_path: Path
) -> None:
    seed = seed_of_the_run(number)
    steps = schedule.make(seed, SECONDS, pace_seconds=0.4, failpoints=tuple(failpoints.NAMES))
    with scene(tmp_path / "chaos", object_server, row_server) as chaos:
        chaos.begin()
        chaos.run(steps, seconds=SECONDS, post_seconds=0.3)
        chaos.settle()
        chaos.assert_nothing_leaked()
        chaos.finish()
