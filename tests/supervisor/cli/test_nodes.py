"""`nodes`, and what a node refuses: bin/run with settings of an origin, of a node and of neither."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any

import pytest

from supervisor import cli
from supervisor.cli import client
from supervisor.cli.belonging import REASONS
from supervisor.cli.check import _check_journal as journal_check
from supervisor.cli.nodes import NO_NODES, describe
from supervisor.cli.parser import COMMANDS
from supervisor.cli.status import plain
from supervisor.settings import load
from tests import checking
from tests.health.snapshots import NODE, OF_NODE, OF_ORIGINS, ORIGIN, body_of, snapshot
from tests.workers.desk import Desk
from tests.workers.sources.test_guests import host

SECRETS = ("the-bucket-secret", "the-project-secret")
SERVICES = """
[storage]
backend = "r2"
endpoint = "https://acc.example.org"
bucket = "pictures"
access_key_id = "id"
secret_access_key = "the-bucket-secret"
public_url = "https://p.example.org"
prefix = "a/b"
[catalog]
backend = "supabase"
url = "https://x.example.org"
key = "the-project-secret"
"""
NODE_KEY = {"PICTUREDESK__MACHINES__ROLE": "node", "PICTUREDESK__CATALOG__KEY": "its-own"}


@pytest.fixture
def configure(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    def configure(role: str, more: str = "") -> Path:
        file = tmp_path / "config.toml"
        file.write_text(f'state_dir = "state"\n{SERVICES}\n[machines]\nrole = "{role}"\n{more}\n')
        monkeypatch.setenv("PICTUREDESK_CONFIG", str(file))
        return file

    return configure


def test_what_is_printed_makes_a_node(configure: Any, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = configure("origin", 'wire_bucket = "wire"')
    assert cli.main(["nodes", "--join"], None) == 0
    said = capsys.readouterr()
    assert "is a secret" in said.err and not any(one in said.err for one in SECRETS)
    (line,) = said.out.splitlines()
    name, _, word = line.partition("=")
    node = load(None, {**NODE_KEY, name: word}, tmp_path / "elsewhere", tmp_path / "home")
    origin = load(file, {}, tmp_path, tmp_path)
    assert node.storage == origin.storage
    assert node.catalog == dataclasses.replace(origin.catalog, key="its-own")
    assert node.machines.wire_bucket == "wire"
    assert SECRETS[1] not in json.dumps(word) and not any(one in str(node) for one in SECRETS)
    assert cli.main(["nodes", "--join", "--json"], None) == 0
    assert json.loads(capsys.readouterr().out) == {name: word}


@pytest.mark.parametrize(
    ("role", "words", "said"),
    [
        ("node", ["nodes", "--join"], "run this at an origin"),
        ("node", ["nodes"], "run this at an origin"),
        ("all", ["nodes", "--join"], 'Set it to "origin"'),
        ("origin", ["nodes"], "nothing is running"),
    ],
)
def test_who_has_no_nodes(
    configure: Any, capsys: pytest.CaptureFixture[str], role: str, words: list[str], said: str
) -> None:
    configure(role)
    assert cli.main(words, None) == 1
    assert said in capsys.readouterr().err


def test_what_is_listed(configure: Any, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    configure("origin")
    body = body_of(snapshot(machines=ORIGIN, reports=OF_ORIGINS))
    monkeypatch.setattr(client, "get_status", lambda _: body)
    assert cli.main(["nodes"], None) == 0
    header, row, waiting, own = capsys.readouterr().out.splitlines()
    assert header.split()[0] == "node" and row.split()[:5] == ["beta", "1.2.3", "4", "2", "81.2"]
    assert row.endswith("the bucket is away")
    assert waiting == "pictures that wait for a node, of all origins: 2 live and 0 backfill"
    assert own == "of this origin: 7 handed over and not finished; results to be read: 1; workers needed on nodes: 9"
    assert cli.main(["nodes", "--json"], None) == 0
    assert json.loads(capsys.readouterr().out) == {**NODE, "rate_per_minute": 81.2, "last_seen_seconds": 1.2}
    body["machines"] = None
    assert cli.main(["nodes"], None) == 1
    assert "no origin yet" in capsys.readouterr().err


def test_no_nodes_and_no_answer() -> None:
    machines = {
        "nodes": [],
        "queues": [],
        "outstanding": 0,
        "results_waiting": 0,
        "needed_workers": 0,
        "error": "HTTP 503",
    }
    first, second, _, last = describe(machines)
    assert (first, last) == (NO_NODES, "! HTTP 503") and second.endswith("all origins: unknown")


def test_status_has_a_line() -> None:
    origin = plain.describe(body_of(snapshot(machines=ORIGIN, reports=OF_ORIGINS)))
    assert "nodes: 1 with 4 workers, 2 pictures wait, 7 outstanding, needed workers 9" in origin
    node = plain.describe(body_of(snapshot(machines={"role": "node"}, reports={"machines": OF_NODE})))
    assert "node: beta-aa00, 2 pictures in hand, has worked for 1 origin" in node
    assert not [line for line in plain.describe(body_of(snapshot())) if line.startswith("node")]


ARGUMENTS = {
    **{"import": ["import", "x"], "hide": ["hide", "https://t.me/x/1"], "unhide": ["unhide", "https://t.me/x/1"]},
    **{
        "block": ["block"],
        "gc": ["gc"],
        "republish": ["republish", "--rows"],
        "login": ["login"],
        "retry": ["retry", "1"],
    },
}


@pytest.mark.parametrize("command", REASONS)
def test_a_node_refuses_what_belongs_to_its_origin(
    configure: Any, capsys: pytest.CaptureFixture[str], command: str
) -> None:
    configure("node")
    assert cli.main(ARGUMENTS[command], None) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith(f"picturedesk: {command}: this machine is a node") and REASONS[command] in line


def test_what_is_refused_are_commands() -> None:
    assert REASONS.keys() <= {command.name for command in COMMANDS}


def test_check_warns_of_a_node_in_the_folder_of_another_machine(configure: Any, tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    desk = Desk(tmp_path / "state")
    try:
        node, origin = (load(configure(role), {}, tmp_path, tmp_path) for role in ("node", "origin"))
        host(desk, 1)
        assert checking.faults(journal_check, node) == [], "a guest is none of its own"
        desk.fetch(2)
        (line,) = checking.faults(journal_check, node)
        assert line.startswith("warning: ") and "the journal has 1 pictures" in line and "state_dir of its own" in line
        assert checking.faults(journal_check, origin) == []
    finally:
        desk.close()
