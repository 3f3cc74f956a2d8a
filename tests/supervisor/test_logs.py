"""Logs: whatever is logged, a record is one line of at most PIPE_BUF bytes."""

from __future__ import annotations

import json
import logging
import os
import select
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import structlog
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipc.text.printable import printable
from supervisor import logs
from supervisor.log_events import EVENTS
from tests.instance import HOME

TEXTS = st.text(st.characters(), max_size=60) | st.sampled_from(
    ["x" * 5000, "\n" * 3000, "🙂" * 2000, "\x00" * 2000, "\udc80" * 2000, "a\r\nb\x1b[31m\u2028c\x85d", "", " "]
)
VALUES = st.recursive(
    TEXTS | st.integers() | st.floats() | st.none() | st.binary(max_size=9),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=3),
    max_leaves=6,
)
FIELDS = st.dictionaries(st.from_regex(r"[a-z_]{1,9}", fullmatch=True), VALUES, max_size=6)


@pytest.fixture
def written(capfdbinary: pytest.CaptureFixture[bytes]) -> Iterator[Callable[[], bytes]]:
    """Takes what has been written to standard error; afterwards logging is as it was."""
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield lambda: capfdbinary.readouterr().err
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()
    structlog.contextvars.clear_contextvars()


def one(line: bytes) -> dict[str, Any]:
    """The record of one whole line of JSON."""
    assert line.endswith(b"\n") and line.count(b"\n") == 1, line
    assert len(line) <= select.PIPE_BUF
    record: dict[str, Any] = json.loads(line, parse_constant=pytest.fail)
    return record


def fail_deeply(depth: int, before: str = "") -> None:
    if depth == 0:
        raise ValueError(f"{before}the end\nof it")
    fail_deeply(depth - 1)


# --- JSON -----------------------------------------------------------------------------------------------------


def test_a_record_has_time_level_process_and_event_first(written: Callable[[], bytes]) -> None:
    logs.configure("info", "json", "image-1")
    structlog.get_logger().info("rendered", job=7, seconds=0.5, caption="Füße 🙂")
    line = written()
    record = one(line)
    assert list(record) == ["timestamp", "level", "process", "event", "job", "seconds", "caption"]
    assert record["timestamp"].endswith("Z")
    assert {**record, "timestamp": ""} == {
        "timestamp": "",
        "level": "info",
        "process": "image-1",
        "event": "rendered",
        "job": 7,
        "seconds": 0.5,
        "caption": "Füße 🙂",
    }
    assert "Füße 🙂".encode() in line, "for people, not escaped"


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=TEXTS, fields=FIELDS)
def test_anything_is_one_line_of_json(event: str, fields: dict[str, Any], written: Callable[[], bytes]) -> None:
    logs.configure("info", "json", "root")
    taken = {"event", "level", "timestamp", "process", "exc_info", "stack_info"}
    fields = {key: value for key, value in fields.items() if key not in taken}
    structlog.get_logger().info(event, **fields)
    record = one(written())
    assert record["level"] == "info" and record["process"] == "root"
    assert record.get("cut") or fields.keys() <= record.keys()


class Unshowable:
    def __str__(self) -> str:
        raise RuntimeError("no")

    __repr__ = __str__


def circle() -> dict[str, Any]:
    it: dict[str, Any] = {}
    it["it"] = it
    return it


@pytest.mark.parametrize(
    "value",
    [{(1, 2): 3}, float("nan"), float("inf"), circle(), Unshowable(), b"\xff", {1}, Path("/a"), ValueError("x")],
)
def test_odd_values_are_logged_all_the_same(value: object, written: Callable[[], bytes]) -> None:
    for format_ in ("json", "console"):
        logs.configure("info", format_, "root")
        structlog.get_logger().info("odd", value=value)
        line = written()
        assert line.count(b"\n") == 1
        if format_ == "json":
            assert "value" in one(line)


