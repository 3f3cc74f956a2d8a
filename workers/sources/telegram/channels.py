"""The configured channels while a line holds: who is looked at when, and what is the matter with whom.

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
from ipc.journal import Journal, figures, peers
from ipc.text.durations import duration
from workers.sources.telegram.channel_state import HINT_PAUSE_SECONDS, IT_IS_TRIED, ChannelState
from workers.sources.telegram.history import History, Wanted
from workers.sources.telegram.wire.connection import Hint, Line
from workers.sources.telegram.wire.errors import (
    OUTDATED,
    ChannelFault,
    Flooded,
    LineLost,
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
        self.entries = [ChannelState(address) for address in dict.fromkeys(map(parse, texts))]
        now = time.time()
        for entry in self.entries:
            entry.since = peers.first_configured(journal, entry.address.key, first_seen(started_at, now))
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
        titles = {row["id"]: row["title"] for row in figures.channels(journal)}
        for entry in self.entries:
            known = peers.channel_ids(journal, entry.address.key)
            if len(known) == 1 and all(other.channel_id not in known for other in self.entries):
                (entry.channel_id,) = known
                entry.last_title = titles.get(entry.channel_id, "")

    def __getitem__(self, channel_id: int) -> History:
        return self._readable()[channel_id]

    def __iter__(self) -> Iterator[int]:
        return iter(self._readable())

    def __len__(self) -> int:
        return len(self._readable())

    def _readable(self) -> dict[int, History]:
        return {entry.readable.id: entry.readable for entry in self.entries if entry.readable}

    def note_flood(self, seconds: float) -> None:
        """Telegram wants no more requests of some kind for so long: /status says so."""
        self.flooded_until = max(self.flooded_until, time.time() + seconds)

    def behind(self) -> int:
        """How many messages wait in all channels, at most."""
        return sum(entry.watch.behind for entry in self.entries if entry.watch)

    # Reasons to look

    def expect_anything(self) -> None:
        """The line is new: what happened while there was none is told by nobody."""
        for entry in self.entries:
            entry.reconcile_at = 0.0
            entry.rest_until = 0.0 if entry.fault else entry.rest_until
            entry.wake.set()

    def hear(self, hint: Hint) -> None:
        """An update: its channel is to be looked at."""
        for entry in self.entries:
            if entry.is_concerned_by(hint.channel_id, is_of_membership=hint.is_of_membership):
                entry.hints.update(hint.message_ids)
                if entry.watch is not None:
                    entry.watch.told = max(entry.watch.told, hint.new_id)
                entry.is_hinted = True
                entry.wake.set()

    async def look_around(self, line: Line) -> None:
        """Prove the line by asking for every channel's newest message; who is behind is looked at. Raises LineLost."""
        entries = {entry.readable.id: entry for entry in self.entries if entry.readable}
        tops = await self._tops(line, list(self._readable().values()))
        if not tops:
            await line.probe(PROBE_SECONDS)
        for channel_id, entry in entries.items():
            if (watch := entry.watch) is None:
                continue
            watch.top = tops.get(channel_id, watch.top)
            if channel_id not in tops or watch.behind or watch.cursor is None:
                entry.wake.set()

    async def _tops(self, line: Line, watches: list[History]) -> dict[int, int]:
        if not watches or time.monotonic() < self._tops_flooded_until:
            return {}
        asked_at = time.monotonic()
        try:
            async with asyncio.timeout(PROBE_SECONDS):
                return await line.tops([watch.peer for watch in watches])
        except (TimeoutError, Unanswered) as error:
            if line.heard_at > asked_at:
                return {}  # a narrow line: our answer waits behind others
            raise LineLost(f"Telegram has not answered the monitor for {duration(PROBE_SECONDS)}") from error
        except Flooded as flood:
            self.note_flood(flood.seconds)
            self._tops_flooded_until = time.monotonic() + flood.seconds
            return {}
        except (ChannelFault, Unreadable, ServerTrouble):
            return {}  # one of them spoils the answer for all: each is asked for itself
        except LineLost:
            raise
        except Exception as error:
            contained(error, "the channels' newest messages can't be read")
            return {}

    # Looking

    async def keep(self, line: Line, entry: ChannelState) -> None:
        """Look at one channel whenever there is reason to, until cancelled. Raises LineLost and Hold."""
        while True:
            # A flood is waited out, whoever wakes us, and on whatever line: who asks all the same has to wait longer.
            await asyncio.sleep(max(0.0, max(entry.flooded_until, entry.rest_until) - time.monotonic()))
            if entry.is_hinted:
                await asyncio.sleep(max(0.0, entry.looked_at + HINT_PAUSE_SECONDS - time.monotonic()))
            entry.wake.clear()
            entry.is_hinted, entry.looked_at = False, time.monotonic()
            async with self._looks:
                pause = await self._try_to_look(line, entry)
            with suppress(TimeoutError):
                async with asyncio.timeout(pause):
                    await entry.wake.wait()

    async def _try_to_look(self, line: Line, entry: ChannelState) -> float:
        """Look at one channel; for how many seconds it then needs no look, unless there is a reason."""
        hints, entry.hints = entry.hints, set()
        try:
            pause = await self._look(line, entry, hints)
            hints = set()
        except Flooded as flood:
            self.note_flood(flood.seconds)
            log.warning("Telegram asks to wait", channel=str(entry.address), seconds=flood.seconds)
            entry.flooded_until = time.monotonic() + flood.seconds
            pause = 0.0
        except UnknownChannel as fault:
            # The first time, the access hash may be another account's: it is resolved anew.
            pause = FAULT_SECONDS if entry.fault else AGAIN_SECONDS
            if entry.channel_id is not None:
                peers.put(self._journal, entry.address.key, line.account_id, entry.channel_id, NO_HASH)
            entry.close()
            self._has_fault(entry, fault)
        except ChannelFault as fault:
            pause = FAULT_SECONDS
            self._has_fault(entry, fault)
        except (ServerTrouble, Unanswered, Unreadable) as trouble:
            pause = AGAIN_SECONDS
            entry.has_trouble(str(trouble), OUTDATED if isinstance(trouble, Unreadable) else IT_IS_TRIED)
            log.warning("channel could not be looked at", channel=str(entry.address), why=str(trouble))
            if isinstance(trouble, Unanswered):
                self._on_doubt()
        except LineLost:
            raise
        except Exception as error:
            what = "channel put off for an unforeseen error"
            pause = entry.has_defect(str(contained(error, what, channel=str(entry.address))))
        finally:
            entry.hints |= hints  # whatever came in between: the line may have been lost
        return pause

    async def _look(self, line: Line, entry: ChannelState, hints: set[int]) -> float:
        if entry.watch is None or entry.fault:
            entry.watch = await self._open(line, entry)
        watch = entry.watch
        async with watch.lock:
            taken = Taken()
            if time.monotonic() >= entry.reconcile_at:
                # First: the last messages that are known, however many new ones an outage has brought.
                taken += await watch.reconcile(line)
                entry.reconcile_at = time.monotonic() + self._reconcile_seconds
            taken += await watch.catch_up(line)
            if hints:
                taken += await watch.look_at(line, hints)
        entry.is_well()
        if watch.has_more:
            entry.wake.set()
        if taken.new or taken.edited:
            self._on_new()
        if hints or taken.edited:
            self._on_row()
        return max(0.0, min(entry.reconcile_at - time.monotonic(), watch.seconds_to_ask()))

    async def _open(self, line: Line, entry: ChannelState) -> History:
        """The channel, by what the journal knows of its address: Telegram is asked for a name once in its life."""
        known = peers.get(self._journal, entry.address.key, line.account_id)
        if known is None or known[1] == NO_HASH:
            peer = await line.resolve(entry.address)
            require_same(peers.channel_ids(self._journal, entry.address.key), peer.channel_id)
        else:
            if all(other.channel_id != known[0] for other in self.entries):
                entry.channel_id = known[0]  # whatever is the matter with it, /status knows which it is
            peer = await line.refresh(Peer(*known, title="", is_member=True))
        peers.put(self._journal, entry.address.key, line.account_id, peer.channel_id, peer.access_hash)
        if entry.watch is not None and entry.watch.id == peer.channel_id:
            entry.watch.peer = peer
            return entry.watch
        for other in self.entries:
            if other is not entry and other.watch is not None and other.watch.id == peer.channel_id:
                raise ChannelFault(f"it is the same channel as {other.address}", "Name it once in telegram.channels")
        entry.channel_id = peer.channel_id
        log.info("channel opened", channel=peer.channel_id, title=peer.title, member=peer.is_member)
        return History(self._journal, peer, self._wanted, entry.since, self._on_read)

    @staticmethod
    def _has_fault(entry: ChannelState, fault: ChannelFault) -> None:
        if entry.fault is None or entry.fault.what != fault.what:
            log.error("channel can't be read", channel=str(entry.address), what=fault.what, remedy=fault.remedy)
        entry.has_fault(fault)

    # Backfill

    async def backfill(self, line: Line) -> None:
        """Read what was posted before the channels were first seen, until cancelled. Raises LineLost and Hold."""
        # A flood is waited out, on whatever line.
        await asyncio.sleep(max(0.0, self._backfill_flooded_until - time.monotonic()))
        while True:
            watch, pause = self._next_to_backfill(), self._backfill_pause()
            if watch is not None:
                try:
                    async with watch.lock:
                        taken = await watch.backfill(line)
                    if taken.new:
                        self._on_new()
                except Flooded as flood:
                    self.note_flood(flood.seconds)
                    pause = flood.seconds
                    self._backfill_flooded_until = time.monotonic() + pause
                except (ServerTrouble, Unanswered, ChannelFault, Unreadable):
                    watch.backfill_at = time.monotonic() + AGAIN_SECONDS  # the others go on
                except LineLost:
                    raise
                except Exception as error:
                    contained(error, "backfill put off for an unforeseen error", channel=watch.id)
                    watch.backfill_at = time.monotonic() + FAULT_SECONDS
            await asyncio.sleep(pause)

    def _backfill_pause(self) -> float:
        done = all(entry.readable and not entry.readable.backfill_left() for entry in self.entries)
        return BACKFILL_DONE_SECONDS if done else BACKFILL_PAUSE_SECONDS

    def _next_to_backfill(self) -> History | None:
        """The channel that the fewest messages have been read of, so that all come along; none while one is behind.

        One that gives no answers is left out: the others would wait for it for ever.
        """
        watches = [entry.readable for entry in self.entries if entry.readable and entry.gives_answers]
        if any(watch.has_backlog or watch.cursor is None for watch in watches):
            return None
        now = time.monotonic()
        wanting = (watch for watch in watches if watch.backfill_left() and watch.backfill_at <= now)
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
