"""What the commands print: names and reasons of others steer no terminal and forge no line."""

from __future__ import annotations

import ast
import json
from pathlib import Path
from typing import Any

import pytest

from ipc.journal import Journal, transitions
from ipc.text.printable import printable
from supervisor.cli import dead_letters, terminal
from supervisor.cli.status import plain
from supervisor.settings import Settings
from tests.instance import HOME
from tests.ipc.builders import put

HOSTILE = "\x1b]0;owned\x07 \x1b[2J \x9b2J \u202egnp.exe \u2066 \u2028\r\nok\x00 \ud83d"
MODULES = sorted((HOME / "supervisor/cli").rglob("*.py"))


def writes(module: Path) -> list[str]:
    """Where a module writes to standard output or standard error by itself."""
    found = []
    for node in ast.walk(ast.parse(module.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            base = ast.unparse(node.func.value) if isinstance(node.func, ast.Attribute) else ""
            if name == "print" or (attribute in ("write", "writelines") and base not in ("terminal", "file")):
                found.append(f"{module.name}:{node.lineno}: {ast.unparse(node)}")
    return found


@pytest.mark.parametrize("module", [one for one in MODULES if one.name != "terminal.py"], ids=lambda one: one.name)
def test_all_that_is_printed_goes_through_one_door(module: Path) -> None:
    assert writes(module) == [], "say it with supervisor.cli.terminal"


def test_the_look_for_other_doors_finds_them(tmp_path: Path) -> None:
    (module := tmp_path / "one.py").write_text("print(1)\nsys.stdout.write('')\nos.write(1, b'')\nterminal.write('')\n")
    assert [line.split(": ")[1][:9] for line in writes(module)] == ["print(1)", "sys.stdou", "os.write("]


def test_a_line_stays_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(f"a {HOSTILE}", "b")
    terminal.complain("check", HOSTILE)
    terminal.say_json({HOSTILE: [HOSTILE]}, indent=None)
    out, err = capsys.readouterr()
    assert out == "".join(f"{printable(line)}\n" for line in out[:-1].split("\n")) and out.count("\n") == 3
    assert json.loads(out.splitlines()[2]) == {HOSTILE: [HOSTILE]}
    assert err == f"{printable(f'picturedesk: check: {HOSTILE}')}\n"


def body() -> dict[str, Any]:
    """A /status in which every text is hostile."""
    row = {"name": HOSTILE, "state": HOSTILE, "restarts": 1, "pid": 2}
    stats = dict.fromkeys(("processed", "queue_size", "dead", "failed", "retried", "connected", "waiting_for_retry"), 0)
    stats |= {"renewing": 1, "not_renewed": 1}
    return {
        "ok": False,
        "problems": [{"what": HOSTILE, "since": HOSTILE, "remedy": HOSTILE}],
        "stats": {**stats, "r2_circuit_breaker": HOSTILE, "supabase_circuit_breaker": "", "last_error": HOSTILE},
        "tree": [row, row],
        "channels": [
            {"id": None, "address": HOSTILE, "problem": HOSTILE},
            {"id": 1, "title": HOSTILE, "cursor": 1, "behind": 0, "problem": HOSTILE},
        ],
    }


def test_status_has_as_many_lines_as_for_good_names(capsys: pytest.CaptureFixture[str]) -> None:
    terminal.say(*plain.describe(body()))
    said = capsys.readouterr().out
    good = json.loads(json.dumps(body()).replace(json.dumps(HOSTILE)[1:-1], "good"))
    assert said.count("\n") == len(plain.describe(good))
    assert all(printable(line) == line for line in said.split("\n"))
    header, *rows = [line for line in said.split("\n") if "  pid  " in line or "  2  " in line]
    assert len(rows) == 2 and {row.index("  2  ") for row in rows} == {header.index("  pid  ")}, "in columns still"


@pytest.mark.parametrize("as_json", [False, True])
def test_dead_letters(as_json: bool, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    journal = Journal.open(tmp_path / "journal.db")
    transitions.bury(journal, put(journal), HOSTILE.replace("\ud83d", ""))
    journal.close()
    dead_letters.show(Settings(state_dir=tmp_path), as_json=as_json)
    said = capsys.readouterr().out
    assert all(printable(line) == line for line in said.split("\n")) and "\\u202e" in said
    assert said.count("\n") == (1 if as_json else 2)
