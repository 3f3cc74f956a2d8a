"""The gallery's pages, of posts that mean harm too."""

from __future__ import annotations

import base64
import io
import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from PIL import Image

from ipc.files.object_layout import SITE_NAME
from ipc.text.captions import shown
from tests.ipc.text.test_captions import ENTITY, TEXT
from tests.workers.publishing.documents.site.bench import SHA, THUMBHASH, WIDTHS, Reader, iso, rendition
from workers.publishing.documents.site.html import assets
from workers.publishing.documents.site.html.frame import Neighbours, Site
from workers.publishing.documents.site.html.links import Links
from workers.publishing.documents.site.html.markup import caption_html
from workers.publishing.documents.site.html.pages import ChannelEntry, archive_page, channel_page, index_page, post_page
from workers.publishing.documents.site.html.placeholder import data_url, decode
from workers.publishing.documents.site.html.words import days_of
from workers.publishing.documents.site.posts import SitePost, posts_of

BASE = "https://pictures.example.org/p/"
SITE = Site("The site", BASE, feeds=True)
HARM = (
    "\"'><script>alert(1)</script><img src=x onerror=alert(2)>\x00\ud800{0}{title}%s &amp; \N{RIGHT-TO-LEFT OVERRIDE}"
)


def row(number: int = 1, **fields: Any) -> dict[str, Any]:
    sets = {
        kind: ", ".join(f"{one['url']} {one['width']}w" for one in (rendition(BASE, width, kind) for width in WIDTHS))
        for kind in ("avif", "webp")
    }
    whole = {
        **{"channel_id": 7, "channel_name": "thechannel", "channel_title": "The channel", "message_id": number},
        **{"grouped_id": None, "album_position": 1, "posted_at": iso(1_760_000_000 + number), "edited_at": None},
        **{"post_url": f"https://t.me/thechannel/{number}", "caption": f"Caption {number}", "caption_html": None},
        **{"tags": ["autumn"], "alt": None, "kind": "photo", "width": 1280, "height": 960},
        **{"src": rendition(BASE, 1280, "jpg")["url"], "srcset_avif": sets["avif"], "srcset_webp": sets["webp"]},
        **{"preview_url": f"{BASE}{SHA[:2]}/{SHA}/preview-0123abcd.jpg", "color": "#123456"},
        **{"thumbhash": THUMBHASH, "phash": 5, "has_alpha": False, "animated": False},
    }
    return {**whole, **fields}


def one(**fields: Any) -> SitePost:
    (post,) = posts_of([row(**fields)])
    return post


def pages_of(post: SitePost, title: str = "The site") -> list[bytes]:
    channel = ChannelEntry(7, post.channel_title, post.cover["channel_name"], 3)
    site = Site(title, BASE, feeds=True)
    return [
        index_page(site, [post, post], [channel, channel]),
        channel_page(site, channel, [post]),
        archive_page(site, "7/archive-0.html", [post], Neighbours("7/archive-9.html", "")),
        post_page(site, post, Neighbours("7/2.html", "7/0.html")),
    ]


@pytest.mark.parametrize("field", ["caption", "channel_title", "alt", "post_url", "preview_url", "caption_html"])
def test_text_from_outside_is_text(field: str) -> None:
    for page in pages_of(one(**{field: HARM, **({"caption": "x"} if field == "caption_html" else {})}), title=HARM):
        text = page.decode()
        assert "<script>" not in text
        reader = Reader(text)
        scripts = [given for tag, given in reader.tags if tag == "script"]
        assert [given["src"] for given in scripts if given] == [scripts[0]["src"]]
        assert not [name for _, given in reader.tags for name in given if name.startswith("on") or name == "style"]
        assert not [given for _, given in reader.tags if str(given.get("href")).startswith("javascript")]
        assert "\x00" not in text


def test_formatting_is_kept_and_nothing_else() -> None:
    good = 'See <b>this</b><br><a href="https://example.org/?a=1&amp;b=2">there</a>'
    assert good.encode() in post_page(SITE, one(caption_html=good), Neighbours())
    for bad in ('<a href="javascript:x">x</a>', "<img src=x>", '<b onclick="x">x</b>', "<style>", "<b ", "a < b"):
        page = post_page(SITE, one(caption="The text", caption_html=bad), Neighbours())
        assert bad.encode() not in page
        assert b">The text</div>" in page


@given(text=TEXT, entities=st.lists(ENTITY, max_size=8))
@example("code", [{"type": "pre", "offset": 0, "length": 4, "language": "C++"}])
@example("\x7f there", [{"type": "text_link", "offset": 0, "length": 7, "url": "HTTPS://example.org/?a=1&b='"}])
def test_whatever_formatting_a_caption_has_is_shown(text: str, entities: list[dict[str, Any]]) -> None:
    given = shown(text, entities, False).html
    assert caption_html(given) == given


