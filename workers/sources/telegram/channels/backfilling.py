"""Backfill goes on in the background while no channel that gives answers is behind."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from workers.sources.telegram.channels.state import ChannelState
from workers.sources.telegram.history.history import History
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import (
    ChannelFault,
    ConnectionLost,
    Flooded,
    ServerTrouble,
    Unanswered,
    Unreadable,
)
from workers.unforeseen import contained

PAUSE_SECONDS: Final = 0.5
"""Between two pages: 200 messages a second, which Telegram has been seen to allow for hours."""

DONE_SECONDS: Final = 5.0
"""Between two looks whether anything is left, where nothing was."""

AGAIN_SECONDS: Final = 5.0
"""After an answer that was none."""

DEFECT_SECONDS: Final = 300.0
"""Pause after an unforeseen error, in seconds."""


class Backfilling:
    """Backfills the `configured` channels. `on_new` is called when there is something to fetch."""

    def __init__(
        self, configured: list[ChannelState], on_new: Callable[[], None], on_flood: Callable[[float], None]
    ) -> None:
        self._configured = configured
        self._on_new = on_new
        self._on_flood = on_flood
        self._flooded_until = 0.0

    async def run(self, connection: Connection) -> None:
        """Read what was posted before the channels were first seen, until cancelled. Raises ConnectionLost and Hold."""
        await asyncio.sleep(max(0.0, self._flooded_until - time.monotonic()))  # the last connection's, too
        while True:
            history, pause = self._next(), self._pause()
            if history is not None:
                pause = max(pause, await self._read_page(connection, history))
            await asyncio.sleep(pause)

    async def _read_page(self, connection: Connection, history: History) -> float:
        """Read one page of a channel. Returns the seconds to wait with all channels."""
        backfill = history.backfill
        try:
            async with history.lock:
                taken = await backfill.read_page(connection)
            if taken.new:
                self._on_new()
        except Flooded as flood:
            self._on_flood(flood.seconds)
            self._flooded_until = time.monotonic() + flood.seconds
            return flood.seconds
        except (ServerTrouble, Unanswered, ChannelFault, Unreadable):
            backfill.next_at = time.monotonic() + AGAIN_SECONDS  # the others go on
        except ConnectionLost:
            raise
        except Exception as error:
            contained(error, "backfill put off for an unforeseen error", channel=history.id)
            backfill.next_at = time.monotonic() + DEFECT_SECONDS
        return 0.0

    def _pause(self) -> float:
        done = all(channel.readable and not channel.readable.backfill.left() for channel in self._configured)
        return DONE_SECONDS if done else PAUSE_SECONDS

    def _next(self) -> History | None:
        """The channel that the fewest messages have been read of, so that all come along; none while one is behind.

        One that gives no answers is left out: the others would wait for it for ever.
        """
        histories = [one.readable for one in self._configured if one.readable and one.gives_answers]
        if any(history.has_backlog or history.cursor is None for history in histories):
            return None
        now = time.monotonic()
        wanting = (one for one in histories if one.backfill.left() and one.backfill.next_at <= now)
        return min(wanting, key=lambda history: history.backfill.done(), default=None)
