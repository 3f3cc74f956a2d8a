"""The control socket from the root's side: nothing that a client says or does ends the loop, or keeps others out."""

from __future__ import annotations

import json
import os
import resource
import selectors
import socket
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from ipc.transport import control_client
from ipc.transport.control_client import ask
from supervisor.host import control_socket
from supervisor.host.control_socket import Control
from tests.supervisor.stage import open_fds


class Loop:
    """A supervisor's loop, one round at a time. `errors`: what a real one would have died of."""

    def __init__(self) -> None:
        self.selector = selectors.DefaultSelector()

    def watch(self, fd: int, callback: Callable[[], None]) -> None:
        self.selector.register(fd, selectors.EVENT_READ, callback)

    def unwatch(self, fd: int) -> None:
        self.selector.unregister(fd)

    def round(self, seconds: float = 0.05) -> int:
        events = self.selector.select(seconds)
        for key, _ in events:
            key.data()
        return len(events)

    def rounds(self) -> None:
        """Until nobody says anything any more."""
        while self.round():
            pass


@pytest.fixture
def loop() -> Iterator[Loop]:
    before = open_fds()
    loop = Loop()
    yield loop
    loop.selector.close()
    assert open_fds() == before


@pytest.fixture
def door(loop: Loop, tmp_path: Path) -> Iterator[Control]:
    made = Control(tmp_path, loop, lambda request: {"ok": True, "lines": [str(request["action"])]})
    yield made
    made.close()


def knock(folder: Path) -> socket.socket:
    client = socket.socket(socket.AF_UNIX)
    client.settimeout(10)
    client.connect(str(folder / control_client.NAME))
    return client


def say(folder: Path, loop: Loop, words: bytes) -> dict[str, Any]:
    with knock(folder) as client:
        client.sendall(words + b"\n")
        loop.rounds()
        answer: dict[str, Any] = json.loads(client.makefile("rb").readline())
        return answer


def test_an_order_is_answered(door: Control, loop: Loop, tmp_path: Path) -> None:
    answers: list[dict[str, Any]] = []
    asking = threading.Thread(target=lambda: answers.append(ask(tmp_path, {"action": "x"})))
    asking.start()
    while asking.is_alive():
        loop.round()
    assert answers == [{"ok": True, "lines": ["x"]}]


@pytest.mark.parametrize(
    "words", [b"{", b"[]", b"5", b'{"a": ' * 800, b"\xff\xfe", b"[" * 4000, b"", b'{"no": "action"}', b"x" * 10_000]
)
def test_no_words_end_the_loop(words: bytes, door: Control, loop: Loop, tmp_path: Path) -> None:
    assert say(tmp_path, loop, words)["ok"] is False
    assert say(tmp_path, loop, b'{"action": "y"}')["lines"] == ["y"]


def test_one_whose_time_is_up_and_who_hangs_up_in_the_same_moment(
    door: Control, loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    silent = knock(tmp_path)
    loop.rounds()
    monkeypatch.setattr(control_socket, "CLIENT_SECONDS", -1.0)
    later = knock(tmp_path)
    loop.rounds()
    silent.close()
    with knock(tmp_path):
        later.close()
        loop.rounds()
        loop.rounds()


def test_silent_ones_keep_nobody_out(
    door: Control, loop: Loop, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(control_socket, "CLIENT_SECONDS", 0.0)
    silent = []
    for _ in range(2 * control_socket.MOST_CLIENTS):
        silent.append(knock(tmp_path))
        loop.rounds()
    assert say(tmp_path, loop, b'{"action": "y"}')["ok"] is True
    for client in silent:
        client.close()
    loop.rounds()


def test_without_a_descriptor_for_it_whoever_knocks_is_turned_away_and_the_loop_rests(
    door: Control, loop: Loop, tmp_path: Path
) -> None:
    client = knock(tmp_path)
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    taken = []
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (client.fileno() + 20, hard))
        while True:
            try:
                taken.append(os.open(os.devnull, os.O_RDONLY))
            except OSError:
                break
        loop.round()
        assert loop.round() == 0, "nothing is left to do for it"
    finally:
        for fd in taken:
            os.close(fd)
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))
    assert client.recv(10) == b""
    client.close()
    assert say(tmp_path, loop, b'{"action": "y"}')["ok"] is True
