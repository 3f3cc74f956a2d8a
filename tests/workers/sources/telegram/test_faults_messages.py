"""What messages of every kind are taken for; and where there is no room for their pictures."""

from __future__ import annotations

import hashlib
import json
import os
import signal
from collections.abc import Callable

import pytest

from ipc.jobs import Job
from ipc.journal import lookup
from tests.servers.telegram import TelegramServer
from tests.servers.telegram.media import thumbnail
from tests.workers.sources.telegram.alone import Alone
from tests.workers.sources.telegram.desk import LiveDesk, large_picture, picture

pytestmark = pytest.mark.tree


# Kinds of messages


def test_messages_of_every_kind(live_desk: LiveDesk) -> None:
    channel, before = live_desk.channel, live_desk.ignored(live_desk.channel)
    channel.post_video(b"a film", "a video")
    channel.post_sticker(picture())
    channel.post_poll("Which one?")
    channel.post_text("only words")
    channel.post_service()
    channel.post_expired_photo()
    channel.post_web_page("look", "https://example.org", picture())
    channel.post_document(b"%PDF-1.7", "application/pdf", "paper.pdf", "a paper")
    channel.post_document(picture(), "image/jpeg", "scan.jpg", "a scan, uncompressed")
    channel.post_photo(picture(), "progressive", progressive=True, spoiler=True)
    channel.post_photo(picture(), "")
    live_desk.settle()
    passed = {kind: number - before.get(kind, 0) for kind, number in live_desk.ignored(channel).items()}
    assert passed == {
        "video": 1,
        "sticker": 1,
        "poll": 1,
        "text": 1,
        "preview": 1,
        "service": 1,
        "expired": 1,
        "file": 1,
    }


def test_albums_are_kept_together(live_desk: LiveDesk) -> None:
    channel = live_desk.channel
    ids = channel.post_album([picture() for _ in range(4)], "an album", parts=2)
    live_desk.settle()
    rows = [live_desk.row(channel, one) for one in ids]
    assert len({row["grouped_id"] for row in rows}) == 1 and rows[0]["grouped_id"]
    assert [row["caption"] for row in rows] == ["an album", "", "", ""]
    channel.delete(ids[2])
    live_desk.settle()
    assert live_desk.row(channel, ids[2])["deleted_at"]


def test_what_a_caption_shows(live_desk: LiveDesk) -> None:
    channel = live_desk.channel
    first = channel.post_photo(
        picture(),
        "bold 🙂 and a link",
        entities=[("bold", 0, 4), ("text_url", 12, 4, "https://example.org/?a=1&b=2")],
    )
    second = channel.post_photo(picture(), "forwarded", forwarded_from=(1234567, 89), reply_to=first)
    third = channel.post_photo(picture(), "from somebody", forwarded_from="Some Body")
    live_desk.settle()
    entities = json.loads(live_desk.row(channel, first)["entities"])
    assert [(one["type"], one["offset"], one["length"]) for one in entities] == [("bold", 0, 4), ("text_link", 12, 4)]
    assert entities[1]["url"] == "https://example.org/?a=1&b=2"
    row = live_desk.row(channel, second)
    origin = json.loads(row["forwarded_from"])
    assert (origin["channel_id"], origin["message_id"], row["reply_to"]) == (1234567, 89, first)
    assert json.loads(live_desk.row(channel, third)["forwarded_from"])["name"] == "Some Body"
    channel.edit(first, entities=[("italic", 0, 4)])
    live_desk.wait_for("the edit of the entities alone", lambda: "italic" in live_desk.row(channel, first)["entities"])


def test_the_same_picture_again_is_stored_once(live_desk: LiveDesk) -> None:
    data, before = picture(), live_desk.requested("upload.getFile")
    file = live_desk.world.file(data)
    live_desk.channel.post_photo(file, "here")
    live_desk.settle()
    live_desk.channel.post_photo(file, "and there")
    live_desk.channel.post_photo(data, "and as another file")
    live_desk.settle()
    assert live_desk.requested("upload.getFile") <= before + 3


def test_web_previews_if_asked_for(make_alone: Callable[..., Alone], server: TelegramServer) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel, web_previews=True)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    message_id = channel.post_web_page("look", "https://example.org", picture())

    def is_fetched() -> bool:
        job = lookup.known(alone.desk.journal, channel.id, message_id)
        return job is not None and job.state == "fetched"

    alone.wait_for("the preview's picture", is_fetched)
    alone.stop()
    other = make_alone(channel)
    other.start()
    photo = channel.post_photo(picture(), "after they were asked for no more")
    other.wait_for("the next one", lambda: lookup.known(other.desk.journal, channel.id, photo))
    job = lookup.known(other.desk.journal, channel.id, message_id)
    assert job is not None and job.deleted_at is None, "what was taken stays"


