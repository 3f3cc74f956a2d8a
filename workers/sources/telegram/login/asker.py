"""Asks Telegram on behalf of a person who logs in. Every request ends in its time.

The connection lives in a thread of its own: the main thread waits for the person, so that Ctrl-C works at any moment.
One that is lost while the person is thinking is made again.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Awaitable, Coroutine
from contextlib import suppress
from typing import Any, Final, TypeVar

from telethon import TelegramClient, events
from telethon.sessions import MemorySession
from telethon.tl import functions, types

from ipc.process.holds import Hold
from ipc.text.durations import duration
from workers.sources.telegram.login.answers import LoginFailed, sorted_answer
from workers.sources.telegram.wire.account import LOGIN, Account
from workers.sources.telegram.wire.client import connect, make_client
from workers.sources.telegram.wire.connection import CLOSE_SECONDS, CONNECT_SECONDS, REQUEST_SECONDS
from workers.sources.telegram.wire.errors import (
    UNREACHABLE,
    ConnectionLost,
    Flooded,
    ServerTrouble,
    StaleReference,
    Unreadable,
)
from workers.sources.telegram.wire.translation import translated

T = TypeVar("T")

MIN_QR_SECONDS: Final = 1.0
MAX_QR_SECONDS: Final = 60.0
"""How long one code is shown, whatever the clocks say. Telegram's live for 30 s."""


class Asker:
    """Each request may raise Again, CodeExpired, PasswordNeeded and LoginFailed. `session` is what a login fills."""

    def __init__(self, account: Account) -> None:
        self.session = MemorySession()
        self._account = account
        self._client: TelegramClient | None = None
        self._accepted = asyncio.Event()
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="telegram", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def end(self, *, log_out: bool) -> None:
        """Close the connection and end the thread. `log_out`: end the session at Telegram before."""
        try:
            self._run(self._leave(log_out))
        finally:
            self._loop.call_soon_threadsafe(self._loop.stop)
            self._thread.join()
            self._loop.close()

    def ask(self, request: Any) -> Any:
        """Telegram's answer."""
        return self._run(self._ask(request))

    def next_token(self) -> Any:
        """What the next QR code says, or the login if the last one was accepted."""
        return self._run(self._next_token())

    def await_acceptance(self, expires: float) -> None:
        """Wait until a QR code is accepted, or too old: `expires` is a Unix second of Telegram's clock."""
        self._run(self._await_acceptance(expires))

    # In the thread

    def _run(self, work: Coroutine[Any, Any, T]) -> T:
        """Have the work done in the loop's thread, and wait for it where a Ctrl-C arrives."""
        future = asyncio.run_coroutine_threadsafe(work, self._loop)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    async def _ask(self, request: Any) -> Any:
        """Telegram's answer; on a new connection if the old one is gone by now."""
        trouble = ""
        for _ in range(2):
            try:
                client = await self._connected()
                return await self._limited(client(request), REQUEST_SECONDS)
            except ConnectionLost as error:
                trouble = str(error)
                await self._disconnect()
        raise LoginFailed(f"Telegram cannot be reached: {trouble}. {UNREACHABLE}")

    async def _limited(self, answer: Awaitable[Any], seconds: float) -> Any:
        """The answer in its time; what is none becomes an error of the login, or ConnectionLost."""
        try:
            async with asyncio.timeout(seconds):
                return await translated(sorted_answer(answer))
        except TimeoutError as error:
            raise ConnectionLost(f"no answer within {duration(seconds)}") from error
        except Flooded as flood:
            raise LoginFailed(
                f"Telegram asks to wait for {duration(flood.seconds)} before the next attempt. Run bin/run login then"
            ) from flood
        except (ServerTrouble, Unreadable, StaleReference) as error:
            raise LoginFailed(f"{error}. Try again later") from error
        except Hold as hold:
            raise LoginFailed(hold.what if LOGIN in hold.remedy else str(hold)) from hold

    async def _connected(self) -> TelegramClient:
        if self._client is None or not self._client.is_connected():
            await self._disconnect()
            self._client = make_client(self._account, self.session)
            self._client.add_event_handler(self._hear_acceptance, events.Raw(types.UpdateLoginToken))
            await self._limited(connect(self._client), CONNECT_SECONDS)
        return self._client

    async def _disconnect(self) -> None:
        client, self._client = self._client, None
        if client is not None:
            with suppress(Exception):
                async with asyncio.timeout(CLOSE_SECONDS):
                    await client.disconnect()

    async def _leave(self, log_out: bool) -> None:
        with suppress(Exception):
            if log_out and self._client is not None:
                async with asyncio.timeout(CLOSE_SECONDS):
                    await self._client(functions.auth.LogOutRequest())
        await self._disconnect()
        rest = asyncio.all_tasks() - {asyncio.current_task()}
        for task in rest:
            task.cancel()
        await asyncio.gather(*rest, return_exceptions=True)

    async def _next_token(self) -> Any:
        self._accepted.clear()
        account = self._account
        answer = await self._ask(functions.auth.ExportLoginTokenRequest(account.api_id, account.api_hash, []))
        if isinstance(answer, types.auth.LoginTokenMigrateTo):  # the account lives in another data centre
            client = await self._connected()
            await self._limited(client._switch_dc(answer.dc_id), CONNECT_SECONDS)
            answer = await self._ask(functions.auth.ImportLoginTokenRequest(answer.token))
        return answer

    async def _await_acceptance(self, expires: float) -> None:
        client = await self._connected()
        # By the server's clock, which the key exchange has shown.
        left = expires - time.time() - client._sender._state.time_offset
        with suppress(TimeoutError):
            async with asyncio.timeout(min(max(left, MIN_QR_SECONDS), MAX_QR_SECONDS)):
                await self._accepted.wait()

    async def _hear_acceptance(self, update: Any) -> None:
        self._accepted.set()
