"""ipc.text.captions: what readers see of a caption, and what it says to us."""

from __future__ import annotations

import re
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipc.text.captions import Caption, hides, shown


def of(kind: str, text: str, piece: str, **more: Any) -> dict[str, Any]:
    """The formatting of that piece of the text, counted as Telegram counts."""
    before = text[: text.index(piece)]
    return {"type": kind, "offset": units(before), "length": units(piece), **more}


def units(text: str) -> int:
    return len(text.encode("utf-16-le")) // 2


def html(text: str, *entities: dict[str, Any]) -> str:
    return shown(text, entities, False).html


def said(text: str, *entities: dict[str, Any]) -> Caption:
    return shown(text, entities, True)


# --- HTML ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("bold", "<b>{}</b>"),
        ("italic", "<i>{}</i>"),
        ("underline", "<u>{}</u>"),
        ("strikethrough", "<s>{}</s>"),
        ("spoiler", '<span class="spoiler">{}</span>'),
        ("code", "<code>{}</code>"),
        ("pre", "<pre><code>{}</code></pre>"),
        ("blockquote", "<blockquote>{}</blockquote>"),
        ("hashtag", "{}"),
        ("custom_emoji", "{}"),
        ("phone", "{}"),
        ("email", "{}"),
        ("of a later Telegram", "{}"),
    ],
)
def test_each_kind_of_formatting(kind: str, expected: str) -> None:
    text = "🦊 see «a < b» there"
    assert html(text, of(kind, text, "«a < b»")) == f"🦊 see {expected.format('«a &lt; b»')} there"


def test_a_listing_names_its_language() -> None:
    text = "look\nx = 1\ny = 2\nso"
    listing = of("pre", text, "x = 1\ny = 2", language="python")
    assert html(text, listing) == ('look<br><pre><code class="language-python">x = 1<br>y = 2<br></code></pre>so'), (
        "the line break behind a block is in it: a browser would show an empty line"
    )
    assert 'class="language' not in html(text, {**listing, "language": '"><script>'})
    assert html(text, listing, of("code", text, "1")).count("<code") == 1


@pytest.mark.parametrize(
    ("kind", "piece", "more", "expected"),
    [
        ("link", "https://a.example/?a=1&b", {}, "https://a.example/?a=1&amp;b"),
        ("link", "a.example/b", {}, "http://a.example/b"),
        ("text_link", "here", {"url": "tg://resolve?domain=a"}, "tg://resolve?domain=a"),
        ("text_link", "here", {"url": 'https://a.example/"><script>'}, "https://a.example/&quot;&gt;&lt;script&gt;"),
        ("mention", "@picture_desk", {}, "https://t.me/picture_desk"),
        ("mention_name", "Ada", {"user_id": 7}, "tg://user?id=7"),
    ],
)
def test_links(kind: str, piece: str, more: dict[str, Any], expected: str) -> None:
    text = f"see {piece}!"
    assert f'see <a href="{expected}">' in html(text, of(kind, text, piece, **more))


@pytest.mark.parametrize(
    "address",
    [
        "javascript:alert(1)",
        "JavaScript:alert(1)//a.example",
        "data:text/html,x",
        "java\nscript:alert(1)",
        "mailto:a@a.example",
        "//a.example",
        "https://a b",
        "https:a.example",
        "",
        None,
        7,
    ],
)
def test_no_link_leads_elsewhere(address: object) -> None:
    assert html("here", {"type": "text_link", "offset": 0, "length": 4, "url": address}) == "here"


def test_what_overlaps_is_closed_and_opened_again() -> None:
    text = "one two three"
    bold, italic = of("bold", text, "one two"), of("italic", text, "two three")
    assert html(text, bold, italic) == "<b>one <i>two</i></b><i> three</i>"
    quoted = of("blockquote", text, "two")
    assert html(text, of("bold", text, text), quoted) == "<b>one </b><blockquote><b>two</b></blockquote><b> three</b>"
    outer = of("text_link", text, "one two", url="https://a.example")
    inner = of("text_link", text, "two", url="https://b.example")
    assert html(text, inner, outer) == '<a href="https://a.example">one two</a> three', "no link within a link"


