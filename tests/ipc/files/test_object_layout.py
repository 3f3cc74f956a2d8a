"""Object keys and rows, as others rely on them."""

from __future__ import annotations

import json
import re
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc.files.object_layout import OBJECT_NAME, Object, objects_of, preview_key, stripped_key
from ipc.files.rows import RowLayout, rows_of
from ipc.intake import withdraw
from ipc.jobs import Job
from ipc.journal import queue, transitions
from tests.workers.desk import APPEARANCE, CHANNEL, LADDER, POSTED, RECIPE, WHOLE_LADDER, Desk

KEY = r"[0-9a-f]{2}/[0-9a-f]{64}/(\d+\.(webp|avif)|stripped\.jpg)"


@pytest.fixture
def job(desk: Desk) -> Job:
    return replace(desk.render(5, b"the original"), original="stripped")


def test_objects(job: Job) -> None:
    base = f"{str(job.sha256)[:2]}/{job.sha256}"
    assert list(objects_of(job, "")) == [
        Object(f"{base}/320.webp", "320.webp", "image/webp", len(LADDER["320.webp"])),
        Object(f"{base}/320.avif", "320.avif", "image/avif", len(LADDER["320.avif"])),
        Object(f"{base}/640.webp", "640.webp", "image/webp", len(LADDER["640.webp"])),
        Object(f"{base}/stripped.jpg", "stripped", "image/jpeg", len(b"the original")),
    ]


def test_the_same_picture_has_the_same_keys_whatever_message_it_is_in(job: Job) -> None:
    other = replace(job, id=99, message_id=99, revision=10**13, caption="another", generation=4)
    assert list(objects_of(other, "")) == list(objects_of(job, ""))


def test_a_recipe_is_in_the_keys_of_renditions_alone(job: Job) -> None:
    now = replace(job, recipe=RECIPE)
    names = [one.key.rpartition("/")[2] for one in objects_of(now, "")]
    assert names == [f"320-{RECIPE}.webp", f"320-{RECIPE}.avif", f"640-{RECIPE}.webp", "stripped.jpg"]
    assert [(one.file, one.content_type, one.bytes) for one in objects_of(now, "")] == [
        (one.file, one.content_type, one.bytes) for one in objects_of(job, "")
    ]
    image = rows_of(now, RowLayout("p/", str))["images"]
    assert image is not None
    assert {one["key"] for one in image["renditions"]} == {one.key for one in objects_of(now, "p/")} - {
        stripped_key(job, "p/")
    }
    assert all(re.fullmatch(OBJECT_NAME, name) for name in (*names, "320.webp", "320.avif"))


def test_a_jpeg_and_a_preview_are_objects_and_the_preview_is_no_rendition(desk: Desk) -> None:
    desk.recipe, desk.ladder = RECIPE, WHOLE_LADDER
    job = replace(desk.render(6, b"another"), original="stripped")
    names = {one.key.rpartition("/")[2]: (one.file, one.content_type) for one in objects_of(job, "p/")}
    assert list(names)[3:] == [f"640-{RECIPE}.jpg", f"preview-{RECIPE}.jpg", "stripped.jpg"]
    assert names[f"640-{RECIPE}.jpg"] == ("640.jpg", "image/jpeg")
    assert names[f"preview-{RECIPE}.jpg"] == ("preview.jpg", "image/jpeg")
    assert preview_key(job, "p/") in {one.key for one in objects_of(job, "p/")}
    assert all(re.fullmatch(OBJECT_NAME, name) for name in names)
    image = rows_of(replace(job, renditions=job.renditions[::-1]), RowLayout("", str))["images"]
    assert image is not None
    assert [(one["width"], one["format"]) for one in image["renditions"]] == [
        *((320, "webp"), (320, "avif"), (640, "webp"), (640, "jpeg")),
    ]
    without = replace(job, preview_bytes=0)
    assert {one.key for one in objects_of(job, "")} - {one.key for one in objects_of(without, "")} == {
        preview_key(job, "")
    }
    assert job.appearance == APPEARANCE


@given(prefix=st.sampled_from(["", "news/", "a/b/", "news-"]))
def test_the_prefix_is_put_in_front_as_it_is(prefix: str) -> None:
    plain = [thing.key for thing in objects_of(BARE, "")]
    assert [thing.key for thing in objects_of(BARE, prefix)] == [prefix + key for key in plain]


