"""How one post may be named: a t.me link to it, or its channel (see `ipc.text.channel_address`) and its message's id.

Pure.

>>> parse("https://t.me/PictureDesk/123?single") == parse("t.me/s/picturedesk/123") == of("@picturedesk", "123")
True
>>> parse("https://t.me/c/1234567890/77/123") == of("-1001234567890", "123")
True
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from ipc.text import channel_address
from ipc.text.channel_address import Address, NoAddress

FORM = "https://t.me/NAME/123, https://t.me/c/ID/123, or a channel and a message's id"
"""The grammar in words."""

_LINK = re.compile(r"(?P<channel>\S+?)/(?P<message>[0-9]{1,10})/?(?:\?\S*)?")
_APP_LINKS = (
    re.compile(r"tg://resolve\?domain=(?P<channel>\w+)&post=(?P<message>[0-9]{1,10})(?:&\S*)?"),
    re.compile(r"tg://privatepost\?channel=(?P<channel>\w+)&post=(?P<message>[0-9]{1,10})(?:&\S*)?"),
)
_LARGEST = 2**31 - 1


@dataclass(frozen=True, slots=True)
class PostAddress:
    """`channel` is a name or an id, never an invite link."""

    channel: Address
    message_id: int

    @property
    def link(self) -> str:
        """The link that a browser opens."""
        where = f"c/{self.channel.value}" if self.channel.kind == "id" else self.channel.value
        return f"https://t.me/{where}/{self.message_id}"


def parse(link: str) -> PostAddress:
    """The post of a link. Raises NoAddress if it is no link to one."""
    for form in (*_APP_LINKS, _LINK):
        if match := form.fullmatch(link.strip()):
            return of(match["channel"], match["message"])
    raise NoAddress(f"{link!r} names no post: write {FORM}")


def of(channel: str, message: str) -> PostAddress:
    """The post with that id in that channel. Raises NoAddress if either is none."""
    address = channel_address.parse(channel)
    if address.kind == "invite":
        raise NoAddress(f"{channel!r} is an invite link, which names no post: write {FORM}")
    if not re.fullmatch(r"[0-9]{1,10}", message.strip()) or not 0 < int(message) <= _LARGEST:
        raise NoAddress(f"{message!r} is no message's id: write {FORM}")
    return PostAddress(address, int(message))
