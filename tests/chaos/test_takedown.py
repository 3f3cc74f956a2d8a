"""A post that was deleted is taken down by a running tree, killed at each step of that: all goes, and nothing else."""

from __future__ import annotations

import json
import re
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from ipc import failpoints
from ipc.intake import withdraw
from ipc.journal import Journal, breakers
from ipc.journal.outputs import takedowns
from tests import lengths
from tests.chaos.signs import killed
from tests.hosted import Feed, HostedInstance
from tests.instance import Instance, wait_for
from tests.ipc.tables import scalar
from tests.pictures import CHANNEL, make_export
from tests.servers.cdn import TOKEN, ZONE, Cdn
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer

EACH = [name for name in failpoints.NAMES if name.startswith("takedown.")]
POINTS = EACH if lengths.is_long else ["takedown.deleted"]
"""The test with a bucket has another; `tests/workers/publishing/test_takedown.py` has the rest without processes."""

BEHIND_A_CDN = """
[storage]
takedown_after_seconds = {after}
public_url = "https://pictures.example.org"
cloudflare_zone = "{zone}"
cloudflare_api = "{api}"
"""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("takedown") / "export", 3)


@pytest.fixture
def cdn() -> Iterator[Cdn]:
    with Cdn() as cdn:
        yield cdn


def delete(instance: Instance, number: int) -> None:
    """The source says that this message is deleted."""
    with closing(Journal.open(instance.state_dir / "journal.db")) as journal:
        channel = scalar(journal, "SELECT channel_id FROM jobs WHERE message_id = ?", number)
        assert withdraw(journal, channel, [number], time.time(), is_told=True) == [number]


def wait_until_taken_down(instance: Instance) -> None:
    with closing(Journal.open(instance.state_dir / "journal.db")) as journal:
        wait_for("all to be taken down", lambda: not any(takedowns.counts(journal).values()))


def stored(instance: Instance) -> set[str]:
    media = instance.state_dir / "media"
    return {str(file.relative_to(media)) for file in media.rglob("*") if file.is_file()}


def folder_of(instance: Instance, number: int) -> str:
    with closing(sqlite3.connect(instance.state_dir / "journal.db")) as database:
        ((sha256,),) = database.execute("SELECT sha256 FROM jobs WHERE message_id = ?", [number]).fetchall()
    return f"{sha256[:2]}/{sha256}/"


@pytest.mark.parametrize("point", POINTS)
def test_killed_at_any_step(point: str, export: Path, cdn: Cdn, make_instance: Callable[..., Instance]) -> None:
    instance = make_instance(export, BEHIND_A_CDN.format(after=0, zone=ZONE, api=cdn.api))
    secret = {"PICTUREDESK__STORAGE__CLOUDFLARE_TOKEN": TOKEN}
    instance.start(PICTUREDESK_FAILPOINT=point, **secret)
    instance.wait_until_done()
    before, gone = stored(instance), folder_of(instance, 2)
    delete(instance, 2)
    wait_until_taken_down(instance)
    assert instance.stop() == 0
    assert killed(instance) == ["uploader"], "the failpoint was never reached"
    instance.assert_published([1, 3])
    copies = {f"https://pictures.example.org/{key}" for key in before if key.startswith(gone)}
    assert len(copies) > 2 and set(cdn.purged) == copies
    assert TOKEN not in instance.log.read_text()


WITH_DOCUMENTS = """
[storage]
takedown_after_seconds = 1
"""


def shown(instance: Instance) -> tuple[set[int], set[int], set[int], set[int]]:
    """The messages that readers find: in the view, in the feed, on the gallery's front page, and those with a page."""
    media = instance.state_dir / "media"
    with closing(sqlite3.connect(instance.state_dir / "catalog.db")) as database:
        rows = {number for (number,) in database.execute("SELECT message_id FROM pictures")}
    feed, front = media / f"feeds/{CHANNEL}.json", media / "site/index.html"
    items = json.loads(feed.read_text())["items"] if feed.exists() else ()
    captions = {int(item["title"].removeprefix("caption ")) for item in items}
    text = front.read_text() if front.exists() else ""
    linked = {int(number) for number in re.findall(rf'href="{CHANNEL}/([0-9]+)\.html"', text)}
    return rows, captions, linked, {int(path.stem) for path in media.glob(f"site/{CHANNEL}/[0-9]*.html")}


