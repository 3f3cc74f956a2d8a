"""Channels that can't be read when the process starts: what is known of them is shown, and hints open them again."""

from __future__ import annotations

from collections.abc import Callable

import pytest
from telethon.tl import types

from ipc.journal import lookup
from tests.servers.telegram import Channel, TelegramServer
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import picture
from workers.sources.telegram.channels import looking

pytestmark = pytest.mark.tree

MakeAlone = Callable[..., Alone]


@pytest.fixture(autouse=True)
def only_hints(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is tried again in the test's time but for a hint's sake."""
    monkeypatch.setattr(looking, "FAULT_SECONDS", 3600.0)


def start(make_alone: MakeAlone, channel: Channel | str) -> Alone:
    alone = make_alone(channel, monitor_seconds=3600, reconcile_seconds=3600)
    alone.start()
    return alone


def wait_for_problem(alone: Alone, text: str = "") -> None:
    alone.wait_for("the problem", lambda: text in alone.report("channel 0").get("problem", "") != "")


def wait_for_row(alone: Alone, channel: Channel, message_id: int) -> None:
    alone.wait_for("the post", lambda: lookup.known(alone.desk.journal, channel.id, message_id))
    alone.wait_for("it to be read", lambda: alone.report("channel 0").get("state") == "read")


@pytest.fixture
def channel(server: TelegramServer) -> Channel:
    return server.world.add_channel("News", username="newsdesk")


def test_one_that_was_read_before_keeps_its_title_and_hears_that_it_is_open_again(
    make_alone: MakeAlone, channel: Channel
) -> None:
    first = start(make_alone, channel)
    first.wait_for("the channel", lambda: first.report("channel 0").get("state") == "read")
    first.stop()
    channel.ban()
    again = start(make_alone, "@newsdesk")
    wait_for_problem(again, "private")
    told = again.report("channel 0")
    assert (told["id"], told["title"], told["state"]) == (channel.id, "News", "closed")
    missed = channel.post_photo(picture(), "while it was closed")
    channel.unban()
    wait_for_row(again, channel, missed)


def test_one_that_was_never_read_hears_that_the_account_has_joined_it(
    make_alone: MakeAlone, server: TelegramServer
) -> None:
    later = server.world.add_channel("Later", invite="LaterLaterLater0", member=False)
    alone = start(make_alone, later)
    wait_for_problem(alone, "not joined")
    later.join()
    wait_for_row(alone, later, later.post_photo(picture(), "welcome"))


def test_hints_do_not_have_it_looked_up_all_the_time(make_alone: MakeAlone, server: TelegramServer) -> None:
    other = server.world.add_channel("Other", username="otherdesk")
    alone = start(make_alone, "@nobodyhere")
    wait_for_problem(alone, "nobody has this name")
    for _ in range(50):
        other.rename("otherdesk")  # which is an update of a channel that is not configured
        other.post_text("and this is one of its messages")
    found = server.world.add_channel("Found", username="nobodyhere")
    found.join()
    wait_for_row(alone, found, found.post_photo(picture(), "new"))
    assert server.requests["contacts.resolveUsername"] <= 6


def test_a_connection_with_nothing_to_connect_to_shows_what_is_known(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel
) -> None:
    first = start(make_alone, channel)
    first.wait_for("the channel", lambda: first.report("channel 0").get("state") == "read")
    first.stop()
    server.stop()
    again = start(make_alone, "@newsdesk")
    again.wait_for("it to be told", lambda: again.report("channel 0").get("id") == channel.id)
    assert again.report("channel 0")["title"] == "News"


@pytest.mark.parametrize("form", ["-{id}", "{id}"])
@pytest.mark.parametrize("has_become_another", [False, True])
def test_a_basic_group_is_called_one(
    make_alone: MakeAlone, server: TelegramServer, form: str, has_become_another: bool
) -> None:
    successor = server.world.add_channel("Chat") if has_become_another else None
    server.world.add_basic_group("Chat", 4012345678, successor)
    alone = start(make_alone, form.format(id=4012345678))
    wait_for_problem(alone, "basic group 'Chat'")
    wanted = f"-100{successor.id}" if successor else "supergroup"
    assert wanted in alone.report("channel 0")["remedy"]


def test_an_invitation_into_a_basic_group(make_alone: MakeAlone, server: TelegramServer) -> None:
    server.world.add_basic_group("Chat", 4012345678)
    group = server.world.basic_groups[4012345678]
    server.faults.rpc("messages.checkChatInvite", answer=types.ChatInviteAlready(group))
    wait_for_problem(start(make_alone, "t.me/+AbCdEf0123456789"), "basic group 'Chat'")


def test_a_mark_without_its_minus_is_the_channel(make_alone: MakeAlone, channel: Channel) -> None:
    alone = start(make_alone, f"100{channel.id}")
    wait_for_row(alone, channel, channel.post_photo(picture(), "new"))
