"""The whole program: what it promises across its processes, one scenario a test."""

from __future__ import annotations

import json
import os
import re
import signal
import socket
import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from ipc.intake import take
from ipc.journal import Journal, lookup
from ipc.posts import Channel, Page, Photo, Post
from tests.instance import DEADLINE_SECONDS, Instance, lasting, wait_for
from tests.pictures import CHANNEL, draw, make_export, message, write_result

MakeInstance = Callable[..., Instance]
ANIMATED = ("gif", "webp", "avif", "png")
KINDS = ["health", "uploader", "image-1", "pool", "connection"]


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("program") / "export", 3)


@pytest.fixture(scope="module")
def shared(export: Path, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Instance]:
    """One that several tests do something to; afterwards all is published, and nothing of it is left."""
    with lasting(Instance(tmp_path_factory.mktemp("program") / "instance", export)) as instance:
        yield instance
        instance.wait_until_done()
        assert instance.stop() == 0
        instance.assert_published([1, 2, 3])
        instance.assert_nothing_left()


def test_a_killed_process_is_replaced_and_the_others_go_on(shared: Instance) -> None:
    instance = shared
    before = instance.wait_until_running()
    restarts = {name: instance.row(name)["restarts"] for name in KINDS}
    for victim in KINDS:
        os.kill(before[victim], signal.SIGKILL)
        wait_for("the replacement", partial(is_replaced, instance, victim, before[victim]))
        after = instance.wait_until_running()
        below = {"pool": {"image-1"}}.get(victim, set())
        assert {name for name in before if before[name] != after[name]} == {victim} | below
        row = instance.row(victim)
        assert row["restarts"] == restarts[victim] + 1 and row["last_exit"]["cause"] == "signalled"
        wait_for("all to be well", lambda: (instance.status() or {"ok": False})["ok"])
        before = after


def is_replaced(instance: Instance, name: str, pid: int) -> bool:
    return instance.pids().get(name, pid) != pid


@pytest.mark.reaches("root.silent")
def test_status_answers_while_others_cannot(shared: Instance) -> None:
    instance = shared
    pids = instance.wait_until_running()
    for name in ("pool", "uploader", "connection", "root"):
        os.kill(pids[name], signal.SIGSTOP)
    try:
        code, body = instance.get("/status")
        assert code == 200 and body["tree"][0]["name"] == "root"

        def root_is_missed() -> bool:
            return any("root" in one["what"] for one in instance.get("/status")[1]["problems"])

        wait_for("the root's silence to be a problem", root_is_missed)
        assert instance.get("/health")[0] == 503
    finally:
        for name in ("root", "pool", "uploader", "connection"):
            os.kill(pids[name], signal.SIGCONT)
    wait_for("all to be well again", lambda: (instance.status() or {"ok": False})["ok"])
    assert instance.get("/health")[0] == 200
    assert instance.pids() == pids, "nobody was replaced: a stop is not a hang before its deadline"


def test_requests_wait_while_health_is_replaced(shared: Instance) -> None:
    instance = shared
    pids = instance.wait_until_running()
    for _ in range(3):
        instance.strike("health")
        assert instance.get("/status")[0] == 200  # neither refused nor lost
    assert instance.pids()["uploader"] == pids["uploader"]


def test_silent_clients_keep_nobody_out(shared: Instance) -> None:
    instance = shared
    before = instance.wait_until_running()
    port = int(str(instance.url()).rpartition(":")[2])
    with ExitStack() as stack:
        for _ in range(300):
            stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        silent = stack.enter_context(socket.create_connection(("127.0.0.1", port)))
        silent.sendall(b"GET /status HTTP/1.1\r\nX-Never-Ending: ")
        wait_for("/status to be answered", lambda: (instance.status() or {}).get("tree"))
    assert instance.pids() == before


