"""The source and the uploader's stages of a node in the test's own thread, with a real bucket, PostgREST and pgmq."""

from __future__ import annotations

import errno
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from ipc.journal import breakers, figures, queue, transitions
from ipc.journal.machines import taken
from ipc.machines.result import Dead, Published
from tests import lengths
from tests.ipc.tables import scalar, sql
from tests.servers.faults import Answer, FaultProxy, LostAnswer, Refuse
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import LADDER
from tests.workers.sources.queue.bench import PICTURE, WAIT_SECONDS, Bench, asks, rows_of
from tests.workers.sources.queue.origin import Origin
from workers.sources.queue import decisions, report, source
from workers.sources.queue import fetching as fetching_module


def test_a_picture_goes_its_way_by_its_origins_terms(
    make_bench: Callable[..., Bench], origin: Origin, queue_server: RowServer
) -> None:
    bench = make_bench()
    sent = origin.hand_over(1, PICTURE, revision=77)
    bench.fetch()
    assert origin.in_hand() == 1
    bench.render()
    bench.publish()
    assert bench.is_empty() and bench.counters() == (1, 0, 0, 0)
    assert rows_of(queue_server) == [1] and origin.queued() == 0
    result = origin.results()[1]
    assert isinstance(result, Published)
    assert (result.key, result.revision, result.original) == (sent.key, 77, "stripped")
    assert result.address.url == "https://pictures.example.org/pictures/"
    (image,) = queue_server.sql("select renditions from public.images")
    digest = sent.sha256
    assert {one["url"] for one in image["renditions"]} == {
        f"https://pictures.example.org/pictures/{digest[:2]}/{digest}/{name}" for name in LADDER
    }
    assert figures.totals(bench.desk.journal)["processed"] == 1


def test_a_dead_one_is_told_and_forgotten(make_bench: Callable[..., Bench], origin: Origin) -> None:
    bench = make_bench()
    origin.hand_over(1, b"no picture")
    bench.fetch()
    (job,) = queue.due(bench.desk.journal, "fetched", 9)
    assert transitions.bury(bench.desk.journal, job, "it killed its workers", cause="poison")
    bench.go_on_until("the answer", bench.is_empty)
    result = origin.results()[1]
    assert isinstance(result, Dead)
    assert (result.state, result.cause, result.reason) == ("fetched", "poison", "it killed its workers")
    assert not result.is_doubtful
    assert bench.counters() == (0, 1, 0, 0) and origin.queued() == 0


def test_an_origin_is_told_that_an_original_can_not_be_decoded(
    make_bench: Callable[..., Bench], origin: Origin
) -> None:
    """Here only the same bytes come again; it may have others."""
    bench = make_bench()
    origin.hand_over(1, b"no picture")
    for _ in range(2):
        bench.fetch()
        (job,) = queue.due(bench.desk.journal, "fetched", 9)
        if not transitions.doubt(bench.desk.journal, job, "no picture"):
            assert transitions.bury(bench.desk.journal, job, "no picture")
    bench.go_on_until("the answer", bench.is_empty)
    result = origin.results()[1]
    assert isinstance(result, Dead) and result.is_doubtful


def test_no_more_is_taken_than_there_is_room_for(make_bench: Callable[..., Bench], origin: Origin) -> None:
    bench = make_bench()
    origin.send(*(origin.handover(number, PICTURE + bytes([number])) for number in range(1, 10)))
    bench.fetch(4)
    for _ in range(5):
        bench.source.go_on()
    assert len(bench.states()) == origin.in_hand() == decisions.TO_RENDER * 2
    bench.render()
    bench.fetch(4)
    assert len(bench.states()) == origin.in_hand() == decisions.IN_HAND * 2


def test_a_source_that_ends_gives_back_what_no_worker_has(make_bench: Callable[..., Bench], origin: Origin) -> None:
    bench = make_bench()
    origin.send(*(origin.handover(number, PICTURE + bytes([number])) for number in (1, 2, 3)))
    bench.fetch(3)
    first, *_ = queue.due(bench.desk.journal, "fetched", 9)
    assert transitions.claim(bench.desk.journal, first, "image-1")
    bench.source.end()
    assert [one.job for one in taken.in_hand(bench.desk.journal)] == [first.id]
    assert bench.counters() == (0, 0, 2, 0)
    assert bench.desk.spooled() == {f"{first.id}.1/original"}
    assert (origin.queued(), origin.in_hand()) == (3, 1)
    assert {one.receipt.read_ct for one in origin.take()} != {0}, "others get them at once"


