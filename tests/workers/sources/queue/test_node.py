"""A whole tree as a node, with a real bucket, PostgREST and pgmq: whatever happens to it, each picture that an origin
has handed over has one row and one result, and nothing of it stays."""

from __future__ import annotations

import io
import os
import signal
import time
from collections.abc import Callable, Iterator, Set
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from ipc.machines.result import Dead, Published
from tests import lengths
from tests.instance import wait_for
from tests.pictures import draw
from tests.servers.faults import Answer, FaultProxy, LostAnswer, Refuse, Request
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.sources.queue.origin import Node, Origin

MakeNode = Callable[..., Node]

long = pytest.mark.skipif(not lengths.is_long, reason="a tree that is killed and started again takes 5 to 20 s")


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], bytes]:
    """The bytes of a real picture of that number."""
    folder = tmp_path_factory.mktemp("pictures")

    def make(number: int) -> bytes:
        path = folder / f"{number}.jpg"
        if not path.exists():
            draw(path, number)
        return path.read_bytes()

    return make


@pytest.fixture
def make_node(queue_server: RowServer, object_server: ObjectServer, bucket: str, tmp_path: Path) -> Iterator[MakeNode]:
    made: list[Node] = []

    def make(**options: Any) -> Node:
        made.append(Node(tmp_path / f"node-{len(made) + 1}", object_server, queue_server, bucket, **options))
        return made[-1]

    yield make
    for node in made:
        node.end()
        node.assert_no_secret()


def wait_for_results(origin: Origin, count: int) -> dict[int, Published | Dead]:
    return wait_for(f"{count} results", lambda: found if len(found := origin.results()) >= count else None)


def all_is_well(
    node: Node, origin: Origin, rows: RowServer, *, published: Set[int], dead: Set[int] = frozenset()
) -> None:
    """One row and one result a picture; nothing is left in the queues, in the journal or in the spool."""
    results = wait_for_results(origin, len(published | dead))
    wait_for("the node to have nothing in hand", node.is_empty)
    found = rows.sql("select message_id, revision from public.messages order by 1")
    assert [row["message_id"] for row in found] == sorted(published)
    images = rows.sql("select message_id from public.images order by 1")
    assert [row["message_id"] for row in images] == sorted(published)
    assert {number for number, one in results.items() if isinstance(one, Published)} == published
    assert {number for number, one in results.items() if isinstance(one, Dead)} == dead
    assert origin.queued() == 0
    wait_for("the spool to be empty", lambda: not node.job_folders())
    assert node.journal("SELECT coalesce(sum(jobs), 0), coalesce(sum(spool_bytes), 0) FROM counts") == [(0, 0)]


# All is well


def test_pictures_are_taken_rendered_as_their_origin_wants_it_and_forgotten(
    make_node: MakeNode, origin: Origin, queue_server: RowServer, picture: Callable[[int], bytes], tmp_path: Path
) -> None:
    node = make_node()
    node.start()
    sent = [origin.handover(1, picture(1), revision=777), origin.handover(2, b"no picture")]
    other = replace(origin.terms, prefix="other/", originals="none", url="https://elsewhere.example.org")
    other = replace(other, ladder={**other.ladder, "widths": [90], "webp": False, "avif": True})
    sent.append(replace(origin.handover(3, picture(3)), terms=other))
    origin.send(*sent)
    all_is_well(node, origin, queue_server, published={1, 3}, dead={2})

    results = origin.results()
    first, second, third = results[1], results[2], results[3]
    assert isinstance(first, Published) and isinstance(third, Published) and isinstance(second, Dead)
    assert [one[:3] for one in first.done.renditions] == [[120, 90, "webp"], [240, 180, "webp"]]
    assert [one[:3] for one in third.done.renditions] == [[90, 68, "avif"]]
    assert (first.original, third.original, first.revision) == ("stripped", "none", 777)
    assert (first.address.url, first.address.prefix) == ("https://pictures.example.org/pictures/", "pictures/")
    assert (second.state, second.cause, second.key) == ("fetched", "failure", sent[1].key)
    assert second.reason and second.node == first.node and first.node.startswith("worker-")

    rows = {row["message_id"]: row for row in node.rows()}
    assert {one["url"].partition("/other/")[0] for one in rows[3]["renditions"]} == {other.url}
    objects = {key for key in node.objects() if "/wire/" not in key}
    named = {one["key"] for row in rows.values() for one in row["renditions"]}
    digest = sent[0].sha256
    assert objects == named | {f"pictures/{digest[:2]}/{digest}/stripped.jpg"}
    for key in named:
        body = node.client.get_object(Bucket=origin.bucket, Key=key)["Body"].read()
        with Image.open(io.BytesIO(body)) as image:
            image.load()
    revisions = queue_server.sql("select revision, caption from public.messages order by message_id")
    assert revisions[0] == {"revision": 777, "caption": "caption 1"}

    assert node.counters() == {"published": 2, "dead": 1, "returned": 0, "lost": 0}
    status = wait_for("the count of /status", lambda: taken(node, published=2, dead=1))
    assert (status["role"], status["in_hand"], status["error"]) == ("node", 0, "")
    shown = node.status()
    assert shown is not None
    assert (shown["stats"]["source"]["source"], shown["stats"]["source"]["connected"]) == ("queue", True)
    assert shown["stats"]["processed"] == 2
    (about,) = origin.nodes().values()
    assert about["workers"] == 1 and about["version"]

    assert node.stop() == 0
    node.wait_until_gone()