def test_a_long_text_keeps_its_beginning_and_a_traceback_its_end(written: Callable[[], bytes]) -> None:
    logs.configure("info", "json", "root")
    try:
        fail_deeply(0, "long " * 1000)
    except ValueError:
        structlog.get_logger().exception("crashed", text="b" + "x" * 9000, short="s")
    record = one(written())
    assert record["text"].startswith("bxx") and record["text"].endswith("x…")
    assert record["exception"].endswith("long the end\nof it") and record["exception"].startswith("…")
    assert record["short"] == "s" and "cut" not in record


@pytest.mark.parametrize("text", ["🙂" * 500, "\x00" * 5000, "\U000e0041" * 500, "x" * 5000])
def test_what_does_not_fit_at_all_is_cut_to_its_event_and_text(text: str, written: Callable[[], bytes]) -> None:
    logs.configure("info", "json", text)
    structlog.get_logger().info(text, text=text, **{f"field_{number}": "y" * 700 for number in range(9)})
    record = one(written())
    assert record["cut"] is True and text.startswith(record["event"]) and text.startswith(record["text"])
    assert (len(record["process"]), len(record["event"]), len(record["text"])) == (32, 48, 180)
    assert list(record) == ["timestamp", "level", "process", "event", "text", "cut"]


def test_the_text_of_a_listed_event_follows_its_id(written: Callable[[], bytes]) -> None:
    logs.configure("info", "json", "root")
    structlog.get_logger().info("process.crashed", job=7)
    record = one(written())
    assert list(record) == ["timestamp", "level", "process", "event", "text", "job"]
    assert record["text"] == EVENTS["process.crashed"].text


@pytest.mark.parametrize("format", ["json", "console"])
def test_names_of_others_steer_no_terminal_and_forge_no_record(format: str, written: Callable[[], bytes]) -> None:
    logs.configure("info", format, "root")
    hostile = "\x1b]0;owned\x07\x9b2J\u202e\u2028\n12:00:00 error   root  forged"
    structlog.get_logger().warning(f"event {hostile}", **{f"key{hostile}": hostile, "nested": {hostile: [hostile]}})
    line = written().decode()
    assert line.endswith("\n") and len(line[:-1].splitlines()) == 1
    assert printable(line[:-1]) == line[:-1] and "\\u202e" in line
    if format == "json":
        assert json.loads(line)["nested"] == {hostile: [hostile]}


class _Odd:
    def __repr__(self) -> str:
        raise RuntimeError("no")


def test_a_librarys_record_that_does_not_fit_names_its_place(written: Callable[[], bytes]) -> None:
    logs.configure("info", "json", "root")
    logging.getLogger("some.library").warning("%d of %d", _Odd(), 2)
    record = one(written())
    assert record["text"] == "%d of %d <tuple that cannot be shown>" and record["logger"] == "some.library"
    assert record["where"].startswith(__file__) and "not as its format says" in record["why"]


# --- the console ----------------------------------------------------------------------------------------------


def test_console(written: Callable[[], bytes]) -> None:
    logs.configure("info", "console", "pool")
    structlog.get_logger().warning("job failed", job=7, reason="no good", empty="")
    text = written().decode()
    assert text[8:] == " warning pool       job failed  job=7 reason='no good' empty=''\n"
    assert text[2] == text[5] == ":"


def test_console_traceback_is_one_line(written: Callable[[], bytes]) -> None:
    logs.configure("info", "console", "pool")
    try:
        fail_deeply(1)
    except ValueError:
        structlog.get_logger().exception("crashed")
    text = written().decode()
    assert text.count("\n") == 1 and " | Traceback (most recent call last): / File" in text
    assert text.endswith("/ ValueError: the end / of it\n")


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(event=TEXTS, fields=FIELDS)
def test_anything_is_one_line_on_a_console(event: str, fields: dict[str, Any], written: Callable[[], bytes]) -> None:
    logs.configure("info", "console", "root")
    taken = {"event", "level", "timestamp", "process", "exc_info", "stack_info"}
    structlog.get_logger().info(event, **{key: value for key, value in fields.items() if key not in taken})
    line = written()
    assert len(line) <= select.PIPE_BUF and line.endswith(b"\n")
    text = line.decode()
    assert text.splitlines() == [text[:-1]] and printable(text[:-1]) == text[:-1], "nothing in it steers the terminal"


