"""The connection's life with Telegram: connect, serve until the connection is lost, connect again.

While a connection holds, these go on side by side: a task for each channel, the downloads, backfill, and the monitor,
which proves the connection with a request of its own and compares every channel's newest message with its cursor. So
`connected` and `behind` are evidence and not hope.

A connection that is lost is closed whole and another one made: at once, then after `reconnect_delay_seconds`, doubled
each time. After `max_restarts` failures in a row the process ends, and its supervisor takes over. What no retry can
mend (a session that is used twice, an account that is banned) holds the process. A channel that can't be read is that
channel's problem only.
"""

from __future__ import annotations

import asyncio
import math
import random
import time
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, Final

import structlog

from ipc.editing import Editing
from ipc.files.spool import Spool
from ipc.journal import Journal
from ipc.process.holds import Hold
from ipc.process.options import reading_options
from ipc.retry import RetryPolicy
from ipc.text.timestamps import iso
from ipc.transport.context import Context
from ipc.transport.mailbox import Closed
from ipc.transport.messages import clip
from workers.sources.backpressure import Backpressure
from workers.sources.reporting import Reporter
from workers.sources.telegram.channels.backfilling import Backfilling
from workers.sources.telegram.channels.channels import Channels
from workers.sources.telegram.channels.looking import Looking
from workers.sources.telegram.downloads.downloads import Downloads
from workers.sources.telegram.history.history import Wanted
from workers.sources.telegram.reconnecting import Refusals, reconnect_delay
from workers.sources.telegram.wire.account import Account
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import (
    ConnectionLost,
    Flooded,
    ServerTrouble,
    SessionRefused,
    Unanswered,
    Unreadable,
)
from workers.unforeseen import Unforeseen, contained

BEAT_SECONDS: Final = 1.0

EXPECTED: Final = (ConnectionLost, ServerTrouble, Flooded, Unanswered, Unreadable)
"""What may end a connection."""

ERROR_BYTES: Final = 1200

log = structlog.get_logger()


class ConnectingFailed(Exception):
    """Connecting has failed too many times in a row: a new process may fare better."""


async def run(context: Context, journal: Journal, spool: Spool) -> None:
    """Be the connection until asked to stop. Raises Hold and ConnectingFailed."""
    with reading_options():
        source = TelegramSource(context, journal, spool)
    await first_to_end(source.keep_connected(), source.beat())


