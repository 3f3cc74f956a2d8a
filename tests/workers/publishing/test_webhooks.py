"""Webhooks: each change is told, signed, at least once and in order per picture; whose a failure is."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Literal

import pytest

from ipc.journal.outputs import changes, webhooks
from ipc.journal.outputs.webhooks import MOST_WAITING
from tests.ipc.tables import sql
from tests.servers.receiver import SECRET, Answer, Receiver, Request
from tests.workers.publishing.webhooks_desk import CHANNEL, Bench, told
from workers.publishing.catalog import CatalogFault
from workers.publishing.webhooks import events as events_module
from workers.publishing.webhooks.events import AT_ONCE
from workers.publishing.webhooks.rebuild import is_due


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    with Receiver() as running:
        yield running


@pytest.fixture
def bench(tmp_path: Path, receiver: Receiver) -> Iterator[Bench]:
    made = Bench(tmp_path, receiver.url)
    yield made
    made.close()


def only(fails: Callable[[Request], bool], status: int, **more: str) -> Callable[[Request], Answer]:
    return lambda request: Answer(status, more) if fails(request) else Answer()


def held(release: threading.Event | None) -> Answer:
    """An answer that comes when it is released."""
    if release is not None:
        release.wait(20)
    return Answer()


def test_a_change_is_told_with_its_row_signed_and_forgotten(bench: Bench, receiver: Receiver) -> None:
    bench.rows.show(7, caption="Ünïcode")
    bench.change(7, "published")
    assert bench.events().step() > 0
    (request,) = receiver.requests  # whose signature the receiver has checked
    (row,) = bench.rows.pictures(channel_id=CHANNEL, message=7, most=1)
    assert row["caption"] == "Ünïcode" and row["src"]
    content = {"type": "picture.published", "timestamp": "2027-01-15T08:00:00Z", "data": row}
    assert request.content == content
    assert request.headers["content-type"] == "application/json"
    assert request.headers["user-agent"] == "Picturedesk/1.2.3"
    assert abs(int(request.headers["webhook-timestamp"]) - time.time()) < 10
    assert request.id.startswith("msg_") and "." not in request.id
    assert (bench.waiting(), bench.figures()["delivered"], bench.changes()) == (0, 1, 0)
    assert bench.events().step() == 0


def test_what_was_there_before_a_webhook_is_not_told(tmp_path: Path, receiver: Receiver) -> None:
    bench = Bench(tmp_path, "http://127.0.0.1:9/")
    bench.publish(1)
    assert bench.changes() == 1
    one, two = bench.register(bench.table, {**bench.table, "url": receiver.url})
    bench.publish(2)
    rows = {row["name"]: row["behind"] for row in webhooks.figures(bench.journal)}
    assert rows == {one.name: 2, two.name: 1}
    bench.close()


def test_one_that_left_the_settings_is_dropped_with_all_that_it_was_to_be_told(bench: Bench) -> None:
    bench.events().step()
    for number in (1, 2):
        bench.publish(number)
    bench.send_to("http://127.0.0.1:9/")
    bench.events().step()
    bench.change(3, "published")
    assert (bench.waiting(), bench.changes()) == (2, 1)
    bench.register({**bench.table, "kind": "rebuild", "secret": ""})
    assert (bench.waiting(), bench.figures()["kind"], bench.figures()["behind"]) == (0, "rebuild", 0)
    assert bench.register() == []
    assert (webhooks.figures(bench.journal), changes.names(bench.journal), bench.changes()) == ([], [], 0)
    bench.publish(4)
    assert bench.changes() == 0, "nobody follows"


def test_of_one_picture_the_next_is_told_when_the_one_before_has_arrived(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = only(lambda request: request.picture[1] == 1, 422)
    for number in (1, 2, 1, 3, 1):
        bench.publish(number)
    events = bench.events()
    while events.step():
        pass
    assert sorted(told(receiver)) == [(1, "published"), (2, "published"), (3, "published")]
    assert bench.waiting() == 3
    receiver.answer = lambda _: Answer()
    bench.rows.hide(1)
    bench.clock.now += 61
    while events.step():
        pass
    assert told(receiver)[3:] == [(1, "deleted")] * 3, "all as it is now"
    ids = [request.id for request in receiver.requests if request.picture[1] == 1]
    assert ids[0] == ids[1] and len(set(ids)) == 3, "a repetition has the id of what it repeats"


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (["published"], [(1, "published")]),
        (["changed"], [(2, "changed")]),
        (["deleted"], [(3, "deleted"), (4, "deleted")]),
        (["changed", "deleted"], [(2, "changed"), (3, "deleted"), (4, "deleted")]),
    ],
)
def test_only_the_events_that_are_asked_for(
    tmp_path: Path, receiver: Receiver, events: list[str], expected: list[tuple[int, str]]
) -> None:
    bench = Bench(tmp_path, receiver.url, events=events)
    for number, what in ((1, "published"), (2, "changed")):
        bench.rows.show(number)
        bench.change(number, what)  # type: ignore[arg-type]
    bench.change(3, "deleted")
    bench.change(4, "changed")  # and deleted since
    bench.events().step()
    assert sorted(told(receiver)) == expected
    assert (bench.waiting(), bench.figures()["delivered"]) == (0, len(expected))
    bench.close()


def test_several_are_on_their_way_at_once_over_kept_connections(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(200, body=b"thank you", seconds=0.02)
    for number in range(5 * AT_ONCE):
        bench.publish(number)
    events = bench.events()
    while events.step():
        pass
    assert len({request.picture for request in receiver.requests}) == 5 * AT_ONCE
    assert 1 < receiver.most_at_once <= AT_ONCE
    assert len({request.connection for request in receiver.requests}) <= AT_ONCE


def test_no_more_changes_become_deliveries_than_are_soon_told(bench: Bench) -> None:
    bench.send_to("http://127.0.0.1:9/")
    with bench.journal.transaction():
        for number in range(MOST_WAITING + 5):
            bench.journal.run("note_change", channel_id=CHANNEL, message_id=number, what="deleted", at=1)
    events = bench.events()
    for _ in range(3):
        events.step()
    assert (bench.waiting(), bench.figures()["behind"], bench.changes()) == (MOST_WAITING, 5, 5)


# Whose a failure is


def test_a_message_that_is_refused_among_others_becomes_a_dead_letter(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = only(lambda request: request.picture[1] == 1, 400)
    bench.publish(1)
    events = bench.events()
    for attempt in range(3):
        events.step()
        bench.publish(10 + attempt)
        bench.clock.now += 60 * 2**attempt + 1
        assert bench.figures()["opened_at"] is None
    events.step()
    (letter,) = webhooks.dead(bench.journal)
    assert (letter["message_id"], letter["attempts"]) == (1, 3)
    assert letter["reason"] == "it answered 400 (Bad Request)"
    assert (bench.waiting(), bench.figures()["dead"], bench.figures()["delivered"]) == (0, 1, 3)
    receiver.answer = lambda _: Answer()
    assert webhooks.revive(bench.journal) == webhooks.Revived(1)
    events.step()
    assert told(receiver)[-1] == (1, "published")
    assert bench.figures()["dead"] == 0


def test_a_failure_among_successes_costs_an_attempt(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = only(lambda request: request.picture[1] == 1, 500)
    bench.publish(1)
    events = bench.events()
    for attempt in range(4):
        events.step()
        bench.publish(10 + attempt)
        events.step()
        bench.clock.now += 300
    assert bench.figures()["dead"] == 1


def test_an_outage_kills_nothing_however_long(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = lambda request: Answer(raw=b"" if request.picture[1] % 2 else b"nonsense\r\n\r\n")
    for number in range(20):
        bench.publish(number)
    events = bench.events()
    for _ in range(150):
        events.step()
        bench.clock.now += 31
    figures = bench.figures()
    assert (figures["dead"], figures["waiting"]) == (0, 20)
    assert figures["opened_at"] < bench.clock.now - 4000 and figures["silent_until"] is not None
    assert figures["error"].startswith("no answer: ")
    asked = len(receiver.requests)
    assert asked < 2 * 170, "one at a time, once in a while"
    assert len({request.picture for request in receiver.requests}) == 20, "not the same one each time"
    assert bench.standing().room(4) <= 1, "a new process goes on with the breaker"
    again = bench.events()
    receiver.answer = lambda _: Answer()
    for _ in range(40):
        again.step()
        bench.clock.now += 100
    assert {request.picture[1] for request in receiver.requests[asked:]} == set(range(20))
    assert (bench.waiting(), bench.figures()["failing_since"], bench.figures()["error"]) == (0, None, "")


@pytest.mark.parametrize("status", [302, 401, 403, 404, 405])
def test_a_receiver_that_is_set_up_wrongly_is_left_alone_at_once(bench: Bench, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: Answer(status, {"location": f"{receiver.url}/other"})
    for number in range(10):
        bench.publish(number)
    events = bench.events()
    for _ in range(5):
        events.step()
    assert len(receiver.requests) <= AT_ONCE
    figures = bench.figures()
    assert figures["remedy"] and figures["opened_at"] and figures["dead"] == 0
    assert all(request.path == "/hooks/a-token?key=hidden" for request in receiver.requests)


@pytest.mark.parametrize("status", [429, 503])
def test_a_receiver_is_left_alone_for_as_long_as_it_asks(bench: Bench, receiver: Receiver, status: int) -> None:
    receiver.answer = lambda _: Answer(status, {"retry-after": "500"})
    bench.publish(1)
    events = bench.events()
    events.step()
    receiver.answer = lambda _: Answer()
    for seconds, requests in ((0, 1), (499, 1), (2, 2)):
        bench.clock.now += seconds
        events.step()
        assert len(receiver.requests) == requests
    assert bench.waiting() == 0


def test_one_that_is_gone_gets_nothing_more_until_it_is_brought_back(bench: Bench, receiver: Receiver) -> None:
    receiver.answer = lambda _: Answer(410)
    bench.publish(1)
    events = bench.events()
    events.step()
    bench.publish(2)
    bench.clock.now += 10**6
    assert events.step() == 1
    assert bench.events().step() == 0
    assert len(receiver.requests) == 1
    assert (bench.waiting(), bench.figures()["behind"]) == (2, 0)
    receiver.answer = lambda _: Answer()
    assert webhooks.revive(bench.journal) == webhooks.Revived(0, (bench.target.label,))
    events.step()
    events.step()
    assert sorted(told(receiver)[1:]) == [(1, "published"), (2, "published")]


def test_of_one_that_is_gone_the_journal_keeps_no_more_than_of_others(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("ipc.journal.outputs.webhooks", "workers.publishing.webhooks.events"):
        monkeypatch.setattr(f"{module}.MOST_WAITING", 3)
    receiver.answer = lambda _: Answer(410)
    for number in range(1, 10):
        bench.publish(number)
    assert bench.changes() == 9
    events = bench.events()
    for _ in range(3):
        events.step()
    assert (bench.waiting(), bench.figures()["behind"], bench.changes()) == (3, 0, 0)
    receiver.answer = lambda _: Answer()
    label = bench.target.label
    assert webhooks.revive(bench.journal) == webhooks.Revived(0, (label,), missing=(label,))
    receiver.requests.clear()
    bench.publish(10)
    for _ in range(4):
        events.step()
    assert sorted(told(receiver)) == [(number, "published") for number in (1, 2, 3, 10)]


def test_a_kept_connection_that_was_cut_costs_nothing(bench: Bench, receiver: Receiver) -> None:
    used = set()

    def answer(request: Request) -> Answer:
        """As of a receiver that ends a connection just as the next request comes."""
        is_again = request.connection in used
        used.add(request.connection)
        return Answer(raw=b"") if is_again else Answer()

    events = bench.events()
    for how in (answer, lambda _: Answer(ends=True)):
        receiver.answer = how
        for number in range(4):
            bench.publish(number)
            events.step()
    assert (bench.figures()["failed"], bench.figures()["delivered"]) == (0, 8)
    assert len(receiver.requests) > 8


def test_an_endless_answer_is_cut_off(bench: Bench, receiver: Receiver) -> None:
    head = b"HTTP/1.1 200 OK\r\ncontent-length: 1000000000\r\n\r\n"
    receiver.answer = lambda _: Answer(raw=head + bytes(300_000))
    bench.publish(1)
    bench.events().step()
    assert bench.figures()["delivered"] == 1


def test_a_receiver_that_never_ends_its_answer_costs_a_round(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its head comes in drops: no time-out of a read ends that."""
    monkeypatch.setattr(events_module, "ROUND_SECONDS", 0.2)
    monkeypatch.setattr("workers.publishing.threads.STOP_SECONDS", 0.1)
    release = threading.Event()
    receiver.answer = lambda request: held(release if request.picture[1] == 1 else None)
    for number in (1, 2):
        bench.publish(number)
    bench.events().step()
    release.set()
    figures = bench.figures()
    assert (figures["waiting"], figures["delivered"]) == (1, 1)
    assert figures["error"] == "no answer within 0.2 s"


