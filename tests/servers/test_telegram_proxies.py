"""The proxies, and the server from a shell."""

from __future__ import annotations

import asyncio
import os
import shlex
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

import pytest
from python_socks import ProxyError
from telethon import TelegramClient
from telethon.network import (
    ConnectionTcpMTProxyAbridged,
    ConnectionTcpMTProxyIntermediate,
    ConnectionTcpMTProxyRandomizedIntermediate,
)
from telethon.network.connection.tcpmtproxy import MTProxyIO
from telethon.sessions import SQLiteSession

from tests.servers.telegram import TelegramServer
from tests.servers.telegram.proxies import HttpProxy, MtProxy, Proxy, Socks5Proxy
from tests.servers.telegram_client import Heard, client_of, connected, jpeg, raises, run, until

HOME = Path(__file__).resolve().parent.parent.parent


@pytest.fixture
def server() -> Iterator[TelegramServer]:
    with TelegramServer() as server:
        yield server
        assert server.unexpected == []


@pytest.mark.parametrize("kind", [Socks5Proxy, HttpProxy])
@pytest.mark.parametrize("user", [None, "ann"])
def test_through_a_proxy(server: TelegramServer, kind: type[Socks5Proxy | HttpProxy], user: str | None) -> None:
    data = jpeg() * 300
    channel = server.world.add_channel()
    number = channel.post_photo(data)
    with kind(user, "secret") as proxy:
        assert proxy.url == f"{kind.scheme}://127.0.0.1:{proxy.port}"
        known = (kind.scheme, "127.0.0.1", proxy.port, True, user, "secret" if user else None)

        async def body() -> None:
            async with connected(server, proxy=known) as client:
                await client.get_dialogs()
                message = await client.get_messages(channel.id, ids=number)
                assert await message.download_media(bytes) == data
                assert proxy.connections == server.connections == 1
                proxy.drop_connections()
                assert await client.get_me()
                assert proxy.connections == 2
            await until("the server to see it go", lambda: server.connections == 0)
            if user:
                wrong = (kind.scheme, "127.0.0.1", proxy.port, True, user, "guessed")
                client = client_of(server, proxy=wrong, connection_retries=0)
                await raises((ConnectionError, ProxyError), client.connect())  # whoever imported the library first
                await client.disconnect()
                await until("it to be counted", lambda: proxy.refusals == 1)  # which comes after the answer
            assert proxy.connections == 2

        run(body())
    assert server.duplicates == 0


@pytest.mark.parametrize(
    ("transport", "prefix"),
    [
        (ConnectionTcpMTProxyAbridged, ""),
        (ConnectionTcpMTProxyIntermediate, ""),
        (ConnectionTcpMTProxyRandomizedIntermediate, "dd"),
    ],
)
def test_through_an_mtproxy(
    server: TelegramServer, transport: type, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    no_pause_after_connecting(monkeypatch)
    with MtProxy(server.ports) as proxy:

        async def body() -> None:
            known = ("127.0.0.1", proxy.port, prefix + proxy.secret)
            async with connected(server, connection=transport, proxy=known) as client:
                assert await client.get_me()
                assert (proxy.connections, proxy.refusals) == (1, 0)
            # A wrong secret; a data centre that isn't there. Not by the client, which would leak its socket.
            for secret, dc_id in ((b"?" * 16, 2), (bytes.fromhex(proxy.secret), 9)):
                header, _, _ = MTProxyIO.init_header(secret, dc_id, transport.packet_codec)  # type: ignore[attr-defined]
                reader, writer = await asyncio.open_connection("127.0.0.1", proxy.port)
                writer.write(bytes(header))
                assert await reader.read() == b""
                writer.close()
                await writer.wait_closed()
            assert (proxy.connections, proxy.refusals) == (1, 2)

        run(body())


def no_pause_after_connecting(monkeypatch: pytest.MonkeyPatch) -> None:
    """Telethon gives an MTProxy two seconds to hang up, each time; a tenth is enough on loopback."""
    wait_for = asyncio.wait_for

    async def sooner(work: Any, timeout: float | None) -> Any:
        return await wait_for(work, 0.1 if timeout == 2 else timeout)

    monkeypatch.setattr("telethon.network.connection.tcpmtproxy.asyncio.wait_for", sooner)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    for n in range(2):
        (folder / f"{n}.jpg").write_bytes(jpeg(n))
    (folder / "2.png").write_bytes(jpeg(2))
    (folder / "notes.txt").write_text("not a picture")
    return folder


class Program:
    """`python -m tests.servers.telegram`, and its lines."""

    def __init__(self, *words: str | Path) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "-m", "tests.servers.telegram", *map(str, words)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            cwd=HOME,
            env={**os.environ, "PYTHONUNBUFFERED": "1"},
        )

    def line(self) -> str:
        assert self.process.stdout is not None
        return self.process.stdout.readline().rstrip("\n")

    def settings(self) -> dict[str, str]:
        """The first five lines."""
        pairs = (shlex.split(self.line())[0].split("=", 1) for _ in range(5))
        return {name.removeprefix("PICTUREDESK__TELEGRAM__"): value for name, value in pairs}

    def say(self, command: str) -> str:
        assert self.process.stdin is not None
        self.process.stdin.write(command + "\n")
        self.process.stdin.flush()
        return self.line()

    def end(self, number: int | None = signal.SIGTERM) -> int:
        if number is not None:
            self.process.send_signal(number)
        output, _ = self.process.communicate(timeout=20)
        assert output == ""
        return self.process.returncode

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        """Whatever has failed: no process stays."""
        self.process.kill()
        self.process.communicate()


