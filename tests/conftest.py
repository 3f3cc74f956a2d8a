"""Fixtures that every test may use."""

from __future__ import annotations

import functools
import gc
import os
import signal
import sys
import time
from collections.abc import Callable, Generator, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import hypothesis
import psutil
import pytest

from tests import lengths
from tests.instance import TOLD_PROBLEMS, Instance, children
from tests.servers.objects import ObjectServer
from tests.servers.objects import object_server as run_object_server
from tests.servers.rows import RowServer

# A shell that runs the tests in the background has SIGINT ignored, nohup SIGHUP; what the tests start would inherit it.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)
if signal.getsignal(signal.SIGHUP) is signal.SIG_IGN:
    signal.signal(signal.SIGHUP, signal.SIG_DFL)

hypothesis.settings.register_profile("unhurried", hypothesis.settings.default, deadline=None)  # the machine is shared
hypothesis.settings.load_profile("unhurried")

ENDING_SECONDS = 5.0


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--long", action="store_true", help="run the random tests at their full lengths (half an hour)")


def pytest_configure(config: pytest.Config) -> None:
    lengths.is_long = config.getoption("--long")
    gc.disable()  # until the tests are collected: nothing of them is garbage


def pytest_collection_finish() -> None:
    """What thousands of collected tests take is not looked through at any garbage collection of theirs."""
    gc.freeze()
    gc.enable()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_call(item: pytest.Item) -> Generator[None, None, None]:
    """Hold a test to its mark `reaches`: instances of the program have told of each of these problems during it."""
    TOLD_PROBLEMS.clear()
    yield
    marked = {id for mark in item.iter_markers("reaches") for id in mark.args}
    assert marked <= TOLD_PROBLEMS, f"not told of: {sorted(marked - TOLD_PROBLEMS)}"


@pytest.fixture(autouse=True)
def nothing_is_left_running() -> Iterator[None]:
    """After every test: no child process of the tests is left, not even one that is dead and not waited for.

    What has been killed may take a moment to be gone: a leak is what stays. It is killed, so that one test fails and
    not all that come after it.
    """
    yield
    until = time.monotonic() + ENDING_SECONDS
    while (left := children()) and time.monotonic() < until:
        time.sleep(0.02)
    for process in left:
        with suppress(psutil.NoSuchProcess):
            process.kill()
    psutil.wait_procs(left, ENDING_SECONDS)
    assert left == [], "the test has left processes behind"
    assert os.sched_getscheduler(0) == os.SCHED_OTHER, "the tests have real-time priority: nobody else gets a processor"


@pytest.fixture(scope="session", autouse=True)
def shared_certificates() -> Iterator[None]:
    """All clients of httpx in this process share the certificates they trust: to read them takes each one 30 ms."""
    transports: Any = sys.modules.get("httpx._transports.default")
    if transports is None:  # no test that was collected needs it
        yield
        return
    make = transports.create_ssl_context
    made = functools.cache(lambda environment, *given, **named: make(*given, **named))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(
            transports,
            "create_ssl_context",
            lambda *given, **named: made(
                (os.environ.get("SSL_CERT_FILE"), os.environ.get("SSL_CERT_DIR")), *given, **named
            ),
        )
        yield


@pytest.fixture
def make_instance(tmp_path: Path) -> Iterator[Callable[..., Instance]]:
    """Makes instances of the program, and ends them after the test."""
    made: list[Instance] = []

    def make(export: Path, more: str = "", *, workers: int = 1) -> Instance:
        made.append(Instance(tmp_path / f"instance-{len(made) + 1}", export, more, workers=workers))
        return made[-1]

    yield make
    for instance in made:
        instance.end()


@pytest.fixture(scope="session")
def object_server() -> Iterator[ObjectServer]:
    """One S3 server for all tests; each makes a bucket of its own."""
    with run_object_server() as server:
        yield server


@pytest.fixture(scope="session")
def row_server() -> Iterator[RowServer]:
    """One Supabase-like stack for all tests, with the schema; each empties it first."""
    with RowServer() as server:
        server.apply_schema()
        yield server


@pytest.fixture(scope="session")
def queue_server(row_server: RowServer) -> RowServer:
    """The same stack, with the queues of many machines; each test empties these first, too (`empty_queues`)."""
    row_server.apply_machines()
    return row_server