def test_a_page_is_less_than_30_kb() -> None:
    long = "Слова " * 700  # 4,200 characters, more than Telegram takes
    posts = [one(number=number, caption=long, edited_at=iso(1_900_000_000)) for number in range(1, 19)]
    channels = [ChannelEntry(number, f"A channel of pictures, number {number}", "name", 1000) for number in range(60)]
    album = posts_of([row(number, grouped_id=5, caption=long if number == 1 else "") for number in range(1, 11)])[0]
    sizes = [
        len(index_page(SITE, posts[:12], channels)),
        len(channel_page(SITE, channels[0], posts, "7/archive-0.html")),
        len(archive_page(SITE, "7/archive-0.html", posts, Neighbours("7/archive-1.html", "7/archive-2.html"))),
        len(post_page(SITE, album, Neighbours("7/1.html", "7/2.html"))),
    ]
    assert max(sizes) < 30_000, sizes


def test_links_are_relative_but_for_those_that_others_show() -> None:
    text = post_page(SITE, one(), Neighbours("7/2.html", "7/album-5.html")).decode()
    outside = set(re.findall(r'(?:href|src|content)="(https?:[^"]*)"', text))
    assert outside == {
        "https://t.me/thechannel/1",
        f"{BASE}site/7/1.html",
        f"{BASE}{SHA[:2]}/{SHA}/preview-0123abcd.jpg",
    }
    assert f'src="../../{SHA[:2]}/{SHA}/1280-0123abcd.jpg"' in text
    assert 'href="album-5.html"' in text
    assert re.search(r'href="../index.html" dir', text) and re.search(r'href="index.html" rel="up" dir', text)
    assert 'href="../../feeds/7.xml"' in text


@pytest.mark.parametrize(
    ("address", "url", "link"),
    [
        ("https://a.example/", f"https://a.example/{SHA[:2]}/{SHA}/1.jpg", f"../../{SHA[:2]}/{SHA}/1.jpg"),
        ("https://a.example/", "https://b.example/1.jpg", "https://b.example/1.jpg"),
        ("", "https://b.example/1.jpg", "https://b.example/1.jpg"),
        ("file:///new/", f"file:///old/{SHA[:2]}/{SHA}/320-0123abcd.jpg", f"../../{SHA[:2]}/{SHA}/320-0123abcd.jpg"),
        ("file:///new/", "file:///old/1.jpg", ""),
        ("file:///new/", f"ftp://old/{SHA[:2]}/{SHA}/320-0123abcd.jpg", ""),
    ],
)
def test_where_a_picture_is(address: str, url: str, link: str) -> None:
    assert Links("7/12.html", address).object(url) == link


@pytest.mark.parametrize(
    ("first", "last", "days"),
    [
        ("2025-10-05T19:31:08Z", "2025-10-05T20:00:00Z", "5 October 2025"),
        ("2025-10-05T19:31:08Z", "2025-10-26T20:00:00Z", "5 – 26 October 2025"),
        ("2025-09-05T19:31:08Z", "2025-10-26T20:00:00Z", "5 September – 26 October 2025"),
        ("2024-10-26T19:31:08Z", "2025-10-26T20:00:00Z", "26 October 2024 – 26 October 2025"),
    ],
)
def test_days_in_words(first: str, last: str, days: str) -> None:
    assert days_of([one(posted_at=last), one(posted_at=first)]) == days


def test_only_a_post_says_when_it_was_published() -> None:
    assert [b"article:published_time" in page for page in pages_of(one())] == [False, False, False, True]


def test_the_names_of_style_and_script_are_served() -> None:
    """`health.page.files` takes no other."""
    assert all(re.fullmatch(SITE_NAME, asset.name) for asset in (assets.style(), assets.script()))


def test_without_an_address_nothing_is_absolute() -> None:
    base = "file:///srv/media/"
    text = post_page(
        Site("The site", base, feeds=False), one(src=f"{base}ab/x.jpg", preview_url=f"{base}p"), Neighbours()
    ).decode()
    assert "file:" not in text
    assert "og:image" not in text
    assert "canonical" not in text


def test_an_album_is_one_post_with_its_cover_first() -> None:
    rows = [row(3, grouped_id=5, album_position=2, caption=""), row(4, grouped_id=5, album_position=1, caption="Said")]
    (post,) = posts_of(rows)
    assert (post.path, post.first_id, post.caption, post.cover["message_id"]) == ("7/album-5.html", 3, "Said", 4)
    assert (post.posted_at, post.changed_at) == (rows[0]["posted_at"], rows[1]["posted_at"])
    text = post_page(SITE, post, Neighbours()).decode()
    assert text.index('id="m4"') < text.index('id="m3"')


