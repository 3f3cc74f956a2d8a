"""What may happen to the account and its session: what only a person can mend is said, with what there is to do."""

from __future__ import annotations

import asyncio
import fcntl
import os
import signal
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest
from telethon import TelegramClient
from telethon.sessions import StringSession

from ipc.journal import lookup
from ipc.process.holds import Hold
from tests.servers.telegram import TelegramServer
from tests.servers.telegram.proxies import HttpProxy, MtProxy, Socks5Proxy
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import LiveDesk, large_picture, picture
from workers.sources.telegram import reconnecting
from workers.sources.telegram.reconnecting import Refusals
from workers.sources.telegram.source import first_to_end
from workers.sources.telegram.wire import account
from workers.sources.telegram.wire.errors import ConnectionLost, KeyUnknown

pytestmark = pytest.mark.tree
LOGIN = "bin/run login"

ENDS = {
    "AUTH_KEY_UNREGISTERED": LOGIN,
    "AUTH_KEY_INVALID": LOGIN,
    "AUTH_KEY_DUPLICATED": "nothing else uses this session",
    "SESSION_REVOKED": LOGIN,
    "SESSION_EXPIRED": LOGIN,
    "USER_DEACTIVATED": LOGIN,
    "USER_DEACTIVATED_BAN": "recover@telegram.org",
}


def use_as_well(server: TelegramServer, session: str) -> None:
    """Be a second client with this session."""

    async def run() -> None:
        client = TelegramClient(StringSession(session), server.api_id, server.api_hash, receive_updates=False)
        try:
            await client.connect()
            await client.get_dialogs(limit=1)
        except Exception:
            pass  # it is told the same as the first
        finally:
            await client.disconnect()

    asyncio.run(run())


def test_a_session_that_is_used_twice_holds_the_connection_alone(
    make_live_desk: Callable[..., LiveDesk], server: TelegramServer
) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    desk = make_live_desk(channel)
    desk.run()
    uploader = desk.instance.pids()["uploader"]
    os.kill(uploader, signal.SIGSTOP)
    ids = [channel.post_photo(picture(), f"backlog {number}") for number in range(4)]
    desk.wait_for("the backlog", lambda: [desk.job(channel, one, "state") for one in ids] == ["rendered"] * 4)
    use_as_well(server, desk.session)
    desk.wait_for("the hold", lambda: desk.instance.row("connection").get("state") == "held")
    assert server.duplicates == 1
    assert "AUTH_KEY_DUPLICATED" in desk.problems() and "nothing else uses this session" in desk.problems()
    assert desk.instance.get("/health")[0] == 503 and not desk.connected
    missed = channel.post_photo(picture(), "while it was held")
    os.kill(uploader, signal.SIGCONT)
    desk.wait_for("the backlog's rows", lambda: all(desk.row(channel, one) for one in ids))
    assert not desk.row(channel, missed)
    assert desk.instance.row("connection")["restarts"] == 0
    desk.stop()

    server.restore()  # as after another login
    desk.run()
    desk.settle()
    assert server.unexpected == []
    desk.stop()


@pytest.mark.parametrize("error", ENDS)
def test_a_session_that_ends_while_it_is_used(
    make_alone: Callable[..., Alone], server: TelegramServer, error: str
) -> None:
    alone = make_alone(server.world.add_channel("News", username="newsdesk"))
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    server.revoke(error)
    ended = alone.wait_for_end()
    assert isinstance(ended, Hold)
    assert error in ended.what and ENDS[error] in ended.remedy


@pytest.mark.parametrize("error", ENDS)
def test_a_session_that_has_ended_before(make_alone: Callable[..., Alone], server: TelegramServer, error: str) -> None:
    alone = make_alone(server.world.add_channel("News", username="newsdesk"))
    server.revoke(error)
    alone.start()
    ended = alone.wait_for_end()
    assert isinstance(ended, Hold)
    assert error in ended.what and ENDS[error] in ended.remedy


