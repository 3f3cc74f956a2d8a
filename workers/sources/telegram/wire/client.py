"""Telethon's client, made so that it does nothing of itself: no reconnecting, waiting out floods, changing servers.

Its session is read into memory and never written. What Telegram pushes is heard before its own machinery sees it.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import cryptg  # noqa: F401 - telethon uses it if it is there; without it, a download takes 11 to 200 times as long
from telethon import TelegramClient
from telethon.crypto import rsa
from telethon.network import connection as transports
from telethon.sessions import MemorySession, SQLiteSession, StringSession

from ipc.process.holds import Hold
from workers.sources.telegram.wire.account import LOGIN, Account
from workers.sources.telegram.wire.errors import AccountMoved, ConnectionLost, SessionRefused
from workers.sources.telegram.wire.translation import no_connection, translated


def load_session(account: Account) -> MemorySession:
    """The account's session, in memory. Raises Hold if there is none."""
    try:
        return StringSession(account.session) if account.is_string else _from_file(account)
    except ValueError as error:
        raise Hold("telegram.session is not a StringSession", LOGIN) from error


def _from_file(account: Account) -> MemorySession:
    if not account.path.is_file():
        raise Hold(f"there is no session at {account.path}", LOGIN)
    try:
        stored = SQLiteSession(str(account.path))
    except Exception as error:
        raise Hold(f"the session {account.path} cannot be read: {error}", LOGIN) from error
    session = MemorySession()
    session.set_dc(stored.dc_id, stored.server_address, stored.port)
    session.auth_key = stored.auth_key
    stored.close()
    return session


def make_client(account: Account, session: MemorySession) -> TelegramClient:
    """The client. A session that is new is led to the configured server."""
    if account.public_key:
        rsa.add_key(account.public_key, old=False)
    if account.server and not session.auth_key:
        session.set_dc(account.server.dc, account.server.host, account.server.port)
    transport, proxy = _transport(account)
    logging.getLogger("telethon").setLevel(logging.CRITICAL)  # where no client's own log is at hand
    return TelegramClient(
        session,
        account.api_id,
        account.api_hash,
        connection=transport,
        proxy=proxy,
        use_ipv6=":" in (session.server_address or ""),
        timeout=10,
        request_retries=1,
        connection_retries=1,
        retry_delay=0,
        auto_reconnect=False,
        flood_sleep_threshold=0,
        raise_last_call_error=True,
        catch_up=False,
        device_model="Picturedesk",
        app_version="1",
        base_logger=_Quiet(account),
    )


def _transport(account: Account) -> tuple[type, Any]:
    proxy = account.proxy
    if proxy is None:
        return transports.ConnectionTcpFull, None
    if proxy.kind == "mtproxy":
        transport = transports.ConnectionTcpMTProxyRandomizedIntermediate
        return transport, (proxy.host, proxy.port, proxy.secret)
    return transports.ConnectionTcpFull, {
        "proxy_type": proxy.kind,
        "addr": proxy.host,
        "port": proxy.port,
        "username": proxy.user,
        "password": proxy.password,
        "rdns": True,
    }


class _Quiet(logging.Logger):
    """Telethon's log, which is not shown: what goes wrong is raised, in this program's words.

    Only the log has why a connection fails: the last error that went there is kept.
    """

    def __init__(self, account: Account) -> None:
        super().__init__("telethon", logging.WARNING)
        self.account = account
        self.failure: Exception | None = None

    def getChild(self, suffix: str) -> _Quiet:
        return self

    def handle(self, record: logging.LogRecord) -> None:
        args = record.args if isinstance(record.args, tuple) else ()
        self.failure = next((one for one in args if isinstance(one, Exception)), self.failure)


async def connect(client: TelegramClient) -> None:
    """Connect. Raises what `translation.translated` does; a ConnectionLost says why, and where to."""
    await reached(client, client.connect(), f"{client.session.server_address}:{client.session.port}")


async def reached(client: TelegramClient, connecting: Awaitable[Any], server: str) -> None:
    """Wait for a connection that this client, or a sender with its log, makes to `server`; raises as `connect`."""
    quiet: _Quiet = client._log[__name__]
    quiet.failure = None
    try:
        await translated(connecting)
    except SessionRefused:
        raise
    except ConnectionLost as lost:
        raise no_connection(str(lost), quiet.failure, quiet.account, server) from lost


def stay(client: TelegramClient) -> None:
    """Have the client raise AccountMoved where it would go to another data centre by itself.

    It would forget its key, exchange a new one there, which is not logged in, and end as if it had been cut off.
    """

    async def refuse(data_centre: int) -> NoReturn:
        raise AccountMoved(f"Telegram says that the account lives in data centre {data_centre} now (USER_MIGRATE)")

    client._switch_dc = refuse


def overhear(client: TelegramClient, listener: Callable[[Any], None]) -> None:
    """Give `listener` everything that Telegram pushes, before the client decides about it.

    It keeps updateChannelTooLong to itself, and holds back what comes out of order.
    """
    queue = _Overheard(listener)
    client._updates_queue = client._sender._updates_queue = queue


class _Overheard(asyncio.Queue[Any]):
    """The client's queue of updates, with an ear at its door."""

    def __init__(self, listener: Callable[[Any], None]) -> None:
        super().__init__()
        self._listener = listener

    def put_nowait(self, item: Any) -> None:
        self._listener(item)
        super().put_nowait(item)