def test_posters_of_videos_if_asked_for(make_alone: Callable[..., Alone], server: TelegramServer) -> None:
    channel = server.world.add_channel("News", username="newsdesk")
    alone = make_alone(channel, video_posters=True)
    alone.start()
    alone.wait_for("the channel", lambda: alone.report("channel 0").get("id"))
    cover = picture()
    with server.world.lock:
        server.faults.rpc("upload.getFile", error="FILE_REFERENCE_EXPIRED", times=1)
        wanted = {
            channel.post_video(b"a film" * 999, "a thumbnail"): thumbnail(),
            channel.post_video(b"a film" * 999, "a cover", cover=cover): cover,
        }
        without = channel.post_video(b"a film" * 999, "neither", thumb=False)

    def fetched() -> list[Job]:
        jobs = [lookup.known(alone.desk.journal, channel.id, one) for one in wanted]
        return [job for job in jobs if job is not None and job.state == "fetched"]

    alone.wait_for("the posters", lambda: len(fetched()) == 2)
    assert [(job.kind, job.sha256) for job in fetched()] == [
        ("video", hashlib.sha256(data).hexdigest()) for data in wanted.values()
    ]
    assert lookup.known(alone.desk.journal, channel.id, without) is None
    alone.stop()
    other = make_alone(channel)
    other.start()
    photo = channel.post_photo(picture(), "after they were asked for no more")
    other.wait_for("the next one", lambda: lookup.known(other.desk.journal, channel.id, photo))
    with other.server.world.lock:
        channel.edit(next(iter(wanted)), "an edit")
        last = channel.post_photo(picture(), "behind the edit")
    other.wait_for("the last one", lambda: lookup.known(other.desk.journal, channel.id, last))
    asked = server.requests["messages.getHistory"]
    other.wait_for("another look", lambda: server.requests["messages.getHistory"] > asked + 2)
    for message_id in wanted:
        job = lookup.known(other.desk.journal, channel.id, message_id)
        assert job is not None and job.deleted_at is None, "what was taken stays"


# Room


def nothing_is_fetched_because(desk: LiveDesk, said: str) -> None:
    """What is posted is recorded, the channel is read as ever, and nobody is blamed."""
    desk.wait_for("/status to say so", lambda: said in desk.problems())
    ids = [desk.channel.post_photo(picture(), f"{said} {number}") for number in range(3)]
    desk.wait_for("them to be recorded", lambda: all(desk.job(desk.channel, one, "id") for one in ids))
    with desk.asked_again("messages.getHistory", 3):
        pass
    assert desk.requested("upload.getFile") == 0
    assert {desk.job(desk.channel, one, "attempts") for one in ids} == {0}


@pytest.mark.reaches("spool.not_writable")
def test_a_full_disk_too_little_memory_and_a_full_spool_stop_only_the_fetching(
    make_live_desk: Callable[..., LiveDesk], server: TelegramServer
) -> None:
    """Three lives of one program, each with a lack of its own. In the last one there is room again, but not much."""
    channel = server.world.add_channel("News", username="newsdesk")
    desk = make_live_desk(channel)
    for lack, said in (
        ("SPOOL__MIN_FREE_MB", "spool.min_free_mb is 16777216"),
        ("SUPERVISOR__MEMORY_FLOOR_MB", "short of memory"),
    ):
        desk.run(**{lack: 2**24})
        nothing_is_fetched_because(desk, said)
        desk.stop()
    desk.run(SPOOL__MAX_MB=1, IMAGES__WIDTHS="[320]")
    desk.settle()
    pool = desk.instance.pids()["pool"]
    os.kill(pool, signal.SIGSTOP)
    ids = [channel.post_photo(large_picture((600, 500)), f"many {number}") for number in range(16)]
    desk.wait_for("the spool to be full", lambda: desk.status()["stats"]["source"].get("spool_full"))
    desk.wait_for("them to be recorded", lambda: all(desk.job(channel, one, "id") for one in ids))
    with desk.asked_again("messages.getHistory", 3):
        pass
    assert "seen" in {desk.job(channel, one, "state") for one in ids}
    os.kill(pool, signal.SIGCONT)
    desk.finish()
    assert desk.counted()["retried"] == 0
