"""Messages that really go out: Apprise, the thread, the heartbeat, and what is kept over a replacement."""

from __future__ import annotations

import logging
import os
import re
import socket
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from health.notify import heartbeat, outbox, state_file
from health.notify.apprise_service import AppriseService, Unusable
from health.notify.check import TEST, check, send_test
from health.notify.heartbeat import Heartbeat, ping
from health.notify.notifier import UNDELIVERED, Notifier
from health.problems.first_seen import Dated
from health.problems.problem import Problem
from ipc.process.checklist import Checklist
from tests import checking
from tests.health.notify.receiver import Receiver, receiver
from tests.instance import HOME, wait_for
from tests.supervisor.stage import open_fds

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of Apprise, while it is imported

SECRET = "C4n4ry"
HELD = Dated(Problem("child.held", "child pool", "pool is held", "mend it"), 1000.0)
DOWN = Dated(Problem("child.held", "child connection", "connection is held", "mend that"), 1000.0)


@pytest.fixture
def people() -> Iterator[Receiver]:
    with receiver() as made:
        yield made


@pytest.fixture
def logged(monkeypatch: pytest.MonkeyPatch) -> list[tuple[str, dict[str, Any]]]:
    """What is logged: events and fields."""
    found: list[tuple[str, dict[str, Any]]] = []

    class Log:
        def info(self, event: str, **fields: Any) -> None:
            found.append((event, fields))

        warning = error = info

    for module in ("notifier", "sender", "heartbeat"):
        monkeypatch.setattr(f"health.notify.{module}.log", Log())
    return found


