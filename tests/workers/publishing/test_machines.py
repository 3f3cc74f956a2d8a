"""An origin with a real bucket and the real queues: what is handed over comes back, whatever happens meanwhile."""

from __future__ import annotations

import hashlib
import json
import re
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import msgpack
import pytest

from ipc import editing, failpoints
from ipc.files.rows import RowLayout
from ipc.intake import take_handed_over, withdraw
from ipc.jobs import FailureCause, State
from ipc.journal import Journal, addresses, queue, transitions
from ipc.journal.machines import claims, taken
from ipc.journal.outputs import takedowns
from ipc.machines.handover import Handover
from ipc.posts import LIVE
from ipc.retry import RetryPolicy
from ipc.transport.messages import Report
from tests.ipc.builders import claim_of
from tests.ipc.tables import connection_of, sql
from tests.servers.faults import Answer, FaultProxy
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.workers.desk import CHANNEL, Desk
from tests.workers.publishing.catalog.queue_desk import expire
from tests.workers.publishing.machines_desk import MADE, Node, Origin, sections
from tests.workers.sources.queue.bench import asks
from workers.publishing.catalog.supabase.queues import Queues
from workers.publishing.gc import collect
from workers.publishing.machines import cleanup, fleet, hand_over, works
from workers.publishing.machines.keys import by_key
from workers.publishing.machines.wire import Wire
from workers.publishing.row_stage import RowStage
from workers.publishing.running.liveness import Liveness
from workers.publishing.service.breaker import Breaker
from workers.publishing.service.faults import ServiceFault
from workers.publishing.service.service import Service
from workers.publishing.storage import ObjectFault
from workers.publishing.storage.protocol import WIRE_CACHE_CONTROL
from workers.publishing.threads import never
from workers.uploader import machine_works_of


@pytest.fixture
def origin(object_server: ObjectServer, queue_server: RowServer, desk: Desk) -> Iterator[Origin]:
    queue_server.empty()
    queue_server.empty_queues()
    with object_server.bucket() as bucket:
        origin = Origin(desk, sections(object_server, queue_server, bucket))
        yield origin
        origin.close()


@pytest.fixture
def node(origin: Origin) -> Iterator[Node]:
    node = Node(origin)
    node.take(0)  # it says that it is there
    yield node
    node.close()


def fetch(origin: Origin, count: int) -> None:
    for number in range(1, count + 1):
        origin.desk.fetch(number)


def rows(queue_server: RowServer) -> dict[int, tuple[str, bool]]:
    """By message its caption, and whether readers see a picture."""
    found = queue_server.sql(
        "select message_id, caption, exists (select from public.pictures as one where one.message_id ="
        " messages.message_id) as is_public from public.messages"
    )
    return {row["message_id"]: (row["caption"], row["is_public"]) for row in found}


def assert_nothing_left(origin: Origin) -> None:
    origin.step()
    origin.step()
    assert not claims.is_any_left(origin.desk.journal) and origin.wire() == {}
    said = origin.fleet.said
    assert said is not None and said.results == 0 and [one.length for one in said.queues] == [0, 0]


def test_what_is_beyond_our_own_is_handed_over_and_comes_back(
    origin: Origin, node: Node, queue_server: RowServer
) -> None:
    fetch(origin, 6)
    origin.step()
    assert origin.steps() == ["handed"] * 4
    originals = {origin.desk.spool.original(job, 1).read_bytes() for job in (3, 4, 5, 6)}
    assert set(origin.wire().values()) == originals
    assert not any(hashlib.sha256(data).hexdigest() in " ".join(origin.wire()) for data in originals)
    assert node.take() == [3, 4, 5, 6]
    assert all(node.publish(number) for number in (3, 4, 5, 6))
    origin.step()
    assert origin.states() == {1: "fetched", 2: "fetched", **dict.fromkeys((3, 4, 5, 6), "published")}
    job = origin.desk.of(3)
    assert (job.original, job.recipe, job.stored, job.mime) == ("stripped", "0a1b2c3d", True, "image/jpeg")
    assert {name.split("/")[0] for name in origin.desk.spooled()} == {"1.1", "2.1"}
    assert set(rows(queue_server)) == {3, 4, 5, 6}
    assert_nothing_left(origin)