def test_a_stop_leaves_what_is_on_its_way_and_it_is_told_again(
    bench: Bench, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.publishing.threads.STOP_SECONDS", 0.1)
    release = threading.Event()
    receiver.answer = lambda _: held(release)
    bench.publish(1)
    bench.stopping = True
    bench.events().step()
    release.set()
    assert (bench.waiting(), bench.figures()["failed"]) == (1, 0)
    bench.stopping = False
    bench.events().step()
    assert bench.waiting() == 0
    assert receiver.requests[0].id == receiver.requests[-1].id


def test_a_catalogue_that_fails_puts_all_off_and_costs_nothing(bench: Bench, receiver: Receiver) -> None:
    bench.publish(1)
    bench.rows.fails = True
    with pytest.raises(CatalogFault):
        bench.events().step()
    bench.rows.fails = False
    bench.events().step()
    assert (told(receiver), bench.figures()["failed"]) == ([(1, "published")], 0)


def test_no_secret_is_in_what_is_kept_of_a_failure(bench: Bench, receiver: Receiver) -> None:
    token = "a-token?key=hidden"
    receiver.answer = lambda request: Answer(400, body=request.path.encode())
    bench.publish(1)
    bench.publish(2)
    bench.events().step()
    bench.send_to(f"http://nobody.invalid/hooks/{token}")
    bench.clock.now += 100
    bench.events().step()
    kept = repr([list(row) for table in ("webhooks", "deliveries") for row in all_of(bench, table)])
    assert "nobody" not in bench.target.label and "127.0.0.1" in bench.target.label
    assert not any(secret in kept for secret in (token, "a-token", "hidden", SECRET, SECRET.removeprefix("whsec_")))
    assert not any(secret in repr(bench.target) for secret in (token, SECRET))


def all_of(bench: Bench, table: str) -> Iterator[list[object]]:
    return (list(row) for row in sql(bench.journal, f"SELECT * FROM {table}"))


# Rebuilds


@pytest.fixture
def host(tmp_path: Path, receiver: Receiver) -> Iterator[Bench]:
    made = Bench(tmp_path, receiver.url, secret="", kind="rebuild")
    yield made
    made.close()


def test_many_changes_make_one_bare_post_when_they_rest(host: Bench, receiver: Receiver) -> None:
    rebuild = host.rebuild()
    for number in range(50):
        host.publish(number)
        host.clock.now += 10
        assert rebuild.step() == 0
    host.clock.now += 51
    assert rebuild.step() == 1
    (request,) = receiver.requests
    assert (request.body, request.headers["content-length"]) == (b"", "0")
    assert not any(name.startswith("webhook-") for name in request.headers)
    assert (rebuild.step(), host.changes(), host.figures()["delivered"]) == (0, 0, 1)


def test_changes_that_never_rest_are_shown_all_the_same(host: Bench, receiver: Receiver) -> None:
    rebuild = host.rebuild()
    for number in range(100):
        host.publish(number)
        rebuild.step()
        host.clock.now += 20
    assert 2 <= len(receiver.requests) <= 4


def test_only_changes_that_are_asked_for_make_a_rebuild(tmp_path: Path, receiver: Receiver) -> None:
    host = Bench(tmp_path, receiver.url, secret="", kind="rebuild", events=["deleted"])
    rebuild = host.rebuild()
    host.publish(1)
    host.clock.now += 1000
    assert (rebuild.step(), host.figures()["behind"]) == (0, 0)
    host.change(1, "deleted")
    host.clock.now += 1000
    assert rebuild.step() == 1
    host.close()


def test_a_rebuild_that_fails_is_asked_for_again_and_never_dies(host: Bench, receiver: Receiver) -> None:
    rebuild = host.rebuild()
    receiver.answer = lambda _: Answer(500)
    host.publish(1)
    for _ in range(500):
        rebuild.step()
        host.clock.now += 20
    assert 10 < len(receiver.requests) < 200
    assert "500" in host.figures()["error"] and host.figures()["failing_since"] is not None
    receiver.answer = lambda _: Answer()
    for _ in range(30):
        rebuild.step()
        host.clock.now += 20
    assert (host.changes(), host.figures()["delivered"], host.figures()["failing_since"]) == (0, 1, None)


def test_a_host_that_is_gone_and_comes_back_gets_one_rebuild(
    tmp_path: Path, receiver: Receiver, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("workers.publishing.webhooks.rebuild.PAGE", 5)
    host = Bench(tmp_path, receiver.url, secret="", kind="rebuild", events=["published"])
    rebuild = host.rebuild()
    receiver.answer = lambda _: Answer(410)
    host.publish(1)
    host.clock.now += 100
    assert (rebuild.step(), host.figures()["gone_at"]) == (0, int(host.clock.now))

    def meet(*events: Literal["published", "changed"]) -> int:
        """How many changes are kept after these."""
        for what in events:
            host.change(1, what)
        for _ in range(len(events)):
            assert rebuild.step() == 0
        return host.changes()

    assert meet("published", "published") == 1
    assert meet("changed", "changed") == 3, "a rebuild is wanted for the one before them"
    receiver.answer = lambda _: Answer()
    assert webhooks.revive(host.journal) == webhooks.Revived(0, (host.target.label,))
    receiver.requests.clear()
    host.clock.now += 100
    assert (rebuild.step(), rebuild.step(), host.changes(), len(receiver.requests)) == (1, 0, 0, 1)
    webhooks.note_gone(host.journal, host.target.name, "it answered 410 (Gone)")
    assert meet("published", "changed", "changed", "changed") == 4
    assert meet("changed") == 0, "a page of them is not kept"
    host.close()


def test_a_change_during_a_rebuild_makes_another_one(host: Bench, receiver: Receiver) -> None:
    rebuild = host.rebuild()
    receiver.answer = lambda _: Answer(seconds=0.3)
    host.publish(1)
    host.clock.now += 100
    thread = threading.Thread(target=rebuild.step)
    thread.start()
    receiver.wait_for(1)
    other = Bench.__new__(Bench)
    other.__dict__ = {**host.__dict__, "journal": type(host.journal).open(host.folder / "journal.db")}
    other.publish(2)
    other.journal.close()
    thread.join()
    assert host.changes() == 1
    host.clock.now += 100
    assert rebuild.step() == 1


def test_a_time_of_a_clock_that_was_set_back_holds_nothing_up() -> None:
    assert is_due(first_at=10**6, newest_at=10**6, now=100, quiet_seconds=60, longest_seconds=600)
