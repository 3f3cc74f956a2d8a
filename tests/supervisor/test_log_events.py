"""The list of the log's events: what the code logs is in it, field by field, and nothing else is."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from supervisor.log_events import EVENTS, FIELDS

CHECKOUT = Path(__file__).parents[2]
LEVELS = {"debug", "info", "warning", "error", "critical", "exception"}
BESIDES = {"exc_info", "text"}
"""Keywords that are no fields: what structlog makes a traceback of, and the text of what comes from elsewhere."""


class Record(NamedTuple):
    where: str
    event: str | None  # None: not a literal
    fields: frozenset[str | None]  # None: fields whose names are not in the code


def is_logger(node: ast.expr) -> bool:
    match node:
        case ast.Name(id="log") | ast.Attribute(attr="log" | "_log"):
            return True
        case ast.Call(func=ast.Attribute(attr="get_logger" | "bind")):
            return True
    return False


def records(file: Path) -> Iterator[Record]:
    for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
        if not (isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and is_logger(node.func.value)):
            continue
        if node.func.attr == "log":
            event = node.args[1]
        elif node.func.attr in LEVELS:
            event = node.args[0]
        else:
            continue
        literal = event.value if isinstance(event, ast.Constant) and isinstance(event.value, str) else None
        where = f"{file.relative_to(CHECKOUT)}:{node.lineno}"
        yield Record(where, literal, frozenset(keyword.arg for keyword in node.keywords) - BESIDES)


ROOMS = sorted(
    {file.parent for room in ("supervisor", "workers", "ipc", "health") for file in (CHECKOUT / room).rglob("*.py")}
)


@pytest.mark.parametrize("room", ROOMS, ids=lambda room: str(room.relative_to(CHECKOUT)))
def test_what_a_room_logs_is_in_the_list(room: Path) -> None:
    for file in room.glob("*.py"):
        for record in records(file):
            assert record.event is not None, f"{record.where}: the event's id is no literal"
            assert record.event in EVENTS, f"{record.where}: {record.event!r} is not in the list"
            unknown = record.fields - set(EVENTS[record.event].fields.split()) - {None}
            assert not unknown, f"{record.where}: {record.event} has no fields {unknown}"


def test_what_is_in_the_list_is_logged() -> None:
    logged = [record for room in ROOMS for file in room.glob("*.py") for record in records(file)]
    assert EVENTS.keys() - {record.event for record in logged} == {"log.resumed"}, "written by supervisor.logs itself"
    used = {(record.event, field) for record in logged for field in record.fields}
    dynamic = {record.event for record in logged if None in record.fields}
    listed = {
        (event, field) for event, (_, fields) in EVENTS.items() for field in fields.split() if event not in dynamic
    }
    assert listed - used == {("log.resumed", "records")}


def test_the_list_is_well_formed() -> None:
    for event, (text, fields) in EVENTS.items():
        assert re.fullmatch(r"[a-z]+(_[a-z]+)*\.[a-z]+(_[a-z]+)*", event), event
        assert not fields or set(fields.split()) <= FIELDS.keys(), event
        assert len(event) <= 48, f"{event}: too long to be kept when its record is cut"
        assert len(text) <= 120 and not text.endswith("."), event
    assert FIELDS.keys() == {field for _, fields in EVENTS.values() for field in fields.split()}
    assert list(EVENTS) == sorted(EVENTS) and list(FIELDS) == sorted(FIELDS)


def test_tests_and_benchmarks_look_for_events_that_there_are() -> None:
    pattern = re.compile(r"\.(?:events|wait_for_events|said)\(\"([^\"]+)\"")
    files = [file for room in ("tests", "benchmarks") for file in (CHECKOUT / room).rglob("*.py")]
    sought = {found for file in files for found in pattern.findall(file.read_text(encoding="utf-8"))}
    assert sought and sought <= EVENTS.keys()
