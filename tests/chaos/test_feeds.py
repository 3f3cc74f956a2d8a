"""The feeds of a running tree, whose uploader is killed at each step of writing them: they come to say what is true."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ipc import failpoints
from tests import lengths
from tests.chaos.signs import be_in_the_way, killed, problem, wait_until_over
from tests.hosted import HostedInstance
from tests.instance import Instance, wait_for
from tests.pictures import CHANNEL, make_export
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer

ON = {"PICTUREDESK__FEEDS__ENABLED": "true"}
POINTS = [name for name in failpoints.NAMES if name.startswith("feeds.") and name != "feeds.removed"]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("feeds") / "export", 3)


def count(document: bytes | None) -> int | None:
    """How many items a feed has, of either format."""
    if document is None:
        return None
    return document.count(b"<entry>") if document.startswith(b"<?xml") else len(json.loads(document)["items"])


def wait_until_whole(read: Callable[[str], bytes | None], items: int = 3) -> None:
    keys = [f"feeds/{name}.{ending}" for name in (CHANNEL, "all") for ending in ("json", "xml")]
    wait_for("whole feeds", lambda: all(count(read(key)) == items for key in keys))


def reader(instance: Instance) -> Callable[[str], bytes | None]:
    def read(key: str) -> bytes | None:
        path = instance.state_dir / "media" / key
        return path.read_bytes() if path.exists() else None

    return read


@pytest.mark.reaches("feeds.failing")
def test_feeds_that_cannot_be_written_keep_no_picture_waiting(
    export: Path, make_instance: Callable[..., Instance]
) -> None:
    """And when they can, a process that is killed between two documents leaves the rest to the next one."""
    instance = make_instance(export)
    in_the_way = instance.state_dir / "media" / "feeds"
    be_in_the_way(in_the_way)
    instance.start(**ON)
    instance.wait_until_done()

    assert "media/feeds" in wait_for("the problem", lambda: problem(instance, "feeds.failing"))["what"]
    assert instance.stop() == 0
    in_the_way.unlink()
    instance.start(**ON, PICTUREDESK_FAILPOINT="feeds.put")
    wait_until_whole(reader(instance))
    wait_until_over(instance, "feeds.failing")
    assert killed(instance) == ["uploader"]
    assert instance.stop() == 0


@pytest.mark.skipif(not lengths.is_long, reason="the other steps: bin/test --long")
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step(point: str, export: Path, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export)
    instance.start(**ON, PICTUREDESK_FAILPOINT=point)
    wait_until_whole(reader(instance))
    wait_for("the kill", lambda: killed(instance))
    assert killed(instance) == ["uploader"]
    assert instance.stop() == 0
    instance.start(PICTUREDESK_FAILPOINT="feeds.removed")  # and turned off
    wait_for("the feeds to go", lambda: not (instance.state_dir / "media" / "feeds").exists())
    wait_for("the kill", lambda: len(killed(instance)) == 2)
    instance.wait_until_running()
    assert instance.stop() == 0
    instance.assert_published([1, 2, 3])
    instance.assert_nothing_left()


@pytest.mark.skipif(not lengths.is_long, reason="with a bucket and a project: bin/test --long")
@pytest.mark.parametrize("point", ["feeds.put", "feeds.written"])
def test_with_a_bucket_and_a_project(
    point: str, object_server: ObjectServer, row_server: RowServer, export: Path, tmp_path: Path
) -> None:
    row_server.empty()
    with object_server.bucket() as bucket:
        instance = HostedInstance(tmp_path / "instance", export, object_server, row_server, bucket)

        def read(key: str) -> bytes | None:
            whole = f"pictures/{key}"
            return instance.body_of(whole) if whole in instance.objects() else None

        try:
            instance.start(**ON, PICTUREDESK_FAILPOINT=point)
            wait_until_whole(read)
            head = instance.client.head_object(Bucket=bucket, Key="pictures/feeds/all.json")
            assert head["CacheControl"] == "public, max-age=60"
            assert head["ContentType"] == "application/feed+json; charset=utf-8"
            assert killed(instance) == ["uploader"]
            assert instance.stop() == 0
            instance.start()  # and turned off
            wait_for("the feeds to go", lambda: not [key for key in instance.objects() if "/feeds/" in key])
            assert instance.stop() == 0
            instance.assert_published([1, 2, 3])
        finally:
            instance.end()