def test_a_failure_that_may_pass_is_tried_again_over_restarts(
    export: Path, tmp_path: Path, make_instance: MakeInstance
) -> None:
    instance = make_instance(export)
    instance.config.write_text(instance.config.read_text().replace("base_seconds = 0.2", "base_seconds = 600"))
    instance.state_dir.mkdir()
    unmounted = tmp_path / "unmounted"
    photo = Photo(
        None, "file:a.jpg:1:1x1", {"export": str(unmounted), "file": "a.jpg"}, None, None, None, None, source="export"
    )
    post = Post(CHANNEL + 1, 7, 1_700_000_000, None, None, "from an export on a disk that is not there", photo)
    journal = Journal.open(instance.state_dir / "journal.db")
    take(journal, Page(Channel(CHANNEL + 1, "Other"), (post,), 1, 7, {}), time.time())

    def failed() -> bool:
        job = lookup.known(journal, CHANNEL + 1, 7)
        return job is not None and job.attempts == 1

    instance.start()
    wait_for("the first failure", failed)
    assert instance.stop() == 0
    instance.start()
    instance.wait_until_running()
    wait_for("the others", lambda: (instance.status() or {"stats": {}})["stats"].get("processed") == 3)
    job = lookup.known(journal, CHANNEL + 1, 7)
    assert job is not None and job.state == "seen" and job.attempts == 1, "the restart changed nothing"
    assert job.next_at > time.time() + 300 and "not there" in str(job.reason)
    body = instance.status()
    assert body is not None and body["stats"]["waiting_for_retry"] == 1 and body["stats"]["retried"] == 1

    unmounted.mkdir()
    draw(unmounted / "a.jpg", 99)
    with closing(sqlite3.connect(instance.state_dir / "journal.db", timeout=DEADLINE_SECONDS)) as database, database:
        database.execute("UPDATE jobs SET next_at = 0")  # its time has come
    wait_for("the picture", lambda: len(instance.rows()) == 4)
    journal.close()
    assert instance.stop() == 0


def test_the_spools_limit_slows_fetching_and_loses_nothing(tmp_path: Path, make_instance: MakeInstance) -> None:
    drawn = make_export(tmp_path / "drawn", 10)
    padded = {
        number: path.read_bytes() + bytes([number]) * 300_000
        for number, path in enumerate(sorted((drawn / "photos").iterdir()), 1)
    }
    export = make_export(tmp_path / "export", 10, bad=padded)
    instance = make_instance(export, "[spool]\nmax_mb = 1")
    instance.start()
    instance.wait_until_done()
    assert instance.stop() == 0
    instance.assert_published(list(range(1, 11)))
    instance.assert_nothing_left()


def test_a_picture_that_takes_too_long_is_set_aside_and_the_others_go_on(
    tmp_path: Path, make_instance: MakeInstance
) -> None:
    export = make_export(tmp_path / "export", 3)
    draw(export / "photos" / "photo_2@01-02-2025_10-00-00.jpg", 2, (5000, 5000))
    instance = make_instance(export)
    instance.config.write_text(
        instance.config.read_text().replace("workers = 1", "workers = 1\njob_seconds = 0.4")
        + "[images]\nwidths = [4000, 5000]\n"
    )
    instance.start()
    instance.wait_until_done()
    dead = instance.answer("dead").stdout
    # Where others have all of the processors, that is the reason.
    assert ("poison" in dead and "hung" in dead) or "kept from working" in dead
    assert instance.row("pool")["restarts"] == 0
    assert instance.stop() == 0
    instance.assert_published([1, 3])
    instance.assert_nothing_left(dead=1)


