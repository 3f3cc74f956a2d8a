"""The health process: its answers over HTTP, what it makes of messages, and a journal that cannot be read."""

from __future__ import annotations

import asyncio
import doctest
import json
import os
import signal
import socket
import sqlite3
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import httpx
import pytest

import health.access.hosts
from health.application import Application
from health.view.view import View
from ipc.journal import Journal, figures
from ipc.transport.context import Context
from ipc.transport.mailbox import Inbox, Outbox, pair
from ipc.transport.messages import ENDS, KILLS, ChildState, Ended, Message, Report, Wake
from tests.health.process import health_process
from tests.supervisor.stage import Stage, open_fds

TOKEN = "s3cret"
LIMITS = {"version": "9.8.7", "spool_max_bytes": 2**20, "min_free_bytes": 2**10}
UP = {"state": "running", "restarts": 0, "since": 1, "cap_bytes": 0, "order": [1], "pid": 9, "spawned": 5.0}


class Desk:
    """A health process' view, without the process: the test is the root."""

    def __init__(self, state_dir: Path) -> None:
        self.journal_path = state_dir / "journal.db"
        Journal.open(self.journal_path).close()
        self._ends = [*pair(), *pair()]
        self.to_health = Outbox(self._ends[1], blocking=False)
        self._stop_fds = os.pipe()
        self.context = Context(
            name="health",
            incarnation=1,
            options={
                "state_dir": str(state_dir),
                "root": {"pid": os.getpid(), "started_at": time.time(), "spawned": time.monotonic()},
                **LIMITS,
            },
            inbox=Inbox(self._ends[0]),
            outbox=Outbox(self._ends[3], blocking=True),
            stop_fd=self._stop_fds[0],
        )
        self.monotonic = time.monotonic
        self.view = View(self.context, self._clock)

    def _clock(self) -> float:
        return self.monotonic()

    def tell(self, *messages: Message) -> None:
        for message in messages:
            assert self.to_health.send(message)

    def what(self) -> list[str]:
        return [problem["what"] for problem in self.view.look()["problems"]]

    def close(self) -> None:
        for end in self._ends:
            end.close()
        for fd in self._stop_fds:
            os.close(fd)
        self.view.close()


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    before = open_fds()
    desk = Desk(tmp_path)
    yield desk
    desk.close()
    assert open_fds() == before


def asker(view: View, token: str, allowed_hosts: Sequence[str] = (), cache_seconds: float = 0) -> Callable[..., Any]:
    """Asks the application as uvicorn would; an exception in it is a 500."""
    application: Any = Application(view, token, allowed_hosts, cache_seconds)
    transport = httpx.ASGITransport(application, raise_app_exceptions=False)

    async def request(method: str, path: str, headers: dict[bytes, bytes]) -> httpx.Response:
        async with httpx.AsyncClient(transport=transport, base_url="http://localhost") as client:
            return await client.request(method, path, headers=headers)

    return lambda method, path, **headers: asyncio.run(
        request(method, path, {name.encode(): value for name, value in headers.items()})
    )


@pytest.fixture
def ask(desk: Desk) -> Callable[..., Any]:
    return asker(desk.view, "")


@pytest.fixture
def ask_with_token(desk: Desk) -> Callable[..., Any]:
    return asker(desk.view, TOKEN)


def make_it_bad(desk: Desk) -> None:
    desk.tell(Report("uploader", {"r2_circuit_breaker": "open", "storage_error": "HTTP 503"}))


def test_a_kill_for_memory_outlasts_the_other_ends(desk: Desk) -> None:
    def ended(at: int, cause: str) -> Ended:
        return Ended("image-1", {"at": at, "cause": cause, "what": "so it was", "stacks": "long", "job": at})

    desk.tell(ended(1, "out of memory"))
    for at in range(2, ENDS + 2):
        desk.tell(ended(at, "crashed"))
        desk.view.take_messages()
    desk.tell(ChildState("image-1", {**UP, "order": [1]}), ended(1, "machine out of memory"))
    body = desk.view.look()
    (row,) = [row for row in body["tree"] if row["name"] == "image-1"]
    assert len(row["exits"]) == ENDS
    assert [(kill["process"], kill["at"], kill["job"], kill["cause"]) for kill in body["memory"]["kills"]] == [
        ("image-1", "1970-01-01T00:00:01Z", 1, "out of memory"),
        ("image-1", "1970-01-01T00:00:01Z", 1, "machine out of memory"),
    ]
    assert not any("stacks" in kill for kill in body["memory"]["kills"])


