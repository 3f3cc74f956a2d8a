"""How a channel may be written: for the settings that accept it, and the connection that looks it up."""

from __future__ import annotations

import doctest
from contextlib import suppress
from pathlib import Path

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from ipc.text import channel_address
from ipc.text.channel_address import Address, NoAddress, marked, parse
from supervisor.settings.table import TABLE
from supervisor.settings.values import checked

SETTING = next(entry for entry in TABLE if entry.name == "telegram.channels")

GOOD = {
    "@newsdesk": ("name", "newsdesk"),
    "NewsDesk": ("name", "newsdesk"),
    "@newsdesk/": ("name", "newsdesk"),
    "newsdesk/12": ("name", "newsdesk"),
    "newsdesk?x=1": ("name", "newsdesk"),
    "t.me/newsdesk": ("name", "newsdesk"),
    "https://t.me/newsdesk/": ("name", "newsdesk"),
    "https://t.me/newsdesk/3/77": ("name", "newsdesk"),  # a forum's topic and message
    "https://t.me/s/newsdesk?before=5": ("name", "newsdesk"),
    "http://www.telegram.me/news_desk/77": ("name", "news_desk"),
    "tg://resolve?domain=newsdesk&post=5": ("name", "newsdesk"),
    "https://t.me/+AbCd-Ef_0123456": ("invite", "AbCd-Ef_0123456"),
    "t.me/joinchat/AAAAAEabcdefghij": ("invite", "AAAAAEabcdefghij"),
    "tg://join?invite=AbCdEf0123456": ("invite", "AbCdEf0123456"),
    "-1001234567890": ("id", "1234567890"),
    "1001234567890": ("id", "1234567890"),  # its minus was forgotten
    "1234567890": ("id", "1234567890"),
    "-1234567890": ("id", "1234567890"),
    "-1997852516352": ("id", "997852516352"),
    "https://t.me/c/1234567890/5": ("id", "1234567890"),
}
BAD = [
    "",
    "@",
    "abc",
    "@1news",
    "news desk",
    "@news-desk",
    "newsdesk/photos",
    "https://example.org/newsdesk",
    "t.me/+short",
    "0",
    "-0",
    "--1234567890",
    "9999999999999",
    "999999999999999",
    "1.5",
]


def accepted(*texts: str) -> tuple[str, ...]:
    """What the settings make of the list. Raises ValueError if they refuse it."""
    found: tuple[str, ...] = checked(SETTING, list(texts), Path())
    return found


@pytest.mark.parametrize("text", GOOD)
def test_good_ones(text: str) -> None:
    assert parse(text) == parse(f" {text} ") == Address(*GOOD[text])  # type: ignore[arg-type]
    assert accepted(text) == (text,)


@pytest.mark.parametrize("text", BAD)
def test_bad_ones(text: str) -> None:
    with pytest.raises(NoAddress, match="names no channel"):
        parse(text)
    with pytest.raises(ValueError, match=r"^$"):  # the setting's own words are said of it
        accepted(text)


MARKS = ("@", "-", "-100", "100", "+", "/", "/12", "?x=1", "&y", " ", "s/", "c/", "joinchat/")
LINKS = ("https://", "t.me/", "telegram.me/", "tg://join?invite=", "tg://resolve?domain=")
PARTS = st.sampled_from((*MARKS, *LINKS, "newsdesk", "News_1", "1234567890", "AbCdEf-0123456789"))


@given(st.lists(PARTS | st.text(max_size=3), max_size=5).map("".join))
@example("@name/")
@example("name/12")
@example("name?x=1")
def test_what_the_settings_accept_is_understood_and_nothing_else(text: str) -> None:
    address = None
    with suppress(NoAddress):
        address = parse(text)
    try:
        (kept,) = accepted(text)
    except ValueError:
        assert address is None
    else:
        assert address is not None and parse(kept) == address


def test_one_channel_in_several_spellings_is_one() -> None:
    texts = ("@NewsDesk", "-1001234567890", "t.me/newsdesk/5", "@other", "1234567890", "t.me/c/1234567890")
    assert accepted(*texts) == ("@NewsDesk", "-1001234567890", "@other")


@given(st.integers(1, 997852516352))
def test_a_marked_id_is_understood(channel_id: int) -> None:
    assert parse(marked(channel_id)) == parse(str(channel_id)) == Address("id", str(channel_id))


def test_an_invite_is_never_shown_whole() -> None:
    assert str(parse("t.me/+AbCdEf0123456789")) == "t.me/+AbCd…"


def test_the_examples_in_the_docstrings() -> None:
    assert doctest.testmod(channel_address).failed == 0