def test_rows(job: Job) -> None:
    rows = rows_of(job, RowLayout("p/", lambda key: f"https://x/{key}"))
    assert rows["messages"] == {
        "channel_id": CHANNEL,
        "message_id": 5,
        "revision": 1000 * (POSTED + 5),
        "grouped_id": None,
        "caption": "caption 5",
        "entities": [],
        "forwarded_from": None,
        "reply_to": None,
        "posted_at": "2025-02-01T10:00:05Z",
        "edited_at": None,
        "deleted_at": None,
        "hidden_at": None,
        "alt": None,
        "tags": [],
        "is_cover": False,
        "caption_html": "caption 5",
        "caption_shown": "caption 5",
    }
    image = rows["images"]
    assert image is not None
    first, *_ = renditions = image.pop("renditions")
    assert image == {
        "channel_id": CHANNEL,
        "message_id": 5,
        "photo_id": None,
        "sha256": job.sha256,
        "mime": "image/jpeg",
        "width": 640,
        "height": 400,
        "bytes": len(b"the original"),
        **dict.fromkeys(("kind", "preview", "thumbhash", "color", "phash", "has_alpha", "animated", "alt")),
    }
    key = f"p/{str(job.sha256)[:2]}/{job.sha256}/320.webp"
    assert first == {
        "width": 320,
        "height": 200,
        "format": "webp",
        "bytes": len(LADDER["320.webp"]),
        "key": key,
        "url": f"https://x/{key}",
    }
    assert [(one["width"], one["format"]) for one in renditions] == [(320, "webp"), (320, "avif"), (640, "webp")]
    json.dumps(rows)


def test_renditions_are_by_width_and_webp_before_avif_however_the_journal_has_them(job: Job) -> None:
    image = rows_of(replace(job, renditions=job.renditions[::-1]), RowLayout("", str))["images"]
    assert image is not None
    assert [(one["width"], one["format"]) for one in image["renditions"]] == [
        *((320, "webp"), (320, "avif"), (640, "webp")),
    ]


def test_every_key_of_a_row_is_an_object(job: Job) -> None:
    image = rows_of(job, RowLayout("p/", str))["images"]
    assert image is not None
    keys = {one["key"] for one in image["renditions"]}
    assert keys < {thing.key for thing in objects_of(job, "p/")}


def test_an_edit_and_an_album_are_in_the_row(job: Job) -> None:
    edited = replace(job, edited_at=POSTED + 60, grouped_id=4, photo_id=9)
    rows = rows_of(edited, RowLayout("", str))
    message, image = rows["messages"], rows["images"]
    assert message is not None and image is not None
    assert (message["edited_at"], message["grouped_id"]) == ("2025-02-01T10:01:00Z", 4)
    assert image["photo_id"] == 9


def test_what_a_caption_looks_like_and_where_it_comes_from_are_in_the_row(job: Job) -> None:
    entities = ({"type": "bold", "offset": 0, "length": 7}, {"type": "text_link", "offset": 8, "length": 1, "url": "y"})
    source = {"channel_id": 43, "message_id": 7, "name": "Wires"}
    message = rows_of(replace(job, entities=entities, forwarded_from=source, reply_to=3), RowLayout("", str))[
        "messages"
    ]
    assert message is not None
    assert (message["entities"], message["forwarded_from"], message["reply_to"]) == (list(entities), source, 3)
    assert json.loads(json.dumps(message)) == message


@pytest.mark.parametrize("state", ["seen", "fetched", "rendered", "published"])
def test_a_tombstone_has_no_image_however_far_its_picture_had_come(desk: Desk, state: str) -> None:
    job = desk.take(1) if state == "seen" else desk.fetch(1) if state == "fetched" else desk.render(1)
    if state == "published":
        assert transitions.record_stored(desk.journal, [job]) and transitions.record_published(desk.journal, [job])
    assert withdraw(desk.journal, CHANNEL, [1], POSTED + 120) == [1]
    (gone,) = queue.due(desk.journal, "rendered", 9, stored=True)
    rows = rows_of(gone, RowLayout("p/", str))
    assert (set(rows), rows["images"]) == ({"messages", "images"}, None)
    message = rows["messages"]
    assert message is not None
    assert (message["deleted_at"], message["caption"]) == ("2025-02-01T10:02:00Z", "caption 1")
    assert message["revision"] == 1000 * (POSTED + 120)


BARE = Job(
    id=1,
    channel_id=1,
    message_id=1,
    state="rendered",
    priority=0,
    revision=1,
    digest=b"",
    grouped_id=None,
    caption="",
    entities=(),
    forwarded_from=None,
    reply_to=None,
    posted_at=0,
    edited_at=None,
    deleted_at=None,
    hidden_at=None,
    hidden_by=None,
    generation=1,
    kind="photo",
    photo_id=None,
    identity="file:a",
    source="export",
    locator={},
    sha256="ab" * 32,
    bytes=1,
    mime="image/png",
    extension="png",
    width=1,
    height=1,
    renditions=(),
    rendition_bytes=0,
    recipe=None,
    stripped_bytes=1,
    appearance=None,
    preview_bytes=None,
    stored=False,
    original="stripped",
    address=None,
    doubted=None,
    doubts=0,
    attempts=0,
    next_at=0.0,
    claimed_by=None,
    deaths=0,
    alone=False,
    dead_state=None,
    dead_cause=None,
    reason=None,
    seen_at=0,
    published_at=None,
    shown=False,
)
