"""What may happen to a file on its way: it comes again, whole, or the message is set aside and the others go on."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable

import pytest

from ipc.jobs import Job
from ipc.journal import figures, lookup, transitions
from tests.servers.telegram import OTHER_DC, TelegramServer
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import LiveDesk, large_picture, picture
from workers.sources.telegram.downloads import failures as download_failures
from workers.sources.telegram.downloads import transfer

pytestmark = pytest.mark.tree
ENVIRONMENT = {"RETRY__MAX_ATTEMPTS": 1, "IMAGES__MAX_BYTES": 2_000_000}


def file_of(desk: LiveDesk, message_id: int) -> int:
    media = desk.channel.posts[message_id].media
    assert media is not None
    return media.files[0].id


def die(desk: LiveDesk, message_id: int, reason: str) -> None:
    """Wait until the message is a dead letter for that reason; from now on it is expected to be one."""
    channel = desk.channel
    desk.dead.add((channel.id, message_id))
    desk.wait_for("the dead letter", lambda: desk.job(channel, message_id, "state") == "dead")
    assert reason in desk.job(channel, message_id, "reason")
    assert reason in desk.instance.answer("dead").stdout


# Whole


@pytest.mark.parametrize("size", [(200, 150), (1500, 1200)])
def test_files_of_several_sizes(live_desk: LiveDesk, size: tuple[int, int]) -> None:
    live_desk.channel.post_photo(large_picture(size), "large")
    live_desk.channel.post_photo(large_picture(size), "large, elsewhere", dc=OTHER_DC)


@pytest.mark.parametrize("length", [512 * 1024, 512 * 1024 + 1])
def test_a_file_that_ends_with_a_part(live_desk: LiveDesk, length: int) -> None:
    data = large_picture((600, 400))
    live_desk.channel.post_photo(data + bytes(length - len(data)), "padded")


def test_a_picture_that_is_in_the_message_itself(live_desk: LiveDesk) -> None:
    before = live_desk.requested("upload.getFile")
    live_desk.channel.post_photo(picture(), "inline", cached=True)
    live_desk.settle()
    assert live_desk.requested("upload.getFile") == before


def test_a_file_on_the_cdn(live_desk: LiveDesk) -> None:
    before = live_desk.counted()["retried"]
    live_desk.channel.post_photo(live_desk.world.cdn_file(large_picture(), is_there=False), "in great demand")
    live_desk.settle()
    assert live_desk.requested("upload.getCdnFile") and live_desk.counted()["retried"] == before


def test_a_slow_file_keeps_nobody_waiting(live_desk: LiveDesk) -> None:
    live_desk.server.faults.file("slow", times=1, bytes_per_second=250_000)
    with live_desk.asked_again("upload.getFile"):
        slow = live_desk.channel.post_photo(large_picture(), "slow")
    quick = live_desk.channel.post_photo(picture(), "quick")
    live_desk.wait_for("the quick one", lambda: live_desk.row(live_desk.channel, quick))
    assert not live_desk.row(live_desk.channel, slow)


# Not whole


@pytest.mark.parametrize("how", ["truncated", "empty", "corrupt"])
def test_once_it_comes_damaged(live_desk: LiveDesk, how: str) -> None:
    before = live_desk.counted()["retried"]
    live_desk.server.faults.file(how, times=1)  # type: ignore[arg-type]
    live_desk.channel.post_photo(picture(), f"{how} once")
    live_desk.settle()
    assert live_desk.counted()["retried"] == before + 1


@pytest.mark.parametrize(
    ("how", "reason"),
    [
        ("truncated", "1000 bytes came at 0 of"),
        ("empty", "0 bytes came at 0 of"),
        ("corrupt", "not a picture"),
    ],
)
def test_it_comes_damaged_for_ever(live_desk: LiveDesk, how: str, reason: str) -> None:
    channel = live_desk.channel
    with live_desk.world.lock:
        message_id = channel.post_photo(picture(), f"{how} for ever")
        live_desk.server.faults.file(how, file_id=file_of(live_desk, message_id))  # type: ignore[arg-type]
    channel.post_photo(picture(), "another one")
    die(live_desk, message_id, reason)
    live_desk.settle()
    live_desk.server.faults.clear()
    live_desk.dead.remove((channel.id, message_id))
    assert live_desk.instance.answer("retry", "--all").returncode == 0


def test_it_is_longer_than_was_said(live_desk: LiveDesk) -> None:
    channel, data = live_desk.channel, picture()
    with live_desk.world.lock:
        file = live_desk.world.file(data)
        message_id = channel.post_photo(file, "longer")
        channel.posts[message_id].tl(channel.id, live_desk.world.reference_epoch)  # its length is told from now on
        file.data = data + b"more"
    live_desk.wait_for("the first failure", lambda: live_desk.job(channel, message_id, "reason"))
    assert f"{len(data) + 4} bytes came at 0 of {len(data)}" in live_desk.job(channel, message_id, "reason")
    file.data = data


def test_it_is_no_picture(live_desk: LiveDesk) -> None:
    message_id = live_desk.channel.post_photo(b"no picture, and no thumbnail either. " * 40, "a mistake")
    die(live_desk, message_id, "not a picture")


def test_it_is_larger_than_is_allowed(live_desk: LiveDesk) -> None:
    before = live_desk.requested("upload.getFile")
    message_id = live_desk.channel.post_photo(bytes(2_000_001), "too large")
    die(live_desk, message_id, "too large: 2000001 bytes, at most 2000000 (MAX_IMAGE_SIZE_BYTES)")
    assert live_desk.requested("upload.getFile") == before


# Not given


@pytest.mark.parametrize(
    "error", ["FILE_REFERENCE_EXPIRED", "FILE_REFERENCE_INVALID", "FILE_REFERENCE_EMPTY", "FILE_MIGRATE_4"]
)
def test_asked_in_the_wrong_way(live_desk: LiveDesk, error: str) -> None:
    before = live_desk.counted()["retried"]
    for kind in ("photo", "document"):
        fault = live_desk.server.faults.rpc("upload.getFile", error=error, times=1)
        if kind == "photo":
            live_desk.channel.post_photo(picture(), error)
        else:
            live_desk.channel.post_document(picture(), "image/jpeg", caption=f"{error} for a document")
        live_desk.settle()
        assert fault.hits == 1
    assert live_desk.counted()["retried"] == before


def test_references_expire_while_the_pictures_wait(live_desk: LiveDesk) -> None:
    before = live_desk.counted()["retried"]
    live_desk.server.faults.rpc("upload.getFile", error="FLOOD_WAIT_1", times=1)
    with live_desk.asked_again("upload.getFile"):
        ids = [live_desk.channel.post_photo(picture(), f"expiring {number}") for number in range(6)]
    live_desk.wait_for("all to be known", lambda: all(live_desk.job(live_desk.channel, one, "id") for one in ids))
    live_desk.world.expire_references()
    live_desk.settle()
    assert live_desk.counted()["retried"] == before


def test_errors_of_the_server_cost_no_attempt(live_desk: LiveDesk) -> None:
    channel, before = live_desk.channel, live_desk.counted()
    for error in ("INTERNAL", "Timeout"):
        fault = live_desk.server.faults.rpc("upload.getFile", error=error)
        message_id = channel.post_photo(picture(), error)
        live_desk.wait_for("it to be put off", lambda one=message_id: live_desk.job(channel, one, "next_at"))  # type: ignore[misc]
        assert live_desk.job(channel, message_id, "attempts") == 0
        assert error.upper() in live_desk.job(channel, message_id, "reason").upper()
        fault.clear()
    live_desk.hasten()
    live_desk.settle()
    after = live_desk.counted()
    assert (after["retried"], after["failed"]) == (before["retried"], before["failed"])


def test_errors_of_the_server_that_go_on_for_days_with_one_alone_are_failures(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Counted from the first error, however long ago the picture was seen."""
    monkeypatch.setattr(download_failures, "OUTAGE_SECONDS", 0.0)
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))

    def job(message_id: int) -> Job | None:
        return lookup.known(alone.desk.journal, channel.id, message_id)

    def after_an_error() -> Job:
        """The failing one, when it has just failed."""
        now: Job = alone.wait_for(
            "the error", lambda: (now := job(failing)) and "SOMETHING_NEW" in (now.reason or "") and now
        )
        return now

    def have_tried(failed: Job) -> Job:
        assert transitions.postpone(alone.desk.journal, failed, 0.0, "now")
        return after_an_error()

    fault = server.faults.rpc("upload.getFile", error="SOMETHING_NEW")
    failing = channel.post_photo(picture(), "for days")
    failed = after_an_error()
    assert failed.attempts == 0, "it is its first one"
    failed = have_tried(failed)
    assert failed.attempts == 0, "none has come since: it is an outage"
    fault.clear()
    other = channel.post_photo(picture(), "it comes")
    alone.wait_for("it", lambda: (now := job(other)) and now.state == "fetched")
    server.faults.rpc("upload.getFile", error="SOMETHING_NEW")
    assert have_tried(failed).attempts == 1


