"""ipc/text/post_address.py: every way to write a post."""

from __future__ import annotations

import pytest

from ipc.text.channel_address import NoAddress
from ipc.text.post_address import of, parse


@pytest.mark.parametrize(
    "link",
    [
        "https://t.me/Wires/123",
        "t.me/wires/123",
        "http://www.t.me/s/wires/123?single",
        " https://telegram.me/wires/77/123/ ",
        "tg://resolve?domain=Wires&post=123&single",
        "@wires/123",
    ],
)
def test_a_public_post(link: str) -> None:
    assert parse(link) == of("@wires", "123")
    assert parse(link).link == "https://t.me/wires/123"


@pytest.mark.parametrize(
    "link",
    [
        "https://t.me/c/1234567890/123",
        "t.me/c/1234567890/5/123?thread=5",
        "tg://privatepost?channel=1234567890&post=123",
    ],
)
def test_a_private_post(link: str) -> None:
    assert parse(link) == of("1234567890", "123") == of("-1001234567890", "123")
    assert parse(link).link == "https://t.me/c/1234567890/123"


@pytest.mark.parametrize(
    "text",
    ["", "https://t.me/wires", "https://t.me/123", "https://t.me/+AbCdEf0123456789/5", "https://x.org/wires/5"],
)
def test_what_names_no_post(text: str) -> None:
    with pytest.raises(NoAddress, match="write "):
        parse(text)


@pytest.mark.parametrize("message", ["0", "-1", "x", "2147483648", "٣", ""])
def test_what_is_no_message(message: str) -> None:
    with pytest.raises(NoAddress, match="no message's id"):
        of("@wires", message)