def test_of_two_that_have_it_one_writes_its_row(
    make_bench: Callable[..., Bench], origin: Origin, queue_server: RowServer
) -> None:
    bench = make_bench()
    origin.hand_over(1, PICTURE)
    bench.fetch()
    bench.render()
    queue_server.sql("update pgmq.q_pd_live_v1 set vt = clock_timestamp()")  # as if its lease were over
    (stolen,) = origin.take()
    bench.publish()
    assert bench.is_empty() and bench.counters() == (0, 0, 0, 1)
    assert rows_of(queue_server) == [] and origin.results() == {}
    assert origin.in_hand() == 1 and stolen.receipt.read_ct == 2


def test_what_was_lost_is_dropped_by_the_next_incarnation(make_bench: Callable[..., Bench], origin: Origin) -> None:
    bench = make_bench()
    origin.send(origin.handover(1, PICTURE), origin.handover(2, PICTURE + b"2"))
    bench.fetch(2)
    lost = taken.in_hand(bench.desk.journal)[0]
    assert origin.queues.take_back(origin.id, [lost.key], untaken_only=False) == {lost.key}
    bench.start()
    bench.source.go_on()
    assert [one.job for one in taken.in_hand(bench.desk.journal)] != [lost.job]
    assert bench.counters() == (0, 0, 0, 1) and len(bench.states()) == 1


def test_one_that_comes_again_only_renews_its_receipt(
    make_bench: Callable[..., Bench], origin: Origin, queue_server: RowServer
) -> None:
    bench = make_bench()
    origin.hand_over(1, PICTURE)
    bench.fetch()
    queue_server.sql("update pgmq.q_pd_live_v1 set vt = clock_timestamp()")
    bench.go_on_until("it to come again", lambda: taken.in_hand(bench.desk.journal)[0].receipt.read_ct == 2)
    bench.render()
    bench.publish()
    assert bench.is_empty() and bench.counters() == (1, 0, 0, 0) and rows_of(queue_server) == [1]


def test_a_later_hand_over_of_a_message_takes_the_place_of_the_one_in_hand(
    make_bench: Callable[..., Bench], origin: Origin, queue_server: RowServer
) -> None:
    bench = make_bench()
    first = origin.hand_over(1, PICTURE)
    bench.fetch()
    (before,) = taken.in_hand(bench.desk.journal)
    origin.queues.take_back(origin.id, [str(first.key)], untaken_only=False)
    second = origin.hand_over(1, PICTURE + b", another one", revision=2000)
    bench.go_on_until("the other one", lambda: taken.in_hand(bench.desk.journal)[0].key == str(second.key))
    bench.fetch()
    (after,) = taken.in_hand(bench.desk.journal)
    assert after.job > before.job
    bench.render()
    bench.publish()
    assert bench.is_empty() and bench.counters() == (1, 0, 0, 1)
    assert queue_server.sql("select sha256 from public.images") == [{"sha256": second.sha256}]


