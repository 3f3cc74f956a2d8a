"""The listening socket, when there are no descriptors left or connections enough."""

from __future__ import annotations

import errno
import socket
import time
from collections.abc import Callable, Mapping
from typing import Any

import structlog

MOST_CONNECTIONS = 2000
"""Beyond this clients wait in the kernel's queue, until a silent connection is closed."""

AT_ONCE = 100
"""Most connections that are accepted at one look: those that are open get their turn, and all are counted."""

REST_SECONDS = 0.5
"""How long nothing is accepted after a failure. asyncio looks again after a second."""

SPELL_SECONDS = 60.0
"""A shortage that was not met for this long is over: the next one is logged."""

SHORTAGES = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)

log = structlog.get_logger()


class Listener(socket.socket):
    """One failure to accept ends a look at the queue, and one record tells of all that follow.

    asyncio tries to accept as often as the queue is long, also after a failure, and logs each with its traceback: a
    process without a descriptor would do nothing else.
    """

    def __init__(self, fd: int, connections: Callable[[], int]) -> None:
        """`connections` counts those that are open."""
        super().__init__(fileno=fd)
        self._connections = connections
        self._rests_until = self._short_at = float("-inf")
        self._accepted = 0

    def accept(self) -> tuple[socket.socket, Any]:
        """Accept a connection as any socket does. Raises BlockingIOError if none waits or may be accepted now."""
        now = time.monotonic()
        if now < self._rests_until or self._accepted >= AT_ONCE:
            self._accepted = 0
            raise BlockingIOError(errno.EAGAIN, "nothing is accepted now")
        try:
            if (count := self._connections()) >= MOST_CONNECTIONS:
                raise OSError(errno.EMFILE, f"{count} connections are open")
            accepted = super().accept()
            self._accepted += 1
            return accepted
        except OSError as error:
            self._accepted = 0
            if error.errno in SHORTAGES:
                self._rests_until = now + REST_SECONDS
                if now - self._short_at > SPELL_SECONDS:
                    log.error("server.full", why=error.strerror)
                self._short_at = now
            raise


def is_told(context: Mapping[str, Any]) -> bool:
    """Whether an error of asyncio's loop is one that a listener has logged."""
    error = context.get("exception")
    return isinstance(error, OSError) and error.errno in SHORTAGES and "accept" in str(context.get("message"))