def test_a_deleted_post_is_gone_everywhere(tmp_path: Path, make_instance: Callable[..., Instance]) -> None:
    """Row, feed, pages and objects; but the objects stay of the picture that another post has, too."""
    export = make_export(tmp_path / "export", 4)
    (twin,), (copy,) = ((export / "photos").glob(f"photo_{number}@*") for number in (2, 4))
    copy.write_bytes(twin.read_bytes())
    instance = make_instance(export, WITH_DOCUMENTS)
    instance.start(PICTUREDESK__FEEDS__ENABLED="true", PICTUREDESK__SITE__ENABLED="true")
    instance.wait_until_done()
    wait_for("all to be shown", lambda: shown(instance) == ({1, 2, 3, 4},) * 4)
    folders = {number: folder_of(instance, number) for number in (1, 2, 3, 4)}
    assert folders[2] == folders[4]
    before = stored(instance)
    delete(instance, 2)
    delete(instance, 3)
    wait_until_taken_down(instance)
    wait_for("both to be gone", lambda: shown(instance) == ({1, 4},) * 4)
    assert instance.stop() == 0
    documents = ("site/", "feeds/")
    gone = {key for key in before - stored(instance) if not key.startswith(documents)}
    assert gone == {key for key in before if key.startswith(folders[3])} and len(gone) > 2


MOUNT = 'mount --bind "$1" "$1"; mount -o remount,ro,bind "$1"; shift; exec "$@"'


@pytest.mark.tree
@pytest.mark.reaches("takedown.objects_stay", "takedown.copies_stay")
def test_what_can_not_be_deleted_or_purged_is_told(
    export: Path, cdn: Cdn, make_instance: Callable[..., Instance]
) -> None:
    """First the disk is read-only, then the token is wrong; when both are mended, all goes."""
    instance = make_instance(export, BEHIND_A_CDN.format(after=86400, zone=ZONE, api=cdn.api))
    secret = {"PICTUREDESK__STORAGE__CLOUDFLARE_TOKEN": "a-wrong-one"}
    instance.start(**secret)
    instance.wait_until_done()
    delete(instance, 2)

    def stats() -> dict[str, Any]:
        found: dict[str, Any] = (instance.status() or {"stats": {}})["stats"]
        return found

    wait_for("the tombstone", lambda: stats().get("takedowns") == 1 and instance.is_done())
    count = len(stored(instance))
    assert instance.stop() == 0
    media = str(instance.state_dir / "media")
    instance.config.write_text(instance.config.read_text().replace("86400", "0"))
    instance.through = ["unshare", "--mount", "--map-root-user", "sh", "-ec", MOUNT, "sh", media]
    instance.start(**secret)
    told = wait_for("the objects that stay to be told", lambda: problems(instance).get("takedown.objects_stay"))
    assert told["what"].startswith("the objects of 1 deleted or hidden pictures can't be deleted: ")
    assert "Read-only" in told["what"] and "again" in told["remedy"]
    assert instance.stop() == 0 and len(stored(instance)) == count
    instance.through = []
    instance.start(**secret)
    told = wait_for("the copies that stay to be told", lambda: problems(instance).get("takedown.copies_stay"))
    assert "Authentication error (10000)" in told["what"] and "Cache Purge" in told["remedy"]
    assert "takedown.objects_stay" not in problems(instance)
    assert (stats()["taken_down"], stats()["takedowns"], stats()["purges"]) == (1, 0, count // 3)
    cdn.token = "a-wrong-one"
    with closing(Journal.open(instance.state_dir / "journal.db")) as journal:
        breakers.put(journal, "cdn", 1.0, 0.0, "", "")  # it would be a quarter of a minute
    wait_for("the copies to be purged", lambda: stats().get("purges") == 0 and not problems(instance))
    assert len(cdn.purged) == count // 3
    assert instance.stop() == 0


def problems(instance: Instance) -> dict[str, dict[str, Any]]:
    """What is wrong, by its id."""
    return {one["id"]: one for one in (instance.status() or {"problems": []})["problems"]}


@pytest.mark.skipif(not lengths.is_long, reason="as a tree; the steps are in every run: bin/test --long")
def test_with_a_bucket_and_a_project(
    object_server: ObjectServer, row_server: RowServer, export: Path, tmp_path: Path
) -> None:
    """Of two pictures the one goes whose post is deleted; the same picture in another post stays."""
    row_server.empty()
    with object_server.bucket() as bucket:
        instance = HostedInstance(tmp_path / "instance", export, object_server, row_server, bucket)
        feed = None
        try:
            environment = {"PICTUREDESK__STORAGE__TAKEDOWN_AFTER_SECONDS": "1"}
            instance.start(PICTUREDESK_FAILPOINT="takedown.noted", **environment)
            instance.wait_until_done()
            feed = Feed(instance.state_dir)
            feed.begin_at(1000)
            gone, stays = feed.pictures(2)
            wait_for("both to be published", lambda: feed.states([gone, stays]) == {("published", True)})
            keys = {number: feed.keys([number]) for number in (gone, stays)}
            assert keys[gone] | keys[stays] <= set(instance.objects())
            delete(instance, gone)
            wait_until_taken_down(instance)
            assert not keys[gone] & set(instance.objects()) and keys[stays] <= set(instance.objects())
            assert instance.stop() == 0
            assert killed(instance) == ["uploader"]
        finally:
            if feed is not None:
                feed.close()
            instance.end()
