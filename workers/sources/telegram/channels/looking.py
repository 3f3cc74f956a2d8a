"""A task for each channel looks at it when there is a reason: a hint, the monitor, or `reconcile_seconds` gone by.

The first hint is followed at once, those that come in a burst twice a second. A channel that can't be read keeps no
other one from being read; it is tried again by and by, and the reason is reported: a fault that is its own at once, an
outage when it lasts.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Final

import structlog

from ipc.intake import Taken
from ipc.journal import Journal
from workers.sources.telegram.channels.finding import find, forget_hash
from workers.sources.telegram.channels.state import HINT_PAUSE_SECONDS, IT_IS_TRIED, ChannelState
from workers.sources.telegram.history.history import History, Wanted
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import (
    OUTDATED,
    ChannelFault,
    ConnectionLost,
    Flooded,
    ServerTrouble,
    Unanswered,
    UnknownChannel,
    Unreadable,
)
from workers.sources.telegram.wire.media import Message
from workers.unforeseen import contained

AGAIN_SECONDS: Final = 5.0
"""After an answer that was none."""

FAULT_SECONDS: Final = 300.0
"""How often a channel that can't be read is tried again."""

LOOKS_AT_ONCE: Final = 4
"""Channels that are looked at at the same time."""

log = structlog.get_logger()


class Looking:
    """Looks at the `configured` channels.

    `on_new` is called when there is something to fetch, `on_row` when only a row has changed, `on_read` with every
    message that is read, `on_doubt` when a request got no answer, `on_flood` when Telegram asks to wait for seconds.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        configured: list[ChannelState],
        wanted: Wanted,
        reconcile_seconds: float,
        on_new: Callable[[], None],
        on_row: Callable[[], None],
        on_read: Callable[[int, Message], None],
        on_doubt: Callable[[], None],
        on_flood: Callable[[float], None],
    ) -> None:
        self._journal = journal
        self._configured = configured
        self._wanted = wanted
        self._reconcile_seconds = reconcile_seconds
        self._on_new = on_new
        self._on_row = on_row
        self._on_read = on_read
        self._on_doubt = on_doubt
        self._on_flood = on_flood
        self._free = asyncio.Semaphore(LOOKS_AT_ONCE)

    async def keep(self, connection: Connection, channel: ChannelState) -> None:
        """Look at one channel whenever there is reason to, until cancelled. Raises ConnectionLost and Hold."""
        while True:
            # A flood is waited out whatever hint comes, and on whatever connection: asking again prolongs it.
            await asyncio.sleep(max(0.0, max(channel.flooded_until, channel.rest_until) - time.monotonic()))
            if channel.is_hinted:
                await asyncio.sleep(max(0.0, channel.looked_at + HINT_PAUSE_SECONDS - time.monotonic()))
            channel.wake.clear()
            channel.is_hinted, channel.looked_at = False, time.monotonic()
            async with self._free:
                pause = await self._try_to_look(connection, channel)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await channel.wake.wait()

    async def _try_to_look(self, connection: Connection, channel: ChannelState) -> float:
        """Look at one channel. Returns the seconds until it needs another look, unless there is a reason."""
        hints, channel.hints = channel.hints, set()
        try:
            pause = await self._look(connection, channel, hints)
            hints = set()
        except ConnectionLost:
            raise
        except Exception as error:
            pause = self._note_trouble(connection, channel, error)
        finally:
            channel.hints |= hints  # whatever came in between: the connection may have been lost
        return pause

    def _note_trouble(self, connection: Connection, channel: ChannelState, error: Exception) -> float:
        """Note why the channel could not be looked at. Returns the seconds until the next try."""
        match error:
            case Flooded():
                self._on_flood(error.seconds)
                log.warning("channel.flooded", channel=str(channel.address), seconds=error.seconds)
                channel.flooded_until = time.monotonic() + error.seconds
                return 0.0
            case UnknownChannel():
                # The first time, the access hash may be another account's: it is resolved anew.
                pause = FAULT_SECONDS if channel.fault else AGAIN_SECONDS
                forget_hash(self._journal, channel, connection.account_id)
                channel.close()
                _note_fault(channel, error)
                return pause
            case ChannelFault():
                _note_fault(channel, error)
                return FAULT_SECONDS
            case ServerTrouble() | Unanswered() | Unreadable():
                channel.has_trouble(str(error), OUTDATED if isinstance(error, Unreadable) else IT_IS_TRIED)
                log.warning("channel.postponed", channel=str(channel.address), why=str(error))
                if isinstance(error, Unanswered):
                    self._on_doubt()
                return AGAIN_SECONDS
            case _:
                what = "channel put off for an unforeseen error"
                return channel.has_defect(str(contained(error, what, channel=str(channel.address))))

    async def _look(self, connection: Connection, channel: ChannelState, hints: set[int]) -> float:
        if channel.history is None or channel.fault:
            channel.history = await self._open(connection, channel)
        history = channel.history
        async with history.lock:
            taken = Taken()
            if time.monotonic() >= channel.reconcile_at:
                # First: the last messages that are known, however many new ones an outage has brought.
                taken += await history.reconcile(connection)
                channel.reconcile_at = time.monotonic() + self._reconcile_seconds
            taken += await history.catch_up(connection)
            if hints:
                taken += await history.look_at(connection, hints)
        channel.is_well()
        if history.has_more:
            channel.wake.set()
        if taken.new or taken.edited:
            self._on_new()
        if hints or taken.edited:
            self._on_row()
        return max(0.0, min(channel.reconcile_at - time.monotonic(), history.seconds_to_ask()))

    async def _open(self, connection: Connection, channel: ChannelState) -> History:
        """The channel's history; the one that there was, if it is still the same channel."""
        peer = await find(connection, self._journal, channel, self._configured)
        if channel.history is not None and channel.history.id == peer.channel_id:
            channel.history.reader.peer = peer
            return channel.history
        log.info("channel.opened", channel=peer.channel_id, title=peer.title, member=peer.is_member)
        return History(self._journal, peer, self._wanted, channel.since, self._on_read)


def _note_fault(channel: ChannelState, fault: ChannelFault) -> None:
    if channel.fault is None or channel.fault.what != fault.what:
        log.error("channel.closed", channel=str(channel.address), why=fault.what, remedy=fault.remedy)
    channel.has_fault(fault)
