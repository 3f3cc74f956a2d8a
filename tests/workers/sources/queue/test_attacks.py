"""A node whose messages, bucket, clock, disk and project are not as they should be: nothing of anybody's is lost."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipc.journal import queue, transitions
from ipc.journal.machines import taken
from ipc.machines.result import Dead, Published
from tests.ipc.tables import connection_of, scalar, sql
from tests.servers.faults import Answer, Endless, FaultProxy, Pass, Refuse
from tests.servers.objects import ObjectServer
from tests.servers.rows import OWNER, RowServer
from tests.workers.desk import Desk
from tests.workers.sources.queue.bench import PICTURE, Bench, rows_of
from tests.workers.sources.queue.origin import Origin
from workers.sources.queue import fetching as fetching_module
from workers.sources.queue.fetching import Fetching

MakeBench = Callable[..., Bench]


# What a queue may hold


def test_messages_that_are_none_of_ours_stop_nothing(make_bench: MakeBench, origin: Origin) -> None:
    sound = [origin.handover(number, PICTURE).packed() for number in range(1, 8)]
    hostile = [
        {**sound[0], "bytes": -5},
        {**sound[1], "message": {**sound[1]["message"], "revision": 2**63}},
        {**sound[2], "terms": {**sound[2]["terms"], "wire_bucket": ["a"]}},
        {**sound[3], "sha256": "../../../../etc/passwd"},
        {**sound[4], "message": {**sound[4]["message"], "caption": "x" * 2**20}},
        {"key": f"{origin.id}:?", "origin": origin.id},
        {**sound[5], "terms": {**sound[5]["terms"], "url": 5}},
    ]
    origin.queues.hand_over([("live", one) for one in hostile])
    origin.queues.hand_over([("backfill", sound[6])])
    bench = make_bench(machines={"lease_seconds": 2.0})
    bench.fetch()
    assert len(bench.source.taking) > 0
    bench.render()
    bench.publish()
    assert set(origin.results()) == {7} and bench.counters() == (1, 0, 0, 0)
    bench.source.end()
    assert (origin.queued(), origin.in_hand()) == (len(hostile), 0), "all are given back"


def test_what_the_journal_refuses_is_given_back(
    make_bench: MakeBench, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise OverflowError("what no check has thought of")

    bench = make_bench()
    origin.hand_over(1, PICTURE)
    with monkeypatch.context() as patch:
        patch.setattr(taken, "put", refuse)
        bench.go_on_until("it to be refused", lambda: len(bench.source.taking))
    assert bench.is_empty() and "OverflowError" in bench.source.taking.refusal.reason  # type: ignore[union-attr]
    bench.source.end()
    assert (origin.queued(), origin.in_hand()) == (1, 0)


@pytest.mark.parametrize("size", ["larger", "endless"])
def test_an_original_that_is_larger_than_announced_is_not_read_to_its_end(
    size: str, make_bench: MakeBench, origin: Origin, object_server: ObjectServer
) -> None:
    with FaultProxy(object_server.port) as proxy:
        bench = make_bench(storage={"endpoint": proxy.url})
        sent = origin.handover(1, PICTURE)
        if size == "larger":
            object_server.client().put_object(Bucket=origin.bucket, Key=sent.object, Body=PICTURE * 2)
        else:
            proxy.set(Endless(b"HTTP/1.1 200 OK\r\n\r\n", b"x" * 2**16))
        origin.send(sent)
        query = "SELECT reason FROM jobs WHERE attempts = 1"
        bench.go_on_until("it to fail", lambda: sql(bench.desk.journal, query))
        reason = scalar(bench.desk.journal, query)
        assert f"larger than {len(PICTURE):,} bytes" in reason
        assert bench.desk.spooled() == set()


# The bucket


def test_a_bucket_that_refuses_the_keys_costs_no_attempt(
    make_bench: MakeBench, origin: Origin, object_server: ObjectServer
) -> None:
    denied = b"<Error><Code>AccessDenied</Code><Message>Access Denied</Message></Error>"
    with FaultProxy(object_server.port) as proxy:
        proxy.set(Answer(403, denied, {"Content-Type": "application/xml"}))
        bench = make_bench(storage={"endpoint": proxy.url})
        origin.hand_over(1, PICTURE)
        bench.go_on_until("a failure", lambda: bench.source.fetching.bucket_error)
        bench.source.report()
        assert "give the key the right" in bench.reports("machines")[-1]["error"]
        proxy.set(Pass())
        bench.fetch()
        assert scalar(bench.desk.journal, "SELECT max(attempts) FROM jobs") == 0


def test_a_bucket_that_dribbles_holds_no_fetch_for_ever(
    make_bench: MakeBench, origin: Origin, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fetching_module, "LONGEST_SECONDS", 0.5)
    with FaultProxy(object_server.port) as proxy:
        bench = make_bench(storage={"endpoint": proxy.url})
        proxy.set(Endless(b"HTTP/1.1 200 OK\r\nContent-Length: 99\r\n\r\n", b"x", seconds=0.1))
        origin.send(replace(origin.handover(1, PICTURE), bytes=99))
        bench.go_on_until("it to be given up", lambda: bench.source.fetching.bucket_error)
        fetching: Fetching = bench.source.fetching
        bench.go_on_until("it to be given back", lambda: not bench.states())
        assert not fetching.is_under_way and fetches() == 1, "it gets no second one"
        proxy.set(Refuse())
        bench.go_on_until("its thread to end", lambda: not fetches())
    assert bench.is_empty() and bench.counters() == (0, 0, 1, 0)


def fetches() -> int:
    """How many originals are being fetched by some thread."""
    return sum(one.name.startswith("fetch of job") for one in threading.enumerate())


def test_an_origin_whose_originals_are_out_of_reach_keeps_no_other_one_waiting(
    make_bench: MakeBench, origin: Origin
) -> None:
    bench = make_bench(machines={"workers": 1})
    sound = [origin.handover(number, PICTURE + bytes([number])) for number in range(1, 9)]
    away = [replace(one, terms=replace(one.terms, wire_bucket="no-such-bucket")) for one in sound[:4]]
    origin.send(*away, *sound[4:])
    bench.go_on_until("the others", lambda: bench.states().count("fetched") == 2)
    assert {one.key.split(":")[2] for one in taken.in_hand(bench.desk.journal)} <= {"5", "6", "7", "8"}
    assert not bench.source.fetching.bucket_error
    refusal = bench.source.taking.refusal
    assert refusal and "NoSuchBucket" in refusal.reason and "don't reach" in refusal.reason
    bench.source.end()
    assert (origin.queued(), origin.in_hand()) == (8, 0)


def test_what_was_handed_over_before_a_backup_of_the_queues_comes_to_an_end(
    make_bench: MakeBench, origin: Origin, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its originals are deleted for good, so no node can do it, and it comes before all that is new."""
    monkeypatch.setattr(fetching_module, "LOST_SECONDS", 0.01)
    bench = make_bench(retry={"max_attempts": 5, "base_seconds": 3600.0}, machines={"workers": 1})
    before = [origin.handover(number, PICTURE) for number in (1, 2, 3)]
    for one in before:
        object_server.client().delete_object(Bucket=origin.bucket, Key=one.object)
    origin.send(*before, origin.handover(4, PICTURE))
    bench.fetch()
    results = origin.results()
    assert {(type(one), getattr(one, "state", "")) for one in results.values()} == {(Dead, "seen")}
    assert origin.queued() == origin.in_hand() <= 2 and bench.counters()[2] == 0, "nobody else gets them"


