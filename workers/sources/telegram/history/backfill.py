"""Backfill: what a channel has from before it was first seen, read downward page by page."""

from __future__ import annotations

import time
from collections.abc import Sequence

from ipc.intake import Taken
from ipc.posts import BACKFILL
from workers.sources.telegram.history.omitted_ids import AGAIN_SECONDS
from workers.sources.telegram.history.reader import ChannelReader
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import Unreadable
from workers.sources.telegram.wire.media import Message
from workers.sources.telegram.wire.peers import PAGE

EMPTY_SECONDS = 5.0
"""Pause after a history that came empty, in seconds: that may be a server's mistake of a moment."""


class Backfill:
    """The backfill of one channel. `limit`: number of messages, 0 for the whole history, None for nothing.

    `next_at` (monotonic): no page is due before.
    """

    def __init__(self, reader: ChannelReader, limit: int | None) -> None:
        self.next_at = 0.0
        self._reader = reader
        self._limit = limit
        self._nothing_below = 0

    def left(self) -> int:
        """Number of messages that are still to be read, at most; 0 when it is done or not wanted."""
        if self._reader.known_range is None or self._limit is None:
            return 0
        floor, _, done = self._reader.known_range
        return max(0, min(floor - 1, self._limit - done)) if self._limit else max(0, floor - 1)

    def done(self) -> int:
        """Number of messages that have been read so far."""
        return self._reader.known_range[2] if self._reader.known_range else 0

    async def read_page(self, connection: Connection) -> Taken:
        """Read one page downward from the floor."""
        left = self.left()
        if self._reader.known_range is None or left <= 0:
            return Taken()
        floor = self._reader.known_range[0]
        low = max(1, floor - min(PAGE, left))
        try:
            page = await connection.before(self._reader.peer, floor, min(PAGE, left))
        except Unreadable:
            return self._take_below(await self._reader.by_ids(connection, range(low, floor)), low, floor - 1)
        self._reader.learn(page)
        if page.messages:
            return self._reader.take(page.messages, page.messages[0].id, floor - 1, BACKFILL)
        if self._nothing_below == floor:
            return self._reader.take([], 1, floor - 1, BACKFILL)  # twice nothing below: this was the beginning
        found = await self._reader.by_ids(connection, range(low, floor))
        if any(one.kind != "absent" for one in found):
            return self._take_below(found, low, floor - 1)
        self._nothing_below = floor
        self.next_at = time.monotonic() + EMPTY_SECONDS
        return Taken()

    def _take_below(self, found: Sequence[Message], low: int, high: int) -> Taken:
        """Take what was asked for by ids, once something is known of each."""
        if self._reader.omitted.first_open(low, high) is None:
            return self._reader.take(found, low, high, BACKFILL)
        self.next_at = time.monotonic() + AGAIN_SECONDS
        return Taken()
