"""What waits to be delivered: digests, retries, bounds."""

from __future__ import annotations

from health.notify.notices import Notice
from health.notify.outbox import (
    ANSWER_SECONDS,
    MOST_WAITING,
    PAUSE_SECONDS,
    RETRY_SECONDS,
    RETRY_SECONDS_MAX,
    NoticeOutbox,
)


def notices(*names: str) -> list[Notice]:
    return [Notice("problem", name, "mend it") for name in names]


def whats(outbox: NoticeOutbox, now: float) -> dict[int, list[str]]:
    return {position: [one.what for one in whole] for position, whole in outbox.due(now)}


def test_all_that_waits_is_one_message_and_the_next_one_waits_a_while() -> None:
    outbox = NoticeOutbox(["a"], [], 0)
    assert not list(outbox.add(notices("1", "2")))
    assert whats(outbox, 0) == {0: ["1", "2"]}
    assert not list(outbox.add(notices("3")))
    assert whats(outbox, 1) == {}, "one message at a time"
    assert outbox.accepted(0, 2) == 2
    assert not list(outbox.add(notices("4")))
    assert whats(outbox, 2) == {}
    assert whats(outbox, 2 + PAUSE_SECONDS) == {0: ["3", "4"]}
    assert outbox.accepted(0, 3) == 2
    assert whats(outbox, 1000) == {}


def test_each_recipient_has_its_own_tries() -> None:
    outbox = NoticeOutbox(["a", "b"], [], 0)
    assert not list(outbox.add(notices("1")))
    assert whats(outbox, 0) == {0: ["1"], 1: ["1"]}
    outbox.accepted(0, 1)
    assert outbox.refused(1, "HTTP 500", 1) == RETRY_SECONDS
    assert whats(outbox, RETRY_SECONDS) == {}
    assert whats(outbox, 1 + RETRY_SECONDS) == {1: ["1"]}
    outbox.accepted(1, 20)
    assert outbox.undelivered(20) == ()


def test_a_second_failure_is_a_problem_until_a_message_arrives() -> None:
    outbox = NoticeOutbox(["a"], [], 0)
    assert not list(outbox.add(notices("1")))
    now, pauses = 5.0, []
    for _ in range(10):
        assert whats(outbox, now) == {0: ["1"]}
        now += (pause := outbox.refused(0, "HTTP 500", now))
        pauses.append(pause)
        undelivered = outbox.undelivered(now)
        assert len(undelivered) == (len(pauses) > 1)
        assert all((one.label, one.why, one.waiting, one.since) == ("a", "HTTP 500", 1, 5.0) for one in undelivered)
    assert pauses[:3] == [15, 30, 60] and pauses[-1] == RETRY_SECONDS_MAX
    assert whats(outbox, now) == {0: ["1"]}
    outbox.accepted(0, now)
    assert outbox.undelivered(now) == ()


def test_no_answer_at_all_is_a_problem() -> None:
    outbox = NoticeOutbox(["a"], [], 0)
    assert not list(outbox.add(notices("1")))
    assert whats(outbox, 7) == {0: ["1"]}
    assert outbox.undelivered(7 + ANSWER_SECONDS) == ()
    (one,) = outbox.undelivered(8 + ANSWER_SECONDS)
    assert (one.why, one.since) == ("no answer", 7)


def test_the_oldest_are_dropped_and_never_what_is_under_way() -> None:
    outbox = NoticeOutbox(["a"], [notices("old")], 0)
    assert whats(outbox, 0) == {0: ["old"]}
    names = [str(number) for number in range(MOST_WAITING + 5)]
    assert list(outbox.add(notices(*names))) == [("a", 6)]
    outbox.accepted(0, 1)
    assert whats(outbox, 100) == {0: names[6:]}


def test_a_recipient_that_can_never_work_gets_nothing_and_is_a_problem() -> None:
    outbox = NoticeOutbox(["a", "b"], [], 3)
    outbox.recipients[0].unusable = "Apprise does not understand this address"
    assert not list(outbox.add(notices("1")))
    assert whats(outbox, 4) == {1: ["1"]}
    (one,) = outbox.undelivered(4)
    assert (one.label, one.waiting, one.since) == ("a", 1, 3)
