"""Posts that the operator hides and shows again on a running instance: rows, feed, gallery and objects follow."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from shutil import copyfile
from typing import Any

import pytest

from ipc import failpoints
from ipc.journal import Journal
from ipc.journal.pictures import newest_published
from tests import lengths
from tests.instance import Instance, wait_for
from tests.pictures import CHANNEL, draw, message, write_result

LINK = f"https://t.me/c/{CHANNEL}"
EVERYTHING = {
    "PICTUREDESK__FEEDS__ENABLED": "true",
    "PICTUREDESK__SITE__ENABLED": "true",
    "PICTUREDESK__STORAGE__TAKEDOWN_AFTER_SECONDS": "0",
}
EACH = [name for name in failpoints.NAMES if name.startswith("takedown.") and name != "takedown.purged"]
POINTS = EACH if lengths.is_long else ["takedown.begun"]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An album of two, and one picture in two posts."""
    folder = tmp_path_factory.mktemp("hiding") / "export"
    (folder / "photos").mkdir(parents=True)
    messages: list[dict[str, Any]] = []
    for number in (1, 2, 3, 4):
        name = f"photos/photo_{number}@01-02-2025_10-00-00.jpg"
        if number == 4:
            copyfile(folder / str(messages[-1]["photo"]), folder / name)
        else:
            draw(folder / name, number, (120, 90))
        together = {"date_unixtime": "1738404120"} if number in (1, 2) else {}
        messages.append(message(number, photo=name, **together))
    write_result(folder, messages)
    return folder


def pictures(instance: Instance) -> dict[int, dict[str, Any]]:
    """What readers see, by message."""
    with closing(sqlite3.connect(instance.state_dir / "catalog.db")) as database:
        database.row_factory = sqlite3.Row
        return {row["message_id"]: dict(row) for row in database.execute("SELECT * FROM pictures")}


def folders(instance: Instance) -> dict[int, str]:
    """Where the objects of each are, as the rows say."""
    return {row["message_id"]: f"{row['sha256'][:2]}/{row['sha256']}" for row in instance.rows()}


def objects(instance: Instance, folder: str) -> set[str]:
    return {file.name for file in (instance.state_dir / "media" / folder).glob("*")}


def in_gallery(instance: Instance) -> set[str]:
    """The names of the posts' pages."""
    pages = (instance.state_dir / "media" / "site" / str(CHANNEL)).glob("*.html")
    return {page.stem for page in pages if page.stem.isdecimal() or page.stem.startswith("album-")}


def is_settled(instance: Instance) -> bool:
    """Nothing is on its way, and nothing is to be taken down."""
    body = instance.status()
    return bool(body) and instance.is_done() and body is not None and body["stats"]["takedowns"] == 0


def wait_for_readers(instance: Instance, numbers: set[int], pages: set[str]) -> None:
    """Until they see these pictures, and these pages of posts in the gallery."""
    wait_for(f"rows of {numbers}", lambda: set(pictures(instance)) == numbers and is_settled(instance))
    wait_for(f"the pages {pages}", lambda: in_gallery(instance) == pages)


@pytest.mark.tree
@pytest.mark.parametrize("point", POINTS)
def test_off_the_site_and_back(point: str, export: Path, make_instance: Callable[..., Instance]) -> None:
    """One of an album is gone from everywhere and comes back as it was; a picture that another post has stays."""
    instance = make_instance(export)
    instance.start(PICTUREDESK_FAILPOINT=point, **EVERYTHING)
    instance.wait_until_done()
    wait_for_readers(instance, {1, 2, 3, 4}, {"album-1", "3", "4"})
    before, where = pictures(instance), folders(instance)
    files = {number: objects(instance, folder) for number, folder in where.items()}
    assert where[3] == where[4] and all(files.values())
    assert "1 picture hidden" in instance.answer("hide", f"{LINK}/1?single").stdout
    assert "1 picture hidden" in instance.answer("hide", f"{LINK}/3").stdout
    wait_for_readers(instance, {2, 4}, {"album-1", "4"})
    wait_for("the kill", lambda: "killed by SIGKILL" in instance.log.read_text())
    wait_for("the end of the objects", lambda: not objects(instance, where[1]))
    assert (objects(instance, where[2]), objects(instance, where[4])) == (files[2], files[4])
    assert pictures(instance)[2]["album_position"] == 1
    feed = instance.state_dir / "media" / "feeds" / f"{CHANNEL}.json"
    wait_for("the feed", lambda: where[1] not in feed.read_text())
    assert where[2] in feed.read_text() and where[4] in feed.read_text()
    album = instance.state_dir / "media" / "site" / str(CHANNEL) / "album-1.html"
    assert where[1] not in album.read_text() and where[2] in album.read_text()
    assert "by bin/run hide, and its objects are deleted" in instance.answer("why", f"{LINK}/1").stdout
    with closing(Journal.open_to_read(instance.state_dir / "journal.db")) as journal:
        assert {job.message_id for job, _ in newest_published(journal, 9)} == {2, 4}, "on the page at / as well"
    for number in (1, 3):
        assert "1 picture shown again" in instance.answer("unhide", f"{LINK}/{number}?single").stdout
    wait_for_readers(instance, {1, 2, 3, 4}, {"album-1", "3", "4"})
    assert pictures(instance) == before
    assert {number: objects(instance, folder) for number, folder in where.items()} == files
    wait_for("the feed", lambda: where[1] in feed.read_text())
    assert instance.stop() == 0
    instance.assert_nothing_left()
