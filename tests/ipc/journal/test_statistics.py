"""ipc/journal/statistics.py: what is counted, when, and what is forgotten; the figures of a moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest

from ipc.intake import take, withdraw
from ipc.jobs import Job, State
from ipc.journal import Journal, statistics, transitions
from ipc.journal.statistics import OUTCOMES, POST_TO_ROW_BOUNDS, STAGE_BOUNDS, STAGES, Histogram
from ipc.posts import BACKFILL
from tests.ipc.builders import (
    CHANNEL,
    NO_RETRY,
    NOW,
    RETRY,
    WAITING,
    Clock,
    again,
    done,
    open_journal,
    page,
    post,
    put,
    put_in,
)
from tests.ipc.tables import scalar, sql


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(clock: Clock) -> Iterator[Journal]:
    journal = open_journal(None, clock)
    yield journal
    journal.close()


def counted(journal: Journal) -> dict[tuple[str, str], int]:
    return {of: count for of, count in statistics.outcomes(journal).items() if count}


def samples(histogram: Histogram) -> dict[float, int]:
    """How many by upper bound."""
    bounds = (*histogram.bounds, float("inf"))
    return {bound: count for bound, count in zip(bounds, histogram.counts, strict=True) if count}


def test_a_new_journal_has_every_figure(journal: Journal) -> None:
    assert set(statistics.stages(journal)) == set(STAGES)
    assert statistics.post_to_row(journal) == Histogram(POST_TO_ROW_BOUNDS, (0,) * 16, 0.0)
    assert statistics.outcomes(journal) == {(stage, outcome): 0 for stage in STAGES for outcome in OUTCOMES}
    assert (statistics.restarts(journal), statistics.minutes(journal, 0), statistics.hours(journal)) == ({}, [], {})
    assert statistics.oldest_waiting_seconds(journal, NOW) == 0.0


def test_each_stage_has_the_seconds_of_its_successes(journal: Journal) -> None:
    jobs = [put(journal, number) for number in (1, 2, 3)]
    transitions.record_fetched(journal, [(jobs[0], "5", 1, 0.05), (jobs[1], "5", 1, 0.06), (jobs[2], "5", 1, None)])
    assert transitions.record_rendered(journal, done(jobs[0]), "image-1", 301.0)
    transitions.record_stored(journal, jobs, seconds=2.0)
    transitions.record_published(journal, jobs, seconds=0.5)
    found = statistics.stages(journal)
    assert {stage: samples(found[stage]) for stage in STAGES} == {
        "fetch": {0.05: 1, 0.1: 1},
        "render": {float("inf"): 1},
        "store": {2.5: 1},
        "write": {0.5: 1},
    }
    assert found["fetch"].sum == pytest.approx(0.11) and found["fetch"].bounds == STAGE_BOUNDS
    assert counted(journal) == {("fetch", "done"): 3, ("render", "done"): 1, ("store", "done"): 1, ("write", "done"): 1}


def test_what_does_not_apply_is_not_counted(journal: Journal) -> None:
    job = put(journal)
    assert transitions.record_fetched(journal, [(job, "5ha", 1, 1.0)])
    assert not transitions.record_fetched(journal, [(job, "5ha", 1, 1.0)])
    assert not transitions.bury(journal, job, "why")
    assert counted(journal) == {("fetch", "done"): 1}


STAGE_IN = {"seen": "fetch", "fetched": "render", "rendered": "store", "stored": "write"}
ENDS: dict[str, Any] = {
    "retried": lambda journal, job: transitions.fail(journal, job, "why", RETRY),
    "dead": lambda journal, job: transitions.fail(journal, job, "why", NO_RETRY),
    "poison": lambda journal, job: transitions.bury(journal, job, "why", cause="poison"),
    "left_out": lambda journal, job: transitions.bury(journal, job, "why", is_failure=False),
    "postponed": lambda journal, job: transitions.postpone(journal, job, 1.0, "why"),
}


@pytest.mark.parametrize("state", STAGE_IN)
@pytest.mark.parametrize("outcome", ENDS)
def test_a_failure_counts_for_the_stage_that_it_was_in(outcome: str, state: str, journal: Journal) -> None:
    job = put_in(journal, state)
    before = counted(journal)
    assert ENDS[outcome](journal, job)
    assert counted(journal).items() - before.items() == {((STAGE_IN[state], outcome), 1)}


def test_the_other_failures_of_rendering_and_of_the_spool(journal: Journal) -> None:
    one, other = put(journal, 1, "fetched"), put(journal, 2, "rendered")
    assert transitions.strike(journal, one, "why", alone=True)
    assert transitions.doubt(journal, one, "why")
    assert transitions.render_again(journal, other)
    assert transitions.send_back(journal, again(journal, other))
    done_before = {("fetch", "done"): 2, ("render", "done"): 1}
    failed = {("render", "retried"): 1, ("render", "doubted"): 1, ("store", "lost"): 1, ("render", "lost"): 1}
    assert counted(journal) == done_before | failed


# --- from post to row ---------------------------------------------------------------------------------------


def publish(journal: Journal, job: Job) -> None:
    job = put_in(journal, "stored", job)
    assert transitions.record_published(journal, [job])


def seen(journal: Journal, message: int, identity: str = "id:1", priority: int = 0) -> Job:
    take(journal, page(post(message, identity, posted_at=int(NOW) - 4), priority=priority), NOW)
    (row,) = journal.run("known_message", channel_id=CHANNEL, message_id=message)
    return Job.from_row(row)


def test_live_posts_are_timed_once_and_nothing_else(journal: Journal, clock: Clock) -> None:
    publish(journal, seen(journal, 1))
    publish(journal, seen(journal, 2, "file:a"))
    publish(journal, seen(journal, 3, priority=BACKFILL))
    edited = post(1, "id:1", posted_at=int(NOW) - 4, caption="edited", edited_at=int(NOW))
    take(journal, page(edited), NOW)
    clock.now += 1000
    (row,) = journal.run("known_message", channel_id=CHANNEL, message_id=1)
    assert transitions.record_published(journal, [Job.from_row(row)])
    assert samples(statistics.post_to_row(journal)) == {5.0: 1}
    assert statistics.post_to_row(journal).sum == 4.0
    assert statistics.minutes(journal, 0) == [(int(NOW), 3)], "those count all the same"


def test_a_post_of_a_clock_that_is_ahead_took_no_time(journal: Journal, clock: Clock) -> None:
    clock.now = NOW - 60
    publish(journal, seen(journal, 1))
    assert (samples(statistics.post_to_row(journal)), statistics.post_to_row(journal).sum) == ({1.0: 1}, 0.0)


def test_quantiles() -> None:
    some = Histogram((1.0, 2.0, 4.0), (0, 10, 10, 0), 50.0)
    assert [some.quantile(share) for share in (0.5, 0.75, 1.0)] == [2.0, 3.0, 4.0]
    assert Histogram((1.0,), (0, 3), 9.0).quantile(0.5) == 1.0, "no more is known"
    assert Histogram((1.0,), (0, 0), 0.0).quantile(0.5) is None


# --- by minute and hour -------------------------------------------------------------------------------------


def note(journal: Journal, job: Job, at: float) -> None:
    with journal.transaction():
        statistics.note_published(journal, [job], int(at))


def test_minutes_and_hours_are_kept_for_a_while(journal: Journal, clock: Clock) -> None:
    job = put(journal)
    for at in (NOW, NOW + 59, NOW + 60, NOW + 3600):
        note(journal, job, at)
    clock.now = NOW + 3600
    assert statistics.minutes(journal, int(NOW)) == [(int(NOW), 2), (int(NOW) + 60, 1), (int(NOW) + 3600, 1)]
    assert statistics.minutes(journal, int(NOW) + 60)[0] == (int(NOW) + 60, 1)
    assert statistics.hours(journal) == {CHANNEL: [(int(NOW), 3), (int(NOW) + 3600, 1)]}
    clock.now = NOW + 4 * 86400
    assert statistics.hours(journal) == {}
    note(journal, job, clock.now)
    assert [scalar(journal, f"SELECT count(*) FROM {table}") for table in ("minutes", "hours")] == [1, 1]


def test_what_a_clock_dated_ahead_does_not_stay(journal: Journal) -> None:
    job = put(journal)
    note(journal, job, NOW + 10 * 86400)
    assert (statistics.minutes(journal, 0), statistics.hours(journal)) == ([], {})
    note(journal, job, NOW)
    assert scalar(journal, "SELECT minute FROM minutes") == NOW // 60
    assert [row[0] for row in sql(journal, "SELECT hour FROM hours")] == [NOW // 3600]


# --- waiting ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", WAITING)
def test_the_oldest_that_waits(state: State, journal: Journal, clock: Clock) -> None:
    put(journal, 1, state)
    assert statistics.oldest_waiting_seconds(journal, NOW + 7) == 7.0
    assert statistics.oldest_waiting_seconds(journal, NOW - 7) == 0.0


@pytest.mark.parametrize("state", ["published", "dead"])
def test_what_is_done_with_waits_no_more_and_from_a_change_on_anew(
    state: State, journal: Journal, clock: Clock
) -> None:
    job = put(journal, 1, state)
    assert statistics.oldest_waiting_seconds(journal, NOW + 7) == 0.0
    clock.now = NOW + 1000
    take(journal, page(post(1, caption="edited")), clock.now)
    assert statistics.oldest_waiting_seconds(journal, NOW + 1007) == 7.0
    clock.now = NOW + 2000
    assert again(journal, job).state != state
    take(journal, page(post(1, "file:b", caption="edited")), clock.now)
    assert statistics.oldest_waiting_seconds(journal, NOW + 2007) == 7.0
    assert withdraw(journal, CHANNEL, [1], NOW + 3000)
    assert statistics.oldest_waiting_seconds(journal, NOW + 3007) == 7.0


def test_republishing_and_retrying_begin_to_wait_anew(journal: Journal, clock: Clock) -> None:
    dead, _ = put(journal, 1, "dead"), put(journal, 2, "published")
    clock.now = NOW + 1000
    assert transitions.revive(journal, [dead.id]) and transitions.write_again(journal, None, BACKFILL, 9)
    assert statistics.oldest_waiting_seconds(journal, NOW + 1007) == 7.0


# --- ends of processes --------------------------------------------------------------------------------------


def test_each_end_counts_once(journal: Journal) -> None:
    ends = [("image-1", "crashed", 5, 1.0), ("image-1", "crashed", 5, 2.0), ("image-1", "hung", 9, 1.0)]
    with journal.transaction():
        first = [statistics.note_end(journal, *one) for one in ends]
        assert (first, [statistics.note_end(journal, *one) for one in ends]) == ([True] * 3, [False] * 3)
    assert statistics.restarts(journal) == {("image-1", "crashed"): 2, ("image-1", "hung"): 1}


def test_only_the_last_ends_are_remembered_one_by_one(journal: Journal) -> None:
    with journal.transaction():
        for number in range(300):
            assert statistics.note_end(journal, "image-1", "crashed", number, 1.0)
            assert statistics.note_end(journal, "pool", "crashed", 0, float(number))
        assert not statistics.note_end(journal, "image-1", "crashed", 200, 1.0)
    assert scalar(journal, "SELECT count(*) FROM counted_ends") == 2 * 100
    assert statistics.restarts(journal) == {("image-1", "crashed"): 300, ("pool", "crashed"): 300}
