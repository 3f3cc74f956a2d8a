"""All that the server has to tell: one account, the channels it sees, the files, and how one logs in.

It exists without a server, and tests may change it from their own thread at any time: everything happens under one
lock, which the server's answers take as well.
"""

from __future__ import annotations

import itertools
import re
import threading
import time
from collections.abc import Callable, Iterable
from typing import Any

from telethon.tl import types

from tests.servers.telegram.channel import Change, Channel
from tests.servers.telegram.media import CdnCopy, File, moment
from tests.servers.telegram.posts import Post

HOME_DC = 2
OTHER_DC = 4
CDN_DC = 203

Listener = Callable[[Channel, list[Change]], None]


class World:
    """The state of things, as tests arrange it.

    `phone` and `code` log in; with a `password` set, that is asked for too (two-step verification). With
    `announces_channels` off, the account's difference doesn't mention channels that have changed while a client was
    away, which Telegram forgets at times.
    """

    def __init__(self) -> None:
        self.lock = threading.RLock()
        self.clock_offset = 0.0
        self.channels: dict[int, Channel] = {}
        self.basic_groups: dict[int, Any] = {}
        self.files: dict[int, File] = {}
        self.reference_epoch = 1
        self.announces_channels = True
        self.phone = "9996621234"
        self.code = "22222"
        self.password: str | None = None
        self.user_id = 777001
        self._numbers = itertools.count(0x1000_0000)
        self._listeners: list[tuple[Listener, Callable[[Channel, Any], None]]] = []

    def now(self) -> float:
        """The server's clock, as a Unix time."""
        return time.time() + self.clock_offset

    def next_number(self) -> int:
        """A number that wasn't there before, of the size that Telegram's ids have."""
        return 5_000_000_000_000_000 + next(self._numbers)

    # Channels

    def add_channel(
        self,
        title: str = "A channel",
        username: str | None = None,
        *,
        invite: str | None = None,
        member: bool = True,
        empty: bool = False,
    ) -> Channel:
        """A new channel. As every channel, it begins with the service message 1 that tells of it, unless `empty`."""
        with self.lock:
            channel = Channel(self, 1_000_000_000 + next(self._numbers), self.next_number(), title, username)
            channel.invite, channel.member = invite, member
            self.channels[channel.id] = channel
            if not empty:
                channel.post_service(types.MessageActionChannelCreate(title))
            return channel

    def add_basic_group(self, title: str, chat_id: int, successor: Channel | None = None) -> None:
        """A basic group with the account in it, which may have become a supergroup. It has no messages here."""
        migrated = types.InputChannel(successor.id, successor.access_hash) if successor else None
        date = moment(1_600_000_000)
        self.basic_groups[chat_id] = types.Chat(
            chat_id, title, types.ChatPhotoEmpty(), 2, date, 1, deactivated=bool(migrated), migrated_to=migrated
        )

    def by_username(self, username: str) -> Channel | None:
        """The channel of that public name, in whatever case."""
        return next((one for one in self.channels.values() if (one.username or "").lower() == username.lower()), None)

    def by_invite(self, invite: str) -> Channel | None:
        return next((one for one in self.channels.values() if one.invite == invite), None)

    # Files

    def file(self, data: bytes | File, mime: str = "image/jpeg", dc: int | None = None) -> File:
        """A new file of these bytes in that data centre; a File is handed through, to be shared by messages."""
        if isinstance(data, File):
            return data
        with self.lock:
            file = File(self.next_number(), data, dc or HOME_DC, mime, self.next_number())
            self.files[file.id] = file
            return file

    def cdn_file(self, data: bytes, *, is_there: bool = True, digests: int = 2, dc: int | None = None) -> File:
        """A file that getFile sends clients to the CDN for, with that number of digests of its blocks.

        Unless it `is_there` already, the CDN asks clients to have it sent there first.
        """
        file = self.file(data, dc=dc)
        file.cdn = CdnCopy(is_there, digests)
        return file

    def expire_references(self) -> None:
        """Every file reference given out so far is expired; messages have new ones when they are fetched again."""
        with self.lock:
            self.reference_epoch += 1

    # What happens, for the server

    def listen(self, changed: Listener, push: Callable[[Channel, Any], None]) -> Callable[[], None]:
        """Have every change told, in order, under the lock, until the function that this gives is called.

        `push` is called with updates that are no changes.
        """
        both = (changed, push)

        def stop() -> None:
            with self.lock:
                self._listeners.remove(both)

        with self.lock:
            self._listeners.append(both)
        return stop

    def announce(self, channel: Channel, changes: list[Change]) -> None:
        for changed, _ in self._listeners:
            changed(channel, changes)

    def push(self, channel: Channel, update: Any) -> None:
        """Send any update of a channel to all who are connected."""
        with self.lock:
            for _, push in self._listeners:
                push(channel, update)

    # Telegram's forms

    def user(self) -> Any:
        """The account itself."""
        return types.User(
            id=self.user_id, is_self=True, access_hash=4242, first_name="Test", last_name="Account", phone=self.phone
        )

    def chat(self, channel: Channel) -> Any:
        """The channel, as far as the account may see it."""
        if channel.banned or not channel.readable:
            return types.ChannelForbidden(channel.id, channel.access_hash, channel.title, broadcast=True)
        return types.Channel(
            id=channel.id,
            title=channel.title,
            photo=types.ChatPhotoEmpty(),
            date=moment(1_600_000_000),
            left=not channel.member,
            broadcast=True,
            access_hash=channel.access_hash,
            username=channel.username,
        )

    def messages(self, channel: Channel, posts: Iterable[Post]) -> list[Any]:
        return [post.tl(channel.id, self.reference_epoch) for post in posts]

    def update(self, channel: Channel, change: Change) -> Any | None:
        """A change as an update; None for a message that is gone meanwhile."""
        match change.kind:
            case "new" | "edit":
                post = channel.posts.get(change.ids[0])
                if post is None:
                    return None
                kind = types.UpdateNewChannelMessage if change.kind == "new" else types.UpdateEditChannelMessage
                return kind(post.tl(channel.id, self.reference_epoch), change.pts, change.pts_count)
            case "delete":
                return types.UpdateDeleteChannelMessages(channel.id, list(change.ids), change.pts, change.pts_count)
            case "info":
                return types.UpdateChannel(channel.id)


USERNAME = re.compile(r"[A-Za-z]\w{3,31}", re.ASCII)
INVITE = re.compile(r"[A-Za-z0-9_-]{8,64}")