def test_a_picture_that_needs_more_memory_than_the_cap_is_tried_alone_then_set_aside(
    tmp_path: Path, make_instance: MakeInstance
) -> None:
    export = make_export(tmp_path / "export", 3)
    Image.new("RGB", (6000, 6000)).save(
        export / "photos" / "photo_2@01-02-2025_10-00-00.jpg", format="PNG", compress_level=0
    )
    instance = make_instance(export, workers=2)
    instance.config.write_text(
        instance.config.read_text().replace("workers = 2", "workers = 2\nmemory_cap_mb = 100\nmemory_soft_mb = 90")
        + "[images]\nmax_bytes = 200000000\n"
    )
    instance.start()
    instance.wait_until_done()
    dead = instance.answer("dead").stdout
    assert "out of memory" in dead
    [aside] = (instance.status() or {})["quarantine"]
    assert "out of memory" in aside["reason"] and (instance.state_dir / aside["file"]).is_file()
    report = instance.answer("memory").stdout
    for name in ("root", "health", "uploader", "pool", "image-1", "connection"):
        assert re.search(rf"^{name} +\d+M", report, re.MULTILINE), report
    assert "left" in report
    told = json.loads(instance.answer("memory", "--json").stdout)
    assert told["memory"]["rss_bytes"] > 0 and told["memory"]["enforced_by"] in ("cgroup", "sampling")
    assert all(row["uss_bytes"] <= row["pss_bytes"] for row in told["processes"] if "pid" in row)
    assert instance.stop() == 0
    instance.assert_published([1, 3])
    instance.assert_nothing_left(dead=1)


def test_animations_and_posters_of_videos(tmp_path: Path, make_instance: MakeInstance) -> None:
    """Sealed workers make what moves; the pool takes it; rows and objects are as for any other picture."""
    (folder := tmp_path / "export").mkdir()
    first, *more = (Image.effect_mandelbrot((96, 64), (-2, -1, at, 1), 50).convert("RGB") for at in (1, 1.5, 2))
    for kind in ANIMATED:
        first.save(folder / f"a.{kind}", save_all=True, append_images=more, duration=80)
    first.save(folder / "poster.jpg")
    files = [message(number, file=f"a.{kind}", mime_type=f"image/{kind}") for number, kind in enumerate(ANIMATED, 1)]
    video = {"file": "b.mp4", "media_type": "video_file", "thumbnail": "poster.jpg"}
    write_result(folder, [*files, message(5, **video)])
    instance = make_instance(folder)
    instance.start(PICTUREDESK__TELEGRAM__VIDEO_POSTERS="true")
    instance.wait_until_done()
    assert instance.stop() == 0
    instance.assert_published([1, 2, 3, 4, 5])
    with closing(Journal.open_to_read(instance.state_dir / "journal.db")) as journal:
        jobs = [lookup.known(journal, CHANNEL, number) for number in range(1, 6)]
    assert [job and job.appearance and (job.kind, job.appearance.frames, job.appearance.animated) for job in jobs] == [
        *[("photo", 3, True)] * 4,
        ("video", 1, False),
    ]


def test_no_secret_of_ours_reaches_a_child_and_each_goes_with_a_killed_root(
    export: Path, make_instance: MakeInstance
) -> None:
    instance = make_instance(export)
    instance.start(PICTUREDESK__HEALTH__TOKEN="not-for-children")
    wait_for("the tree", instance.url)
    wait_for("the children", lambda: len(instance.left_over()) >= 6)
    assert instance.root is not None
    for pid in instance.left_over():
        if pid != instance.root.pid:
            assert b"not-for-children" not in Path(f"/proc/{pid}/environ").read_bytes()
        assert b"not-for-children" not in Path(f"/proc/{pid}/cmdline").read_bytes()
    assert instance.get("/status")[0] == 401

    def pids() -> dict[str, int] | None:
        code, body = instance.get("/status", Authorization="Bearer not-for-children")
        found = {row["name"]: row["pid"] for row in body["tree"] if row["state"] == "running"}
        return found if code == 200 and {"image-1", "uploader"} <= found.keys() else None

    running = wait_for("both to run", pids)
    for name in ("image-1", "uploader"):
        os.kill(running[name], signal.SIGSTOP)  # it can do nothing about it by itself
    instance.kill()
    instance.wait_until_gone()
