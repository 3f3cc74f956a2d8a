"""The view `pictures`, held against each catalogue: what a site shows, how it is paged, and what is not in it."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests.workers.publishing.catalog.builders import CHANNEL, deletion, entry, hidden, image, message
from tests.workers.publishing.catalog.conftest import Shelf
from workers.publishing.catalog import Catalog, MessageRows
from workers.publishing.catalog.pictures import COLUMNS, MOST

NAMED = {"id": 7, "title": "Test", "name": "test"}
OTHER = {"id": 8, "title": "Other", "name": None}


def rendition(width: int, format: str) -> dict[str, Any]:
    return {
        "width": width,
        "height": width,
        "format": format,
        "bytes": 9,
        "key": "k",
        "url": f"https://x/{width}.{format}",
    }


def ids(rows: list[dict[str, Any]]) -> list[int]:
    return [row["message_id"] for row in rows]


def at(number: int) -> str:
    """A time by number, a minute apart."""
    return (datetime(2025, 2, 1, tzinfo=UTC) + timedelta(minutes=number)).strftime("%Y-%m-%dT%H:%M:%SZ")


def position(row: dict[str, Any]) -> tuple[str, int, int]:
    return row["posted_at"], row["channel_id"], row["message_id"]


def test_a_picture_with_all_that_there_is(catalog: Catalog, shelf: Shelf) -> None:
    whole = message(
        5,
        caption="alt: A cat\nEin #Ü <b>",
        caption_shown="Ein #Ü <b>",
        caption_html="Ein #Ü &lt;b&gt;",
        alt="A cat",
        tags=["ü"],
        edited_at="2025-02-02T10:00:00Z",
    )
    picture = image(
        5,
        renditions=[rendition(width, format) for width in (320, 1280) for format in ("webp", "avif", "jpeg")],
        kind="photo",
        preview={"key": "p", "url": "https://x/p.jpg", "width": 1200, "height": 630, "bytes": 9},
        thumbhash="1QcSHQRnh493V4dIh4eXh1h4kJUI",
        color="#a0b1c2",
        phash=2**63 - 1,
        has_alpha=False,
        animated=True,
    )
    catalog.write_many([MessageRows(NAMED, whole, picture)])
    (found,) = catalog.pictures(most=1)
    assert found == {
        "channel_id": 7,
        "channel_name": "test",
        "channel_title": "Test",
        "message_id": 1,
        "grouped_id": None,
        "album_position": 1,
        "posted_at": "2025-02-01T10:00:00Z",
        "edited_at": "2025-02-02T10:00:00Z",
        "post_url": "https://t.me/test/1",
        "caption": "Ein #Ü <b>",
        "caption_html": "Ein #Ü &lt;b&gt;",
        "tags": ["ü"],
        "alt": "A cat",
        "kind": "photo",
        "width": 640,
        "height": 400,
        "src": "https://x/1280.jpeg",
        "srcset_avif": "https://x/320.avif 320w, https://x/1280.avif 1280w",
        "srcset_webp": "https://x/320.webp 320w, https://x/1280.webp 1280w",
        "preview_url": "https://x/p.jpg",
        "color": "#a0b1c2",
        "thumbhash": "1QcSHQRnh493V4dIh4eXh1h4kJUI",
        "phash": 2**63 - 1,
        "has_alpha": False,
        "animated": True,
    }
    (row,) = shelf.rows("pictures")
    assert tuple(row) == COLUMNS
    (tagged,) = shelf.rows("pictures_by_tag")
    assert tuple(tagged) == ("tag", *COLUMNS) and tagged == {"tag": "ü", **row}


def test_a_row_of_an_earlier_version(catalog: Catalog) -> None:
    """What it lacks is null; the rest is made of what it has."""
    catalog.write({"id": 7, "title": "Test"}, message(1, caption='1 < 2 & "3"\n>'), image(1))
    (found,) = catalog.pictures(most=1)
    assert {name for name, value in found.items() if value is None} == {
        *("channel_name", "grouped_id", "edited_at", "tags", "alt", "kind", "srcset_avif", "preview_url"),
        *("color", "thumbhash", "phash", "has_alpha", "animated"),
    }
    assert found["caption"] == '1 < 2 & "3"\n>'
    assert found["caption_html"] == "1 &lt; 2 &amp; &quot;3&quot;<br>&gt;"
    assert found["post_url"] == "https://t.me/c/7/1"


@pytest.mark.parametrize(
    ("renditions", "src"),
    [
        ([(320, "webp"), (320, "avif"), (640, "webp"), (1280, "avif")], "https://x/640.webp"),
        ([(320, "avif"), (640, "avif")], "https://x/640.avif"),
        ([(320, "webp"), (320, "jpeg"), (1920, "webp")], "https://x/320.jpeg"),
        ([(90, "webp"), (100, "webp"), (1000, "webp")], "https://x/1000.webp"),
        ([], None),
    ],
)
def test_what_src_is(catalog: Catalog, renditions: list[tuple[int, str]], src: str | None) -> None:
    catalog.write(CHANNEL, message(1), image(1, renditions=[rendition(*one) for one in renditions]))
    (found,) = catalog.pictures(most=1)
    assert found["src"] == src
    assert found["srcset_webp"] == (
        ", ".join(f"https://x/{width}.webp {width}w" for width, format in renditions if format == "webp") or None
    )


def test_the_cover_comes_first_in_its_album(catalog: Catalog) -> None:
    def positions() -> dict[int, int]:
        return {row["message_id"]: row["album_position"] for row in catalog.pictures(channel_id=7, most=9)}

    catalog.write_many([entry(1, number, grouped_id=5) for number in (1, 2, 3)])
    catalog.write_many([entry(1, 9), entry(1, 4, grouped_id=6)])
    catalog.write_many([MessageRows(OTHER, message(1, 1, channel_id=8, grouped_id=5), image(1, 1, channel_id=8))])
    assert positions() == {1: 1, 2: 2, 3: 3, 9: 1, 4: 1}
    catalog.write_many([entry(2, 3, grouped_id=5, is_cover=True)])
    assert positions() == {3: 1, 1: 2, 2: 3, 9: 1, 4: 1}
    catalog.write_many([hidden(2, 1, grouped_id=5)])
    assert positions() == {3: 1, 2: 2, 9: 1, 4: 1}
    catalog.write_many([MessageRows(CHANNEL, message(3, 3, grouped_id=5, is_cover=True, deleted_at=at(9)))])
    assert positions() == {2: 1, 9: 1, 4: 1}


def test_what_is_deleted_or_hidden_is_not_there_until_it_is_shown_again(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(1, number, tags=["x"]) for number in (1, 2, 3)])
    catalog.write_many([deletion(2, 1), hidden(2, 2, tags=["x"])])
    assert ids(catalog.pictures(most=9)) == ids(catalog.pictures(tag="x", most=9)) == [3]
    assert [row["message_id"] for row in shelf.rows("images")] == [3]
    assert [row["message_id"] for row in shelf.rows("message_tags")] == [3]
    assert [(row["deleted_at"], row["hidden_at"]) for row in shelf.rows("messages")] == [
        ("2025-03-01T10:00:00Z", None),
        (None, "2025-03-01T10:00:00Z"),
        (None, None),
    ]
    catalog.write_many([entry(3, 1, tags=["x"]), entry(3, 2, tags=["x"])])
    assert ids(catalog.pictures(most=9)) == ids(catalog.pictures(tag="x", most=9)) == [3, 2, 1]


def test_a_hidden_one_with_an_image_has_none_all_the_same(catalog: Catalog, shelf: Shelf) -> None:
    catalog.write_many([entry(1, hidden_at="2025-03-01T10:00:00Z")])
    assert shelf.rows("images") == [] == catalog.pictures(most=1)


@pytest.mark.parametrize("column", ["deleted_at", "hidden_at"])
def test_what_somebody_hides_by_hand_is_not_there_at_once(column: str, catalog: Catalog, shelf: Shelf) -> None:
    """Its image is there still, and is not shown."""
    catalog.write_many([entry(1, 1), entry(1, 2)])
    shelf.execute(f"UPDATE messages SET {column} = '2025-03-01T10:00:00Z' WHERE message_id = 1")
    assert ids(catalog.pictures(most=9)) == [2] and len(shelf.rows("images")) == 2


def test_tags_that_are_taken_away(catalog: Catalog) -> None:
    catalog.write_many([entry(1, 1, tags=["a", "b", "a"]), entry(1, 2, tags=["b"])])
    assert ids(catalog.pictures(tag="a", most=9)) == [1]
    assert ids(catalog.pictures(tag="b", most=9)) == [2, 1]
    catalog.write_many([entry(2, 1, tags=["c"]), entry(1, 2, tags=["a"])])
    assert ids(catalog.pictures(tag="a", most=9)) == []
    assert [row["tags"] for row in catalog.pictures(tag="c", most=9)] == [["c"]]
    catalog.write_many([entry(3, 1)])
    assert catalog.pictures(tag="c", most=9) == []


@pytest.mark.parametrize("asked", [{}, {"channel_id": 7}, {"tag": "x"}, {"channel_id": 7, "tag": "x"}])
def test_pages_are_all_of_it_newest_first(catalog: Catalog, asked: dict[str, Any]) -> None:
    """With many that were posted in one second, as albums are, and pages that end within them."""
    for channel in (CHANNEL, OTHER):
        catalog.write_many(
            [
                MessageRows(
                    channel,
                    message(1, number, channel_id=channel["id"], posted_at=at(number // 5), tags=["x"]),
                    image(1, number, channel_id=channel["id"]),
                )
                for number in range(1, 24)
            ]
        )
    whole = catalog.pictures(**asked, most=99)
    assert len(whole) == (23 if "channel_id" in asked else 46)
    assert [position(row) for row in whole] == sorted(map(position, whole), reverse=True)
    for size in (1, 3, 7):
        pages, before = [], None
        while page := catalog.pictures(**asked, before=before, most=size):
            pages += page
            before = position(page[-1])
        assert pages == whole


def test_between_two_messages_of_a_channel(catalog: Catalog) -> None:
    catalog.write_many([entry(1, number, posted_at=at(5 * number % 7)) for number in range(1, 9)])
    catalog.write_many([MessageRows(OTHER, message(1, 4, channel_id=8), image(1, 4, channel_id=8)), deletion(2, 5)])
    assert ids(catalog.pictures(channel_id=7, between=(3, 7), most=9)) == [3, 4, 6, 7]
    assert ids(catalog.pictures(channel_id=7, between=(3, 7), most=2)) == [3, 4]
    assert ids(catalog.pictures(channel_id=7, message=4, most=9)) == [4]
    assert catalog.pictures(channel_id=7, message=5, most=9) == []
    for nonsense in ({"between": (3, 7)}, {"message": 4}):
        with pytest.raises(ValueError, match="says nothing without its channel"):
            catalog.pictures(**nonsense, most=9)
    assert MOST == 1000, "a hosted project sends no more rows than that, whatever it is asked for"
    with pytest.raises(ValueError, match="at most"):
        catalog.pictures(most=MOST + 1)
