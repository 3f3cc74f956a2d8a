"""What may happen to one channel while the others are read as ever, and what messages of every kind are taken for."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Any

import pytest
from telethon.tl import types

from ipc.intake import take
from ipc.journal import figures, lookup
from tests.ipc.builders import page, post
from tests.servers.telegram import Channel, TelegramServer
from tests.servers.telegram.rpc import METHODS
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import LiveDesk, picture
from workers.sources.telegram.channels import looking
from workers.sources.telegram.wire.connection import Connection, HistoryPage
from workers.sources.telegram.wire.peers import Peer

pytestmark = pytest.mark.tree


FAULTS = {
    "@nobodyhere": ("nobody has this name", "its id"),
    "@somebody": ("it is not a channel", "Name a channel"),
    "t.me/+Expi…": ("the invite link has expired", "a new one"),
    "t.me/+Late…": ("the account has not joined it", "join"),
}


def fault_of(desk: LiveDesk, address: str) -> dict[str, Any]:
    """What /status says of the channel of that address, if there is something wrong with it."""
    rows = (row for row in desk.status()["channels"] if row.get("address") == address and row["problem"])
    return next(rows, {})


def post_everywhere(desk: LiveDesk, caption: str) -> None:
    for channel in desk.watched:
        channel.post_photo(picture(), caption)


def let_in(desk: LiveDesk, later: Channel) -> None:
    """Join a channel that could not be read so far."""
    later.join()
    desk.server.drop_connections()  # whom we have never seen, no update is understood of
    desk.watched.append(later)
    desk.wait_for("the channel that was joined later", lambda: desk.of(later))
    desk.before[later.id] = desk.of(later)["floor"] - 1
    later.post_photo(picture(), "welcome")


@pytest.mark.reaches("channel.unreadable")
def test_channels_that_cannot_be_read(
    make_live_desk: Callable[..., LiveDesk], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One life of the program, with a channel for everything that may be wrong with one."""
    world, ask = server.world, METHODS["contacts.resolveUsername"]
    user = types.contacts.ResolvedPeer(types.PeerUser(7), [], [types.User(7, first_name="Some", last_name="Body")])
    monkeypatch.setitem(
        METHODS,
        "contacts.resolveUsername",
        lambda call, request: user if request.username == "somebody" else ask(call, request),
    )
    good = world.add_channel("Good", username="gooddesk")
    later = world.add_channel("Later", invite="LaterLaterLater0", member=False)
    joined = world.add_channel("Joined", invite="JoinedJoined0")
    banned = world.add_channel("Banned", username="banneddesk")
    private = world.add_channel("Private", username="privatedesk")
    private.leave()
    renamed = world.add_channel("Renamed", username="renameddesk")
    by_id, by_mark, by_link = (world.add_channel(f"By id {number}") for number in range(3))
    alien = world.add_channel("Not among the chats", member=False)
    desk = make_live_desk(
        *(good, joined, banned, private, renamed, later),
        *(str(by_id.id), f"-100{by_mark.id}", f"https://t.me/c/{by_link.id}/5"),
        *("@nobodyhere", "@somebody", "https://t.me/+ExpiredExpired0", str(alien.id)),
        f"https://t.me/{good.username}/1",
    )
    desk.watched.remove(later)
    desk.watched += [by_id, by_mark, by_link]
    desk.before |= {one.id: one.top_id for one in desk.watched}
    desk.run()
    for address, (what, remedy) in {**FAULTS, str(alien.id): ("no channel with this id", "Join it")}.items():
        fault = desk.wait_for(f"the fault of {address}", lambda address=address: fault_of(desk, address))  # type: ignore[misc]
        assert what in fault["problem"] and remedy in fault["remedy"]
        assert f"channel {address} can't be read: {what}" in desk.problems()
    post_everywhere(desk, "all is well")
    desk.settle()
    assert desk.of(private)["is_member"] is False and desk.of(good)["is_member"] is True
    assert len(desk.rows()) == len(desk.watched), "the channel that is named twice is read once"

    banned.ban()
    private.make_private()
    desk.wait_for("the ban", lambda: fault_of(desk, "@banneddesk") and fault_of(desk, "@privatedesk"))
    assert "it is private" in fault_of(desk, "@banneddesk")["problem"]
    renamed.rename("anothername")
    post_everywhere(desk, "while two were closed to us")
    open_ones = [one for one in desk.watched if one not in (banned, private)]
    desk.wait_for("the others", lambda: all(desk.row(one, one.top_id) for one in open_ones))
    assert not desk.row(banned, banned.top_id) and not desk.row(private, private.top_id)
    assert desk.connected

    banned.unban()
    private.join()
    desk.settle()
    desk.wait_for("them to be well", lambda: not fault_of(desk, "@banneddesk") and not fault_of(desk, "@privatedesk"))

    let_in(desk, later)
    names = desk.requested("contacts.resolveUsername")
    desk.settle()
    desk.stop()

    desk.run()
    post_everywhere(desk, "after a restart")
    desk.settle()
    assert desk.requested("contacts.resolveUsername") - names == 2, "a name that was found is not asked for again"
    desk.finish()