class TelegramSource:
    """The configured channels, and the connection to Telegram that is there at the moment, if any."""

    def __init__(self, context: Context, journal: Journal, spool: Spool) -> None:
        options = context.options["telegram"]
        self._context = context
        self._options = options
        self._account = Account.from_options(options)
        self._backpressure = Backpressure(journal, spool, context.options["backpressure"])
        self._channels = Channels(journal, options["channels"], context.options["started_at"])
        self._downloads = Downloads(
            journal=journal,
            spool=spool,
            policy=RetryPolicy(**context.options["retry"]),
            max_bytes=context.options["max_bytes"],
            has_room=self._backpressure.has_room,
            at_once=options["downloads"],
            on_fetched=lambda: context.wake("fetched"),
            on_doubt=self._doubt,
            on_flood=self._channels.note_flood,
        )
        self._looking = self._make_looking(journal)
        self._backfilling = Backfilling(
            self._channels.configured, on_new=self._downloads.wake.set, on_flood=self._channels.note_flood
        )
        self._monitor_now = asyncio.Event()
        self._stop = asyncio.Event()
        self._connected = False
        self._error = ""
        self._proven_at = 0.0
        self._reporter = Reporter(context, "connection", options["heartbeat_seconds"])

    def _make_looking(self, journal: Journal) -> Looking:
        options = self._options
        return Looking(
            journal=journal,
            configured=self._channels.configured,
            wanted=Wanted(
                reconcile_messages=options["reconcile_messages"],
                backfill_limit=options["backfill_limit"] if options["backfill_on_start"] else None,
                editing=Editing.from_options(self._context.options["editing"]),
            ),
            reconcile_seconds=options["reconcile_seconds"],
            on_new=self._downloads.wake.set,
            on_row=lambda: self._context.wake("rendered"),
            on_read=self._downloads.remember,
            on_doubt=self._doubt,
            on_flood=self._channels.note_flood,
        )

    # The process

    async def beat(self) -> None:
        """Show progress, take hints from the other processes, notice a stop, report to /status."""
        loop = asyncio.get_running_loop()
        loop.add_reader(self._context.inbox.fileno(), self._take_messages)
        loop.add_reader(self._context.stop_fd, self._take_stop)
        while True:
            self._context.progress()
            try:
                self._downloads.refresh()
                self._report()
            except Exception as error:
                contained(error, "nothing can be reported to /status")
            await asyncio.sleep(BEAT_SECONDS)

    def _take_stop(self) -> None:
        asyncio.get_running_loop().remove_reader(self._context.stop_fd)  # it stays readable
        self._stop.set()

    def _take_messages(self) -> None:
        try:
            while (message := self._context.inbox.receive()) is not None:
                self._backpressure.hear(message)
                self._downloads.wake.set()
        except Closed:
            self._stop.set()

    async def keep_connected(self) -> None:
        """Connect again and again."""
        failures, refusals = 0, Refusals()
        async with self._account.owned():
            while not self._stop.is_set():
                connection = Connection(
                    self._account,
                    self._channels.hear,
                    previews=self._options["web_previews"],
                    posters=self._options["video_posters"],
                )
                connected_at = math.inf
                try:
                    await self._until_stop(self._connect(connection))
                    connected_at = time.monotonic()
                    refusals.reset()
                    await self._until_stop(self._serve(connection))
                except Exception as error:
                    trouble = error if isinstance(error, EXPECTED) else contained(error, "the connection is given up")
                    refusals.note(trouble, time.monotonic())
                    self._note_loss(trouble)
                    has_held = time.monotonic() - connected_at > self._options["reconnect_delay_seconds"]
                    if has_held and not isinstance(trouble, Unforeseen):
                        failures = 0  # it did hold; one that breaks at once is as bad as none
                    await self._pause(failures, trouble)
                    failures += not isinstance(trouble, Flooded)
                finally:
                    self._connected = False
                    await connection.close()

    async def _connect(self, connection: Connection) -> None:
        await connection.connect()
        self._prove()
        log.info("connection.made", channels=len(self._channels.configured))

    def _note_loss(self, trouble: Exception) -> None:
        self._connected, self._error = False, str(trouble)
        log.warning("connection.lost", why=str(trouble))
        self._report()

    async def _pause(self, failures: int, trouble: Exception) -> None:
        """Wait before the next attempt. Raises ConnectingFailed after too many in a row.

        A flood is an answer, and waited out here: a new process would not know of it, and ask at once. Nor would it
        know how long the session has been refused.
        """
        if failures >= self._options["max_restarts"] and not isinstance(trouble, Flooded | SessionRefused):
            raise ConnectingFailed(f"connecting to Telegram failed {failures + 1} times in a row: {trouble}")
        seconds = reconnect_delay(failures, self._options["reconnect_delay_seconds"], random.random())
        if isinstance(trouble, Flooded):
            seconds = max(seconds, trouble.seconds)
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._stop.wait()

    async def _until_stop(self, work: Coroutine[Any, Any, None]) -> None:
        """Do the work until it ends or a stop is asked for."""
        await first_to_end(work, self._stop.wait())

    # One connection

    async def _serve(self, connection: Connection) -> None:
        """Do everything there is to do with a connection, until it is lost."""
        channels = self._channels
        channels.expect_anything()
        await first_to_end(
            connection.lost(),
            self._monitor(connection),
            self._downloads.run(connection, channels),
            self._backfilling.run(connection),
            *(self._looking.keep(connection, channel) for channel in channels.configured),
        )

    def _doubt(self) -> None:
        """A request got no answer: is the connection still there?"""
        self._monitor_now.set()

    async def _monitor(self, connection: Connection) -> None:
        """Prove the connection, and find the channels that have something new, every `monitor_seconds`."""
        while True:
            await self._channels.look_around(connection)
            self._prove()
            self._monitor_now.clear()
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options["monitor_seconds"]):
                    await self._monitor_now.wait()

    def _prove(self) -> None:
        """Telegram has just answered."""
        was_connected, self._connected, self._error = self._connected, True, ""
        self._proven_at = time.time()
        if not was_connected:
            self._report()

    # Reporting

    def _report(self) -> None:
        """Report to /status what has changed; all of it once in `heartbeat_seconds`."""
        flooded_until = self._channels.flooded_until
        complaint = self._downloads.complaint()
        self._reporter.report(
            {
                "source": "telegram",
                "connected": self._connected,
                "error": clip(self._error, ERROR_BYTES),
                "channels": len(self._channels.configured),
                "behind": self._channels.behind() if self._connected else None,
                "flooded_until": iso(flooded_until) if flooded_until > time.time() else None,
                "spool_full": self._backpressure.is_full,
                "spool_error": self._downloads.disk_error or self._backpressure.error,
                "nothing_to_fetch": self._downloads.is_idle,
                "fetch_error": clip(complaint.what, ERROR_BYTES) if complaint else "",
                "fetch_error_since": iso(complaint.since) if complaint else None,
                "fetch_error_remedy": complaint.remedy if complaint else "",
                "proven_at": iso(self._proven_at) if self._proven_at else None,
            }
        )
        for number, channel in enumerate(self._channels.configured):
            self._reporter.report(channel.facts(connected=self._connected), f"channel {number}")


async def first_to_end(*works: Coroutine[Any, Any, Any]) -> None:
    """Run all of them until one ends or raises; then end the others. Raises what the first one raised.

    If any has found a reason to hold meanwhile, that is raised: the others may have seen only a lost connection.
    """
    tasks = [asyncio.create_task(work) for work in works]
    try:
        done, _ = await asyncio.wait(tasks, return_when="FIRST_COMPLETED")
    finally:
        for task in tasks:
            task.cancel()
        ends = await asyncio.gather(*tasks, return_exceptions=True)
    for end in ends:
        if isinstance(end, Hold):
            raise end
    for task in done:
        task.result()
