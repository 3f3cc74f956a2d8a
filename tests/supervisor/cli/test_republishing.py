"""The command `republish`, and what `check` says of it, run as a user runs them."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import ExifTags, Image

from tests.instance import Instance, wait_for
from tests.pictures import make_export

MakeInstance = Callable[..., Instance]
MARK = b"PLANTED-52.5200N-13.4050E"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    """Three pictures that say where and with what they were taken, in four places each."""
    export = make_export(tmp_path / "export", 3)
    for path in export.rglob("*.jpg"):
        exif = Image.Exif()
        exif[ExifTags.Base.Make] = MARK.decode()
        exif[ExifTags.Base.Orientation] = 6
        with Image.open(path) as picture:
            picture.save(path, "JPEG", exif=exif, comment=MARK, xmp=b"<x:xmpmeta>" + MARK + b"</x:xmpmeta>")
        path.write_bytes(path.read_bytes() + MARK)
    return export


def marked(instance: Instance) -> set[str]:
    """The objects that a marker is in, by the last part of their keys."""
    media = instance.state_dir / "media"
    objects = [path for path in media.rglob("*") if path.is_file()]
    assert len(objects) >= 3
    return {path.name for path in objects if MARK in path.read_bytes()}


def configure(instance: Instance, **settings: str) -> None:
    """Change what `[storage]` says."""
    lines = "".join(f'{key} = "{value}"\n' for key, value in settings.items())
    text = instance.config.read_text(encoding="utf-8").partition("[storage]")[0]
    instance.config.write_text(f"{text}[storage]\n{lines}", encoding="utf-8")


def test_nothing_that_a_camera_wrote_is_in_any_object(export: Path, make_instance: MakeInstance) -> None:
    """As they come out of the box; then published as they came, and replaced while the program runs."""
    instance = make_instance(export)
    instance.start()
    instance.wait_until_done()
    instance.assert_published([1, 2, 3])
    assert marked(instance) == set()
    assert instance.stop() == 0
    as_it_came = make_instance(export)
    configure(as_it_came, originals="as_is", public_url="http://127.0.0.1:9/old")
    assert as_it_came.command("import", str(export), "--exit").returncode == 0
    assert marked(as_it_came) == {"original.jpg"}
    assert as_it_came.answer("republish", "--originals").returncode == 1
    configure(as_it_came, originals="stripped", public_url="http://127.0.0.1:9/new")
    as_it_came.start()
    as_it_came.wait_until_running()
    found = as_it_came.answer("check")
    assert found.returncode == 0
    assert "3 originals are published as they came" in found.stderr
    assert "the URLs in 3 rows do not begin with http://127.0.0.1:9/new/" in found.stderr
    done = as_it_came.answer("republish", "--originals", "--urls")
    assert done.returncode == 0, done.stderr
    assert "3 replaced by stripped ones, 0 removed" in done.stderr
    assert done.stdout.count("stripped ") == 3 and "3 rows are written again now" in done.stdout
    assert marked(as_it_came) == set()
    wait_for(
        "the rows",
        lambda: all(
            one["url"].startswith("http://127.0.0.1:9/new/") for row in as_it_came.rows() for one in row["renditions"]
        ),
    )
    as_it_came.wait_until_done()
    as_it_came.assert_published([1, 2, 3])
    assert "republish" not in as_it_came.answer("check").stderr
    assert as_it_came.stop() == 0


def test_republish_needs_an_option(export: Path, make_instance: MakeInstance) -> None:
    instance = make_instance(export)
    assert instance.answer("republish").returncode == 2
    refused = instance.answer("republish", "--urls")
    assert refused.returncode == 1 and "has no journal" in refused.stderr
