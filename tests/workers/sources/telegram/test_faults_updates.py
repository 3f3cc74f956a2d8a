"""What may happen to updates, and to messages after they were posted: the rows are what the channel shows."""

from __future__ import annotations

import pytest

from tests.servers.telegram.media import Document
from tests.workers.sources.telegram.desk import LiveDesk, large_picture, picture

pytestmark = pytest.mark.tree


# New messages


def test_lost_and_quiet_afterwards(live_desk: LiveDesk) -> None:
    live_desk.server.mute_updates()
    for number in range(3):
        live_desk.channel.post_photo(picture(), f"unheard {number}")


def test_one_lost_between_others(live_desk: LiveDesk) -> None:
    live_desk.channel.post_photo(picture(), "first")
    live_desk.settle()
    live_desk.server.faults.updates("lost", times=1)
    live_desk.channel.post_photo(picture(), "lost")
    live_desk.channel.post_photo(picture(), "heard")


@pytest.mark.parametrize("how", ["doubled", "swapped", "unreadable"])
def test_updates_that_are(live_desk: LiveDesk, how: str) -> None:
    fault = live_desk.server.faults.updates(how, times=2)  # type: ignore[arg-type]
    for number in range(4):
        live_desk.channel.post_photo(picture(), f"{how} {number}")
    live_desk.settle()
    assert fault.hits == 2


def test_more_than_a_page_behind(live_desk: LiveDesk) -> None:
    live_desk.server.stop()
    for number in range(230):
        if number % 23:
            live_desk.channel.post_text(f"text {number}")
        else:
            live_desk.channel.post_photo(picture(), f"photo {number}")
    live_desk.channel.skip_ids(250)
    live_desk.channel.post_photo(picture(), "after a gap of ids")
    live_desk.server.start()


def test_a_gap_below_the_newest_message(live_desk: LiveDesk) -> None:
    live_desk.server.mute_updates()
    live_desk.channel.skip_ids(130)
    ids = [live_desk.channel.post_photo(picture(), f"above the gap {number}") for number in range(3)]
    live_desk.channel.delete(ids[-1])
    live_desk.channel.skip_ids(5)


# Differences


def test_the_difference_is_too_long(live_desk: LiveDesk) -> None:
    live_desk.channel.post_photo(picture(), "first")
    live_desk.settle()
    fault = live_desk.server.faults.difference_too_long(times=1)
    live_desk.server.faults.updates("lost", times=2)
    for number in range(4):
        live_desk.channel.post_photo(picture(), f"too long {number}")
    live_desk.settle()
    live_desk.wait_for("the client to ask for the difference", lambda: fault.hits)


def test_the_channel_is_too_long(live_desk: LiveDesk) -> None:
    live_desk.server.faults.updates("lost", times=2)
    live_desk.channel.post_photo(picture(), "unheard")
    edited = live_desk.channel.post_photo(picture(), "unheard as well")
    live_desk.channel.push_too_long()
    live_desk.settle()
    live_desk.server.faults.updates("lost", times=1)
    live_desk.channel.edit(edited, "edited, unheard")
    live_desk.channel.push_too_long()


def test_the_account_forgets_to_mention_the_channel(live_desk: LiveDesk) -> None:
    live_desk.world.announces_channels = False
    live_desk.server.stop()
    live_desk.channel.post_photo(picture(), "not mentioned")
    live_desk.server.start()


# Messages of a kind that nobody knows yet


def unreadable(desk: LiveDesk) -> int:
    return desk.ignored(desk.channel).get("unreadable", 0)


def test_unknown_constructors_in_a_page_cost_nobody_else(live_desk: LiveDesk) -> None:
    channel, before = live_desk.channel, unreadable(live_desk)
    live_desk.server.stop()
    ids = [channel.post_photo(picture(), f"neighbour {number}") for number in range(7)]
    for one in (ids[2], ids[5]):
        channel.make_unreadable(one)
    live_desk.server.start()
    live_desk.settle()
    live_desk.wait_for("them to be counted", lambda: unreadable(live_desk) == before + 2)
    passed = {one["message"] for one in live_desk.said("message.passed_over")}
    assert passed >= {ids[2], ids[5]}
    with live_desk.asked_again("channels.getMessages", 8):
        pass  # it is looked at again and again
    assert unreadable(live_desk) == before + 2
    for one in (ids[2], ids[5]):
        channel.make_unreadable(one, False)
    live_desk.settle()  # as after an update of the program: what can be read now is taken