@pytest.mark.parametrize(
    "spelling",
    ["{id}", "-100{id}", "https://t.me/c/{id}", "t.me/c/{id}/77", "@newsdesk", "NewsDesk", "https://t.me/s/newsdesk/3"],
)
def test_every_spelling(make_alone: Callable[..., Alone], server: TelegramServer, spelling: str) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(spelling.format(id=channel.id))
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id") == channel.id)


def test_an_access_hash_that_is_no_longer_good_is_asked_for_anew(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "AGAIN_SECONDS", 2.0)
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    alone.stop()
    channel.access_hash += 1  # as with another account
    again = make_alone(channel)
    again.start()
    again.wait_for("the fault", lambda: "does not know it" in again.report("channel 0").get("problem", ""))
    message_id = channel.post_photo(picture(), "under another hash")
    again.wait_for("it to be found anew", lambda: lookup.known(again.desk.journal, channel.id, message_id))
    assert server.requests["contacts.resolveUsername"] == 2
    again.wait_for("all to be well", lambda: again.report("channel 0").get("problem") == "")


# Where reading begins


def first_seen(make_alone: Callable[..., Alone], channel: Channel) -> set[int]:
    """Let the channel be seen for the first time; the messages of which there is a job then."""
    alone = make_alone(channel, reconcile_messages=0)
    alone.start()
    marker = channel.post_photo(picture(), "posted since")
    alone.wait_for("the new one", lambda: lookup.known(alone.desk.journal, channel.id, marker))
    known = {one for one in channel.posts if lookup.known(alone.desk.journal, channel.id, one)}
    return known - {marker}


def test_what_was_posted_before_is_not_taken(make_alone: Callable[..., Alone], server: TelegramServer) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    old = server.world.now() - 600
    for number in range(5):
        channel.post_photo(picture(), f"old {number}", date=old)
    assert first_seen(make_alone, channel) == set()


def test_where_the_newest_cannot_be_read_the_old_is_not_taken(
    make_alone: Callable[..., Alone], server: TelegramServer
) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    old = server.world.now() - 600
    for number in range(5):
        one = channel.post_photo(picture(), f"old {number}", date=old)
        if number > 2:
            channel.make_unreadable(one)
    assert first_seen(make_alone, channel) == set()


def test_what_was_posted_since_the_start_is_taken_whoever_connects(
    make_alone: Callable[..., Alone], server: TelegramServer
) -> None:
    """The program's start counts: a connection process may have been replaced before it ever saw the channel."""
    channel = server.world.add_channel("News", username="newsdesk")
    channel.post_photo(picture(), "before", date=server.world.now() - 90)
    since = channel.post_photo(picture(), "since", date=server.world.now() - 30)
    alone = make_alone(channel, reconcile_messages=0, started_ago=60.0)
    alone.start()
    alone.wait_for("what was posted since", lambda: lookup.known(alone.desk.journal, channel.id, since))
    assert [one for one in channel.posts if lookup.known(alone.desk.journal, channel.id, one)] == [since]


def test_a_channel_that_is_added_to_an_old_program_begins_now(
    make_alone: Callable[..., Alone], server: TelegramServer
) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    for number in range(5):
        channel.post_photo(picture(), f"old {number}", date=server.world.now() - 600)
    alone = make_alone(channel, reconcile_messages=0, started_ago=3 * 7 * 86400.0)
    alone.start()
    new = channel.post_photo(picture(), "since")
    alone.wait_for("the new one", lambda: lookup.known(alone.desk.journal, channel.id, new))
    assert [one for one in channel.posts if lookup.known(alone.desk.journal, channel.id, one)] == [new]


def test_what_was_posted_while_it_could_not_be_opened_is_taken_after_a_restart(
    make_alone: Callable[..., Alone], server: TelegramServer
) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    server.world.clock_offset = -600
    old = channel.post_photo(picture(), "before")
    server.world.clock_offset = 0
    fault = server.faults.rpc("contacts.resolveUsername", error="FLOOD_WAIT_3600")
    alone = make_alone(channel)
    alone.start()
    alone.wait_for("the flood", lambda: fault.hits)
    assert alone.report("channel 0")["state"] == "not read yet" and alone.report("channel 0")["behind"] is None
    missed = channel.post_photo(picture(), "while nobody could open it")
    alone.stop()
    fault.clear()
    again = make_alone(channel, started_ago=-3600.0)  # an hour later, as it were
    again.start()
    again.wait_for("it", lambda: lookup.known(again.desk.journal, channel.id, missed))
    assert lookup.known(again.desk.journal, channel.id, old) is None