def test_an_idle_origin_hands_nothing_over_and_asks_seldom(origin: Origin, node: Node) -> None:
    fetch(origin, 2)
    origin.step()
    origin.asked.clear()
    for _ in range(200):
        origin.clock.now += 0.5
        origin.reconciler.step()
        origin.hand_over.step()
    assert origin.steps() == [] and 10 <= len(origin.asked) <= 30, origin.asked


def test_results_are_taken_within_a_second_also_after_a_pause(origin: Origin, node: Node) -> None:
    """As long as nothing was handed over, results were asked for seldom."""
    origin.step()
    fetch(origin, 6)
    origin.step(0.5)
    assert origin.steps() == ["handed"] * 4
    for number in node.take():
        node.publish(number)
    origin.step(1.0)
    assert set(origin.states().values()) == {"fetched", "published"} and origin.steps() == []
    assert node.queues.machines(origin.desk.journal.machine_id()).results == 0, "they are not confirmed"


def test_without_a_node_nothing_leaves_and_what_has_left_comes_home(origin: Origin, queue_server: RowServer) -> None:
    fetch(origin, 6)
    origin.step()
    assert origin.steps() == []
    node = Node(origin)
    node.take(0)
    origin.step()
    assert origin.steps() == ["handed"] * 4
    queue_server.sql("update picturedesk.nodes set last_seen = now() - interval '4 minutes'")
    origin.step()
    assert origin.steps() == [] and "fetched" in origin.desk.wakes()
    assert claims.left_to_render(origin.desk.journal, 99) == 6
    node.close()
    assert_nothing_left(origin)


def test_our_own_workers_get_back_what_no_node_holds(origin: Origin, node: Node) -> None:
    fetch(origin, 6)
    origin.step()
    assert node.take(1) == [3]
    for number in (1, 2):
        assert transitions.claim(origin.desk.journal, origin.desk.of(number), "image-1")
    origin.step()
    assert claims.left_to_render(origin.desk.journal, 99) == 2
    assert [claim_of(origin.desk.journal, number) is not None for number in (3, 4, 5, 6)] == [
        True,
        True,
        False,
        False,
    ]
    for number in (5, 6):
        assert transitions.claim(origin.desk.journal, origin.desk.of(number), "image-1")
    origin.step()
    origin.step()
    assert len(origin.steps()) == 1 and claim_of(origin.desk.journal, 3)
    assert node.publish(3)
    origin.step()
    assert origin.desk.of(3).state == "published"
    assert_nothing_left(origin)


def test_what_the_queue_has_lost_is_handed_over_again(origin: Origin, node: Node, queue_server: RowServer) -> None:
    """Also if a node has it, which can't publish any more; and a result that is lost after its row."""
    fetch(origin, 5)
    origin.step()
    assert node.take(2) == [3, 4] and node.publish(4)
    queue_server.sql("truncate pgmq.q_pd_live_v1, pgmq.q_pd_backfill_v1")
    queue_server.sql(f"truncate pgmq.q_pd_results_{origin.desk.journal.machine_id()}")
    assert not node.publish(3)
    move_back(origin.desk.journal, 400)
    origin.step(400)
    node.publish_all()
    origin.step()
    assert set(origin.states().values()) == {"fetched", "published"} and set(rows(queue_server)) == {3, 4, 5}
    assert_nothing_left(origin)


def test_what_nobody_waits_for_leaves_a_queue_that_was_restored(
    origin: Origin, node: Node, queue_server: RowServer
) -> None:
    """Also if a node holds it. Another origin's, and what is outstanding now, stays."""
    origin_id, journal = origin.desk.journal.machine_id(), origin.desk.journal
    fetch(origin, 5)
    origin.step()
    ended, *others = claims.newest(journal, 9)
    backup = queue_server.sql("select message::text from pgmq.q_pd_live_v1 where message #>> '{message,id}' = '5'")
    transitions.bring_back(journal, [ended.number])
    with closing(Wire(origin.options, origin_id)) as wire:
        assert cleanup.clear(journal, origin.hand_over.queues, wire, origin_id) == 1
    assert node.take() == [3, 4]
    queue_server.sql("insert into pgmq.q_pd_live_v1 (vt, message) values (now(), %(message)s)", backup[0])
    node.queues.hand_over([("live", {"key": "ff00:77:1:1:1", "origin": "ff00"})])
    assert node.queues.take("another", {}, 1, 60)[0].message["message"]["id"] == 5
    origin.clock.now += 400
    origin.reconciler.step()
    assert node.queues.queued(origin_id) == set(by_key(journal, origin_id, others)) and len(others) == 2
    assert node.queues.queued("ff00") == {"ff00:77:1:1:1"}


