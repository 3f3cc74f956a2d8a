"""`TelegramServer`: what tests see."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Coroutine
from pathlib import Path
from socket import socket
from types import TracebackType
from typing import Any, Self, TypeVar

from telethon import TelegramClient
from telethon.sessions import MemorySession, SQLiteSession, StringSession

from tests.servers.telegram.background import LOOPBACK, LoopThread, bind, listen
from tests.servers.telegram.exchange import server_key
from tests.servers.telegram.faults import Faults, error_of
from tests.servers.telegram.hub import Hub, Request
from tests.servers.telegram.keys import Authorization
from tests.servers.telegram.world import CDN_DC, HOME_DC, OTHER_DC, World

T = TypeVar("T")


class TelegramServer:
    """Telegram on loopback ports, one for each data centre, from `with` to its end.

    `world` is what there is to see and may be shared by servers one after the other; `faults` are the rules that spoil
    it. All methods may be called from the test's thread. At the end nothing is left: no thread, socket or task.
    """

    def __init__(self, world: World | None = None, *, port: int = 0) -> None:
        self.world = world or World()
        self.api_id = 12345
        self.api_hash = "0123456789abcdef0123456789abcdef"
        self._hub = Hub(self.world, self.api_id, self.api_hash)
        self._sockets: dict[int, socket] = {}
        self._first_port = port
        self._thread: LoopThread | None = None

    def __enter__(self) -> Self:
        self._forget_config()
        self._thread = LoopThread("telegram-server")
        self._sockets = {HOME_DC: listen(self._first_port), OTHER_DC: listen(), CDN_DC: listen()}
        self._hub.ports.update({dc: bound.getsockname()[1] for dc, bound in self._sockets.items()})
        self._listen()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._forget_config()
        thread, self._thread = self._thread, None
        assert thread is not None
        try:
            thread.call(self._hub.close())
        finally:
            for bound in self._sockets.values():
                bound.close()
            thread.close()
        assert not self._hub.connections, "the server has left connections"

    @staticmethod
    def _forget_config() -> None:
        # Telethon keeps the answer of help.getConfig with the class: the ports of the last server would be used again.
        TelegramClient._config = None

    # What a client needs

    @property
    def address(self) -> str:
        """host:port of the home data centre."""
        return f"{LOOPBACK}:{self.port}"

    @property
    def port(self) -> int:
        return self._hub.ports[HOME_DC]

    @property
    def ports(self) -> dict[int, int]:
        """The port of each data centre."""
        return dict(self._hub.ports)

    @property
    def public_key(self) -> str:
        """What a client that exchanges keys must trust (PEM): `telethon.crypto.rsa.add_key(…, old=False)`."""
        return server_key().public

    def session_string(self, *, logged_in: bool = True) -> str:
        """A new session as Telethon's StringSession: its key is known here, so it needs no exchange."""
        return str(StringSession.save(self._session_into(MemorySession(), logged_in=logged_in)))

    def session_file(self, path: Path, *, logged_in: bool = True) -> Path:
        """A new session as Telethon's SQLite file, for its owner's eyes only; its name must end in .session."""
        assert path.suffix == ".session", "Telethon would add it to the name"
        os.close(os.open(path, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o600))
        session = SQLiteSession(str(path))
        try:
            self._session_into(session, logged_in=logged_in)
            session.save()
        finally:
            session.close()
        return path

    def fresh_session(self) -> Any:
        """An empty session (Telethon's MemorySession) that at least goes here: without an address it would go out."""
        session = MemorySession()
        session.set_dc(HOME_DC, LOOPBACK, self.port)
        return session

    def _session_into(self, session: Any, *, logged_in: bool) -> Any:
        session.set_dc(HOME_DC, LOOPBACK, self.port)
        session.auth_key = self._hub.keys.make(HOME_DC, logged_in=logged_in).key
        return session

    # Up and down

    def stop(self) -> None:
        """Be down: every connection is closed and new ones are refused. Keys and the world are kept."""
        self._refuse()
        self.drop_connections()

    def start(self) -> None:
        """Be up again, on the same ports."""
        self.accept_connections()

    def drop_connections(self) -> None:
        """Close every connection at once."""
        self._in_loop(self._hub.drop)

    def refuse_connections(self, seconds: float | None = None) -> None:
        """Refuse new connections, for that number of seconds or until `accept_connections`; open ones go on."""
        self._refuse()
        if seconds is not None:
            loop = self._running.loop
            loop.call_soon_threadsafe(loop.call_later, seconds, lambda: loop.create_task(self._accept()))

    def close_data_centre(self, dc_id: int) -> None:
        """Refuse and drop the connections of one data centre, until `accept_connections`; the others go on."""
        self._call(self._deafen(dc_id))
        self._in_loop(self._hub.drop, dc_id)

    def drop_data_centre(self, dc_id: int) -> None:
        """Close the connections of one data centre, as Telegram does with those that are of no use for minutes."""
        self._in_loop(self._hub.drop, dc_id)

    def accept_connections(self) -> None:
        """Take new connections again."""
        self._call(self._accept())

    # What happens once, at once

    def send_garbage(self, length: int = 64, *, framed: bool = False) -> None:
        """Noise to every client: raw, after which it may wait for ever for the end of a packet, or as a packet."""
        self._to_all(lambda one: one.write_noise(length, framed=framed))

    def send_transport_error(self, code: int) -> None:
        """A transport error (404, 429) to every client, and the end of its connection."""
        self._to_all(lambda one: one.transport_error(code))

    def revoke(self, error: str = "AUTH_KEY_UNREGISTERED", code: int | None = None) -> None:
        """End all sessions: every request of a key that is known now gets this error."""
        for authorization in self._hub.keys.all():
            authorization.refusal = error_of(error, code)

    def restore(self) -> None:
        """Let revoked (or duplicated) sessions be good again."""
        for authorization in self._hub.keys.all():
            authorization.refusal = None

    def forget_keys(self) -> None:
        """Know no key any more: transport error 404 for every packet that comes."""
        self._hub.keys.forget()

    def change_salts(self) -> None:
        """Other salts for all: each client is told with its next request, and has to repeat that."""
        for authorization in self._hub.keys.all():
            authorization.salt ^= 0x5A5A

    def mute_updates(self) -> None:
        """Push nothing from now on; what happens can still be found by asking."""
        self.faults.updates("lost")

    def unmute_updates(self) -> None:
        """Push again."""
        for fault in self.faults.in_force("updates lost"):
            fault.clear()

    # Logging in

    def expire_codes(self) -> None:
        """Login codes sent so far are too old."""
        self._hub.logins.expire_codes()

    def login_tokens(self) -> list[bytes]:
        """Those that were asked for and not accepted yet."""
        return list(self._hub.logins.tokens)

    def accept_qr(self, token: bytes | str) -> None:
        """As another device, accept a login token, or the tg://login address that the QR code shows."""
        authorization: Authorization = self._hub.logins.accept(token)
        self._in_loop(self._hub.tell_login, authorization)

    # What has been seen

    @property
    def faults(self) -> Faults:
        return self._hub.faults

    @property
    def requests(self) -> Counter[str]:
        """How often each method was called."""
        return self._hub.requests

    @property
    def log(self) -> list[Request]:
        """The requests in order, with their monotonic times, data centres and channels."""
        return list(self._hub.log)

    @property
    def unexpected(self) -> list[str]:
        """Methods that don't exist here, and mistakes of our own: a test ends by asserting that there are none."""
        return self._hub.unexpected

    @property
    def connections(self) -> int:
        """How many there are now, in all data centres."""
        return len(self._hub.connections)

    @property
    def connections_total(self) -> int:
        """How many there have ever been."""
        return self._hub.connections_total

    @property
    def subscribers(self) -> int:
        """How many connections are pushed updates to."""
        return len(self._hub.subscribers())

    @property
    def bytes_served(self) -> int:
        """Bytes of files."""
        return self._hub.bytes_served

    @property
    def updates_pushed(self) -> int:
        return self._hub.pusher.pushed

    @property
    def acknowledged(self) -> int:
        """How many of our messages the clients have acknowledged."""
        return self._hub.acknowledged

    @property
    def duplicates(self) -> int:
        """How often one key was used by two live clients at once."""
        return self._hub.duplicates

    # Inside

    @property
    def _running(self) -> LoopThread:
        assert self._thread is not None, "the server runs inside `with`"
        return self._thread

    def _call(self, work: Coroutine[Any, Any, T]) -> T:
        return self._running.call(work)

    def _in_loop(self, what: Any, *arguments: Any) -> None:
        async def run() -> None:
            what(*arguments)

        self._call(run())

    def _to_all(self, what: Any) -> None:
        def run() -> None:
            for connection in list(self._hub.connections):
                what(connection)

        self._in_loop(run)

    def _listen(self) -> None:
        self._call(self._hub.listen(self._sockets))

    def _refuse(self) -> None:
        self._call(self._deafen())

    async def _deafen(self, dc_id: int | None = None) -> None:
        for closed in await self._hub.deafen(dc_id):
            # Bound but not listened on: the port stays ours, and connections are refused.
            self._sockets[closed] = bind(self._hub.ports[closed])

    async def _accept(self) -> None:
        await self._hub.listen(self._sockets)
