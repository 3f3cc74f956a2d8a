"""`bin/run why`: where a post is, what it waits for and what to do, for every state, with and without an instance."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipc import editing
from ipc.intake import take, withdraw
from ipc.jobs import Job, State
from ipc.journal import Journal, breakers, lookup, peers, statistics, transitions
from ipc.journal.outputs import takedowns
from ipc.text import post_address
from supervisor.cli import why
from supervisor.cli.exit_codes import ExitCode
from supervisor.cli.why import findings, report
from supervisor.cli.why.answers import Explanation, Instance, answer
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings
from tests.instance import Instance as Run
from tests.instance import wait_for
from tests.ipc.builders import CHANNEL, NO_RETRY, NOW, RETRY, again, open_journal, page, post, put, put_in
from tests.ipc.tables import sql
from tests.pictures import CHANNEL as EXPORTED
from tests.pictures import make_export

STOPPED = Instance(is_running=False)
SETTINGS = Settings()
LIVE = replace(SETTINGS, telegram=replace(SETTINGS.telegram, api_id=1, channels=("@news",)))


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = open_journal(None)
    yield journal
    journal.close()


def running(**more: Any) -> Instance:
    """One in which all is well, unless said otherwise."""
    tree = [{"name": name, "state": "running"} for name in ("root", "connection", "pool", "uploader")]
    row = {"id": CHANNEL, "address": "@news", "state": "read", "behind": 0, "problem": "", "remedy": ""}
    body = {"problems": [], "tree": tree, "channels": [row], "stats": {"source": {}}}
    return Instance(is_running=True, status={**body, **more})


def problem(number: str, what: str) -> dict[str, str]:
    return {"id": number, "what": what, "remedy": "Do"}


def asked(
    journal: Journal, instance: Instance, message: int = 1, settings: Settings = SETTINGS, channel: str = str(CHANNEL)
) -> Explanation:
    finding = findings.find(journal, settings, post_address.of(channel, str(message)))
    return answer(finding, instance, NOW)


def waits(found: Explanation) -> list[tuple[str, str]]:
    return [(one.what, one.remedy) for one in found.waits_for]


# --- a post that is there -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("state", "expected"),
    [
        ("seen", "recorded; its original is to be fetched"),
        ("fetched", "its original is in the spool; its renditions are to be made"),
        ("rendered", "its renditions are in the spool; its objects are to be put into the storage"),
        ("stored", "its objects are in the storage; its row is to be written"),
    ],
)
def test_one_on_its_way_waits_for_its_turn(state: str, expected: str, journal: Journal) -> None:
    put_in(journal, state)
    found = asked(journal, running())
    assert (found.what, waits(found)) == (expected, [("its turn: it is the next", "")])
    put_in(journal, state, put(journal, 2))
    assert waits(asked(journal, running(), 2)) == [("its turn: 1 before it", "")]
    assert waits(asked(journal, STOPPED, 2))[0] == ("the program does not run", "Start it with bin/run")


def test_one_that_is_handed_over_is_with_another_machine(journal: Journal) -> None:
    job = put_in(journal, "fetched")
    assert transitions.claim_for_machines(journal, [job]) == 1
    (found,) = waits(asked(journal, running()))
    assert found[0].startswith("another machine: it is handed over since 2027-01-15T08:00:0")
    assert found[0].endswith("Z (bin/run nodes shows which there are)")


def test_one_that_is_published_or_gone(journal: Journal) -> None:
    put(journal, 1, "published")
    assert asked(journal, STOPPED) == Explanation("published", "published 2027-01-15T08:00:00Z")
    withdraw(journal, CHANNEL, [1], NOW)
    assert asked(journal, running()).state == "rendered"
    (row,) = journal.run("known_message", channel_id=CHANNEL, message_id=1)
    with journal.transaction():
        sql(journal, "UPDATE jobs SET state = 'published' WHERE id = ?", row["id"])
    assert "its row is a tombstone" in asked(journal, running()).what


def test_one_that_is_hidden_and_taken_down(journal: Journal) -> None:
    job = put(journal, 1, "published")
    with journal.transaction():
        transitions.hide(journal, job, "operator", NOW)
    assert transitions.record_published(journal, [found_job(journal)])
    waiting = asked(journal, running())
    assert waiting.what.endswith(
        "by bin/run hide; its objects are deleted when storage.takedown_after_seconds has passed"
    )
    assert transitions.take_down(journal, found_job(journal))
    assert asked(journal, running()).what.endswith("; its objects are being deleted")
    takedowns.end(journal, "5ha", again_at=NOW, is_removed=True)
    found = asked(journal, running())
    assert "; taken down since 2027-01-15T08:00:00Z: its objects are deleted, but for those" in found.what
    assert found.remedy == "bin/run unhide shows it"


def test_one_that_webhooks_are_still_to_be_told_of(journal: Journal) -> None:
    put(journal, 1, "published")
    for name, error in (("hook", "it answered 404"), ("other", "")):
        insert = "INSERT INTO webhooks (name, kind, label, token, error) VALUES (?1, 'events', ?1, '', ?2)"
        sql(journal, insert, name, error)
        journal.run("add_delivery", name=name, change=1, channel_id=CHANNEL, message_id=1, what="published", at=1)
    assert waits(asked(journal, STOPPED)) == [
        ("hook, which has still to be told of it: it answered 404", ""),
        ("other, which has still to be told of it", ""),
    ]


def found_job(journal: Journal) -> Job:
    job = lookup.known(journal, CHANNEL, 1)
    assert job
    return job


def test_a_dead_letter_says_why_and_how_it_comes_back(journal: Journal) -> None:
    job = put(journal)
    assert transitions.fail(journal, job, "no such file", NO_RETRY) == "dead"
    found = asked(journal, STOPPED)
    assert found.what == "a dead letter, from seen after 1 attempt: no such file (after 1 attempts)"
    assert found.remedy == "bin/run retry 1 brings it back, once the reason is gone"
    poison = put(journal, 2, "fetched")
    assert transitions.bury(journal, poison, "hung", cause="poison")
    assert "killed its workers" in asked(journal, STOPPED, 2).remedy
    blocked = put(journal, 3, "fetched")
    assert editing.block(journal, blocked.sha256 or "", NOW).stopped == 1
    assert asked(journal, STOPPED, 3).remedy == f"bin/run block --remove {blocked.sha256} lets it in"


def test_one_that_is_put_off_says_until_when_and_why(journal: Journal) -> None:
    job = put(journal)
    transitions.fail(journal, job, "silence", RETRY)
    ((what, _),) = waits(asked(journal, running()))
    assert what.startswith("its next attempt, 2027-01-15T08:0") and what.endswith("after 1 failed): silence")
    with journal.transaction():
        sql(journal, "UPDATE jobs SET next_at = ?", NOW - 1)
    assert waits(asked(journal, running())) == [("its turn: the time of its next attempt has come", "")]


def test_one_in_hand(journal: Journal) -> None:
    put_in(journal, "claimed")
    assert waits(asked(journal, running())) == [("image-1, which has it in hand", "")]


@pytest.mark.parametrize(("state", "service"), [("rendered", "storage"), ("stored", "catalog")])
def test_a_breaker_that_is_open_is_named_with_its_remedy(state: str, service: str, journal: Journal) -> None:
    put_in(journal, state)
    breakers.put(journal, service, NOW - 60, NOW + 60, "HTTP 503", "Wait")
    name = {"catalog": "catalogue"}.get(service, service)
    what = f"the {name}, which has failed since 2027-01-15T07:59:00Z and is asked again 2027-01-15T08:01:00Z: HTTP 503"
    assert waits(asked(journal, running()))[0] == (what, "Wait")


@pytest.mark.parametrize(
    ("state", "more", "expected"),
    [
        (
            "seen",
            {"problems": [{"id": "source.not_connected", "what": "no line", "remedy": "Wait"}]},
            ("no line", "Wait"),
        ),
        (
            "fetched",
            {"problems": [{"id": "child.held", "subject": "child pool", "what": "It is held", "remedy": "Do"}]},
            ("It is held", "Do"),
        ),
        ("fetched", {"tree": [{"name": "pool", "state": "stopped"}]}, ("pool, which is stopped", "")),
        (
            "seen",
            {"stats": {"source": {"flooded_until": "12:00"}}},
            ("Telegram, which wants no more requests until 12:00", ""),
        ),
        (
            "seen",
            {"stats": {"source": {"spool_full": True}}},
            ("room in the spool: the pictures in it go first (backpressure)", ""),
        ),
        (
            "seen",
            {"channels": [{"id": CHANNEL, "problem": "it is private", "remedy": "Join"}]},
            ("its channel, which is not read: it is private", "Join"),
        ),
    ],
)
def test_what_is_in_its_way(state: State, more: dict[str, Any], expected: tuple[str, str], journal: Journal) -> None:
    put(journal, 1, state)
    assert waits(asked(journal, running(**more)))[0] == expected
    other: State = "rendered"
    put(journal, 2, other)
    assert expected not in waits(asked(journal, running(**more), 2)), "which is in the way of others only"


# --- a post that is not there -------------------------------------------------------------------------------


def test_a_channel_that_was_never_read(journal: Journal) -> None:
    assert asked(journal, STOPPED).state == "not configured"
    live = asked(journal, running(), settings=LIVE, channel="@other")
    assert (live.state, live.remedy) == ("not configured", "Add it to telegram.channels, and run bin/run reload")
    assert asked(journal, STOPPED, settings=LIVE, channel="@news").remedy == "Start it with bin/run"
    row = {"id": None, "address": "@news", "problem": "there is none", "remedy": "Correct the name"}
    found = asked(journal, running(channels=[row]), settings=LIVE, channel="@news")
    assert (found.what, found.remedy) == ("its channel is not read: there is none", "Correct the name")


def test_a_message_without_a_picture_and_those_that_were_not_looked_at(journal: Journal) -> None:
    peers.put(journal, "name:news", 7, CHANNEL, 1)
    take(journal, page(post(12), low=10, high=20, ignored={"text": 10}), NOW)
    for settings in (SETTINGS, LIVE):
        found = asked(journal, running(), 15, settings)
        assert found.state == "no picture" and "10 text" in found.what
        assert asked(journal, running(), 9, settings).state == "below floor"
        assert asked(journal, running(), 21, settings).state == "not read yet"
    assert "bin/run import" in asked(journal, running(), 21).remedy
    assert asked(journal, running(), 21, LIVE).what.endswith("it is not posted yet")
    assert "BACKFILL_ON_START" in asked(journal, running(), 9, LIVE, "@News").remedy
    assert asked(journal, STOPPED, 21, LIVE).remedy == "Start it with bin/run"
    behind = running(channels=[{"id": CHANNEL, "behind": 5, "problem": ""}])
    assert asked(journal, behind, 21, LIVE).what.endswith("5 newer ones are about to be read")
    flood = problem("telegram.flood", "Telegram wants a pause")
    assert asked(journal, running(problems=[flood]), 21, LIVE).remedy == "Do"


def test_a_channel_that_is_configured_no_more(journal: Journal) -> None:
    take(journal, page(post(12), low=10, high=20), NOW)
    elsewhere = replace(LIVE, telegram=replace(LIVE.telegram, channels=("@other",)))
    assert asked(journal, running(), 21, elsewhere).state == "not configured"
    assert asked(journal, running(), 15, elsewhere).state == "no picture"
    by_id = replace(LIVE, telegram=replace(LIVE.telegram, channels=(str(CHANNEL),)))
    assert asked(journal, running(), 21, by_id).state == "not read yet"


# --- the command --------------------------------------------------------------------------------------------


def test_what_is_printed(journal: Journal) -> None:
    job = put_in(journal, "claimed")
    finding = findings.find(journal, SETTINGS, post_address.of(str(CHANNEL), "1"))
    found = answer(finding, running(), NOW)
    said = report.lines(finding, found)
    assert said[0] == "https://t.me/c/42/1: message 1 of 'Test'"
    assert said[2:5] == [
        "2027-01-15T08:00:00Z  connection  seen: recorded, with its channel's cursor",
        "2027-01-15T08:00:00Z  connection  fetched: the original is in the spool",
        "2027-01-15T08:00:00Z  image-1     given to an image worker",
    ]
    assert said[-1] == "  waits for: image-1, which has it in hand"
    document = json.loads(json.dumps(report.document(finding, found)))
    assert document["life"][-1] == {"at": "2027-01-15T08:00:00Z", "step": "claimed", "process": "image-1"}
    assert (document["job"], document["state"], document["channel"]["cursor"]) == (job.id, "fetched", 1)
    assert again(journal, job) == job


def test_wrong_usage_and_nothing_to_look_into(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    settings = Settings(state_dir=tmp_path)
    assert why.run(settings, "https://t.me/news", None, as_json=False) == ExitCode.USAGE
    assert "names no post" in capsys.readouterr().err
    with pytest.raises(CommandFailed, match="no journal yet"):
        why.run(settings, "@news", "7", as_json=False)


@pytest.mark.tree
def test_with_and_without_a_running_instance(tmp_path: Path, make_instance: Any) -> None:
    instance: Run = make_instance(make_export(tmp_path / "export", 1))
    instance.start()
    instance.wait_until_running()
    words = ("why", str(-(10**12) - EXPORTED), "1", "--json")
    wait_for("its row", lambda: json.loads(instance.answer(*words).stdout)["state"] == "published")
    os.kill(instance.pids()["image-1"], signal.SIGKILL)
    with closing(Journal.open_to_read(instance.state_dir / "journal.db")) as journal:
        wait_for("the count of its end", lambda: ("image-1", "signalled") in statistics.restarts(journal))
    assert instance.stop() == 0
    done = instance.command("why", f"https://t.me/c/{EXPORTED}/1")
    assert done.returncode == 0, done.stderr
    for part in ("connection  seen", "connection  fetched", "  rendered: all", "uploader    published: the row"):
        assert part in done.stdout