@pytest.mark.parametrize(
    ("error", "names"),
    [
        ("INTERNAL", ("messages.getHistory", "messages.getPeerDialogs")),
        ("FLOOD_WAIT_1", ("messages.getHistory", "messages.getPeerDialogs", "channels.getMessages")),
    ],
)
def test_errors_of_the_server_lose_nothing(live_desk: LiveDesk, error: str, names: tuple[str, ...]) -> None:
    before = live_desk.counted()["retried"]
    faults = [live_desk.server.faults.rpc(name, error=error, times=2) for name in names]
    message_id = live_desk.channel.post_photo(picture(), f"{error} of everything")
    live_desk.settle()
    live_desk.channel.edit(message_id, "edited")
    live_desk.settle()
    live_desk.wait_for("them to be met", lambda: faults[0].hits == faults[1].hits == 2)
    assert live_desk.counted()["retried"] == before


# Not answered


def test_a_part_that_does_not_come_is_asked_for_again(
    make_alone: Callable[..., Alone], server: TelegramServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As often as it takes: silence is no picture's fault."""
    monkeypatch.setattr(transfer, "PART_SECONDS", 0.5)
    monkeypatch.setattr(download_failures, "FIRST_PAUSE_SECONDS", 0.1)
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel, environment={"RETRY__MAX_ATTEMPTS": "1", "RETRY__BASE_SECONDS": "0.1"})
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    fault = server.faults.rpc("upload.getFile", silent=True, times=3)
    message_id = channel.post_photo(picture(), "asked for several times")

    def is_fetched() -> bool:
        job = lookup.known(alone.desk.journal, channel.id, message_id)
        return job is not None and job.state == "fetched"

    alone.wait_for("the picture", is_fetched)
    assert fault.hits == 3
    assert figures.totals(alone.desk.journal)["retried"] == 0
    assert alone.report()["connected"]


