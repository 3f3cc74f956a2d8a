"""The connections to an S3 service: with a send buffer of our size, and signs of when it last took or gave anything.

How far an upload has got shows in what is read of its file, and, since the kernel takes the last blocks at once, in how
much of it the kernel has not yet got rid of. So a thin line can be told from a service that hangs, long before there is
an answer or a time-out.
"""

from __future__ import annotations

import fcntl
import io
import os
import socket
import struct
import termios
import threading
import time
import weakref
from typing import Any

import botocore.session
from botocore.awsrequest import (
    AWSHTTPConnection,
    AWSHTTPConnectionPool,
    AWSHTTPSConnection,
    AWSHTTPSConnectionPool,
)
from botocore.httpsession import URLLib3Session
from botocore.utils import get_environ_proxies

SEND_BUFFER_BYTES = 128 * 2**10
"""How much of an upload may be on its way unseen (the kernel makes it twice that). By default the kernel takes several
MiB at once, and the wait for the answer began while they were still to be sent: on a slow connection that eight uploads
share, a large original never got there in time. Now 10 KB/s a connection will do; and 50 ms away it has up to 5 MB/s.
"""


class SignsOfLife:
    """When the service last took or gave anything. Threads may share it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = time.monotonic()
        self._unsent: weakref.WeakKeyDictionary[socket.socket, int] = weakref.WeakKeyDictionary()

    def note(self) -> None:
        """Note that the service has taken or given something just now."""
        self._last = time.monotonic()

    def follow(self, connection: socket.socket) -> None:
        """Look from now on at what of this connection's data is still to be sent."""
        self.note()
        with self._lock:
            self._unsent[connection] = 0

    def last(self) -> float:
        """When the last sign of life came (monotonic). Bytes that the kernel sent since the last call count as now."""
        with self._lock:
            for connection, before in list(self._unsent.items()):
                self._unsent[connection] = left = _unsent_bytes(connection)
                if left < before:
                    self.note()
        return self._last


class Upload(io.BufferedReader):
    """A file that is sent: what is read of it is taken by the service, or by the kernel on its behalf."""

    def __init__(self, file: io.FileIO, signs: SignsOfLife) -> None:
        super().__init__(file)
        self._signs = signs

    def read(self, most: int | None = -1, /) -> bytes:
        self._signs.note()
        return super().read(most)


def http_of(session: botocore.session.Session, endpoint: str, config: Any, signs: SignsOfLife) -> URLLib3Session:
    """Connections as botocore makes them, but with a send buffer of our size, for which it has no setting."""
    bundle = session.get_config_variable("ca_bundle") or os.environ.get("REQUESTS_CA_BUNDLE")
    options: dict[str, Any] = {
        "verify": bundle or True,
        "proxies": get_environ_proxies(endpoint),
        "timeout": (config.connect_timeout, config.read_timeout),
        "max_pool_connections": config.max_pool_connections,
        "socket_options": [
            (socket.IPPROTO_TCP, socket.TCP_NODELAY, 1),
            (socket.SOL_SOCKET, socket.SO_SNDBUF, SEND_BUFFER_BYTES),
        ],
    }
    http: Any = URLLib3Session(**options)
    http._pool_classes_by_scheme = http._manager.pool_classes_by_scheme = _pools_with(signs)
    return http  # type: ignore[no-any-return]


def _pools_with(signs: SignsOfLife) -> dict[str, type]:
    """botocore's connection pools, whose connections are followed once they stand."""

    class Plain(AWSHTTPConnection):
        def connect(self) -> None:
            super().connect()
            signs.follow(self.sock)

    class Secure(AWSHTTPSConnection):
        def connect(self) -> None:
            super().connect()
            signs.follow(self.sock)

    class PlainPool(AWSHTTPConnectionPool):
        ConnectionCls = Plain

    class SecurePool(AWSHTTPSConnectionPool):
        ConnectionCls = Secure

    return {"http": PlainPool, "https": SecurePool}


def _unsent_bytes(connection: socket.socket) -> int:
    """Bytes that the other side has not confirmed yet; 0 if the connection is closed."""
    try:
        return int(struct.unpack("i", fcntl.ioctl(connection, termios.TIOCOUTQ, b"\0\0\0\0"))[0])
    except (OSError, ValueError):
        return 0
