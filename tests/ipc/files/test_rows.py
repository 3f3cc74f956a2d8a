"""What a row says of a picture's looks, and of its caption."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from ipc.files.rows import RowLayout, rows_of
from ipc.jobs import Appearance
from tests.ipc.files.test_object_layout import BARE

LAYOUT = RowLayout("p/", "https://x/{}".format)
LOOKS = Appearance(b"\x00\xff", "#a0b1c2", 2**64 - 1, has_alpha=True, frames=1, animated=False)
RECIPE = "0123abcd"


def test_what_a_picture_looks_like() -> None:
    image = rows_of(replace(BARE, appearance=LOOKS, preview_bytes=9, recipe=RECIPE), LAYOUT)["images"]
    assert image is not None
    key = f"p/ab/{'ab' * 32}/preview-{RECIPE}.jpg"
    names = ("kind", "preview", "thumbhash", "color", "phash", "has_alpha", "animated")
    assert {name: image[name] for name in names} == {
        "kind": "photo",
        "preview": {"key": key, "url": f"https://x/{key}", "width": 1200, "height": 630, "bytes": 9},
        "thumbhash": "AP8=",
        "color": "#a0b1c2",
        "phash": -1,
        "has_alpha": True,
        "animated": False,
    }
    json.dumps(image)


@pytest.mark.parametrize(
    ("looks", "is_video", "kind"),
    [
        (None, False, None),
        (None, True, "video"),
        (LOOKS, True, "video"),
        (replace(LOOKS, frames=2), False, "animation"),
        (replace(LOOKS, frames=2), True, "video"),
    ],
)
def test_the_kind(looks: Appearance | None, is_video: bool, kind: str | None) -> None:
    image = rows_of(replace(BARE, appearance=looks, kind="video" if is_video else "photo"), LAYOUT)["images"]
    assert image is not None and image["kind"] == kind


@pytest.mark.parametrize("size", [None, 0])
def test_no_preview(size: int | None) -> None:
    image = rows_of(replace(BARE, preview_bytes=size), LAYOUT)["images"]
    assert image is not None and image["preview"] is None


def test_a_hidden_one_has_no_image_and_a_deleted_one_is_not_hidden() -> None:
    for job, hidden_at, deleted_at in [
        (replace(BARE, hidden_at=60), "1970-01-01T00:01:00Z", None),
        (replace(BARE, hidden_at=60, deleted_at=0), None, "1970-01-01T00:00:00Z"),
    ]:
        rows = rows_of(job, LAYOUT)
        message = rows["messages"]
        assert rows["images"] is None and message is not None
        assert (message["hidden_at"], message["deleted_at"]) == (hidden_at, deleted_at)


def test_a_caption() -> None:
    message = rows_of(replace(BARE, caption="A <b> #Tag"), LAYOUT)["messages"]
    assert message is not None
    assert (message["caption"], message["caption_html"]) == ("A <b> #Tag", "A &lt;b&gt; #Tag")
    assert message["tags"] == ["tag"]


def test_the_alternative_text_is_that_of_the_message() -> None:
    job = replace(BARE, caption="alt: A fox, asleep\nSnow")
    for layout, alt in [(LAYOUT, None), (replace(LAYOUT, editor_commands=True), "A fox, asleep")]:
        rows = rows_of(job, layout)
        assert rows["messages"] is not None and rows["images"] is not None
        assert (rows["messages"]["alt"], rows["images"]["alt"]) == (alt, alt)
