"""The control socket: how `bin/run reload`, `restart`, `stop`, `start NAME` and `import` reach the root.

A Unix socket in state_dir that only its owner may use; its clients use `ipc.transport.control_client`. A request is one
line of JSON, and so is the answer; then the connection is closed. The root's loop never waits for a client, and nothing
that a client says or does can end it.
"""

from __future__ import annotations

import contextlib
import errno
import json
import os
import socket
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import structlog

from ipc.transport.control_client import NAME, short_address
from supervisor.processes.loop.protocols import Loop

MAX_BYTES = 32 * 1024
"""Largest request, in bytes. The longest path fits, with each byte spelt out as JSON may have to."""

CLIENT_SECONDS = 5.0
"""Longest time that a client may take to send its request, in seconds."""

MOST_CLIENTS = 16
"""Clients at the same time. An operation takes milliseconds; clients beyond these are turned away."""

log = structlog.get_logger()


@dataclass(slots=True)
class _Client:
    """Somebody who asks, and what has come of the request; `until` in monotonic seconds."""

    connection: socket.socket
    until: float
    said: bytearray = field(default_factory=bytearray)


class Control:
    """The root's end. `take` is given each request, a dictionary, and gives the answer."""

    def __init__(self, state_dir: Path, loop: Loop, take: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        self._path = state_dir / NAME
        self._loop = loop
        self._take = take
        self._clients: dict[int, _Client] = {}
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
        self._socket = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        self._path.unlink(missing_ok=True)  # of a root that was killed: we have the lock on this folder
        with short_address(state_dir) as address:
            before = os.umask(0o177)
            try:
                self._socket.bind(address)
            finally:
                os.umask(before)
        self._made = _number(self._path)
        self._socket.listen(8)
        self._socket.setblocking(False)
        loop.watch(self._socket.fileno(), self._accept)

    def close(self) -> None:
        for client in list(self._clients.values()):
            client.connection.close()
        self._socket.close()
        os.close(self._spare)
        if _number(self._path) == self._made:  # else the folder has been replaced, and that one is somebody else's
            self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        now = time.monotonic()
        for client in [one for one in self._clients.values() if now > one.until]:
            self._end(client)
        try:
            connection, _ = self._socket.accept()
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._turn_one_away()
            return  # or the client has closed it again
        if len(self._clients) >= MOST_CLIENTS:
            connection.close()
            return
        connection.setblocking(False)
        client = _Client(connection, now + CLIENT_SECONDS)
        self._clients[connection.fileno()] = client
        self._loop.watch(connection.fileno(), lambda: self._hear(client))

    def _turn_one_away(self) -> None:
        """Turn a client away: there is no descriptor for it. Left waiting, it would wake the loop again and again."""
        os.close(self._spare)
        with contextlib.suppress(OSError):
            self._socket.accept()[0].close()
        self._spare = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)

    def _hear(self, client: _Client) -> None:
        if client.connection.fileno() not in self._clients:
            return  # its time was up in this very round
        try:
            data = client.connection.recv(MAX_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        client.said += data
        if data and b"\n" not in client.said and len(client.said) <= MAX_BYTES:
            return
        if data:
            answer = json.dumps(self._answer(client.said)).encode() + b"\n"
            with contextlib.suppress(OSError):  # the client may be gone
                client.connection.send(answer)
        self._end(client)

    def _answer(self, said: bytearray) -> dict[str, Any]:
        try:
            request = json.loads(said)
            if not isinstance(request, dict):
                raise TypeError("no object")
        except (ValueError, TypeError, RecursionError) as error:
            return {"ok": False, "lines": [f"not a request: {error}"]}
        try:
            return self._take(request)
        except Exception as error:
            # A defect of ours must not end the tree.
            log.exception("operation.failed", action=str(request.get("action"))[:100])
            return {"ok": False, "lines": [f"the operation failed: {type(error).__name__}. The log has more"]}

    def _end(self, client: _Client) -> None:
        del self._clients[client.connection.fileno()]
        self._loop.unwatch(client.connection.fileno())
        client.connection.close()


def _number(path: Path) -> tuple[int, int] | None:
    """What tells this file from any other at that path; None: there is none."""
    try:
        there = path.stat()
    except OSError:
        return None
    return there.st_dev, there.st_ino
