"""What is under a spoiler is in no title, no link card, no alternative text and no feed."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ipc.text.captions import shown
from tests.ipc.text.test_captions import ENTITY, TEXT
from tests.workers.publishing.documents import test_items as feeds
from tests.workers.publishing.documents.site import test_pages as site
from workers.publishing.documents.feeds import atom, json_feed
from workers.publishing.documents.site.html.frame import Neighbours
from workers.publishing.documents.site.html.markup import caption_html
from workers.publishing.documents.site.html.pages import post_page
from workers.publishing.documents.site.posts import posts_of
from workers.publishing.documents.spoilers import COVER, covered_html, open_caption

CAPTION = "The <gardener> did it & fled\nWho else"
COVERED = [
    {"type": "spoiler", "offset": 4, "length": 10},
    {"type": "bold", "offset": 8, "length": 10},
    {"type": "spoiler", "offset": 24, "length": 4},
]


def told(caption: str = CAPTION, entities: list[dict[str, Any]] | None = None) -> dict[str, str]:
    made = shown(caption, COVERED if entities is None else entities, False)
    return {"caption": made.text, "caption_html": made.html}


@pytest.mark.parametrize(
    ("caption", "entities", "said"),
    [
        (CAPTION, [], CAPTION),
        (CAPTION, COVERED, "The … did it & …\nWho else"),
        ("Bob", [{"type": "spoiler", "offset": 0, "length": 3}], ""),
        ("Bob\nSo\nIt is", [{"type": "spoiler", "offset": 0, "length": 3}], "So\nIt is"),
        ("Bob\nIt was", [{"type": "spoiler", "offset": 0, "length": 8}], "…as"),
        (
            "So http://a.b",
            [{"type": "link", "offset": 3, "length": 10}, {"type": "spoiler", "offset": 0, "length": 9}],
            "…/a.b",
        ),
        ("😀 Bob!", [{"type": "spoiler", "offset": 3, "length": 3}], "😀 …!"),
    ],
)
def test_it_is_left_out_of_plain_text(caption: str, entities: list[dict[str, Any]], said: str) -> None:
    assert open_caption(told(caption, entities)) == said


def test_a_row_without_formatting_says_what_it_says() -> None:
    assert open_caption({"caption": "a <b> &amp;", "caption_html": None}) == "a <b> &amp;"
    assert open_caption({"caption": None, "caption_html": None}) == ""


@given(TEXT, st.lists(ENTITY, max_size=6))
def test_whatever_is_covered_the_html_stays_sound(text: str, entities: list[dict[str, Any]]) -> None:
    made = shown(text, entities, False)
    covered = covered_html(made.html)
    assert caption_html(covered) == covered
    assert 'class="spoiler"' not in covered
    assert re.sub("<[^>]*>", "", covered).count("<") == 0
    row = {"caption": made.text, "caption_html": made.html}
    if covered == made.html:
        assert open_caption(row) == made.text


def test_a_page_gives_it_away_only_where_it_is_covered() -> None:
    post = site.one(**told())
    for page in map(bytes.decode, site.pages_of(post)):
        open_text = re.sub('<span class="spoiler">.*?</span>', "", page)
        assert "did it" in open_text
        assert "gardener" not in open_text and "fled" not in open_text
    page = post_page(site.SITE, post, Neighbours()).decode()
    assert f"<title>The {COVER} did it &amp; {COVER} Who else" in page
    assert f'property="og:title" content="The {COVER} did' in page
    assert f'alt="The {COVER} did' in page
    assert re.search('<span class="spoiler">&lt;gar', page)


def test_of_an_album_each_line_is_covered() -> None:
    rows = [site.row(1, grouped_id=5, caption="All"), site.row(2, grouped_id=5, album_position=2, **told())]
    page = post_page(site.SITE, posts_of(rows)[0], Neighbours()).decode()
    (line,) = re.findall('<figcaption dir="auto">2 of 2 · (.*?)</figcaption>', page)
    assert line == told()["caption_html"]
    assert "gardener" not in page.replace(line, "")


def test_one_that_is_covered_whole_has_another_title() -> None:
    row = told("Bob", [{"type": "spoiler", "offset": 0, "length": 3}])
    page = post_page(site.SITE, site.one(**row), Neighbours()).decode()
    assert "<title>The channel, 9 October 2025" in page
    (item,) = feeds.items(feeds.row(7, **row))
    assert item.title == "The desk, 2026-11-30"


def test_feeds_leave_it_out() -> None:
    made = feeds.feed(feeds.row(7, **told()))
    assert made.items[0].title == f"The {COVER} did it & {COVER}"
    assert "The [spoiler]<b>[spoiler]" not in made.items[0].content_html
    assert "<div>The [spoiler]" in made.items[0].content_html and "Who else</div>" in made.items[0].content_html
    for document in (json_feed.render(made), atom.render(made)):
        assert b"gardener" not in document and b"fled" not in document