@pytest.fixture
def records() -> Iterator[list[str]]:
    """What reaches the root logger, whose handler writes our log. pytest's own would look into the others, too."""

    class Handler(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            found.append(record.getMessage())

    found: list[str] = []
    logging.getLogger().addHandler(handler := Handler())
    yield found
    logging.getLogger().removeHandler(handler)


def options(*urls: str, **more: Any) -> dict[str, Any]:
    return {"urls": list(urls), "after_seconds": 0, "heartbeat_url": "", "name": "desk", **more}


class Desk:
    """Looks as health does, faster: its clock goes a second a look."""

    def __init__(self, state_dir: Path, *urls: str, **more: Any) -> None:
        self.now = 1000.0
        self.notifier = Notifier(options(*urls, **more), {"started_at": 1000.0, "spawned": 1000.0}, state_dir, self.now)

    def look(self, *problems: Dated, seconds: float = 1.0) -> None:
        self.notifier.look(list(problems), self.now, self.now)
        self.now += seconds

    def until(self, what: str, is_so: Callable[[], object], *problems: Dated) -> None:
        def look() -> bool:
            self.look(*problems)
            return bool(is_so())

        wait_for(what, look)


def test_a_problem_its_end_and_a_digest(people: Receiver, tmp_path: Path, logged: list[Any]) -> None:
    desk = Desk(tmp_path, f"json://me:{SECRET}@127.0.0.1:{people.port}/{SECRET}")
    desk.until("the message", lambda: people.messages, HELD)
    assert people.messages[0]["title"] == "desk: pool is held"
    assert people.messages[0]["message"].endswith("What to do: mend it") and people.messages[0]["type"] == "warning"
    desk.until("a digest", lambda: len(people.messages) > 1, DOWN)
    desk.until("all of it", lambda: "over" in people.titles[-1], DOWN)
    assert "connection is held" in str(people.messages[1:]) and "Over: pool is held" in str(people.messages[1:])
    desk.until("the log", lambda: "notify.sent" in str(logged))
    assert SECRET not in str(logged)


def test_a_service_that_fails_gets_it_later_and_the_other_at_once(
    people: Receiver, tmp_path: Path, logged: list[Any]
) -> None:
    with receiver() as other:
        people.status = 503
        desk = Desk(tmp_path, f"json://127.0.0.1:{people.port}/{SECRET}", f"json://127.0.0.1:{other.port}")
        desk.until("the other's message", lambda: other.messages, HELD)
        desk.until("the problem", lambda: desk.notifier.undelivered(desk.now), HELD)
        (one,) = desk.notifier.undelivered(desk.now)
        assert (one.label, one.why) == (f"notify.urls, number 1 (json://…127.0.0.1:{people.port}…)", "HTTP 503")
        assert len(other.messages) == 1 and not people.messages
        people.status = 200
        desk.until("the message", lambda: people.messages, HELD)
        desk.until("an end of the problem", lambda: not desk.notifier.undelivered(desk.now), HELD)
        assert people.titles == ["desk: pool is held"] == other.titles
        assert {"notify.failed", "notify.sent"} == {event for event, _ in logged} and SECRET not in str(logged)


def test_what_was_told_is_not_repeated_and_what_was_not_delivered_is_not_forgotten(
    people: Receiver, tmp_path: Path
) -> None:
    url = f"json://127.0.0.1:{people.port}"
    people.status = 500
    desk = Desk(tmp_path, url)
    desk.until("two failures", lambda: desk.notifier.undelivered(desk.now), HELD)
    people.status = 200
    desk = Desk(tmp_path, url)
    desk.until("the message, by the process after", lambda: people.messages, HELD)
    desk.until("that to be noted down", lambda: not any(state_file.read(tmp_path).waiting), HELD)
    desk = Desk(tmp_path, url)
    for _ in range(30):
        desk.look(HELD)
    desk.until("its end", lambda: len(people.messages) > 1)
    assert people.titles == ["desk: pool is held", "desk: over: pool is held"]


def test_an_observation_ends_with_the_tree_and_not_with_health(people: Receiver, tmp_path: Path) -> None:
    url = f"json://127.0.0.1:{people.port}"
    desk = Desk(tmp_path, url, after_seconds=120)
    desk.look(HELD, seconds=100)
    wait_for("the state", lambda: state_file.read(tmp_path).told.seen)
    after = Desk(tmp_path, url, after_seconds=120)
    kept = (tmp_path / state_file.NAME).read_text
    after.now = desk.now + 21
    after.until("the message", lambda: people.messages, HELD)
    after.until("that to be noted down", lambda: kept() == state_file.to_text(after.notifier.state()), HELD)
    again = Notifier(options(url, after_seconds=120), {"started_at": 5000.0, "spawned": 0.0}, tmp_path, 0.0)
    again.look([DOWN], 5000.0, 0.0)
    wait_for("another state", lambda: ("child connection", "child.held") in state_file.read(tmp_path).told.seen)
    assert ("child pool", "child.held") not in state_file.read(tmp_path).told.seen


def test_time_that_the_machine_slept_does_not_count(people: Receiver, tmp_path: Path) -> None:
    desk = Desk(tmp_path, f"json://127.0.0.1:{people.port}", after_seconds=120)
    desk.look(HELD, seconds=8 * 3600.0)
    for _ in range(120):
        desk.look(HELD)
    assert not desk.notifier.state().told.episodes
    desk.until("the message", lambda: people.messages, HELD)
    assert list(desk.notifier.state().told.episodes) == ["child pool"]


def test_nobody_waits_for_a_service_that_does_not_answer(people: Receiver, tmp_path: Path) -> None:
    people.gate.clear()
    desk = Desk(tmp_path, f"json://127.0.0.1:{people.port}?rto=20")
    desk.look(HELD)
    for _ in range(int(outbox.ANSWER_SECONDS) + 2):
        desk.look(HELD)
    (one,) = desk.notifier.undelivered(desk.now)
    assert one.why == "no answer" and not people.messages
    people.gate.set()
    desk.until("the message", lambda: people.messages, HELD)


def test_a_service_that_keeps_the_thread_keeps_health_from_nothing(people: Receiver, tmp_path: Path) -> None:
    people.gate.clear()
    with receiver() as other:
        urls = [f"json://127.0.0.1:{one.port}?rto=20" for one in (people, other)]
        desk = Desk(tmp_path, *urls)
        desk.until("the request", lambda: people.requests or other.messages, HELD)
        for number in range(50):  # the state changes with every look
            desk.look(HELD, Dated(replace(DOWN.problem, subject=str(number)), 1000.0))
        people.gate.set()
        desk.until("all of it", lambda: "And" in str(people.messages) and "And" in str(other.messages), HELD)


def test_the_problem_that_messages_do_not_arrive_is_told_to_others_only(people: Receiver, tmp_path: Path) -> None:
    undelivered = Dated(Problem(UNDELIVERED, "notify x", "messages do not arrive", "wait"), 1000.0)
    with receiver() as other:
        urls = [f"json://127.0.0.1:{one.port}" for one in (people, other)]
        alone, both = Desk(tmp_path, urls[0]), Desk(tmp_path / "both", *urls)
        (tmp_path / "both").mkdir()
        both.until("both messages", lambda: people.messages and other.messages, undelivered)
        for _ in range(20):
            alone.look(undelivered)
        alone.until("the message of a problem", lambda: "pool" in str(people.messages), undelivered, HELD)
    assert "desk: 2 problems" not in people.titles


def test_an_address_that_apprise_cannot_use_is_a_problem(tmp_path: Path, logged: list[Any]) -> None:
    desk = Desk(tmp_path, f"nosuchthing://{SECRET}", "tgram://x")
    desk.until("the problems", lambda: len(desk.notifier.undelivered(desk.now)) == 2)
    assert {one.why for one in desk.notifier.undelivered(desk.now)} == {"Apprise does not understand this address"}
    assert [event for event, _ in logged] == ["notify.url_rejected"] * 2 and SECRET not in str(logged)


def test_a_state_that_cannot_be_kept_or_read_keeps_no_message_back(
    people: Receiver, tmp_path: Path, logged: list[Any]
) -> None:
    (tmp_path / state_file.NAME).write_text("{damaged")
    desk = Desk(tmp_path, f"json://127.0.0.1:{people.port}")
    (tmp_path / state_file.NAME).unlink()
    (tmp_path / state_file.NAME).symlink_to("elsewhere")
    desk.until("the message", lambda: people.messages, HELD)
    desk.until("its end", lambda: len(people.messages) > 1)
    assert [event for event, _ in logged if event != "notify.sent"] == ["notify.state_failed"] * 2


def test_without_settings_there_is_no_thread(tmp_path: Path) -> None:
    before = set(threading.enumerate())
    desk = Desk(tmp_path)
    desk.look(HELD)
    assert set(threading.enumerate()) == before and not list(tmp_path.iterdir())


# --- the heartbeat ------------------------------------------------------------------------------------------------


def test_the_heartbeat_beats_while_all_is_well_and_only_then(people: Receiver) -> None:
    beat = Heartbeat(f"http://127.0.0.1:{people.port}/{SECRET}", first_at=60, period_seconds=60)
    for now in range(0, 60, 2):
        beat.look(ok=True, now=now)
    beat.look(ok=False, now=60)
    beat.look(ok=True, now=62)
    wait_for("the first beat", lambda: len(people.paths) == 1)
    for now in range(64, 120, 2):
        beat.look(ok=True, now=now)
    beat.look(ok=False, now=130)
    beat.look(ok=False, now=400)
    assert len(people.paths) == 1
    beat.look(ok=True, now=402)
    wait_for("the second beat", lambda: len(people.paths) == 2)
    beat.look(ok=True, now=404)
    beat.look(ok=True, now=440)
    wait_for("the third beat", lambda: len(people.paths) == 3)
    assert set(people.paths) == {f"/{SECRET}"}


def test_a_heartbeat_that_fails_is_logged_once_and_its_recovery(people: Receiver, logged: list[Any]) -> None:
    people.status = 404
    beat = Heartbeat(f"http://127.0.0.1:{people.port}/{SECRET}", first_at=0, period_seconds=60)
    beat.look(ok=True, now=60)
    wait_for("a beat", lambda: len(people.paths) == 1)
    beat.look(ok=True, now=120)
    wait_for("another", lambda: len(people.paths) == 2)
    wait_for("the log", lambda: logged)
    people.status = 200
    beat.look(ok=True, now=200)
    wait_for("the recovery", lambda: len(logged) == 2)
    assert logged == [("heartbeat.failed", {"why": "HTTP 404"}), ("heartbeat.recovered", {})]


def test_a_ping_says_why_it_failed_without_the_address(people: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert ping(f"http://127.0.0.1:{port}/{SECRET}") == os.strerror(111)
    monkeypatch.setattr(heartbeat, "ANSWER_SECONDS", 0.2)
    people.gate.clear()
    assert ping(f"http://127.0.0.1:{people.port}/{SECRET}") == "TimeoutError"
    people.gate.set()
    for url in (
        f"http://127.0.0.1:{SECRET}/",
        f"http://{SECRET}..invalid/",
        f"http://[{SECRET}/",
        f"nothing://{SECRET}",
    ):
        assert ping(url) and SECRET not in ping(url)


# --- Apprise --------------------------------------------------------------------------------------------------------


def test_apprise_is_asked_in_this_thread_and_says_no_more_than_a_number(
    people: Receiver, records: list[str], capfd: pytest.CaptureFixture[str]
) -> None:
    before, descriptors = set(threading.enumerate()), open_fds()
    service = AppriseService(f"json://me:{SECRET}@127.0.0.1:{people.port}/{SECRET}?+Authorization={SECRET}")
    assert service.send("a title", "a <b>body</b>", is_bad=False) == ""
    assert people.messages == [people.messages[0] | {"title": "a title", "message": "a <b>body</b>", "type": "success"}]
    for status, reason in ((401, "HTTP 401"), (500, "HTTP 500")):
        people.status = status
        assert service.send("a title", "a body", is_bad=True) == reason
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    assert AppriseService(f"json://127.0.0.1:{port}/{SECRET}").send("a", "b", is_bad=True) == "it cannot be reached"
    with pytest.raises(Unusable) as raised:
        AppriseService(f"json://{SECRET}:{SECRET}@")
    assert SECRET not in str(raised.getrepr(chain=True))
    assert SECRET not in str(records) and SECRET not in "".join(capfd.readouterr())
    assert set(threading.enumerate()) <= before | {
        one for one in threading.enumerate() if one.name.startswith("Thread-")
    }
    assert open_fds() == descriptors


def test_apprise_understands_every_address_of_the_manual() -> None:
    manual = (HOME / "docs" / "operation.md").read_text(encoding="utf-8")
    rows = manual.partition("| Recipient |")[2].partition("\n\n")[0].splitlines()[2:]
    addresses = [one for row in rows for one in re.findall(r"`(\w+://[^`]+)`", row.split(" | ")[1])]
    assert len(addresses) == 6
    for address in addresses:
        url = address
        for name, value in {
            "BOT-TOKEN": f"123456789:{'A' * 35}",
            "CHAT-ID": "12345",
            "SMTP-HOST": "smtp.example.org",
            "HOST": "example.org",
            "USER": "me%40example.org",
            "FROM": "me@example.org",
            "=TO": "=you@example.org",
            "/A/B/C": f"/T1JJ3T3L2/A1BRTD4JD/{'T' * 24}",
        }.items():
            url = url.replace(name, value)
        AppriseService(url)


def test_an_error_in_a_plugin_shows_its_kind_alone(
    people: Receiver,
    monkeypatch: pytest.MonkeyPatch,
    records: list[str],
    capfd: pytest.CaptureFixture[str],
) -> None:
    import apprise  # noqa: PLC0415

    def fail(*_: object, **__: object) -> bool:
        for name in ("apprise", "urllib3.connectionpool", "requests"):
            logging.getLogger(name).error("retrying https://example.org/%s", SECRET)
        raise RuntimeError(f"https://example.org/{SECRET}")

    service = AppriseService(f"json://127.0.0.1:{people.port}/{SECRET}")
    monkeypatch.setattr("apprise.plugins.custom_json.NotifyJSON.send", fail)
    assert service.send("a", "b", is_bad=True) == "it was not accepted"
    monkeypatch.setattr(apprise.Apprise, "notify", fail)
    assert service.send("a", "b", is_bad=True) == "RuntimeError in Apprise"
    assert SECRET not in str(records) and SECRET not in "".join(capfd.readouterr())


def test_check_names_each_address_and_sends_only_when_asked_to(people: Receiver) -> None:
    given = {
        "notify": options(
            f"json://127.0.0.1:{people.port}/{SECRET}",
            f"nosuchthing://{SECRET}",
            heartbeat_url=f"http://127.0.0.1:{people.port}/beat{SECRET}",
        )
    }
    (fault,) = checking.faults(check, given)
    assert fault.startswith("notify.urls, number 2 (nosuchthing://…): Apprise does not understand this address")
    assert not people.paths
    tried = Checklist()
    send_test(given, tried)
    said = [one.what for one in tried.results if one.verdict == "ok"]
    faults = [one.what for one in tried.results if one.verdict == "failed"]
    assert people.titles == [f"desk: {TEST}"]
    assert len(faults) == 1 and "number 2" in faults[0] and "not accepted" in faults[0]
    assert said == [
        f"notify.urls, number 1 (json://…127.0.0.1:{people.port}…): accepted the test message",
        "notify.heartbeat_url: answered",
    ]
    people.status = 403
    tried = Checklist()
    send_test(given, tried)
    faults = [one.what for one in tried.results]
    assert [fault.rpartition(": ")[2] for fault in faults] == [
        "HTTP 403",
        "Apprise does not understand this address",
        "HTTP 403",
    ]
    assert SECRET not in str(faults) and tried.count("ok") == 0
    assert "nobody to tell" in str(checking.faults(send_test, {"notify": options()}))


def test_health_imports_apprise_for_urls_alone() -> None:
    import subprocess  # noqa: PLC0415
    import sys  # noqa: PLC0415

    code = "import sys, health.server; print(sorted({'apprise', 'requests', 'urllib.request'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.strip() == "[]", done.stdout
