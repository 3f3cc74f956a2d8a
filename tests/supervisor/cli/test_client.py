"""Why `status` has no answer: each cause in words that say what to do."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from supervisor.cli import client
from supervisor.host import instance_lock
from supervisor.host.instance_lock import Card
from supervisor.settings import Settings
from supervisor.settings.table import HealthSettings
from tests.instance import Instance, wait_for
from tests.pictures import make_export


@contextmanager
def answering(answer: bytes, state_dir: Path) -> Iterator[None]:
    """A server that gives every request this answer, and a lock whose card names it."""

    def serve() -> None:
        connection, _ = listener.accept()
        with connection:
            connection.recv(65536)
            connection.sendall(answer)

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        lock = instance_lock.Lock(state_dir)
        lock.write(Card(1, f"http://127.0.0.1:{listener.getsockname()[1]}", ""))
        yield
        thread.join()
        lock.release()


@pytest.mark.parametrize(
    ("answer", "token", "why"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "wrong", "refused the token (401): set health.token"),
        (b"HTTP/1.1 401 Unauthorized\r\n\r\n", "", "wants a token (401): set health.token"),
        (b"HTTP/1.1 404 Not Found\r\n\r\n", "", "answered 404: perhaps it is answered by another program"),
        (b"HTTP/1.1 200 OK\r\n\r\n<html>", "", "is answered by another program"),
        (b"HTTP/1.1 200 OK\r\n\r\n\xff\xfe", "", "is answered by another program"),
        (b'HTTP/1.1 200 OK\r\n\r\n{"ok": true}', "", "is answered by another program"),
        (b"HTTP/1.1 200 OK\r\n\r\n[]", "", "is answered by another program"),
        (b"SSH-2.0-OpenSSH\r\n", "", "does not answer"),
        (b"", "", "does not answer"),
    ],
)
def test_what_is_wrong_is_said(answer: bytes, token: str, why: str, tmp_path: Path) -> None:
    settings = Settings(state_dir=tmp_path, health=HealthSettings(token=token))
    with answering(answer, tmp_path), pytest.raises(client.NoInstance) as caught:
        client.get_status(settings)
    assert why in str(caught.value) and "(pid 1)" in str(caught.value)
    assert "wrong" not in str(caught.value), "a token is never shown"


@pytest.mark.tree
def test_a_wrong_token_is_said_to_be_one(tmp_path: Path) -> None:
    running = Instance(tmp_path / "desk", make_export(tmp_path / "export", 1))
    try:
        running.start(PICTUREDESK__HEALTH__TOKEN="right")
        wait_for("an answer", lambda: "error" in (running.status() or {}))
        for command in ("status", "memory"):
            refused = running.answer(command)
            assert refused.returncode == 1 and "wants a token (401)" in refused.stderr
            assert "PICTUREDESK__HEALTH__TOKEN" in refused.stderr and "right" not in refused.stderr
        assert running.stop() == 0
    finally:
        running.end()
