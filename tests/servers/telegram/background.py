"""An event loop in a thread of its own, and ports that stay one's own."""

from __future__ import annotations

import asyncio
import random
import socket
import threading
from collections.abc import Coroutine
from contextlib import suppress
from typing import Any, TypeVar

T = TypeVar("T")

CALL_SECONDS = 30.0
LOOPBACK = "127.0.0.1"

# Below the range that the kernel takes ports from for outgoing connections: a client that tries a closed port in that
# range can be given the very same port for its own end, and then is connected to itself.
PORTS = range(10_000, 32_000)


class LoopThread:
    """Runs coroutines for callers of other threads."""

    def __init__(self, name: str) -> None:
        self.loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self.loop.run_forever, name=name, daemon=True)
        self._thread.start()

    def call(self, work: Coroutine[Any, Any, T]) -> T:
        """Run it there, and wait for what it gives."""
        return asyncio.run_coroutine_threadsafe(work, self.loop).result(CALL_SECONDS)

    def close(self) -> None:
        """End the thread; AssertionError if anything was still running in it."""
        left = self.call(self._others())
        self.loop.call_soon_threadsafe(self.loop.stop)
        self._thread.join(CALL_SECONDS)
        assert not self._thread.is_alive(), "the server's thread doesn't end"
        self.loop.close()
        assert not left, f"the server has left tasks: {left}"

    async def _others(self) -> list[str]:
        # What a closed connection's streams still have to do takes a turn or two of the loop.
        for _ in range(5):
            await asyncio.sleep(0)
        return [repr(task) for task in asyncio.all_tasks() if task is not asyncio.current_task()]


def bind(port: int, *, listens: bool = False) -> socket.socket:
    """A socket that has the port; it refuses connections until it listens. Raises OSError if the port is taken."""
    bound = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
    bound.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    try:
        bound.bind((LOOPBACK, port))
        if listens:
            bound.listen()
    except OSError:
        bound.close()
        raise
    return bound


def listen(port: int = 0) -> socket.socket:
    """A socket that listens on the port (0: any free one), so that it is its own: a port that is only bound can be had
    by two, of which the second one to listen fails. Who connects waits to be accepted.
    """
    if port:
        return bind(port, listens=True)
    for candidate in random.sample(PORTS, 200):
        with suppress(OSError):
            return bind(candidate, listens=True)
    raise OSError("no free port")
