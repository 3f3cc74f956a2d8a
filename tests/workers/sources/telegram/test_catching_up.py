"""Whatever was posted while nobody looked is found: after an outage, after a stop, before the first start."""

from __future__ import annotations

import itertools
import json
import os
import signal
import time
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgpack
import pytest

from ipc import posts
from ipc.intake import take
from ipc.journal import lookup
from ipc.text.channel_address import parse
from tests import lengths
from tests.ipc.tables import scalar, sql
from tests.pictures import message
from tests.servers.telegram import Channel, TelegramServer
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import LiveDesk, expected_rows, picture
from workers.sources.telegram.channels import backfilling, looking
from workers.sources.telegram.channels.state import ChannelState
from workers.sources.telegram.history import history

pytestmark = pytest.mark.tree

MakeDesk = Callable[..., LiveDesk]


@pytest.fixture
def channel(server: TelegramServer) -> Channel:
    return server.world.add_channel("News", username="newsdesk")


def post_mixed(channel: Channel, count: int, every: int) -> None:
    """`count` messages, each `every`th of them a photo, the others texts."""
    for number in range(count):
        if number % every:
            channel.post_text(f"text {number}")
        else:
            channel.post_photo(picture(), f"photo {number}")


def post_long_ago(channel: Channel, count: int, every: int) -> None:
    """The same, but older than every program."""
    for number in range(count):
        posted = 1_700_000_000 + 60 * number
        if number % every:
            channel.post_text(f"text {number}", date=posted)
        else:
            channel.post_photo(picture(), f"photo {number}", date=posted)


# While the connection is down, or the program is not there


def test_one_post_while_away_and_silence_afterwards(
    channel: Channel, server: TelegramServer, make_alone: Callable[..., Alone]
) -> None:
    server.world.announces_channels = False
    alone = make_alone(channel)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("state") == "read")
    server.stop()
    alone.wait_for("the outage to be noticed", lambda: not alone.report()["connected"])
    one = channel.post_photo(picture(), "while the connection was down")
    server.start()
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, one))
    alone.stop()
    other = channel.post_photo(picture(), "while the program was not there")
    again = make_alone(channel)
    again.start()
    again.wait_for("it", lambda: lookup.known(again.desk.journal, channel.id, other))


@pytest.mark.parametrize("kind", ["file", "string"] if lengths.is_long else ["file"])
def test_a_restart_finds_posts_edits_and_deletions(
    kind: str, channel: Channel, server: TelegramServer, make_live_desk: MakeDesk
) -> None:
    """Every run has a session in a file; those of the other tests here are strings."""
    desk = make_live_desk(channel, **({"session": "telegram.session"} if kind == "file" else {}))
    if kind == "file":
        desk.instance.state_dir.mkdir()
        server.session_file(desk.instance.state_dir / "telegram.session")
    desk.run()
    ids = [channel.post_photo(picture(), f"photo {number}") for number in range(6)]
    album = channel.post_album([picture(), picture(), picture()], "an album")
    desk.settle()
    desk.stop()
    channel.post_photo(picture(), "posted")
    channel.edit(ids[0], caption="another caption")
    channel.edit(ids[1], photo=picture())
    channel.edit(ids[2], caption="both", photo=picture())
    channel.react(ids[3])
    channel.delete([ids[4], album[1]])
    desk.run()
    desk.finish()
    desk.assert_originals()
    deleted = [row["message_id"] for row in desk.rows() if row["deleted_at"]]
    assert sorted(deleted) == sorted([ids[4], album[1]])
    assert desk.job(channel, ids[3], "generation") == 1, "a reaction changes nothing"


def test_a_string_session_with_an_empty_state_dir_begins_anew(channel: Channel, make_live_desk: MakeDesk) -> None:
    desk = make_live_desk(channel)
    desk.run()
    channel.post_photo(picture(), "for the first one", date=time.time() - 5)
    desk.settle()
    desk.stop()
    channel.post_photo(picture(), "for nobody", date=time.time() - 5)
    anew = make_live_desk(channel, session=desk.session)
    anew.run()
    channel.post_photo(picture(), "for the second one")
    anew.finish()
    assert [row["caption"] for row in anew.rows()] == ["for the second one"]