def test_what_can_not_be_used_here_is_given_back_later_and_the_rest_goes_on(
    make_bench: Callable[..., Bench], origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By a database of the version before, which does not look at what a node can use."""

    def about(*facts: Any) -> dict[str, Any]:
        return {name: fact for name, fact in report.about(*facts).items() if name not in ("bucket", "reads")}

    monkeypatch.setattr(source, "about", about)
    bench = make_bench(machines={"lease_seconds": 2.0})
    elsewhere = origin.handover(1, PICTURE)
    newer = origin.handover(2, PICTURE)
    origin.send(replace(elsewhere, terms=replace(elsewhere.terms, bucket="another")))
    origin.queues.hand_over([("live", {**newer.packed(), "v": 99})])
    bench.desk.take(3)  # of this journal's own channel
    own = origin.handover(4, PICTURE)
    own = replace(
        own, post=replace(own.post, channel_id=77, message_id=3), key=replace(own.key, channel_id=77, message_id=3)
    )
    own = replace(own, channel=replace(own.channel, id=77))
    origin.send(own)
    origin.hand_over(5, PICTURE)
    bench.fetch()
    (one,) = taken.in_hand(bench.desk.journal)
    assert one.key.split(":")[2] == "5"
    reports = bench.reports("machines")
    assert any(facts["other_bucket"] and "another" in facts["refused"] for facts in reports)
    reasons = {one.refusal.reason for one in bench.source.taking._parked}
    assert (
        len(reasons) == 3 and any("version 99" in one for one in reasons) and any("state_dir" in one for one in reasons)
    )
    bench.go_on_until("them to be given back", lambda: origin.in_hand() == 1)
    assert bench.desk.of(3).state == "seen" and bench.desk.of(3).source == "export"
    bench.source.end()
    assert (origin.queued(), origin.in_hand()) == (4, 0)


def test_an_original_that_is_not_there_or_another_costs_an_attempt(
    make_bench: Callable[..., Bench], origin: Origin, object_server: ObjectServer
) -> None:
    bench = make_bench()
    gone, other = origin.handover(1, PICTURE), origin.handover(2, PICTURE)
    object_server.client().delete_object(Bucket=origin.bucket, Key=gone.object)
    object_server.client().put_object(Bucket=origin.bucket, Key=other.object, Body=b"another")
    origin.send(gone, other)
    query = "SELECT attempts, reason FROM jobs WHERE attempts > 0 ORDER BY message_id"
    bench.go_on_until("both to fail", lambda: len(sql(bench.desk.journal, query)) == 2)
    reasons = [row["reason"] for row in sql(bench.desk.journal, query)]
    assert "is not in the bucket" in reasons[0] and "is not the original" in reasons[1]
    assert bench.desk.spooled() == set()


def test_a_bucket_that_is_away_costs_no_attempt_and_no_more_is_taken(
    make_bench: Callable[..., Bench], origin: Origin, object_server: ObjectServer
) -> None:
    with FaultProxy(object_server.port) as proxy:
        bench = make_bench(storage={"endpoint": proxy.url})
        proxy.set(Answer(503))
        origin.send(*(origin.handover(number, PICTURE + bytes([number])) for number in range(1, 9)))
        bench.go_on_until("a failure", lambda: bench.source.fetching.bucket_error)
        in_hand = len(bench.states())
        for _ in range(3):
            bench.source.go_on()
        assert len(bench.states()) == in_hand <= 4
        proxy.set(LostAnswer(times=0))
        bench.go_on_until("the originals", lambda: bench.states().count("fetched") == 4)
        assert scalar(bench.desk.journal, "SELECT max(attempts) FROM jobs") == 0


def test_nothing_is_taken_while_it_could_not_be_published(make_bench: Callable[..., Bench], origin: Origin) -> None:
    bench = make_bench()
    breakers.put(bench.desk.journal, "storage", time.time(), time.time() + 60, "no answer", "")
    origin.hand_over(1, PICTURE)
    for _ in range(5):
        bench.source.go_on()
    assert bench.states() == [] and origin.in_hand() == 0
    breakers.drop(bench.desk.journal, "storage")
    bench.fetch()


def test_a_disk_that_is_full_takes_nothing_and_loses_nothing(
    make_bench: Callable[..., Bench], origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench(backpressure={"min_free_bytes": 2**60})
    origin.hand_over(1, PICTURE)
    for _ in range(5):
        bench.source.go_on()
    assert bench.states() == [] and origin.in_hand() == 0
    reports = bench.reports("connection")
    assert "spool" in reports[-1]["spool_error"] and reports[-1]["source"] == "queue"


def test_a_disk_that_fills_while_it_fetches_is_looked_at_again(
    make_bench: Callable[..., Bench], origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench()
    fetching = bench.source.fetching

    def full(*_: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(bench.desk.spool, "put_original", full)
        patch.setattr(fetching_module, "NO_ROOM_SECONDS", 0.1)
        patch.setattr(bench.desk.spool, "can_be_written", lambda: False)
        origin.hand_over(1, PICTURE)
        bench.go_on_until("the disk to be full", lambda: fetching.disk_error)
        origin.hand_over(2, PICTURE + b"2")
        for _ in range(4):
            bench.source.go_on()
        assert bench.states() == ["seen"] and origin.in_hand() == 1
    bench.fetch(2)
    assert not fetching.disk_error
    assert scalar(bench.desk.journal, "SELECT max(attempts) FROM jobs") == 0


def test_what_this_node_does_not_get_on_with_goes_to_another_one(
    make_bench: Callable[..., Bench], origin: Origin, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = make_bench()
    origin.send(origin.handover(1, PICTURE), origin.handover(2, PICTURE + b"2"))
    bench.fetch(2)
    bench.render()
    origin.send(origin.handover(3, PICTURE + b"3"))
    bench.fetch(1)  # its workers rest
    monkeypatch.setattr(decisions, "STAY_SECONDS", -1.0)
    bench.source.keeping.give_away()
    assert bench.is_empty() and bench.counters() == (0, 0, 3, 0) and (origin.queued(), origin.in_hand()) == (3, 0)


@pytest.mark.parametrize(
    "function", ["pd_take", "pd_extend", "pd_settle", *(["ingest_messages"] if lengths.is_long else [])]
)
def test_an_answer_that_is_lost_doubles_nothing(
    function: str, make_bench: Callable[..., Bench], origin: Origin, queue_server: RowServer
) -> None:
    with FaultProxy(queue_server.port) as proxy:
        bench = make_bench(catalog={"url": proxy.url}, machines={"lease_seconds": 1.0})
        # Twice, since the client itself asks again where a kept connection is cut.
        proxy.set(LostAnswer(times=2, when=asks(function)))
        origin.send(origin.handover(1, PICTURE), origin.handover(2, b"no picture"))

        def all_told() -> bool:
            for job in queue.due(bench.desk.journal, "fetched", 9):
                if job.message_id == 2:
                    transitions.bury(bench.desk.journal, job, "no picture")
            bench.render()
            bench.publisher.publish_due()
            return len(origin.results()) == 2 and bench.is_empty()

        bench.go_on_until("both results, and nothing in hand", all_told)
        assert {type(one) for one in origin.results().values()} == {Published, Dead}
        assert rows_of(queue_server) == [1] and origin.queued() == 0


def test_a_database_that_is_away_longer_than_the_lease(
    make_bench: Callable[..., Bench], origin: Origin, queue_server: RowServer
) -> None:
    with FaultProxy(queue_server.port) as proxy:
        bench = make_bench(catalog={"url": proxy.url, "answer_seconds": 0.5}, machines={"lease_seconds": 1.0})
        origin.send(origin.handover(1, PICTURE), origin.handover(2, PICTURE + b"2"))
        bench.fetch(2)
        proxy.set(Refuse())
        bench.render()
        bench.go_on_until("a failure", lambda: bench.source.database.error)
        until = time.monotonic() + WAIT_SECONDS
        while not (stolen := origin.take(1)):
            assert time.monotonic() < until
            time.sleep(0.1)
        proxy.set(LostAnswer(times=0))
        bench.go_on_until("what was lost to be dropped", lambda: len(bench.states()) == 1)
        bench.publish()
        bench.go_on_until("the rest to be published", lambda: bench.publisher.publish_due() or bench.is_empty())
        bench.go_on_until("nothing to be in hand", bench.is_empty)
        (number,) = {1, 2} - {int(stolen[0].message["message"]["id"])}
        assert rows_of(queue_server) == [number] and set(origin.results()) == {number}
        assert bench.counters() == (1, 0, 0, 1)


def test_a_database_that_lacks_its_functions_says_so(
    make_bench: Callable[..., Bench], row_server: RowServer, origin: Origin
) -> None:
    missing = b'{"code": "PGRST202", "message": "Could not find the function public.pd_extend"}'
    with FaultProxy(row_server.port) as proxy:
        proxy.set(Answer(404, missing, {"Content-Type": "application/json"}))
        bench = make_bench(catalog={"url": proxy.url})
        bench.source.go_on()
    (report,) = bench.reports("machines")
    assert "pd_extend" in report["schema"] and "schema --machines" in report["remedy"]
    assert bench.source.database.may_be_asked is False