def taken(node: Node, **wanted: int) -> dict[str, Any] | None:
    """The section of /status, once it counts so many."""
    machines = (node.status() or {}).get("machines")
    if not machines or not machines["taken"]:
        return None
    (one,) = machines["taken"]
    return machines if all(one[name] == count for name, count in wanted.items()) else None


@long
def test_one_that_is_stopped_gives_back_what_no_worker_has(
    make_node: MakeNode, origin: Origin, object_server: ObjectServer, picture: Callable[[int], bytes]
) -> None:
    with FaultProxy(object_server.port) as objects:
        node = make_node(endpoint=objects.url)
        node.start()
        objects.set(Answer(503))  # nothing gets further than `seen`
        sent = [origin.handover(number, picture(number)) for number in (1, 2)]
        origin.send(*sent)
        wait_for("both to be in hand", lambda: origin.in_hand() == 2)
        assert node.stop() == 0
        assert origin.in_hand() == 0 and origin.queued() == 2
        assert node.is_empty() and node.counters()["returned"] == 2 and not node.job_folders()
        again = origin.take(lease_seconds=1)
        assert {one.message["key"] for one in again} == {str(one.key) for one in sent}


@long
def test_an_idle_node_asks_seldom(make_node: MakeNode, origin: Origin, queue_server: RowServer) -> None:
    with FaultProxy(queue_server.port) as proxy:
        make_node(url=proxy.url, lease_seconds=120).start()
        wait_for("the node to be known", origin.nodes)
        time.sleep(15.0)  # until its pauses are as long as they get
        before, began = len(proxy.requests), time.monotonic()
        time.sleep(60.0)
        assert len(proxy.requests) - before <= 1 + 0.3 * (time.monotonic() - began)


# Lost answers


LOSING = ["pd_take", "pd_extend", "pd_settle", "ingest_messages"]


@long
@pytest.mark.parametrize("function", [*LOSING, ",".join(LOSING)])
def test_answers_that_are_lost_double_nothing(
    function: str, make_node: MakeNode, origin: Origin, queue_server: RowServer, picture: Callable[[int], bytes]
) -> None:
    names = function.split(",")
    lost: list[str] = []

    def is_one(request: Request) -> bool:
        name = request.target.rpartition("/")[2]
        if name not in names or name in lost or not started:
            return False
        lost.append(name)
        return True

    started: list[bool] = []
    with FaultProxy(queue_server.port) as proxy:
        proxy.set(LostAnswer(when=is_one))
        node = make_node(url=proxy.url, lease_seconds=4)
        origin.send(origin.handover(1, picture(1)), origin.handover(2, b"no picture"), origin.handover(3, picture(3)))
        started.append(True)
        node.start()
        all_is_well(node, origin, queue_server, published={1, 3}, dead={2})
        assert sorted(lost) == sorted(names)
        assert node.stop() == 0


# Killed


