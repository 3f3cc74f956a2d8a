"""The configured channels while a connection holds: who is looked at when, and what is the matter with whom.

A task for each channel looks at it when there is a hint, when the monitor finds it behind, and every
`reconcile_seconds`. The first hint is followed at once, those that come in a burst twice a second. A channel that can't
be read keeps nobody else from being read; it is tried again by and by, and what keeps it from being read is told: a
fault that is its own at once, an outage when it lasts.
Backfill goes on in the background while no channel that gives answers is behind.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import suppress
from typing import Final

import structlog

from ipc.channel_address import marked, parse
from ipc.intake import Taken
from ipc.journal import Journal
from ipc.text.durations import duration
from workers.sources.telegram.channel_state import HINT_PAUSE_SECONDS, IT_IS_TRIED, ChannelState
from workers.sources.telegram.history import History, Wanted
from workers.sources.telegram.wire.connection import Hint, Connection
from workers.sources.telegram.wire.errors import (
    OUTDATED,
    ChannelFault,
    Flooded,
    ConnectionLost,
    ServerTrouble,
    Unanswered,
    UnknownChannel,
    Unreadable,
)
from workers.sources.telegram.wire.media import Message
from workers.sources.telegram.wire.peers import Peer
from workers.unforeseen import contained

PROBE_SECONDS: Final = 10.0
"""How long Telegram may take to answer the monitor."""

AGAIN_SECONDS: Final = 5.0
"""After an answer that was none."""

FAULT_SECONDS: Final = 300.0
"""How often a channel that can't be read is tried again."""

BACKFILL_PAUSE_SECONDS: Final = 0.5
"""Between two pages: 200 messages a second, which Telegram has been seen to allow for hours."""

BACKFILL_DONE_SECONDS: Final = 5.0
"""Between two looks whether anything is left, where nothing was."""

STARTING_SECONDS: Final = 120.0
"""A program that was started no longer ago takes what was posted since its start, however late this process comes."""

LOOKS_AT_ONCE: Final = 4
"""Channels that are looked at at the same time."""

NO_HASH: Final = 0
"""Instead of an access hash that does not hold any more: the id is still known."""

log = structlog.get_logger()