# The clock, the disk, the answers


def test_a_clock_that_is_set_gives_nothing_back(
    make_bench: MakeBench, origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench()
    origin.hand_over(1, PICTURE)
    bench.fetch()
    bench.source.go_on()
    now = time.time
    for hours in (1, -1):
        monkeypatch.setattr(time, "time", lambda hours=hours: now() + 3600 * hours)
        bench.source.keeping.extend()
        bench.source.go_on()
        assert bench.states() == ["fetched"] and origin.in_hand() == 1
    keeping = bench.source.keeping
    keeping._clock = lambda: time.monotonic() + 601
    keeping.give_away()
    assert bench.is_empty() and bench.counters() == (0, 0, 1, 0)


def test_a_journal_that_is_full_costs_no_picture_its_lease(make_bench: MakeBench, origin: Origin) -> None:
    bench = make_bench()
    bench.source.go_on()
    pages = scalar(bench.desk.journal, "PRAGMA page_count")
    sql(bench.desk.journal, f"PRAGMA max_page_count = {pages}")
    sent = [origin.handover(number, PICTURE) for number in (1, 2, 3)]
    origin.send(*(replace(one, post=replace(one.post, caption="x" * 60_000)) for one in sent))
    with pytest.raises(sqlite3.OperationalError, match="full"):
        bench.go_on_until("the disk to be full", lambda: False)
    assert (len(bench.states()), origin.in_hand()) == (0, 0)
    assert {one.receipt.read_ct for one in origin.take()} == {2}, "others get them at once"


def test_what_another_incarnation_has_not_got_on_with_is_given_back_in_time(
    make_bench: MakeBench, origin: Origin
) -> None:
    """Else a process that dies of a picture would keep it for ever."""
    bench = make_bench()
    origin.hand_over(1, PICTURE)
    bench.fetch()
    bench.source.go_on()
    sql(bench.desk.journal, "UPDATE taken SET taken_at = taken_at - 601")
    bench.source.go_on()
    assert bench.states() == ["fetched"], "its own clock has not said so"
    bench.start()
    bench.source.go_on()
    assert bench.is_empty() and bench.counters() == (0, 0, 1, 0)


def test_a_reason_that_the_database_can_not_hold_reaches_the_origin_all_the_same(
    make_bench: MakeBench, origin: Origin
) -> None:
    bench = make_bench()
    origin.hand_over(1, b"no picture")
    bench.fetch()
    (job,) = queue.due(bench.desk.journal, "fetched", 9)
    assert transitions.bury(bench.desk.journal, job, "a marker \0, and more")
    bench.go_on_until("the answer", bench.is_empty)
    assert "a marker \ufffd, and more" in str(origin.results()[1])


# Projects, machines


def forget_all_of_it(rows: RowServer) -> None:
    """Have the project be another one, whose queues count from one as well."""
    rows.empty_queues()
    rows.sql("truncate pgmq.q_pd_live_v1 restart identity")


def test_receipts_of_another_project_do_no_harm_in_this_one(
    make_bench: MakeBench, origin: Origin, queue_server: RowServer
) -> None:
    """They look like those of messages that somebody else has here."""
    forget_all_of_it(queue_server)
    bench = make_bench()
    origin.send(origin.handover(1, PICTURE), origin.handover(2, PICTURE + b"2"))
    bench.fetch(2)
    for job in queue.due(bench.desk.journal, "fetched", 1):
        assert transitions.bury(bench.desk.journal, job, "no picture")
    forget_all_of_it(queue_server)
    origin.send(origin.handover(8, PICTURE), origin.handover(9, PICTURE))
    theirs, ours = origin.take(), taken.in_hand(bench.desk.journal)
    assert {replace(one.receipt, key=None) for one in theirs} == {replace(one.receipt, key=None) for one in ours}
    bench.start()
    for _ in range(3):
        bench.source.go_on()
    assert origin.results() == {} and (origin.queued(), origin.in_hand()) == (2, 2)
    assert bench.is_empty() and bench.counters() == (0, 0, 0, 2)


def test_of_two_nodes_with_one_journal_each_picture_has_one_row(
    make_bench: MakeBench,
    origin: Origin,
    queue_server: RowServer,
    object_server: ObjectServer,
    bucket: str,
    tmp_path: Path,
) -> None:
    """A machine was copied while it had something in hand: both have the same name, and the same receipts."""
    first = make_bench()
    origin.send(*(origin.handover(number, PICTURE + bytes([number])) for number in (1, 2)))
    first.fetch(2)
    (tmp_path / "copy").mkdir()
    with sqlite3.connect(tmp_path / "copy" / "journal.db") as copy:
        connection_of(first.desk.journal).backup(copy)
    copy.close()
    desk = Desk(tmp_path / "copy")
    try:
        for job in queue.due(desk.journal, "fetched", 9):
            desk.spool.write_original(job.id, job.generation, lambda part: part.write_bytes(PICTURE))
        second = Bench(desk, queue_server, object_server, bucket)
        for bench in (first, second):
            bench.source.go_on()
            bench.render()
        origin.hand_over(3, PICTURE)
        first.publish()
        second.publish()
        second.fetch()
        first.source.go_on()
        second.render()
        second.publish()
        assert first.is_empty() and second.is_empty()
        assert first.counters() == (2, 0, 0, 0) and second.counters() == (1, 0, 0, 2)
    finally:
        desk.close()
    assert rows_of(queue_server) == [1, 2, 3] and origin.queued() == 0
    assert all(isinstance(one, Published) for one in origin.results().values()) and len(origin.results()) == 3


def test_a_node_whose_right_is_taken_away_says_so_and_goes_on_when_it_is_back(
    make_bench: MakeBench, origin: Origin, queue_server: RowServer
) -> None:
    bench = make_bench(catalog={"key": queue_server.keys.of_node})
    origin.hand_over(1, PICTURE)
    bench.fetch()
    queue_server.sql("revoke picturedesk_node from authenticator", role=OWNER)
    try:
        bench.render()
        bench.publish()
        bench.source._next_extension = 0.0
        bench.go_on_until("a failure", lambda: bench.source.database.error)
        report: dict[str, Any] = bench.reports("machines")[-1]
        assert report["remedy"], report
        assert bench.states() == ["rendered"]
    finally:
        queue_server.sql("grant picturedesk_node to authenticator", role=OWNER)
    bench.go_on_until("it to be published", lambda: bench.publisher.publish_due() or bench.is_empty())
    assert bench.counters() == (1, 0, 0, 0) and rows_of(queue_server) == [1]


def test_what_is_stored_while_its_lease_is_asked_for_is_not_dropped(make_bench: MakeBench, origin: Origin) -> None:
    """Its row may be there by then: then the database does not know the receipt any more."""
    bench = make_bench()
    origin.hand_over(1, PICTURE)
    bench.fetch()
    bench.render()
    keeping, database = bench.source.keeping, bench.source.database
    extend = database.extend

    def slow(receipts: Any) -> Any:
        assert bench.publisher.object_stage.step() == 1
        (one,) = taken.in_hand(bench.desk.journal)
        origin.queues.take_back(origin.id, [one.key], untaken_only=False)
        return extend(receipts)

    database.extend = slow  # type: ignore[method-assign]
    assert keeping.extend()
    assert bench.states() == ["rendered"] and bench.counters() == (0, 0, 0, 0)
