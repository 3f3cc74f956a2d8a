"""Hints: which are followed at once, what a burst of them causes, and one whose connection is lost."""

from __future__ import annotations

import time
from collections.abc import Callable

import pytest
from telethon.tl import types

from ipc.journal import lookup
from tests.servers.telegram import Channel, TelegramServer
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import picture
from workers.sources.telegram.channels.state import HINT_PAUSE_SECONDS
from workers.sources.telegram.wire.hints import Hint, hint_of

pytestmark = pytest.mark.tree

MakeAlone = Callable[..., Alone]


@pytest.fixture
def channel(server: TelegramServer) -> Channel:
    return server.world.add_channel("News", username="newsdesk")


def begin(make_alone: MakeAlone, channel: Channel, **options: object) -> Alone:
    """A connection that has seen the channel, and looks at it for a hint's sake only."""
    alone = make_alone(channel, monitor_seconds=3600, reconcile_seconds=3600, **options)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("state") == "read")
    return alone


MESSAGE = types.Message(id=5, peer_id=types.PeerChannel(7), date=None, message="")


@pytest.mark.parametrize(
    ("update", "hint"),
    [
        (types.UpdateNewChannelMessage(MESSAGE, 1, 1), Hint(7, new_id=5)),
        (types.UpdateEditChannelMessage(MESSAGE, 1, 1), Hint(7, (5,))),
        (types.UpdateDeleteChannelMessages(7, [1, 2], 1, 1), Hint(7, (1, 2))),
        (types.UpdateChannelTooLong(7), Hint(7)),
        (types.UpdateChannel(7), Hint(7, is_of_membership=True)),
        (types.UpdateChannelUserTyping(7, types.PeerUser(1), types.SendMessageTypingAction()), None),
        (types.UpdateChannelMessageViews(7, 5, 100), None),
        (types.UpdateReadChannelInbox(7, 5, 0, 1), None),
        (None, None),
    ],
)
def test_which_updates_are_hints(update: object, hint: Hint | None) -> None:
    assert hint_of(update) == hint


def test_a_burst_is_read_in_pages(make_alone: MakeAlone, server: TelegramServer, channel: Channel) -> None:
    alone = begin(make_alone, channel)
    before = server.requests["messages.getHistory"]
    began = time.monotonic()
    for number in range(40):
        channel.post_text(f"one of many {number}")
        channel.push_typing()
        time.sleep(0.02)
    alone.wait_for("all", lambda: lookup.channel_range(alone.desk.journal, channel.id)[1] == channel.top_id)  # type: ignore[index]
    looks = 2 + (time.monotonic() - began) / 0.5
    assert server.requests["messages.getHistory"] - before <= looks
    calm = server.requests["messages.getHistory"]
    for _ in range(20):
        channel.push_typing()
    channel.post_photo(picture(), "the last one")
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, channel.top_id))
    assert server.requests["messages.getHistory"] - calm <= 2


def test_one_post_is_read_at_once(make_alone: MakeAlone, channel: Channel) -> None:
    alone = begin(make_alone, channel)
    time.sleep(HINT_PAUSE_SECONDS + 0.1)  # the pause after the look before
    one = channel.post_photo(picture(), "one")
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, one), 0.4)


def test_too_long_is_followed_at_once(make_alone: MakeAlone, server: TelegramServer, channel: Channel) -> None:
    """Telethon keeps it to itself; the monitor would come an hour later."""
    alone = begin(make_alone, channel)
    server.faults.updates("lost", times=1)
    one = channel.post_photo(picture(), "nobody told of it")
    channel.push_too_long()
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, one), 5.0)


def test_a_hint_outlasts_its_connection(make_alone: MakeAlone, server: TelegramServer, channel: Channel) -> None:
    """An old message, which no other look would come across, is deleted just before the connection is lost."""
    alone = begin(make_alone, channel, reconcile_messages=0)
    old = channel.post_photo(picture(), "old")
    for number in range(120):
        channel.post_text(f"newer {number}")
    alone.wait_for("all", lambda: lookup.channel_range(alone.desk.journal, channel.id)[1] == channel.top_id)  # type: ignore[index]
    time.sleep(HINT_PAUSE_SECONDS + 0.1)  # the pause after the look before
    fault = server.faults.rpc("messages.getHistory", silent=True, times=1)
    channel.delete(old)
    alone.wait_for("the look", lambda: fault.hits)
    server.drop_connections()

    def is_withdrawn() -> bool:
        job = lookup.known(alone.desk.journal, channel.id, old)
        return job is not None and job.deleted_at is not None

    alone.wait_for("the deletion", is_withdrawn)


@pytest.mark.parametrize("is_deleted", [False, True])
def test_what_an_update_told_of_counts_as_waiting_until_it_was_looked_for(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, is_deleted: bool
) -> None:
    alone = begin(make_alone, channel, reconcile_messages=0)
    assert alone.report("channel 0")["behind"] == 0
    fault = server.faults.rpc("messages.getHistory", error="SOMETHING_NEW")
    told = channel.post_photo(picture(), "told of")
    alone.wait_for("it to be told", lambda: alone.report("channel 0")["behind"] == 1)
    if is_deleted:
        channel.delete(told)
    fault.clear()
    alone.wait_for("it to be looked for", lambda: alone.report("channel 0")["behind"] == 0)
    assert is_deleted or lookup.known(alone.desk.journal, channel.id, told)
