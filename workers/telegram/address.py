"""How a channel may be written in the configuration. Pure.

>>> parse("@picturedesk"), parse("https://t.me/s/picturedesk/12")
(Address(kind='name', value='picturedesk'), Address(kind='name', value='picturedesk'))
>>> parse("t.me/+AbCdEf0123456789"), parse("-1001234567890"), parse("t.me/c/1234567890/5")
(Address(kind='invite', value='AbCdEf0123456789'), Address(kind='id', value='1234567890'), Address(kind='id', \
value='1234567890'))
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_SITE = r"(?:(?:https?://)?(?:www\.)?(?:t\.me|telegram\.me|telegram\.dog)/)"
_NAME = r"[A-Za-z][A-Za-z0-9_]{3,31}"
_INVITE = r"[A-Za-z0-9_-]{10,64}"
_TAIL = r"(?:/[0-9]+)?/?(?:\?[^\s]*)?"

_FORMS: tuple[tuple[str, str], ...] = (
    ("invite", rf"{_SITE}(?:\+|joinchat/)({_INVITE})/?"),
    ("invite", rf"tg://join\?invite=({_INVITE})"),
    ("id", rf"{_SITE}c/([1-9][0-9]{{0,18}}){_TAIL}"),
    ("id", r"-100([1-9][0-9]{0,12})"),
    ("id", r"-?([1-9][0-9]{0,12})"),
    ("name", rf"{_SITE}(?:s/)?({_NAME}){_TAIL}"),
    ("name", rf"tg://resolve\?domain=({_NAME})(?:&[^\s]*)?"),
    ("name", rf"@?({_NAME})"),
)
"""The bot API's -100 stands before a channel's id; a bare id never begins so, since its sign is gone as well."""


@dataclass(frozen=True, slots=True)
class Address:
    """`value` is a user name in lower case, an invite link's hash, or a bare id's digits."""

    kind: Literal["name", "invite", "id"]
    value: str

    def __str__(self) -> str:
        """For people. An invite's hash lets whoever reads it in: it is not shown whole."""
        return {"name": f"@{self.value}", "invite": f"t.me/+{self.value[:4]}…", "id": self.value}[self.kind]


def parse(text: str) -> Address:
    """The address that a person wrote. Raises ValueError if it is none."""
    for kind, form in _FORMS:
        if match := re.fullmatch(form, text.strip()):
            value = match[1].lower() if kind == "name" else match[1]
            return Address(kind, value)  # type: ignore[arg-type]
    raise ValueError(f"{text!r} names no channel: write @name, a t.me link, an invite link or a channel's id")
