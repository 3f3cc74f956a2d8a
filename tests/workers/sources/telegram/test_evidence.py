"""Telegram's servers don't all know the same at the same time: what one of them says is not believed at once."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from ipc.journal import figures, lookup
from ipc.journal.outputs import takedowns
from tests.servers.telegram import Channel, TelegramServer
from tests.servers.telegram.media import PaidMedia, Photo
from tests.servers.telegram.posts import Post
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import picture
from workers.sources.telegram.channels import backfilling, looking
from workers.sources.telegram.history import backfill, late_ids, omitted_ids, reconciliation

pytestmark = pytest.mark.tree

MakeAlone = Callable[..., Alone]


@pytest.fixture
def channel(server: TelegramServer) -> Channel:
    return server.world.add_channel("News", username="newsdesk")


def cursor(alone: Alone, channel: Channel) -> int:
    return (lookup.channel_range(alone.desk.journal, channel.id) or (0, 0, 0))[1]


def deleted_at(alone: Alone, channel: Channel, message_id: int) -> int | None:
    job = lookup.known(alone.desk.journal, channel.id, message_id)
    assert job is not None
    return job.deleted_at


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
    monkeypatch.setattr(late_ids, "PAUSES", (0.5, 0.5, 0.5, 3600.0))
    alone = begin(make_alone, channel, reconcile_seconds=3600)
    hidden = post_hidden(channel)
    alone.wait_for("the one above it", lambda: cursor(alone, channel) == channel.top_id)
    channel.reveal(hidden)
    alone.wait_for("the late one", lambda: lookup.known(alone.desk.journal, channel.id, hidden.id))


def test_one_that_is_seen_late_is_taken_by_the_next_process_too(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel
) -> None:
    alone = begin(make_alone, channel)
    hidden = post_hidden(channel)
    alone.wait_for("the one above it", lambda: cursor(alone, channel) == channel.top_id)
    alone.stop()
    channel.reveal(hidden)
    again = begin(make_alone, channel)
    again.wait_for("the late one", lambda: lookup.known(again.desk.journal, channel.id, hidden.id))


def test_an_id_that_was_never_posted_is_not_asked_for_for_ever(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(late_ids, "PAUSES", (0.1, 0.1, 0.1, 0.1))
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
    monkeypatch.setattr(reconciliation, "MASS_DELETION", 2)
    alone = begin(make_alone, channel, reconcile_messages=20, reconcile_seconds=0.3)
    ids = [channel.post_photo(picture(), f"there {number}") for number in range(240)]
    alone.wait_for("them", lambda: cursor(alone, channel) == channel.top_id)
    server.requests.clear()
    fault = server.faults.empty_history(times=8)
    alone.wait_for("it", lambda: fault.hits == 8)
    jobs = [lookup.known(alone.desk.journal, channel.id, one) for one in ids]
    assert not [job for job in jobs if job is None or job.deleted_at]
    asked = [one for one in server.log if one.name == "channels.getMessages"]
    assert len(asked) <= 4, "for the window's ids, and not for all that there are"


def post_old(channel: Channel, count: int) -> None:
    for number in range(count):
        channel.post_text(f"old {number}", date=1_700_000_000 + number)


@pytest.mark.parametrize(("gap", "times"), [(0, 2), (150, 1)])
def test_an_empty_page_is_not_the_end_of_a_backfill(
    make_alone: MakeAlone,
    server: TelegramServer,
    channel: Channel,
    monkeypatch: pytest.MonkeyPatch,
    gap: int,
    times: int,
) -> None:
    """Whether the ids below the floor are there, or only those a page further down."""
    monkeypatch.setattr(backfill, "EMPTY_SECONDS", 0.5)
    monkeypatch.setattr(backfilling, "PAUSE_SECONDS", 1.0)
    post_old(channel, 150)
    channel.skip_ids(gap)
    post_old(channel, 100)
    alone = make_alone(
        channel, backfill_on_start=True, reconcile_messages=0, monitor_seconds=3600, reconcile_seconds=3600
    )
    alone.start()
    alone.wait_for("a page", lambda: (lookup.channel_range(alone.desk.journal, channel.id) or (0, 0, 0))[2] == 100)
    fault = server.faults.empty_history(times=times)
    alone.wait_for("the end", lambda: alone.report("channel 0").get("backfill_left") == 0)
    assert fault.hits == times and alone.report("channel 0")["backfilled"] == len(channel.ids)


def test_a_backfill_ends_where_nothing_is_below(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backfill, "EMPTY_SECONDS", 0.5)
    channel.delete(1)
    channel.skip_ids(150)
    post_old(channel, 50)
    alone = make_alone(channel, backfill_on_start=True, reconcile_messages=0)
    alone.start()
    alone.wait_for("the end", lambda: alone.report("channel 0").get("backfill_left") == 0)
    assert alone.report("channel 0")["backfilled"] == len(channel.ids)
    assert server.requests["channels.getMessages"] == 1


@pytest.mark.parametrize("times", [1, 2])
def test_an_empty_page_does_not_make_an_old_channel_new(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch, times: int
) -> None:
    """The first look, or all that is asked in it."""
    monkeypatch.setattr(looking, "AGAIN_SECONDS", 0.2)
    post_old(channel, 20)
    old = channel.post_photo(picture(), "old", date=1_700_000_100)
    fault = server.faults.empty_history(times=times)
    alone = begin(make_alone, channel)
    assert fault.hits == times
    assert cursor(alone, channel) == channel.top_id
    assert not lookup.known(alone.desk.journal, channel.id, old)


@pytest.mark.parametrize("is_empty", [True, False])
def test_a_channel_that_is_new_is_taken_from_its_beginning(
    make_alone: MakeAlone, server: TelegramServer, is_empty: bool
) -> None:
    alone = make_alone("@fresh", started_ago=60, reconcile_messages=0)
    fresh = server.world.add_channel("Fresh", username="fresh", empty=is_empty)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("state") == "read")
    first = fresh.post_photo(picture(), "the first")
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, fresh.id, first))


# More than one picture


@pytest.mark.parametrize(("is_bought", "ignored"), [(True, {"more_pictures": 2}), (False, {"paid": 1})])
def test_paid_media(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, is_bought: bool, ignored: dict[str, int]
) -> None:
    alone = begin(make_alone, channel)
    photos = tuple(Photo(server.world.file(picture()), (96, 72)) for _ in range(3))
    message_id = channel.post("for stars", PaidMedia(photos, is_bought))
    alone.wait_for("it", lambda: cursor(alone, channel) == message_id)
    (row,) = figures.channels(alone.desk.journal)
    assert {kind: count for kind, count in row["ignored"].items() if kind != "service"} == ignored
    job = lookup.known(alone.desk.journal, channel.id, message_id)
    assert (job.identity if job else None) == (f"id:{photos[0].file.id}" if is_bought else None)


# Ids that are left out of an answer


def test_a_deleted_message_that_is_left_out_of_answers_becomes_a_tombstone_the_second_time(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omitted_ids, "AGAIN_SECONDS", 2.0)
    alone = begin(make_alone, channel, reconcile_seconds=3600)
    message_id = channel.post_photo(picture(), "soon gone")
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, message_id))
    fault = server.faults.omit_absent()
    channel.delete(message_id)
    alone.wait_for("the first answer", lambda: fault.hits)
    alone.wait_for("the tombstone", lambda: deleted_at(alone, channel, message_id))
    asked = [one.at for one in server.log if one.name == "channels.getMessages"]
    assert fault.hits >= 2 and asked[-1] - asked[0] >= 2.0


@pytest.mark.parametrize("is_told", [True, False])
def test_only_what_telegram_says_of_a_message_counts_as_told(
    make_alone: MakeAlone,
    server: TelegramServer,
    channel: Channel,
    monkeypatch: pytest.MonkeyPatch,
    is_told: bool,
) -> None:
    """That it is empty, or now a text. Left out of answers, it becomes a tombstone too, and its objects stay."""
    monkeypatch.setattr(omitted_ids, "AGAIN_SECONDS", 1.0)
    alone = begin(make_alone, channel, reconcile_seconds=3600)
    message_id = channel.post_photo(picture(), "soon gone")
    journal = alone.desk.journal
    alone.wait_for("its file", lambda: (job := lookup.known(journal, channel.id, message_id)) and job.sha256)
    if not is_told:
        server.faults.omit_absent()
    channel.delete(message_id)
    alone.wait_for("the tombstone", lambda: deleted_at(alone, channel, message_id))
    assert takedowns.counts(journal)["marked"] == is_told


def test_a_message_that_one_answer_leaves_out_is_not_deleted(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(omitted_ids, "AGAIN_SECONDS", 3.0)
    alone = begin(make_alone, channel, reconcile_messages=20, reconcile_seconds=0.3)
    message_id = channel.post_photo(picture(), "out of sight")
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, message_id))
    fault = server.faults.omit_absent()
    with channel.world.lock:
        hidden = channel.hide(message_id)
    alone.wait_for("an answer without it", lambda: fault.hits)
    channel.reveal(hidden)
    hits = fault.hits
    alone.wait_for("another answer", lambda: fault.hits > hits)
    alone.wait_for("some looks", lambda: server.requests["messages.getPeerDialogs"] > 10)
    assert deleted_at(alone, channel, message_id) is None


@pytest.mark.parametrize("is_there", [True, False])
def test_the_cursor_waits_below_an_id_that_is_left_out(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch, is_there: bool
) -> None:
    """Where the history has not shown what lies between, and each id is asked for."""
    monkeypatch.setattr(omitted_ids, "AGAIN_SECONDS", 3.0)
    alone = begin(make_alone, channel)
    fault = server.faults.omit_absent()
    empty = server.faults.empty_history()
    with channel.world.lock:
        hidden = post_hidden(channel)
        above = channel.post_photo(picture(), "above it")
    alone.wait_for("what is above it", lambda: lookup.known(alone.desk.journal, channel.id, above))
    assert cursor(alone, channel) == hidden.id - 1
    if is_there:
        channel.reveal(hidden)
        alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, hidden.id))
    alone.wait_for("the cursor", lambda: cursor(alone, channel) == above)
    assert empty.hits and fault.hits
    assert bool(lookup.known(alone.desk.journal, channel.id, hidden.id)) == is_there