def test_the_shell(pictures: Path, tmp_path: Path) -> None:
    words: tuple[str | Path, ...] = ("--every", "0.05", "--title", "Mine", "--session", tmp_path / "a.session")
    with Program("--post", pictures, *words) as program:
        settings = program.settings()
        assert list(settings) == ["API_ID", "API_HASH", "SERVER", "SESSION", "CHANNELS"]
        assert settings["CHANNELS"] == '["@picturedesk_test"]'
        assert [program.line() for _ in range(3)] == ["posted 2 0.jpg", "posted 3 1.jpg", "posted 4 2.png"]

        async def body() -> None:
            session = SQLiteSession(settings["SESSION"])
            client = TelegramClient(session, int(settings["API_ID"]), settings["API_HASH"])
            await client.connect()
            try:
                assert (await client.get_entity("@picturedesk_test")).title == "Mine"
                heard = Heard(client)
                assert program.say(f"post {pictures / '1.jpg'}") == "posted 5 1.jpg"
                await until("the post", lambda: heard.new == [5])
                assert program.say("edit 5 another caption") == "edited 5"
                await until("the edit", lambda: heard.edited == [5])
                assert program.say("delete 5") == "deleted 5"
                await until("the deletion", lambda: heard.deleted == [5])
                assert program.say("drop") == "dropped"
                messages = [one async for one in client.iter_messages("@picturedesk_test", limit=10)]
                assert [await one.download_media(bytes) for one in messages[:3]] == [jpeg(2), jpeg(1), jpeg(0)]
            finally:
                await client.disconnect()

        run(body())
        assert program.say("dance") == "not a command: dance"
        assert program.say("edit 99 x").startswith("failed: edit 99 x")
        assert program.end() == 0


def test_the_shell_ends_by_quit(pictures: Path) -> None:
    with Program("--post", pictures, "--every", "60") as program:
        program.settings()
        assert program.line() == "posted 2 0.jpg"
        assert program.process.stdin is not None
        program.process.stdin.write("quit\n")
        assert program.end(None) == 0


def test_the_shell_does_not_end_with_its_input(pictures: Path) -> None:
    with Program("--post", pictures, "--every", "0.3") as program:
        program.settings()
        assert program.process.stdin is not None
        program.process.stdin.close()
        program.process.stdin = None
        assert [program.line() for _ in range(3)] == ["posted 2 0.jpg", "posted 3 1.jpg", "posted 4 2.png"]
        assert program.end(signal.SIGINT) == 0


def test_proxies_and_servers_leave_no_thread(server: TelegramServer) -> None:
    before = threading.active_count()
    for _ in range(3):
        with TelegramServer(server.world), Socks5Proxy() as proxy:
            assert isinstance(proxy, Proxy)
            assert threading.active_count() == before + 2
    assert threading.active_count() == before
