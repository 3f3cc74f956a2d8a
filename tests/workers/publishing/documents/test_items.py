"""Posts as items, and these as valid documents."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.workers.publishing.documents import validity
from workers.publishing.documents.feeds import atom, json_feed
from workers.publishing.documents.feeds.items import Feed, Item, headline, items_of, lasting_id

SHA = "ab" * 32


def row(number: int, **fields: Any) -> dict[str, Any]:
    """A row of the view; more of what it has than feeds need is left out."""
    whole = {
        "channel_id": 42,
        "channel_name": "desk",
        "channel_title": "The desk",
        "message_id": number,
        "grouped_id": None,
        "album_position": 1,
        "posted_at": f"2026-11-30T08:00:{number % 60:02}Z",
        "edited_at": None,
        "post_url": f"https://t.me/desk/{number}",
        "caption": f"Caption {number}",
        "caption_html": f"Caption <b>{number}</b>",
        "tags": [],
        "alt": None,
        "width": 4000,
        "height": 3000,
        "src": f"https://pictures.example/ab/{SHA}/1280-0123abcd.jpg",
        "preview_url": None,
    }
    assert set(fields) <= set(whole)
    return {**whole, **fields}


def items(*rows: dict[str, Any], most: int = 50) -> tuple[Item, ...]:
    return items_of(rows, most, str)


def feed(*rows: dict[str, Any]) -> Feed:
    made = items(*rows)
    return Feed(
        id=lasting_id(42),
        title="The desk",
        home_page_url="https://desk.example/",
        json_url="https://pictures.example/feeds/42.json",
        atom_url="https://pictures.example/feeds/42.xml",
        author="The desk",
        updated=max((one.modified for one in made), default="1970-01-01T00:00:00Z"),
        items=made,
    )


def album(*positions: int, **fields: Any) -> list[dict[str, Any]]:
    """Message 10 + position for each of these places, the newest first."""
    rows = [row(10 + place, grouped_id=900, album_position=place, caption="", caption_html="") for place in positions]
    rows[-1].update(caption="All of it", caption_html="All <i>of</i> it", **fields)
    return rows


def test_a_post() -> None:
    (item,) = items(row(7, alt='A "boat" & a quay', tags=["harbour", "boat"], edited_at="2026-11-30T10:00:00Z"))
    assert item.title == "Caption 7" and item.author == "The desk" and item.url == "https://t.me/desk/7"
    assert (item.published, item.modified) == ("2026-11-30T08:00:07Z", "2026-11-30T10:00:00Z")
    assert item.tags == ("harbour", "boat") and item.attachments[0].mime_type == "image/jpeg"
    assert item.image == f"https://pictures.example/ab/{SHA}/1280-0123abcd.jpg"
    assert 'width="1280" height="960" alt="A &quot;boat&quot; &amp; a quay"' in item.content_html
    assert item.content_html.endswith("<div>Caption <b>7</b></div>")


def test_the_image_for_cards_is_the_preview() -> None:
    (item,) = items(row(1, preview_url="https://pictures.example/preview.jpg"))
    assert item.image == "https://pictures.example/preview.jpg"


def test_an_album_is_one_item_in_its_order() -> None:
    (item,) = items(*album(3, 2, 1))
    assert item.url == "https://t.me/desk/11" and len(item.attachments) == 3
    assert item.content_html.count("<img") == 3 and item.content_html.count("All <i>of</i> it") == 1
    assert item.title == "All of it"


def test_an_items_id_lasts() -> None:
    """Whatever is edited, renamed, moved or taken away from an album."""
    (whole,) = items(*album(3, 2, 1))
    (rest,) = items(*album(3, 2, channel_title="Renamed", channel_name=None, src="https://other.example/x.webp"))
    assert rest.id == whole.id and rest.published > whole.published
    ids = {one.id for one in (*items(row(1)), *items(row(2)), *items(row(1, channel_id=43)), whole)}
    assert len(ids) == 4, "another post, another id"
    assert items(row(900))[0].id != whole.id, "a message is not the album of that number"


def test_the_newest_come_first_and_no_more_than_wanted() -> None:
    found = items(*(row(number) for number in (5, 4, 3, 2)), most=3)
    assert [one.title for one in found] == ["Caption 5", "Caption 4", "Caption 3"]


@pytest.mark.parametrize(
    ("caption", "title"),
    [
        ("", "The desk, 2026-11-30"),
        ("\n \n First \t line \nSecond", "First line"),
        ("word " * 30, "word " * 15 + "word…"),
        ("x" * 100, "x" * 79 + "…"),
        ("x" * 80, "x" * 80),
    ],
)
def test_titles(caption: str, title: str) -> None:
    assert items(row(1, caption=caption))[0].title == title
    assert len(headline(caption)) <= 80


def test_a_row_of_an_earlier_version() -> None:
    """It has no HTML, no JPEG and no tags."""
    (item,) = items(row(1, caption="a < b\nc", caption_html=None, tags=None, src="https://pictures.example/1920.webp"))
    assert item.content_html.endswith("<div>a &lt; b<br>c</div>") and item.attachments[0].mime_type == "image/webp"


CASES = {
    "none": [],
    "one": [row(1)],
    "an album among posts": [row(20), *album(2, 1), row(3, alt="Alt", tags=["a", "ü"])],
    "no link": [row(1, post_url=None)],
}


@pytest.mark.parametrize("name", CASES)
def test_documents_are_valid_and_say_the_same(name: str) -> None:
    made = feed(*CASES[name])
    root, whole = validity.atom(atom.render(made)), validity.json_feed(json_feed.render(made))
    for path, key in (("id", "id"), ("title", "title"), ("content", "content_html"), ("updated", "date_modified")):
        assert validity.texts(root, f"a:entry/a:{path}") == [item[key] for item in whole["items"]]
    assert validity.texts(root, "a:link[@rel='self']/@href") == [made.atom_url]
    assert validity.texts(root, "a:author/a:name") == ["The desk"]
    assert validity.texts(validity.atom(atom.render(replace(made, author="", title="All"))), "a:author/a:name") == [
        "All"
    ]
    assert whole["feed_url"] == made.json_url and whole["home_page_url"] == made.home_page_url
    assert atom.updated_of(atom.render(made)) == made.updated


def test_relative_links_are_left_out_where_nothing_says_what_they_belong_to() -> None:
    made = replace(feed(row(1)), home_page_url="../site/index.html", json_url="42.json", atom_url="42.xml")
    whole = validity.json_feed(json_feed.render(made))
    assert "home_page_url" not in whole and "feed_url" not in whole
    assert validity.texts(validity.atom(atom.render(made)), "a:link[@rel='self']/@href") == ["42.xml"]


def test_pictures_of_one_text_are_not_taken_for_one_picture() -> None:
    made = feed(*(row(n, grouped_id=2, album_position=n, alt="A boat" if n < 3 else "A pier") for n in (3, 2, 1)))
    (item,) = validity.json_feed(json_feed.render(made))["items"]
    assert [one.get("title") for one in item["attachments"]] == [None, None, "A pier"]


@settings(max_examples=40)
@given(text=st.text(), other=st.text(alphabet=st.characters(max_codepoint=0x9F)))
def test_whatever_a_caption_holds_the_documents_are_valid(text: str, other: str) -> None:
    """Control characters and half surrogates are no characters of XML. (The journal has none of the latter.)"""
    made = feed(row(1, caption=text, caption_html=text, alt=other, channel_title=f"T{other}", tags=[f"t{other}"]))
    root = validity.atom(atom.render(made))
    validity.json_feed(json_feed.render(made))
    (content,) = validity.texts(root, "a:entry/a:content")
    assert content.replace("\r\n", "\n").replace("\r", "\n") == made.items[0].content_html.replace(
        "\r\n", "\n"
    ).replace("\r", "\n")
