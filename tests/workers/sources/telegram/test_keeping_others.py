"""One data centre, one channel, one file that gives nothing: it waits alone, and /status says so."""

from __future__ import annotations

import errno
import itertools
import threading
from collections.abc import Callable
from typing import Any

import pytest

from ipc.files.spool import Spool
from ipc.jobs import Job
from ipc.journal import figures, lookup, transitions
from tests.instance import DEADLINE_SECONDS
from tests.servers.telegram import HOME_DC, OTHER_DC, Channel, TelegramServer
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import LiveDesk, large_picture, picture
from workers.sources.telegram.downloads import downloads, spool_writer, transfer
from workers.sources.telegram.downloads import failures as download_failures
from workers.sources.telegram.history import reader as channel_reader
from workers.sources.telegram.wire.errors import ConnectionLost
from workers.sources.telegram.wire.files import data_centres

pytestmark = pytest.mark.tree

MakeAlone = Callable[..., Alone]


@pytest.fixture
def channel(server: TelegramServer) -> Channel:
    return server.world.add_channel("News", username="newsdesk")


@pytest.fixture
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """What takes half a minute takes half a second."""
    monkeypatch.setattr(transfer, "PART_SECONDS", 0.5)
    monkeypatch.setattr(downloads, "CHECK_SECONDS", 0.1)
    monkeypatch.setattr(data_centres, "FIRST_PAUSE_SECONDS", 0.2)
    monkeypatch.setattr(data_centres, "LONGEST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(download_failures, "FIRST_PAUSE_SECONDS", 0.5)
    monkeypatch.setattr(download_failures, "GRACE_SECONDS", 1.0)


def begin(make_alone: MakeAlone, server: TelegramServer, *channels: Channel, **options: Any) -> Alone:
    """A connection that has seen these channels."""
    alone = make_alone(*channels, public_key=server.public_key, **options)
    alone.start()
    for number in range(len(channels)):
        alone.wait_for("the channel", lambda number=number: alone.report(f"channel {number}").get("state") == "read")  # type: ignore[misc]
    return alone


def job_of(alone: Alone, channel: Channel, message_id: int) -> Job | None:
    return lookup.known(alone.desk.journal, channel.id, message_id)


def is_fetched(alone: Alone, channel: Channel, message_id: int) -> bool:
    job = job_of(alone, channel, message_id)
    return job is not None and job.state == "fetched"


# A data centre


def test_a_data_centre_that_cannot_be_reached_keeps_only_its_own_files(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, quick: None
) -> None:
    alone = begin(make_alone, server, channel)
    connections = server.connections_total
    server.close_data_centre(OTHER_DC)
    there = [channel.post_photo(picture(), f"there {n}", dc=OTHER_DC) for n in range(6)]
    alone.wait_for("/status to say so", lambda: "data centre 4" in alone.report().get("fetch_error", ""))
    here = [channel.post_photo(picture(), f"here {n}") for n in range(6)]
    alone.wait_for("the others", lambda: all(is_fetched(alone, channel, one) for one in here))
    assert alone.report()["connected"] and server.connections_total == connections, "the connection is the same"
    assert alone.report()["fetch_error_since"] and "firewall" in alone.report()["fetch_error_remedy"]
    assert not any(is_fetched(alone, channel, one) for one in there)
    for one in there[1:]:
        transitions.postpone(alone.desk.journal, _required(job_of(alone, channel, one)), 3600, "its time is far off")
    server.accept_connections()
    alone.wait_for("theirs", lambda: all(is_fetched(alone, channel, one) for one in there))
    alone.wait_for("/status to be well", lambda: alone.report()["fetch_error"] == "")
    assert figures.totals(alone.desk.journal) == {"processed": 0, "failed": 0, "retried": 0}


@pytest.mark.reaches("source.fetching_fails")
def test_the_whole_program_tells_of_a_data_centre_that_cannot_be_reached(
    make_live_desk: Callable[..., LiveDesk], server: TelegramServer, channel: Channel
) -> None:
    desk = make_live_desk(channel)
    desk.run()
    server.close_data_centre(OTHER_DC)
    channel.post_photo(picture(), "there", dc=OTHER_DC)
    desk.wait_for("/status to say so", lambda: "nothing can be fetched from data centre 4" in desk.problems())
    assert "firewall" in desk.problems() and desk.connected
    desk.stop()


def test_a_data_centre_that_falls_silent_is_connected_to_anew(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, quick: None
) -> None:
    alone = begin(make_alone, server, channel)
    first = channel.post_photo(picture(), "first", dc=OTHER_DC)
    alone.wait_for("it", lambda: is_fetched(alone, channel, first))
    connections = server.connections_total
    fault = server.faults.rpc("upload.getFile", silent=True, times=2)
    second = channel.post_photo(picture(), "second", dc=OTHER_DC)
    alone.wait_for("it", lambda: is_fetched(alone, channel, second))
    assert fault.hits == 2 and connections < server.connections_total <= connections + 3
    assert alone.report()["connected"] and server.connections == 2
    server.drop_data_centre(OTHER_DC)
    third = channel.post_photo(picture(), "third", dc=OTHER_DC)
    alone.wait_for("it", lambda: is_fetched(alone, channel, third))


@pytest.mark.parametrize("name", ["auth.exportAuthorization", "auth.importAuthorization"])
@pytest.mark.parametrize("error", ["INTERNAL", "FLOOD_WAIT_1"])
def test_a_login_that_is_refused_leaves_no_connection_behind(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, quick: None, name: str, error: str
) -> None:
    fault = server.faults.rpc(name, error=error)
    alone = begin(make_alone, server, channel)
    there = channel.post_photo(picture(), "there", dc=OTHER_DC)
    alone.wait_for("some tries", lambda: fault.hits >= 3)
    here = channel.post_photo(picture(), "here")
    alone.wait_for("another one", lambda: is_fetched(alone, channel, here))
    alone.wait_for("them to be closed", lambda: server.connections <= 2)
    fault.clear()
    alone.wait_for("it", lambda: is_fetched(alone, channel, there))
    assert server.connections == 2


def test_a_file_that_has_moved_is_followed(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, quick: None
) -> None:
    alone = begin(make_alone, server, channel)
    server.faults.rpc("upload.getFile", error=f"FILE_MIGRATE_{OTHER_DC}", times=1)
    there = channel.post_photo(large_picture(), "moved away")
    alone.wait_for("it", lambda: is_fetched(alone, channel, there))
    server.faults.rpc("upload.getFile", error=f"FILE_MIGRATE_{HOME_DC}", times=1)
    back = channel.post_photo(large_picture(), "moved back", dc=OTHER_DC)
    alone.wait_for("it", lambda: is_fetched(alone, channel, back))
    assert figures.totals(alone.desk.journal)["retried"] == 0


def _required(job: Job | None) -> Job:
    assert job is not None
    return job


# Silence


def test_files_that_nobody_sends_keep_no_other_channel_waiting(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(transfer, "PART_SECONDS", 1.5)
    other = server.world.add_channel("Other", username="otherdesk")
    alone = begin(make_alone, server, channel, other)
    fault = server.faults.rpc("upload.getFile", silent=True, channel=channel)
    silent = [channel.post_photo(picture(), f"silent {n}") for n in range(9)]
    alone.wait_for("the first ones to be put off", lambda: any(_waits(alone, channel, one) for one in silent))
    asked = fault.hits
    monkeypatch.setattr(transfer, "PART_SECONDS", 3600)  # from here on nobody who waits gives up for another
    alone.wait_for("the next ones to be asked for", lambda: fault.hits > asked)
    one = other.post_photo(picture(), "answered")
    alone.wait_for("the other channel's", lambda: is_fetched(alone, other, one))
    monkeypatch.setattr(transfer, "PART_SECONDS", 1.5)
    silent.append(channel.post_photo(picture(), "silent since nothing came any more"))
    server.drop_connections()
    alone.wait_for("each to be tried", lambda: all(_waits(alone, channel, one) for one in silent))
    assert fault.hits > asked
    alone.wait_for("/status to say so", lambda: "no part of the file" in alone.report()["fetch_error"])
    fault.clear()
    alone.wait_for("them", lambda: all(is_fetched(alone, channel, one) for one in silent))
    alone.wait_for("/status to be well", lambda: alone.report()["fetch_error"] == "")
    assert figures.totals(alone.desk.journal)["retried"] == 0


def _waits(alone: Alone, channel: Channel, message_id: int) -> bool:
    job = job_of(alone, channel, message_id)
    return job is not None and job.next_at > 0


def test_two_seconds_of_flood_are_waited_out(make_alone: MakeAlone, server: TelegramServer, channel: Channel) -> None:
    alone = begin(make_alone, server, channel)
    for name in ("messages.getHistory", "upload.getFile"):
        fault = server.faults.rpc(name, error="FLOOD_WAIT_2", times=1)
        message_id = channel.post_photo(picture(), name)
        alone.wait_for("the flood", lambda fault=fault: fault.hits)  # type: ignore[misc]
        alone.wait_for("it to be told", lambda: alone.report()["flooded_until"])
        alone.wait_for("the picture", lambda one=message_id: is_fetched(alone, channel, one))  # type: ignore[misc]
        asked = [one.at for one in server.log if one.name == name]
        assert max(later - earlier for earlier, later in itertools.pairwise(asked)) >= 2.0
    assert figures.totals(alone.desk.journal)["retried"] == 0


# The disk


def test_what_was_the_matter_with_the_disk_is_looked_at_anew(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though there is nothing to fetch any more."""
    alone = begin(make_alone, server, channel)

    def refuse(*_: object) -> str:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(spool_writer, "_seal", refuse)
        patch.setattr(Spool, "can_be_written", lambda self: False)
        message_id = channel.post_photo(picture(), "no room")
        alone.wait_for("it to be told", lambda: "No space left" in alone.report()["spool_error"])
        channel.delete(message_id)
        alone.wait_for("it to be withdrawn", lambda: (job_of(alone, channel, message_id) or _NONE).deleted_at)
        assert alone.report()["spool_error"]
    alone.wait_for("that to be over", lambda: alone.report()["spool_error"] == "")
    with monkeypatch.context() as patch:
        patch.setattr(Spool, "free_bytes", lambda self: 0)
        alone.wait_for("it to be told", lambda: "spool.min_free_mb" in alone.report()["spool_error"])
    alone.wait_for("that to be over", lambda: alone.report()["spool_error"] == "")


def test_a_connection_that_is_lost_twice_while_the_disk_is_slow(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, quick: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A download learns of it first, and waits for the disk; it is cancelled there when all others learn of it."""
    is_sealing, may_seal, is_lost = threading.Event(), threading.Event(), threading.Event()
    seal, to_memory, run = spool_writer._seal, transfer.to_memory, downloads.Downloads.run
    runs = []

    def wait_and_seal(*args: Any) -> None:
        is_sealing.set()
        assert may_seal.wait(DEADLINE_SECONDS)
        seal(*args)

    async def lose(*args: Any) -> bytearray:
        if is_sealing.is_set() and not is_lost.is_set():
            is_lost.set()
            raise ConnectionLost("as one file sees it")
        return await to_memory(*args)

    async def count(*args: Any) -> None:
        runs.append(args)
        await run(*args)

    monkeypatch.setattr(spool_writer, "_seal", wait_and_seal)
    monkeypatch.setattr(transfer, "to_memory", lose)
    monkeypatch.setattr(downloads.Downloads, "run", count)
    alone = begin(make_alone, server, channel)
    posts = [channel.post_photo(picture(), "on its way to the disk")]
    alone.wait_for("the disk to be waited for", is_sealing.is_set)
    posts.append(channel.post_photo(picture(), "lost"))
    alone.wait_for("a download to see the loss", is_lost.is_set)
    server.drop_connections()
    alone.wait_for("the next connection", lambda: len(runs) == 2)
    may_seal.set()
    alone.wait_for("both", lambda: all(is_fetched(alone, channel, one) for one in posts))


# A picture that is not there


def test_a_preview_that_nobody_wants_any_more_is_asked_for_once(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel
) -> None:
    server.faults.rpc("upload.getFile", error="FLOOD_WAIT_60")
    alone = begin(make_alone, server, channel, web_previews=True)
    preview = channel.post_web_page("look", "https://example.org", picture())
    alone.wait_for("it to be known", lambda: job_of(alone, channel, preview))
    alone.stop()
    server.faults.clear()
    again = begin(make_alone, server, channel)
    asked = server.requests["channels.getMessages"]
    again.wait_for("its end", lambda: (job_of(again, channel, preview) or _NONE).state == "dead")
    job = job_of(again, channel, preview)
    assert job is not None and job.reason is not None and "web_previews is off" in job.reason
    assert server.requests["channels.getMessages"] <= asked + 3


def test_a_picture_that_is_gone_is_not_asked_for_in_a_loop(
    make_alone: MakeAlone, server: TelegramServer, channel: Channel, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever the reason may be that looking at it has changed nothing."""
    fault = server.faults.rpc("upload.getFile", error="FLOOD_WAIT_60")
    alone = begin(make_alone, server, channel)
    message_id = channel.post_photo(picture(), "soon gone")
    alone.wait_for("it to be known", lambda: job_of(alone, channel, message_id) and fault.hits)
    alone.stop()
    channel.delete(message_id)
    monkeypatch.setattr(channel_reader, "withdraw", lambda *_, **__: [])
    asked = server.requests["channels.getMessages"]
    again = begin(make_alone, server, channel, reconcile_seconds=3600)
    again.wait_for("it to be put off", lambda: _waits(again, channel, message_id))
    again.wait_for("some looks", lambda: server.requests["messages.getPeerDialogs"] > 10)
    assert server.requests["channels.getMessages"] <= asked + 4
    assert "does not show the picture" in str(_required(job_of(again, channel, message_id)).reason)


class _None:
    state = ""
    deleted_at = None


_NONE = _None()
