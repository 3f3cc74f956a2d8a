"""The configured channels: the reasons to look at one, and the monitor, which proves the connection by asking for all.

`looking.py` looks at them, `backfilling.py` reads what came before.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterator, Mapping
from typing import Final

from ipc.journal import Journal, figures, peers
from ipc.text.channel_address import parse
from ipc.text.durations import duration
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
from workers.sources.telegram.wire.hints import Hint
from workers.unforeseen import contained

PROBE_SECONDS: Final = 10.0
"""How long Telegram may take to answer the monitor."""

STARTING_SECONDS: Final = 120.0
"""A program that was started no longer ago takes what was posted since its start, however late this process comes."""


class Channels(Mapping[int, History]):
    """All configured channels; as a mapping, the histories of those that can be read now, by channel id.

    `started_at` (Unix seconds) is the program's. `flooded_until` (Unix seconds): Telegram wants fewer requests.
    """

    def __init__(self, journal: Journal, texts: list[str], started_at: float) -> None:
        self.configured = [ChannelState(address) for address in dict.fromkeys(map(parse, texts))]
        self.flooded_until = 0.0
        self._tops_flooded_until = 0.0
        now = time.time()
        for channel in self.configured:
            channel.since = peers.first_configured(journal, channel.address.key, first_seen(started_at, now))
        self._remember(journal)

    def _remember(self, journal: Journal) -> None:
        """What the journal knows of the channels: /status names even one that can't be read."""
        titles = {row["id"]: row["title"] for row in figures.channels(journal)}
        for channel in self.configured:
            known = peers.channel_ids(journal, channel.address.key)
            if len(known) == 1 and all(other.channel_id not in known for other in self.configured):
                (channel.channel_id,) = known
                channel.last_title = titles.get(channel.channel_id, "")

    def __getitem__(self, channel_id: int) -> History:
        return self._readable()[channel_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._readable())

    def __len__(self) -> int:
        return len(self._readable())

    def _readable(self) -> dict[int, History]:
        return {channel.readable.id: channel.readable for channel in self.configured if channel.readable}

    def behind(self) -> int:
        """How many messages wait in all channels, at most."""
        return sum(channel.history.behind for channel in self.configured if channel.history)

    def note_flood(self, seconds: float) -> None:
        """Telegram wants no more requests of some kind for `seconds`: /status says so."""
        self.flooded_until = max(self.flooded_until, time.time() + seconds)

    # Reasons to look

    def expect_anything(self) -> None:
        """The connection is new: nothing reports what happened while there was none."""
        for channel in self.configured:
            channel.reconcile_at = 0.0
            channel.rest_until = 0.0 if channel.fault else channel.rest_until
            channel.wake.set()

    def hear(self, hint: Hint) -> None:
        """An update: its channel is to be looked at."""
        for channel in self.configured:
            if channel.is_concerned_by(hint.channel_id, is_of_membership=hint.is_of_membership):
                channel.hints.update(hint.message_ids)
                if channel.history is not None:
                    channel.history.announced = max(channel.history.announced, hint.new_id)
                channel.is_hinted = True
                channel.wake.set()

    # The monitor

    async def look_around(self, connection: Connection) -> None:
        """Prove the connection by asking for every channel's newest message, and wake the channels that are behind.

        Raises ConnectionLost.
        """
        asked = {channel.readable.id: channel for channel in self.configured if channel.readable}
        tops = await self._tops(connection, list(self._readable().values()))
        if not tops:
            await connection.probe(PROBE_SECONDS)
        for channel_id, channel in asked.items():
            if (history := channel.history) is None:
                continue
            history.reader.top = tops.get(channel_id, history.reader.top)
            if channel_id not in tops or history.behind or history.cursor is None:
                channel.wake.set()

    async def _tops(self, connection: Connection, histories: list[History]) -> dict[int, int]:
        """The newest message's id by channel; empty where Telegram has not said."""
        if not histories or time.monotonic() < self._tops_flooded_until:
            return {}
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await connection.tops([history.peer for history in histories])
        except (TimeoutError, Unanswered) as error:
            if connection.heard_at > asked_at:
                return {}  # a slow connection: this answer waits behind others
            raise ConnectionLost(f"Telegram has not answered the monitor for {duration(PROBE_SECONDS)}") from error
        except Flooded as flood:
            self.note_flood(flood.seconds)
            self._tops_flooded_until = time.monotonic() + flood.seconds
            return {}
        except (ChannelFault, Unreadable, ServerTrouble):
            return {}  # one of them spoils the answer for all: each is asked for itself
        except ConnectionLost:
            raise
        except Exception as error:
            contained(error, "the channels' newest messages can't be read")
            return {}


def first_seen(started_at: float, now: float) -> float:
    """Since when an unknown address counts as configured (Unix seconds): the program's start, or now.

    >>> first_seen(1000.0, 1060.0), first_seen(1000.0, 90000.0)
    (1000.0, 90000.0)
    """
    return started_at if 0 <= now - started_at <= STARTING_SECONDS else now