# --- levels, libraries ----------------------------------------------------------------------------------------


LEVELS = ("debug", "info", "warning", "error")


@pytest.mark.parametrize("level", LEVELS)
def test_the_level_is_the_least_that_is_shown(level: str, written: Callable[[], bytes]) -> None:
    logs.configure(level, "json", "root")
    log = structlog.get_logger()
    for name in LEVELS:
        getattr(log, name)("said")
    shown = [json.loads(line)["level"] for line in written().splitlines()]
    assert shown == list(LEVELS[LEVELS.index(level) :])


def test_records_of_libraries_are_adopted(written: Callable[[], bytes]) -> None:
    logs.configure("debug", "json", "health")
    library = logging.getLogger("some.library")
    library.info("not worth it")
    library.warning("%s of %d", "three", 7)
    record = one(written())
    assert (record["event"], record["level"]) == ("library.message", "warning")
    assert (record["text"], record["logger"]) == ("three of 7", "some.library")
    assert record["process"] == "health"
    try:
        fail_deeply(1)
    except ValueError:
        library.exception("it failed")
    record = one(written())
    assert record["level"] == "error" and "ValueError: the end" in record["exception"]


def test_the_level_holds_for_libraries_too(written: Callable[[], bytes]) -> None:
    logs.configure("error", "json", "health")
    logging.getLogger("some.library").warning("never mind")
    assert written() == b""


def test_a_library_that_logs_badly_does_not_fail_by_it(written: Callable[[], bytes]) -> None:
    logs.configure("info", "json", "health")
    library = logging.getLogger("some.library")
    library.warning("%d pictures", "many")
    assert one(written())["text"] == "%d pictures ('many',)"
    library.log(35, "between warning and error")
    assert one(written())["level"] == "warning"
    library.log(99, "beyond all")
    assert one(written())["level"] == "critical"


# --- the stream -----------------------------------------------------------------------------------------------

WRITER = """
import sys, structlog
from supervisor import logs
logs.configure("info", "json", sys.argv[1])
log = structlog.get_logger()
for number in range(300):
    log.info("said", number=number, text=sys.argv[1] * (number * 7 % 700), more="y" * 600, yet_more="z" * 700)
"""