def test_five_thousand_messages_of_backlog(
    channel: Channel, server: TelegramServer, make_alone: Callable[..., Alone]
) -> None:
    alone = make_alone(channel, reconcile_messages=100)
    alone.start()
    before = channel.post_photo(picture(), "before")
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, before))
    alone.stop()
    post_mixed(channel, 5_000, 83)
    server.requests.clear()
    again = make_alone(channel, reconcile_messages=100)
    again.start()
    again.wait_for("the backlog to be read", lambda: _cursor(again, channel) == channel.top_id)
    assert len(expected_rows(channel)) == 62
    known = lookup.messages_between(again.desk.journal, channel.id, 1, channel.top_id)
    assert known == set(expected_rows(channel))
    ignored = scalar(again.desk.journal, "SELECT ignored FROM channels WHERE id = ?", channel.id)
    assert msgpack.unpackb(ignored)["text"] == 4_939
    assert server.requests["messages.getHistory"] < 100, "a hundred messages at a time"


@pytest.mark.parametrize("outage", [False, True])
def test_pictures_are_recorded_in_the_order_of_their_channel(
    outage: bool, channel: Channel, server: TelegramServer, make_alone: Callable[..., Alone]
) -> None:
    other = server.world.add_channel("Other", username="otherdesk")
    alone = make_alone(channel, other)
    alone.start()
    for topic in ("channel 0", "channel 1"):
        alone.wait_for("it", lambda topic=topic: alone.report(topic).get("state") == "read")  # type: ignore[misc]
    if outage:
        server.stop()
        alone.wait_for("the outage to be noticed", lambda: not alone.report()["connected"])
    server.faults.updates("swapped", times=10)
    for number in range(150):
        (channel if number % 3 else other).post_photo(picture((40, 30)), f"photo {number}")
    if outage:
        server.start()
    for one in (channel, other):
        alone.wait_for("the last", lambda one=one: lookup.known(alone.desk.journal, one.id, one.top_id))  # type: ignore[misc]
    jobs = sql(alone.desk.journal, "SELECT channel_id, message_id FROM jobs ORDER BY id")
    assert len(jobs) == 150
    for one in (channel, other):
        ids = [row["message_id"] for row in jobs if row["channel_id"] == one.id]
        assert ids == sorted(ids)


# What /status says meanwhile


def test_the_heartbeat_beats_with_and_without_a_line(
    channel: Channel, server: TelegramServer, make_alone: Callable[..., Alone]
) -> None:
    alone = make_alone(channel)  # every second
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))

    def beat() -> float:
        return datetime.fromisoformat(alone.report()["last_heartbeat_at"]).timestamp()

    for _ in range(2):
        before = beat()
        alone.wait_for("the next one", lambda before=before: beat() > before, 5)  # type: ignore[misc]
        assert time.time() - beat() < 5
        server.stop()


def test_a_picture_of_a_channel_that_is_not_read_any_more_is_nothing_to_fetch(
    channel: Channel, make_alone: Callable[..., Alone]
) -> None:
    alone = make_alone(channel)
    post = posts.Post(
        999, 5, 100, None, None, "left over", posts.Photo(1, "id:1", {}, None, None, None, None, source="telegram")
    )
    take(alone.desk.journal, posts.Page(posts.Channel(999, "Not configured"), (post,), 5, 5, {}), 100.0)
    alone.start()
    alone.wait_for("that to be said", lambda: alone.report().get("nothing_to_fetch"))
    assert alone.report()["connected"]


# The first sight of a channel


def test_the_first_sight_takes_what_is_posted_from_the_start_on(
    channel: Channel, server: TelegramServer, make_live_desk: MakeDesk
) -> None:
    post_long_ago(channel, 120, 3)
    channel.post_photo(picture(), "just before", date=time.time() - 5)
    desk = make_live_desk(channel)
    server.stop()
    desk.start()
    desk.wait_for("the connection to try", lambda: desk.said("connection.lost"))
    post_mixed(channel, 130, 10)
    server.start()
    desk.settle()
    channel.post_photo(picture(), "afterwards")
    desk.finish()
    assert desk.of(channel).get("backfilled") in (None, 0)


# Backfill


