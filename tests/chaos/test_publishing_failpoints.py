"""kill -9 of the uploader at each of its failpoints, with a real S3 server and a Supabase-like stack behind it.

The uploader runs alone, as the tree would spawn it and with the tree's options: who replaces it is proven once, by a
whole tree.
"""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path

import pytest

from ipc import failpoints
from ipc.journal import figures
from ipc.transport.mailbox import Closed
from ipc.transport.messages import Message, Ready
from supervisor import settings, tree
from supervisor.home import HOME
from supervisor.processes.process import spawn
from supervisor.processes.spec import ChildSpec
from supervisor.start import Start
from tests.chaos.signs import killed
from tests.hosted import Feed, HostedInstance
from tests.instance import DEADLINE_SECONDS, wait_for
from tests.pictures import make_export
from tests.servers.faults import Answer, FaultProxy, Pass
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer

POINTS = [name for name in failpoints.NAMES if name.startswith("published.")]
SIZE = 2000
"""Of each object, in bytes."""


@pytest.fixture(scope="module")
def export(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_export(tmp_path_factory.mktemp("failpoints") / "export", 3)


@pytest.fixture
def instance(
    object_server: ObjectServer, row_server: RowServer, export: Path, tmp_path: Path
) -> Iterator[HostedInstance]:
    row_server.empty()
    bucket = f"failpoints-{time.time_ns()}"
    object_server.make_bucket(bucket)
    instance = HostedInstance(tmp_path / "instance", export, object_server, row_server, bucket)
    yield instance
    instance.end()
    instance.assert_no_secret()
    object_server.remove_bucket(bucket)


@pytest.fixture
def make_behind(object_server: ObjectServer, instance: HostedInstance) -> Callable[[FaultProxy], None]:
    """Has the instance's storage be behind that proxy."""

    def make(proxy: FaultProxy) -> None:
        text = instance.config.read_text()
        assert object_server.endpoint in text
        instance.config.write_text(text.replace(object_server.endpoint, proxy.url))

    return make


def uploader_of(instance: HostedInstance) -> ChildSpec:
    """What the instance's tree would have as its uploader."""
    read = settings.load(instance.config, instance.environment(), instance.folder, HOME)
    children = tree.children(read, listen_fd=0, started=Start.now())
    return next(child for child in children if child.name == "uploader")


def run_alone(spec: ChildSpec, number: int, is_done: Callable[[], bool]) -> int:
    """Run incarnation `number` until it ends, or ask it to stop when it is ready and `is_done`; its exit code."""
    liveness, held = os.pipe()
    process = spawn(spec, number, liveness, {"level": "error", "format": "json"})

    said: list[Message] = []
    asked = False

    def has_ended() -> bool:
        nonlocal asked
        with suppress(Closed):
            while message := process.inbox.receive():
                said.append(message)
        if Ready() in said and is_done() and not asked:
            process.ask_to_stop()
            asked = True  # once: an interpreter that is on its way out has given up its signal handlers
        return process.has_ended()

    try:
        wait_for("the uploader to end", has_ended)
        return int(process.popen.returncode)
    finally:
        process.popen.kill()
        process.popen.wait(DEADLINE_SECONDS)
        process.close()
        os.close(liveness)
        os.close(held)


@contextmanager
def feed_of(instance: HostedInstance) -> Iterator[Feed]:
    instance.state_dir.mkdir()
    feed = Feed(instance.state_dir)
    yield feed
    feed.close()


def assert_published(instance: HostedInstance, feed: Feed, numbers: Sequence[int]) -> None:
    """Exactly these pictures have their row and their objects, and nothing is left of them here."""
    assert feed.states(numbers) == {("published", True)}
    assert [row["message_id"] for row in instance.rows()] == numbers
    assert instance.objects() == dict.fromkeys(feed.keys(numbers), SIZE)
    instance.assert_nothing_left()


def test_nothing_is_lost_or_doubled(instance: HostedInstance, monkeypatch: pytest.MonkeyPatch) -> None:
    """One uploader after another is killed, each at another step and with three more pictures; the last goes on."""
    with feed_of(instance) as feed:
        spec = uploader_of(instance)
        numbers: list[int] = []
        for point in POINTS:
            numbers += feed.pictures(3, bytes_each=SIZE)
            monkeypatch.setenv(failpoints.VARIABLE, point)
            assert run_alone(spec, 1, lambda: False) == -signal.SIGKILL, point
        assert run_alone(spec, 2, lambda: feed.states(numbers) == {("published", True)}) == 0
        assert_published(instance, feed, numbers)


def test_the_tree_replaces_it(instance: HostedInstance) -> None:
    instance.start(PICTUREDESK_FAILPOINT="published.put:4")
    instance.wait_until_done()
    assert killed(instance) == ["uploader"]
    assert instance.stop() == 0
    instance.assert_published([1, 2, 3])
    instance.assert_nothing_left()


def test_a_dead_letter_comes_back(
    object_server: ObjectServer,
    instance: HostedInstance,
    make_behind: Callable[[FaultProxy], None],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The storage takes no object. The uploader is killed as it gives one up; all can be brought back."""
    monkeypatch.setenv(failpoints.VARIABLE, "dead.before")
    with FaultProxy(object_server.port) as proxy, feed_of(instance) as feed:
        make_behind(proxy)
        instance.config.write_text(instance.config.read_text().replace("[retry]", "[retry]\nmax_attempts = 0"))
        numbers = feed.pictures(3, bytes_each=SIZE)
        spec = uploader_of(instance)
        proxy.set(Answer(413, when=lambda request: request.method == "PUT"))
        assert run_alone(spec, 1, lambda: False) == -signal.SIGKILL
        assert run_alone(spec, 2, lambda: feed.states(numbers) == {("dead", False)}) == 0
        assert figures.totals(feed.journal)["failed"] == 3
        assert instance.objects() == {} and instance.rows() == []
        proxy.set(Pass())
        assert "3 brought back" in instance.answer("retry", "--all").stdout
        assert run_alone(spec, 3, lambda: feed.states(numbers) == {("published", True)}) == 0
        assert_published(instance, feed, numbers)


def test_a_dead_letter_that_was_just_recorded_comes_back(
    object_server: ObjectServer, instance: HostedInstance, make_behind: Callable[[FaultProxy], None]
) -> None:
    """The next incarnation keeps its original only: it takes a whole tree to render it once more."""
    with FaultProxy(object_server.port) as proxy:
        make_behind(proxy)
        proxy.set(Answer(413, when=lambda request: request.method == "PUT"))
        instance.start(PICTUREDESK_FAILPOINT="dead.after", PICTUREDESK__RETRY__MAX_ATTEMPTS="0")
        wait_for("all to be dead", lambda: (instance.status() or {"stats": {"dead": 0}})["stats"]["dead"] == 3)
        assert killed(instance) == ["uploader"]
        assert (instance.status() or {})["stats"]["failed"] == 3
        assert instance.objects() == {}
        proxy.set(Pass())
        assert instance.answer("retry", "--all").returncode == 0
        instance.wait_until_done()
        assert instance.stop() == 0
    instance.assert_published([1, 2, 3])
    instance.assert_nothing_left()
