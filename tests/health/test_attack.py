"""The real health process under clients that take and never give, and killed in the middle of an action."""

from __future__ import annotations

import contextlib
import http.client
import json
import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest

from ipc.journal import Journal, figures
from tests import lengths
from tests.backlog import fill_journal
from tests.health.process import health_process
from tests.ipc.builders import kept_counts, kept_reasons, recounted, recounted_counts, recounted_reasons
from tests.ipc.tables import scalar
from tests.supervisor.stage import Stage

pytestmark = pytest.mark.tree

TOKEN = "s3cret"
GONE = select.POLLHUP | select.POLLERR | select.POLLRDHUP
STATUS = b"GET /status HTTP/1.1\r\nHost: localhost\r\n\r\n"
OPENINGS = {
    "says nothing": (60, b""),
    "half a header": (60, b"GET /status HTTP/1.1\r\nHost: loc"),
    "no body": (30, b"POST /session HTTP/1.1\r\nHost: localhost\r\nX-Picturedesk: 1\r\nContent-Length: 99\r\n\r\n"),
    "reads along": (44, b"GET /events HTTP/1.1\r\nHost: localhost\r\n\r\n"),
    "reads nothing": (6, STATUS * 20_000),
}
"""By what they do: how many they are, and what each sends."""


def attack(address: tuple[str, int]) -> dict[str, list[socket.socket]]:
    """Two hundred connections, which are never read from."""
    found: dict[str, list[socket.socket]] = {what: [] for what in OPENINGS}
    for what, (count, opening) in OPENINGS.items():
        for _ in range(count):
            one = socket.socket()
            one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
            one.connect(address)
            one.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                one.send(opening)
            found[what].append(one)
    return found


def is_gone(one: socket.socket) -> bool:
    looker = select.poll()
    looker.register(one, GONE)
    return bool(looker.poll(0))


def ask(address: tuple[str, int], method: str = "GET", path: str = "/status", body: str | None = None) -> int:
    with closing(http.client.HTTPConnection(*address, timeout=20)) as connection:
        headers = {"X-Picturedesk": "1", "Authorization": f"Bearer {TOKEN}"}
        connection.request(method, path, body, headers)
        return connection.getresponse().status


def test_two_hundred_slow_clients_keep_nobody_from_an_answer(tmp_path: Path) -> None:
    Journal.open(tmp_path / "journal.db").close()
    with socket.create_server(("127.0.0.1", 0), backlog=300) as listener:
        address = listener.getsockname()
        stage = Stage(tmp_path / "notes", health_process(tmp_path, listener))

        def script(stage: Stage) -> Iterator[None]:
            yield from stage.all_ready()
            clients = attack(address)
            try:
                assert [ask(address) for _ in range(20)] == [200] * 20
                if lengths.is_long:
                    rest = [one for what in clients if what != "reads along" for one in clients[what]]
                    yield from stage.until("their places", lambda: all(map(is_gone, rest)))
                    assert ask(address) == 200
            finally:
                for one in (one for some in clients.values() for one in some):
                    one.close()

        assert stage.play(script) == 0
    assert stage.ended("health") == [("asked", "stopped as asked (exit code 0)")]


def test_a_kill_while_thousands_come_back_leaves_each_of_them_here_or_there(tmp_path: Path) -> None:
    count = 20_000
    fill_journal(tmp_path / "journal.db", {"dead": count})
    journal = Journal.open(tmp_path / "journal.db")

    def retry() -> None:
        with contextlib.suppress(OSError, http.client.HTTPException):
            ask(address, "POST", "/actions/retry", json.dumps({"all": True}))

    with socket.create_server(("127.0.0.1", 0)) as listener, closing(journal):
        address = listener.getsockname()
        stage = Stage(tmp_path / "notes", health_process(tmp_path, listener, TOKEN))

        def script(stage: Stage) -> Iterator[None]:
            yield from stage.all_ready()
            asking = threading.Thread(target=retry)
            asking.start()
            until = time.monotonic() + 30
            while figures.states(journal)["dead"] == count and time.monotonic() < until:
                time.sleep(0.001)
            os.kill(stage.pid("health"), signal.SIGKILL)
            asking.join()
            left = figures.states(journal)["dead"]
            assert 0 < left < count, "it was in the middle"
            assert figures.states(journal) == recounted(journal)
            assert kept_counts(journal) == recounted_counts(journal)
            assert kept_reasons(journal) == recounted_reasons(journal) and sum(kept_reasons(journal).values()) == left
            half = "SELECT count(*) FROM jobs WHERE (state = 'dead') != (dead_state IS NOT NULL)"
            assert scalar(journal, half) == 0 and journal.check() == []
            yield from stage.replaced("health")
            assert ask(address, "POST", "/actions/retry", json.dumps({"all": True})) == 200
            assert figures.states(journal)["dead"] == 0 and kept_reasons(journal) == {}

        assert stage.play(script) == 0