@long
@pytest.mark.parametrize(
    "point",
    [
        "queue.taken",
        "seen.before",
        "seen.after",
        "fetched.written",
        "fetched.before",
        "fetched.after",
        "rendered.claimed",
        "rendered.started",
        "rendered.moved",
        "rendered.after",
        "published.put",
        "published.recorded",
        "published.row",
        "published.after",
        "dead.after",
        "queue.settled",
    ],
)
def test_each_process_killed_on_its_way(
    point: str, make_node: MakeNode, origin: Origin, queue_server: RowServer, picture: Callable[[int], bytes]
) -> None:
    origin.send(origin.handover(1, picture(1)), origin.handover(2, b"no picture"), origin.handover(3, picture(3)))
    node = make_node(lease_seconds=3)
    node.start(PICTUREDESK_FAILPOINT=point)
    all_is_well(node, origin, queue_server, published={1, 3}, dead={2})
    assert [one["child"] for one in node.records() if one.get("what") == "killed by SIGKILL"], point
    assert node.stop() == 0


@pytest.mark.parametrize("state", ["seen", "fetched", "rendered"] if lengths.is_long else ["fetched"])
def test_the_whole_node_killed_and_started_again(
    state: str, make_node: MakeNode, origin: Origin, queue_server: RowServer, picture: Callable[[int], bytes]
) -> None:
    """What it had in hand it goes on with: its receipts still hold."""
    points = {"seen": "seen.after", "fetched": "rendered.claimed", "rendered": "published.recorded"}
    node = make_node(lease_seconds=60)
    node.start(PICTUREDESK_FAILPOINT=points[state])
    origin.hand_over(1, picture(1))
    wait_for("a process to be killed", lambda: any("SIGKILL" in str(one.get("what")) for one in node.records()))
    node.kill()
    node.wait_until_gone()
    node.start()
    all_is_well(node, origin, queue_server, published={1})
    assert node.counters() == {"published": 1, "dead": 0, "returned": 0, "lost": 0}
    assert node.stop() == 0


@long
def test_a_node_that_is_stopped_beyond_its_lease_writes_nothing_more(
    make_node: MakeNode, origin: Origin, queue_server: RowServer, picture: Callable[[int], bytes]
) -> None:
    with FaultProxy(queue_server.port) as proxy:
        node = make_node(url=proxy.url, lease_seconds=2)
        node.start()
        node.wait_until_running()
        proxy.set(Answer(503, when=lambda request: request.target.endswith("ingest_messages")))
        first = origin.hand_over(1, picture(1))
        wait_for("its row to be all that is missing", lambda: node.journal("SELECT 1 FROM jobs WHERE stored = 1"))
        for pid in node.pids().values():
            os.kill(pid, signal.SIGSTOP)
        (stolen,) = wait_for("the lease to be over", origin.take)
        assert stolen.message["key"] == str(first.key)
        proxy.set(Refuse())
        for pid in node.left_over():
            os.kill(pid, signal.SIGCONT)
        proxy.set(LostAnswer(times=0))
        wait_for("the node to drop it", node.is_empty)
        assert queue_server.sql("select * from public.messages") == []
        assert origin.results() == {} and node.counters()["lost"] == 1
        assert wait_for("its spool to be empty", lambda: not node.job_folders())
        assert node.stop() == 0


@long
def test_one_that_is_killed_while_it_gives_back_holds_nobody_up(
    make_node: MakeNode, origin: Origin, object_server: ObjectServer, picture: Callable[[int], bytes]
) -> None:
    with FaultProxy(object_server.port) as objects:
        objects.set(Answer(503))
        node = make_node(endpoint=objects.url, lease_seconds=3)
        node.start(PICTUREDESK_FAILPOINT="queue.forgotten")
        sent = origin.hand_over(1, picture(1))
        wait_for("it to be in hand", origin.in_hand)
        node.stop()
        assert node.is_empty() and origin.results() == {}
        (one,) = wait_for("its lease to be over", origin.take)
        assert one.message["key"] == str(sent.key)


# Services away


