"""ipc.journal.outputs.takedowns: what is to go from the storage, from its source's word to the end of its objects."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipc.intake import take, withdraw
from ipc.jobs import Job
from ipc.journal import Journal, figures, lookup, transitions
from ipc.journal.machines import claims
from ipc.journal.outputs import takedowns
from tests.ipc.builders import CHANNEL, NOW, STATES, again, open_journal, page, post, put, put_in
from tests.ipc.tables import scalar, sql

STEPS = ("replaced", "marked", "waiting", "leaving", "purging")


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = open_journal(None)
    yield journal
    counted = dict.fromkeys(STEPS, 0)
    for step, count in sql(journal, "SELECT step, count(*) FROM takedowns GROUP BY step"):
        counted[step] = count
    counted["purging"] = scalar(journal, "SELECT count(*) FROM purges")
    assert takedowns.counts(journal) == counted
    journal.close()


def job_in(journal: Journal, state: str, number: int) -> Job:
    return put_in(journal, state, put(journal, number))


def counts(journal: Journal) -> dict[str, int]:
    return {step: count for step, count in takedowns.counts(journal).items() if count}


def hide(journal: Journal, job: Job) -> Job:
    """The row that says that it is hidden is about to be written."""
    query = "UPDATE jobs SET hidden_at = 5, state = 'rendered', revision = revision + 1 WHERE id = ?"
    with journal.transaction():
        sql(journal, query, job.id)
    return again(journal, job)


@pytest.mark.parametrize("state", [*STATES, "claimed", "stored"])
def test_only_a_deletion_that_was_told_counts(journal: Journal, state: str) -> None:
    told, inferred = job_in(journal, state, 1), job_in(journal, state, 2)
    withdraw(journal, CHANNEL, [1], NOW, is_told=True)
    withdraw(journal, CHANNEL, [2], NOW)
    has_picture = told.sha256 is not None
    assert counts(journal) == ({"marked": 1} if has_picture else {})
    assert transitions.record_published(journal, [again(journal, told), again(journal, inferred)])
    assert counts(journal) == ({"waiting": 1} if has_picture else {})
    if has_picture:
        (one,) = takedowns.due(journal, "waiting", journal.clock(), 9)
        assert (one.job_id, one.sha256, one.looks) == (told.id, told.sha256, 1 if told.stored else 2)


def test_what_was_inferred_may_be_told_later(journal: Journal) -> None:
    job = job_in(journal, "published", 1)
    assert withdraw(journal, CHANNEL, [1], NOW) == [1]
    assert withdraw(journal, CHANNEL, [1], NOW, is_told=True) == []
    assert counts(journal) == {"marked": 1}
    assert transitions.record_published(journal, [again(journal, job)])
    assert withdraw(journal, CHANNEL, [1], NOW, is_told=True) == []
    assert counts(journal) == {"waiting": 1}


PICTURE = "5ha"
"""The digest that `push` gives every picture."""


def replace(journal: Journal) -> Job:
    """A published post gets another picture, which is rendered and on its way to the storage."""
    put(journal, 1, "published", "id:1")
    take(journal, page(post(1, "id:2")), NOW)
    assert counts(journal) == {"replaced": 1}
    job = put_in(journal, "rendered", lookup.known(journal, CHANNEL, 1))
    sql(journal, "UPDATE jobs SET sha256 = 'new'")
    return again(journal, job)


def waiting(journal: Journal) -> dict[str, int]:
    """How often the objects of each picture are to be looked for, of those that have been waiting until now."""
    return {one.sha256: one.looks for one in takedowns.due(journal, "waiting", journal.clock(), 9)}


@pytest.mark.parametrize("how", ["deleted", "hidden", "blocked"])
def test_what_readers_saw_before_it_was_replaced_goes_as_well(journal: Journal, how: str) -> None:
    """And what of the new picture was on its way to the storage."""
    job = replace(journal)
    if how == "deleted":
        withdraw(journal, CHANNEL, [1], NOW, is_told=True)
    elif how == "hidden":
        transitions.hide(journal, job, "operator", NOW)
    else:
        transitions.block(journal, job, "new", NOW)
    assert waiting(journal) == {}, "its row shows the first one still"
    assert transitions.record_published(journal, [again(journal, job)])
    assert waiting(journal) == {PICTURE: 1, "new": 2}


def test_what_was_replaced_is_left_to_gc_when_the_new_one_is_shown(journal: Journal) -> None:
    job = replace(journal)
    assert transitions.record_stored(journal, [job])
    assert transitions.record_published(journal, [again(journal, job)])
    assert counts(journal) == {}


def test_what_was_replaced_before_a_deletion_that_is_only_inferred_stays(journal: Journal) -> None:
    job = replace(journal)
    withdraw(journal, CHANNEL, [1], NOW)
    assert transitions.record_published(journal, [again(journal, job)])
    assert counts(journal) == {}


def test_a_message_that_is_there_again_is_spared(journal: Journal) -> None:
    job_in(journal, "published", 1)
    withdraw(journal, CHANNEL, [1], NOW, is_told=True)
    take(journal, page(post(1), is_present=True), NOW)
    assert counts(journal) == {}


def test_a_hidden_one_waits_and_is_spared_when_it_is_shown(journal: Journal) -> None:
    job = job_in(journal, "published", 1)
    hidden = hide(journal, job)
    assert counts(journal) == {} and transitions.record_published(journal, [hidden])
    (waiting,) = takedowns.due(journal, "waiting", journal.clock(), 9)
    sql(journal, "UPDATE jobs SET state = 'rendered', revision = revision + 1")
    assert transitions.record_published(journal, [again(journal, job)])
    assert takedowns.due(journal, "waiting", journal.clock(), 9) == [waiting], "an edit begins no new time"
    sql(journal, "UPDATE jobs SET state = 'rendered', hidden_at = NULL, revision = revision + 1")
    assert transitions.record_published(journal, [again(journal, job)])
    assert counts(journal) == {}


def test_one_that_is_hidden_and_gets_another_picture_is_not_seen_until_that_is_there(journal: Journal) -> None:
    """Readers see the old picture until the row that hides it is written: that waits for no other picture."""
    job = job_in(journal, "published", 1)
    with journal.transaction():
        transitions.hide(journal, job, "operator", NOW)
    take(journal, page(post(1, "file:b"), is_present=True), NOW)
    job = again(journal, job)
    assert (job.state, job.stored, job.hidden_at is not None, job.sha256) == ("rendered", True, True, None)
    assert counts(journal) == {"replaced": 1}
    assert transitions.record_published(journal, [job])
    assert counts(journal) == {"waiting": 1}
    with journal.transaction():
        transitions.unhide(journal, again(journal, job), "operator", NOW)
    assert again(journal, job).state == "seen", "its new picture is fetched now"


def test_one_that_is_brought_back_may_have_been_seen(journal: Journal) -> None:
    """Its result may have been lost with the queue, and its row not: hidden, that is written at once."""
    for number, step in ((1, "claimed"), (2, "put"), (3, "handed")):
        job = job_in(journal, "fetched", number)
        assert transitions.claim_for_machines(journal, [job]) == 1
        (claim,) = claims.newest(journal, 1)
        sql(journal, "UPDATE claims SET step = ?", step)
        assert transitions.bring_back(journal, [claim.number]) == 1
        assert again(journal, job).may_be_seen, "at whatever step: where the bucket was emptied, it began anew"


def test_a_hidden_job_forgets_its_picture_once(journal: Journal) -> None:
    job = job_in(journal, "published", 1)
    assert not transitions.take_down(journal, job), "it is shown"
    hidden = hide(journal, job)
    assert not transitions.take_down(journal, hidden), "its row is not written"
    assert transitions.record_published(journal, [hidden])
    hidden = again(journal, job)
    assert not hidden.is_taken_down and transitions.take_down(journal, hidden)
    assert not transitions.take_down(journal, hidden)
    found = again(journal, job)
    assert found.is_taken_down and found.state == "published" and found.renditions == ()
    assert counts(journal) == {"leaving": 1}
    takedowns.end(journal, str(job.sha256), again_at=NOW, is_removed=True)
    assert counts(journal) == {} and figures.totals(journal)["taken_down"] == 1


def test_purges_wait_for_the_end_of_their_objects(journal: Journal) -> None:
    takedowns.want_purged(journal, "a" * 64, ["https://a.org/1", "https://a.org/2"])
    takedowns.want_purged(journal, "b" * 64, ["https://a.org/3"])
    assert takedowns.to_purge(journal, 9) == []
    takedowns.end(journal, "b" * 64, again_at=NOW, is_removed=False)
    takedowns.end(journal, "a" * 64, again_at=NOW, is_removed=True)
    assert takedowns.to_purge(journal, 1) == ["https://a.org/1"]
    takedowns.want_purged(journal, "a" * 64, ["https://a.org/1"])  # it is there again, and is to go again
    takedowns.purged(journal, ["https://a.org/1", "https://a.org/2"])
    assert counts(journal) == {"purging": 1}


def test_only_a_journal_that_was_made_by_this_version_is_new(journal: Journal) -> None:
    assert takedowns.is_new_installation(journal)
    sql(journal, "UPDATE origin SET version = 0")
    assert not takedowns.is_new_installation(journal)


def test_the_former_picture_of_one_that_is_rendered_anew(journal: Journal) -> None:
    """Its source may have given another file since."""
    job = job_in(journal, "published", 1)
    insert = "INSERT INTO renewals (job, step, recipe, next_at, sha256) VALUES (?, 'moved', 'x', 0, ?)"
    sql(journal, insert, job.id, "f" * 64)
    withdraw(journal, CHANNEL, [1], NOW, is_told=True)
    assert counts(journal) == {"marked": 2}
    assert transitions.record_published(journal, [again(journal, job)])
    for one in takedowns.due(journal, "waiting", journal.clock(), 9):
        takedowns.leave(journal, one)
        takedowns.end(journal, one.sha256, again_at=NOW, is_removed=True)
    assert counts(journal) == {}
    assert journal.run("renewal_counts").fetchall()[2]["jobs"] == 0


def test_what_readers_still_see_is_counted(journal: Journal) -> None:
    """Where the row of a deleted or hidden post was refused, and only there."""
    jobs = {number: job_in(journal, "published", number) for number in range(1, 6)}
    query = "UPDATE jobs SET shown = 1 WHERE state = 'published'"
    with journal.transaction():
        sql(journal, query)
        transitions.hide(journal, again(journal, jobs[1]), "operator", NOW)
    withdraw(journal, CHANNEL, [2, 3], NOW, is_told=True)
    assert figures.still_shown(journal, 9) == 0, "their rows are on their way"
    for number in (1, 2):
        assert transitions.bury(journal, again(journal, jobs[number]), "refused")
    assert (figures.still_shown(journal, 9), figures.still_shown(journal, 1)) == (2, 1)
    assert transitions.record_published(journal, [again(journal, jobs[3])])
    unseen = job_in(journal, "rendered", 7)
    with journal.transaction():
        transitions.hide(journal, unseen, "operator", NOW)
    assert transitions.bury(journal, again(journal, unseen), "refused"), "readers never saw it"
    never_hidden = job_in(journal, "rendered", 8)
    assert transitions.bury(journal, never_hidden, "refused")
    assert figures.still_shown(journal, 9) == 2
    transitions.revive(journal, [jobs[1].id, jobs[2].id])
    assert figures.still_shown(journal, 9) == 0