@pytest.mark.parametrize("error", ["API_ID_INVALID", "CONNECTION_API_ID_INVALID", "API_ID_PUBLISHED_FLOOD"])
def test_an_application_that_telegram_refuses(
    make_alone: Callable[..., Alone], server: TelegramServer, error: str
) -> None:
    server.faults.rpc("help.getConfig", error=error)
    server.faults.rpc("users.getUsers", error=error)
    alone = make_alone(server.world.add_channel("News", username="newsdesk"))
    alone.start()
    ended = alone.wait_for_end()
    assert isinstance(ended, Hold)
    assert error in ended.what and "my.telegram.org" in ended.remedy


def test_a_flood_while_connecting_is_waited_out(make_alone: Callable[..., Alone], server: TelegramServer) -> None:
    """However often: it is no failure to connect."""
    fault = server.faults.rpc("users.getUsers", error="FLOOD_WAIT_1", times=2)
    alone = make_alone(server.world.add_channel("News", username="newsdesk"), max_restarts=0)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    assert fault.hits == 2


# The session's file


def test_a_session_in_a_file_is_read_and_never_written(
    make_alone: Callable[..., Alone], server: TelegramServer
) -> None:
    alone = make_alone(server.world.add_channel("News", username="newsdesk"), session="mine")
    path = server.session_file(alone.desk.state_dir / "mine.session")
    before = path.read_bytes()
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    with path.open("rb") as file, pytest.raises(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    alone.stop()
    assert alone.ended is None and path.read_bytes() == before
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)


def break_file(path: Path) -> None:
    path.write_bytes(b"SQLite format 3\0" + bytes(range(256)) * 8)


def make_unknown(path: Path) -> None:
    database = sqlite3.connect(path)
    database.execute("UPDATE sessions SET auth_key = randomblob(256)")
    database.commit()
    database.close()


@pytest.mark.parametrize(
    ("harm", "what", "remedy"),
    [
        (Path.unlink, "cannot be read: No such file", LOGIN),
        (break_file, "cannot be read: file is not a database", LOGIN),
        (make_unknown, "does not know the session's key", LOGIN),
    ],
)
def test_a_sessions_file_that_is_of_no_use(
    make_alone: Callable[..., Alone],
    server: TelegramServer,
    harm: Callable[[Path], None],
    what: str,
    remedy: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(reconnecting, "REFUSED_SECONDS", 0.5)
    alone = make_alone(server.world.add_channel("News", username="newsdesk"), session="telegram.session")
    harm(server.session_file(alone.desk.state_dir / "telegram.session"))
    alone.start()
    ended = alone.wait_for_end()
    assert isinstance(ended, Hold), ended
    assert what in ended.what and remedy in ended.remedy


def test_a_sessions_file_that_another_process_uses(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = make_alone(server.world.add_channel("News", username="newsdesk"), session="telegram.session")
    path = server.session_file(alone.desk.state_dir / "telegram.session")
    monkeypatch.setattr(account, "GRACE_SECONDS", 0.3)
    with path.open("rb") as file:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        alone.start()
        ended = alone.wait_for_end()
    assert isinstance(ended, Hold)
    assert "is in use by another process" in ended.what and "stop the other" in ended.remedy
    assert server.connections_total == 0


def test_a_server_that_does_not_know_the_key_for_a_moment_is_waited_for(
    make_alone: Callable[..., Alone], server: TelegramServer
) -> None:
    """Nobody is needed for that, and it is no crash either."""
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel, reconnect_delay_seconds=0.05, max_restarts=2)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    fault = server.faults.transport(404, times=6)
    server.drop_connections()
    alone.wait_for(
        "the trouble to be told", lambda: "does not know the session's key" in alone.report().get("error", "")
    )
    alone.wait_for("the last of it", lambda: fault.hits == 6)
    message_id = channel.post_photo(picture(), "afterwards")
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, message_id))