@long
@pytest.mark.reaches("machines.unreachable")
def test_a_database_that_is_away_longer_than_the_lease(
    make_node: MakeNode, origin: Origin, queue_server: RowServer, picture: Callable[[int], bytes]
) -> None:
    with FaultProxy(queue_server.port) as proxy:
        node = make_node(url=proxy.url, lease_seconds=2)
        node.start()
        node.wait_until_running()
        proxy.set(Answer(503, when=lambda request: request.target.endswith("ingest_messages")))
        origin.send(*(origin.handover(number, picture(number)) for number in (1, 2)))
        wait_for("both to be stored", lambda: len(node.journal("SELECT 1 FROM jobs WHERE stored = 1")) == 2)
        proxy.set(Answer(503))
        (stolen, *_) = wait_for("a lease to be over", lambda: origin.take(1))
        wait_for("the problem", lambda: "machines.unreachable" in ids(node))
        proxy.set(LostAnswer(times=0))
        wait_for("the node to have nothing in hand", node.is_empty)
        left = {1, 2} - {int(stolen.message["message"]["id"])}
        assert {number for number, one in origin.results().items() if isinstance(one, Published)} == left
        assert [row["message_id"] for row in queue_server.sql("select message_id from public.messages")] == [*left]
        assert node.counters()["lost"] == 1
        wait_for("the problem to be over", lambda: "machines.unreachable" not in ids(node))


def ids(node: Node) -> set[str]:
    return {one["id"] for one in (node.status() or {"problems": []})["problems"]}


@long
def test_a_bucket_that_is_away_costs_nothing_and_no_more_is_taken(
    make_node: MakeNode, origin: Origin, queue_server: RowServer, object_server: ObjectServer, picture: Any
) -> None:
    with FaultProxy(object_server.port) as proxy:
        node = make_node(endpoint=proxy.url)
        proxy.set(Refuse())
        node.start()
        origin.send(*(origin.handover(number, picture(number)) for number in range(1, 9)))
        wait_for("one to be put off", lambda: node.journal("SELECT 1 FROM jobs WHERE reason IS NOT NULL"))
        time.sleep(2.0)  # no more is taken in this: at its usual pace the node would ask several times
        assert origin.in_hand() <= 2
        assert node.journal("SELECT max(attempts) FROM jobs") == [(0,)]
        proxy.set(LostAnswer(times=0))
        all_is_well(node, origin, queue_server, published=set(range(1, 9)))


# What can't be done here


@long
def test_what_is_not_for_this_node_stays_and_the_rest_goes_on(
    make_node: MakeNode, origin: Origin, queue_server: RowServer, picture: Callable[[int], bytes]
) -> None:
    elsewhere = origin.handover(1, picture(1))
    elsewhere = replace(elsewhere, terms=replace(elsewhere.terms, bucket="another"))
    lost = origin.handover(2, picture(2))
    later = origin.handover(4, picture(4))
    origin.send(elsewhere, replace(lost, object="pictures/wire/gone", post=moved(lost, "pictures/wire/gone")))
    origin.queues.hand_over([("live", {**later.packed(), "v": 99})])
    origin.hand_over(3, picture(3))
    node = make_node()
    node.start()
    wait_for("the picture behind them", lambda: 3 in origin.results())
    wait_for("the one whose original is gone", lambda: node.journal("SELECT 1 FROM jobs WHERE attempts > 0"))
    (reason,) = node.journal("SELECT reason FROM jobs WHERE attempts > 0")[0]
    assert reason == f"cannot be fetched: its original is not in the bucket {origin.bucket}"
    assert node.stop() == 0
    assert origin.queued() == 3 and origin.in_hand() == 0
    assert [row["message_id"] for row in queue_server.sql("select message_id from public.messages")] == [3]


def moved(handover: Any, name: str) -> Any:
    photo = handover.post.photo
    return replace(handover.post, photo=replace(photo, locator={**photo.locator, "object": name}))


@long
def test_a_message_that_comes_again_only_renews_its_receipt(
    make_node: MakeNode, origin: Origin, queue_server: RowServer, picture: Callable[[int], bytes]
) -> None:
    with FaultProxy(queue_server.port) as proxy:
        node = make_node(url=proxy.url, lease_seconds=60)
        proxy.set(Answer(503, when=lambda request: request.target.endswith("ingest_messages")))
        node.start()
        handover = origin.hand_over(1, picture(1))
        wait_for("its row to be all that is missing", lambda: node.journal("SELECT 1 FROM jobs WHERE stored = 1"))
        queue_server.sql("update pgmq.q_pd_live_v1 set vt = clock_timestamp()")  # as if its lease were over
        wait_for("it to come again", lambda: node.journal("SELECT 1 FROM taken WHERE read_ct = 2"))
        assert [one["key"] for one in node.records() if one["event"] == "handover.came_again"] == [str(handover.key)]
        proxy.set(LostAnswer(times=0))
        all_is_well(node, origin, queue_server, published={1})
        assert node.counters()["published"] == 1
        assert node.stop() == 0