def test_an_earlier_machines_sql_keeps_nothing_from_being_handed_over_again(
    origin: Origin, node: Node, queue_server: RowServer
) -> None:
    fetch(origin, 3)
    origin.step()
    queue_server.sql("truncate pgmq.q_pd_live_v1, pgmq.q_pd_backfill_v1")
    move_back(origin.desk.journal, 400)
    missing = b'{"code": "PGRST202", "message": "Could not find the function public.pd_queued"}'
    with FaultProxy(queue_server.port) as proxy:
        proxy.set(Answer(404, missing, {"Content-Type": "application/json"}, when=asks("pd_queued")))
        origin.reconciler.queues = Queues(proxy.url, queue_server.keys.service_role)
        origin.step(400)
        origin.reconciler.close()
    assert node.take() == [3] and origin.fleet.trouble is None


def move_back(journal: Journal, seconds: float) -> None:
    """All claims were made that much earlier."""
    with journal.transaction():
        sql(journal, "UPDATE claims SET at = at - ?", seconds)


def test_an_original_that_the_bucket_has_lost_is_put_again(origin: Origin, node: Node) -> None:
    fetch(origin, 4)
    origin.step()
    before = origin.wire()
    for key in before:
        origin.storage.delete(key)
    origin.step(400)
    assert origin.wire() == before and origin.steps() == ["handed"] * 2
    node.publish_all()
    assert_nothing_left(origin)


def test_what_a_node_holds_stays_its_own_while_its_original_is_put_again(origin: Origin, node: Node) -> None:
    """Our own workers have time just then."""
    fetch(origin, 3)
    origin.step()
    assert node.take() == [3]
    (one,) = claims.newest(origin.desk.journal, 9)
    assert claims.move(origin.desk.journal, [one], "claimed") == 1
    for number in (1, 2):
        assert transitions.claim(origin.desk.journal, origin.desk.of(number), "image-1")
    origin.clock.now += 60
    origin.reconciler.step()
    assert claims.outstanding(origin.desk.journal) == 1 and node.publish(3)
    origin.step()
    assert origin.desk.of(3).state == "published"


def test_handed_over_again_it_is_in_the_queue_once_and_a_result_may_come_first(origin: Origin, node: Node) -> None:
    """The answer to pd_hand_over was lost, or the uploader was killed before it was recorded."""
    fetch(origin, 4)
    origin.step()
    claims.move(origin.desk.journal, claims.newest(origin.desk.journal, 9), "put")
    origin.step()
    assert node.take() == [3, 4]
    claims.move(origin.desk.journal, claims.newest(origin.desk.journal, 9), "put")
    assert node.publish(3)
    origin.step()
    assert origin.desk.of(3).state == "published" and origin.steps() == ["handed"]
    assert node.publish(4)
    assert_nothing_left(origin)


def test_an_original_that_is_damaged_in_the_spool_stays_here(origin: Origin, node: Node) -> None:
    fetch(origin, 4)
    origin.desk.spool.original(3, 1).write_bytes(b"other bytes")
    origin.desk.spool.original(4, 1).unlink()
    origin.step()
    origin.step()
    assert origin.steps() == [] and claims.left_to_render(origin.desk.journal, 9) == 4
    assert_nothing_left(origin)


CHANGES = ["edit", "delete", "infer", "picture", "hide", "block"]


