"""One message of a channel, and its form on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, TypedDict

from telethon.tl import types
from telethon.tl.patched import Message, MessageEmpty, MessageService

from tests.servers.telegram.media import Media
from tests.servers.telegram.tl import UNKNOWN, Raw

ENTITIES = {
    "bold": types.MessageEntityBold,
    "italic": types.MessageEntityItalic,
    "code": types.MessageEntityCode,
    "url": types.MessageEntityUrl,
    "mention": types.MessageEntityMention,
    "hashtag": types.MessageEntityHashtag,
    "spoiler": types.MessageEntitySpoiler,
    "text_url": types.MessageEntityTextUrl,
}

Entity = tuple[str, int, int] | tuple[str, int, int, str]
"""Kind, offset and length in UTF-16 units, and for text_url the address."""


class PostOptions(TypedDict, total=False):
    """What every message may have; see `Post`."""

    entities: list[Entity]
    forwarded_from: tuple[int, int] | str
    reply_to: int
    grouped_id: int
    views: int
    forwards: int
    date: float | datetime
    author: str
    silent: bool


@dataclass(slots=True, eq=False)
class Post:
    """One message. `forwarded_from` is a channel's and a message's id or a name; an `action` makes it a service one."""

    id: int
    date: datetime
    text: str = ""
    media: Media | None = None
    entities: list[Entity] = field(default_factory=list)
    forwarded_from: tuple[int, int] | str | None = None
    reply_to: int | None = None
    grouped_id: int | None = None
    views: int = 1
    forwards: int = 0
    author: str | None = None
    silent: bool = False
    action: Any = None
    edit_date: datetime | None = None
    edit_hide: bool = False
    reactions: int = 0
    unreadable: bool = False
    _wire: tuple[int, Raw] | None = None

    def tl(self, channel_id: int, epoch: int) -> Any:
        """Its form on the wire, kept until it changes or file references do (`epoch`)."""
        if self.unreadable:
            return UNKNOWN
        if self._wire is None or self._wire[0] != epoch:
            message = self._service(channel_id) if self.action else self._message(channel_id, epoch)
            self._wire = (epoch, Raw(bytes(message)))
        return self._wire[1]

    def changed(self) -> None:
        """To be called after any of its fields was set."""
        self._wire = None

    def _message(self, channel_id: int, epoch: int) -> Any:
        return Message(
            id=self.id,
            peer_id=types.PeerChannel(channel_id),
            date=self.date,
            message=self.text,
            post=True,
            silent=self.silent,
            media=self.media.tl(epoch, self.date) if self.media else None,
            entities=[ENTITIES[kind](*rest) for kind, *rest in self.entities] or None,
            fwd_from=self._forward(),
            reply_to=types.MessageReplyHeader(reply_to_msg_id=self.reply_to) if self.reply_to else None,
            # They share a flag: one without the other can't be said.
            views=self.views,
            forwards=self.forwards,
            edit_date=self.edit_date,
            edit_hide=self.edit_hide,
            post_author=self.author,
            grouped_id=self.grouped_id,
            reactions=types.MessageReactions([types.ReactionCount(types.ReactionEmoji("👍"), self.reactions)])
            if self.reactions
            else None,
        )

    def _service(self, channel_id: int) -> Any:
        return MessageService(
            id=self.id, peer_id=types.PeerChannel(channel_id), date=self.date, post=True, action=self.action
        )

    def _forward(self) -> Any:
        match self.forwarded_from:
            case None:
                return None
            case str(name):
                return types.MessageFwdHeader(date=self.date, from_name=name)
            case (channel_id, message_id):
                source = types.PeerChannel(channel_id)
                return types.MessageFwdHeader(date=self.date, from_id=source, channel_post=message_id)


def absent(message_id: int) -> Any:
    """What stands for a message that isn't there."""
    return MessageEmpty(id=message_id, peer_id=None)
