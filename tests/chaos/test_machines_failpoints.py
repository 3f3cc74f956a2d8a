"""kill -9 of an origin's uploader at each of its steps with other machines: real bucket, real queues, one node.

The uploader runs alone, as the tree would spawn it; the node is a few lines in this process.
"""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest

from ipc import failpoints
from ipc.journal import transitions
from ipc.journal.machines import claims
from ipc.transport.mailbox import Closed
from supervisor.processes.process import spawn
from supervisor.processes.spec import ChildSpec
from tests import lengths
from tests.instance import DEADLINE_SECONDS, wait_for
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import Desk
from tests.workers.publishing.machines_desk import Node, Origin, sections

EACH = [name for name in failpoints.NAMES if name.startswith("machines.")]
HERE = ["machines.compared", "machines.taken_back", "machines.brought_back"]
"""Points that are reached when the queue was emptied, or our own workers are idle."""

POINTS = EACH if lengths.is_long else ["machines.sent", "machines.recorded"]
REST = {
    "breaker": {"failures": 2, "timeout_seconds": 0.5},
    "webhooks": [],
    "feeds": {"enabled": False, "is_asked_for": False},
    "site": {"enabled": False, "title": ""},
    "version": "1.2.3",
}


@pytest.fixture
def origin(object_server: ObjectServer, queue_server: RowServer, tmp_path: Path) -> Iterator[Origin]:
    queue_server.empty()
    queue_server.empty_queues()
    desk = Desk(tmp_path)
    with object_server.bucket() as bucket:
        origin = Origin(desk, sections(object_server, queue_server, bucket, reconcile_seconds=1.0))
        yield origin
        origin.close()
    desk.close()


class Uploader:
    """One incarnation of it, alone. It hears everything and answers nothing."""

    def __init__(self, origin: Origin, number: int) -> None:
        self._ends = os.pipe()
        given = {"takedown_after_seconds": -1.0, "cloudflare_zone": "", "cloudflare_token": "", "cloudflare_api": ""}
        options: dict[str, Any] = {**origin.context.options, **REST, **origin.options}
        options["storage"] = {**given, **options["storage"]}
        spec = ChildSpec("uploader", "workers.uploader:main", options, stop_seconds=5.0)
        self._process = spawn(spec, number, self._ends[0], {"level": "error", "format": "json"})

    def has_ended(self) -> bool:
        with suppress(Closed):
            while self._process.inbox.receive():
                pass
        return bool(self._process.has_ended())

    @property
    def exit_code(self) -> int:
        return int(self._process.popen.returncode)

    def close(self) -> None:
        self._process.popen.kill()
        self._process.popen.wait(DEADLINE_SECONDS)
        self._process.close()
        for end in self._ends:
            os.close(end)


@pytest.mark.parametrize("point", POINTS)
def test_nothing_is_lost_or_doubled(
    point: str, origin: Origin, queue_server: RowServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    node = Node(origin)
    node.take(0)
    for number in range(1, 9):
        origin.desk.fetch(number)
    monkeypatch.setenv(failpoints.VARIABLE, point)
    killed = Uploader(origin, 1)
    try:
        drive(point, origin, node, killed.has_ended)
        assert killed.exit_code == -signal.SIGKILL, "the failpoint was never reached"
    finally:
        killed.close()
    monkeypatch.delenv(failpoints.VARIABLE)
    heir = Uploader(origin, 2)
    try:
        journal = origin.desk.journal

        def is_over() -> bool:
            node_works(node)
            work_here(origin)
            return set(origin.states().values()) == {"published"} and not claims.is_any_left(journal)

        wait_for("all to be published", is_over)
    finally:
        heir.close()
    assert origin.wire() == {}
    found = queue_server.sql("select message_id, count(*) from public.messages group by 1 order by 1")
    assert [(row["message_id"], row["count"]) for row in found] == [(number, 1) for number in range(1, 9)]
    node.close()


def drive(point: str, origin: Origin, node: Node, has_ended: Callable[[], bool]) -> None:
    """Have come about what the point needs, until the uploader has ended."""

    def step() -> bool:
        if point == "machines.compared":  # the queue is compared with what was handed over for a while
            return has_ended()
        if point in HERE:
            if claims.at_step(origin.desk.journal, "handed", 1):
                claim_here(origin)
        else:
            node_works(node)
        return has_ended()

    wait_for("the uploader to be killed", step)


def node_works(node: Node) -> None:
    for number in node.take():
        node.publish(number)


def claim_here(origin: Origin) -> None:
    """Our own workers take what is there for them."""
    for job in claims.to_hand_over(origin.desk.journal, 0, 99):
        transitions.claim(origin.desk.journal, job, "image-1")


def work_here(origin: Origin) -> None:
    """Our own workers render what is there for them, and what they had."""
    journal = origin.desk.journal
    transitions.release_claims(journal)
    for job in claims.to_hand_over(journal, 0, 2):
        if transitions.claim(journal, job, "image-1"):
            transitions.record_rendered(journal, origin.desk.write_ladder(job))


def test_each_is_among_them() -> None:
    assert set(POINTS) <= set(EACH) and set(HERE) <= set(EACH)