def test_offsets_count_code_units_and_broken_ones_do_no_harm() -> None:
    assert html("🦊🦊 fox", {"type": "bold", "offset": 5, "length": 3}) == "🦊🦊 <b>fox</b>"
    assert html("🦊🦊", {"type": "bold", "offset": 1, "length": 1}) == "<b>🦊</b>🦊", "half a character"
    assert html("fox", {"type": "bold", "offset": 1, "length": 99}) == "f<b>ox</b>"
    for offset, length in [(9, 1), (0, 0), (2, -1), (-5, 2), ("0", 1), (0, None), (True, 1), (1.0, 1)]:
        assert html("fox", {"type": "bold", "offset": offset, "length": length}) == "fox"
    assert html("fox", {"type": "bold"}, {"offset": 0, "length": 1}, {"type": 7, "offset": 0, "length": 1}) == "fox"


KINDS = ["bold", "italic", "code", "pre", "blockquote", "spoiler", "text_link", "link", "mention", "hashtag", "unknown"]
NUMBERS = st.one_of(st.integers(-3, 30), st.sampled_from([None, "1", 2**70]))
ENTITY = st.fixed_dictionaries(
    {"type": st.sampled_from([*KINDS, None]), "offset": NUMBERS, "length": NUMBERS},
    optional={
        "url": st.sampled_from(["https://a.example/<&\"'>", "javascript:x", 5]),
        "language": st.sampled_from(["c++", '"<']),
    },
)
TEXT = st.text(st.sampled_from("ab <>&\"'#@.:/\n\r\t\x00\x0b🦊é\u200d") | st.characters(codec="utf-8"), max_size=30)


class Content(HTMLParser):
    """The text of an HTML fragment, with every element closed by its own end tag, in order."""

    def __init__(self) -> None:
        super().__init__(convert_charrefs=True)
        self.text, self.open = "", list[str]()

    def handle_data(self, data: str) -> None:
        self.text += data

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "br":
            self.text += "\n"
            return
        assert tag not in self.open, f"{tag} within itself"
        self.open.append(tag)
        for name, value in attrs:
            assert name in ("href", "class")
            assert name != "href" or re.match("(https?|tg)://", value or "")

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


@given(text=TEXT, entities=st.lists(ENTITY, max_size=8), commands=st.booleans())
@example(text="\r\n", entities=[{"type": "bold", "offset": 1, "length": 1}], commands=False)
def test_whatever_it_is_its_html_is_well_formed_and_has_all_of_its_text(
    text: str, entities: list[dict[str, Any]], commands: bool
) -> None:
    caption = shown(text, entities, commands)
    ElementTree.fromstring(f"<p>{caption.html.replace('<br>', '<br/>')}</p>")
    content = Content()
    content.feed(caption.html)
    content.close()
    assert content.open == []
    unfit = "[\0-\x08\x0b\x0c\x0e-\x1f\ufffe\uffff]"
    assert content.text == re.sub(unfit, "\ufffd", caption.text.replace("\r", ""))
    if not commands:
        assert (caption.text, caption.alt, caption.hide, caption.cover) == (text, None, False, False)


# --- tags ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "tags"),
    [
        ("a #Fox and #fox, #Öl_1.", ("fox", "öl_1")),
        ("#print", ("print",)),
        ("#2024 #a1 # #", ("a1",)),
        ("a#b #c#d https://a.example/#e", ()),
        ("(#a)#b", ("a", "b")),
        ("nothing", ()),
    ],
)
def test_tags_by_grammar(text: str, tags: tuple[str, ...]) -> None:
    assert shown(text, (), False).tags == tags


