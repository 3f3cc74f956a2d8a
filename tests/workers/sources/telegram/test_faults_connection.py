"""What the connection may do without a picture being lost: it drops, is refused, goes silent, talks nonsense."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import pytest

from ipc.journal import lookup
from ipc.process.holds import Hold
from tests.servers.telegram import OTHER_DC, TelegramServer
from tests.servers.telegram.proxies import Socks5Proxy
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import LiveDesk, large_picture, picture
from workers.sources.telegram import reconnecting
from workers.sources.telegram.channels import channels
from workers.sources.telegram.source import ConnectingFailed

pytestmark = pytest.mark.tree
SLOW = 500_000.0
"""Bytes a second: a part of a file takes a second."""


def wait_for_new_connection(desk: LiveDesk, before: int) -> None:
    desk.wait_for("a new connection", lambda: desk.server.connections_total > before and desk.server.subscribers)


def test_posts_come_in_as_they_are_posted(live_desk: LiveDesk) -> None:
    live_desk.channel.post_photo(picture(), "one")
    live_desk.settle()
    ids = [live_desk.channel.post_photo(picture(), f"of several {number}") for number in range(5)]
    live_desk.settle()
    assert [live_desk.row(live_desk.channel, one)["caption"] for one in ids] == [f"of several {n}" for n in range(5)]
    assert live_desk.status()["ok"]


# Dropped


def test_dropped_while_idle(live_desk: LiveDesk) -> None:
    before = live_desk.server.connections_total
    live_desk.server.drop_connections()
    wait_for_new_connection(live_desk, before)
    live_desk.channel.post_photo(picture(), "after the drop")


def test_dropped_in_a_download(live_desk: LiveDesk) -> None:
    live_desk.server.faults.file("slow", times=1, bytes_per_second=SLOW)
    with live_desk.asked_again("upload.getFile"):
        message_id = live_desk.channel.post_photo(large_picture(), "large")
    live_desk.server.drop_connections()
    live_desk.settle()
    assert live_desk.row(live_desk.channel, message_id)["caption"] == "large"
    assert live_desk.counted()["retried"] == 0, "it was nobody's fault that is here"


def test_dropped_in_a_download_from_another_data_centre(live_desk: LiveDesk) -> None:
    live_desk.server.faults.file("slow", times=1, bytes_per_second=SLOW)
    with live_desk.asked_again("upload.getFile"):
        live_desk.channel.post_photo(large_picture(), "large", dc=OTHER_DC)
    live_desk.server.drop_connections()
    live_desk.settle()
    assert live_desk.counted()["retried"] == 0


def test_dropped_between_any_two_posts(live_desk: LiveDesk) -> None:
    for number in range(8):
        live_desk.channel.post_photo(picture(), f"before drop {number}")
        live_desk.server.drop_connections()
        live_desk.channel.post_photo(picture(), f"after drop {number}")


def test_posted_while_dropped_and_quiet_afterwards(live_desk: LiveDesk) -> None:
    live_desk.server.stop()
    live_desk.channel.post_photo(picture(), "nobody was there")
    live_desk.channel.post_photo(picture(), "nor here")
    live_desk.server.start()


@pytest.mark.reaches("source.not_connected")
def test_down_for_some_time(live_desk: LiveDesk) -> None:
    live_desk.server.stop()
    live_desk.wait_for("/status to say so", lambda: "the source is not connected" in live_desk.problems())
    assert not live_desk.connected
    live_desk.channel.post_photo(picture(), "while it was down")
    live_desk.server.refuse_connections(seconds=3)
    live_desk.server.accept_connections()
    live_desk.settle()
    live_desk.wait_for("all to be well", lambda: live_desk.status()["ok"])


def test_refused_for_some_time(live_desk: LiveDesk) -> None:
    before = len(live_desk.said("connection.lost"))
    live_desk.server.refuse_connections()
    live_desk.server.drop_connections()
    live_desk.channel.post_photo(picture(), "while it was refused")
    live_desk.wait_for("it to go on trying", lambda: len(live_desk.said("connection.lost")) >= before + 3)
    live_desk.server.accept_connections()
    live_desk.settle()
    assert live_desk.instance.row("connection")["restarts"] == 0


def test_a_process_that_connects_in_vain_is_replaced(
    make_live_desk: Callable[..., LiveDesk], server: TelegramServer
) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    desk = make_live_desk(channel, max_restarts=2, reconnect_delay_seconds=0.05)
    desk.run()
    server.stop()
    channel.post_photo(picture(), "while it was down")
    desk.wait_for("the replacement", lambda: desk.instance.row("connection").get("restarts", 0) >= 1)
    events = [one for one in desk.instance.records() if one.get("event") in ("connection.lost", "process.crashed")]
    ended = next(number for number, one in enumerate(events) if one["event"] == "process.crashed")
    assert ended == 3, "a failure, and two attempts again"
    assert "connecting to Telegram failed 3 times in a row" in str(events[ended])
    server.start()
    desk.finish()


# Silent


def test_a_black_hole_is_noticed(live_desk: LiveDesk) -> None:
    before = len(live_desk.said("connection.lost"))
    hole = live_desk.server.faults.black_hole()
    live_desk.channel.post_photo(picture(), "nobody heard of it")
    live_desk.wait_for("the monitor's question to be swallowed", lambda: live_desk.unproven_seconds() > 3)
    hole.clear()  # or the next connection would fall into it too, and take half a minute to find out
    live_desk.wait_for("the connection to be lost", lambda: len(live_desk.said("connection.lost")) > before)
    assert "has not answered the monitor" in live_desk.said("connection.lost")[-1]["why"]


def test_an_answer_that_never_comes_is_not_waited_for(live_desk: LiveDesk) -> None:
    live_desk.server.faults.rpc("messages.getHistory", silent=True, times=1)
    live_desk.channel.post_photo(picture(), "asked for in vain")


# Narrow


def test_a_narrow_connection_is_not_taken_for_a_lost_one(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parts of large files keep the monitor's answer waiting: several times PROBE_SECONDS, at first."""
    monkeypatch.setattr(channels, "PROBE_SECONDS", 1.0)
    channel = server.world.add_channel("News", username="newsdesk")
    with Socks5Proxy(bytes_per_second=1_000_000) as proxy:
        alone = make_alone(channel, proxy=proxy.url, monitor_seconds=0.5)
        alone.start()
        alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
        ids = [channel.post_document(bytes(1_200_000)) for _ in range(4)]
        for one in ids:
            known = partial(partial(lookup.known, alone.desk.journal), channel.id, one)
            alone.wait_for("the file", lambda known=known: (job := known()) and job.state == "fetched", 60)  # type: ignore[misc]
        assert proxy.connections == 1
        alone.stop()