# Flooded


@pytest.mark.reaches("telegram.flood")
def test_long_floods_stop_only_what_they_are_about(
    make_live_desk: Callable[..., LiveDesk], server: TelegramServer
) -> None:
    one, other = (server.world.add_channel(f"News {name}", username=f"news_{name}") for name in ("one", "other"))
    server.faults.rpc("contacts.resolveUsername", error="FLOOD_WAIT_90", times=1, after=1)
    desk = make_live_desk(one, other)
    desk.start()
    desk.wait_for("the flood to be told", lambda: "Telegram asks to wait until" in desk.problems())
    desk.wait_for("the other channel", lambda: desk.of(one) or desk.of(other))
    here = one if desk.of(one) else other
    desk.server.drop_connections()
    here.post_photo(picture(), "there is another channel")
    desk.wait_for("it", lambda: desk.row(here, here.top_id))
    assert desk.requested("contacts.resolveUsername") == 2, (
        "nobody asks before the time is over, on whatever connection"
    )

    told = desk.flooded_until()
    fault = server.faults.rpc("messages.getPeerDialogs", error="FLOOD_WAIT_190")
    desk.wait_for("that flood to be told", lambda: desk.flooded_until() > told)
    told = desk.flooded_until()
    server.mute_updates()
    here.post_photo(picture(), "nobody told the monitor")
    desk.wait_for("it", lambda: desk.row(here, here.top_id))
    assert desk.connected

    assert fault.hits == 1

    server.faults.rpc("upload.getFile", error="FLOOD_WAIT_290", times=1)
    before = desk.requested("upload.getFile")
    ids = [here.post_photo(picture(), f"they wait {number}") for number in range(3)]
    desk.wait_for("them to be known", lambda: all(desk.job(here, one, "id") for one in ids))
    desk.wait_for("the third flood to be told", lambda: desk.flooded_until() > told)
    with desk.asked_again("messages.getHistory", 4):
        pass
    assert desk.requested("upload.getFile") <= before + 3
    assert {desk.job(here, one, "attempts") for one in ids} == {0}
    server.faults.clear()
    os.kill(desk.instance.pids()["connection"], signal.SIGKILL)  # the next one has never heard of a flood
    desk.wait_for("the second channel", lambda: desk.of(one) and desk.of(other))
    desk.before = {channel.id: desk.of(channel)["floor"] - 1 for channel in (one, other)}
    desk.finish()
    assert desk.counted()["retried"] == 0