def test_a_picture_without_renditions_is_not_shown() -> None:
    rows = [row(1, src=None), row(3, grouped_id=5, src=None), row(4, grouped_id=5)]
    assert [(post.path, post.first_id, len(post.pictures)) for post in posts_of(rows)] == [("7/album-5.html", 4, 1)]


def test_a_picture_has_a_place_before_it_is_there() -> None:
    text = post_page(SITE, one(), Neighbours()).decode()
    assert re.search(r'<img src="[^"]+" width="1280" height="960" alt="Caption 1"', text)
    data = base64.b64decode(data_url(THUMBHASH).partition(",")[2])
    assert data[24:29] == bytes((8, 2, 0, 0, 0)), "RGB of 8 bits, and the only ways that there are"
    with Image.open(io.BytesIO(data)) as thumb:
        thumb.load()
        assert thumb.size == (6, 4)
    assert data_url(THUMBHASH) in text
    assert "thumb" not in post_page(SITE, one(has_alpha=True), Neighbours()).decode()
    assert "thumb" not in post_page(SITE, one(thumbhash=None), Neighbours()).decode()


@pytest.mark.parametrize(
    ("thumbhash", "pixel", "last"),
    [  # by the reference, https://www.npmjs.com/package/thumbhash 0.1.1
        ("3OcRJYB4d3h/iIeHeEh3eIhw+j2w", (151, 163, 187), (87, 99, 46)),
        ("1QcSHQRnh493V4dIh4eXh1h4kJUI", (121, 119, 135), (0, 4, 40)),
        ("HBkSHYSIeHiPiHh8eJd4eTN0EEQG", (187, 220, 227), (96, 90, 74)),
    ],
)
def test_the_placeholder_has_the_colours_of_the_reference(
    thumbhash: str, pixel: tuple[int, int, int], last: tuple[int, int, int]
) -> None:
    pixels = [one for line in decode(base64.b64decode(thumbhash), 32) for one in line]
    assert (pixels[100], pixels[-1]) == (pixel, last)


def test_a_picture_says_how_wide_it_is_shown() -> None:
    """A row is 20 % of the window's width high at most, a lead 76 % of its height, a post's picture 86 %."""
    page = index_page(SITE, [one(), one()], []).decode()
    assert 'sizes="auto,(max-width:40rem) 94vw,min(26vw,31rem)"' in page
    assert 'sizes="(max-width:60rem) min(94vw,99vh),min(64vw,99vh)"' in page
    assert 'sizes="min(94vw,112vh)"' in post_page(SITE, one(), Neighbours()).decode()


def test_the_script_asks_for_nothing_that_a_strict_policy_forbids() -> None:
    script = assets.script().data.decode()
    assert not re.search(r"eval|innerHTML|\.style\b|fetch|Function\(", script)


def test_a_picture_says_what_it_is_and_of_how_many() -> None:
    album = posts_of([row(number, grouped_id=5, album_position=number) for number in (1, 2)])[0]
    for post, mark in ((one(kind="video"), "Video"), (album, "2 pictures"), (one(kind="animation"), "Animation")):
        page = index_page(SITE, [post, post], [ChannelEntry(7, "The channel", None, 2)]).decode()
        assert page.count(f'<span class="mark">{mark}</span>') == 2, "as the lead and in the grid"
    assert 'class="mark"' not in index_page(SITE, [one(), one()], []).decode()


def test_the_only_channel_is_told_of_on_the_front_page() -> None:
    page = index_page(SITE, [one()], [ChannelEntry(7, "The channel", "thechannel", 1200)]).decode()
    assert '<p>1,200 posts · <a href="https://t.me/thechannel"' in page
    assert 'class="channels"' not in page and "<bdi>The channel</bdi>" not in page
    several = [ChannelEntry(number, "The channel", None, 1) for number in (7, 8)]
    assert "<bdi>The channel</bdi>" in index_page(SITE, [one()], several).decode()


def test_a_channel_is_described_by_its_newest_caption() -> None:
    channel = ChannelEntry(7, "The channel", None, 2)
    for post, said in ((one(), "Caption 1"), (one(caption=""), "The channel")):
        assert f'<meta name="description" content="{said}">' in channel_page(SITE, channel, [post]).decode()


def test_a_channel_without_pictures_says_so() -> None:
    channel = ChannelEntry(7, "The channel", None, 0)
    for page in (channel_page(SITE, channel, []), index_page(SITE, [], [channel])):
        assert '<p class="empty">No pictures yet.</p>' in page.decode()