def test_an_account_that_is_said_to_live_elsewhere(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once, it is an outage; if it goes on, only a person can mend it. Telethon would throw the key away."""
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel, reconnect_delay_seconds=0.05, max_restarts=2)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    server.faults.rpc("messages.getPeerDialogs", error="USER_MIGRATE_4", times=1)
    connections = server.connections_total
    alone.wait_for("a new connection", lambda: server.connections_total > connections and alone.report()["connected"])
    message_id = channel.post_photo(picture(), "afterwards")
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, message_id))
    monkeypatch.setattr(reconnecting, "REFUSED_SECONDS", 0.2)
    server.faults.rpc("users.getUsers", error="USER_MIGRATE_4")
    server.drop_connections()
    ended = alone.wait_for_end()
    assert isinstance(ended, Hold) and "data centre 4" in ended.what and LOGIN in ended.remedy


def test_a_session_is_refused_for_good_when_that_lasts() -> None:
    refused, refusals = KeyUnknown("-404"), Refusals()
    for second in (0, 5, 15, 30, 300):
        refusals.note(refused, second)
    refusals.note(ConnectionLost("something else"), 600)
    for second in (1000, 1598, 1599):
        refusals.note(refused, second)
    refusals.note(refused, 1600)  # long enough, but not often enough
    with pytest.raises(Hold, match="5 times in 11 min"):
        refusals.note(refused, 1601)


def test_a_reason_to_hold_is_not_lost_among_lost_lines() -> None:
    async def lose() -> None:
        await asyncio.sleep(0)
        raise ConnectionLost("closed")

    async def hold() -> None:
        await asyncio.sleep(0)
        raise Hold("banned", "Log in")

    async def run() -> None:
        await first_to_end(lose(), lose(), hold())

    with pytest.raises(Hold, match="banned"):
        asyncio.run(run())


def test_a_session_that_was_never_logged_in(make_alone: Callable[..., Alone], server: TelegramServer) -> None:
    alone = make_alone(
        server.world.add_channel("News", username="newsdesk"), session=server.session_string(logged_in=False)
    )
    alone.start()
    ended = alone.wait_for_end()
    assert isinstance(ended, Hold) and LOGIN in ended.remedy


def test_a_hold_is_shown_with_its_remedy(make_live_desk: Callable[..., LiveDesk], server: TelegramServer) -> None:
    desk = make_live_desk(server.world.add_channel("News", username="newsdesk"), session="telegram.session")
    desk.start()
    desk.wait_for("the hold", lambda: desk.instance.row("connection").get("state") == "held")
    assert "telegram.session cannot be read: No such file or directory" in desk.problems() and LOGIN in desk.problems()
    desk.stop()


# Through a proxy


def proxies(server: TelegramServer) -> list[Socks5Proxy | HttpProxy | MtProxy]:
    return [
        Socks5Proxy(),
        Socks5Proxy("me", "p@ss"),
        HttpProxy(),
        HttpProxy("me", "p@ss"),
        MtProxy(server.ports),
    ]


@pytest.mark.parametrize("number", range(5))
def test_through_a_proxy(make_alone: Callable[..., Alone], server: TelegramServer, number: int) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    with proxies(server)[number] as proxy:
        if isinstance(proxy, MtProxy):
            url = f"mtproxy://{proxy.secret}@127.0.0.1:{proxy.port}"
        else:
            who = "me:p%40ss@" if number in (1, 3) else ""
            url = f"{proxy.scheme}://{who}127.0.0.1:{proxy.port}"
        alone = make_alone(channel, proxy=url)
        alone.start()
        alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))

        def state_of(message_id: int) -> str:
            job = lookup.known(alone.desk.journal, channel.id, message_id)
            return job.state if job else ""

        # The client's cipher for MTProto proxies is pure Python.
        first = channel.post_photo(picture() if isinstance(proxy, MtProxy) else large_picture(), "through it")
        alone.wait_for("the picture", lambda: state_of(first) == "fetched")
        assert proxy.connections == server.connections_total == 1
        proxy.drop_connections()
        second = channel.post_photo(picture(), "and again")
        alone.wait_for("the next picture", lambda: state_of(second) == "fetched")
        assert proxy.connections == server.connections_total == 2
        alone.stop()
        assert alone.ended is None


@pytest.mark.parametrize("url", ["socks5://127.0.0.1:9", "http://me:wrong@127.0.0.1:{port}"])
def test_a_proxy_that_refuses_is_told(make_alone: Callable[..., Alone], server: TelegramServer, url: str) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    with HttpProxy("me", "right") as proxy:
        alone = make_alone(channel, proxy=url.format(port=proxy.port), max_restarts=2, reconnect_delay_seconds=0.05)
        alone.start()
        ended = alone.wait_for_end()
    assert ended is not None and "3 times in a row" in str(ended)
    assert server.connections_total == 0
