"""Telegram's servers don't all know the same at the same time: what one of them says is not believed at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.servers.telegram import Channel, TelegramServer
from tests.servers.telegram.posts import Post
from tests.workers.telegram.alone import Alone
from tests.workers.telegram.desk import picture
from workers.telegram import watch, young

pytestmark = pytest.mark.tree

MakeAlone = Callable[..., Alone]


@pytest.fixture
def channel(server: TelegramServer) -> Channel:
    return server.world.add_channel("News", username="newsdesk")


def cursor(alone: Alone, channel: Channel) -> int:
    return (alone.desk.journal.channel_range(channel.id) or (0, 0, 0))[1]


def begin(make_alone: MakeAlone, channel: Channel, **options: object) -> Alone:
    alone = make_alone(channel, **{"reconcile_messages": 0, **options})
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("state") == "read")
    return alone


def post_hidden(channel: Channel) -> Post:
    """One that the server has not heard of yet, and one that it has."""
    with channel.world.lock:
        hidden = channel.hide(channel.post_photo(picture(), "seen late"))
        channel.post_text("seen at once")
        return hidden


def test_a_message_that_is_seen_late_is_taken(
    make_alone: MakeAlone, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(young, "PAUSES", (0.5, 0.5, 0.5, 3600.0))
    alone = begin(make_alone, channel, reconcile_seconds=3600)
    hidden = post_hidden(channel)
    alone.wait_for("the one above it", lambda: cursor(alone, channel) == channel.top_id)
    channel.reveal(hidden)
    alone.wait_for("the late one", lambda: alone.desk.journal.known(channel.id, hidden.id))


def test_one_that_is_seen_late_is_taken_by_the_next_process_too(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel
) -> None:
    alone = begin(make_alone, channel)
    hidden = post_hidden(channel)
    alone.wait_for("the one above it", lambda: cursor(alone, channel) == channel.top_id)
    alone.stop()
    channel.reveal(hidden)
    again = begin(make_alone, channel)
    again.wait_for("the late one", lambda: again.desk.journal.known(channel.id, hidden.id))


def test_an_id_that_was_never_posted_is_not_asked_for_for_ever(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(young, "PAUSES", (0.1, 0.1, 0.1, 0.1))
    alone = begin(make_alone, channel)
    asked = server.requests["channels.getMessages"]
    channel.skip_ids(3)
    channel.post_text("above them")
    alone.wait_for("four times", lambda: server.requests["channels.getMessages"] == asked + 4)
    alone.wait_for("some looks", lambda: server.requests["messages.getPeerDialogs"] > 3)
    channel.post_text("old gaps are none", date=1_700_000_000)
    channel.skip_ids(3)
    channel.post_text("above old ones", date=1_700_000_000)
    alone.wait_for("them", lambda: cursor(alone, channel) == channel.top_id)
    assert server.requests["channels.getMessages"] == asked + 4


def test_a_history_that_is_empty_for_a_moment_costs_nothing(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(watch, "MASS_DELETION", 2)
    alone = begin(make_alone, channel, reconcile_messages=20, reconcile_seconds=0.3)
    ids = [channel.post_photo(picture(), f"there {number}") for number in range(240)]
    alone.wait_for("them", lambda: cursor(alone, channel) == channel.top_id)
    server.requests.clear()
    fault = server.faults.empty_history(times=8)
    alone.wait_for("it", lambda: fault.hits == 8)
    jobs = [alone.desk.journal.known(channel.id, one) for one in ids]
    assert not [job for job in jobs if job is None or job.deleted_at]
    asked = [one for one in server.log if one.name == "channels.getMessages"]
    assert len(asked) <= 4, "for the window's ids, and not for all that there are"
