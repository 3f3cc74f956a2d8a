"""One channel, watched: nothing that is posted, edited or deleted there escapes.

The history is the source of truth; whatever else is heard only says that it is time to look. Three things are done, one
at a time:

    catch up     pages upward from the journal's cursor until the newest message is behind it. A page and the cursor
                 enter the journal together, so it goes on where it stopped, whoever stopped it.
    reconcile    the last `reconcile_messages` once more: edits and deletions are not told while one is away, and an id
                 may become visible after a higher one. What is not there any more is asked for by its id before it
                 counts as deleted, and many at once are asked for twice.
    backfill     pages downward from where the channel was first seen, while nothing newer waits.

A history that comes empty may be a server's mistake of a moment: it is believed where nothing speaks against it.
Telegram's servers do not learn of a message all at once: an id that is not there yet may be there a moment later. The
cursor goes past it all the same, and it is asked for again (`young.py`) until it is a minute old. Some servers leave an
id out of an answer instead of saying that nothing is there. That says nothing: no message counts as deleted for it, and
the cursor does not go past it, until it is left out again minutes later (`omitted_ids.py`).

An answer that can't be read (a message newer than our copy of the schema) is halved until the one message is found,
which is passed over and counted as "unreadable".
"""

from __future__ import annotations

import asyncio
import itertools
import math
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

import structlog

from ipc.intake import Taken, take, withdraw
from ipc.journal import Journal
from ipc.posts import BACKFILL, LIVE, MORE, Channel
from ipc.posts import Page as Posts
from workers.sources.telegram.late_ids import LateIds
from workers.sources.telegram.omitted_ids import AGAIN_SECONDS, OmittedIds
from workers.sources.telegram.wire.connection import Connection, Page
from workers.sources.telegram.wire.errors import ServerTrouble, Unreadable
from workers.sources.telegram.wire.media import Message
from workers.sources.telegram.wire.peers import PAGE, Peer

NOWHERE = (1, 0)
"""The range of a page that holds single messages: it covers nothing, and moves no cursor."""

MASS_DELETION = 20
"""So many deletions at once are believed only when the next look finds them again."""

AT_LEAST = 100
"""So many messages are looked at once more when a process begins: its predecessor may have died over a young id."""

EMPTY_SECONDS = 5.0
"""So long after a history that came empty it is asked for again."""

KEPT_KINDS = ("unreadable", "preview")
"""What such a message showed when it was taken stays: nobody knows better, or previews are not asked for any more."""

MOST_PAGES = 10
"""Pages that are read in one go: then it is another channel's turn."""

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Wanted:
    """What is wanted of every channel.

    `backfill_limit`: so many messages, 0 for the whole history; None: none.
    """

    reconcile_messages: int
    backfill_limit: int | None