def test_the_last_kills_are_remembered_and_no_more(desk: Desk) -> None:
    for at in reversed(range(KILLS + 5)):  # child by child, so in no order
        desk.tell(Ended("image-1", {"at": at, "cause": "out of memory", "what": "so it was"}))
        desk.view.take_messages()
    kills = desk.view.look()["memory"]["kills"]
    assert len(kills) == KILLS and kills[-1]["at"] == "1970-01-01T00:00:54Z"


def test_the_roots_row_has_its_share_and_its_trend(desk: Desk) -> None:
    desk.tell(Report("root", {"pss_bytes": 7, "uss_bytes": 6, "rss_trend_bytes_per_hour": 5}))
    row = desk.view.look()["tree"][0]
    assert (row["name"], row["pss_bytes"], row["uss_bytes"], row["rss_trend_bytes_per_hour"]) == ("root", 7, 6, 5)


# --- the application --------------------------------------------------------------------------------------------


def test_status_is_always_200_and_health_says_how_it_is(desk: Desk, ask: Callable[..., Any]) -> None:
    good = ask("GET", "/status"), ask("GET", "/health")
    assert [answer.status_code for answer in good] == [200, 200]
    assert good[0].json()["ok"] is True
    make_it_bad(desk)
    bad = ask("GET", "/status"), ask("GET", "/health")
    assert [answer.status_code for answer in bad] == [200, 503]
    assert bad[0].json()["ok"] is False
    for status, probe in (good, bad):
        assert status.json().keys() == {
            "ok",
            "problems",
            "stats",
            "tree",
            "memory",
            "channels",
            "reloads",
            "webhooks",
            "machines",
            "quarantine",
            "stages",
        }
        # Some time has passed between the two, and memory moves.
        moving = ("tree", "memory")
        same = [{key: value for key, value in one.json().items() if key not in moving} for one in (status, probe)]
        assert same[0] == same[1]
        assert [row["name"] for row in status.json()["tree"]] == [row["name"] for row in probe.json()["tree"]]


def test_the_answer_is_json_for_people_and_is_not_kept(ask: Callable[..., Any]) -> None:
    answer = ask("GET", "/status")
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["cache-control"] == "no-store"
    assert answer.text.startswith('{\n "ok": true') and answer.text.endswith("}\n")


@pytest.mark.parametrize("path", ["/statuses", "/status/x", "//", "/../etc/passwd", "/health.json", "/STATUS"])
def test_an_unknown_path_is_404(path: str, ask: Callable[..., Any]) -> None:
    assert ask("GET", f"http://localhost{path}").status_code == 404


@pytest.mark.parametrize("path", ["/status", "/health", "/metrics"])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS", "TRACE"])
def test_other_methods_are_405(method: str, path: str, ask: Callable[..., Any]) -> None:
    assert ask(method, path).status_code == 405


@pytest.mark.parametrize(
    "header",
    [None, "", "Bearer", "Bearer ", f"Bearer {TOKEN}x", f"Bearer x{TOKEN}", TOKEN, f"Basic {TOKEN}", "Bearer \xff"],
)
def test_without_the_token(header: str | None, desk: Desk, ask_with_token: Callable[..., Any]) -> None:
    headers = {} if header is None else {"authorization": header.encode("latin-1")}
    answer = ask_with_token("GET", "/status", **headers)
    assert answer.status_code == 401
    assert TOKEN not in answer.text and answer.json().keys() == {"error"}
    metrics = ask_with_token("GET", "/metrics", **headers)
    assert (metrics.status_code, metrics.json()) == (401, answer.json())
    probe = ask_with_token("GET", "/health", **headers)
    assert (probe.status_code, probe.json()) == (200, {"ok": True})
    make_it_bad(desk)
    probe = ask_with_token("GET", "/health", **headers)
    assert (probe.status_code, probe.json()) == (503, {"ok": False})


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER", "Bearer "])
def test_with_the_token(scheme: str, ask_with_token: Callable[..., Any]) -> None:
    headers = {"authorization": f"{scheme} {TOKEN}".encode()}
    for path in ("/status", "/health"):
        answer = ask_with_token("GET", path, **headers)
        assert answer.status_code == 200 and "stats" in answer.json()
    assert "picturedesk_connected 0.0" in ask_with_token("GET", "/metrics", **headers).text


@pytest.mark.parametrize("path", ["/status", "/health", "/live", "/metrics"])
def test_head_has_the_headers_alone(path: str, ask: Callable[..., Any]) -> None:
    answer = ask("HEAD", path)
    assert answer.status_code == 200 and answer.content == b"" and int(answer.headers["content-length"]) > 0


# --- whose names are answered to --------------------------------------------------------------------------------