def test_an_unknown_constructor_in_the_newest_message(live_desk: LiveDesk) -> None:
    """It is in getPeerDialogs as well, which the monitor asks."""
    channel, before = live_desk.channel, unreadable(live_desk)
    channel.post_photo(picture(), "below it")
    live_desk.settle()
    live_desk.server.mute_updates()
    with live_desk.world.lock:
        newest = channel.post_photo(picture(), "not to be read")
        channel.make_unreadable(newest)
    live_desk.wait_for("it to be counted", lambda: unreadable(live_desk) == before + 1)
    with live_desk.asked_again("messages.getPeerDialogs", 2):
        assert live_desk.connected
    with live_desk.world.lock:
        channel.post_photo(picture(), "above it")
        other = channel.post_photo(picture(), "not to be read either")
        channel.make_unreadable(other)
    live_desk.settle()
    live_desk.wait_for("that one to be counted", lambda: unreadable(live_desk) == before + 2)
    for one in (newest, other):
        channel.make_unreadable(one, False)


def test_an_unknown_constructor_above_many_ids_that_are_gone(live_desk: LiveDesk) -> None:
    channel, before = live_desk.channel, unreadable(live_desk)
    live_desk.server.mute_updates()
    with live_desk.world.lock:
        channel.skip_ids(150)
        channel.post_photo(picture(), "below it")
        newest = channel.post_photo(picture(), "not to be read")
        channel.make_unreadable(newest)
    live_desk.settle()
    live_desk.wait_for("it to be counted", lambda: unreadable(live_desk) == before + 1)
    channel.make_unreadable(newest, False)


def test_an_unknown_constructor_in_the_difference(live_desk: LiveDesk) -> None:
    channel = live_desk.channel
    channel.post_photo(picture(), "first")
    live_desk.settle()
    before = live_desk.requested("updates.getChannelDifference")
    with live_desk.world.lock:
        live_desk.server.faults.updates("lost", times=1)
        strange = channel.post_photo(picture(), "not to be read")
        channel.make_unreadable(strange)
        channel.post_photo(picture(), "heard of, and a gap before it")
    live_desk.wait_for(
        "the difference to be asked for", lambda: live_desk.requested("updates.getChannelDifference") > before
    )
    live_desk.settle()
    live_desk.wait_for("the connection to hold", lambda: live_desk.connected)
    channel.make_unreadable(strange, False)


def test_a_picture_whose_message_cannot_be_read_any_more_is_kept(live_desk: LiveDesk) -> None:
    channel = live_desk.channel
    message_id = channel.post_photo(picture(), "of a kind that everybody knows")
    live_desk.settle()
    with live_desk.world.lock:
        channel.edit(message_id, "of a kind that nobody knows")
        channel.make_unreadable(message_id)  # before it can be looked at
    with live_desk.asked_again("channels.getMessages", 12):
        pass
    row = live_desk.row(channel, message_id)
    assert row["deleted_at"] is None and row["caption"] == "of a kind that everybody knows" and row["sha256"]
    channel.make_unreadable(message_id, False)


# Edits and deletions


@pytest.mark.parametrize("heard", [True, False])
def test_edits_and_deletions(live_desk: LiveDesk, heard: bool) -> None:
    channel = live_desk.channel
    caption, photo, gone, gone_too = (channel.post_photo(picture(), f"as posted {number}") for number in range(4))
    live_desk.settle()
    revision = live_desk.row(channel, caption)["revision"]
    if not heard:
        live_desk.server.mute_updates()
    channel.edit(caption, "edited")
    channel.edit(photo, photo=picture())
    channel.delete([gone, gone_too])
    live_desk.settle()
    row = live_desk.row(channel, caption)
    assert (row["caption"], row["deleted_at"]) == ("edited", None) and row["edited_at"] and row["revision"] > revision
    for one in (gone, gone_too):
        tombstone = live_desk.row(channel, one)
        assert tombstone["deleted_at"] and tombstone["sha256"] is None