@pytest.mark.parametrize("is_held", [True, False], ids=["held", "published"])
@pytest.mark.parametrize("change", CHANGES)
def test_a_change_meanwhile_wins(change: str, is_held: bool, origin: Origin, node: Node) -> None:
    """While a node holds the picture, or after it has written the row, of which the origin does not know yet."""
    fetch(origin, 3)
    origin.step()
    assert node.take() == [3]
    sha256 = origin.desk.of(3).sha256
    if not is_held:
        assert node.publish(3)
    make(change, origin)
    goes_on = change == "edit"
    if is_held:
        assert (origin.desk.of(3).claimed_by == "machines") is goes_on
        origin.hand_over.step()
        assert node.publish(3) is goes_on
    origin.step()
    job = origin.desk.of(3)
    assert job.claimed_by is None
    if change == "picture":
        assert job.state == "seen" and job.generation == 2
    else:
        assert (job.state, job.stored) == ("rendered", True)
        assert (job.sha256 == sha256) is (change in ("edit", "delete", "infer"))
    marked = {one.sha256: (one.step, one.looks) for one in takedowns.of(origin.desk.journal, job.id)}
    expected = {"delete": ("marked", 2), "picture": ("replaced", 2), "hide": ("replaced", 2), "block": ("replaced", 2)}
    assert marked.get(str(sha256)) == expected.get(change)
    assert job.shown
    assert_nothing_left(origin)


def make(change: str, origin: Origin) -> None:
    journal, now = origin.desk.journal, time.time()
    match change:
        case "edit":
            origin.desk.take(3, caption="edited", edited_at=int(now))
        case "delete" | "infer":
            assert withdraw(journal, CHANNEL, [3], now, is_told=change == "delete") == [3]
        case "picture":
            origin.desk.take(3, picture="b", edited_at=int(now))
        case "hide":
            assert editing.hide_posts(journal, [origin.desk.of(3)], now) == 1
        case "block":
            with journal.transaction():
                assert transitions.block(journal, origin.desk.of(3), str(origin.desk.of(3).sha256), now) == "hidden"


@pytest.mark.parametrize(
    ("state", "cause"), [("seen", "failure"), ("fetched", "failure"), ("fetched", "poison"), ("rendered", "failure")]
)
def test_what_a_node_can_not_do_is_done_here(state: State, cause: FailureCause, origin: Origin, node: Node) -> None:
    """Its original is lost in the bucket, the node has too little memory, or is so old that its row is refused. It is
    handed over to no other one.
    """
    fetch(origin, 3)
    origin.step()
    node.take()
    origin.desk.said()
    node.die([3], state, cause)
    origin.step()
    assert "fetched" in origin.desk.wakes()
    job = origin.desk.of(3)
    assert (job.state, job.attempts, job.reason) == ("fetched", 0, "node node-1: no picture")
    assert origin.steps() == [] and job.id in [one.id for one in queue.due(origin.desk.journal, "fetched", 9)]
    assert transitions.claim(origin.desk.journal, job, "image-1")
    assert transitions.record_rendered(origin.desk.journal, origin.desk.write_ladder(job))
    assert_nothing_left(origin)


def test_a_reason_that_the_database_refuses_is_told_all_the_same(origin: Origin, node: Node) -> None:
    fetch(origin, 3)
    origin.step()
    node.take()
    node.die([3], reason="the file \0 is \ud800 bad")
    origin.step()
    assert origin.desk.of(3).reason == "node node-1: the file \ufffd is \ufffd bad"
    assert_nothing_left(origin)


def answer(queue_server: RowServer, origin: Origin, node: Node, number: int, **changes: Any) -> None:
    """A node publishes, and its result is changed so on its way."""
    assert node.publish(number)
    table = f"pgmq.q_pd_results_{origin.desk.journal.machine_id()}"
    given = json.dumps(changes)
    queue_server.sql(f"update {table} set message = message || '{given}' where message ->> 'key' like '%:{number}:1:%'")


