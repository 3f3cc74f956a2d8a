"""Every failpoint, each killed once: afterwards every picture is published once, and the bad one is dead once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ipc import failpoints
from tests import lengths
from tests.chaos.signs import killed
from tests.instance import Instance
from tests.pictures import make_export

PROCESSES = {
    "seen": "connection",
    "fetched": "connection",
    "rendered": "pool",
    "dead": "pool",
    "published": "uploader",
    "rendered.started": "image-1",
    "rendered.written": "image-1",
}
"""Which process a failpoint kills: by its name, or by what comes before the dot."""

TOGETHER = [
    "seen.before,rendered.claimed,published.put",
    "seen.after,rendered.lent,published.put:2",
    "fetched.written,rendered.started,rendered.moved,published.deleted",
    "fetched.before,rendered.written,rendered.before,published.row",
    "fetched.after,rendered.after",
    "dead.before",
    "dead.after",
]
"""One for each process: only its first incarnation has failpoints. An image worker's come before the pool's, since the
workers of another pool have none."""

STORED = {"published.before", "published.stored", "published.recorded", "published.after"}
"""Between the steps of a picture's way into a storage: tests.chaos.test_publishing_failpoints has them with R2."""

BESIDE = ("machines.", "queue.", "renewed.", "takedown.", "hidden.", "webhook.", "feeds.", "site.")
ELSEWHERE = {name for name in failpoints.NAMES if name.startswith(BESIDE)}
"""Of work beside the flow: tests.chaos has a module for each kind, tests.supervisor.cli.test_hiding has commands, and
tests.workers.sources.queue has nodes."""

ALONE = [*(name for name in failpoints.NAMES if name not in ELSEWHERE), "published.put:2"]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("failpoints") / "export", 4, bad={3: b"no picture"})


@pytest.mark.parametrize("points", ALONE if lengths.is_long else TOGETHER)
def test_nothing_is_lost_or_doubled(points: str, export: Path, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export)
    instance.start(PICTUREDESK_FAILPOINT=points)
    instance.wait_until_done()

    assert sorted(killed(instance)) == sorted(
        PROCESSES.get(point, PROCESSES[point.split(".")[0]]) for point in points.split(",")
    )
    assert instance.stop() == 0
    instance.assert_published([1, 2, 4])
    instance.assert_nothing_left(dead=1)


def test_each_is_among_them() -> None:
    together = {name for points in TOGETHER for name in failpoints.parse(points)}
    assert together | STORED | ELSEWHERE == set(failpoints.NAMES)


def test_an_unknown_failpoint_is_refused(export: Path, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export)
    instance.start(PICTUREDESK_FAILPOINT="no.such.point")
    assert instance.wait() == 78
    assert "no.such.point" in instance.log.read_text()
