"""One channel's history: nothing that is posted, edited or deleted there escapes.

The history is the source of truth; an update only says that it is time to look. Three things are done, one at a time:

    catch up     pages upward from the journal's cursor until the newest message is behind it. A page and the cursor
                 enter the journal together, so it goes on where it stopped, whatever stopped it.
    reconcile    the last messages once more (`reconciliation.py`): edits, deletions, and ids that came late.
    backfill     pages downward from where the channel was first seen (`backfill.py`), while nothing newer waits.

A history that comes empty may be a server's mistake of a moment: it is believed where nothing speaks against it.
Telegram's servers do not learn of a message all at once: an id that is not there yet may be there a moment later. The
cursor goes past it all the same, and it is asked for again (`late_ids.py`) until it is a minute old. The cursor does
not go past an id that an answer has left out (`omitted_ids.py`).
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass

import structlog

from ipc.editing import NO_EDITING, Editing
from ipc.intake import Taken
from ipc.journal import Journal
from workers.sources.telegram.history.backfill import Backfill
from workers.sources.telegram.history.late_ids import LateIds
from workers.sources.telegram.history.reader import NOWHERE, ChannelReader
from workers.sources.telegram.history.reconciliation import Reconciliation
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import ServerTrouble, Unreadable
from workers.sources.telegram.wire.media import Message
from workers.sources.telegram.wire.peers import PAGE, Peer

MAX_PAGES = 10
"""Pages that are read in one go: then it is another channel's turn."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of every channel. `backfill_limit`: messages, 0 for the whole history; None: none."""

    reconcile_messages: int
    backfill_limit: int | None
    editing: Editing = NO_EDITING


