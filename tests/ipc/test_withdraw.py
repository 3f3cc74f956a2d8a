"""ipc.intake: messages that are gone. The tombstone, who may bring a message back, and who may not."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from ipc.intake import Taken, take, withdraw
from ipc.jobs import Job
from ipc.journal import Journal, figures, lookup, queue, transitions
from ipc.posts import Post
from tests.ipc.builders import (
    CHANNEL,
    NO_RETRY,
    NOW,
    RETRY,
    STATES,
    again,
    done,
    open_journal,
    page,
    photo,
    post,
    push,
    put,
    put_in,
    recounted,
    rows,
)

EVERY_STATE = [*STATES, "claimed", "stored"]
LATER = NOW + 3600


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = open_journal(None)
    yield journal
    assert figures.states(journal) == recounted(journal)
    journal.close()


def tombstone(journal: Journal, job: Job, state: str = "rendered") -> Job:
    """The message is gone, and its tombstone has come as far as `state`."""
    assert withdraw(journal, CHANNEL, [job.message_id], NOW) == [job.message_id]
    gone = again(journal, job)
    if state == "published":
        assert transitions.record_published(journal, [gone])
    elif state == "dead":
        assert transitions.bury(journal, gone, "refused")
    return again(journal, job)


def processed(journal: Journal) -> int:
    return figures.totals(journal)["processed"]


# --- the tombstone ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("state", EVERY_STATE)
def test_what_was_under_way_stops_and_only_the_tombstone_is_left_to_write(state: str, journal: Journal) -> None:
    before = put_in(journal, state)
    gone = tombstone(journal, before)
    assert (gone.state, gone.stored, gone.deleted_at) == ("rendered", True, int(NOW))
    assert (gone.generation, gone.claimed_by, gone.dead_state, gone.reason) == (before.generation + 1, None, None, None)
    assert (gone.attempts, gone.next_at, gone.deaths, gone.alone) == (0, 0, 0, False)
    assert gone.caption == before.caption, "a tombstone's row still says what it was"
    assert queue.due(journal, "rendered", 9, stored=True) == [gone]
    assert not [*queue.due(journal, "seen", 9), *queue.due(journal, "fetched", 9), *lookup.dead(journal)]
    assert lookup.unfinished(journal, [gone.id]) == {}, "nothing of it is needed in the spool"
    assert figures.spool_bytes(journal) == 0


@pytest.mark.parametrize("fault", ["strike", "later", "doubt"])
def test_what_had_failed_is_forgotten(fault: str, journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    assert {
        "strike": lambda: transitions.strike(journal, job, "why", alone=True),
        "later": lambda: transitions.fail(journal, job, "why", RETRY) == "later",
        "doubt": lambda: transitions.doubt(journal, job, "why"),
    }[fault]()
    gone = tombstone(journal, job)
    assert queue.due(journal, "rendered", 9) == [gone]
    assert (gone.attempts, gone.next_at, gone.deaths, gone.alone, gone.reason) == (0, 0, 0, False, None)


@pytest.mark.parametrize("state", EVERY_STATE)
def test_a_tombstone_is_no_picture_that_was_processed(state: str, journal: Journal) -> None:
    before = put_in(journal, state)
    count = processed(journal)
    gone = tombstone(journal, before, "published")
    assert (gone.state, gone.published_at) == ("published", before.published_at)
    assert processed(journal) == count == (state == "published")


@pytest.mark.parametrize(
    ("now", "revision"), [(NOW, 1000 * NOW), (NOW + 0.9, 1000 * NOW), (1_700_000_000.0, 1_700_000_000_001), (5.0, None)]
)
def test_its_revision_is_that_of_the_clock_but_always_higher(
    now: float, revision: float | None, journal: Journal
) -> None:
    job = put(journal)
    assert withdraw(journal, CHANNEL, [1], now) == [1]
    assert again(journal, job).revision == (revision or job.revision + 1)


def test_an_edit_that_was_on_its_way_out_does_not_finish_the_tombstone(journal: Journal) -> None:
    """The uploader had read the job, and writes its row, while the message is withdrawn."""
    job = put_in(journal, "stored")
    gone = tombstone(journal, job)
    assert not transitions.record_published(journal, [job])
    assert not transitions.record_published(journal, [replace(job, generation=gone.generation)])
    assert queue.due(journal, "rendered", 9) == [gone]
    assert processed(journal) == 0


def test_a_workers_late_results_change_nothing(journal: Journal) -> None:
    seen, fetched, rendered = (put(journal, number, state) for number, state in enumerate(STATES[:3], 1))
    assert transitions.claim(journal, fetched, "image-1")
    assert withdraw(journal, CHANNEL, [1, 2, 3], NOW) == [1, 2, 3]
    before = rows(journal)
    assert not transitions.record_fetched(journal, [(seen, "5ha", 1, None)])
    assert not transitions.record_rendered(journal, done(fetched))
    assert not transitions.doubt(journal, fetched, "why")
    assert not transitions.release(journal, fetched)
    assert not transitions.record_stored(journal, [rendered])
    assert not transitions.render_again(journal, rendered)
    assert transitions.fail(journal, fetched, "why", NO_RETRY) == "moved on"
    assert rows(journal) == before
    assert figures.totals(journal) == {"processed": 0, "failed": 0, "retried": 0}


def test_a_tombstone_that_cannot_be_written_is_a_dead_letter_like_any_other(journal: Journal) -> None:
    job = put(journal, 1, "published")
    dead = tombstone(journal, job, "dead")
    assert lookup.dead(journal) == [dead]
    assert withdraw(journal, CHANNEL, [1], LATER) == []
    assert transitions.revive(journal, [job.id]) == [job.id]
    (gone,) = queue.due(journal, "rendered", 9, stored=True)
    assert transitions.record_published(journal, [gone])
    assert gone.deleted_at == int(NOW)


# --- what is withdrawn --------------------------------------------------------------------------------------


def test_what_is_not_known_is_passed_over(journal: Journal) -> None:
    put(journal, 1)
    before = (rows(journal), figures.channels(journal))
    assert withdraw(journal, CHANNEL, [], NOW) == []
    assert withdraw(journal, CHANNEL, [2, 0, -1, 2**40], NOW) == []
    assert withdraw(journal, 43, [1], NOW) == []
    assert (rows(journal), figures.channels(journal)) == before


@pytest.mark.parametrize("state", ["rendered", "published", "dead"])
def test_what_is_gone_is_not_withdrawn_again(state: str, journal: Journal) -> None:
    tombstone(journal, put(journal), state)
    before = rows(journal)
    assert withdraw(journal, CHANNEL, [1, 1], LATER) == []
    assert rows(journal) == before


def test_several_at_once_each_of_them_once(journal: Journal) -> None:
    jobs = [put(journal, number) for number in (1, 2, 3, 4)]
    assert withdraw(journal, CHANNEL, iter([4, 9, 1, 4]), NOW) == [4, 1]
    assert [again(journal, job).deleted_at is None for job in jobs] == [False, True, True, False]


def test_all_are_withdrawn_or_none(journal: Journal, monkeypatch: pytest.MonkeyPatch) -> None:
    for number in (1, 2):
        put(journal, number)
    before = rows(journal)
    run, done = journal.run, []

    def torn(name: str, **values: Any) -> Any:
        done.append(name)
        if done.count("withdraw") == 2:
            raise InterruptedError
        return run(name, **values)

    monkeypatch.setattr(journal, "run", torn)
    with pytest.raises(InterruptedError):
        withdraw(journal, CHANNEL, [1, 2], NOW)
    monkeypatch.undo()
    assert rows(journal) == before


def test_the_range_stays(journal: Journal) -> None:
    put(journal, 5)
    before = figures.channels(journal)
    withdraw(journal, CHANNEL, [5], NOW)
    assert figures.channels(journal) == before


# --- and comes again ----------------------------------------------------------------------------------------

COPIES: dict[str, Post] = {
    "the same": post(),
    "edited": post(caption="edited", edited_at=int(LATER)),
    "another picture": post(1, "file:b", edited_at=int(LATER)),
    "another kind of source": replace(post(), photo=photo("id:9", photo_id=9)),
    "moved": replace(post(), photo=photo(locator={"file": "elsewhere"})),
    "missing": post(1, "missing:1"),
}


@pytest.mark.parametrize("state", ["rendered", "published", "dead"])
@pytest.mark.parametrize("copy", COPIES)
def test_an_old_copy_that_still_has_it_changes_nothing(copy: str, state: str, journal: Journal) -> None:
    tombstone(journal, put(journal, 1, "published"), state)
    before = rows(journal)
    unchanged = Taken(**{{"rendered": "pending"}.get(state, state): 1})
    for _ in range(2):
        assert take(journal, page(COPIES[copy]), LATER) == unchanged
    assert rows(journal) == before


@pytest.mark.parametrize("state", ["rendered", "published", "dead"])
@pytest.mark.parametrize("was", EVERY_STATE)
def test_a_source_that_tells_the_present_brings_it_back(was: str, state: str, journal: Journal) -> None:
    before = put_in(journal, was)
    count = processed(journal)
    gone = tombstone(journal, before, state)
    assert take(journal, page(post(), is_present=True), LATER) == Taken(edited=1)
    job = again(journal, gone)
    assert (job.state, job.deleted_at, job.generation, job.stored) == ("seen", None, gone.generation + 1, False)
    assert job.revision > gone.revision
    assert (job.sha256, job.renditions, job.doubted, job.reason) == (None, (), None, None)
    assert take(journal, page(post(), is_present=True), LATER) == Taken(pending=1)
    after = push(journal, job, "published")
    assert after.published_at == (before.published_at or int(NOW))
    assert processed(journal) == 1 >= count


@pytest.mark.parametrize("copy", COPIES)
def test_it_comes_back_as_it_is_now(copy: str, journal: Journal) -> None:
    gone = tombstone(journal, put(journal, 1, "published"))
    now = COPIES[copy]
    assert take(journal, page(now, is_present=True), LATER) == Taken(edited=1)
    job = again(journal, gone)
    assert (job.caption, job.identity, job.locator) == (now.caption, now.photo.identity, now.photo.locator)


def test_a_tombstone_that_is_late_does_not_bury_what_came_back(journal: Journal) -> None:
    gone = tombstone(journal, put(journal))
    take(journal, page(post(), is_present=True), LATER)
    before = rows(journal)
    assert not transitions.record_published(journal, [gone])
    assert transitions.fail(journal, gone, "why", RETRY) == "moved on"
    assert rows(journal) == before


def test_it_may_go_and_come_as_often_as_it_likes(journal: Journal) -> None:
    job = put(journal, 1, "published")
    for turn in range(1, 4):
        gone = tombstone(journal, job, "published")
        take(journal, page(post(), is_present=True), LATER)
        job = push(journal, again(journal, gone), "published")
        assert job.generation == 1 + 2 * turn
        assert (job.published_at, processed(journal)) == (int(NOW), 1)


@pytest.mark.parametrize("is_present", [False, True])
def test_to_a_message_that_is_there_the_present_is_no_different(is_present: bool, journal: Journal) -> None:
    put(journal, 1, "published")
    assert take(journal, page(post(), is_present=is_present), NOW) == Taken(published=1)
    assert take(journal, page(post(caption="edited"), is_present=is_present), NOW) == Taken(edited=1)