class Channels(Mapping[int, History]):
    """All configured channels; as a mapping, the watches of those that can be read now, by channel id.

    `started_at` (Unix seconds) is the program's. `on_new` is called when there is something to fetch, `on_row` when
    only a row has changed, `on_read` with every message that is read, and `on_doubt` when a request got no answer.
    """

    def __init__(
        self,
        *,
        journal: Journal,
        texts: list[str],
        wanted: Wanted,
        started_at: float,
        reconcile_seconds: float,
        on_new: Callable[[], None],
        on_row: Callable[[], None],
        on_read: Callable[[int, Message], None],
        on_doubt: Callable[[], None],
    ) -> None:
        self.configured = [ChannelState(address) for address in dict.fromkeys(map(parse, texts))]
        now = time.time()
        for channel in self.configured:
            channel.since = journal.first_configured(channel.address.key, first_seen(started_at, now))
        self._remember(journal)
        self.flooded_until = 0.0
        self._journal = journal
        self._wanted = wanted
        self._reconcile_seconds = reconcile_seconds
        self._on_new = on_new
        self._on_row = on_row
        self._on_read = on_read
        self._on_doubt = on_doubt
        self._tops_flooded_until = 0.0
        self._backfill_flooded_until = 0.0
        self._looks = asyncio.Semaphore(LOOKS_AT_ONCE)

    def _remember(self, journal: Journal) -> None:
        """What the journal knows of the channels: whatever is the matter with one, /status knows which it is."""
        titles = {row["id"]: row["title"] for row in journal.channels()}
        for channel in self.configured:
            known = journal.peer_ids(channel.address.key)
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

    def note_flood(self, seconds: float) -> None:
        """Telegram wants no more requests of some kind for so long: /status says so."""
        self.flooded_until = max(self.flooded_until, time.time() + seconds)

    def behind(self) -> int:
        """How many messages wait in all channels, at most."""
        return sum(channel.history.behind for channel in self.configured if channel.history)

    # Reasons to look

    def expect_anything(self) -> None:
        """The connection is new: what happened while there was none is told by nobody."""
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
                    channel.history.told = max(channel.history.told, hint.new_id)
                channel.is_hinted = True
                channel.wake.set()

    async def look_around(self, connection: Connection) -> None:
        """Prove the connection by asking for every channel's newest message; who is behind is looked at. Raises ConnectionLost."""
        configured = {channel.readable.id: channel for channel in self.configured if channel.readable}
        tops = await self._tops(connection, list(self._readable().values()))
        if not tops:
            await connection.probe(PROBE_SECONDS)
        for channel_id, channel in configured.items():
            if (history := channel.history) is None:
                continue
            history.top = tops.get(channel_id, history.top)
            if channel_id not in tops or history.behind or history.cursor is None:
                channel.wake.set()

    async def _tops(self, connection: Connection, histories: list[History]) -> dict[int, int]:
        if not histories or time.monotonic() < self._tops_flooded_until:
            return {}
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await connection.tops([history.peer for history in histories])
        except (TimeoutError, Unanswered) as error:
            if connection.heard_at > asked_at:
                return {}  # a narrow connection: our answer waits behind others
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

    # Looking

    async def keep(self, connection: Connection, channel: ChannelState) -> None:
        """Look at one channel whenever there is reason to, until cancelled. Raises ConnectionLost and Hold."""
        while True:
            # A flood is waited out, whoever wakes us, and on whatever connection: who asks all the same has to wait longer.
            await asyncio.sleep(max(0.0, max(channel.flooded_until, channel.rest_until) - time.monotonic()))
            if channel.is_hinted:
                await asyncio.sleep(max(0.0, channel.looked_at + HINT_PAUSE_SECONDS - time.monotonic()))
            channel.wake.clear()
            channel.is_hinted, channel.looked_at = False, time.monotonic()
            async with self._looks:
                pause = await self._try_to_look(connection, channel)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await channel.wake.wait()

    async def _try_to_look(self, connection: Connection, channel: ChannelState) -> float:
        """Look at one channel; for how many seconds it then needs no look, unless there is a reason."""
        hints, channel.hints = channel.hints, set()
        try:
            pause = await self._look(connection, channel, hints)
            hints = set()
        except Flooded as flood:
            self.note_flood(flood.seconds)
            log.warning("Telegram asks to wait", channel=str(channel.address), seconds=flood.seconds)
            channel.flooded_until = time.monotonic() + flood.seconds
            pause = 0.0
        except UnknownChannel as fault:
            # The first time, the access hash may be another account's: it is resolved anew.
            pause = FAULT_SECONDS if channel.fault else AGAIN_SECONDS
            if channel.channel_id is not None:
                self._journal.put_peer(channel.address.key, connection.account_id, channel.channel_id, NO_HASH)
            channel.close()
            self._has_fault(channel, fault)
        except ChannelFault as fault:
            pause = FAULT_SECONDS
            self._has_fault(channel, fault)
        except (ServerTrouble, Unanswered, Unreadable) as trouble:
            pause = AGAIN_SECONDS
            channel.has_trouble(str(trouble), OUTDATED if isinstance(trouble, Unreadable) else IT_IS_TRIED)
            log.warning("channel could not be looked at", channel=str(channel.address), why=str(trouble))
            if isinstance(trouble, Unanswered):
                self._on_doubt()
        except ConnectionLost:
            raise
        except Exception as error:
            what = "channel put off for an unforeseen error"
            pause = channel.has_defect(str(contained(error, what, channel=str(channel.address))))
        finally:
            channel.hints |= hints  # whatever came in between: the connection may have been lost
        return pause

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
        """The channel, by what the journal knows of its address: Telegram is asked for a name once in its life."""
        known = self._journal.peer(channel.address.key, connection.account_id)
        if known is None or known[1] == NO_HASH:
            peer = await connection.resolve(channel.address)
            require_same(self._journal.peer_ids(channel.address.key), peer.channel_id)
        else:
            if all(other.channel_id != known[0] for other in self.configured):
                channel.channel_id = known[0]  # whatever is the matter with it, /status knows which it is
            peer = await connection.refresh(Peer(*known, title="", is_member=True))
        self._journal.put_peer(channel.address.key, connection.account_id, peer.channel_id, peer.access_hash)
        if channel.history is not None and channel.history.id == peer.channel_id:
            channel.history.peer = peer
            return channel.history
        for other in self.configured:
            if other is not channel and other.history is not None and other.history.id == peer.channel_id:
                raise ChannelFault(f"it is the same channel as {other.address}", "Name it once in telegram.channels")
        channel.channel_id = peer.channel_id
        log.info("channel opened", channel=peer.channel_id, title=peer.title, member=peer.is_member)
        return History(self._journal, peer, self._wanted, channel.since, self._on_read)

    @staticmethod
    def _has_fault(channel: ChannelState, fault: ChannelFault) -> None:
        if channel.fault is None or channel.fault.what != fault.what:
            log.error("channel can't be read", channel=str(channel.address), what=fault.what, remedy=fault.remedy)
        channel.has_fault(fault)

    # Backfill

    async def backfill(self, connection: Connection) -> None:
        """Read what was posted before the channels were first seen, until cancelled. Raises ConnectionLost and Hold."""
        # A flood is waited out, on whatever connection.
        await asyncio.sleep(max(0.0, self._backfill_flooded_until - time.monotonic()))
        while True:
            history, pause = self._next_to_backfill(), self._backfill_pause()
            if history is not None:
                try:
                    async with history.lock:
                        taken = await history.backfill(connection)
                    if taken.new:
                        self._on_new()
                except Flooded as flood:
                    self.note_flood(flood.seconds)
                    pause = flood.seconds
                    self._backfill_flooded_until = time.monotonic() + pause
                except (ServerTrouble, Unanswered, ChannelFault, Unreadable):
                    history.backfill_at = time.monotonic() + AGAIN_SECONDS  # the others go on
                except ConnectionLost:
                    raise
                except Exception as error:
                    contained(error, "backfill put off for an unforeseen error", channel=history.id)
                    history.backfill_at = time.monotonic() + FAULT_SECONDS
            await asyncio.sleep(pause)

    def _backfill_pause(self) -> float:
        done = all(channel.readable and not channel.readable.backfill_left() for channel in self.configured)
        return BACKFILL_DONE_SECONDS if done else BACKFILL_PAUSE_SECONDS

    def _next_to_backfill(self) -> History | None:
        """The channel that the fewest messages have been read of, so that all come along; none while one is behind.

        One that gives no answers is left out: the others would wait for it for ever.
        """
        histories = [channel.readable for channel in self.configured if channel.readable and channel.gives_answers]
        if any(history.has_backlog or history.cursor is None for history in histories):
            return None
        now = time.monotonic()
        wanting = (history for history in histories if history.backfill_left() and history.backfill_at <= now)
        return min(wanting, key=History.backfilled, default=None)


def first_seen(started_at: float, now: float) -> float:
    """Since when an address that nobody knows of counts as configured (Unix seconds): the program's start, or now.

    >>> first_seen(1000.0, 1060.0), first_seen(1000.0, 90000.0)
    (1000.0, 90000.0)
    """
    return started_at if 0 <= now - started_at <= STARTING_SECONDS else now


def require_same(known: set[int], found: int) -> None:
    """An address leads where it has always led. Raises ChannelFault: a name may have been taken by somebody else.

    >>> require_same(set(), 5), require_same({5, 6}, 5)
    (None, None)
    """
    if known and found not in known:
        before = " or ".join(map(marked, sorted(known)))
        raise ChannelFault(
            f"it leads to another channel than before (id {found})",
            f"In telegram.channels, write {marked(found)} if that is the one you want, or {before} for the one before",
        )
