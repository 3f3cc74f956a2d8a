"""Faults that raise the problems of /status that no other test has a real tree tell of (see the mark `reaches`).

The workers' codecs are broken as a bad installation breaks them: in a mount namespace of the instance's own, files of
Pillow are others.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import closing
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from PIL import Image, JpegImagePlugin, WebPImagePlugin
from pillow_avif import AvifImagePlugin

from tests import lengths
from tests.instance import Instance, wait_for
from tests.pictures import CHANNEL, make_export

pytestmark = pytest.mark.tree
MakeInstance = Callable[..., Instance]

MOUNT = 'while [ "$1" != -- ]; do mount --bind "$1" "$2"; shift 2; done; shift; exec "$@"'

NO_DECODER = """
def _broken(*given):
    raise OSError("this build is broken")
_webp.WebPAnimDecoder = _broken
"""

NO_SVT = """
_encoder = _avif.AvifEncoder
def _without_svt(*given):
    if "svt" in given:
        raise ValueError("this build has no SVT-AV1")
    return _encoder(*given)
_avif.AvifEncoder = _without_svt
"""

ENDLESS = """
def _endless(*given):
    import time
    time.sleep(3600)
Image.register_open(JpegImageFile.format, _endless, _accept)
"""


def start_broken(instance: Instance, plugins: dict[ModuleType, str], **environment: str) -> None:
    """Start it where these plugins of Pillow have more lines at their end. The others keep their Pillow as it is."""
    mounts: list[str] = []
    for plugin, lines in plugins.items():
        real = Path(plugin.__file__ or "")
        broken = instance.folder / real.name
        broken.write_text(real.read_text() + lines)
        mounts += [str(broken), str(real)]
    instance.through = ["unshare", "--mount", "--map-root-user", "sh", "-ec", MOUNT, "sh", *mounts, "--"]
    instance.start(PYTHONDONTWRITEBYTECODE="1", **environment)


def problems(instance: Instance) -> dict[str, str]:
    """What is wrong, by its id."""
    return {one["id"]: one["what"] for one in (instance.status() or {"problems": []})["problems"]}


def wait_for_problems(instance: Instance, *ids: str, seconds: float = 60.0) -> dict[str, str]:
    """Wait until it tells of all of them at once; what it says of everything that is wrong."""

    def look() -> dict[str, str] | None:
        found = problems(instance)
        return found if found.keys() >= set(ids) else None

    return wait_for(f"the problems {', '.join(ids)}", look, seconds)


@pytest.mark.reaches("codec.broken", "encoder.fallback", "service.failing", "notify.undelivered")
def test_broken_codecs_a_folder_that_is_none_and_an_address_of_nobody(
    tmp_path: Path, make_instance: MakeInstance
) -> None:
    """Each is told by itself; when the folder is there, what could be rendered is published."""
    export = make_export(tmp_path / "export", 5)
    photo = export / "photos" / "photo_5@01-02-2025_10-00-00.jpg"
    with Image.open(photo) as picture:
        picture.save(photo, "WEBP")
    instance = make_instance(export, '[images]\nwidths = [100]\n[notify]\nurls = ["nobody://knows.this"]')
    instance.state_dir.mkdir()
    media = instance.state_dir / "media"
    media.write_text("a file where the folder should be")
    start_broken(
        instance,
        {WebPImagePlugin: NO_DECODER, AvifImagePlugin: NO_SVT},
        PICTUREDESK__BREAKER__FAILURES="1000",
    )
    found = wait_for_problems(instance, "codec.broken", "encoder.fallback", "service.failing", "notify.undelivered")
    assert found["codec.broken"].startswith("the image workers' WEBP decoder is broken, its pictures wait: ")
    assert "this build has no SVT-AV1" in found["encoder.fallback"]
    assert "media" in found["service.failing"] and found["service.failing"].startswith("the storage fails: ")
    media.unlink()

    def is_published() -> bool:
        stats: dict[str, Any] = (instance.status() or {"stats": {"processed": 0}})["stats"]
        return bool(stats["processed"] == 4)

    wait_for("the four that could be decoded", is_published)
    assert "service.failing" not in problems(instance)
    assert instance.stop() == 0


@pytest.mark.reaches("takedown.rows_stay")
def test_a_row_that_hides_a_post_is_refused(tmp_path: Path, make_instance: MakeInstance) -> None:
    """By a trigger, as an operator may have in the database."""
    instance = make_instance(make_export(tmp_path / "export", 2))
    link = f"https://t.me/c/{CHANNEL}/1"
    refuse = "BEFORE UPDATE ON messages WHEN NEW.hidden_at IS NOT NULL BEGIN SELECT RAISE(ABORT, 'not allowed'); END"
    instance.start(PICTUREDESK__RETRY__MAX_ATTEMPTS="1")
    instance.wait_until_done()
    catalogue(instance, f"CREATE TRIGGER refuses {refuse}")
    assert instance.answer("hide", link).returncode == 0
    found = wait_for_problems(instance, "takedown.rows_stay")["takedown.rows_stay"]
    assert found.startswith("readers still see a deleted or hidden picture: the catalogue refused its row")
    assert "not allowed" in instance.answer("dead").stdout
    assert catalogue(instance, "SELECT message_id FROM pictures") == [(1,), (2,)], "as it says"
    catalogue(instance, "DROP TRIGGER refuses")
    assert instance.answer("retry", "--all").returncode == 0
    wait_for("its row", lambda: catalogue(instance, "SELECT message_id FROM pictures") == [(2,)])
    wait_for("the problem to be over", lambda: "takedown.rows_stay" not in problems(instance))
    assert instance.stop() == 0


def catalogue(instance: Instance, statement: str) -> list[tuple[int]]:
    """Carry it out as the operator would."""
    with closing(sqlite3.connect(instance.state_dir / "catalog.db", timeout=10)) as database, database:
        return database.execute(statement).fetchall()


@pytest.mark.skipif(not lengths.is_long, reason="three minutes of waiting: bin/test --long")
@pytest.mark.reaches("pictures.standing_still")
def test_work_that_stands_still(tmp_path: Path, make_instance: MakeInstance) -> None:
    """Two pictures that no decoder comes back from, with more time than this test has: nothing else is wrong."""
    instance = make_instance(make_export(tmp_path / "export", 2))
    start_broken(instance, {JpegImagePlugin: ENDLESS}, PICTUREDESK__POOL__JOB_SECONDS="86400")
    found = wait_for_problems(instance, "pictures.standing_still", seconds=280.0)
    assert list(found) == ["pictures.standing_still"]
    assert found["pictures.standing_still"].startswith("2 pictures wait, and none has been finished since ")
