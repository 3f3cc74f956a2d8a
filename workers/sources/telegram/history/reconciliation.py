"""Edits and deletions: the newest messages of a channel are read once more, and held against the journal.

Telegram does not report them to a program that was away, and an id may become visible after a higher one. What is
missing is asked for by its id before it counts as deleted, and many at once must be missing twice. Telegram's answer
that this very message is empty, or has another content, is its word; that it leaves the id out again and again is not
(`omitted_ids.py`): then the row becomes a tombstone, and the objects are left to `gc`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import structlog

from ipc.intake import Taken
from workers.sources.telegram.history.reader import NOWHERE, ChannelReader
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import Unreadable
from workers.sources.telegram.wire.media import Message
from workers.sources.telegram.wire.peers import PAGE

MASS_DELETION = 20
"""More deletions at once than this are believed only when the next look finds them again."""

MIN_FIRST_MESSAGES = 100
"""Messages that a new process reads again at the least: its predecessor may have died over a late id."""

log = structlog.get_logger()


class Reconciliation:
    """The reconciliation of one channel's last `wanted` messages."""

    def __init__(self, reader: ChannelReader, wanted: int) -> None:
        self._reader = reader
        self._wanted = wanted
        self._is_first = True
        self._suspects: set[int] = set()

    async def reconcile(self, connection: Connection) -> Taken:
        """Look at the last messages once more, for what was edited or deleted unseen."""
        if self._reader.known_range is None:
            return Taken()
        floor, cursor, _ = self._reader.known_range
        wanted = max(self._wanted, MIN_FIRST_MESSAGES if self._is_first else 0)
        taken, left, upper = Taken(), wanted, cursor + 1
        while left > 0 and upper > floor:
            try:
                page = await connection.before(self._reader.peer, upper, min(PAGE, left))
            except Unreadable:
                low = max(floor, upper - min(PAGE, left))
                messages = await self._reader.by_ids(connection, range(low, upper))
            else:
                messages = [one for one in page.messages if one.id >= floor]  # below it, backfill has not been
                low = messages[0].id if len(messages) == len(page.messages) > 0 else floor
            taken += await self._compare(connection, messages, low, upper - 1, wanted)
            left, upper = left - max(1, len(messages)), low
        self._is_first = False
        return taken

    async def look_at(self, connection: Connection, message_ids: Iterable[int], *, everywhere: bool = False) -> Taken:
        """Look at messages that were said to be edited or deleted, if they are in the range that is known.

        `everywhere`: also if they are not; there are jobs of them.
        """
        floor, cursor, _ = self._reader.known_range or (1, 0, 0)
        taken = Taken()
        wanted = sorted(one for one in set(message_ids) if everywhere or floor <= one <= cursor)
        for start in range(0, len(wanted), PAGE):
            messages = await self._reader.by_ids(connection, wanted[start : start + PAGE])
            taken += self._reader.take(messages, *NOWHERE)
            gone = [one for one in messages if one.post is None and not self._reader.keeps(one)]
            for is_told in (True, False):
                self._reader.withdraw([one.id for one in gone if one.is_told == is_told], is_told=is_told)
        return taken

    async def _compare(
        self, connection: Connection, messages: Sequence[Message], low: int, high: int, most: int
    ) -> Taken:
        """Hold what the journal has between two ids against what is there now.

        No more than the last `most` are missed at once: where a server has lost sight of a whole history for a moment,
        all of it would be asked for, a hundred messages at a time.
        """
        taken = self._reader.take(messages, *NOWHERE)
        seen = {one.id for one in messages if one.post or self._reader.keeps(one)}
        missing = sorted(self._reader.recorded_between(low, high) - seen)[-most:]
        if len(missing) > MASS_DELETION and not set(missing) <= self._suspects:
            log.warning("messages.missed", channel=self._reader.id, messages=len(missing))
            self._suspects |= set(missing)
            return taken
        self._suspects -= set(range(low, high + 1))
        return taken + await self.look_at(connection, missing) if missing else taken