def test_where_reading_begins_is_found_with_one_request_and_kept(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    begun: list[int] = []
    ask = Connection.before_time

    async def before_time(self: Connection, peer: Peer, seconds: int, *, skip: int = 0) -> HistoryPage:
        begun.append(seconds)
        return await ask(self, peer, seconds, skip=skip)

    monkeypatch.setattr(Connection, "before_time", before_time)
    channel = server.world.add_channel("News", username="newsdesk")
    channel.post_text("before", date=server.world.now() - 600)
    for number in range(350):
        channel.post_text(f"since {number}")
    server.faults.rpc("messages.getHistory", error="FLOOD_WAIT_1", after=3, times=1)
    alone = make_alone(channel, reconcile_messages=0)
    alone.start()
    alone.wait_for(
        "the end", lambda: (lookup.channel_range(alone.desk.journal, channel.id) or (0, 0, 0))[1] == channel.top_id
    )
    assert figures.channels(alone.desk.journal)[0]["ignored"]["text"] == 350
    assert len(begun) == 1


def test_a_channel_that_gives_no_good_answer_is_told(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "AGAIN_SECONDS", 0.2)
    channel, other = (server.world.add_channel(name, username=f"{name}desk") for name in ("news", "other"))
    alone = make_alone(channel, other, reconcile_seconds=0.1)
    alone.start()
    for topic in ("channel 0", "channel 1"):
        alone.wait_for("it", lambda topic=topic: alone.report(topic).get("state") == "read")  # type: ignore[misc]
    fault = server.faults.rpc("messages.getHistory", error="SOMETHING_NEW", channel=channel)
    alone.wait_for("the problem", lambda: alone.report("channel 0").get("problem"))
    assert "SOMETHING_NEW" in alone.report("channel 0")["problem"] and alone.report("channel 0")["remedy"]
    assert alone.report("channel 0")["state"] == "failing" and alone.report("channel 1")["state"] == "read"
    assert fault.hits >= 3
    fault.clear()
    alone.wait_for("it to be well", lambda: alone.report("channel 0")["problem"] == "")
    assert alone.report("channel 0")["state"] == "read"


def test_a_name_that_leads_to_another_channel_is_not_followed(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "AGAIN_SECONDS", 0.1)
    mine = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(mine)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    alone.stop()
    mine.rename(None)
    mine.access_hash += 1  # what we know of it does not hold any more
    alien = server.world.add_channel("Somebody else", username="newsdesk")
    again = make_alone("@newsdesk")
    again.start()
    again.wait_for("the fault", lambda: "another channel" in again.report("channel 0").get("problem", ""))
    remedy = again.report("channel 0")["remedy"]
    assert f"-100{alien.id}" in remedy and f"-100{mine.id}" in remedy
    assert again.report("channel 0")["id"] == mine.id
    assert lookup.channel_range(again.desk.journal, alien.id) is None


def test_pictures_that_cannot_be_fetched_keep_nobody_elses_waiting(
    make_alone: Callable[..., Alone], server: TelegramServer
) -> None:
    """Of a channel that can't be read now, or that is not configured any more, many may wait at the head."""
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel)
    closed = page(*(post(number, f"id:{number}") for number in range(1, 500)))
    assert take(alone.desk.journal, closed, time.time()).new == 499
    alone.start()
    message_id = channel.post_photo(picture(), "new")
    alone.wait_for("the new one to be fetched", lambda: is_fetched(alone, channel, message_id))


def is_fetched(alone: Alone, channel: Channel, message_id: int) -> bool:
    job = lookup.known(alone.desk.journal, channel.id, message_id)
    return job is not None and job.state == "fetched"


def test_a_page_of_new_messages_does_not_bring_in_the_old(
    make_alone: Callable[..., Alone], server: TelegramServer
) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    channel.post_photo(picture(), "old", date=server.world.now() - 600)
    with server.world.lock:
        server.world.clock_offset = 5.0  # posted since, as the clock has it
        new = [channel.post_photo(picture(), f"new {n}") if n % 50 == 0 else channel.post_text("-") for n in range(230)]
        server.world.clock_offset = 0.0
    assert first_seen(make_alone, channel) == {new[0], new[50], new[100], new[150], new[200]}
