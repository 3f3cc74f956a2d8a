"""What nobody foresaw, in what Telegram answers and in our own handling: one channel or job is put off, no more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from structlog.testing import capture_logs
from telethon.tl import types

from ipc.journal import JournalError, figures, lookup
from ipc.process.checklist import Checklist
from ipc.text.channel_address import parse
from tests.servers.telegram import Channel, TelegramServer
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import picture
from workers.sources.telegram import check, source
from workers.sources.telegram.channels import backfilling, looking
from workers.sources.telegram.channels import state as channel_state
from workers.sources.telegram.channels.state import ChannelState
from workers.sources.telegram.downloads.downloads import Downloads
from workers.sources.telegram.downloads.fetcher import Download, Fetcher
from workers.sources.telegram.history.backfill import Backfill
from workers.sources.telegram.history.history import History
from workers.sources.telegram.source import ConnectingFailed
from workers.sources.telegram.wire import connection
from workers.sources.telegram.wire.connection import Connection
from workers.sources.telegram.wire.media import Message, read_message
from workers.sources.telegram.wire.peers import Peer

pytestmark = pytest.mark.tree

MakeAlone = Callable[..., Alone]


@pytest.fixture(autouse=True)
def hasten(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(looking, "AGAIN_SECONDS", 0.1)
    monkeypatch.setattr(channel_state, "UNFORESEEN_SECONDS", 0.1)


@pytest.fixture
def both(server: TelegramServer) -> tuple[Channel, Channel]:
    """The one with the trouble, and another one."""
    return (server.world.add_channel("News", username="newsdesk"), server.world.add_channel("Other", "otherdesk"))


def begin(make_alone: MakeAlone, *given: Channel, **options: Any) -> Alone:
    alone = make_alone(*given, **options)
    alone.start()
    for number in range(len(given)):
        alone.wait_for("it to be read", lambda number=number: state(alone, number) == "read")  # type: ignore[misc]
    return alone


def state(alone: Alone, number: int) -> str:
    return str(alone.report(f"channel {number}").get("state", ""))


def is_taken(alone: Alone, channel: Channel, message_id: int, *states: str) -> bool:
    job = lookup.known(alone.desk.journal, channel.id, message_id)
    return job is not None and (not states or job.state in states)


def post_and_wait(alone: Alone, channel: Channel) -> None:
    message_id = channel.post_photo(picture(), "new")
    alone.wait_for("it to be fetched", lambda: is_taken(alone, channel, message_id, "fetched"))


@pytest.mark.parametrize("answer", [types.messages.MessagesNotModified(5), types.help.NoAppUpdate()])
def test_a_history_that_is_none(
    make_alone: MakeAlone, server: TelegramServer, both: tuple[Channel, Channel], answer: Any
) -> None:
    alone = begin(make_alone, *both)
    fault = server.faults.rpc("messages.getHistory", answer=answer, channel=both[0])
    message_id = both[0].post_photo(picture(), "while it has none")
    alone.wait_for("the problem", lambda: alone.report("channel 0").get("problem"))
    assert type(answer).__name__ in alone.report("channel 0")["problem"]
    post_and_wait(alone, both[1])
    fault.clear()
    alone.wait_for("it to be read", lambda: is_taken(alone, both[0], message_id))
    alone.wait_for("it to be well", lambda: state(alone, 0) == "read")


def test_messages_that_come_with_an_empty_chat_of_the_channels_id(
    make_alone: MakeAlone, server: TelegramServer, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(type(server.world), "chat", lambda self, channel: types.ChatEmpty(channel.id))
        alone = make_alone(both[0])
        alone.start()
        alone.wait_for("the problem", lambda: "chatEmpty" in alone.report("channel 0").get("problem", ""))
    alone.wait_for("it to be read", lambda: state(alone, 0) == "read")
    monkeypatch.setattr(type(server.world), "chat", lambda self, channel: types.ChatEmpty(channel.id))
    post_and_wait(alone, both[0])
    assert alone.report("channel 0")["title"] == "News"


@pytest.mark.parametrize("form", ["nothing", "chatEmpty"])
def test_a_stale_access_hash_of_which_telegram_says_nothing(
    make_alone: MakeAlone, server: TelegramServer, both: tuple[Channel, Channel], form: str
) -> None:
    channel = both[0]
    begin(make_alone, channel).stop()
    channel.access_hash += 1
    chats = [types.ChatEmpty(channel.id)] if form == "chatEmpty" else []
    server.faults.rpc("channels.getChannels", answer=types.messages.Chats(chats))
    again = begin(make_alone, channel)
    post_and_wait(again, channel)
    assert server.requests["contacts.resolveUsername"] == 2


def test_a_monitor_that_cannot_read_its_answer(
    make_alone: MakeAlone, server: TelegramServer, both: tuple[Channel, Channel]
) -> None:
    alone = begin(make_alone, both[0], monitor_seconds=0.1)
    fault = server.faults.rpc("messages.getPeerDialogs", answer=types.help.NoAppUpdate())
    alone.wait_for("it to be asked", lambda: fault.hits >= 2)
    post_and_wait(alone, both[0])


def test_one_channels_handling(
    make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = begin(make_alone, *both)
    catch_up = History.catch_up

    async def fail(self: History, connection: Connection) -> Any:
        if self.id == both[0].id:
            raise KeyError("nobody thought of this")
        return await catch_up(self, connection)

    with capture_logs() as logs, monkeypatch.context() as patch:
        patch.setattr(History, "catch_up", fail)
        message_id = both[0].post_photo(picture(), "while it fails")
        alone.wait_for("the problem", lambda: alone.report("channel 0").get("problem"))
        report = alone.report("channel 0")
        post_and_wait(alone, both[1])
        assert "KeyError: 'nobody thought of this'" in report["problem"] and "log" in report["remedy"]
        assert report["state"] == "failing"
    alone.wait_for("it to be read", lambda: is_taken(alone, both[0], message_id))
    alone.wait_for("it to be well", lambda: not alone.report("channel 0")["problem"])
    told = [one for one in logs if one.get("what") == "channel put off for an unforeseen error"]
    assert told and told[0]["exc_info"].__traceback__ is not None and told[0]["channel"] == "@newsdesk"


def test_a_channel_with_a_defect_is_looked_at_ever_more_rarely() -> None:
    one = ChannelState(parse("@newsdesk"))
    assert [round(one.has_defect("x") / channel_state.UNFORESEEN_SECONDS) for _ in range(5)] == [1, 2, 4, 8, 16]
    assert max(one.has_defect("x") for _ in range(20)) == min(300.0, channel_state.UNFORESEEN_SECONDS * 1024)
    one.is_well()
    assert one.has_defect("x") == channel_state.UNFORESEEN_SECONDS


def test_one_pictures_handling(
    make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = begin(make_alone, both[0])
    fetch = Fetcher.fetch
    poison = both[0].top_id + 1

    async def fail(self: Fetcher, connection: Connection, history: History, download: Download) -> Any:
        if download.job.message_id == poison:
            raise AttributeError("no such thing")
        return await fetch(self, connection, history, download)

    monkeypatch.setattr(Fetcher, "fetch", fail)
    assert both[0].post_photo(picture(), "poison") == poison
    alone.wait_for(
        "it to be put off", lambda: (job := lookup.known(alone.desk.journal, both[0].id, poison)) and job.reason
    )
    post_and_wait(alone, both[0])
    job = lookup.known(alone.desk.journal, both[0].id, poison)
    assert job is not None and "AttributeError: no such thing" in (job.reason or "") and job.attempts == 0


def test_one_message_that_only_we_cannot_read(
    make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = begin(make_alone, both[0])
    poison = both[0].top_id + 1

    def fail(message: Any, *given: Any, **more: Any) -> Message:
        if message.id == poison:
            raise IndexError(message.id)
        return read_message(message, *given, **more)

    monkeypatch.setattr(connection, "read_message", fail)
    both[0].post_photo(picture(), "poison")
    post_and_wait(alone, both[0])
    assert figures.channels(alone.desk.journal)[0]["ignored"]["unreadable"] == 1


def test_updates_that_cannot_be_read_are_hints_at_anything(
    make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    alone = begin(make_alone, both[0], monitor_seconds=3600, reconcile_seconds=3600)

    def fail(update: Any) -> None:
        raise TypeError(type(update))

    monkeypatch.setattr(connection, "hint_of", fail)
    post_and_wait(alone, both[0])


def test_backfill(make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch) -> None:
    old = [one.post_photo(picture(), "old", date=one.world.now() - 600) for one in both]
    monkeypatch.setattr(backfilling, "DEFECT_SECONDS", 0.2)
    read_page, fails = Backfill.read_page, iter([True])

    async def fail(self: Backfill, connection: Connection) -> Any:
        if next(fails, False):
            raise ZeroDivisionError
        return await read_page(self, connection)

    monkeypatch.setattr(Backfill, "read_page", fail)
    alone = begin(make_alone, *both, backfill_on_start=True)
    for one, message_id in zip(both, old, strict=True):
        alone.wait_for("the old", lambda one=one, message_id=message_id: is_taken(alone, one, message_id))  # type: ignore[misc]


def test_a_line(make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch) -> None:
    connect, fails = Connection.connect, iter([True])

    async def fail(self: Connection) -> None:
        if next(fails, False):
            raise ZeroDivisionError
        await connect(self)

    monkeypatch.setattr(Connection, "connect", fail)
    post_and_wait(begin(make_alone, both[0]), both[0])


def test_a_line_that_fails_again_and_again_is_given_up(
    make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch
) -> None:
    async def fail(self: Any, connection: Connection, histories: object) -> None:
        raise ZeroDivisionError

    monkeypatch.setattr(Downloads, "run", fail)
    alone = make_alone(both[0], max_restarts=2, reconnect_delay_seconds=0.05)
    alone.start()
    ended = alone.wait_for_end()
    assert isinstance(ended, ConnectingFailed) and "ZeroDivisionError" in str(ended)


def test_telling(make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch) -> None:
    """A beat that stopped would be taken for a process that hangs."""
    alone = begin(make_alone, both[0])
    beats: list[object] = []

    def fail(self: source.TelegramSource) -> None:
        beats.append(self)
        raise RuntimeError("can't be told")

    with monkeypatch.context() as patch:
        patch.setattr(source.TelegramSource, "_report", fail)
        alone.wait_for("some beats", lambda: len(beats) > 2)
    post_and_wait(alone, both[0])


def test_a_check(make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch) -> None:
    alone = make_alone(*both)
    before = Connection.before

    async def fail(self: Connection, peer: Peer, *given: Any, **more: Any) -> Any:
        if peer.channel_id == both[0].id:
            raise KeyError("nobody thought of this")
        return await before(self, peer, *given, **more)

    monkeypatch.setattr(Connection, "before", fail)
    tried = Checklist()
    check.check({**alone.options["telegram"], "state_dir": str(alone.desk.state_dir)}, tried)
    (fault,) = [one.what for one in tried.results if one.verdict == "failed"]
    assert fault.startswith("channel @newsdesk: an unforeseen error, see the log: KeyError")
    assert "@otherdesk" in tried.results[-1].what


@pytest.mark.parametrize("error", [MemoryError(), JournalError("damaged"), RuntimeError("can't start new thread")])
def test_what_concerns_the_whole_process_ends_it(
    make_alone: MakeAlone, both: tuple[Channel, Channel], monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    async def fail(self: History, connection: Connection) -> Any:
        raise error

    alone = begin(make_alone, both[0])
    monkeypatch.setattr(History, "catch_up", fail)
    both[0].post_photo(picture(), "new")
    assert alone.wait_for_end() is error
