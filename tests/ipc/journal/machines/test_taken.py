"""ipc/journal/machines/taken.py: what a node has in hand; of what it forgets the counters alone stay."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import pytest

from ipc.intake import take, take_handed_over
from ipc.jobs import Job
from ipc.journal import Journal, figures, lookup, statistics, transitions
from ipc.journal.machines import taken
from ipc.journal.machines.taken import GuestEnding
from ipc.machines.receipt import Receipt
from ipc.posts import BACKFILL, LIVE, Channel
from tests.ipc.builders import (
    CHANNEL,
    NO_RETRY,
    NOW,
    again,
    done,
    kept_counts,
    kept_reasons,
    open_journal,
    page,
    photo,
    post,
    push,
    recounted_counts,
    recounted_reasons,
)
from tests.ipc.tables import scalar, sql

ORIGIN = "00ff00ff00ff"
RECEIPT = Receipt("pd_live_v1", 7, 1)
TERMS = {"prefix": "news/", "ladder": {"widths": [320]}}


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = open_journal(None)
    yield journal
    journal.close()


def hand_over(journal: Journal, number: int = 1, key: str = "", priority: int = LIVE) -> bool:
    """Have that message taken, with a key of its own."""
    key = key or f"{ORIGIN}:{CHANNEL}:{number}:1:{number}"
    picture = photo(f"queue:{key}", source="queue", locator={"object": "wire/a", "sha256": "5a", "bytes": 9})
    given = replace(post(number), photo=picture, revision=77)
    receipt = replace(RECEIPT, msg_id=number, key=key)
    return take_handed_over(
        journal,
        Channel(CHANNEL, "News", "news"),
        given,
        priority,
        NOW,
        lambda job: taken.put(journal, job, ORIGIN, receipt, TERMS, NOW),
    )


def of(journal: Journal, number: int = 1) -> Job:
    job = lookup.known(journal, CHANNEL, number)
    assert job is not None
    return job


def everything(journal: Journal) -> dict[str, int]:
    """How many rows each table has that may speak of a job."""
    tables = ("jobs", "taken", "last_failure", "renewals", "takedowns", "blocked_posts", "changes", "dead_reasons")
    counts = {name: scalar(journal, f"SELECT count(*) FROM {name}") for name in tables}
    return {name: count for name, count in counts.items() if count}


def test_a_message_is_recorded_with_its_receipt_and_its_revision(journal: Journal) -> None:
    assert hand_over(journal, priority=BACKFILL)
    job = of(journal)
    assert (job.state, job.revision, job.source, job.priority, job.queue) == ("seen", 77, "queue", BACKFILL, "queue")
    (one,) = taken.in_hand(journal)
    assert (one.job, one.receipt, one.taken_at, one.state) == (
        job.id,
        replace(RECEIPT, msg_id=1, key=one.key),
        NOW,
        "seen",
    )
    assert taken.of(journal, [job.id, 99])[job.id].terms == TERMS
    (origin,) = taken.origins(journal)
    assert (origin.origin, origin.in_hand, origin.last_at) == (ORIGIN, 1, NOW)


def test_a_message_that_the_journal_has_is_left_alone(journal: Journal) -> None:
    take(journal, page(post(1)), NOW)
    before = again(journal, of(journal))
    assert not hand_over(journal)
    assert of(journal) == before and taken.in_hand(journal) == [] and taken.origins(journal) == []


def test_what_is_taken_moves_no_channels_range_that_is_known(journal: Journal) -> None:
    take(journal, page(low=1, high=4), NOW)
    assert hand_over(journal, 5)
    assert lookup.channel_range(journal, CHANNEL) == (1, 4, 0)


def test_a_receipt_is_renewed(journal: Journal) -> None:
    hand_over(journal)
    key = taken.in_hand(journal)[0].key
    assert taken.renew(journal, Receipt("pd_live_v1", 1, 2, key))
    assert taken.in_hand(journal)[0].receipt.read_ct == 2
    assert not taken.renew(journal, replace(RECEIPT, key=f"{ORIGIN}:1:1:1:1"))


def test_what_has_a_new_receipt_is_not_forgotten_for_the_old_one(journal: Journal) -> None:
    hand_over(journal)
    job, (one,) = of(journal), taken.in_hand(journal)
    old, new = one.receipt, replace(one.receipt, read_ct=2)
    assert taken.renew(journal, new)
    assert taken.forget(journal, "lost", [job.id], receipt=old) == []
    assert [one.receipt for one in taken.in_hand(journal)] == [new]
    assert taken.forget(journal, "lost", [job.id], receipt=new) == [(job.id, 1)]


@pytest.mark.parametrize(
    ("ending", "state"), [("dead", "dead"), ("returned", "seen"), ("returned", "fetched"), ("lost", "rendered")]
)
def test_nothing_stays_of_what_is_forgotten_but_the_counters(ending: GuestEnding, state: str, journal: Journal) -> None:
    hand_over(journal)
    job = push(journal, of(journal), state)  # type: ignore[arg-type]
    if state != "dead":
        transitions.postpone(journal, again(journal, job), 60.0, "an outage")
    assert taken.forget(journal, ending, [job.id, 99]) == [(job.id, 1)]
    assert taken.forget(journal, ending, [job.id]) == []
    assert everything(journal) == {}
    assert kept_counts(journal) == recounted_counts(journal) and kept_reasons(journal) == recounted_reasons(journal)
    assert figures.spool_bytes(journal) == 0 and figures.last_failure(journal) is None
    assert sql(journal, "PRAGMA foreign_key_check") == []
    (origin,) = taken.origins(journal)
    assert getattr(origin, ending) == 1 and origin.in_hand == 0
    assert figures.totals(journal)["failed"] == (state == "dead")


def test_what_is_published_is_forgotten_and_counted(journal: Journal) -> None:
    for number in (1, 2):
        hand_over(journal, number)
    jobs = [push(journal, of(journal, number), "fetched") for number in (1, 2)]
    for job in jobs:
        assert transitions.record_rendered(journal, done(job), "image-1", 0.5)
    stored = transitions.record_stored(journal, [replace(again(journal, job), original="stripped") for job in jobs])
    assert taken.forget(journal, "lost", [jobs[1].id])
    assert taken.published(journal, stored, 0.1) == stored[:1]
    assert everything(journal) == {}
    assert figures.totals(journal)["processed"] == 1
    assert statistics.stages(journal)["write"].count == 1
    assert [count for _, count in statistics.minutes(journal, int(NOW) - 60)] == [1]
    (origin,) = taken.origins(journal)
    assert (origin.published, origin.lost, origin.in_hand) == (1, 1, 0)


def test_only_what_no_worker_has_is_given_back(journal: Journal) -> None:
    for number in (1, 2, 3):
        hand_over(journal, number)
    with_a_worker = push(journal, of(journal, 1), "fetched")
    assert transitions.claim(journal, with_a_worker, "image-1")
    rendered = push(journal, of(journal, 2), "rendered")
    ids = [with_a_worker.id, rendered.id, of(journal, 3).id]
    assert taken.forget(journal, "returned", ids, idle=True, states=("seen", "fetched")) == [(ids[2], 1)]
    assert taken.forget(journal, "dead", ids) == [], "none is"
    assert [one.job for one in taken.in_hand(journal)] == ids[:2]
    assert [one.is_claimed for one in taken.in_hand(journal)] == [True, False]


def test_no_id_is_given_twice(journal: Journal) -> None:
    """A worker that has a forgotten job in hand answers with its id: it must not be another picture's by then."""
    hand_over(journal)
    first = of(journal)
    taken.forget(journal, "lost", [first.id])
    hand_over(journal, 2)
    assert of(journal, 2).id > first.id
    assert not transitions.record_rendered(journal, done(first))
    assert transitions.fail(journal, first, "late", NO_RETRY) == "moved on"
    assert not transitions.claim(journal, first, "image-1")
    assert of(journal, 2).state == "seen"