LOCAL = [
    "localhost",
    "localhost:8080",
    "LOCALHOST.",
    "127.0.0.1:8080",
    "127.8.9.10",
    "[::1]:8080",
    "10.0.0.7",
    "[fe80::1]",
]
FOREIGN = ["evil.example", "evil.example:8080", "localhost.evil.example", "127.0.0.1.evil.example", "", "[", "evil\x9b"]


@pytest.mark.parametrize("token", ["", TOKEN])
@pytest.mark.parametrize("host", LOCAL)
def test_this_machine_is_answered_to(host: str, token: str, desk: Desk) -> None:
    ask = asker(desk.view, token)
    bearer = f"Bearer {TOKEN}".encode()
    for path in ("/status", "/health", "/metrics"):
        assert ask("GET", path, host=host.encode(), authorization=bearer).status_code == 200


@pytest.mark.parametrize("token", ["", TOKEN])
@pytest.mark.parametrize("host", FOREIGN)
def test_another_name_learns_nothing_but_what_to_set(host: str, token: str, desk: Desk) -> None:
    """A page whose name has been made to lead here would send its own name."""
    ask = asker(desk.view, token, ["desk.example.org"])
    for path in ("/status", "/health", "/metrics"):
        answer = ask("GET", path, host=host.encode("latin-1"), authorization=f"Bearer {TOKEN}".encode())
        assert answer.status_code == 421
        assert answer.json().keys() == {"error"} and "health.allowed_hosts" in answer.json()["error"]
    assert ask("GET", "/live", host=host.encode("latin-1")).status_code == 200, "a platform's probe has its own name"


@pytest.mark.parametrize("allowed", ["desk.example.org", "*"])
@pytest.mark.parametrize("host", ["desk.example.org", "Desk.Example.org:443", "desk.example.org."])
def test_a_name_that_is_allowed_is_answered_to(host: str, allowed: str, desk: Desk) -> None:
    assert asker(desk.view, "", [allowed])("GET", "/status", host=host.encode()).status_code == 200


def test_hosts_by_example() -> None:
    assert doctest.testmod(health.access.hosts).failed == 0


# --- many who ask -----------------------------------------------------------------------------------------------