@pytest.mark.parametrize("limit", [150, 0])
def test_backfill(
    limit: int, channel: Channel, make_alone: Callable[..., Alone], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The newest messages up to that number, whatever they are; or all of them."""
    monkeypatch.setattr(backfilling, "PAUSE_SECONDS", 0.05)
    post_long_ago(channel, 200, 7)
    channel.skip_ids(120)
    post_long_ago(channel, 130, 7)
    ids = list(channel.ids)
    first = ids[-limit] if limit else 0
    alone = make_alone(channel, backfill_on_start=True, backfill_limit=limit)
    alone.start()
    alone.wait_for("the end of backfill", lambda: alone.report("channel 0").get("backfill_left") == 0)
    assert alone.report("channel 0")["backfilled"] == (limit or len(ids))
    live = channel.post_photo(picture(), "live")
    alone.wait_for("it", lambda: lookup.known(alone.desk.journal, channel.id, live))
    wanted = {one for one in expected_rows(channel) if one >= first}
    assert lookup.messages_between(alone.desk.journal, channel.id, 1, live) == wanted
    alone.stop()
    again = make_alone(channel, backfill_on_start=True, backfill_limit=limit)
    again.start()
    next_one = channel.post_photo(picture(), "live, and later")
    again.wait_for("it", lambda: lookup.known(again.desk.journal, channel.id, next_one))
    again.wait_for("no more backfill", lambda: again.report("channel 0").get("backfill_left") == 0)
    assert again.report("channel 0")["backfilled"] == (limit or len(ids)), "a restart begins no other one"
    assert lookup.messages_between(again.desk.journal, channel.id, 1, next_one) == wanted | {next_one}


def test_backfill_goes_on_after_kills_and_shows_how_far_it_is(
    channel: Channel, server: TelegramServer, make_live_desk: MakeDesk
) -> None:
    """First the connection is killed, then the root."""
    post_long_ago(channel, 1000, 50)
    total = len(channel.ids)
    desk = make_live_desk(channel, backfill_on_start=True, reconcile_seconds=3600)
    desk.before[channel.id] = 0
    slow = server.faults.rpc("messages.getHistory", delay=1.0)  # a page a second, while the command below asks
    desk.run()
    row = desk.wait_for("backfill to be under way", lambda: _under_way(desk, channel))
    assert row["backfilled"] + row["backfill_left"] == total
    text = desk.instance.answer("status").stdout
    assert "backfill [#" in text and f"of {total:,} (" in text
    desk.instance.strike("connection")
    done = desk.of(channel).get("backfilled") or row["backfilled"]
    desk.wait_for("backfill to go on", lambda: (one := _under_way(desk, channel)) and one["backfilled"] > done)
    desk.instance.kill()
    desk.instance.wait_until_gone()
    slow.clear()
    desk.start()
    desk.wait_for("the end of backfill", lambda: desk.of(channel).get("backfill_left") == 0)
    assert desk.of(channel)["backfilled"] == total, "each message is read once"
    assert "backfill [" not in desk.instance.answer("status").stdout
    desk.finish()


def test_what_is_posted_during_backfill_goes_first(channel: Channel, make_live_desk: MakeDesk) -> None:
    for number in range(55):
        channel.post_photo(picture((400, 300)), f"old {number}", date=1_700_000_000 + number)
    desk = make_live_desk(channel, backfill_on_start=True)
    desk.before[channel.id] = 0
    desk.run(IMAGES__WIDTHS="[320]")
    desk.wait_for("the first old pictures", lambda: len(desk.said("job.published")) >= 5 and desk.waiting() > 25)
    live = [channel.post_photo(picture((400, 300)), f"live {number}") for number in range(3)]
    desk.wait_for("the live posts to be recorded", lambda: desk.job(channel, live[-1], "id"))
    done_before = len(desk.said("job.published"))
    desk.finish()
    order = [record["message"] for record in desk.said("job.published")]
    assert len(order) == 58
    last = max(order.index(one) for one in live)
    assert last - done_before < 20, "those that are under way already, and no others, are ahead"
    assert last < 45


def test_a_flood_in_backfill_is_waited_out(
    channel: Channel, server: TelegramServer, make_alone: Callable[..., Alone]
) -> None:
    post_long_ago(channel, 600, 30)
    alone = make_alone(channel, backfill_on_start=True, reconcile_seconds=3600)
    alone.start()
    alone.wait_for("backfill to be under way", lambda: alone.report("channel 0").get("backfilled"))
    fault = server.faults.rpc("messages.getHistory", error="FLOOD_WAIT_2", times=1)
    alone.wait_for("the flood", lambda: fault.hits)
    alone.wait_for("/status to say so", lambda: alone.report()["flooded_until"])
    alone.wait_for("the end of backfill", lambda: alone.report("channel 0").get("backfill_left") == 0)
    assert lookup.messages_between(alone.desk.journal, channel.id, 1, channel.top_id) == set(expected_rows(channel))
    asked = [one.at for one in server.log if one.name == "messages.getHistory"]
    pauses = [later - earlier for earlier, later in itertools.pairwise(asked)]
    assert len([pause for pause in pauses if pause >= 2.0]) == 1, "once, and for as long as was asked"


def test_a_flood_in_backfill_outlasts_the_line(
    channel: Channel, server: TelegramServer, make_alone: Callable[..., Alone]
) -> None:
    post_long_ago(channel, 900, 1000)
    alone = make_alone(channel, backfill_on_start=True, reconcile_seconds=3600)
    alone.start()

    def done() -> int:
        return alone.report("channel 0").get("backfilled") or 0

    alone.wait_for("backfill to be under way", done)
    fault = server.faults.rpc("messages.getHistory", error="FLOOD_WAIT_60")
    alone.wait_for("the flood", lambda: fault.hits)
    fault.clear()
    before, connections = done(), server.connections_total
    server.drop_connections()
    alone.wait_for("a new connection", lambda: server.connections_total > connections)
    proved = server.requests["messages.getPeerDialogs"] + 4
    alone.wait_for("it to hold", lambda: server.requests["messages.getPeerDialogs"] >= proved)
    assert done() <= before + 100, "the page that was on its way, and no other"


def test_a_channel_whose_backfill_fails_keeps_no_other_from_it(
    channel: Channel, server: TelegramServer, make_alone: Callable[..., Alone]
) -> None:
    other = server.world.add_channel("Other", username="otherdesk")
    for one in (channel, other):
        post_long_ago(one, 300, 100)
    server.faults.rpc("messages.getHistory", error="SOMETHING_NEW", after=1, channel=channel)
    alone = make_alone(channel, other, backfill_on_start=True, reconcile_messages=0)
    alone.start()
    alone.wait_for("the other's backfill", lambda: alone.report("channel 1").get("backfilled") == len(other.ids))
    assert alone.report("channel 0")["backfill_left"] > 0


def test_a_channel_that_is_behind_and_fails_keeps_no_other_from_its_backfill(
    channel: Channel, server: TelegramServer, make_alone: Callable[..., Alone]
) -> None:
    other = server.world.add_channel("Other", username="otherdesk")
    for one in (channel, other):
        post_long_ago(one, 600, 200)
    missed = channel.post_photo(picture(), "it can't be read")
    fault = server.faults.rpc("messages.getHistory", error="SOMETHING_NEW", after=1, channel=channel)
    alone = make_alone(channel, other, backfill_on_start=True, reconcile_messages=0, started_ago=60)
    alone.start()
    alone.wait_for("it to be behind", lambda: alone.report("channel 0").get("behind"))
    alone.wait_for("the other's backfill", lambda: alone.report("channel 1").get("backfilled") == len(other.ids))
    assert alone.report("channel 0")["behind"] and not alone.report("channel 0")["backfilled"]
    fault.clear()
    alone.wait_for("the missed one", lambda: lookup.known(alone.desk.journal, channel.id, missed))


def test_a_channel_that_is_flooded_gives_no_answers() -> None:
    entry = ChannelState(parse("@newsdesk"))
    assert entry.gives_answers
    entry.flooded_until = time.monotonic() + 60
    assert not entry.gives_answers


def test_a_long_backlog_keeps_no_other_channel_waiting(
    channel: Channel, server: TelegramServer, make_alone: Callable[..., Alone], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(looking, "LOOKS_AT_ONCE", 1)
    monkeypatch.setattr(history, "MAX_PAGES", 2)
    other = server.world.add_channel("Other", username="otherdesk")
    alone = make_alone(channel, other)
    alone.start()
    alone.wait_for("both", lambda: alone.report("channel 0").get("id") and alone.report("channel 1").get("id"))
    alone.stop()
    post_mixed(channel, 3000, 1000)
    server.faults.rpc("messages.getHistory", delay=0.1, channel=channel)
    again = make_alone(channel, other)
    again.start()
    again.wait_for("it to be under way", lambda: again.report("channel 0").get("behind"))
    live = other.post_photo(picture(), "live")
    again.wait_for("the live post", lambda: lookup.known(again.desk.journal, other.id, live))

    assert _cursor(again, channel) < channel.top_id, "the long one is still being read"
    again.wait_for("its end", lambda: _cursor(again, channel) == channel.top_id)


# An export first


def test_an_export_first_and_then_live(
    channel: Channel, server: TelegramServer, tmp_path: Path, make_live_desk: MakeDesk
) -> None:
    """What both have is there once, and is not made twice; what is older or newer comes from Telegram."""
    pictures = {number: picture() for number in range(2, 16)}
    for number, data in pictures.items():
        text, posted = (f"caption {number}", 1_738_404_000 + 60 * number)
        assert channel.post_photo(data, text, date=posted) == number
    export = write_export(tmp_path / "export", channel, {one: pictures[one] for one in range(5, 13)})
    desk = make_live_desk(channel, backfill_on_start=True)
    desk.before[channel.id] = 0
    imported = desk.instance.command("import", str(export), "--exit")
    assert imported.returncode == 0 and "8 published" in imported.stdout, imported
    desk.run()
    channel.post_photo(picture(), "live")
    channel.edit(6, caption="edited after the export")
    desk.finish()
    desk.assert_originals()
    assert desk.journal("SELECT DISTINCT generation FROM jobs") == [(1,)]
    assert desk.counted()["processed"] == 15
    assert len(desk.said("picture.fetched")) == 15 - 8, "what was imported is not fetched again"


def write_export(folder: Path, channel: Channel, pictures: dict[int, bytes]) -> Path:
    """What Telegram Desktop would write of these messages of the channel."""
    (folder / "photos").mkdir(parents=True)
    messages = []
    for number, data in pictures.items():
        name = f"photos/photo_{number}@01-02-2025_10-00-00.jpg"
        (folder / name).write_bytes(data)
        messages.append(message(number, photo=name, width=96, height=72, from_id=f"channel{channel.id}"))
    document = {"name": channel.title, "type": "public_channel", "id": channel.id, "messages": messages}
    (folder / "result.json").write_text(json.dumps(document), encoding="utf-8")
    return folder


def _cursor(alone: Alone, channel: Channel) -> int:
    """Up to which message the channel has been read."""
    return (lookup.channel_range(alone.desk.journal, channel.id) or (0, 0, 0))[1]


def _under_way(desk: LiveDesk, channel: Channel) -> dict[str, int] | None:
    row = desk.of(channel)
    return row if row.get("backfilled", 0) and row.get("backfill_left", 0) else None


# On an instance that these share


def test_a_long_outage(live_desk: LiveDesk) -> None:
    """As one of 12 s and more with Telegram: all delays are a 25th here, so that as many attempts fail."""
    desk, channel = live_desk, live_desk.channel
    first, second = channel.post_photo(picture(), "first"), channel.post_photo(picture(), "second")
    desk.settle()
    before = len(desk.said("connection.lost"))
    desk.server.stop()
    desk.wait_for("the outage to be noticed", lambda: not desk.connected)
    post_mixed(channel, 250, 10)
    desk.wait_for("some attempts", lambda: len(desk.said("connection.lost")) >= before + 5)
    channel.edit(first, caption="edited while nobody heard it")
    channel.delete(second)
    desk.server.start()
    desk.settle()
    assert desk.row(channel, second)["deleted_at"] is not None


def test_a_difference_that_is_too_long(live_desk: LiveDesk) -> None:
    desk, channel = live_desk, live_desk.channel
    channel.post_photo(picture(), "heard")
    desk.settle()
    fault = desk.server.faults.difference_too_long()
    desk.server.faults.updates("lost", times=3)
    post_mixed(channel, 5, 1)
    desk.wait_for("the client to ask for the difference", lambda: fault.hits)
    channel.push_too_long()
    desk.settle()


def test_nobody_is_said_to_be_connected_who_has_not_proved_it(live_desk: LiveDesk) -> None:
    desk, channel, server = live_desk, live_desk.channel, live_desk.server
    desk.wait_for("its state", lambda: desk.of(channel).get("behind") == 0)
    server.refuse_connections()
    connection = desk.instance.pids()["connection"]
    os.kill(connection, signal.SIGKILL)
    desk.wait_for("that to be known", lambda: not desk.connected)
    while desk.instance.pids().get("connection") in (None, connection):
        assert not desk.connected
    for _ in range(30):
        body = desk.status()
        assert not body["stats"]["connected"]
        assert {row["behind"] for row in body["channels"]} == {None}
        time.sleep(0.03)
    server.accept_connections()
    desk.wait_for("the connection", lambda: desk.connected)
    desk.wait_for("its state", lambda: desk.of(channel).get("behind") == 0)


def test_a_public_name_is_kept_and_so_is_its_change(live_desk: LiveDesk) -> None:
    desk, channel = live_desk, live_desk.channel
    for renamed in ("newsdesk", "Another", None, "newsdesk"):
        channel.rename(renamed)
        channel.post_photo(picture(), "photo")
        desk.settle()
        assert desk.journal("SELECT name FROM channels") == [(renamed,)]
