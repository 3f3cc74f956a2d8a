"""Whether the configured channels can be read, for `bin/run check`: by asking Telegram, or by what an instance says.

A session must not be used twice at once, or Telegram ends it. So Telegram is asked only where nothing runs; beside a
running instance, its /status is what there is to know.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from ipc.holds import Hold
from ipc.journal import Journal, peers
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

Say = Callable[[str], None]


def check(options: dict[str, Any], say: Say) -> list[str]:
    """Connect with the session and look at every channel: what is wrong. `say` gets what is good.

    `options` are those of the settings' section telegram, with state_dir.
    """
    return asyncio.run(_Check(options, say).run())


def from_status(options: dict[str, Any], status: dict[str, Any], say: Say) -> list[str]:
    """The same by what a running instance says of itself in /status. Pure."""
    if status["stats"]["source"].get("source", "telegram") != "telegram":
        return ["the running instance does not read Telegram, so the channels were not checked. Stop it, then check"]
    say("an instance is running; this is what it says of its channels")
    if not status["stats"]["connected"]:
        problems = [f"{one['what']}. {one['remedy']}" for one in status["problems"]]
        return problems or [f"the running instance is not connected to Telegram yet. {LATER}"]
    rows = {row["address"]: row for row in status["channels"] if row.get("address")}
    faults = []
    for text in options["channels"]:
        address = str(parse(text))
        row = rows.get(address)
        if row is None:
            faults.append(f"channel {address}: the running instance does not know it. Restart it")
        elif row.get("problem"):
            faults.append(_fault(address, row["problem"], row.get("remedy") or ""))
        elif row.get("id") is None:
            faults.append(f"channel {address}: the running instance has not looked at it yet. {LATER}")
        else:
            say(describe(address, row["title"], row["id"], row.get("is_member"), options["monitor_seconds"]))
    return faults


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

    def __init__(self, options: dict[str, Any], say: Say) -> None:
        self._account = Account.from_options(options)
        self._options = options
        self._say = say
        self._journal_path = Path(options["state_dir"]) / "journal.db"
        self._found: dict[int, Address] = {}

    async def run(self) -> list[str]:
        """What is wrong; one line where there is no connection at all."""
        try:
            async with self._account.owned():
                connection = Connection(self._account, lambda hint: None)
                try:
                    await connection.connect()
                    self._say("Telegram: connected, the session is good")
                    return await self._look_at_all(connection)
                finally:
                    await connection.close()
        except Hold as hold:
            return [f"Telegram: {hold}"]
        except KeyUnknown as error:
            return [f"Telegram: {error}. {LOGIN}"]
        except ConnectionLost as error:
            return [f"Telegram cannot be reached: {error}. {UNREACHABLE}"]
        except Unreadable as error:
            return [f"Telegram: {error}. {OUTDATED}"]
        except (Flooded, ServerTrouble) as error:
            return [f"Telegram: {error}. {LATER}"]

    async def _look_at_all(self, connection: Connection) -> list[str]:
        faults = []
        for text in self._options["channels"]:
            try:
                address = parse(text)
            except ValueError as error:
                faults.append(str(error))
                continue
            try:
                await self._look_at(connection, address)
            except ChannelFault as fault:
                faults.append(_fault(address, fault.what, fault.remedy))
            except Unreadable as error:
                faults.append(f"channel {address}: {error}. {OUTDATED}")
            except (Flooded, ServerTrouble, Unanswered) as error:
                faults.append(f"channel {address}: {error}. {LATER}")
            except ConnectionLost:
                raise
            except Exception as error:
                unforeseen = contained(error, "channel can't be checked", channel=str(address))
                faults.append(f"channel {address}: {unforeseen}. {A_DEFECT}")
        return faults

    async def _look_at(self, connection: Connection, address: Address) -> None:
        """Find a channel as the connection would, and read its newest message. Raises ChannelFault."""
        peer = await self._find(connection, address)
        page = await connection.before(peer, 0, 1)
        other = self._found.setdefault(peer.channel_id, address)
        if other is not address:
            raise ChannelFault(f"it is the same channel as {other}", "Leave one of them out of telegram.channels")
        self._say(describe(address, page.title, peer.channel_id, peer.is_member, self._options["monitor_seconds"]))

    async def _find(self, connection: Connection, address: Address) -> Peer:
        """By what the journal knows of the address, or by asking: Telegram looks up few names a day."""
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
        """This account's peer, and the channels that the address led to for whatever account."""
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
