"""ipc.journal: each arrow applies where it should and nowhere else; the figures; what may be opened at all."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest

from ipc.intake import take, withdraw
from ipc.jobs import Job, Rendition, State
from ipc.journal import VERSION, Journal, JournalError, figures, lookup, peers, queue, transitions
from ipc.posts import BACKFILL, LIVE, Channel, Source
from ipc.retry import FARTHEST_SECONDS, RetryPolicy
from tests.ipc.builders import (
    CHANNEL,
    NO_RETRY,
    NOW,
    RETRY,
    STATES,
    WAITING,
    Clock,
    again,
    done,
    job_values,
    open_journal,
    page,
    post,
    push,
    put,
    put_in,
    recounted,
    rows,
)
from tests.ipc.tables import scalar, sql


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(tmp_path: Path, clock: Clock) -> Iterator[Journal]:
    journal = open_journal(tmp_path, clock)
    yield journal
    assert figures.states(journal) == recounted(journal)
    assert journal.check() == []
    journal.close()


# --- the arrows, as a table ---------------------------------------------------------------------------------

Arrow = Callable[[Journal, Job], bool]

ARROWS: dict[str, tuple[Arrow, dict[str, str]]] = {
    "fetched": (
        lambda journal, job: transitions.record_fetched(journal, [(job, "5ha", 100, None)]) == {job.id},
        {"seen": "fetched"},
    ),
    "rendered": (lambda journal, job: transitions.record_rendered(journal, done(job)), {"fetched": "rendered"}),
    "stored": (
        lambda journal, job: transitions.record_stored(journal, [job]) == [job],
        {"rendered": "rendered", "stored": "rendered"},
    ),
    "published": (lambda journal, job: transitions.record_published(journal, [job]) == [job], {"stored": "published"}),
    "send back": (
        transitions.send_back,
        {"fetched": "seen", "rendered": "seen", "stored": "seen"},
    ),
    "claim": (lambda journal, job: transitions.claim(journal, job, "image-1"), {"fetched": "fetched"}),
    "release": (transitions.release, {"fetched": "fetched"}),
    "strike": (lambda journal, job: transitions.strike(journal, job, "why", alone=True), {"fetched": "fetched"}),
    "doubt": (lambda journal, job: transitions.doubt(journal, job, "why"), {"fetched": "seen"}),
    "postpone": (
        lambda journal, job: transitions.postpone(journal, job, 60, "why"),
        {"seen": "seen", "fetched": "fetched", "rendered": "rendered", "stored": "rendered"},
    ),
    "later": (
        lambda journal, job: transitions.fail(journal, job, "why", RETRY) == "later",
        {"seen": "seen", "fetched": "fetched", "rendered": "rendered", "stored": "rendered"},
    ),
    "at last": (
        lambda journal, job: transitions.fail(journal, job, "why", NO_RETRY) == "dead",
        {"seen": "dead", "fetched": "dead", "rendered": "dead", "stored": "dead"},
    ),
    "bury": (
        lambda journal, job: transitions.bury(journal, job, "why"),
        {"seen": "dead", "fetched": "dead", "rendered": "dead", "stored": "dead"},
    ),
}
"""What is recorded, and by the state in which it applies the state that follows."""

REPEATABLE = {"stored", "release", "strike", "postpone", "later"}
"""Those that leave the job where it was: each belongs to the one process that takes jobs in that state."""


@pytest.mark.parametrize("state", [*STATES, "stored"])
@pytest.mark.parametrize("arrow", ARROWS)
def test_an_arrow_applies_in_its_own_states_only(arrow: str, state: State, journal: Journal) -> None:
    job = put_in(journal, state)
    before = (rows(journal), figures.totals(journal))
    apply, targets = ARROWS[arrow]
    assert apply(journal, job) is (state in targets)
    if state in targets:
        assert again(journal, job).state == targets[state]
    else:
        assert (rows(journal), figures.totals(journal)) == before


@pytest.mark.parametrize(
    ("arrow", "state"), [(arrow, state) for arrow in ARROWS if arrow not in REPEATABLE for state in ARROWS[arrow][1]]
)
def test_whoever_comes_second_changes_nothing_and_is_told(arrow: str, state: State, journal: Journal) -> None:
    job = put_in(journal, state)
    apply, _ = ARROWS[arrow]
    assert apply(journal, job)
    before = (rows(journal), figures.totals(journal))
    assert not apply(journal, job)
    assert (rows(journal), figures.totals(journal)) == before


@pytest.mark.parametrize(("arrow", "state"), [(arrow, state) for arrow in ARROWS for state in ARROWS[arrow][1]])
def test_an_arrow_for_the_picture_before_changes_nothing(arrow: str, state: State, journal: Journal) -> None:
    old = put(journal, 1, "fetched")
    take(journal, page(post(1, "file:other")), NOW)
    new = put_in(journal, state, again(journal, old))
    before = (rows(journal), figures.totals(journal))
    apply, _ = ARROWS[arrow]
    assert not apply(journal, replace(new, generation=old.generation))
    assert (rows(journal), figures.totals(journal)) == before


@pytest.mark.parametrize("state", [*STATES, "stored", "claimed"])
@pytest.mark.parametrize("arrow", ARROWS)
def test_an_arrow_for_a_message_that_is_gone_changes_nothing(arrow: str, state: str, journal: Journal) -> None:
    old = put_in(journal, state)
    withdraw(journal, CHANNEL, [1], NOW)
    before = (rows(journal), figures.totals(journal))
    apply, _ = ARROWS[arrow]
    assert not apply(journal, old)
    assert (rows(journal), figures.totals(journal)) == before


@pytest.mark.parametrize("arrow", ARROWS)
def test_a_tombstone_is_published_or_fails_and_has_no_picture_to_work_on(arrow: str, journal: Journal) -> None:
    put(journal)
    withdraw(journal, CHANNEL, [1], NOW)
    (tombstone,) = queue.due(journal, "rendered", 9, stored=True)
    apply, targets = ARROWS[arrow]
    applies = arrow in {"stored", "published", "postpone", "later", "at last", "bury"}
    assert apply(journal, tombstone) is applies
    assert again(journal, tombstone).state == (targets["stored"] if applies else "rendered")
    assert again(journal, tombstone).deleted_at == int(NOW)


@pytest.mark.parametrize("state", WAITING)
@pytest.mark.parametrize("saw", WAITING)
def test_a_failure_counts_in_the_state_it_happened_in(saw: State, state: State, journal: Journal) -> None:
    job = put(journal, 1, state)
    stale = replace(job, state=saw)
    assert transitions.postpone(journal, stale, 60, "why") is (saw == state)
    assert (transitions.fail(journal, stale, "why", RETRY) == "later") is (saw == state)
    assert (transitions.fail(journal, stale, "why", NO_RETRY) == "dead") is (saw == state)


def test_every_arrow_of_a_job_that_is_not_there(journal: Journal) -> None:
    job = replace(put(journal), id=99)
    assert not any(apply(journal, job) for apply, _ in ARROWS.values())
    assert transitions.revive(journal, [99]) == []
    assert lookup.job(journal, 99) is None


# --- what an arrow records ----------------------------------------------------------------------------------


def test_the_whole_way(journal: Journal, clock: Clock) -> None:
    job = put(journal)
    assert (job.state, job.generation, job.seen_at, job.locator) == ("seen", 1, int(NOW), {"file": "file:a"})
    assert transitions.record_fetched(journal, [(job, "5ha", 100, None)])
    job = again(journal, job)
    assert (job.state, job.sha256, job.bytes) == ("fetched", "5ha", 100)
    assert transitions.claim(journal, job, "image-1")
    assert transitions.record_rendered(journal, done(job))
    job = again(journal, job)
    assert (job.state, job.mime, job.extension, job.width, job.height) == ("rendered", "image/jpeg", "jpg", 640, 480)
    assert (job.renditions, job.rendition_bytes) == ((Rendition(320, 240, "webp", 30),), 30)
    assert (job.claimed_by, job.stored, job.published_at) == (None, False, None)
    assert transitions.record_stored(journal, [job])
    assert again(journal, job).stored
    clock.now += 7
    assert transitions.record_published(journal, [job])
    job = again(journal, job)
    assert (job.state, job.published_at) == ("published", int(NOW) + 7)
    assert figures.totals(journal) == {"processed": 1, "failed": 0, "retried": 0}
    assert figures.states(journal) == {"seen": 0, "fetched": 0, "rendered": 0, "published": 1, "dead": 0}


def test_an_edit_that_comes_while_the_row_is_written_has_its_row_written_next(journal: Journal) -> None:
    job = put_in(journal, "stored")
    take(journal, page(post(1, caption="edited")), NOW)
    assert not transitions.record_published(journal, [job])
    (newer,) = queue.due(journal, "rendered", 9)
    assert newer.revision > job.revision
    assert transitions.record_published(journal, [newer])


def test_several_are_recorded_at_once_but_those_that_have_moved_on(journal: Journal) -> None:
    jobs = [put(journal, number, "rendered") for number in range(1, 6)]
    take(journal, page(post(2, "file:other")), NOW)
    withdraw(journal, CHANNEL, [3], NOW)
    assert transitions.record_stored(journal, iter(jobs)) == [jobs[0], jobs[3], jobs[4]]
    take(journal, page(post(4, caption="edited")), NOW)
    assert transitions.record_published(journal, [*jobs, jobs[0]]) == [jobs[0], jobs[4]]
    assert transitions.record_published(journal, queue.due(journal, "rendered", 9, stored=True))
    assert figures.states(journal) == {"seen": 1, "fetched": 0, "rendered": 0, "published": 4, "dead": 0}
    assert figures.totals(journal)["processed"] == 3, "each once, and no tombstone"
    assert transitions.record_stored(journal, []) == transitions.record_published(journal, []) == []


def test_a_job_counts_as_processed_once_and_from_its_first_time(journal: Journal, clock: Clock) -> None:
    job = put(journal, 1, "published")
    clock.now += 60
    for number in range(3):
        take(journal, page(post(1, caption=f"edit {number}")), NOW)
        assert transitions.record_published(journal, [again(journal, job)])
    take(journal, page(post(1, "file:other")), NOW)
    push(journal, again(journal, job), "published")
    assert figures.totals(journal)["processed"] == 1
    assert again(journal, job).published_at == int(NOW)


def test_what_was_sent_back_is_stored_anew(journal: Journal) -> None:
    """The next ladder may be another one: that the old one is in the storage says nothing of it."""
    job = put_in(journal, "stored")
    assert transitions.send_back(journal, job)
    job = again(journal, job)
    assert (job.state, job.stored, job.renditions, job.rendition_bytes) == ("seen", False, (), 0)


# --- failures -----------------------------------------------------------------------------------------------


def test_a_failure_is_tried_again_at_its_time(journal: Journal, clock: Clock) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.claim(journal, job, "image-1")
    assert transitions.fail(journal, job, "a passing fault", RETRY) == "later"
    job = again(journal, job)
    assert (job.attempts, job.next_at, job.reason, job.claimed_by) == (1, NOW + 60, "a passing fault", None)
    assert queue.due(journal, "fetched", 9) == []
    assert figures.waiting_for_retry(journal) == (1, NOW + 60)
    assert figures.last_failure(journal) == "channel 42, message 1: a passing fault"
    clock.now += 60
    assert queue.due(journal, "fetched", 9) == [job]
    assert figures.waiting_for_retry(journal) == (0, None)
    assert figures.totals(journal)["retried"] == 1


@pytest.mark.parametrize("state", WAITING)
def test_after_max_attempts_it_is_dead(state: State, journal: Journal) -> None:
    job = put(journal, 1, state)
    outcomes = []
    for _ in range(4):
        outcomes.append(
            transitions.fail(journal, again(journal, job), "why", RetryPolicy(max_attempts=3, base_seconds=1))
        )
    assert outcomes == ["later", "later", "later", "dead"]
    (letter,) = lookup.dead(journal)
    assert (letter.dead_state, letter.attempts, letter.reason) == (state, 4, "why (after 4 attempts)")
    assert figures.totals(journal) == {"processed": 0, "failed": 1, "retried": 3}
    assert figures.last_failure(journal) == "channel 42, message 1: why (after 4 attempts)"


def test_each_stage_has_its_own_attempts(journal: Journal) -> None:
    job = put(journal)
    for apply in (ARROWS["fetched"][0], ARROWS["rendered"][0]):
        transitions.fail(journal, again(journal, job), "why", RETRY)
        assert apply(journal, job)
        now = again(journal, job)
        assert (now.attempts, now.next_at, now.reason) == (0, 0, None)


def test_a_strike_is_tried_again_at_once(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.claim(journal, job, "image-1")
    assert transitions.strike(journal, job, "out of memory", alone=True)
    (job,) = queue.due(journal, "fetched", 9)
    assert (job.deaths, job.alone, job.reason, job.claimed_by) == (1, True, "out of memory", None)
    assert transitions.strike(journal, job, "lost", alone=False)
    job = again(journal, job)
    assert (job.deaths, job.alone) == (2, True), "once alone, always alone"
    assert transitions.record_rendered(journal, done(job))
    job = again(journal, job)
    assert (job.deaths, job.alone) == (0, False)


@pytest.mark.parametrize("state", WAITING)
def test_a_dead_letter_goes_on_where_it_died(state: State, journal: Journal) -> None:
    job = put(journal, 1, state)
    before = rows(journal)
    assert transitions.bury(journal, job, "why")
    assert transitions.revive(journal, [job.id, job.id, 99]) == [job.id]
    assert rows(journal) == before
    assert queue.due(journal, again(journal, job).state, 9)
    assert transitions.revive(journal, [job.id]) == []
    assert figures.totals(journal) == {"processed": 0, "failed": 1, "retried": 1}


def test_an_outage_is_no_fault_of_the_job(journal: Journal, clock: Clock) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.claim(journal, job, "image-1")
    assert transitions.postpone(journal, job, 60, "no answer")
    now = again(journal, job)
    assert (now.attempts, now.next_at, now.reason, now.claimed_by) == (0, NOW + 60, "no answer", None)
    assert queue.due(journal, "fetched", 9) == []
    clock.now += 60
    assert queue.due(journal, "fetched", 9) == [now]
    assert figures.totals(journal) == {"processed": 0, "failed": 0, "retried": 0}
    assert figures.last_failure(journal) == "channel 42, message 1: no answer"


@pytest.mark.parametrize("arrow", ["strike", "postpone", "doubt", "later", "bury"])
def test_a_long_reason_is_cut(arrow: str, journal: Journal) -> None:
    record: dict[str, Callable[[Job, str], object]] = {
        "strike": lambda job, reason: transitions.strike(journal, job, reason, alone=False),
        "postpone": lambda job, reason: transitions.postpone(journal, job, 60, reason),
        "doubt": partial(transitions.doubt, journal),
        "later": lambda job, reason: transitions.fail(journal, job, reason, RETRY),
        "bury": partial(transitions.bury, journal),
    }
    job = put(journal, 1, "fetched")
    assert record[arrow](job, "€\udcff" * 10_000)
    assert 490 < len((again(journal, job).reason or "").encode()) <= 500


# --- doubts -------------------------------------------------------------------------------------------------


def fetched_again(journal: Journal, job: Job, sha256: str) -> Job:
    assert transitions.record_fetched(journal, [(job, sha256, 100, None)])
    return again(journal, job)


def test_other_bytes_each_time_are_the_verdict_in_the_end(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    for number in range(transitions.MAX_DOUBTS):
        assert transitions.doubt(journal, job, "truncated")
        job = fetched_again(journal, job, f"other {number}")
    assert not transitions.doubt(journal, job, "truncated")
    assert again(journal, job).state == "fetched"


def test_what_cannot_be_decoded_is_fetched_once_more_at_once(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.fail(journal, job, "a passing fault", RETRY) == "later"
    assert transitions.claim(journal, job, "image-1")
    assert transitions.doubt(journal, job, "truncated")
    (job,) = queue.due(journal, "seen", 9)
    assert (job.doubted, job.reason, job.claimed_by, job.generation) == ("5ha", "truncated", None, 1)
    assert (job.attempts, job.next_at) == (0, 0), "each stage has its own attempts"
    assert figures.totals(journal) == {"processed": 0, "failed": 0, "retried": 2}
    assert figures.last_failure(journal) == "channel 42, message 1: truncated"


def test_the_same_bytes_are_the_verdict_and_others_are_not(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.doubt(journal, job, "truncated")
    job = fetched_again(journal, job, "other")
    assert transitions.doubt(journal, job, "truncated too")
    job = fetched_again(journal, job, "other")
    before = (rows(journal), figures.totals(journal), figures.last_failure(journal))
    assert not transitions.doubt(journal, job, "truncated")
    assert (rows(journal), figures.totals(journal), figures.last_failure(journal)) == before


def test_what_came_whole_the_second_time_goes_on(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.doubt(journal, job, "truncated")
    assert transitions.record_rendered(journal, done(fetched_again(journal, job, "whole")))
    assert again(journal, job).reason is None


def test_a_doubt_is_forgotten_with_its_picture_and_with_a_dead_letters_record(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert transitions.doubt(journal, job, "truncated")
    job = fetched_again(journal, job, "5ha")
    assert transitions.bury(journal, job, "truncated")
    assert again(journal, job).doubted == "5ha"
    assert transitions.revive(journal, [job.id])
    assert transitions.doubt(journal, again(journal, job), "truncated"), "the operator's retry fetches it anew"
    take(journal, page(post(1, "file:other")), NOW)
    assert again(journal, job).doubted is None


# --- what is due, and who has it ----------------------------------------------------------------------------


@pytest.mark.parametrize("state", WAITING)
def test_due_gives_the_oldest_first_and_no_more_than_asked_for(state: State, journal: Journal) -> None:
    ids = [put(journal, message_id, state).id for message_id in (3, 1, 2)]
    for other in STATES:
        if other != state:
            put(journal, 10 + STATES.index(other), other)
    assert [job.id for job in queue.due(journal, state, 9)] == ids
    assert [job.id for job in queue.due(journal, state, 2)] == ids[:2]


@pytest.mark.parametrize("state", WAITING)
def test_due_goes_by_priority_then_age(state: State, journal: Journal) -> None:
    for number, priority in enumerate((BACKFILL, LIVE, BACKFILL, LIVE), 1):
        take(journal, page(post(number), priority=priority), NOW)
        job = lookup.known(journal, CHANNEL, number)
        assert job is not None and job.priority == priority
        push(journal, job, state)
    assert [job.message_id for job in queue.due(journal, state, 9)] == [2, 4, 1, 3]
    assert [job.message_id for job in queue.due(journal, state, 3)] == [2, 4, 1]


def test_due_passes_over_what_waits_or_is_taken_whatever_its_priority(journal: Journal) -> None:
    for number in (1, 2, 3):
        take(journal, page(post(number), priority=BACKFILL if number > 1 else LIVE), NOW)
    jobs = [push(journal, job, "fetched") for job in queue.due(journal, "seen", 9)]
    assert transitions.claim(journal, jobs[0], "image-1")
    assert transitions.fail(journal, jobs[1], "why", RETRY) == "later"
    assert queue.due(journal, "fetched", 1) == [jobs[2]]


@pytest.mark.parametrize("state", WAITING)
def test_due_goes_by_the_time_of_what_was_put_off_within_its_priority(
    state: State, journal: Journal, clock: Clock
) -> None:
    """What was put off comes when its time has come, before what was never tried, but not before a higher priority."""
    for number, priority in enumerate((BACKFILL, BACKFILL, BACKFILL, LIVE, LIVE, BACKFILL), 1):
        take(journal, page(post(number), priority=priority), NOW)
    jobs = {job.message_id: push(journal, job, state) for job in queue.due(journal, "seen", 9)}
    for number, seconds in ((2, 30), (3, 10), (5, 40), (6, 90)):
        assert transitions.postpone(journal, jobs[number], seconds, "why")
    assert [job.message_id for job in queue.due(journal, state, 9)] == [4, 1]
    clock.now += 50
    assert [job.message_id for job in queue.due(journal, state, 9)] == [5, 4, 3, 2, 1]
    assert [job.message_id for job in queue.due(journal, state, 3, exclude=[jobs[4].id, jobs[3].id])] == [5, 2, 1]


@pytest.mark.parametrize(("source", "expected"), [("telegram", [2]), ("export", [1, 3, 4]), (None, [1, 2, 3, 4])])
def test_due_of_what_a_source_can_fetch(source: Source | None, expected: list[int], journal: Journal) -> None:
    for number, identity in enumerate(("file:1", "id:9", "missing:1", "file:2"), 1):
        put(journal, number, "seen", identity)
    assert [job.message_id for job in queue.due(journal, "seen", 9, source=source)] == expected
    assert [job.message_id for job in queue.due(journal, "seen", 1, source=source)] == expected[:1]


def test_due_of_what_is_stored(journal: Journal) -> None:
    jobs = [put(journal, number, "rendered") for number in (1, 2, 3)]
    assert transitions.record_stored(journal, [jobs[1]])
    found = [queue.due(journal, "rendered", 9, stored=stored) for stored in (True, False, None)]
    assert [[job.message_id for job in one] for one in found] == [[2], [1, 3], [1, 2, 3]]


def test_due_of_what_must_be_alone(journal: Journal) -> None:
    jobs = [put(journal, number, "fetched") for number in (1, 2, 3)]
    assert transitions.strike(journal, jobs[1], "why", alone=True)
    found = [queue.due(journal, "fetched", 9, alone=alone) for alone in (True, False, None)]
    assert [[job.message_id for job in one] for one in found] == [[2], [1, 3], [1, 2, 3]]


@pytest.mark.parametrize(
    ("ahead", "is_due"),
    [(0, True), (0.5, False), (60, False), (FARTHEST_SECONDS, False), (FARTHEST_SECONDS + 1, True), (10**9, True)],
)
def test_due_when_the_clock_was_set_back(ahead: float, is_due: bool, journal: Journal, clock: Clock) -> None:
    job = put(journal)
    transitions.fail(journal, job, "why", RETRY)
    clock.now = again(journal, job).next_at - ahead
    assert bool(queue.due(journal, "seen", 9)) is is_due
    assert figures.waiting_for_retry(journal)[0] == (0 if is_due else 1)


@pytest.mark.parametrize("state", ["published", "dead"])
def test_nothing_is_due_that_is_done_with(state: State, journal: Journal) -> None:
    put(journal, 1, state)
    assert queue.due(journal, state, 9) == []


def test_a_claimed_job_is_nobody_elses(journal: Journal) -> None:
    job, other = put(journal, 1, "fetched"), put(journal, 2, "fetched")
    assert transitions.claim(journal, job, "image-1")
    assert not transitions.claim(journal, job, "image-2")
    assert again(journal, job).claimed_by == "image-1"
    assert queue.due(journal, "fetched", 9) == [other]
    assert transitions.release(journal, job)
    assert queue.due(journal, "fetched", 9) == [job, other]


def test_a_new_pool_takes_back_what_the_old_one_had_given_out(journal: Journal) -> None:
    jobs = [put(journal, number, "fetched") for number in (1, 2, 3)]
    assert transitions.claim(journal, jobs[0], "image-1")
    assert transitions.claim(journal, jobs[2], "image-2")
    assert transitions.release_claims(journal) == 2
    assert queue.due(journal, "fetched", 9) == jobs
    assert transitions.release_claims(journal) == 0


def test_a_claim_on_the_picture_before_does_not_stick_to_the_new_one(journal: Journal) -> None:
    old = put(journal, 1, "fetched")
    take(journal, page(post(1, "file:other")), NOW)
    new = push(journal, again(journal, old), "fetched")
    assert not transitions.claim(journal, old, "image-1")
    assert queue.due(journal, "fetched", 9) == [new]


# --- figures ------------------------------------------------------------------------------------------------


def test_spool_bytes_are_those_on_their_way(journal: Journal) -> None:
    assert figures.spool_bytes(journal) == 0
    for number, state in enumerate(STATES):
        put(journal, number + 1, state)
    assert figures.spool_bytes(journal) == 100 + (100 + 30)
    rendered = queue.due(journal, "rendered", 1)[0]
    assert transitions.record_stored(journal, [rendered])
    assert figures.spool_bytes(journal) == 100


def test_unfinished_is_what_needs_its_spool_folder(journal: Journal) -> None:
    jobs = [put(journal, number + 1, state) for number, state in enumerate(STATES)]
    take(journal, page(post(1, "file:other")), NOW)
    needed = {(jobs[0].id, 2): "seen", (jobs[1].id, 1): "fetched", (jobs[2].id, 1): "rendered", (jobs[4].id, 1): "dead"}
    assert lookup.unfinished(journal, [*(job.id for job in jobs), 99]) == needed
    assert lookup.unfinished(journal, [jobs[1].id, jobs[3].id]) == {(jobs[1].id, 1): "fetched"}


def test_last_failure_is_the_newest_of_any_job(journal: Journal) -> None:
    assert figures.last_failure(journal) is None
    first, second = put(journal, 1), put(journal, 2)
    transitions.fail(journal, second, "the second's", RETRY)
    transitions.fail(journal, first, "the first's", RETRY)
    assert figures.last_failure(journal) == "channel 42, message 1: the first's"
    transitions.bury(journal, second, "no picture")
    assert figures.last_failure(journal) == "channel 42, message 2: no picture"


def test_figures_of_one_moment(journal: Journal, tmp_path: Path) -> None:
    put(journal)
    reader = Journal.open_to_read(tmp_path / "journal.db")
    with reader.reading():
        assert figures.states(reader)["seen"] == 1
        put(journal, 2)
        assert figures.states(reader)["seen"] == 1
    assert figures.states(reader)["seen"] == 2
    reader.close()


# --- what a source asks -------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [(1, 9, {1, 4, 9}), (4, 4, {4}), (2, 8, {4}), (5, 8, set()), (9, 1, set()), (10, 2**62, set())],
)
def test_messages_between(low: int, high: int, expected: set[int], journal: Journal) -> None:
    for number, state in ((9, "dead"), (1, "published"), (4, "seen"), (6, "fetched")):
        put_in(journal, state, put(journal, number))
    withdraw(journal, CHANNEL, [6], NOW)
    other = page(post(5, channel_id=43))
    take(journal, replace(other, channel=replace(other.channel, id=43)), NOW)
    assert lookup.messages_between(journal, CHANNEL, low, high) == expected


def test_an_address_is_resolved_for_each_account(journal: Journal) -> None:
    assert peers.get(journal, "name", 1) is None
    peers.put(journal, "name", 1, CHANNEL, -(2**63))
    peers.put(journal, "name", 2, CHANNEL, 2**63 - 1)
    peers.put(journal, "other", 1, 43, 7)
    assert [peers.get(journal, "name", account) for account in (1, 2, 3)] == [
        (CHANNEL, -(2**63)),
        (CHANNEL, 2**63 - 1),
        None,
    ]
    peers.put(journal, "name", 1, 44, 8)  # the name belongs to another channel now
    assert peers.get(journal, "name", 1) == (44, 8)
    assert peers.channel_ids(journal, "name") == {44, CHANNEL} and peers.channel_ids(journal, "nobody") == set()
    found = [peers.get(journal, *key) for key in (("name", 1), ("name", 2), ("other", 1))]
    assert found == [(44, 8), (CHANNEL, 2**63 - 1), (43, 7)]


def test_an_address_is_configured_for_the_first_time_once(journal: Journal) -> None:
    assert peers.first_configured(journal, "name", 7.5) == 7.5
    assert peers.first_configured(journal, "name", 9.0) == 7.5
    assert peers.first_configured(journal, "other", 9.0) == 9.0


def test_the_first_to_fetch_of_each_channel(journal: Journal) -> None:
    for channel, numbers in ((CHANNEL, (1, 2, 3)), (43, (1, 2)), (44, (1,))):
        posts = (post(number, f"id:{number}", channel_id=channel) for number in numbers)
        take(journal, replace(page(*posts), channel=Channel(channel, "")), NOW)

    def first(channels: list[int], exclude: tuple[int, ...] = ()) -> list[tuple[int, int]]:
        jobs = queue.first_to_fetch(journal, channels, exclude)
        return [(job.channel_id, job.message_id) for job in jobs]

    assert first([CHANNEL, 43, 44, 99]) == [(CHANNEL, 1), (43, 1), (44, 1)]
    assert first([43], ()) == [(43, 1)] and first([]) == []
    mine = [lookup.known(journal, CHANNEL, 1), lookup.known(journal, 43, 1), lookup.known(journal, 44, 1)]
    assert first([CHANNEL, 43, 44], tuple(job.id for job in mine if job)) == [(CHANNEL, 2), (43, 2)]
    put_off = lookup.known(journal, CHANNEL, 1)
    assert put_off is not None and transitions.postpone(journal, put_off, 60, "later")
    assert first([CHANNEL]) == [(CHANNEL, 2)]
    put_off = lookup.known(journal, CHANNEL, 1)
    assert put_off is not None and transitions.postpone(journal, put_off, -1, "its time has come")
    assert first([CHANNEL]) == [(CHANNEL, 2), (CHANNEL, 1)]
    take(journal, replace(page(post(1, "file:a", channel_id=45)), channel=Channel(45, "")), NOW)
    assert first([45]) == [], "an export's"


# --- transactions -------------------------------------------------------------------------------------------


def test_a_transaction_that_fails_changes_nothing_and_the_next_one_works(journal: Journal) -> None:
    job = put(journal)
    before = rows(journal)
    with pytest.raises(KeyboardInterrupt), journal.transaction():
        journal.run("to_fetched", id=job.id, generation=1, sha256="5ha", bytes=1, step=b"")
        raise KeyboardInterrupt
    assert rows(journal) == before
    assert transitions.record_fetched(journal, [(job, "5ha", 1, None)])


def test_a_transaction_that_sqlite_has_ended_itself_raises_what_was_wrong(journal: Journal) -> None:
    with pytest.raises(OSError, match="the cause"), journal.transaction():
        sql(journal, "ROLLBACK")
        raise OSError("the cause")
    put(journal)


def test_a_full_disk_is_named_and_the_next_transaction_works(journal: Journal) -> None:
    pages = scalar(journal, "PRAGMA page_count")
    sql(journal, f"PRAGMA max_page_count = {pages + 2}")
    with pytest.raises(sqlite3.OperationalError, match="full"):
        take(journal, page(*(post(number, caption="x" * 4000) for number in range(1, 50))), NOW)
    assert (rows(journal), figures.channels(journal)) == ([], [])
    put(journal)


def test_a_commit_that_fails_leaves_no_transaction_open(journal: Journal) -> None:
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"), journal.transaction():
        sql(journal, "PRAGMA defer_foreign_keys = ON")
        journal.run("add_job", **job_values(1, channel_id=77))
    assert rows(journal) == []
    put(journal)


# --- opening ------------------------------------------------------------------------------------------------


def test_a_journal_is_made_and_found_again(tmp_path: Path) -> None:
    first = open_journal(tmp_path)
    job = put(first)
    first.close()
    second = open_journal(tmp_path)
    assert again(second, job) == job
    assert scalar(second, "PRAGMA user_version") == VERSION
    assert scalar(second, "PRAGMA journal_mode") == "wal"
    second.close()


@pytest.mark.parametrize(("durable", "synchronous"), [(False, 1), (True, 2)])
def test_durable_waits_for_the_disk(durable: bool, synchronous: int, tmp_path: Path) -> None:
    journal = Journal.open(tmp_path / "journal.db", durable=durable)
    assert scalar(journal, "PRAGMA synchronous") == synchronous
    journal.close()


def _newer(path: Path) -> None:
    Journal.open(path).close()
    database = sqlite3.connect(path)
    database.execute(f"PRAGMA user_version = {VERSION + 1}")
    database.close()


def _text(path: Path) -> None:
    path.write_text("Dear diary, " * 1000)


def _damaged(path: Path) -> None:
    journal = Journal.open(path)
    put(journal)
    journal.close()
    with path.open("r+b") as file:
        file.seek(100)
        file.write(b"\xff" * 3000)


def _cut_off(path: Path) -> None:
    Journal.open(path).close()
    with path.open("r+b") as file:
        file.truncate(700)


BAD_FILES: dict[str, tuple[Callable[[Path], None], str]] = {
    "newer": (_newer, f"version {VERSION + 1}.*understands {VERSION}.*Run the program that wrote it, or a newer one"),
    "text": (_text, "not a database"),
    "damaged": (_damaged, "malformed|not a database|disk"),
    "cut off": (_cut_off, "malformed|not a database|disk"),
    "a folder": (Path.mkdir, "unable to open|disk I/O error"),
}


@pytest.mark.parametrize("opening", ["open", "open_to_read"])
@pytest.mark.parametrize("name", BAD_FILES)
def test_what_is_no_journal_of_ours_is_refused_and_left_as_it_is(name: str, opening: str, tmp_path: Path) -> None:
    spoil, why = BAD_FILES[name]
    path = tmp_path / "journal.db"
    spoil(path)
    before = path.read_bytes() if path.is_file() else None
    with pytest.raises(JournalError, match=why) as caught:
        getattr(Journal, opening)(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert (path.read_bytes() if path.is_file() else None) == before


def test_what_to_do_about_a_damaged_journal(tmp_path: Path) -> None:
    _text(tmp_path / "journal.db")
    with pytest.raises(JournalError, match="move it aside and restore a copy, or start anew"):
        Journal.open(tmp_path / "journal.db")


def test_damage_that_opening_does_not_meet_is_found_by_check(tmp_path: Path) -> None:
    path = tmp_path / "journal.db"
    journal = Journal.open(path)
    with journal.transaction():
        for number in range(1, 300):
            journal.run("add_channel", id=number, title="x" * 200, name=None, floor=1, cursor=0, ignored=b"\x80")
    assert journal.check() == []
    journal.close()
    with path.open("r+b") as file:
        file.seek(-4096, 2)
        file.write(b"\xff" * 4096)
    journal = Journal.open(path)
    assert journal.check() != []
    journal.close()


@pytest.mark.parametrize("folder", ["", "no such folder"])
def test_reading_a_journal_that_is_not_there(folder: str, tmp_path: Path) -> None:
    with pytest.raises(JournalError, match=r"journal\.db: cannot be read as the journal"):
        Journal.open_to_read(tmp_path / folder / "journal.db")
    assert list(tmp_path.iterdir()) == []


def test_making_a_journal_where_there_is_no_folder(tmp_path: Path) -> None:
    with pytest.raises(JournalError, match="Check the disk and the folder's owner"):
        Journal.open(tmp_path / "no such folder" / "journal.db")


@pytest.mark.parametrize("folder", ["50% done", "a#b", "what?", "ünï", "%20"])
def test_any_folder_name_will_do(folder: str, tmp_path: Path) -> None:
    (tmp_path / folder).mkdir()
    journal = open_journal(tmp_path / folder)
    put(journal)
    reader = Journal.open_to_read(tmp_path / folder / "journal.db")
    assert figures.states(reader)["seen"] == 1
    reader.close()
    journal.close()


def test_a_reader_cannot_write(tmp_path: Path) -> None:
    journal = open_journal(tmp_path)
    job = put(journal)
    reader = Journal.open_to_read(tmp_path / "journal.db")
    with pytest.raises(sqlite3.OperationalError, match="readonly"):
        transitions.bury(reader, job, "why")
    reader.close()
    journal.close()


def test_reading_fails_as_a_journal_error(tmp_path: Path) -> None:
    open_journal(tmp_path).close()
    reader = Journal.open_to_read(tmp_path / "journal.db")
    with pytest.raises(JournalError, match="cannot be read"), reader.reading():
        sql(reader, "SELECT * FROM no_such_table")
    with reader.reading():
        assert figures.states(reader)["seen"] == 0
    reader.close()


def test_a_copy_of_the_file_alone_is_a_journal(tmp_path: Path) -> None:
    """Closing folds the WAL into the file, so that what an operator copies from a stopped instance is whole."""
    journal = open_journal(tmp_path)
    put(journal)
    journal.close()
    shutil.copy(tmp_path / "journal.db", tmp_path / "copy.db")
    copy = Journal.open(tmp_path / "copy.db")
    assert figures.states(copy)["seen"] == 1
    copy.close()