class History:
    """One channel's way into the journal. Whoever has it do something holds its `lock`.

    `since` (Unix seconds, here): from then on everything is taken, if the channel was never read before. `on_read` is
    told of every message that is read, while its file's reference is fresh. `top` is the newest message that was found
    or that Telegram has named when asked; `told` one that an update told of, until it was looked for.
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
        self.peer = peer
        self.title = peer.title
        self.top = 0
        self.told = 0
        self.count = 0
        self.taken = Taken()
        self.has_more = False
        self.backfill_at = 0.0
        self._journal = journal
        self._wanted = wanted
        self._since = since
        self._young = LateIds()
        self._omitted = OmittedIds()
        self._nothing_below = 0
        self._is_new = True
        self._on_read = on_read
        self._suspects: set[int] = set()
        self._range = journal.channel_range(peer.channel_id)  # nobody but us moves it

    # Where it stands

    @property
    def id(self) -> int:
        return self.peer.channel_id

    @property
    def cursor(self) -> int | None:
        """Every message up to this one is in the journal; None before the channel was first seen."""
        return self._range[1] if self._range else None

    @property
    def behind(self) -> int:
        """How many ids lie between the cursor and the newest message: no fewer than the messages that wait."""
        return max(0, max(self.top, self.told) - (self.cursor or 0))

    @property
    def has_backlog(self) -> bool:
        """Whether it is behind for more than the moment that an update waits: a busy channel always is."""
        return self.top > (self.cursor or 0)

    def backfill_left(self) -> int:
        """How many messages backfill will still read, at most; 0 when it is done or not wanted."""
        limit = self._wanted.backfill_limit
        if self._range is None or limit is None:
            return 0
        floor, _, backfilled = self._range
        return max(0, min(floor - 1, limit - backfilled)) if limit else max(0, floor - 1)

    def backfilled(self) -> int:
        """How many messages backfill has read so far."""
        return self._range[2] if self._range else 0

    # Catching up

    async def catch_up(self, connection: Connection) -> Taken:
        """Take everything after the cursor, or the first pages of it: `has_more` says so then."""
        if self.cursor is None:
            await self._begin(connection)
        cursor = self.cursor
        assert cursor is not None, "it has just begun"
        taken = await self._ask_again(connection)
        told = self.told
        self.has_more = False
        for number in itertools.count(1):
            page = await self._readable_after(connection, cursor)
            fresh = self._settled([one for one in page if one.id > cursor])
            if not fresh:
                break
            taken += self._take(fresh, cursor + 1, fresh[-1].id)
            self._young.note(fresh, cursor + 1, fresh[-1].id, time.time() + connection.clock_ahead)
            cursor = fresh[-1].id
            if len(page) < PAGE and cursor >= self.top:
                break
            if number == MOST_PAGES:
                self.has_more = True
                return taken
        if cursor < self.top:
            taken += await self._prove(connection, cursor, self.top)
        self.top = max(self.top, cursor)
        if self.told == told:
            self.told = 0  # read, or not there: the monitor finds what comes late
        return taken

    async def _begin(self, connection: Connection) -> None:
        """The channel is read for the first time ever: begin with what was posted since it was first configured.

        Only where that begins is found out here. The rest is as after any outage: page by page, and it goes on where it
        stopped.
        """
        # By Telegram's clock, which dates the messages. Both tell whole seconds, rounded down: at the worst, those of a
        # second or two before are taken as well.
        since = math.floor(self._since + await connection.time() - time.time())
        cursor = 0
        for skip in range(PAGE):
            try:
                page = await connection.before_time(self.peer, since, skip=skip)
            except Unreadable:
                continue  # the one below it will do: these pass as unreadable, and not as photos
            self._learn(page)
            cursor = max((one.id for one in page.messages), default=0)
            if not page.messages:
                await self._require_nothing_before(connection, since)
            break
        else:
            raise Unreadable(f"the last {PAGE} messages before it was configured")
        self._take([], cursor + 1, cursor)
        log.info("channel seen for the first time", channel=self.id, title=self.title, cursor=cursor)

    async def _require_nothing_before(self, connection: Connection, since: int) -> None:
        """Raises ServerTrouble if it is not true that the channel begins later: all of it would be taken as live."""
        first = [one for one in await self._readable_after(connection, 0) if one.kind not in ("absent", "unreadable")]
        if not first and (top := (await connection.tops([self.peer])).get(self.id)):
            first = [one for one in await self._by_ids(connection, [top]) if one.kind != "absent"]
            if first:
                raise ServerTrouble(f"its history came empty, and message {top} is there")
        if any(one.at < since for one in first):
            raise ServerTrouble("its history came empty, and has messages that are older")

    # Ids that may be there a moment later

    def seconds_to_ask(self) -> float:
        """In how many seconds a young or omitted id is to be asked for again; infinite without any."""
        return min(self._young.seconds_to_ask(), self._omitted.seconds_to_ask(time.monotonic()))

    async def _ask_again(self, connection: Connection) -> Taken:
        """Ask for the young ids whose time has come, and for those that were left out of an answer."""
        due = self._young.due()[:PAGE]
        found = await self._by_ids(connection, due)
        there = [one for one in found if one.kind != "absent"]
        self._young.asked(due, {one.id for one in there})
        taken = self._take(there, *NOWHERE) if there else Taken()
        return taken + await self.look_at(connection, self._omitted.due(time.monotonic())[:PAGE], everywhere=True)

    async def _newest(self, connection: Connection) -> list[Message]:
        """The newest messages that can be read; those above them have no id that is known."""
        for skip in range(PAGE):
            try:
                page = await connection.before(self.peer, 0, 1 if skip else PAGE, skip=max(0, skip - 1))
            except Unreadable:
                continue
            self._learn(page)
            return list(page.messages)
        raise Unreadable(f"the newest {PAGE} messages")

    async def _readable_after(self, connection: Connection, cursor: int) -> list[Message]:
        """The messages of the next page, ascending; one by one where the page can't be read as a whole."""
        try:
            page = await connection.after(self.peer, cursor)
        except Unreadable as error:
            log.warning("a page can't be read, its messages are asked for one by one", channel=self.id, why=str(error))
            self.top = max([self.top, *(one.id for one in await self._newest(connection))])
            found = await self._by_ids(connection, range(cursor + 1, cursor + 1 + PAGE))
            first_open = self._omitted.first_open(cursor + 1, cursor + PAGE)
            return [one for one in found if first_open is None or one.id < first_open]
        self._learn(page)
        return list(page.messages)

    def _settled(self, messages: list[Message]) -> list[Message]:
        """Without the ids at the end that nobody may have posted under yet: absent, and beyond the newest message."""
        newest = max([self.top, *(one.id for one in messages if one.kind != "absent")])
        return [one for one in messages if one.id <= newest]

    async def _prove(self, connection: Connection, cursor: int, top: int) -> Taken:
        """The history ended before the newest message: ask for each id between, so that none is taken for granted."""
        taken = Taken()
        while cursor < top:
            high = min(cursor + PAGE, top)
            found = await self._by_ids(connection, range(cursor + 1, high + 1))
            first_open = self._omitted.first_open(cursor + 1, high)
            if first_open is not None:
                taken += self._take([one for one in found if one.id > first_open], *NOWHERE)
                high, found = first_open - 1, [one for one in found if one.id < first_open]
            taken += self._take(found, cursor + 1, high)
            self._young.note(found, cursor + 1, high, time.time() + connection.clock_ahead)
            cursor = high
            if first_open is not None:
                break
        return taken

    async def _by_ids(self, connection: Connection, message_ids: Sequence[int]) -> list[Message]:
        """These messages, absent ones included; halves an answer that can't be read until the one is found.

        Ids that were left out for the first time are not among them.
        """
        if not message_ids:
            return []
        try:
            page = await connection.by_ids(self.peer, message_ids)
        except Unreadable as error:
            if len(message_ids) == 1:
                one = message_ids[0]
                log.error("message can't be read and is passed over", channel=self.id, message=one, why=str(error))
                self._omitted.note([one], {one}, time.monotonic())
                return [Message(one, "unreadable")]
            middle = len(message_ids) // 2
            return [
                *await self._by_ids(connection, message_ids[:middle]),
                *await self._by_ids(connection, message_ids[middle:]),
            ]
        newly = self._omitted.note(message_ids, {one.id for one in page.messages}, time.monotonic())
        if newly:
            log.warning("left out of two answers, minutes apart: they count as absent", channel=self.id, messages=newly)
        absent = [Message(one, "absent") for one in self._omitted.absent(message_ids)]
        return sorted([*page.messages, *absent], key=lambda one: one.id)

    def _take(self, messages: Sequence[Message], low: int, high: int, priority: int = LIVE) -> Taken:
        """Record these messages, which are all that there are from `low` to `high`."""
        for one in messages:
            self._on_read(self.id, one)
        kinds = Counter(one.kind for one in messages if one.post is None and one.kind != "absent")
        kinds += Counter({MORE: sum(one.more for one in messages)})  # if there are any
        posts = tuple(one.post for one in messages if one.post)
        page = Posts(Channel(self.id, self.title), posts, low, high, dict(kinds), is_present=True, priority=priority)
        taken = take(self._journal, page, time.time())
        self._range = self._journal.channel_range(self.id)
        self.taken += taken
        return taken

    def _learn(self, page: Page) -> None:
        self.title = page.title
        self.count = page.count

    # Edits and deletions

    async def reconcile(self, connection: Connection) -> Taken:
        """Look at the last messages once more, for what was edited or deleted unseen."""
        if self._range is None:
            return Taken()
        floor, cursor, _ = self._range
        wanted = max(self._wanted.reconcile_messages, AT_LEAST if self._is_new else 0)
        taken, left, upper = Taken(), wanted, cursor + 1
        while left > 0 and upper > floor:
            try:
                page = await connection.before(self.peer, upper, min(PAGE, left))
            except Unreadable:
                low = max(floor, upper - min(PAGE, left))
                messages = await self._by_ids(connection, range(low, upper))
            else:
                messages = [one for one in page.messages if one.id >= floor]  # below it, backfill has not been
                low = messages[0].id if len(messages) == len(page.messages) > 0 else floor
            taken += await self._compare(connection, messages, low, upper - 1, wanted)
            left, upper = left - max(1, len(messages)), low
        self._is_new = False
        return taken

    async def look_at(self, connection: Connection, message_ids: Iterable[int], *, everywhere: bool = False) -> Taken:
        """Look at messages that were said to be edited or deleted, if they are in the range that is known.

        `everywhere`: also if they are not; there are jobs of them.
        """
        floor, cursor, _ = self._range or (1, 0, 0)
        taken = Taken()
        wanted = sorted(one for one in set(message_ids) if everywhere or floor <= one <= cursor)
        for start in range(0, len(wanted), PAGE):
            messages = await self._by_ids(connection, wanted[start : start + PAGE])
            taken += self._take(messages, *NOWHERE)
            self._withdraw(one.id for one in messages if one.post is None and one.kind not in KEPT_KINDS)
        return taken

    async def _compare(
        self, connection: Connection, messages: Sequence[Message], low: int, high: int, most: int
    ) -> Taken:
        """Hold what the journal has between two ids against what is there now.

        No more than the last `most` are missed at once: where a server has lost sight of a whole history for a moment,
        all of it would be asked for, a hundred messages at a time.
        """
        taken = self._take(messages, *NOWHERE)
        seen = {one.id for one in messages if one.post or one.kind in KEPT_KINDS}
        missing = sorted(self._journal.messages_between(self.id, low, high) - seen)[-most:]
        if len(missing) > MASS_DELETION and not set(missing) <= self._suspects:
            log.warning(
                "many messages are gone; they are looked for again before that is believed",
                channel=self.id,
                messages=len(missing),
            )
            self._suspects |= set(missing)
            return taken
        self._suspects -= set(range(low, high + 1))
        return taken + await self.look_at(connection, missing) if missing else taken

    def _withdraw(self, message_ids: Iterable[int]) -> None:
        gone = withdraw(self._journal, self.id, message_ids, time.time())
        if gone:
            log.info("messages deleted", channel=self.id, messages=gone)

    # Backfill

    async def backfill(self, connection: Connection) -> Taken:
        """Read one page downward from the floor."""
        left = self.backfill_left()
        if self._range is None or left <= 0:
            return Taken()
        floor = self._range[0]
        low = max(1, floor - min(PAGE, left))
        try:
            page = await connection.before(self.peer, floor, min(PAGE, left))
        except Unreadable:
            return self._take_below(await self._by_ids(connection, range(low, floor)), low, floor - 1)
        self._learn(page)
        if page.messages:
            return self._take(page.messages, page.messages[0].id, floor - 1, BACKFILL)
        if self._nothing_below == floor:
            return self._take([], 1, floor - 1, BACKFILL)  # twice nothing below: this was the beginning
        found = await self._by_ids(connection, range(low, floor))
        if any(one.kind != "absent" for one in found):
            return self._take_below(found, low, floor - 1)
        self._nothing_below = floor
        self.backfill_at = time.monotonic() + EMPTY_SECONDS
        return Taken()

    def _take_below(self, found: Sequence[Message], low: int, high: int) -> Taken:
        """Take what was asked for by ids, once something is known of each."""
        if self._omitted.first_open(low, high) is None:
            return self._take(found, low, high, BACKFILL)
        self.backfill_at = time.monotonic() + AGAIN_SECONDS
        return Taken()
