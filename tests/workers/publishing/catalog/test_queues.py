"""The queues of many machines in a real database: what is handed over, taken, held, settled and told."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest

from ipc.machines.result import UnreadableResult, read
from tests.instance import wait_for
from tests.servers.faults import FaultProxy
from tests.servers.rows import RowServer
from tests.workers.publishing.catalog.builders import entry
from tests.workers.publishing.catalog.conftest import MakeQueues, MakeSupabase
from tests.workers.publishing.catalog.queue_desk import (
    ORIGIN,
    OTHER_ORIGIN,
    dead,
    expire,
    hand_over,
    key,
    message,
    numbers,
    published,
    results,
    rows,
    take,
)
from workers.publishing.catalog import CatalogFault, Fenced, RowFault
from workers.publishing.catalog.supabase.queues import Queues

pytestmark = pytest.mark.usefixtures("queue_stack")


@pytest.fixture
def node(queue_stack: RowServer, make_queues: MakeQueues) -> Queues:
    """With a key of its own."""
    return make_queues(queue_stack.keys.of_node)


def written(server: RowServer) -> list[tuple[int, int]]:
    found = server.sql(
        "select message_id, revision from messages join images using (channel_id, message_id) order by 1"
    )
    return [(row["message_id"], row["revision"]) for row in found]


# Handing over


def test_each_key_is_queued_once(queues: Queues) -> None:
    first = queues.hand_over([("live", message(1)), ("backfill", message(2))])
    assert set(first) == {key(1), key(2)}
    assert queues.hand_over([("live", message(1)), ("backfill", message(2))]) == first, "the answer was lost"
    assert (
        queues.hand_over([("backfill", message(1)), ("live", message(2)), ("live", message(3))]).keys() > first.keys()
    )
    assert queues.hand_over([]) == {}
    assert numbers(take(queues)) == [1, 3, 2]


def test_what_is_taken_or_has_a_result_is_not_queued_again(queues: Queues, make_supabase: MakeSupabase) -> None:
    hand_over(queues, 1, 2)
    one, other = take(queues)
    assert None not in queues.hand_over([("live", message(1)), ("live", message(2))]).values()
    assert make_supabase().write_many([rows(3, 1, one.receipt)]) == [True]
    assert queues.hand_over([("live", message(1)), ("live", message(2))]) == {
        key(1): None,
        key(2): other.receipt.msg_id,
    }
    assert take(queues, "b") == []
    results(queues, [one.msg_id for one in results(queues)])
    assert queues.hand_over([("live", message(1))])[key(1)] is not None, "its origin has forgotten the result"


@pytest.mark.parametrize(
    "job",
    [
        {"queue": "other", "message": message(1)},
        {"queue": "live", "message": {"key": key(1), "origin": OTHER_ORIGIN}},
        {"queue": "live", "message": {"key": "x'; drop table y:1", "origin": "x'; drop table y"}},
        {"queue": "live", "message": {}},
        {"queue": "live"},
    ],
)
def test_what_is_no_hand_over_is_refused(queues: Queues, job: dict[str, Any]) -> None:
    with pytest.raises(RowFault, match="each job needs a queue"):
        queues.project.call("pd_hand_over", jobs=[job])
    assert take(queues) == []


def test_both_of_two_that_hand_over_the_same_at_once_succeed(make_queues: MakeQueues) -> None:
    """One waits for an answer that it has given up, and asks again."""
    pair = [make_queues(), make_queues()]
    jobs: Any = [("live", message(number)) for number in range(1, 40)]
    with ThreadPoolExecutor(2) as threads:
        one, other = threads.map(lambda queues: queues.hand_over(jobs), pair)
    assert one == other
    assert len(take(pair[0], most=100)) == 39


# Taking


def test_live_ones_come_first_and_the_oldest_of_these(queues: Queues) -> None:
    hand_over(queues, 1, 2, queue="backfill")
    hand_over(queues, 3, 4)
    assert numbers(take(queues, most=3)) == [3, 4, 1]
    assert numbers(take(queues, most=0)) == []
    assert numbers(take(queues, most=3)) == [2]


def test_no_two_nodes_get_the_same(make_queues: MakeQueues) -> None:
    pair = [make_queues(), make_queues()]
    hand_over(pair[0], *range(60))
    with ThreadPoolExecutor(2) as threads:
        halves = threads.map(lambda queues: [n for _ in range(10) for n in numbers(take(queues, most=5))], pair)
        assert sorted(n for half in halves for n in half) == list(range(60))


def of_bucket(number: int, bucket: str, version: int = 1) -> dict[str, Any]:
    return {**message(number), "v": version, "terms": {"bucket": bucket}}


def test_a_node_gets_what_it_can_publish_and_read(queues: Queues, node: Queues) -> None:
    """What others need is neither in its way, nor held by it."""
    others = [("live", of_bucket(number, "another")) for number in range(1, 21)]
    newer = [("live", of_bucket(number, "ours", version=2)) for number in range(21, 31)]
    queues.hand_over([*others, *newer, ("live", of_bucket(31, "ours")), ("live", message(32))])  # type: ignore[list-item]
    assert numbers(node.take("a", {"bucket": "ours", "reads": 1}, 5, 60)) == [31, 32]
    assert numbers(node.take("a", {"bucket": "ours", "reads": 2}, 99, 60)) == list(range(21, 31))
    assert numbers(node.take("b", {"bucket": "another", "reads": 1}, 99, 60)) == list(range(1, 21))
    queues.hand_over([("live", of_bucket(33, "another"))])
    assert numbers(node.take("c", {"workers": 1}, 5, 60)) == [33], "a node of the version before gets anything"


def test_what_a_node_says_of_itself_is_stored_whatever_is_in_it(node: Queues) -> None:
    odd = {"problems": ["a \0 file \ud800"]}
    for ask in (lambda: node.take("a", odd, 0, 60), lambda: node.extend("a", odd, [], 60)):
        ask()
        assert node.machines().nodes[0].about == {"problems": ["a \ufffd file \ufffd"]}


def test_a_lease_runs_out_and_the_next_one_gets_it(queues: Queues, node: Queues) -> None:
    hand_over(queues, 1)
    (lost,) = take(node, "a", seconds=1)
    assert take(node, "b") == []
    (taken,) = wait_for("the lease to run out", lambda: take(node, "b"))
    assert (taken.receipt.msg_id, taken.receipt.read_ct) == (lost.receipt.msg_id, 2)


def test_an_extended_lease_goes_on(queues: Queues, node: Queues) -> None:
    hand_over(queues, 1)
    (taken,) = take(node, "a", seconds=1)
    until = time.monotonic() + 1.5
    while time.monotonic() < until:
        assert node.extend("a", {}, [taken.receipt], 1) == {taken.receipt}
        assert take(queues, "b") == []
        time.sleep(0.1)


def test_what_is_returned_is_there_for_others_at_once(queues: Queues, node: Queues) -> None:
    hand_over(queues, 1, 2)
    first, second = take(node, "a")
    assert node.settle("a", [(first.receipt, None)]) == {first.receipt}
    assert node.settle("a", [(first.receipt, None)]) == {first.receipt}, "the answer was lost"
    assert take(node, "a") == [], "not for whom could do nothing with it"
    (taken,) = take(node, "b")
    assert taken.receipt.msg_id == first.receipt.msg_id
    assert node.settle("a", [(first.receipt, None)]) == set()
    assert node.extend("a", {}, [first.receipt, second.receipt], 60) == {second.receipt}


# Receipts


def test_a_receipt_does_not_hold_once_another_node_has_the_picture(
    queue_stack: RowServer, queues: Queues, node: Queues, make_supabase: MakeSupabase
) -> None:
    catalog = make_supabase(key=queue_stack.keys.of_node)
    hand_over(queues, 1)
    (late,) = take(node, "a")
    expire(queue_stack)
    (taken,) = take(node, "b")
    assert node.extend("a", {}, [late.receipt], 60) == set()
    assert node.settle("a", [(late.receipt, None)]) == set()
    assert node.settle("a", [(late.receipt, dead(1))]) == set()
    assert catalog.write_many([rows(9, 1, late.receipt)]) == [Fenced()]
    assert (written(queue_stack), results(queues), queue_stack.sql("select * from channels")) == ([], [], [])
    assert catalog.write_many([rows(3, 1, taken.receipt)]) == [True]
    assert written(queue_stack) == [(1, 3)]
    (result,) = results(queues)
    assert result.result == published(1)


def test_a_receipt_holds_while_nobody_else_has_it(
    queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    hand_over(queues, 1)
    (taken,) = take(queues)
    expire(queue_stack)
    assert make_supabase().write_many([rows(3, 1, taken.receipt)]) == [True]


def test_a_receipt_is_that_of_one_picture_alone(
    queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    """A database that was restored gives its numbers to other messages."""
    hand_over(queues, 1)
    (lost,) = take(queues)
    queue_stack.sql("delete from picturedesk.leases; delete from pgmq.q_pd_live_v1")
    queue_stack.sql(f"alter table pgmq.q_pd_live_v1 alter msg_id restart with {lost.receipt.msg_id}")
    hand_over(queues, 2)
    (taken,) = take(queues)
    assert replace(taken.receipt, key=key(1)) == lost.receipt
    assert queues.extend("a", {}, [lost.receipt, taken.receipt], 60) == {taken.receipt}
    assert queues.settle("a", [(lost.receipt, dead(1)), (lost.receipt, None)]) == set()
    assert make_supabase().write_many([rows(3, 1, lost.receipt)]) == [Fenced()]
    assert results(queues) == []
    assert make_supabase().write_many([rows(3, 2, taken.receipt)]) == [True]


def test_an_older_nodes_receipt_has_no_key(queues: Queues, make_supabase: MakeSupabase) -> None:
    hand_over(queues, 1, 2)
    first, second = [one.receipt for one in take(queues)]
    of_old = replace(first, key=None)
    assert queues.extend("a", {}, [of_old, second], 60) == {of_old, second}
    assert queues.extend("a", {}, [of_old, first], 60) == {first}, "one receipt for each message"
    assert make_supabase().write_many([rows(3, 1, of_old)]) == [True]
    assert len(results(queues)) == 1


def test_row_result_and_queue_change_in_one_transaction(
    queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    hand_over(queues, 1)
    (taken,) = take(queues)
    broken = rows(3, 1, taken.receipt)
    broken = type(broken)(broken.channel, {**broken.message, "posted_at": "never"}, broken.image, broken.receipt)
    (outcome,) = make_supabase().write_many([broken])
    assert isinstance(outcome, RowFault)
    assert (results(queues), written(queue_stack)) == ([], [])
    assert queues.extend("a", {}, [taken.receipt], 60) == {taken.receipt}
    assert queues.settle("a", [(taken.receipt, dead(1))]) == {taken.receipt}
    (result,) = results(queues)
    assert result.result == dead(1)


def test_a_batch_of_all_kinds(queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase) -> None:
    catalog = make_supabase()
    hand_over(queues, 1, 2, 3)
    first, second, third = [one.receipt for one in take(queues)]
    stale = replace(second, read_ct=9)
    gone = replace(first, msg_id=10**12)
    catalog.write_many([entry(5, 3)])
    batch = [rows(3, 2, stale), entry(1, 8), rows(3, 1, first), rows(3, 9, gone), rows(3, 3, third), entry(2, 8)]
    assert catalog.write_many(batch) == [Fenced(), False, True, Fenced(), False, True]
    assert written(queue_stack) == [(1, 3), (3, 5), (8, 2)], "the higher revision is left alone"
    assert [one.result["key"] for one in results(queues)] == [key(1), key(3)]
    assert catalog.write_many([rows(3, 1, first), entry(2, 8)]) == [Fenced(), False], "the answer was lost"
    assert len(results(queues)) == 2


def test_two_receipts_of_one_picture_in_a_batch(
    queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    hand_over(queues, 1)
    (late,) = take(queues, "a")
    expire(queue_stack)
    (taken,) = take(queues, "b")
    batch = [rows(4, 1, late.receipt), rows(3, 1, taken.receipt), rows(5, 1, taken.receipt)]
    assert make_supabase().write_many(batch) == [Fenced(), True, Fenced()]
    assert written(queue_stack) == [(1, 3)]
    assert len(results(queues)) == 1


def test_two_that_write_one_picture_at_once(
    queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    hand_over(queues, 1)
    (taken,) = take(queues)
    catalogs = [make_supabase(), make_supabase()]
    with ThreadPoolExecutor(2) as threads:
        outcomes = list(threads.map(lambda catalog: catalog.write_many([rows(3, 1, taken.receipt)]), catalogs))
    assert sorted(outcomes, key=str) == [[Fenced()], [True]]
    assert len(results(queues)) == 1


def test_nobody_waits_in_a_circle(make_queues: MakeQueues, make_supabase: MakeSupabase) -> None:
    """A node that extends, writes and takes, beside an origin that takes back, all of the same pictures."""
    owner = make_queues()
    hand_over(owner, *range(1, 41))
    taken = take(owner, most=40)
    receipts = [one.receipt for one in taken]
    stop = threading.Event()

    def again(what: Callable[[], object]) -> int:
        count = 0
        while not stop.is_set():
            what()
            count += 1
        return count

    one, two, three = make_queues(), make_queues(), make_queues()
    catalog = make_supabase()
    with ThreadPoolExecutor(4) as threads:
        counts = [
            threads.submit(again, lambda: one.extend("a", {}, reversed(receipts), 60)),
            threads.submit(again, lambda: two.take("a", {}, 5, 60)),
            threads.submit(again, lambda: three.take_back(ORIGIN, [key(41), key(2), key(1)], untaken_only=True)),
        ]
        try:
            for number in range(39, -1, -2):
                batch = [rows(3, n + 1, receipts[n]) for n in (number, number - 1)]
                assert catalog.write_many(batch) == [True, True]
        finally:
            stop.set()
        assert all(count.result() > 0 for count in counts)


# Poison


def test_what_brings_down_its_nodes_is_dead_and_its_origin_hears_of_whom(
    queue_stack: RowServer, queues: Queues
) -> None:
    hand_over(queues, 1)
    for node in ("a", "b", "a", "c", "b"):
        assert numbers(take(queues, node)) == [1]
        expire(queue_stack)
    assert take(queues, "d") == []
    (result,) = results(queues)
    assert result.result == {
        **dead(1),
        "node": "a, b, c",
        "state": "fetched",
        "cause": "poison",
        "reason": "it was given out 5 times, and no node has finished it: a, b, c",
    }
    assert queues.status(ORIGIN, [key(1)]) == {key(1)}


def test_returned_ones_are_not_counted(queue_stack: RowServer, queues: Queues) -> None:
    hand_over(queues, 1)
    for number in range(12):
        (taken,) = take(queues, f"n{number}")
        assert queues.extend(f"n{number}", {}, [taken.receipt], 60)
        assert queues.settle(f"n{number}", [(taken.receipt, None)])
    assert numbers(take(queues, "last")) == [1]
    assert results(queues) == []


def test_lost_answers_are_not_counted_as_deaths(queue_stack: RowServer, queues: Queues) -> None:
    """A node that goes on asking, and never extends the lease, has not got the message."""
    hand_over(queues, 1)
    for _ in range(8):
        assert numbers(take(queues, "a")) == [1]
        queue_stack.sql("update pgmq.q_pd_live_v1 set vt = clock_timestamp()")
        queue_stack.sql(
            "update picturedesk.leases set taken_at = taken_at - interval '1 min', until = clock_timestamp()"
        )
        queues.take("a", {}, 0, 60)
    assert results(queues) == []
    assert numbers(take(queues, "a")) == [1]


def test_a_node_that_has_extended_its_lease_is_counted(queue_stack: RowServer, queues: Queues) -> None:
    hand_over(queues, 1)
    for _ in range(5):
        (taken,) = take(queues, "a")
        assert queues.extend("a", {}, [taken.receipt], 60)
        expire(queue_stack)
        queues.take("a", {}, 0, 60)
    assert take(queues, "a") == []
    assert [one.result["cause"] for one in results(queues)] == ["poison"]


def test_one_whose_revision_its_origin_makes_up_is_dead_all_the_same(queue_stack: RowServer, queues: Queues) -> None:
    """Else nobody would get what is behind it."""
    made_up = {**message(1), "message": {"id": 1, "revision": {"n": 10**30}}}
    queues.hand_over([("live", made_up), ("live", message(2))])
    assert len(take(queues)) == 2
    queue_stack.sql(
        "update picturedesk.leases set had = '{b,c,d,e}' where msg_id = (select min(msg_id) from picturedesk.leases)"
    )
    expire(queue_stack)
    assert numbers(take(queues, "b")) == [2]
    assert [one.result["revision"] for one in results(queues)] == [0]


# Results


def test_what_no_origin_could_read_is_refused_by_itself(
    queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    """All behind it would stay away from that origin, and so would all nodes."""
    hand_over(queues, 1, 2, 3)
    taken = [one.receipt for one in take(queues)]
    batch = [rows(3, number, receipt) for number, receipt in enumerate(taken, 1)]
    batch[1] = replace(batch[1], receipt={**taken[1].packed(), "result": {**published(2), "revision": 10**30}})
    first, refused, third = make_supabase().write_many(batch)
    assert (first, third) == (True, True) and isinstance(refused, RowFault) and "beyond 64 bits" in str(refused)
    assert [one.result["key"] for one in results(queues)] == [key(1), key(3)]
    boxes: Any = "x"
    for _ in range(20):
        boxes = [boxes]
    for odd in ({"reason": "x" * 16000}, {"new": boxes}, {"new": [-(10**19)]}):
        with pytest.raises(RowFault, match="a result must be"):
            queues.settle("a", [(taken[1], {**dead(2), **odd})])
        with pytest.raises(RowFault, match="what a node says of itself must be"):
            queues.take("a", odd, 0, 60)
    assert queues.extend("a", {}, [taken[1]], 60) == {taken[1]}
    sound = {**dead(2), "new": [boxes[0][0][0], 2**63 - 1, -(2**63), 0.5, "x" * 9000]}
    assert queues.settle("a", [(taken[1], sound)]) == {taken[1]}
    queue_stack.sql(f"""update pgmq.q_pd_results_{ORIGIN} set message = message || '{{"new": 1e5000}}'""")
    for one in results(queues):  # as an earlier version has filed it
        assert isinstance(read(one.result), UnreadableResult)


def test_results_come_until_they_are_done_and_to_their_own_origin(queues: Queues, make_supabase: MakeSupabase) -> None:
    queues.hand_over([("live", message(1)), ("live", message(2)), ("live", message(3, OTHER_ORIGIN))])
    taken = take(queues)
    forged = {**published(1), "key": key(3, OTHER_ORIGIN), "origin": OTHER_ORIGIN}
    batch = [rows(3, number, one.receipt) for number, one in enumerate(taken, 1)]
    first = batch[0]
    batch[0] = type(first)(first.channel, first.message, first.image, {**taken[0].receipt.packed(), "result": forged})
    assert make_supabase().write_many(batch) == [True, True, True]
    assert [one.result["key"] for one in queues.results(OTHER_ORIGIN, [], 9)] == [key(3, OTHER_ORIGIN)]
    once = queues.results(ORIGIN, [], 1)
    assert [one.result["key"] for one in once] == [key(1)]
    assert queues.results(ORIGIN, [], 1) == once, "the answer was lost"
    done = [once[0].msg_id]
    (second,) = queues.results(ORIGIN, done, 9)
    assert second.result["key"] == key(2)
    assert queues.results(ORIGIN, [*done, second.msg_id], 9) == []
    assert queues.results(ORIGIN, [*done, second.msg_id], 9) == []
    assert queues.results("0123456789ab", [1], 9) == []
    assert len(queues.results(OTHER_ORIGIN, [], 9)) == 1


@pytest.mark.parametrize("what", ["another message", "a published one settled", "a dead one written"])
def test_a_receipt_is_for_what_it_was_given_for(queues: Queues, make_supabase: MakeSupabase, what: str) -> None:
    hand_over(queues, 1)
    (taken,) = take(queues)
    if what == "a published one settled":
        with pytest.raises(RowFault, match="returned, or dead"):
            queues.settle("a", [(taken.receipt, published(1))])
    else:
        entry = rows(3, 2 if what == "another message" else 1, taken.receipt)
        receipt = {**taken.receipt.packed(), "result": published(1) if what == "another message" else dead(1)}
        (outcome,) = make_supabase().write_many([type(entry)(entry.channel, entry.message, entry.image, receipt)])
        assert isinstance(outcome, RowFault)
    assert results(queues) == []


def test_no_node_writes_a_later_revision_than_it_was_given(
    queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    """Else no edit and no tombstone of its origin would ever be later."""
    hand_over(queues, 1, 2)
    first, second = take(queues)
    catalog = make_supabase(key=queue_stack.keys.of_node)
    batch = [rows(2**63 - 1, 1, first.receipt), rows(2, 2, second.receipt)]
    assert catalog.write_many(batch) == [Fenced(), True], "an earlier one may be: the message was edited since"
    as_text = replace(batch[0], message={**batch[0].message, "revision": str(2**63 - 1)})
    assert catalog.write_many([as_text]) == [Fenced()], "it is compared as the number that it is written as"
    assert queue_stack.sql("select message_id, revision from messages") == [{"message_id": 2, "revision": 2}]
    assert numbers(one for one in take(queues)) == [] and queues.status(ORIGIN, [key(1)]) == {key(1)}
    assert catalog.write_many([rows(3, 1, first.receipt)]) == [True]


# Taking back, and how things are


def test_what_nobody_holds_is_taken_back(queues: Queues) -> None:
    hand_over(queues, 1, 2, 3)
    hand_over(queues, 4, queue="backfill")
    (taken,) = take(queues, most=1)
    keys = [key(number) for number in (1, 2, 4)]
    assert queues.take_back(OTHER_ORIGIN, keys, untaken_only=False) == set()
    assert queues.take_back(ORIGIN, keys, untaken_only=True) == {key(2), key(4)}
    assert queues.take_back(ORIGIN, keys, untaken_only=True) == {key(2), key(4)}, "the answer was lost"
    assert queues.status(ORIGIN, [*keys, key(3)]) == {key(1), key(3)}
    assert queues.extend("a", {}, [taken.receipt], 60) == {taken.receipt}
    assert queues.take_back(ORIGIN, [], untaken_only=True) == set()


def test_what_a_node_holds_is_taken_back_from_it(queue_stack: RowServer, queues: Queues, node: Queues) -> None:
    hand_over(queues, 1)
    (taken,) = take(node)
    assert queues.take_back(ORIGIN, [key(1)], untaken_only=False) == {key(1)}
    assert node.extend("a", {}, [taken.receipt], 60) == set()
    assert queues.status(ORIGIN, [key(1)]) == set()
    assert queue_stack.sql("select * from picturedesk.leases") == []


def test_what_has_a_result_is_not_taken_back(queues: Queues, make_supabase: MakeSupabase) -> None:
    hand_over(queues, 1)
    (taken,) = take(queues)
    make_supabase().write_many([rows(3, 1, taken.receipt)])
    assert queues.take_back(ORIGIN, [key(1)], untaken_only=False) == set()
    assert queues.status(ORIGIN, [key(1), key(2)]) == {key(1)}
    results(queues, [one.msg_id for one in results(queues)])
    assert queues.status(ORIGIN, [key(1), key(2)]) == set()


def test_nodes_and_queues_are_seen(queue_stack: RowServer, queues: Queues, node: Queues) -> None:
    assert [(one.name, one.length, one.oldest_seconds) for one in node.machines().queues] == [
        ("live", 0, None),
        ("backfill", 0, None),
    ]
    hand_over(queues, 1, 2)
    hand_over(queues, 3, 4, queue="backfill")
    taken = node.take("a", {"version": "1", "workers": 2}, 3, 60)
    node.take("b", {"version": "2"}, 0, 60)
    node.settle("a", [(taken[0].receipt, dead(1))])
    found = queues.machines(ORIGIN)
    assert [(one.node, one.about, one.in_hand, one.finished) for one in found.nodes] == [
        ("a", {"version": "1", "workers": 2}, 2, 1),
        ("b", {"version": "2"}, 0, 0),
    ]
    assert all(0 <= one.last_seen_seconds < 60 for one in found.nodes)
    assert [(one.name, one.length, one.taken) for one in found.queues] == [("live", 1, 1), ("backfill", 2, 1)]
    assert all(one.oldest_seconds is not None and 0 <= one.oldest_seconds < 60 for one in found.queues)
    assert (found.results, queues.machines().results, queues.machines(OTHER_ORIGIN).results) == (1, 0, 0)
    expire(queue_stack)
    found = queues.machines(ORIGIN)
    assert (found.nodes[0].in_hand, found.queues[0].taken) == (2, 0), "a node that is silent still has them"
    queue_stack.sql("update picturedesk.nodes set last_seen = now() - interval '25 h' where node = 'b'")
    queue_stack.sql("update picturedesk.leases set until = now() - interval '25 h'")
    assert [one.node for one in queues.machines(ORIGIN).nodes] == ["a"]
    assert queue_stack.sql("select * from picturedesk.leases") == []


def test_queues_that_were_emptied_or_made_anew_are_like_new(queue_stack: RowServer, queues: Queues) -> None:
    hand_over(queues, 1)
    for _ in range(4):
        assert take(queues)
        expire(queue_stack)
    (taken,) = take(queues)
    queue_stack.sql("truncate pgmq.q_pd_live_v1 restart identity")
    assert queues.extend("a", {}, [taken.receipt], 60) == set()
    assert queues.status(ORIGIN, [key(1)]) == set()
    hand_over(queues, 1)
    for _ in range(5):
        assert numbers(take(queues)) == [1], "what was there before does not count"
        expire(queue_stack)


# Answers that are none


@pytest.mark.parametrize(
    ("ask", "answer"),
    [
        (lambda queues: queues.take("a", {}, 1, 60), [{"queue": "pd_live_v1", "msg_id": "1", "read_ct": 1}]),
        (lambda queues: queues.take("a", {}, 1, 60), [7]),
        (lambda queues: queues.hand_over([("live", message(1))]), [{"key": key(1)}]),
        (lambda queues: queues.results(ORIGIN, [], 1), [{"msg_id": 1, "enqueued_at": "now", "result": []}]),
        (lambda queues: queues.status(ORIGIN, [key(1)]), [key(2)]),
        (lambda queues: queues.take_back(ORIGIN, [key(1)], untaken_only=True), [True]),
        (lambda queues: queues.extend("a", {}, [], 60), [{"queue": "pd_live_v1", "msg_id": True, "read_ct": 1}]),
        (lambda queues: queues.machines(ORIGIN), []),
        (lambda queues: queues.machines(ORIGIN), [{"nodes": [], "queues": [{}], "results": 1}]),
        (lambda queues: queues.faults(), [None]),
    ],
)
def test_nonsense_is_a_fault_of_the_service(
    monkeypatch: pytest.MonkeyPatch, queues: Queues, ask: Callable[[Queues], object], answer: list[Any]
) -> None:
    monkeypatch.setattr(queues.project, "call", lambda function, **arguments: answer)
    with pytest.raises(CatalogFault, match="the answer is not the catalogue's"):
        ask(queues)


def test_receipts_are_sent_to_no_schema_that_knows_none(
    queue_stack: RowServer, queues: Queues, make_supabase: MakeSupabase
) -> None:
    """It would write the row, and leave the picture in its queue."""
    hand_over(queues, 1)
    (taken,) = take(queues)
    queue_stack.sql(
        "create or replace function public.picturedesk_version() returns jsonb language sql as $$select '[2]'::jsonb$$"
    )
    try:
        with pytest.raises(CatalogFault, match="knows no receipts") as caught:
            make_supabase().write_many([rows(3, 1, taken.receipt)])
        assert caught.value.fatal
        assert make_supabase().outdated() is None, "for who works alone it has all it needs"
        assert "ingest_messages is of an earlier version" in queues.faults()[0]
    finally:
        queue_stack.apply_schema()
    assert written(queue_stack) == []


def test_a_line_that_is_cut_is_asked_again(queue_stack: RowServer, make_queues: MakeQueues) -> None:
    with FaultProxy(queue_stack.port) as proxy:
        queues = make_queues(url=proxy.url)
        hand_over(queues, 1)
        assert proxy.requests
        assert numbers(take(queues)) == [1]