def test_a_result_of_a_newer_node_is_told_and_nothing_is_handed_over_for_a_while(
    origin: Origin, node: Node, queue_server: RowServer
) -> None:
    """Else it would be rendered there again and again, without end."""
    fetch(origin, 4)
    origin.step()
    assert node.take() == [3, 4]
    answer(queue_server, origin, node, 3, v=2)
    origin.desk.said()
    origin.step()
    facts = [one.facts for one in origin.desk.said() if isinstance(one, Report) and one.topic == "machines"][-1]
    assert facts["misread"] == "a result of version 2, this program understands 1: it has to be upgraded"
    assert origin.desk.of(3).attempts == 0 and origin.steps() == ["handed"]
    for number in (5, 6):
        origin.desk.fetch(number)
    origin.step()
    assert origin.steps() == ["handed"], "nothing more leaves"
    assert node.publish(4)
    origin.step(fleet.MISREAD_SECONDS)
    assert origin.desk.of(4).state == "published"
    assert origin.fleet.misread == "" and [one.job_id for one in claims.newest(origin.desk.journal, 9)] == [6, 5]
    assert origin.desk.of(3).state == "fetched", "our own workers have it"
    node.publish_all()
    assert_nothing_left(origin)


def test_a_result_that_says_nothing_costs_a_picture_one_round(
    origin: Origin, node: Node, queue_server: RowServer
) -> None:
    fetch(origin, 3)
    origin.step()
    assert node.take() == [3]
    answer(queue_server, origin, node, 3, done=7)
    origin.step()
    move_back(origin.desk.journal, 400)
    origin.step(400)
    assert origin.steps() == [] and node.take() == [] and "not a result" in origin.fleet.misread
    assert_nothing_left(origin)


def test_where_a_row_is_a_node_is_not_believed(origin: Origin, node: Node, queue_server: RowServer) -> None:
    """Objects are looked for, to be taken down, under each address that is recorded."""
    fetch(origin, 4)
    origin.step()
    assert node.take() == [3, 4]
    address = {"url": "https://elsewhere.example.org/", "prefix": "theirs/", "columns": 2}
    answer(queue_server, origin, node, 3, address=address)
    assert node.publish(4)
    assert origin.reconciler._results.read() == 2
    assert addresses.all_of(origin.desk.journal) == [("https://pictures.example.org/p/", "p/")]
    assert [origin.desk.of(number).state for number in (3, 4)] == ["published"] * 2
    assert origin.desk.of(3).address is None and origin.desk.of(4).address is not None


def damage(origin: Origin, number: int) -> None:
    """Make a job that can't be read any more, as nothing should."""
    appearance = msgpack.packb([b"", "#102030", b"12345678", False, 1, False, "new"])
    sql(origin.desk.journal, "UPDATE jobs SET appearance = ? WHERE id = ?", appearance, number)


def test_a_result_that_the_journal_refuses_keeps_no_other_one_out(origin: Origin, node: Node) -> None:
    fetch(origin, 5)
    origin.step()
    node.publish_all()
    refused = (
        "CREATE TRIGGER refused BEFORE UPDATE OF mime ON jobs WHEN OLD.id = 3 BEGIN SELECT RAISE(ABORT, 'no'); END"
    )
    sql(origin.desk.journal, refused)
    damage(origin, 4)
    assert origin.reconciler._results.read() == 3
    assert origin.states()[5] == "published" and origin.desk.of(3).claimed_by is None
    assert "IntegrityError: no" in str(origin.desk.of(3).reason) and "IntegrityError: no" in origin.fleet.misread
    assert origin.reconciler._results.read() == 0, "they don't come again"


def test_results_are_read_though_nodes_can_not_be_asked_for(
    origin: Origin, node: Node, queue_server: RowServer
) -> None:
    fetch(origin, 3)
    origin.step()
    node.publish_all()
    queue_server.sql("""update picturedesk.nodes set about = '{"workers": 1e5000}'""")
    origin.clock.now += 60
    with pytest.raises(ServiceFault, match="digits"):
        origin.reconciler.step()
    assert origin.desk.of(3).state == "published"
    assert origin.fleet.trouble and "digits" in origin.fleet.trouble.text