class History:
    """One channel's way into the journal. Each of its actions needs its `lock`.

    `since` (Unix seconds, here): from then on everything is taken, if the channel was never read before. `announced` is
    the newest id that an update has brought, until it was looked for. `has_more`: catch-up has stopped before the end.
    """

    def __init__(
        self,
        journal: Journal,
        peer: Peer,
        wanted: Wanted,
        since: float,
        on_read: Callable[[int, Message], None] = lambda *_: None,
    ) -> None:
        self.lock = asyncio.Lock()
        self.announced = 0
        self.has_more = False
        self.reader = ChannelReader(journal, peer, on_read, wanted.editing)
        self.backfill = Backfill(self.reader, wanted.backfill_limit)
        self._reconciliation = Reconciliation(self.reader, wanted.reconcile_messages)
        self._late = LateIds()
        self._since = since

    # How far it is read

    @property
    def id(self) -> int:
        return self.reader.id

    @property
    def peer(self) -> Peer:
        return self.reader.peer

    @property
    def title(self) -> str:
        return self.reader.title

    @property
    def cursor(self) -> int | None:
        """Every message up to this one is in the journal; None before the channel was first seen."""
        return self.reader.known_range[1] if self.reader.known_range else None

    @property
    def behind(self) -> int:
        """How many ids lie between the cursor and the newest message: no fewer than the messages that wait."""
        return max(0, max(self.reader.top, self.announced) - (self.cursor or 0))

    @property
    def has_backlog(self) -> bool:
        """Whether it is behind for more than the moment that an update waits: a busy channel always is."""
        return self.reader.top > (self.cursor or 0)

    # Catching up

    async def catch_up(self, connection: Connection) -> Taken:
        """Take everything after the cursor, or the first pages of it: `has_more` says so then."""
        if self.cursor is None:
            await self._begin(connection)
        cursor = self.cursor
        assert cursor is not None, "it has just begun"
        taken = await self._ask_again(connection)
        announced = self.announced
        self.has_more = False
        for number in itertools.count(1):
            page = await self.reader.after(connection, cursor)
            fresh = self._settled([one for one in page if one.id > cursor])
            if not fresh:
                break
            taken += self._take(connection, fresh, cursor + 1, fresh[-1].id)
            cursor = fresh[-1].id
            if len(page) < PAGE and cursor >= self.reader.top:
                break
            if number == MAX_PAGES:
                self.has_more = True
                return taken
        if cursor < self.reader.top:
            taken += await self._prove(connection, cursor, self.reader.top)
        self.reader.top = max(self.reader.top, cursor)
        if self.announced == announced:
            self.announced = 0  # read, or not there: the monitor finds what comes late
        return taken

    def _take(self, connection: Connection, messages: list[Message], low: int, high: int) -> Taken:
        """Record the messages from `low` to `high`, and the ids between that may still come."""
        taken = self.reader.take(messages, low, high)
        self._late.note(messages, low, high, time.time() + connection.clock_ahead)
        return taken

    def _settled(self, messages: list[Message]) -> list[Message]:
        """The messages without ids at the end that may not be posted yet: absent, and beyond the newest message."""
        newest = max([self.reader.top, *(one.id for one in messages if one.kind != "absent")])
        return [one for one in messages if one.id <= newest]

    async def _prove(self, connection: Connection, cursor: int, top: int) -> Taken:
        """The history ended before the newest message: ask for each id between, so that none is taken for granted."""
        taken = Taken()
        while cursor < top:
            high = min(cursor + PAGE, top)
            found = await self.reader.by_ids(connection, range(cursor + 1, high + 1))
            first_open = self.reader.omitted.first_open(cursor + 1, high)
            if first_open is not None:
                taken += self.reader.take([one for one in found if one.id > first_open], *NOWHERE)
                high, found = first_open - 1, [one for one in found if one.id < first_open]
            taken += self._take(connection, found, cursor + 1, high)
            cursor = high
            if first_open is not None:
                break
        return taken

    # The first time

    async def _begin(self, connection: Connection) -> None:
        """Find where to begin a channel that was never read: at what was posted since it was first configured.

        Only that is found out here. The rest is as after any outage: page by page, and it goes on where it stopped.
        """
        # By Telegram's clock, which dates the messages. Both give whole seconds, rounded down: at the worst, those of a
        # second or two before are taken as well.
        since = math.floor(self._since + await connection.time() - time.time())
        cursor = 0
        for skip in range(PAGE):
            try:
                page = await connection.before_time(self.peer, since, skip=skip)
            except Unreadable:
                continue  # the one below it will do: these pass as unreadable, and not as photos
            self.reader.learn(page)
            cursor = max((one.id for one in page.messages), default=0)
            if not page.messages:
                await self._require_nothing_before(connection, since)
            break
        else:
            raise Unreadable(f"the last {PAGE} messages before it was configured")
        self.reader.take([], cursor + 1, cursor)
        log.info("channel.begun", channel=self.id, title=self.title, cursor=cursor)

    async def _require_nothing_before(self, connection: Connection, since: int) -> None:
        """Raises ServerTrouble if it is not true that the channel begins later: all of it would be taken as live."""
        first = [one for one in await self.reader.after(connection, 0) if one.kind not in ("absent", "unreadable")]
        if not first and (top := (await connection.tops([self.peer])).get(self.id)):
            first = [one for one in await self.reader.by_ids(connection, [top]) if one.kind != "absent"]
            if first:
                raise ServerTrouble(f"its history came empty, and message {top} is there")
        if any(one.at < since for one in first):
            raise ServerTrouble("its history came empty, and has messages that are older")

    # Ids that may be there a moment later

    def seconds_to_ask(self) -> float:
        """Seconds until a late or omitted id is to be asked for again; infinite without any."""
        return min(self._late.seconds_to_ask(), self.reader.omitted.seconds_to_ask(time.monotonic()))

    async def _ask_again(self, connection: Connection) -> Taken:
        """Ask for the late ids that are due, and for those that were left out of an answer."""
        due = self._late.due()[:PAGE]
        found = await self.reader.by_ids(connection, due)
        there = [one for one in found if one.kind != "absent"]
        self._late.asked(due, {one.id for one in there})
        taken = self.reader.take(there, *NOWHERE) if there else Taken()
        omitted = self.reader.omitted.due(time.monotonic())[:PAGE]
        return taken + await self.look_at(connection, omitted, everywhere=True)

    # Edits and deletions

    async def reconcile(self, connection: Connection) -> Taken:
        """Look at the last messages once more, for what was edited or deleted unseen."""
        return await self._reconciliation.reconcile(connection)

    async def look_at(self, connection: Connection, message_ids: Iterable[int], *, everywhere: bool = False) -> Taken:
        """Look at messages that were said to be edited or deleted; `everywhere`: also outside of the known range."""
        return await self._reconciliation.look_at(connection, message_ids, everywhere=everywhere)
