"""The connection: a real export into journal and spool, and what it says where that cannot be."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import signal
import subprocess
import sys
import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import structlog

from ipc.intake import take
from ipc.journal import Journal, JournalError, figures, lookup, transitions
from ipc.posts import Page
from ipc.process.holds import Hold
from ipc.retry import RetryPolicy
from ipc.transport.messages import MAX_BYTES, Ration, Ready, Report, Wake, encode
from tests import checking, pictures
from tests.instance import HOME, wait_for
from tests.pictures import make_export, write_result
from tests.workers.desk import Desk
from workers.connection import check, main
from workers.sources.export import Export, ExportError, fetch
from workers.sources.export.fetching import fetching as module
from workers.sources.export.reading import reader
from workers.sources.export.reading.messages import read_message
from workers.sources.export.source import ExportSource

COUNT = 5
NAME = "photos/photo_{}@01-02-2025_10-00-00.jpg"


@pytest.fixture
def export(tmp_path: Path) -> Path:
    return make_export(tmp_path / "export", COUNT, size=(64, 48))


def options(path: Path, **more: Any) -> dict[str, Any]:
    return {
        "export": str(path),
        "max_bytes": 5_000_000,
        "telegram": None,
        "video_posters": False,
        "backpressure": {"spool_max_bytes": 10**9, "min_free_bytes": 0},
        "editing": {"commands": False, "rules": []},
        "heartbeat_seconds": 60.0,
        **more,
    }


Opener = Callable[..., ExportSource]


@pytest.fixture
def connect(desk: Desk, export: Path) -> Opener:
    """Opens the export, as often as a test wants to."""

    def connect(**more: Any) -> ExportSource:
        connection = ExportSource(desk.context(**options(export, **more)), desk.journal, desk.spool)
        connection.open()
        return connection

    return connect


def take_all(connection: ExportSource) -> None:
    while connection.take_page():
        pass


def bring_in(connection: ExportSource) -> None:
    """All of the export into the journal, and all that is due into the spool."""
    take_all(connection)
    while connection.fetch_due():
        pass
    connection.report()


def everything(desk: Desk) -> list[Any]:
    """What the journal holds, and the figures that go with it."""
    jobs = [lookup.job(desk.journal, number) for number in range(1, COUNT + 2)]
    return [*jobs, figures.channels(desk.journal), figures.totals(desk.journal), figures.states(desk.journal)]


def of(desk: Desk, number: int) -> Any:
    job = lookup.known(desk.journal, pictures.CHANNEL, number)
    assert job is not None
    return job


# All is well


def test_an_export_comes_in(desk: Desk, connect: Opener, export: Path) -> None:
    bring_in(connect())
    for number in range(1, COUNT + 1):
        job, original = of(desk, number), (export / NAME.format(number)).read_bytes()
        assert (job.state, job.bytes, job.caption) == ("fetched", len(original), f"caption {number}")
        assert job.sha256 == hashlib.sha256(original).hexdigest()
        assert desk.spool.original(job.id, 1).read_bytes() == original
    assert len(desk.spooled()) == COUNT
    (channel,) = figures.channels(desk.journal)
    assert (channel["id"], channel["title"], channel["ignored"]) == (pictures.CHANNEL, "Test", {})
    assert (channel["floor"], channel["cursor"]) == (1, COUNT)
    said = desk.said()
    assert said.count(Wake("fetched")) == COUNT
    last = [message for message in said if isinstance(message, Report)][-1]
    assert last.topic == "connection"
    facts = {"source": "export", "connected": True, "error": "", "messages": COUNT, "photos": COUNT, "behind": 0}
    facts |= {"channel": pictures.CHANNEL, "exhausted": True, "spool_full": False, "new": COUNT, "edited": 0}
    assert last.facts.items() >= facts.items()
    assert last.facts["last_heartbeat_at"].endswith("Z")


def test_what_is_no_photo_is_counted(desk: Desk, connect: Opener, export: Path) -> None:
    write_result(export, [pictures.message(1), pictures.message(2, photo=NAME.format(2)), pictures.message(9)])
    bring_in(connect())
    (channel,) = figures.channels(desk.journal)
    assert (channel["cursor"], channel["ignored"]) == (9, {"text": 2})
    facts = desk.reported()
    assert (facts["messages"], facts["photos"], facts["behind"], facts["new"]) == (3, 1, 0, 1)


# Again


def test_a_second_run_changes_nothing(desk: Desk, connect: Opener) -> None:
    bring_in(connect())
    before = everything(desk), desk.spooled()
    bring_in(connect())
    assert (everything(desk), desk.spooled()) == before
    facts = desk.reported()
    assert (facts["new"], facts["edited"], facts["already_pending"]) == (0, 0, COUNT)


def test_an_edited_export(desk: Desk, connect: Opener, export: Path) -> None:
    """A caption and a picture have changed, a message is new; the others are left alone."""
    bring_in(connect())
    before = {number: of(desk, number) for number in range(1, COUNT + 1)}
    document = json.loads((export / "result.json").read_text())
    messages = document["messages"]
    messages[0] |= {"text": "better", "text_entities": [{"type": "plain", "text": "better"}]}
    messages[1] |= {"photo": "photos/photo_2@02-02-2025_10-00-00.jpg", "edited_unixtime": str(1_738_500_000)}
    messages.append(pictures.message(COUNT + 1, photo=NAME.format(COUNT + 1)))
    for name, seed in ((messages[1]["photo"], 22), (messages[-1]["photo"], 66)):
        pictures.draw(export / name, seed, (64, 48))
    write_result(export, messages)
    bring_in(connect())
    assert (of(desk, 1).caption, of(desk, 1).sha256) == ("better", before[1].sha256)
    assert of(desk, 1).revision > before[1].revision
    assert (of(desk, 2).generation, of(desk, 2).state) == (2, "fetched")
    assert of(desk, 2).sha256 != before[2].sha256
    assert [of(desk, number) for number in range(3, COUNT + 1)] == [before[n] for n in range(3, COUNT + 1)]
    assert of(desk, COUNT + 1).state == "fetched"
    facts = desk.reported()
    assert (facts["new"], facts["edited"], facts["already_pending"]) == (1, 2, COUNT - 2)


def rename_all(export: Path, hour: int, **fields: str) -> None:
    """Have the export as one that was made in another time zone has it: its file names say another hour."""
    messages = json.loads((export / "result.json").read_text())["messages"]
    for message in messages:
        old = message["photo"]
        message |= {"photo": old.replace("_10-00", f"_{hour}-00"), **fields}
        (export / old).rename(export / message["photo"])
    write_result(export, messages)


def test_an_export_made_again_in_another_time_zone(desk: Desk, connect: Opener, export: Path) -> None:
    """Only one picture, which has been replaced, is fetched; the others are known by their bytes."""
    bring_in(connect())
    before = {number: of(desk, number) for number in range(1, COUNT + 1)}
    rename_all(export, 12)
    pictures.draw(export / NAME.format(3).replace("_10-00", "_12-00"), 33, (64, 48))
    (export / NAME.format(4).replace("_10-00", "_12-00")).unlink()
    bring_in(connect())
    facts = desk.reported()
    assert (facts["new"], facts["edited"], facts["already_pending"]) == (0, 1, COUNT - 1)
    for number in (1, 2, 5):
        now = of(desk, number)
        assert replace(now, identity="", locator={}) == replace(before[number], identity="", locator={})
        assert "12-00" in now.identity and "12-00" in now.locator["file"]
    assert (of(desk, 3).generation, of(desk, 3).state) == (2, "fetched") and of(desk, 3).sha256 != before[3].sha256
    assert of(desk, 4) == before[4], "it cannot be compared: the one that we have is kept"


def test_another_time_zone_before_anything_was_fetched(desk: Desk, connect: Opener, export: Path) -> None:
    take_all(connect())
    rename_all(export, 9, edited_unixtime="1738500000")
    bring_in(connect())
    assert {(of(desk, number).state, of(desk, number).generation) for number in range(1, COUNT + 1)} == {("fetched", 1)}
    assert desk.reported()["edited"] == 0


def test_an_export_that_was_moved(desk: Desk, connect: Opener, export: Path, tmp_path: Path) -> None:
    take_all(connect())
    moved = export.rename(tmp_path / "moved")
    bring_in(connect(export=str(moved)))
    assert [of(desk, number).state for number in range(1, COUNT + 1)] == ["fetched"] * COUNT
    assert {of(desk, number).generation for number in range(1, COUNT + 1)} == {1}


# Backpressure


def publish(desk: Desk, number: int) -> None:
    assert transitions.record_stored(desk.journal, [of(desk, number)])
    assert transitions.record_published(desk.journal, [of(desk, number)])


def test_a_full_spool_stops_fetching_but_not_recording(desk: Desk, connect: Opener, export: Path) -> None:
    connection = connect(backpressure={"spool_max_bytes": 1, "min_free_bytes": 0})
    assert connection.take_page()
    assert connection.fetch_due() == 1  # there was room; now there is none
    assert connection.fetch_due() == 0
    assert figures.states(desk.journal) | {"seen": COUNT - 1, "fetched": 1} == figures.states(desk.journal)
    connection.report()
    assert desk.reported()["spool_full"] is True
    assert transitions.record_rendered(desk.journal, desk.write_ladder(of(desk, 1)))
    assert connection.fetch_due() == 0
    publish(desk, 1)
    assert connection.fetch_due() == 1  # room again
    assert {of(desk, number).attempts for number in range(1, COUNT + 1)} == {0}


def test_a_ration_stops_fetching_but_not_recording(desk: Desk, connect: Opener) -> None:
    connection = connect()
    connection.hear(Ration(1, False))
    connection.hear(Wake("seen"))
    take_all(connection)
    assert connection.fetch_due() == 0
    connection.report()
    assert desk.reported()["spool_full"] is False, "that is another matter"
    assert figures.states(desk.journal) | {"seen": COUNT} == figures.states(desk.journal)
    connection.hear(Ration(0, True))
    assert connection.fetch_due() > 0


def test_a_spool_with_room_again_is_said_too(desk: Desk, connect: Opener) -> None:
    connection = connect(backpressure={"spool_max_bytes": 1, "min_free_bytes": 0})
    take_all(connection)
    connection.fetch_due()
    connection.fetch_due()
    connection.report()
    assert desk.reported()["spool_full"] is True
    for number in range(1, COUNT + 1):
        assert transitions.record_rendered(desk.journal, desk.write_ladder(of(desk, number)))
        publish(desk, number)
        connection.fetch_due()
    connection.fetch_due()
    connection.report()
    assert desk.reported()["spool_full"] is False


# What cannot be had


def test_a_missing_file_is_dead_with_its_reason_and_the_rest_go_on(desk: Desk, connect: Opener, export: Path) -> None:
    (export / NAME.format(2)).unlink()
    bring_in(connect())
    job = of(desk, 2)
    assert (job.state, job.dead_state, job.attempts) == ("dead", "seen", 1)
    assert job.reason == f"no such file: {NAME.format(2)}"
    assert figures.states(desk.journal) == {"seen": 0, "fetched": COUNT - 1, "rendered": 0, "published": 0, "dead": 1}
    assert not desk.spool.folder(job.id, 1).exists()
    bring_in(connect())
    assert of(desk, 2) == job
    assert desk.reported()["already_dead"] == 1


def test_a_picture_that_is_too_large_is_dead(desk: Desk, connect: Opener) -> None:
    bring_in(connect(max_bytes=10))
    assert "too large" in of(desk, 1).reason
    assert desk.spooled() == set()


def test_a_picture_that_was_left_out_comes_with_the_next_export(desk: Desk, connect: Opener, export: Path) -> None:
    whole = json.loads((export / "result.json").read_text())["messages"]
    left_out = [{**whole[0], "photo": "(File not included. Change data exporting settings to download.)"}, *whole[1:]]
    write_result(export, left_out)
    with structlog.testing.capture_logs() as logged:
        bring_in(connect())
    assert (of(desk, 1).state, "not in the export" in of(desk, 1).reason) == ("dead", True)
    assert figures.last_failure(desk.journal) is None, "nothing has failed: so the export was made"
    [said] = [record for record in logged if record["event"] == "picture.left_out"]
    assert said["log_level"] == "info" and said["message"] == 1
    assert not [record for record in logged if record["log_level"] in ("warning", "error")]
    write_result(export, whole)
    bring_in(connect())
    assert of(desk, 1).state == "fetched"


def test_a_passing_fault_is_tried_later_and_in_the_end_dead(
    desk: Desk, connect: Opener, export: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect(retry={"max_attempts": 1, "base_seconds": 0.0})
    take_all(connection)
    away = export.rename(export.with_name("away"))  # as a disk that is not mounted
    assert connection.fetch_due() == 0
    assert {of(desk, number).attempts for number in range(1, COUNT + 1)} == {1}
    assert "cannot be fetched" in of(desk, 1).reason
    assert "the export's folder is not there" in of(desk, 1).reason
    assert desk.spooled() == set()
    away.rename(export)
    assert connection.fetch_due() == COUNT
    assert (of(desk, 1).state, of(desk, 1).attempts, of(desk, 1).reason) == ("fetched", 0, None)


def test_an_unforeseen_error_is_one_pictures_or_one_messages(
    desk: Desk, connect: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:

    def fail_to_read(value: dict[str, Any], *more: Any, **options: Any) -> Any:
        if value["id"] == 1:
            raise ZeroDivisionError
        return read_message(value, *more, **options)

    fails = iter([True])

    def fail_to_fetch(*given: Any) -> Any:
        if next(fails, False):
            raise ZeroDivisionError
        return fetch(*given)

    monkeypatch.setattr(reader, "read_message", fail_to_read)
    monkeypatch.setattr(module, "fetch", fail_to_fetch)
    connection = connect()
    bring_in(connection)
    assert figures.channels(desk.journal)[0]["ignored"]["unreadable"] == 1
    states = figures.states(desk.journal)
    assert (states["fetched"], states["seen"]) == (COUNT - 2, 1)
    (put_off,) = (of(desk, number) for number in range(2, COUNT + 1) if of(desk, number).state == "seen")
    assert put_off.attempts == 1 and "ZeroDivisionError" in put_off.reason


def test_a_pause_is_kept_and_the_attempts_are_counted(desk: Desk, connect: Opener, export: Path) -> None:
    connection = connect()
    take_all(connection)
    shutil.rmtree(export)
    connection.fetch_due()
    connection.fetch_due()
    assert of(desk, 1).attempts == 1
    assert figures.waiting_for_retry(desk.journal)[0] == COUNT
    policy = RetryPolicy(max_attempts=1, base_seconds=0.0)
    assert transitions.fail(desk.journal, of(desk, 1), "cannot be fetched", policy) == "dead"


def test_a_full_disk_is_no_pictures_fault(desk: Desk, connect: Opener, monkeypatch: pytest.MonkeyPatch) -> None:
    connection = connect()
    take_all(connection)

    def full(fd: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    assert connection.fetch_due() == 0
    monkeypatch.undo()
    assert (of(desk, 1).state, of(desk, 1).attempts, of(desk, 1).next_at) == ("seen", 0, 0)
    assert desk.spooled() == set()
    connection.report()
    assert "No space left" in desk.reported()["spool_error"]
    assert connection.fetch_due() > 0  # there is room again
    connection.report()
    assert desk.reported()["spool_error"] == ""


def test_a_picture_that_changed_while_it_was_fetched(
    desk: Desk, connect: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    take_all(connection)
    page = next(Export.open(Path(of(desk, 1).locator["export"])).pages())

    def edit_meanwhile(locator: Any, part: Path, *sizes: Any) -> Any:
        post = page.posts[0]
        if of(desk, 1).generation == 1:
            photo = replace(post.photo, identity="file:another")
            take(desk.journal, Page(page.channel, (replace(post, photo=photo),), 1, COUNT, {}), now=0.0)
        return fetch(locator, part, *sizes)

    monkeypatch.setattr(module, "fetch", edit_meanwhile)
    assert connection.fetch_due() == COUNT - 1
    job = of(desk, 1)
    assert (job.state, job.generation, job.sha256) == ("seen", 2, None)
    assert not desk.spool.folder(job.id, 1).exists()
    assert connection.fetch_due() == 1
    assert of(desk, 1).state == "fetched"


# An export that is refused


REFUSED = {
    "nothing there": shutil.rmtree,
    "no result.json": lambda export: (export / "result.json").unlink(),
    "cut off": lambda export: cut(export / "result.json"),
    "a message without an id": lambda export: write_result(export, [{"type": "message"}]),
}


def cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:-40])


@pytest.mark.parametrize("spoil", REFUSED.values(), ids=REFUSED)
def test_an_export_that_is_refused_holds_the_connection(
    desk: Desk, export: Path, spoil: Callable[[Path], object]
) -> None:
    spoil(export)
    with pytest.raises(Hold) as caught:
        main(desk.context(**options(export)))
    assert str(export) in caught.value.what
    assert "start again" in caught.value.remedy
    said = desk.said()
    assert Ready() in said  # it has said what is wrong, it has not failed to start
    facts = desk.reported() or [message.facts for message in said if isinstance(message, Report)][-1]
    assert facts["connected"] is False
    assert facts["error"] == caught.value.what
    assert figures.states(desk.journal)["seen"] == 0  # nothing of it was taken
    assert figures.channels(desk.journal) == []
    assert checking.faults(check, options(export)) == [caught.value.what]


def test_a_sound_export_passes_the_check(export: Path) -> None:
    assert checking.faults(check, options(export)) == []


def test_an_export_spoilt_after_it_was_checked(desk: Desk, connect: Opener, export: Path) -> None:
    connection = connect()
    cut(export / "result.json")
    with pytest.raises(ExportError):
        take_all(connection)
    assert figures.channels(desk.journal) == []


def test_a_long_path_in_any_script_goes_in_one_message(desk: Desk, tmp_path: Path) -> None:
    far = tmp_path
    for _ in range(13):
        far = far / ("写真" * 42)
    with pytest.raises(Hold):
        main(desk.context(**options(far)))
    *_, report = (message for message in desk.said() if isinstance(message, Report))
    assert len(encode(report)) <= MAX_BYTES
    assert report.facts["path"].endswith("写真")
    assert str(tmp_path) in report.facts["error"]


# Telling


def test_the_same_is_told_once_a_heartbeat(desk: Desk, connect: Opener) -> None:
    connection = connect()
    bring_in(connection)
    desk.said()
    connection.report()
    assert desk.said() == []


def test_it_is_told_again_after_a_heartbeat(desk: Desk, connect: Opener) -> None:
    connection = connect(heartbeat_seconds=0.0)
    bring_in(connection)
    desk.said()
    connection.report()
    assert desk.reported()["connected"] is True


# As a process


@pytest.mark.parametrize("lacks", ["nothing", "the journal"])
def test_it_says_at_once_that_it_is_not_connected(
    desk: Desk, export: Path, monkeypatch: pytest.MonkeyPatch, lacks: str
) -> None:
    """Its predecessor was, and that stands until something else is said: the export is read whole before that."""
    if lacks == "the journal":
        desk.journal.close()
        desk.state_dir.joinpath("journal.db").write_bytes(b"no journal" * 1000)
        with pytest.raises(JournalError):
            main(desk.context(**options(export)))
    else:
        monkeypatch.setattr("workers.sources.export.source.run", lambda *parts: None)  # as far as it goes before
        main(desk.context(**options(export)))
    first = desk.said()[0]
    assert first == Report("connection", {"source": "export", "connected": False, "error": ""})


def test_main(desk: Desk, export: Path) -> None:
    context = desk.context(**options(export))
    thread = threading.Thread(target=main, args=(context,))
    thread.start()
    reader = Journal.open(desk.state_dir / "journal.db")
    try:
        wait_for("all to be fetched", lambda: figures.states(reader)["fetched"] == COUNT)
        assert transitions.send_back(reader, of(desk, 1))
        desk.send(Wake("seen"))
        wait_for("one to be fetched again", lambda: figures.states(reader)["fetched"] == COUNT)
    finally:
        desk.ask_to_stop()
        thread.join(30)
        reader.close()
    assert not thread.is_alive()
    assert len(desk.spooled()) == COUNT


def test_a_stop_in_the_middle_leaves_the_rest_for_the_next_start(
    desk: Desk, connect: Opener, monkeypatch: pytest.MonkeyPatch
) -> None:
    connection = connect()
    take_all(connection)
    fetched = []

    def stop_at_the_second(locator: Any, part: Path, *sizes: Any) -> Any:
        fetched.append(locator)
        if len(fetched) == 2:
            desk.ask_to_stop()
        return fetch(locator, part, *sizes)

    monkeypatch.setattr(module, "fetch", stop_at_the_second)
    assert connection.fetch_due() == 2  # the one in hand is finished
    assert figures.states(desk.journal)["fetched"] == 2
    assert len(desk.spooled()) == 2


KILLED = """
import json, sys
from ipc import failpoints
failpoints.arm(sys.argv[2])
from pathlib import Path
from tests.workers.desk import CHANNEL, Desk
from workers.connection import main
desk = Desk(Path(sys.argv[1]))
main(desk.context(**json.loads(sys.argv[3])))
"""


@pytest.mark.parametrize(
    "point", ["seen.before", "seen.after", "fetched.written:2", "fetched.before:2", "fetched.after:2"]
)
def test_killed_anywhere_it_finishes_the_next_time(desk: Desk, export: Path, connect: Opener, point: str) -> None:
    words = [sys.executable, "-c", KILLED, str(desk.state_dir), point, json.dumps(options(export))]
    killed = subprocess.run(words, cwd=HOME, capture_output=True, check=False, timeout=60)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    bring_in(connect())
    assert figures.states(desk.journal) == {"seen": 0, "fetched": COUNT, "rendered": 0, "published": 0, "dead": 0}
    assert desk.spooled() == {f"{of(desk, number).id}.1/original" for number in range(1, COUNT + 1)}
