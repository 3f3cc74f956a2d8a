"""kill -9 of the uploader at each of its failpoints, with a real S3 server and a Supabase-like stack behind it."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from ipc import failpoints
from tests.hosted import HostedInstance
from tests.instance import wait_for
from tests.pictures import make_export
from tests.servers.faults import Answer, FaultProxy, Pass
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer

POINTS = [name for name in failpoints.NAMES if name.startswith("published.")]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("failpoints") / "export", 3)


@pytest.fixture
def instance(
    object_server: ObjectServer, row_server: RowServer, export: Path, tmp_path: Path
) -> Iterator[HostedInstance]:
    row_server.empty()
    bucket = f"failpoints-{time.time_ns()}"
    object_server.make_bucket(bucket)
    instance = HostedInstance(tmp_path / "instance", export, object_server, row_server, bucket)
    yield instance
    instance.end()
    instance.assert_no_secret()
    object_server.remove_bucket(bucket)


@pytest.fixture
def make_behind(object_server: ObjectServer, instance: HostedInstance) -> Callable[[FaultProxy], None]:
    """Has the instance's storage be behind that proxy."""

    def make(proxy: FaultProxy) -> None:
        text = instance.config.read_text()
        assert object_server.endpoint in text
        instance.config.write_text(text.replace(object_server.endpoint, proxy.url))

    return make


@pytest.mark.parametrize("point", [*POINTS, "published.put:4"])
def test_nothing_is_lost_or_doubled(point: str, instance: HostedInstance) -> None:
    instance.start(PICTUREDESK_FAILPOINT=point)
    instance.wait_until_done()
    killed = [record for record in instance.records() if record.get("what") == "killed by SIGKILL"]
    assert [record["child"] for record in killed] == ["uploader"]
    assert instance.stop() == 0
    instance.assert_published([1, 2, 3])
    instance.assert_nothing_left()


@pytest.mark.parametrize("point", ["dead.before", "dead.after"])
def test_a_dead_letter_comes_back(
    point: str, object_server: ObjectServer, instance: HostedInstance, make_behind: Callable[[FaultProxy], None]
) -> None:
    """The storage takes no object. The uploader is killed as it gives one up; all can be brought back."""
    with FaultProxy(object_server.port) as proxy:
        make_behind(proxy)
        proxy.set(Answer(413, when=lambda request: request.method == "PUT"))
        instance.start(PICTUREDESK_FAILPOINT=point, PICTUREDESK__RETRY__MAX_ATTEMPTS="0")
        wait_for("all to be dead", lambda: (instance.status() or {"stats": {"dead": 0}})["stats"]["dead"] == 3)
        killed = [record for record in instance.records() if record.get("what") == "killed by SIGKILL"]
        assert [record["child"] for record in killed] == ["uploader"]
        assert (instance.status() or {})["stats"]["failed"] == 3
        assert instance.objects() == {}
        proxy.set(Pass())
        assert instance.command("retry", "--all").returncode == 0
        instance.wait_until_done()
        assert instance.stop() == 0
    instance.assert_published([1, 2, 3])
    instance.assert_nothing_left()