def test_tags_that_the_source_has_marked() -> None:
    text = "see #b and #A@channel in #2024"
    marked = [of("hashtag", text, piece) for piece in ("#b", "#A@channel", "#2024")]
    assert shown(text, marked, False).tags == ("b", "a", "2024")
    text = "#bold `#code` #link"
    kinds = [of("bold", text, "#bold"), of("code", text, "#code"), of("link", text, "#link")]
    assert shown(text, kinds, False).tags == ("bold",)


def test_commands_are_tags_where_they_are_none() -> None:
    assert shown("#hide #cover #fox", (), False).tags == ("hide", "cover", "fox")
    assert said("#hide #cover #fox").tags == ("fox",)


# --- what editors say ---------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "left", "alt"),
    [
        ("A fox\nalt: A red fox, asleep", "A fox", "A red fox, asleep"),
        ("ALT:a fox\nA fox", "A fox", "a fox"),
        ("A fox\n\n alt: x \n\nby Ada", "A fox\n\nby Ada", "x"),
        ("A fox\nalt:\nalt: second", "A fox\nalt: second", None),
        ("alt: x", "", "x"),
        ("default: x\nsalt: y", "default: x\nsalt: y", None),
        ("alt: 2 #foxes #hide asleep", "", "2 #foxes asleep"),
    ],
)
def test_the_alt_line(text: str, left: str, alt: str | None) -> None:
    caption = said(text)
    assert (caption.text, caption.alt, caption.tags) == (left, alt, ())


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ("A fox #hide", "A fox"),
        ("#HIDE A fox", "A fox"),
        ("A #hide fox", "A fox"),
        ("A fox\n#hide #cover\nby Ada", "A fox\nby Ada"),
        ("A fox\n\n#hide\n\nby Ada", "A fox\n\nby Ada"),
        ("A fox (#hide)", "A fox ()"),
        ("#hide", ""),
        ("  A  fox \n\n", "  A  fox \n\n"),
        ("#hideous #hide_ a#hide #hide#", "#hideous #hide_ a#hide #hide#"),
    ],
)
def test_commands_leave_the_caption(text: str, left: str) -> None:
    caption = said(text)
    assert caption.text == left
    assert caption.hide is (text.lower().split() != left.lower().split())


def test_without_commands_all_of_it_is_for_readers() -> None:
    text = "A fox #hide\nalt: a fox\n#cover"
    caption = shown(text, (), False)
    assert (caption.text, caption.alt, caption.hide, caption.cover) == (text, None, False, False)
    assert caption.tags == ("hide", "cover")


def test_a_command_that_the_source_has_marked_leaves_the_caption_too() -> None:
    assert shown("So #hide it", [{"type": "hashtag", "offset": 3, "length": 5}], True).text == "So it"


def test_a_longer_word_is_no_command() -> None:
    assert (
        hides("To #hide", [])
        and not hides("A #hidebound reader", [])
        and not hides("#hide", [{"type": "code", "offset": 0, "length": 5}])
    )


def test_cover_and_hide_are_told_apart() -> None:
    assert (said("#cover").cover, said("#cover").hide) == (True, False)
    assert (said("#hide").cover, said("#hide").hide) == (False, True)


def test_in_code_they_are_text() -> None:
    text = "write #hide and\nalt: x"
    caption = said(text, of("code", text, "#hide"), of("pre", text, "alt: x"))
    assert caption == Caption(
        "write <code>#hide</code> and<br><pre><code>alt: x</code></pre>", text, None, (), False, False
    )


def test_formatting_moves_with_what_is_left() -> None:
    text = "🦊 #hide bold\nalt: a 🦊 link\nlink #cover"
    place = {"type": "text_link", "offset": units(text[: text.rindex("link")]), "length": 4, "url": "https://a.example"}
    caption = said(text, of("bold", text, "#hide bold"), of("italic", text, "a 🦊"), place)
    assert caption.text == "🦊 bold\nlink"
    assert caption.html == '🦊 <b>bold</b><br><a href="https://a.example">link</a>'
    assert (caption.alt, caption.hide, caption.cover) == ("a 🦊 link", True, True)