def test_a_body_is_made_once_for_all_who_ask_within_a_moment(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    now, looks = [1000.0], []
    monkeypatch.setattr("health.application.time", SimpleNamespace(monotonic=lambda: now[0]))
    look = desk.view.look

    def counted() -> dict[str, Any]:
        looks.append(now[0])
        return look()

    monkeypatch.setattr(desk.view, "look", counted)
    ask = asker(desk.view, TOKEN, cache_seconds=0.5)
    bearer = f"Bearer {TOKEN}".encode()

    def answers() -> list[tuple[int, bool]]:
        given = [
            ask("GET", "/status", authorization=bearer),
            ask("GET", "/health", authorization=bearer),
            ask("GET", "/health"),
        ]
        return [(one.status_code, one.json()["ok"]) for one in given]

    assert answers() == [(200, True)] * 3
    make_it_bad(desk)
    now[0] += 0.4
    assert answers() == [(200, True)] * 3 and looks == [1000.0]
    now[0] += 0.2
    assert answers() == [(200, False), (503, False), (503, False)] and len(looks) == 2


def test_a_change_of_the_tree_is_seen_at_once(desk: Desk) -> None:
    """An operator who has restarted a process looks at once what came of it."""
    ask = asker(desk.view, "", cache_seconds=1000)

    def states() -> list[str]:
        return [row["state"] for row in ask("GET", "/status").json()["tree"]]

    assert states() == ["running"]
    desk.tell(ChildState("pool", UP))
    assert states() == ["running", "running"]
    desk.tell(ChildState("pool", {**UP, "state": "stopping"}))
    assert states() == ["running", "stopping"]
    desk.tell(ChildState("pool", {}))
    assert states() == ["running"]


def test_what_cannot_be_read_is_not_kept(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    look = desk.view.look
    ask = asker(desk.view, "", cache_seconds=1000)
    monkeypatch.setattr(desk.view, "look", lambda: 1 / 0)
    assert ask("GET", "/status").status_code == 500
    monkeypatch.setattr(desk.view, "look", look)
    assert ask("GET", "/status").status_code == 200


def test_names_of_others_steer_no_terminal(desk: Desk) -> None:
    """`curl` shows them as they come."""
    desk.tell(Report("uploader", {"r2_circuit_breaker": "open", "storage_error": "\x1b[2J\x9b2J\u202e"}))
    text = asker(desk.view, "")("GET", "/status").text
    assert all(char.isprintable() or char == "\n" for char in text)
    assert any("\x9b2J\u202e" in problem["what"] for problem in json.loads(text)["problems"])


# --- the journal ------------------------------------------------------------------------------------------------


def test_a_missing_journal_is_a_problem_until_it_is_there(desk: Desk, ask: Callable[..., Any]) -> None:
    desk.journal_path.unlink()
    answer = ask("GET", "/status")
    assert answer.status_code == 200
    [problem] = answer.json()["problems"]
    assert "journal.db: cannot be read as the journal" in problem["what"] and "disk" in problem["remedy"]
    assert answer.json()["stats"]["queue_size"] == 0 and answer.json()["channels"] == []
    Journal.open(desk.journal_path).close()
    assert ask("GET", "/status").json()["problems"] == []


@pytest.mark.parametrize("content", [b"", b"not a database at all, " * 400, b"SQLite format 3\0" + b"\xff" * 9000])
def test_a_damaged_journal_is_a_problem_and_no_500(content: bytes, desk: Desk, ask: Callable[..., Any]) -> None:
    for extra in desk.journal_path.parent.glob("journal.db-*"):
        extra.unlink()
    desk.journal_path.write_bytes(content)
    assert [ask("GET", path).status_code for path in ("/status", "/health")] == [200, 503]
    assert len(desk.what()) == 1


def test_a_journal_that_is_damaged_while_it_is_open(desk: Desk, ask: Callable[..., Any]) -> None:
    writer = Journal.open(desk.journal_path)
    with writer.transaction():
        writer.run("add_total", name="processed", by=5)
    assert ask("GET", "/status").json()["stats"]["processed"] == 5
    writer.close()
    with desk.journal_path.open("r+b") as file:
        size = file.seek(0, 2)
        file.seek(0)
        file.write(os.urandom(size))
    # What SQLite still has in its cache it may give; it must not be an error of ours.
    assert ask("GET", "/status").status_code == 200
    assert ask("GET", "/health").status_code in (200, 503)


def test_a_packed_column_that_is_damaged_is_a_problem_too(desk: Desk, ask: Callable[..., Any]) -> None:
    with closing(sqlite3.connect(desk.journal_path)) as database, database:
        database.execute(
            "INSERT INTO channels (id, title, floor, cursor, backfilled, ignored) VALUES (1, 'x', 1, 0, 0, x'c1')"
        )
    assert [ask("GET", path).status_code for path in ("/status", "/health")] == [200, 503]
    assert len(desk.what()) == 1


# --- the view ---------------------------------------------------------------------------------------------------


def test_what_the_root_says_is_shown(desk: Desk) -> None:
    desk.tell(
        ChildState("pool", {**UP, "order": [3]}),
        ChildState("image-1", {**UP, "order": [3, 1]}),
        ChildState("health", UP),
        Report("connection", {"connected": True, "channel": 5, "behind": 2, "last_heartbeat_at": "then"}),
        Wake("seen"),
        ChildState("pool", {**UP, "order": [3], "state": "held", "last_exit": "no", "last_cause": "held"}),
    )
    body = desk.view.look()
    assert [row["name"] for row in body["tree"]] == ["root", "health", "pool", "image-1"]
    assert body["tree"][2]["state"] == "held" and body["stats"]["last_heartbeat_at"] == "then"
    root = body["tree"][0]
    assert root["pid"] == os.getpid() and root["peak_rss_bytes"] >= root["rss_bytes"] > 10**6
    assert body["memory"]["available_bytes"] > 0


def test_a_root_that_is_silent_is_a_problem(desk: Desk) -> None:
    now = time.monotonic()
    desk.monotonic = lambda: now + 30
    assert desk.what() == ["the root has not been heard of for 30 s"]
    desk.tell(Wake("seen"))
    assert desk.what() == []


def test_live_says_whether_the_tree_lives_and_nothing_else(desk: Desk, ask_with_token: Callable[..., Any]) -> None:
    """To anybody: what restarts a container has no token."""
    make_it_bad(desk)
    answer = ask_with_token("GET", "/live")
    assert (answer.status_code, answer.json()) == (200, {"live": True})
    now = time.monotonic()
    desk.monotonic = lambda: now + 61
    answer = ask_with_token("GET", "/live")
    assert (answer.status_code, answer.json()) == (503, {"live": False}), "the root hangs"
    desk.tell(Wake("seen"))
    assert ask_with_token("GET", "/live").status_code == 200


def add_jobs(desk: Desk, state: str, count: int, next_at: float = 0.0) -> None:
    with closing(sqlite3.connect(desk.journal_path)) as database, database:
        database.execute(
            "INSERT OR IGNORE INTO channels (id, title, floor, cursor, backfilled, ignored)"
            " VALUES (1, 'x', 1, 0, 0, x'80')"
        )
        for number in range(count):
            database.execute(
                "INSERT INTO jobs (channel_id, message_id, state, revision, digest, caption, entities, posted_at,"
                " generation, identity, locator, rendition_bytes, stored, priority, attempts, next_at, deaths, alone,"
                " seen_at, source) VALUES (1, ?, ?, 1, x'00', '', x'90', 0, 1, 'x:1', x'80', 0, 0, 0, ?, ?, 0, 0, 0,"
                " 'export')",
                (number + 1, state, int(next_at > 0), next_at),
            )


def test_work_that_stands_still_is_a_problem_until_a_picture_is_done(desk: Desk) -> None:
    began = time.monotonic()
    now = [began]
    desk.monotonic = lambda: now[0]
    add_jobs(desk, "fetched", 3)

    def after(seconds: float) -> list[str]:
        now[0] = began + seconds
        desk.tell(Wake("seen"))
        return [what for what in desk.what() if "wait" in what]

    assert after(0) == [] and after(179) == []
    [what] = after(182)
    assert what.startswith("3 pictures wait")
    journal = Journal.open(desk.journal_path)
    with journal.transaction():
        journal.run("add_total", name="processed", by=1)
    assert after(183) == [] and after(183 + 179) == [] and len(after(183 + 181)) == 1
    journal.close()


def test_work_that_waited_for_its_retry_was_not_standing_still(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only from when it is due."""
    began = time.monotonic()
    now = [began]
    desk.monotonic = lambda: now[0]
    monkeypatch.setattr(figures, "waiting_for_retry", lambda self: (3 if now[0] < began + 1000 else 0, None))
    add_jobs(desk, "fetched", 3)

    def after(seconds: float) -> list[str]:
        now[0] = began + seconds
        desk.tell(Wake("seen"))
        return [what for what in desk.what() if "wait" in what]

    assert after(0) == after(999) == after(1001) == []
    assert len(after(999 + 181)) == 1


def test_each_picture_is_in_one_state_in_every_body(desk: Desk) -> None:
    """All figures are of one moment, while another process moves pictures on."""
    add_jobs(desk, "seen", 40)
    states = ("fetched", "rendered", "published", "dead", "seen")
    is_over = threading.Event()

    def move_on() -> None:
        with closing(sqlite3.connect(desk.journal_path, isolation_level=None)) as database:
            while not is_over.is_set():
                for state in states:
                    for job in range(1, 41):
                        database.execute("UPDATE jobs SET state = ? WHERE id = ?", (state, job))

    mover = threading.Thread(target=move_on)
    mover.start()
    try:
        bodies = [desk.view.look()["stats"] for _ in range(200)]
    finally:
        is_over.set()
        mover.join()
    assert {sum(body[state] for state in states) for body in bodies} == {40}
    assert all(body["queue_size"] == body["seen"] + body["fetched"] + body["rendered"] for body in bodies)
    assert len({tuple(body[state] for state in states) for body in bodies}) > 2, "they did move"


# --- the process ------------------------------------------------------------------------------------------------


@pytest.mark.tree
def test_the_real_process_answers_while_it_is_replaced(tmp_path: Path) -> None:
    Journal.open(tmp_path / "journal.db").close()
    with socket.create_server(("127.0.0.1", 0)) as listener:
        url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        health = health_process(tmp_path, listener)
        stage = Stage(tmp_path / "notes", health)

        def script(stage: Stage) -> Iterator[None]:
            yield from stage.all_ready()
            stage.supervisor.children.send("health", ChildState("health", {**UP, "pid": stage.pid("health")}))
            body = json.load(urllib.request.urlopen(f"{url}/status", timeout=20))
            assert body["tree"][1]["pid"] == stage.pid("health")
            os.kill(stage.pid("health"), signal.SIGKILL)
            # Nobody is there, and yet the connection is not refused: it waits in the socket.
            early = socket.create_connection(listener.getsockname())
            early.sendall(b"GET /health HTTP/1.0\r\n\r\n")
            yield from stage.replaced("health")
            early.settimeout(20)
            assert early.recv(12) == b"HTTP/1.1 200"
            early.close()
            with pytest.raises(urllib.error.HTTPError, match="404"):
                urllib.request.urlopen(f"{url}/nowhere", timeout=20)
            beats = stage.slot("health").process
            assert beats is not None and beats.stalled_seconds < 30

        assert stage.play(script) == 0
    assert stage.ended("health") == [("signalled", "killed by SIGKILL"), ("asked", "stopped as asked (exit code 0)")]
