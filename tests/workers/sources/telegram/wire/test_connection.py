"""The connection itself: what it does when telethon's own parts die, and where the chats come in pages."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Awaitable, Callable
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace

import pytest
from telethon.tl import types

from tests.servers.telegram import TelegramServer
from workers.sources.telegram.wire.account import Account
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.errors import ConnectionLost
from workers.sources.telegram.wire.peers import _offset_after

pytestmark = pytest.mark.tree


def with_connection(server: TelegramServer, folder: Path, use: Callable[[Connection], Awaitable[None]]) -> None:
    """Have an open connection, and nothing left of it."""
    options = {
        "api_id": server.api_id,
        "api_hash": server.api_hash,
        "session": server.session_string(),
        "server": server.address,
        "public_key": "",
        "proxy": "",
        "state_dir": str(folder),
    }

    async def run() -> None:
        connection = Connection(Account.from_options(options), lambda hint: None)
        await connection.connect()
        try:
            await use(connection)
        finally:
            await connection.close()
        left = [task for task in asyncio.all_tasks() if task is not asyncio.current_task()]
        assert left == []

    asyncio.run(run())


@pytest.mark.parametrize("name", ["_updates_handle", "_keepalive_handle"])
def test_a_connection_that_has_gone_deaf_is_lost(server: TelegramServer, tmp_path: Path, name: str) -> None:
    """Telethon's tasks may die of an error that nobody hears of, while it counts as connected."""

    async def use(connection: Connection) -> None:
        lost = asyncio.create_task(connection.lost())
        await asyncio.sleep(0.05)
        assert not lost.done()
        getattr(connection._client, name).cancel()
        with pytest.raises(ConnectionLost, match="takes no updates any more"):
            await asyncio.wait_for(lost, 5)

    with_connection(server, tmp_path, use)


def test_nobody_has_to_see_how_a_connection_ended(server: TelegramServer, tmp_path: Path) -> None:
    """Another task may notice first that it was cut, and end the one that waits for just that."""
    complaints: list[object] = []

    async def use(connection: Connection) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda loop, context: complaints.append(context))
        lost = asyncio.create_task(connection.lost())
        await asyncio.sleep(0.05)
        lost.cancel()
        await asyncio.wait({lost}, timeout=5)
        server.drop_connections()
        async with asyncio.timeout(5):
            while connection._client.is_connected():
                await asyncio.sleep(0.01)

    with_connection(server, tmp_path, use)
    gc.collect()
    assert complaints == []


def test_chats_without_a_channel_or_a_message_end_no_page() -> None:
    """Telegram leaves out of `chats` what the account was thrown out of, and of `messages` what was deleted."""
    date = datetime(2026, 1, 1, tzinfo=UTC)
    chats = [types.Channel(id=n, title="", photo=None, date=date, access_hash=1) for n in (1, 2)]
    messages = [types.Message(id=10 * n, peer_id=types.PeerChannel(n), date=date, message="") for n in (1, 3)]
    dialogs = [SimpleNamespace(peer=types.PeerChannel(n), top_message=10 * n) for n in (1, 2, 3, 4)]
    answer = SimpleNamespace(chats=chats, users=[], messages=messages, dialogs=dialogs)
    assert _offset_after(answer) == (date, 10, types.InputPeerChannel(1, 1))
    answer.messages = []
    assert _offset_after(answer) is None
