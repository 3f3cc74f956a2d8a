"""One channel's messages: read page by page, or by their ids, and recorded.

An answer that can't be read (a message newer than our copy of the schema) is halved until the one message is found; it
is passed over and counted as "unreadable". Some servers leave an id out of an answer instead of saying that nothing is
there. That says nothing: such an id is open (`omitted_ids.py`) until it is left out again minutes later.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence

import structlog

from ipc.editing import NO_EDITING, Editing
from ipc.intake import Taken, take, withdraw
from ipc.journal import Journal, lookup
from ipc.posts import LIVE, MORE, Channel, Page
from workers.sources.telegram.history.omitted_ids import OmittedIds
from workers.sources.telegram.wire.connection import Connection, HistoryPage
from workers.sources.telegram.wire.errors import Unreadable
from workers.sources.telegram.wire.media import VIDEO_KINDS, Message
from workers.sources.telegram.wire.peers import PAGE, Peer

KEPT_KINDS = ("unreadable", "preview")
"""What such a message showed when it was taken stays: nothing better is known, or previews are not taken any more."""

NOWHERE = (1, 0)
"""The range of a page that holds single messages: it covers nothing, and moves no cursor."""

log = structlog.get_logger()


class ChannelReader:
    """`on_read` gets every message that is recorded, while its file's reference is fresh.

    `top` is the newest message that was found, or that Telegram has named when asked. `known_range` is the journal's:
    floor, cursor and number of messages backfilled; None before the channel was first seen.
    """

    def __init__(
        self,
        journal: Journal,
        peer: Peer,
        on_read: Callable[[int, Message], None],
        editing: Editing = NO_EDITING,
    ) -> None:
        self.peer = peer
        self.title = peer.title
        self.name = peer.name
        self.top = 0
        self.omitted = OmittedIds()
        self.known_range = lookup.channel_range(journal, peer.channel_id)  # only this process moves it
        self._journal = journal
        self._on_read = on_read
        self._editing = editing

    @property
    def id(self) -> int:
        return self.peer.channel_id

    # Reading

    async def newest(self, connection: Connection) -> list[Message]:
        """The newest messages that can be read; those above them have no id that is known."""
        for skip in range(PAGE):
            try:
                page = await connection.before(self.peer, 0, 1 if skip else PAGE, skip=max(0, skip - 1))
            except Unreadable:
                continue
            self.learn(page)
            return list(page.messages)
        raise Unreadable(f"the newest {PAGE} messages")

    async def after(self, connection: Connection, cursor: int) -> list[Message]:
        """The messages of the next page, ascending; one by one where the page can't be read as a whole."""
        try:
            page = await connection.after(self.peer, cursor)
        except Unreadable as error:
            log.warning("page.split", channel=self.id, why=str(error))
            self.top = max([self.top, *(one.id for one in await self.newest(connection))])
            found = await self.by_ids(connection, range(cursor + 1, cursor + 1 + PAGE))
            first_open = self.omitted.first_open(cursor + 1, cursor + PAGE)
            return [one for one in found if first_open is None or one.id < first_open]
        self.learn(page)
        return list(page.messages)

    async def by_ids(self, connection: Connection, message_ids: Sequence[int]) -> list[Message]:
        """The messages with these ids, absent ones included, but for ids that were left out for the first time."""
        if not message_ids:
            return []
        try:
            page = await connection.by_ids(self.peer, message_ids)
        except Unreadable as error:
            if len(message_ids) == 1:
                return [self._pass_over(message_ids[0], error)]
            middle = len(message_ids) // 2
            return [
                *await self.by_ids(connection, message_ids[:middle]),
                *await self.by_ids(connection, message_ids[middle:]),
            ]
        newly_absent = self.omitted.note(message_ids, {one.id for one in page.messages}, time.monotonic())
        if newly_absent:
            log.warning("messages.omitted", channel=self.id, ids=newly_absent)
        absent = [Message(one, "absent", is_told=False) for one in self.omitted.absent(message_ids)]
        return sorted([*page.messages, *absent], key=lambda one: one.id)

    def _pass_over(self, message_id: int, error: Unreadable) -> Message:
        log.error("message.passed_over", channel=self.id, message=message_id, why=str(error))
        self.omitted.note([message_id], {message_id}, time.monotonic())
        return Message(message_id, "unreadable")

    def learn(self, page: HistoryPage) -> None:
        """The channel may have another title or name by now."""
        self.title, self.name = page.title, page.name

    # Recording

    def take(self, messages: Sequence[Message], low: int, high: int, priority: int = LIVE) -> Taken:
        """Record these messages, which are all messages from `low` to `high`."""
        for one in messages:
            self._on_read(self.id, one)
        kinds = Counter(one.kind for one in messages if one.post is None and one.kind != "absent")
        kinds += Counter({MORE: sum(one.more for one in messages)})  # if there are any
        posts = tuple(one.post for one in messages if one.post)
        channel = Channel(self.id, self.title, self.name)
        page = Page(channel, posts, low, high, dict(kinds), is_present=True, priority=priority)
        taken = take(self._journal, page, time.time(), self._editing)
        self.known_range = lookup.channel_range(self._journal, self.id)
        return taken

    def keeps(self, message: Message) -> bool:
        """Whether what the message showed when it was taken stays, though nothing of it is taken now."""
        if message.kind not in VIDEO_KINDS:
            return message.kind in KEPT_KINDS
        known = lookup.known(self._journal, self.id, message.id)  # a photo that became a video is gone
        return known is not None and known.kind == "video"

    def withdraw(self, message_ids: Iterable[int], *, is_told: bool) -> None:
        """Record that these are gone, or have no photo any more. `is_told`: Telegram has said so of each."""
        gone = withdraw(self._journal, self.id, message_ids, time.time(), is_told=is_told)
        if gone:
            log.info("messages.deleted", channel=self.id, ids=gone)

    def recorded_between(self, low: int, high: int) -> set[int]:
        """The ids from `low` to `high` that the journal has a picture of, deleted ones aside."""
        return lookup.messages_between(self._journal, self.id, low, high)
