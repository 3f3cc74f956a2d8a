"""Every problem of /status has a section in docs/problems.md, and a test whose fault makes a real tree tell of it."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

CHECKOUT = Path(__file__).parents[2]
PAGE = CHECKOUT / "docs" / "problems.md"
PARTS = ["Means", "See", "Do"]


def calls(folder: Path, name: str) -> Iterator[ast.Call]:
    """Every call of a function or class of that name in the modules below the folder."""
    for path in folder.rglob("*.py"):
        if "node_modules" in path.parts:
            continue
        source = path.read_text(encoding="utf-8")
        for node in ast.walk(ast.parse(source)) if f"{name}(" in source else ():
            if isinstance(node, ast.Call) and name == getattr(node.func, "attr", getattr(node.func, "id", "")):
                yield node


def texts(nodes: list[ast.expr]) -> list[str]:
    """Literal texts: an id that is put together could not be found here."""
    values = [ast.literal_eval(node) for node in nodes]
    assert all(isinstance(value, str) for value in values)
    return values


def ids_of_the_code() -> set[str]:
    found = {id for call in calls(CHECKOUT / "health" / "problems", "Problem") for id in texts(call.args[:1])}
    assert len(found) > 20, "they are looked for in the wrong place"
    return found


def test_every_problem_has_a_section_and_every_section_a_problem() -> None:
    sections = re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]
    ids = [section.partition("\n")[0] for section in sections]
    assert sorted(ids) == sorted(ids_of_the_code())
    for id, section in zip(ids, sections, strict=True):
        assert re.findall(r"^- \*\*(\w+):\*\* \S", section, re.MULTILINE) == PARTS, id


def test_every_problem_is_reached_by_a_fault_of_the_tests() -> None:
    """The mark names them. A test that passes has kept what its mark says: see `pytest_runtest_call` (conftest.py)."""
    assert {id for call in calls(CHECKOUT / "tests", "reaches") for id in texts(call.args)} == ids_of_the_code()
