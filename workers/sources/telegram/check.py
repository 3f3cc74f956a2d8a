"""Whether the configured channels can be read, for `bin/run check`: by asking Telegram, or by what an instance says.

A session must not be used twice at once, or Telegram ends it. So Telegram is asked only where nothing runs; beside a
running instance, its /status is what there is to know.
"""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

from ipc.journal import Journal, peers
from ipc.process.checklist import Checklist
from ipc.process.holds import Hold
from ipc.text.channel_address import Address, parse
from workers.sources.telegram.channels.finding import NO_HASH, require_same
from workers.sources.telegram.channels.state import A_DEFECT
from workers.sources.telegram.wire.account import LOGIN, Account
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import (
    OUTDATED,
    UNREACHABLE,
    ChannelFault,
    ConnectionLost,
    Flooded,
    KeyUnknown,
    ServerTrouble,
    Unanswered,
    UnknownChannel,
    Unreadable,
)
from workers.sources.telegram.wire.peers import Peer
from workers.unforeseen import contained

LATER: Final = "Run bin/run check again later"


def check(options: dict[str, Any], tried: Checklist) -> None:
    """Connect with the session and look at every channel.

    `options` are those of the settings' section telegram, with state_dir.
    """
    asyncio.run(_Check(options, tried).run())


def from_status(options: dict[str, Any], status: dict[str, Any], tried: Checklist) -> None:
    """Check the channels by what a running instance says of them in /status. Pure."""
    if status["stats"]["source"].get("source", "telegram") != "telegram":
        tried.fail("the running instance does not read Telegram, so the channels were not checked. Stop it, then check")
        return
    tried.ok("an instance is running; this is what it says of its channels")
    if not status["stats"]["connected"]:
        problems = [f"{one['what']}. {one['remedy']}" for one in status["problems"]]
        for text in problems or [f"the running instance is not connected to Telegram yet. {LATER}"]:
            tried.fail(text)
        return
    rows = {row["address"]: row for row in status["channels"] if row.get("address")}
    for text in options["channels"]:
        address = str(parse(text))
        row = rows.get(address)
        if row is None:
            tried.fail(f"channel {address}: the running instance does not know it. Restart it")
        elif row.get("problem"):
            tried.fail(_fault(address, row["problem"], row.get("remedy") or ""))
        elif row.get("id") is None:
            tried.fail(f"channel {address}: the running instance has not looked at it yet. {LATER}")
        else:
            tried.ok(describe(address, row["title"], row["id"], row.get("is_member"), options["monitor_seconds"]))


def describe(address: object, title: str, channel_id: int, is_member: bool | None, monitor_seconds: float) -> str:
    """What is printed of a channel that can be read.

    >>> describe("@news", "News", 77, False, 30.0)
    "channel @news: 'News', id 77, not a member: its posts are found by asking every 30 s"
    """
    polled = f"not a member: its posts are found by asking every {monitor_seconds:g} s"
    return f"channel {address}: {title!r}, id {channel_id}, {polled if is_member is False else 'member'}"


def _fault(address: object, what: str, remedy: str) -> str:
    return f"channel {address}: {what}. {remedy}".rstrip(". ")


class _Check:
    """One look at every channel, through one connection."""

    def __init__(self, options: dict[str, Any], tried: Checklist) -> None:
        self._options = options
        self._tried = tried
        self._journal_path = Path(options["state_dir"]) / "journal.db"
        self._found: dict[int, Address] = {}

    async def run(self) -> None:
        """Credentials, connection and account, then each channel; nothing more where there is no connection."""
        try:
            account = Account.from_options(self._options)
            async with account.owned():
                self._tried.ok(f"Telegram: credentials: api_id {self._options['api_id']}, a session")
                connection = Connection(account, lambda hint: None)
                try:
                    await connection.connect()
                    self._tried.ok("Telegram: connected, the session is good")
                    self._tried.ok(f"Telegram: account {connection.account_id}")
                    await self._look_at_all(connection)
                finally:
                    await connection.close()
        except Hold as hold:
            self._tried.fail(f"Telegram: {hold}")
        except KeyUnknown as error:
            self._tried.fail(f"Telegram: {error}. {LOGIN}")
        except ConnectionLost as error:
            self._tried.fail(f"Telegram cannot be reached: {error}. {UNREACHABLE}")
        except Unreadable as error:
            self._tried.fail(f"Telegram: {error}. {OUTDATED}")
        except (Flooded, ServerTrouble) as error:
            self._tried.fail(f"Telegram: {error}. {LATER}")

    async def _look_at_all(self, connection: Connection) -> None:
        for text in self._options["channels"]:
            try:
                address = parse(text)
            except ValueError as error:
                self._tried.fail(str(error))
                continue
            try:
                await self._look_at(connection, address)
            except ChannelFault as fault:
                self._tried.fail(_fault(address, fault.what, fault.remedy))
            except Unreadable as error:
                self._tried.fail(f"channel {address}: {error}. {OUTDATED}")
            except (Flooded, ServerTrouble, Unanswered) as error:
                self._tried.fail(f"channel {address}: {error}. {LATER}")
            except ConnectionLost:
                raise
            except Exception as error:
                unforeseen = contained(error, "channel can't be checked", channel=str(address))
                self._tried.fail(f"channel {address}: {unforeseen}. {A_DEFECT}")

    async def _look_at(self, connection: Connection, address: Address) -> None:
        """Find a channel as the connection would, and read its newest message. Raises ChannelFault."""
        peer = await self._find(connection, address)
        page = await connection.before(peer, 0, 1)
        other = self._found.setdefault(peer.channel_id, address)
        if other is not address:
            raise ChannelFault(f"it is the same channel as {other}", "Leave one of them out of telegram.channels")
        self._tried.ok(describe(address, page.title, peer.channel_id, peer.is_member, self._options["monitor_seconds"]))

    async def _find(self, connection: Connection, address: Address) -> Peer:
        """Find the peer in the journal, or by asking: Telegram looks up few names a day."""
        known, ids = self._known(address.key, connection.account_id)
        if known is not None and known[1] != NO_HASH:
            try:
                return await connection.refresh(Peer(*known, title="", is_member=True))
            except UnknownChannel:
                pass
        peer = await connection.resolve(address)
        require_same(ids, peer.channel_id)
        return peer

    def _known(self, key: str, account_id: int) -> tuple[tuple[int, int] | None, set[int]]:
        """This account's peer of the address, and the channels that the address led to for any account."""
        if not self._journal_path.exists():
            return None, set()
        try:
            journal = Journal.open_to_read(self._journal_path)
        except Exception:  # it has a check of its own, which says what is wrong
            return None, set()
        try:
            return peers.get(journal, key, account_id), peers.channel_ids(journal, key)
        except Exception:  # of an older version, without peers
            return None, set()
        finally:
            journal.close()