# Nonsense


def test_the_key_is_unknown_for_a_moment(live_desk: LiveDesk) -> None:
    live_desk.server.faults.transport(404, times=2)
    live_desk.server.drop_connections()
    live_desk.channel.post_photo(picture(), "the key was unknown")
    live_desk.settle()
    assert "does not know the session's key" in str(live_desk.said("connection.lost"))
    live_desk.server.send_transport_error(404)
    live_desk.channel.post_photo(picture(), "and once more, on an open connection")


def test_a_key_that_stays_unknown_holds_the_process(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(reconnecting, "REFUSED_SECONDS", 1.0)
    alone = make_alone(server.world.add_channel("News", username="newsdesk"))
    alone.start()
    alone.wait_for("the connection", lambda: alone.report().get("connected"))
    server.forget_keys()
    ended = alone.wait_for_end()
    assert isinstance(ended, Hold) and "does not know the session's key" in ended.what and "login" in ended.remedy


def test_too_many_connections(live_desk: LiveDesk) -> None:
    live_desk.server.faults.transport(429, times=3)
    live_desk.server.drop_connections()
    live_desk.channel.post_photo(picture(), "too many")
    live_desk.settle()
    live_desk.server.send_transport_error(429)
    live_desk.channel.post_photo(picture(), "too many on an open connection")


def test_garbage(live_desk: LiveDesk) -> None:
    for number in range(3):
        before = live_desk.server.connections_total
        live_desk.server.send_garbage(64, framed=True)
        live_desk.channel.post_photo(picture(), f"garbage {number}")
        live_desk.settle()
        if live_desk.server.connections_total > before:
            wait_for_new_connection(live_desk, before)


def test_garbage_that_is_no_packet(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its first bytes are a length, which may be nonsense, or leave the client waiting for the rest."""
    monkeypatch.setattr(channels, "PROBE_SECONDS", 0.5)
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel, monitor_seconds=0.1)
    alone.start()
    for number in range(6):
        alone.wait_for("the connection", lambda: server.subscribers and alone.report("channel 0").get("id"))
        before = server.connections_total
        server.send_garbage(64)
        message_id = channel.post_photo(picture(), f"after noise {number}")
        alone.wait_for("a new connection", lambda before=before: server.connections_total > before)  # type: ignore[misc]
        alone.wait_for("the post", lambda one=message_id: lookup.known(alone.desk.journal, channel.id, one))  # type: ignore[misc]


def test_other_salts(live_desk: LiveDesk) -> None:
    for number in range(3):
        live_desk.server.change_salts()
        live_desk.channel.post_photo(picture(), f"salted {number}")
    live_desk.settle()
    assert live_desk.counted()["retried"] == 0


@pytest.mark.parametrize("seconds", [-120.0, 120.0, 3600.0])
def test_the_servers_clock_is_wrong(live_desk: LiveDesk, seconds: float) -> None:
    live_desk.world.clock_offset = seconds
    live_desk.channel.post_photo(picture(), f"{seconds:+.0f} s")
    live_desk.server.drop_connections()
    live_desk.channel.post_photo(picture(), f"{seconds:+.0f} s, on a new connection")
    live_desk.settle()


@pytest.mark.parametrize("seconds", [-120.0, 3600.0])
def test_the_servers_clock_is_wrong_when_a_channel_is_first_seen(
    make_alone: Callable[..., Alone], server: TelegramServer, seconds: float
) -> None:
    """Where "posted since the start" begins is for Telegram's clock to say."""
    channel = server.world.add_channel("News", username="newsdesk")
    server.world.clock_offset = seconds
    old = channel.post_photo(picture(), "posted before", date=server.world.now() - 600)
    server.refuse_connections()
    alone = make_alone(channel)
    alone.start()
    alone.wait_for("an attempt to connect", lambda: alone.report().get("error"))
    new = channel.post_photo(picture(), "posted while it tried to connect")
    server.accept_connections()
    alone.wait_for("the new one", lambda: lookup.known(alone.desk.journal, channel.id, new))
    assert lookup.known(alone.desk.journal, channel.id, old) is None


def test_giving_up_is_counted_in_a_row(make_alone: Callable[..., Alone], server: TelegramServer) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel, max_restarts=3, reconnect_delay_seconds=0.05, monitor_seconds=0.1)
    alone.start()
    for _ in range(6):
        proved = server.requests["messages.getPeerDialogs"] + 3
        alone.wait_for("a reply", lambda proved=proved: server.requests["messages.getPeerDialogs"] >= proved)  # type: ignore[misc]
        server.drop_connections()
    server.stop()
    ended = alone.wait_for_end()
    assert isinstance(ended, ConnectingFailed) and "4 times in a row" in str(ended)
    assert f"{server.address}: Connection refused (ECONNREFUSED)" in str(ended)
