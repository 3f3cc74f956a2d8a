"""The listening socket of a process that has no descriptor left, or connections enough."""

from __future__ import annotations

import asyncio
import errno
import socket
import time
from collections.abc import Iterator
from typing import Any

import pytest
import structlog

from health import listener as module
from health.listener import Listener, is_told

SHORT = OSError(errno.EMFILE, "Too many open files")


@pytest.fixture
def pair() -> Iterator[tuple[Listener, list[int]]]:
    """A listener, and how many connections it is told are open."""
    count = [0]
    server = socket.create_server(("127.0.0.1", 0), backlog=300)
    made = Listener(server.detach(), lambda: count[0])
    made.setblocking(False)
    yield made, count
    made.close()


def test_a_shortage_costs_one_failure_a_second_and_one_record(
    pair: tuple[Listener, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As asyncio asks: 2,048 times at each look, a look each second."""
    one, _ = pair
    failures = []

    def accept(self: socket.socket) -> tuple[socket.socket, Any]:
        failures.append(self)
        raise SHORT

    monkeypatch.setattr(socket.socket, "accept", accept)
    told: list[dict[str, Any]] = []

    async def play() -> None:
        loop = asyncio.get_running_loop()
        loop.set_exception_handler(lambda _, context: told.append(context))
        server = await asyncio.start_server(lambda *_: None, sock=one, backlog=2048)
        with socket.create_connection(one.getsockname()):
            until = time.monotonic() + 10
            while len(failures) < 2 and time.monotonic() < until:
                await asyncio.sleep(0.01)
        server.close()

    with structlog.testing.capture_logs() as records:
        asyncio.run(play())
    assert len(failures) == len(told) == 2 and all(map(is_told, told))
    assert [(one["event"], one["why"]) for one in records] == [("server.full", "Too many open files")]


def test_other_errors_of_the_loop_are_not_kept_back() -> None:
    message = "socket.accept() out of system resource"
    assert is_told({"message": message, "exception": SHORT})
    assert not is_told({"message": message, "exception": OSError(errno.EIO, "no")})
    assert not is_told({"message": "Task exception was never retrieved", "exception": SHORT})
    assert not is_told({"message": "out of memory"})


def test_connections_are_counted_and_taken_some_at_a_time(
    pair: tuple[Listener, list[int]], monkeypatch: pytest.MonkeyPatch
) -> None:
    one, count = pair
    monkeypatch.setattr(module, "AT_ONCE", 2)
    monkeypatch.setattr(module, "MOST_CONNECTIONS", 7)
    clients = [socket.create_connection(one.getsockname()) for _ in range(4)]
    taken: list[socket.socket] = []
    for expected in (2, 2, 0):
        before = len(taken)
        with pytest.raises(BlockingIOError):
            while True:
                taken.append(one.accept()[0])
        assert len(taken) - before == expected
    count[0] = 7
    with structlog.testing.capture_logs() as records, pytest.raises(OSError, match="7 connections are open"):
        one.accept()
    assert [record["event"] for record in records] == ["server.full"]
    for connection in (*clients, *taken):
        connection.close()
