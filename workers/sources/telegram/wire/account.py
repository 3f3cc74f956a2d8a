"""Whose session it is, and how Telegram is reached: the connection's options, read and checked.

The session is a file that `login` makes, or a string in the configuration. Either is read into memory once. Only
`login` writes to the file, so no database error of the session's can stop the client (it would do so silently),
and a key that Telegram wipes is still in the file.
"""

from __future__ import annotations

import asyncio
import fcntl
import hashlib
import os
import re
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import structlog

from ipc import private_files
from ipc.process.holds import Hold

LOGIN = "Stop the program, run bin/run login, and start it again"
STRING_SESSION = re.compile(r"1[A-Za-z0-9_-]{340,400}={0,2}")
"""What a StringSession looks like; anything else is a file's name."""

LONGEST_NAME = 200
"""Longer than that, it is a StringSession that something is missing from: a secret, never to be shown."""

DEFAULT_DC = 2

GRACE_SECONDS = 10.0
"""How long a process that is being replaced may take to let go of the session."""

LOCK_POLL_SECONDS = 0.1

log = structlog.get_logger()


@dataclass(frozen=True, slots=True)
class Server:
    """A server instead of Telegram's own, for tests: the data centre's number, host and port."""

    dc: int
    host: str
    port: int


@dataclass(frozen=True, slots=True)
class Proxy:
    """`kind` is "socks5", "http" or "mtproxy"; the last has a `secret` instead of a user and a password."""

    kind: str
    host: str
    port: int
    user: str | None = None
    password: str | None = None
    secret: str | None = None


@dataclass(frozen=True, slots=True)
class Account:
    """What it takes to be connected. Its representation shows no secret."""

    api_id: int
    api_hash: str
    session: str
    state_dir: Path
    server: Server | None
    public_key: str
    proxy: Proxy | None

    @classmethod
    def from_options(cls, options: dict[str, Any]) -> Account:
        """The account of the options of `connection`, `login` and `check`, which the settings have checked."""
        return cls(
            api_id=options["api_id"],
            api_hash=options["api_hash"],
            session=options["session"],
            state_dir=Path(options["state_dir"]),
            server=parse_server(options["server"]),
            public_key=options["public_key"],
            proxy=parse_proxy(options["proxy"]),
        )

    def __repr__(self) -> str:
        return f"Account(api_id={self.api_id})"

    @property
    def is_string(self) -> bool:
        """Whether the session is in the configuration itself."""
        return STRING_SESSION.fullmatch(self.session) is not None

    @property
    def names_nothing(self) -> str:
        """What is wrong with a session that is neither a string nor the name of a file; else empty."""
        if self.is_string or len(self.session) <= LONGEST_NAME:
            return ""
        return "telegram.session is neither a file's name nor a whole StringSession"

    @property
    def path(self) -> Path:
        """The session's file. Telethon adds the ending where it is left out, and so do we."""
        return self.state_dir / (self.session if self.session.endswith(".session") else f"{self.session}.session")

    @asynccontextmanager
    async def owned(self) -> AsyncIterator[None]:
        """Be the only process of this machine that uses the session. Raises Hold if another one does.

        One that is about to end is waited for. Of a session that is a string, the owner is the process that has locked
        a file in state_dir that is named by its digest.
        """
        fd = self._open_lock() if self.is_string else self._open_file()
        try:
            await self._lock(fd)
            yield
        finally:
            os.close(fd)

    def _open_lock(self) -> int:
        path = self.state_dir / f"session-{hashlib.sha256(self.session.encode()).hexdigest()[:16]}.lock"
        try:
            return private_files.open_file(path, os.O_RDONLY)
        except OSError as error:
            what = f"the session's lock {path} cannot be made: {error.strerror}"
            raise Hold(what, "See that state_dir is there and can be written") from error

    def _open_file(self) -> int:
        """The session's file, readable only by its owner from now on: its content is the account."""
        if self.names_nothing:
            raise Hold(self.names_nothing, "Correct it")
        try:
            fd = os.open(self.path, os.O_RDONLY | os.O_NONBLOCK)  # a FIFO would have us wait for its writer
        except OSError as error:
            raise Hold(f"the session {self.path} cannot be read: {error.strerror}", LOGIN) from error
        try:
            if os.fstat(fd).st_mode & 0o077:
                os.fchmod(fd, 0o600)
                log.warning("session.protected", file=str(self.path))
        except OSError as error:
            os.close(fd)
            what = f"the session {self.path} can be read by others, and that cannot be changed: {error.strerror}"
            raise Hold(what, f"chmod 600 {self.path}") from error
        return fd

    async def _lock(self, fd: int) -> None:
        until = time.monotonic() + GRACE_SECONDS
        while True:
            try:
                fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
                return
            except BlockingIOError as error:
                if time.monotonic() >= until:
                    which = "of telegram.session" if self.is_string else str(self.path)
                    raise Hold(
                        f"the session {which} is in use by another process",
                        "One session serves one program: stop the other, or log in once more with another"
                        " telegram.session",
                    ) from error
            await asyncio.sleep(LOCK_POLL_SECONDS)


def parse_server(text: str) -> Server | None:
    """The server in "HOST:PORT" or "DC@HOST:PORT"; None for Telegram's own.

    >>> parse_server("4@127.0.0.1:443")
    Server(dc=4, host='127.0.0.1', port=443)
    """
    if not text:
        return None
    dc, _, address = text.rpartition("@")
    host, _, port = address.rpartition(":")
    return Server(int(dc) if dc else DEFAULT_DC, host.strip("[]"), int(port))


def parse_proxy(text: str) -> Proxy | None:
    """The proxy in "socks5://…", "http://…" or "mtproxy://SECRET@HOST:PORT"; None for none.

    >>> parse_proxy("socks5://me:p%40ss@127.0.0.1:1080")
    Proxy(kind='socks5', host='127.0.0.1', port=1080, user='me', password='p@ss', secret=None)
    """
    if not text:
        return None
    parts = urlsplit(text)
    assert parts.hostname and parts.port, "the settings have checked it"
    user = unquote(parts.username) if parts.username else None
    password = unquote(parts.password) if parts.password else None
    if parts.scheme == "mtproxy":
        return Proxy("mtproxy", parts.hostname, parts.port, secret=user)
    return Proxy(parts.scheme, parts.hostname, parts.port, user, password)
