"""How a channel may be written, by the source that reads it and by the settings that let it through."""

from __future__ import annotations

import doctest
import re

import pytest

from supervisor.settings.table import TABLE
from workers.telegram import account, address, source
from workers.telegram.address import Address, parse

RULE = next(entry.rule for entry in TABLE if entry.name == "telegram.channels")

GOOD = {
    "@newsdesk": ("name", "newsdesk"),
    "NewsDesk": ("name", "newsdesk"),
    "t.me/newsdesk": ("name", "newsdesk"),
    "https://t.me/newsdesk/": ("name", "newsdesk"),
    "https://t.me/s/newsdesk?before=5": ("name", "newsdesk"),
    "http://www.telegram.me/news_desk/77": ("name", "news_desk"),
    "tg://resolve?domain=newsdesk&post=5": ("name", "newsdesk"),
    "https://t.me/+AbCd-Ef_0123456": ("invite", "AbCd-Ef_0123456"),
    "t.me/joinchat/AAAAAEabcdefghij": ("invite", "AAAAAEabcdefghij"),
    "tg://join?invite=AbCdEf0123456": ("invite", "AbCdEf0123456"),
    "-1001234567890": ("id", "1234567890"),
    "1234567890": ("id", "1234567890"),
    "-1234567890": ("id", "1234567890"),
    "https://t.me/c/1234567890/5": ("id", "1234567890"),
}
BAD = [
    "",
    "@",
    "abc",
    "@1news",
    "news desk",
    "@news-desk",
    "https://example.org/newsdesk",
    "t.me/+short",
    "0",
    "1.5",
]


@pytest.mark.parametrize("text", GOOD)
def test_good_ones(text: str) -> None:
    assert parse(text) == parse(f" {text} ") == Address(*GOOD[text])  # type: ignore[arg-type]
    assert re.fullmatch(RULE.pattern, text), "the settings refuse it"


@pytest.mark.parametrize("text", BAD)
def test_bad_ones(text: str) -> None:
    with pytest.raises(ValueError, match="names no channel"):
        parse(text)
    assert not re.fullmatch(RULE.pattern, text), "the settings let it through"


def test_an_invite_is_never_shown_whole() -> None:
    assert str(parse("t.me/+AbCdEf0123456789")) == "t.me/+AbCd…"


@pytest.mark.parametrize("module", [account, address, source])
def test_the_examples_in_the_docstrings(module: object) -> None:
    assert doctest.testmod(module).failed == 0  # type: ignore[arg-type]
