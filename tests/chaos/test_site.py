"""The gallery of a running tree, whose uploader is killed at each step of writing it: it comes to show what is true."""

from __future__ import annotations

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

ON = {"PICTUREDESK__SITE__ENABLED": "true"}
POINTS = [
    name
    for name in failpoints.NAMES
    if name.startswith("site.") and name not in ("site.removed", "site.deleted", "site.divided")
]
"""With three new pictures. `tests/workers/publishing/documents/site` has the rest, without processes."""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("site") / "export", 3)


def wait_until_whole(instance: Instance) -> None:
    """Each picture has its page, and all of them are on the front page."""
    root = instance.state_dir / "media" / "site"

    def is_whole() -> bool:
        pages = [root / str(CHANNEL) / f"{number}.html" for number in (1, 2, 3)]
        front = root / "index.html"
        text = front.read_text() if front.exists() else ""
        return all(page.exists() and f"{CHANNEL}/{page.name}" in text for page in pages)

    wait_for("a whole gallery", is_whole)


@pytest.mark.reaches("site.failing")
def test_a_gallery_that_cannot_be_written_keeps_no_picture_waiting(
    export: Path, make_instance: Callable[..., Instance]
) -> None:
    """And when it can, it is whole, though the process is killed between two of its pages; health shows it."""
    instance = make_instance(export)
    in_the_way = instance.state_dir / "media" / "site"
    be_in_the_way(in_the_way)
    instance.start(**ON)
    instance.wait_until_done()

    assert "media/site" in wait_for("the problem", lambda: problem(instance, "site.failing"))["what"]
    assert instance.stop() == 0
    in_the_way.unlink()
    instance.start(**ON, PICTUREDESK_FAILPOINT="site.put:3")
    wait_until_whole(instance)
    wait_until_over(instance, "site.failing")
    assert killed(instance) == ["uploader"]
    assert instance.stop() == 0


@pytest.mark.skipif(not lengths.is_long, reason="with a bucket and a project: bin/test --long")
@pytest.mark.parametrize("point", ["site.put:2", "site.planned"])
def test_with_a_bucket_and_a_project(
    point: str, object_server: ObjectServer, row_server: RowServer, export: Path, tmp_path: Path
) -> None:
    row_server.empty()
    with object_server.bucket() as bucket:
        instance = HostedInstance(tmp_path / "instance", export, object_server, row_server, bucket)
        pages = {f"pictures/site/{CHANNEL}/{number}.html" for number in (1, 2, 3)}
        try:
            instance.start(**ON, PICTUREDESK_FAILPOINT=point)
            front = "pictures/site/index.html"
            wait_for("all pages", lambda: pages | {front} <= instance.objects().keys())
            wait_for("the front page", lambda: all(f"{one}.html" in str(instance.body_of(front)) for one in (1, 2, 3)))
            head = instance.client.head_object(Bucket=bucket, Key=front)
            assert (head["CacheControl"], head["ContentType"]) == ("public, max-age=60", "text/html; charset=utf-8")
            assert killed(instance) == ["uploader"]
            assert instance.stop() == 0
            instance.start()  # and turned off
            wait_for("the gallery to go", lambda: not [key for key in instance.objects() if "/site/" in key])
            assert instance.stop() == 0
            instance.assert_published([1, 2, 3])
        finally:
            instance.end()


@pytest.mark.skipif(not lengths.is_long, reason="the other steps: bin/test --long")
@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step(point: str, export: Path, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export)
    instance.start(**ON, PICTUREDESK_FAILPOINT=point)
    wait_until_whole(instance)
    wait_for("the kill", lambda: killed(instance))
    assert killed(instance) == ["uploader"]
    assert instance.stop() == 0
    instance.start(PICTUREDESK_FAILPOINT="site.removed")  # and turned off
    wait_for("the gallery to go", lambda: not (instance.state_dir / "media" / "site").exists())
    wait_for("the kill", lambda: len(killed(instance)) == 2)
    instance.wait_until_running()
    assert instance.stop() == 0
    instance.assert_published([1, 2, 3])
    instance.assert_nothing_left()
