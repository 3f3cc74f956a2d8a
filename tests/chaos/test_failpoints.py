"""Every failpoint, each killed once: afterwards every picture is published once, and the bad one is dead once."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

from ipc import failpoints
from tests import lengths
from tests.instance import Instance
from tests.pictures import make_export

STORED = ("published.before", "published.stored", "published.recorded", "published.after")
"""Between the steps of a picture's way into a storage: tests.chaos.test_publishing_failpoints has them with R2.
`tests.chaos.test_renewing` has those of what is rendered anew."""

NAMES = [
    name for name in failpoints.NAMES if (lengths.is_long or name not in STORED) and not name.startswith("renewed.")
]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("failpoints") / "export", 4, bad={3: b"no picture"})


@pytest.mark.parametrize("name", NAMES)
def test_nothing_is_lost_or_doubled(name: str, export: Path, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export)
    instance.start(PICTUREDESK_FAILPOINT=name)
    instance.wait_until_done()

    killed = [record for record in instance.records() if record.get("what") == "killed by SIGKILL"]
    assert len(killed) >= 1, "the failpoint was never reached"
    assert instance.stop() == 0
    instance.assert_published([1, 2, 4])
    instance.assert_nothing_left(dead=1)


def test_the_second_time(export: Path, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export)
    instance.start(PICTUREDESK_FAILPOINT="published.put:2")
    instance.wait_until_done()
    killed = [record for record in instance.records() if record.get("what") == "killed by SIGKILL"]
    assert [record["child"] for record in killed] == ["uploader"]
    assert len([record for record in instance.records() if record["event"] == "job.published"]) >= 3
    assert instance.stop() == 0
    instance.assert_published([1, 2, 4])
    instance.assert_nothing_left(dead=1)


def test_an_unknown_failpoint_is_refused(export: Path, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export)
    instance.start(PICTUREDESK_FAILPOINT="no.such.point")
    assert instance.wait() == 78
    assert "no.such.point" in instance.log.read_text()
