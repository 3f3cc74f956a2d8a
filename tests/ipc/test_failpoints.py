"""ipc.failpoints: the n-th time kills, no other does, and the list is the code's."""

from __future__ import annotations

import re
import signal
import subprocess
from collections.abc import Iterator

import pytest

from ipc import failpoints
from ipc.failpoints import FailpointError, parse
from tests.ipc.builders import HOME, PYTHON

SOURCE = [path for folder in ("ipc", "workers", "supervisor", "health") for path in (HOME / folder).rglob("*.py")]

REACH = """
import sys
from ipc import failpoints
failpoints.arm(sys.argv[1])
for name in sys.argv[2:]:
    print(name, flush=True)
    failpoints.reach(name)
print("end")
"""

FOLLOWERS = ("feeds",)
"""The names that `workers.publishing.documents.follower` is made with."""


@pytest.fixture(autouse=True)
def disarmed() -> Iterator[None]:
    yield
    failpoints.arm(None)


def run(value: str, *names: str) -> tuple[int, list[str]]:
    """Exit code and what was reached, of a process that was started with `value`."""
    command = [*PYTHON, "-c", REACH, value, *names]
    finished = subprocess.run(command, env={"PYTHONPATH": str(HOME)}, capture_output=True, check=False)
    return finished.returncode, finished.stdout.decode().split()


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("seen.before", {"seen.before": 1}),
        ("seen.before:", {"seen.before": 1}),
        ("seen.before:1", {"seen.before": 1}),
        ("published.row:12", {"published.row": 12}),
        ("published.row:12,seen.before", {"published.row": 12, "seen.before": 1}),
    ],
)
def test_parse(text: str, parsed: dict[str, int]) -> None:
    assert parse(text) == parsed


@pytest.mark.parametrize(
    "text",
    [
        "",
        "seen",
        "seen.before:0",
        "seen.before:-1",
        "seen.before:x",
        "seen.before:1:2",
        "seen.before:²",
        ":1",
        "seen.before,",
    ],
)
def test_what_is_no_failpoint_is_refused_with_the_list(text: str) -> None:
    with pytest.raises(
        FailpointError, match=r"PICTUREDESK_FAILPOINT=.*name\[:n\].*seen\.before, seen\.after"
    ) as caught:
        parse(text)
    assert all(name in str(caught.value) for name in failpoints.NAMES)


def test_the_named_time_kills_as_kill_9_does() -> None:
    assert run("seen.after:2", "seen.after", "seen.before", "seen.after", "seen.after") == (
        -signal.SIGKILL,
        ["seen.after", "seen.before", "seen.after"],
    )


def test_each_of_several_kills() -> None:
    several = "seen.after:2,dead.before"
    assert run(several, "seen.after", "dead.before") == (-signal.SIGKILL, ["seen.after", "dead.before"])
    assert run(several, "seen.after", "seen.after") == (-signal.SIGKILL, ["seen.after", "seen.after"])


def test_other_points_and_fewer_times_do_nothing() -> None:
    assert run("seen.after:3", "seen.after", "dead.before", "seen.after") == (
        0,
        ["seen.after", "dead.before", "seen.after", "end"],
    )


@pytest.mark.parametrize("value", [None, ""])
def test_unset_it_does_nothing(value: str | None) -> None:
    failpoints.arm(value)
    for name in failpoints.NAMES:
        failpoints.reach(name)


def test_an_unknown_name_is_refused_when_the_process_starts() -> None:
    with pytest.raises(FailpointError):
        failpoints.arm("no.such.point")


def test_the_list_is_what_the_code_reaches() -> None:
    """Those of whoever follows changes begin with their names."""
    reached = {name for path in SOURCE for name in re.findall(r'failpoints\.reach\("([^"]*)"\)', path.read_text())}
    steps = [step for path in SOURCE for step in re.findall(r'reach\(f"{self._name}\.(\w+)"\)', path.read_text())]
    reached |= {f"{name}.{step}" for name in FOLLOWERS for step in steps}
    assert reached == set(failpoints.NAMES)


@pytest.mark.parametrize("arrow", ["seen", "fetched", "rendered", "published", "dead"])
def test_every_arrow_has_one_before_and_one_after(arrow: str) -> None:
    assert {f"{arrow}.before", f"{arrow}.after"} <= set(failpoints.NAMES)