def test_one_that_can_not_be_decoded_is_fetched_again_once(origin: Origin, node: Node) -> None:
    """It may have come damaged. The same bytes a second time are the verdict, as they are on one machine."""
    fetch(origin, 3)
    origin.step()
    node.take()
    node.die([3], is_doubtful=True)
    origin.step()
    job = origin.desk.of(3)
    assert (job.state, job.doubts, job.reason) == ("seen", 1, "node node-1: no picture")
    assert transitions.record_fetched(origin.desk.journal, [(job, str(job.sha256), 9, None)]) == {job.id}
    origin.step()
    assert node.take() == [3]
    (first,) = claims.newest(origin.desk.journal, 9)
    node.die([3], is_doubtful=True)
    origin.step()
    job = origin.desk.of(3)
    assert (job.state, job.dead_state, job.reason) == ("dead", "fetched", "node node-1: no picture")
    assert transitions.revive(origin.desk.journal, [job.id]) == [job.id], "and it can be retried"
    origin.step()
    (again,) = claims.newest(origin.desk.journal, 9)
    assert again.number > first.number
    assert node.take() == [3] and Handover.unpacked(node.taken[3].message).key.number == again.number
    assert node.publish(3)
    origin.step()
    assert origin.desk.of(3).state == "published"
    assert_nothing_left(origin)


