"""How a channel may be written: the one grammar, for the settings that accept it and the connection that looks it up.

Pure. Texts that mean the same channel give equal addresses. A link may go on behind the channel, to a message.

>>> parse("@picturedesk"), parse("https://t.me/s/PictureDesk/12")
(Address(kind='name', value='picturedesk'), Address(kind='name', value='picturedesk'))
>>> parse("t.me/+AbCdEf0123456789"), parse("t.me/c/1234567890/5")
(Address(kind='invite', value='AbCdEf0123456789'), Address(kind='id', value='1234567890'))

The Bot API writes a channel's id with a mark: -1000000000000 less the bare id. No bare id is as large as the mark, so
one whose minus was forgotten is still told from a bare one.

>>> parse("-1001234567890") == parse("1001234567890") == parse("1234567890")
True
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

_SITE = r"(?:(?:https?://)?(?:www\.)?(?:t\.me|telegram\.me|telegram\.dog)/)"
_NAME = r"[A-Za-z][A-Za-z0-9_]{3,31}"
_INVITE = r"[A-Za-z0-9_-]{10,64}"
_TAIL = r"(?:/[0-9]+)*/?(?:\?\S*)?"

_FORMS: tuple[tuple[Literal["name", "invite", "id"], str], ...] = (
    ("invite", rf"{_SITE}(?:\+|joinchat/)({_INVITE})/?"),
    ("invite", rf"tg://join\?invite=({_INVITE})"),
    ("id", rf"{_SITE}c/([1-9][0-9]{{0,14}}){_TAIL}"),
    ("id", r"-?([1-9][0-9]{0,14})"),
    ("name", rf"(?:{_SITE}(?:s/)?|@?)({_NAME}){_TAIL}"),
    ("name", rf"tg://resolve\?domain=({_NAME})(?:&\S*)?"),
)

_MARK = 10**12
_LARGEST = 997852516352
"""No channel's bare id is larger (https://core.telegram.org/api/bots/ids)."""

FORM = '"@name", a t.me link, an invite link or an id'
"""The grammar in words."""


class NoAddress(ValueError):
    """The text names no channel."""


@dataclass(frozen=True, slots=True)
class Address:
    """`value` is a user name in lower case, an invite link's hash, or a bare id's digits."""

    kind: Literal["name", "invite", "id"]
    value: str

    def __str__(self) -> str:
        """For people. An invite's hash lets its reader in: it is not shown whole."""
        return {"name": f"@{self.value}", "invite": f"t.me/+{self.value[:4]}…", "id": self.value}[self.kind]

    @property
    def key(self) -> str:
        """The address as the journal remembers it."""
        return f"{self.kind}:{self.value}"


def parse(text: str) -> Address:
    """The address that a person wrote. Raises NoAddress if it is none."""
    for kind, form in _FORMS:
        if match := re.fullmatch(form, text.strip()):
            value = match[1]
            if kind == "id":
                value = str(_bare(value, text))
            return Address(kind, value.lower() if kind == "name" else value)
    raise NoAddress(f"{text!r} names no channel: write {FORM}")


def marked(channel_id: int) -> str:
    """A channel's bare id as the Bot API writes it, which no other chat's id looks like.

    >>> marked(1234567890)
    '-1001234567890'
    """
    return str(-_MARK - channel_id)


def _bare(digits: str, text: str) -> int:
    """A channel's bare id, from one that may have its mark; the mark may also have been put before an id of any length.

    >>> _bare("1997852516352", ""), _bare("100997852516352", ""), _bare("10012345", "")
    (997852516352, 997852516352, 10012345)
    """
    number = int(digits)
    tries = (number, number - _MARK, int(digits[3:] or 0) if digits.startswith("100") else 0)
    found = next((one for one in tries if 0 < one <= _LARGEST), None)
    if found is None:
        raise NoAddress(f"{text!r} names no channel: a channel's id is a number of 10 to 12 digits, after -100 or bare")
    return found
