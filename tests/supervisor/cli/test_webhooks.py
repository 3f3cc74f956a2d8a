"""`dead --webhooks`, `retry --webhooks` and the parts of `schema`, as a user runs them."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from ipc.journal import Journal
from ipc.journal.outputs import changes, webhooks
from tests.instance import HOME, Instance


@pytest.fixture
def instance(tmp_path: Path, make_instance: Callable[..., Instance]) -> Instance:
    """One whose webhook did not get two messages, and is gone."""
    made = make_instance(tmp_path)
    made.state_dir.mkdir()
    journal = Journal.open(made.state_dir / "journal.db", clock=lambda: 1_700_000_000.0)
    webhooks.follow(journal, "webhook:0a", "events", "webhook 1 (https://example.org…)")
    with journal.transaction():
        for number, what in ((5, "published"), (6, "deleted")):
            journal.run("note_change", channel_id=77, message_id=number, what=what, at=1_700_000_000)
    webhooks.take_over(journal, "webhook:0a", changes.after(journal, 0, 9))
    for one in webhooks.due(journal, "webhook:0a", 9):
        webhooks.bury(journal, one, 6, "it answered 400 (Bad Request)")
    webhooks.note_gone(journal, "webhook:0a", "it answered 410 (Gone)")
    journal.close()
    return made


def test_dead_messages_are_listed_and_brought_back(instance: Instance) -> None:
    plain = instance.answer("dead")
    assert plain.stdout.splitlines() == [
        "Webhooks did not get 2 messages: bin/run dead --webhooks lists them.",
        "No dead letters.",
    ]
    assert instance.answer("dead", "--json").stdout == ""
    listed = instance.answer("dead", "--webhooks").stdout.splitlines()
    assert listed[0].split() == ["webhook", "event", "at", "channel", "message", "attempts", "reason"]
    assert "example.org…) published 2023-11-14T22:13:20Z 77 5 6 it answered 400" in " ".join(listed[1].split())
    letters = [json.loads(line) for line in instance.answer("dead", "--webhooks", "--json").stdout.splitlines()]
    assert letters[1] == {
        **{"webhook": "webhook 1 (https://example.org…)", "event": "deleted", "at": "2023-11-14T22:13:20Z"},
        **{"channel_id": 77, "message_id": 6, "attempts": 6, "reason": "it answered 400 (Bad Request)"},
    }
    for more in (["--all"], ["5"], ["--reason", "400"]):
        refused = instance.answer("retry", "--webhooks", *more)
        assert refused.returncode == 2 and "--webhooks goes alone" in refused.stderr
    revived = instance.answer("retry", "--webhooks")
    assert (revived.returncode, revived.stdout.splitlines()) == (
        0,
        [
            "2 brought back; tried again when the program runs.",
            "webhook 1 (https://example.org…) is told of changes again.",
        ],
    )
    assert instance.answer("dead", "--webhooks").stdout == "No dead letters of webhooks.\n"
    assert instance.answer("dead").stdout == "No dead letters.\n"
    assert instance.answer("retry", "--webhooks").stdout == "0 brought back; tried again when the program runs.\n"


def test_without_a_journal_nothing_is_dead(tmp_path: Path, make_instance: Callable[..., Instance]) -> None:
    empty = make_instance(tmp_path)
    assert empty.answer("dead", "--webhooks").stdout == "No dead letters of webhooks.\n"
    assert empty.answer("retry", "--webhooks").returncode == 1


def test_the_sql_that_a_project_may_have_besides(instance: Instance) -> None:
    realtime, machines = ((HOME / f"deploy/{part}.sql").read_text() for part in ("realtime", "machines"))
    assert instance.answer("schema", "--realtime").stdout == realtime
    assert instance.answer("schema", "--machines").stdout == machines
    assert instance.answer("schema", "--machines", "--realtime").stdout == realtime + machines
    assert instance.answer("schema").stdout == (HOME / "deploy/schema.sql").read_text()