def test_large_originals_are_put_some_at_a_time(origin: Origin, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    """They are in memory meanwhile."""
    put = Wire.put
    sizes: list[int] = []

    def noted(wire: Wire, originals: Mapping[str, bytes]) -> dict[str, ObjectFault | None]:
        sizes.append(len(originals))
        return put(wire, originals)

    monkeypatch.setattr(hand_over, "PUT_BYTES", 1)
    monkeypatch.setattr(Wire, "put", noted)
    fetch(origin, 6)
    origin.step()
    assert origin.steps() == ["handed"] * 4 and sizes == [1] * 4


def test_gc_passes_originals_on_their_way_over_until_they_are_a_week_old(
    origin: Origin, node: Node, object_server: ObjectServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Then it deletes those of other origins, in both buckets that the settings name; never what this journal knows."""
    fetch(origin, 4)
    origin.step()
    strays = [f"p/wire/ff00/{'0' * 32}", f"p/wire/{'0' * 32}"]
    with object_server.bucket() as bucket:
        options = {"state_dir": str(origin.desk.state_dir), **origin.options}
        options["machines"] = {**options["machines"], "wire_bucket": bucket}
        for name, keys in ((origin.options["storage"]["bucket"], [*strays, "p/wire/ff00/a"]), (bucket, strays)):
            for key in keys:
                object_server.client().put_object(Bucket=name, Key=key, Body=b"x")
        before = origin.wire()
        assert len(before) == 5
        assert list(collect(options, delete=True, grace_seconds=0.0)) == [] and origin.wire() == before
        monkeypatch.setattr("workers.publishing.gc.strays.STRAY_SECONDS", -60.0)
        assert len(list(collect(options, delete=False, grace_seconds=0.0))) == 4 and origin.wire() == before
        assert all(one.removed for one in collect(options, delete=True, grace_seconds=0.0))
        assert object_server.client().list_objects_v2(Bucket=bucket)["KeyCount"] == 0
    assert origin.wire().keys() == before.keys() - strays


def test_two_origins_of_one_bucket_leave_each_others_originals_alone(
    origin: Origin, node: Node, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(hand_over, "STRAY_SECONDS", -60.0)  # so each original that nobody knows goes at once
    (tmp_path / "other").mkdir()
    with closing(Desk(tmp_path / "other")) as desk, closing(Origin(desk, origin.options)) as other:
        for one in (origin, other):
            fetch(one, 3)
            one.step()
        ids = [one.journal.machine_id() for one in (origin.desk, desk)]
        assert {key.split("/")[2] for key in origin.wire()} == set(ids)
        stray = f"p/wire/{ids[0]}/{'0' * 32}"
        for key in (stray, f"p/wire/{'0' * 32}"):  # the other is that of a version before, of whatever origin
            origin.storage.put_document(key, b"x", "image/jpeg", WIRE_CACHE_CONTROL)
        before = set(origin.wire())
        other.step(400)
        assert set(origin.wire()) == before
        origin.step(400)
        assert set(origin.wire()) == before - {stray}


def test_an_original_that_a_version_before_has_put_is_deleted_in_the_end(origin: Origin, node: Node) -> None:
    """Its name has no origin in it."""
    fetch(origin, 3)
    origin.step(0.0)
    with origin.desk.journal.transaction():
        sql(origin.desk.journal, "UPDATE claims SET token = substr(token, 14), step = 'claimed'")
    for key in origin.wire():
        origin.storage.delete(key)
    origin.step()
    (key,) = origin.wire()
    assert re.fullmatch("p/wire/[0-9a-f]{32}", key)
    origin.step(400)
    assert list(origin.wire()) == [key]
    node.publish_all()
    assert_nothing_left(origin)


def test_nodes_of_another_bucket_get_nothing(origin: Origin) -> None:
    node = Node(origin)
    node.about["bucket"] = "another"
    node.take(0)
    fetch(origin, 4)
    origin.step()
    assert origin.steps() == []
    facts = [one.facts for one in origin.desk.said() if isinstance(one, Report) and one.topic == "machines"][-1]
    assert facts["other_bucket"] and "node-1 has 'another'" in facts["refused"]
    node.about["bucket"] = origin.options["storage"]["bucket"]
    node.take(0)
    origin.step()
    assert origin.steps() == ["handed"] * 2 and node.take() == [3, 4]
    node.close()


def test_a_row_with_an_old_receipt_does_not_cost_a_node_the_message_that_came_again(
    origin: Origin, node: Node, queue_server: RowServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its lease was over, and it got it again, while its row was on its way."""
    fetch(origin, 3)
    origin.step()
    assert node.take() == [3]
    handover, receipt = Handover.unpacked(node.taken[3].message), node.taken[3].receipt
    journal = Journal.open(tmp_path / "of the node")
    assert take_handed_over(
        journal,
        handover.channel,
        handover.post,
        LIVE,
        1.0,
        lambda job: taken.put(journal, job, handover.key.origin, receipt, asdict(handover.terms), 1.0),
    )
    (job,) = queue.due(journal, "seen", 9, source="queue")
    transitions.record_fetched(journal, [(job, handover.sha256, handover.bytes, None)])
    transitions.record_rendered(journal, replace(MADE, job_id=job.id, generation=1))
    transitions.record_stored(journal, queue.due(journal, "rendered", 9))
    service = Service("catalog", Breaker(2, 1.0), journal, RetryPolicy(2, 1.0))
    stage = RowStage(
        service=service,
        journal=journal,
        catalog=node.catalog,
        layout=RowLayout("p/", origin.storage.url, False),
        policy=RetryPolicy(2, 1.0),
        liveness=Liveness(never),
        node="node-1",
    )
    expire(queue_server)
    (again,) = node.queues.take("node-1", node.about, 9, 120)

    def renew(point: str) -> None:
        if point == "published.row":
            taken.renew(journal, again.receipt)

    monkeypatch.setattr(failpoints, "reach", renew)
    assert stage.step() == 0 and [one.receipt for one in taken.in_hand(journal)] == [again.receipt]
    assert stage.step() == 1 and taken.in_hand(journal) == []
    origin.step()
    assert origin.desk.of(3).state == "published"
    journal.close()
    assert_nothing_left(origin)


def decommission(origin: Origin) -> None:
    origin.options["machines"] = {"role": "all"}
    work = works.make_decommission(origin.desk.context(**origin.options))
    try:
        while work.step():
            pass
    finally:
        work.close()


def test_an_origin_no_more_takes_results_and_brings_the_rest_home(origin: Origin, node: Node) -> None:
    """Also what a node holds, whose receipt is void then."""
    fetch(origin, 6)
    origin.step()
    assert node.take(2) == [3, 4] and node.publish(3)
    decommission(origin)
    assert origin.states() == {**dict.fromkeys((1, 2, 4, 5, 6), "fetched"), 3: "published"}
    assert claims.left_to_render(origin.desk.journal, 9) == 5
    assert not node.publish(4)
    assert not claims.is_any_left(origin.desk.journal) and origin.wire() == {}
    assert machine_works_of(origin.desk.context(**origin.options), origin.desk.journal, lambda: False) == []


def test_an_origin_no_more_that_can_not_ask_begins_all_the_same(
    origin: Origin, node: Node, queue_server: RowServer
) -> None:
    """A node writes the row meanwhile, and we write the same: there is one. Then the original goes, too."""
    fetch(origin, 3)
    origin.step()
    assert node.take() == [3]
    url, origin.options["catalog"]["url"] = origin.options["catalog"]["url"], "http://127.0.0.1:9"
    with pytest.raises(ServiceFault):
        decommission(origin)
    assert claims.outstanding(origin.desk.journal) == 0 and claims.left_to_render(origin.desk.journal, 9) == 3
    assert node.publish(3)
    origin.options["catalog"]["url"] = url
    decommission(origin)
    assert origin.desk.of(3).state == "fetched" and not claims.is_any_left(origin.desk.journal)
    assert origin.wire() == {} and set(rows(queue_server)) == {3}


def test_an_origin_no_more_begins_whatever_is_wrong_with_what_it_handed_over(origin: Origin, node: Node) -> None:
    fetch(origin, 4)
    origin.step()
    damage(origin, 3)
    with pytest.raises(ValueError, match="too many values"):
        decommission(origin)
    assert claims.outstanding(origin.desk.journal) == 0


def test_without_a_bucket_it_gives_up_what_it_handed_over(origin: Origin, node: Node) -> None:
    fetch(origin, 3)
    origin.step()
    options = {**origin.options, "machines": {"role": "all"}, "storage": {"backend": "files"}}
    assert machine_works_of(origin.desk.context(**options), origin.desk.journal, lambda: False) == []
    assert not claims.is_any_left(origin.desk.journal) and claims.left_to_render(origin.desk.journal, 9) == 3


def test_status_is_told_of_nodes_and_queues(origin: Origin, node: Node, monkeypatch: pytest.MonkeyPatch) -> None:
    fetch(origin, 6)
    origin.step()
    node.take(1)
    origin.desk.said()
    origin.step()
    reports = {one.topic: one.facts for one in origin.desk.said() if isinstance(one, Report)}
    facts, row = reports["machines"], reports["machine 0"]
    assert (facts["outstanding"], facts["node_count"], facts["error"], facts["outdated"]) == (4, 1, "", "")
    assert [(one["name"], one["length"], one["taken"]) for one in facts["queues"]] == [
        ("live", 4, 1),
        ("backfill", 0, 0),
    ]
    assert (row["name"], row["version"], row["workers"], row["in_hand"]) == ("node-1", "1.2.3", 2, 1)
    assert row["problems"] == ["its disk"] and row["last_seen_seconds"] < 30
    monkeypatch.setattr("workers.publishing.catalog.supabase.queues.VERSION", 99)
    origin.step()
    (facts,) = [one.facts for one in origin.desk.said() if isinstance(one, Report) and one.topic == "machines"]
    assert "today's is 99" in facts["outdated"]


def test_a_report_is_reckoned_when_something_has_changed(origin: Origin, node: Node) -> None:
    """And not twice a second, to find that nothing has."""
    fetch(origin, 4)
    origin.step()
    report = works.MachinesReport(origin.context, origin.desk.journal, origin.fleet, origin.clock)
    asked: list[str] = []
    connection_of(origin.desk.journal).set_trace_callback(asked.append)
    report.send()
    assert asked
    asked.clear()
    for _ in range(18):
        origin.clock.now += 0.5
        report.send()
    assert asked == []
    origin.clock.now += 1.0
    report.send()
    assert asked, "what is told gets no older than ten seconds"
    origin.desk.said()
    node.publish_all()
    origin.step(1.0)
    report.send()
    reports = {one.topic: one.facts for one in origin.desk.said() if isinstance(one, Report)}
    assert reports["machines"]["outstanding"] == 0, "but what has changed is told at once"
    connection_of(origin.desk.journal).set_trace_callback(None)


def test_what_fails_is_told(origin: Origin, queue_server: RowServer) -> None:
    queue_server.sql("alter function public.pd_machines rename to pd_machines_away; notify pgrst, 'reload schema'")
    queue_server.reload()
    try:
        with pytest.raises(ServiceFault):
            origin.reconciler.step()
    finally:
        queue_server.sql("alter function public.pd_machines_away rename to pd_machines")
        queue_server.reload()
    facts = [one.facts for one in origin.desk.said() if isinstance(one, Report)][-1]
    assert facts["is_schema_missing"] and "pd_machines" in facts["error"]
    origin.step()
    facts = [one.facts for one in origin.desk.said() if isinstance(one, Report)][-1]
    assert facts["error"] == "" and facts["last_answer_seconds"] == 0.0
