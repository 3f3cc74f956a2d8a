"""Fixtures that every test may use."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.instance import Instance, children

# A shell that runs the tests in the background has SIGINT ignored, and what the tests start would inherit that.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """After every test: no child process of the tests is left, not even one that is dead and not waited for."""
    yield
    assert children() == [], "the test has left processes behind"


@pytest.fixture
def make_instance(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """Makes instances of the program, and ends them after the test."""
    made: list[Instance] = []

    def make(export: Path, more: str = "") -> Instance:
        made.append(Instance(tmp_path / f"instance-{len(made) + 1}", export, more))
        return made[-1]

    yield make
    for instance in made:
        instance.end()