def test_many_processes_on_one_pipe_never_mix(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    names = "abcd"
    processes = [subprocess.Popen([sys.executable, "-c", WRITER, name], stderr=writer) for name in names]
    os.close(writer)
    with os.fdopen(reader, "rb") as stream:
        records = [one(line) for line in stream]
    assert [process.wait() for process in processes] == [0] * len(names)
    for name in names:
        ours = [record for record in records if record["process"] == name]
        assert [record["number"] for record in ours] == list(range(300))
        assert all(set(record.get("text", "")) <= {name, "…"} for record in ours)


@pytest.mark.parametrize("how", ["closed", "full disk", "no reader"])
def test_a_broken_stream_does_not_stop_the_work(how: str) -> None:
    code = (
        "import structlog; from supervisor import logs; logs.configure('info', 'auto', 'x');"
        " [structlog.get_logger().info('said') for _ in range(9)]; print('went on')"
    )
    wiring = {"closed": "2>&-", "full disk": "2>/dev/full", "no reader": "2> >(exit)"}[how]
    wait = "sleep 0.2;" if how == "no reader" else ""
    command = f'exec {wiring}; {wait} exec "$0" -c "$1"'
    found = subprocess.run(["bash", "-c", command, sys.executable, code], stdout=subprocess.PIPE, check=False)
    assert (found.returncode, found.stdout) == (0, b"went on\n")


def test_a_reader_that_has_stopped_does_not_stop_the_work_and_learns_what_it_missed() -> None:
    code = (
        "import structlog; from supervisor import logs; logs.configure('info', 'json', 'x'); logs.READER_SECONDS = 0;"
        " [structlog.get_logger().info('said', number=n) for n in range(2000)]; print('went on', flush=True); input();"
        " structlog.get_logger().info('the last')"
    )
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    assert process.stdin and process.stdout and process.stderr
    assert process.stdout.readline() == "went on\n", "although its pipe is full"
    os.set_blocking(process.stderr.fileno(), False)
    read = os.read(process.stderr.fileno(), 1 << 20)
    os.set_blocking(process.stderr.fileno(), True)
    process.stdin.write("\n")
    process.stdin.close()
    records = [json.loads(line) for line in (read.decode() + process.stderr.read()).splitlines()]
    assert process.wait() == 0
    process.stdout.close()
    process.stderr.close()
    *said, missed, last = records
    assert [record["number"] for record in said] == list(range(len(said)))
    assert (missed["event"], missed["records"]) == ("log.resumed", 2000 - len(said))
    assert last["event"] == "the last"


def test_auto_is_json_unless_there_is_a_terminal(written: Callable[[], bytes], monkeypatch: pytest.MonkeyPatch) -> None:
    logs.configure("info", "auto", "x")
    structlog.get_logger().info("said")
    assert one(written())["event"] == "said"
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    logs.configure("info", "auto", "x")
    structlog.get_logger().info("said")
    assert not written().startswith(b"{")


def test_threads_write_at_once_and_every_record_names_the_process() -> None:
    code = (
        "import structlog, threading; from supervisor import logs; logs.configure('info', 'json', 'x');\n"
        "def say(who): [structlog.get_logger().info('said', who=who) for _ in range(500)]\n"
        "threads = [threading.Thread(target=say, args=(n,)) for n in range(4)]\n"
        "[one.start() for one in threads]; [one.join() for one in threads]"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert len(records) == 2000 and {record["process"] for record in records} == {"x"}


def test_settings_that_change_are_in_force_at_once(written: Callable[[], bytes]) -> None:
    log = structlog.get_logger()
    logs.configure("info", "json", "x")
    log.info("before")
    logs.configure("error", "json", "x")
    log.info("after")
    log.error("and this")
    assert [json.loads(line)["event"] for line in written().splitlines()] == ["before", "and this"]


UNCAUGHT = """
import sys, threading
from supervisor import logs
logs.configure("info", "json", "root")
logs.catch_uncaught()

class Odd:
    def __del__(self):
        raise LookupError("in vain")

thread = threading.Thread(target=lambda: 1 / 0, name="helper")
thread.start()
thread.join()
quiet = threading.Thread(target=sys.exit)
quiet.start()
quiet.join()
Odd()
raise RuntimeError("can't start new thread")
"""


def test_an_uncaught_error_is_a_record_too() -> None:
    done = subprocess.run(
        [sys.executable, "-P", "-c", UNCAUGHT],
        capture_output=True,
        text=True,
        env={"PYTHONPATH": str(HOME)},
        check=False,
    )
    assert done.returncode == 1
    records = [json.loads(line) for line in done.stderr.splitlines()]
    assert [(one["event"], one["exception"].splitlines()[-1]) for one in records] == [
        ("thread.crashed", "ZeroDivisionError: division by zero"),
        ("error.ignored", "LookupError: in vain"),
        ("process.crashed", "RuntimeError: can't start new thread"),
    ]
    assert [one.get("thread") for one in records] == ["helper", None, None]
    assert {(one["level"], one["process"]) for one in records} == {("critical", "root")}