def test_edits_and_deletions_while_offline(live_desk: LiveDesk) -> None:
    channel = live_desk.channel
    caption, photo, gone = (channel.post_photo(picture(), f"as posted {number}") for number in range(3))
    live_desk.settle()
    live_desk.server.stop()
    channel.edit(caption, "edited")
    channel.edit(photo, photo=picture())
    channel.delete(gone)
    live_desk.server.start()
    live_desk.settle()
    assert live_desk.row(channel, caption)["caption"] == "edited"
    assert live_desk.row(channel, gone)["deleted_at"]


def test_a_photo_that_became_a_video_is_gone(live_desk: LiveDesk) -> None:
    channel = live_desk.channel
    message_id = channel.post_photo(picture(), "a photo")
    video = channel.post_video(b"a film", "a video")
    live_desk.settle()
    with live_desk.world.lock:
        film = channel.posts[video].media
        assert isinstance(film, Document)
        channel.posts[message_id].media = film
        channel.edit(message_id, "now a video")
    live_desk.settle()
    assert live_desk.row(channel, message_id)["deleted_at"]
    channel.edit(message_id, "a photo again", photo=picture())
    live_desk.settle()
    assert live_desk.row(channel, message_id)["deleted_at"] is None


@pytest.mark.parametrize("heard", [True, False])
def test_deleted_in_its_download(live_desk: LiveDesk, heard: bool) -> None:
    channel = live_desk.channel
    live_desk.server.faults.file("slow", times=1, bytes_per_second=500_000)
    with live_desk.asked_again("upload.getFile"):
        message_id = channel.post_photo(large_picture(), "soon gone")
    if not heard:
        live_desk.server.mute_updates()
    channel.delete(message_id)
    live_desk.wait_for("that to be known", lambda: live_desk.job(channel, message_id, "deleted_at"))
    live_desk.settle()
    row = live_desk.row(channel, message_id)
    assert not row or row["deleted_at"]
    assert not live_desk.spooled()


def test_edited_in_its_download(live_desk: LiveDesk) -> None:
    live_desk.server.faults.file("slow", times=1, bytes_per_second=500_000)
    with live_desk.asked_again("upload.getFile"):
        message_id = live_desk.channel.post_photo(large_picture(), "the first picture")
    live_desk.channel.edit(message_id, "the second picture", photo=picture())


def test_posted_and_deleted_at_once(live_desk: LiveDesk) -> None:
    for number in range(5):
        live_desk.channel.delete(live_desk.channel.post_photo(picture(), f"at once {number}"))


def test_many_deleted_at_once_are_believed_at_the_second_look(live_desk: LiveDesk) -> None:
    channel = live_desk.channel
    live_desk.server.mute_updates()
    ids = [channel.post_photo(picture(), f"one of many {number}") for number in range(22)]
    live_desk.settle()
    channel.delete(ids)
    live_desk.settle()
    assert all(live_desk.row(channel, one)["deleted_at"] for one in ids)
    assert live_desk.said("messages.missed")


def test_reactions_are_no_edits(live_desk: LiveDesk) -> None:
    channel, connections = live_desk.channel, live_desk.server.connections_total
    live_desk.server.drop_connections()  # so that the client knows of no gap, in which it would tell of no edits
    live_desk.wait_for(
        "a new connection", lambda: live_desk.server.connections_total > connections and live_desk.server.subscribers
    )
    message_id = channel.post_photo(picture(), "well liked")
    live_desk.settle()
    before = live_desk.row(channel, message_id)
    for _ in range(3):
        with live_desk.asked_again("channels.getMessages"):
            channel.react(message_id)
    channel.count_views(message_id, 1000)
    with live_desk.asked_again("messages.getHistory", 3):
        pass
    assert live_desk.row(channel, message_id) == before
    assert live_desk.job(channel, message_id, "generation") == 1
