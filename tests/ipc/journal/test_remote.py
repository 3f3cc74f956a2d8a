"""ipc/journal/transitions/remote.py: what becomes of a result, however odd; and that no claim is taken for another."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from ipc import database
from ipc.intake import take
from ipc.jobs import FailureCause, Job, State
from ipc.journal import Journal, JournalError, figures, leases, life, queue, transitions
from ipc.journal.machines import claims
from ipc.journal.machines.claims import Claim
from ipc.machines.handover import Key
from ipc.machines.result import Dead, Published, Result, RowAddress, UnreadableResult
from ipc.transport.messages import JobDone
from tests.ipc import builders
from tests.ipc.builders import CHANNEL, NOW, RETRY, Clock, again, done, open_journal, page, post, put, recounted
from tests.ipc.tables import sql

ADDRESS = RowAddress("https://pictures.example.org/", "", 2)
MADE = JobDone(0, 0, 0, "image/jpeg", "jpg", 640, 480, [[320, 240, "webp", 30]], recipe="0a1b2c3d")


@pytest.fixture
def journal() -> Iterator[Journal]:
    journal = open_journal(None)
    yield journal
    assert figures.states(journal) == recounted(journal)
    journal.close()


def hand_over(journal: Journal, number: int = 1, **fields: Any) -> tuple[Job, Key]:
    """A picture that is handed over, and the key of that."""
    return claim(journal, put(journal, number, "fetched", **fields))


def claim(journal: Journal, job: Job) -> tuple[Job, Key]:
    assert transitions.claim_for_machines(journal, [job]) == 1
    job = again(journal, job)
    return job, claims.key_of(journal.machine_id(), claim_of(journal, job), job)


def claim_of(journal: Journal, job: Job) -> Claim:
    found = builders.claim_of(journal, job.id)
    assert found is not None
    return found


def ends(journal: Journal, result: Result) -> str:
    ((ending, _),) = transitions.record_results(journal, [(result, None)])
    return ending


def dead(job: Job, key: Key, state: State, cause: FailureCause = "failure", *, is_doubtful: bool = False) -> Dead:
    return Dead(key, "node-1", job.revision, state, cause, "why", is_doubtful)


def is_ours(journal: Journal, job: Job) -> bool:
    """Whether our own workers get it next, and no other machine does."""
    assert builders.claim_of(journal, job.id) is None
    assert transitions.claim_for_machines(journal, [job]) == 0 == len(claims.to_hand_over(journal, 0, 9))
    return [one.id for one in queue.due(journal, "fetched", 9)] == [job.id]


def test_what_is_being_removed_from_the_storage_is_not_handed_over(
    journal: Journal, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A node would find its objects, and name them in a row before the last of them is deleted."""
    job = put(journal, 1, "fetched")
    assert job.sha256 is not None
    leases.begin(journal, ["another"], lambda asked: set())
    assert [one.id for one in claims.to_hand_over(journal, 0, 9)] == [job.id]
    leases.begin(journal, [job.sha256], lambda asked: set())
    assert claims.to_hand_over(journal, 0, 9) == [] and transitions.claim_for_machines(journal, [job]) == 0
    now = journal.clock()
    monkeypatch.setattr(journal, "clock", lambda: now + leases.LEASE_SECONDS)
    assert [one.id for one in claims.to_hand_over(journal, 0, 9)] == [job.id]
    assert transitions.claim_for_machines(journal, [job]) == 1


# What a node gives up


@pytest.mark.parametrize(("state", "cause"), [("seen", "failure"), ("fetched", "failure"), ("rendered", "failure")])
def test_what_a_node_could_not_do_our_own_workers_try(state: State, cause: FailureCause, journal: Journal) -> None:
    """It costs none of the picture's attempts: the original is here."""
    job, key = hand_over(journal)
    assert ends(journal, dead(job, key, state, cause)) == "fetched"
    job = again(journal, job)
    assert (job.state, job.attempts, job.deaths, job.alone) == ("fetched", 0, 0, False)
    assert job.reason == "node node-1: why" and is_ours(journal, job)
    assert ends(journal, dead(job, key, state, cause)) == "discarded", "it comes twice"


def test_what_may_have_killed_a_node_is_tried_here_alone(journal: Journal) -> None:
    """It may have had less memory. Our own policy has the last word: one more strike for want of memory is final."""
    job, key = hand_over(journal)
    assert ends(journal, dead(job, key, "fetched", "poison")) == "fetched"
    job = again(journal, job)
    assert (job.state, job.attempts, job.deaths, job.alone) == ("fetched", 0, 1, True)
    assert is_ours(journal, job)
    assert transitions.claim(journal, job, "image-1") and transitions.record_rendered(journal, done(job))


def test_what_can_not_be_decoded_is_fetched_again_and_then_dead(journal: Journal) -> None:
    job, key = hand_over(journal)
    assert ends(journal, dead(job, key, "fetched", is_doubtful=True)) == "seen"
    job = again(journal, job)
    assert (job.state, job.doubts, job.reason) == ("seen", 1, "node node-1: why")
    assert [(one.step, one.process) for one in life.read(job.life)][-1] == (life.LifeStep.DOUBTED, "uploader")
    transitions.record_fetched(journal, [(job, str(job.sha256), 100, None)])
    job, key = claim(journal, again(journal, job))
    take(journal, page(post(1, caption="edited")), NOW)
    assert ends(journal, dead(job, key, "fetched", is_doubtful=True)) == "dead", "an edit changes no picture"
    job = again(journal, job)
    assert (job.state, job.dead_state, job.dead_cause) == ("dead", "fetched", "failure")
    assert figures.last_failure(journal) == f"channel {CHANNEL}, message 1: node node-1: why"
    assert figures.totals(journal)["failed"] == 1
    assert [(one.step, one.process) for one in life.read(job.life)][-1] == (life.LifeStep.DEAD, "uploader")


def test_what_can_not_be_read_our_own_workers_do(journal: Journal) -> None:
    """It is not handed over again: whatever comes back would say as little."""
    job, key = hand_over(journal)
    assert ends(journal, UnreadableResult(key, "node-1", "a result of version 2")) == "fetched"
    assert again(journal, job).attempts == 0 and is_ours(journal, again(journal, job))
    assert ends(journal, UnreadableResult(key, "node-1", "a result of version 2")) == "discarded"


def test_a_page_of_results_is_one_transaction(journal: Journal) -> None:
    """Every arrow in it is a part of that: an error in the last one undoes the first."""
    results: list[tuple[Result, int | None]] = []
    for number, state in ((1, "rendered"), (2, "seen"), (3, "fetched")):
        job, key = hand_over(journal, number, identity=f"file:{number}")
        results.append((dead(job, key, state), None))  # type: ignore[arg-type]
    broken, key = hand_over(journal, 4, identity="file:4")
    results.append((Published(key, "node-1", broken.revision, MADE, "nonsense", ADDRESS), 99))  # no such address
    with pytest.raises(sqlite3.IntegrityError):
        transitions.record_results(journal, results)
    assert figures.states(journal)["fetched"] == 4 == claims.outstanding(journal)
    with journal.transaction():
        pass  # and the next one begins


def test_a_value_that_is_of_no_kind_concerns_nothing_else(journal: Journal) -> None:
    """It ends no process; a journal that can't be written does."""
    job, key = hand_over(journal)
    broken = replace(MADE, mime={"a": 1})  # type: ignore[arg-type]
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        ends(journal, Published(key, "node-1", job.revision, broken, "stripped", ADDRESS))
    assert database.refuses_a_value(caught.value)
    with pytest.raises(sqlite3.ProgrammingError) as caught:
        sql(journal, "SELECT ?")
    assert not database.refuses_a_value(caught.value)


def test_an_arrow_by_itself_is_a_transaction_and_in_another_a_part_of_it(journal: Journal) -> None:
    first, second = put(journal, 1), put(journal, 2, identity="file:b")
    assert transitions.fail(journal, first, "why", RETRY) == "later" and again(journal, first).attempts == 1
    with pytest.raises(KeyError), journal.transaction():
        assert transitions.bury(journal, first, "why") and transitions.bury(journal, second, "why")
        raise KeyError
    assert [again(journal, job).state for job in (first, second)] == ["seen", "seen"]
    with pytest.raises(JournalError, match="within a transaction"), journal.reading():
        transitions.bury(journal, first, "why")  # what reads begins no write


# Claims of another life


def test_a_journal_that_is_restored_gives_no_key_twice(tmp_path: Path) -> None:
    """What the earlier life handed over may be in the queue still, and its result may come."""
    clock, backup = Clock(), tmp_path / "backup"
    backup.mkdir()
    before = open_journal(tmp_path, clock)
    jobs = [put(before, number, "fetched", f"file:{number}") for number in (1, 2, 3)]
    first = [claim(before, jobs[0])]
    sql(before, "VACUUM INTO ?", str(backup / "journal.db"))
    lives = [before, open_journal(backup, clock)]
    keys = [[*(key for _, key in first), *(claim(one, job)[1] for job in jobs[1:])] for one in lives]
    assert keys[0][0] == keys[1][0], "what was handed over before the backup is the same"
    assert not {*keys[0][1:]} & {*keys[1][1:]}
    for given, one in zip(keys, lives, strict=True):
        numbers = [key.number for key in given]
        assert numbers == sorted(numbers) and max(numbers) < 2**63
        assert [claim.number for claim in claims.newest(one, 9)] == numbers[::-1]
    job, key = jobs[1], keys[0][1]
    after = lives[1]
    published = Published(key, "node-1", job.revision, MADE, "stripped", ADDRESS)
    assert ends(after, published) == "discarded" and ends(after, dead(job, key, "rendered")) == "discarded"
    assert claims.outstanding(after) == 3
    for one in lives:
        one.close()


def test_numbers_go_on_from_those_of_a_version_before(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    with journal.transaction():
        sql(journal, "INSERT INTO claims VALUES (?, ?, 1, 1, 'a', 'put', 1)", 105, job.id)
    _, key = hand_over(journal, 2, identity="file:b")
    assert key.number > 105
    assert [one.number for one in claims.newest(journal, 9)] == [key.number, 105]


def test_a_row_of_another_picture_is_not_this_jobs(journal: Journal) -> None:
    """Nor is it where the job is dead, and any row would do."""
    job, key = hand_over(journal)
    other = Published(key, "node-1", job.revision, MADE, "stripped", ADDRESS, "another")
    assert ends(journal, other) == "discarded" and claims.outstanding(journal) == 1
    assert transitions.bury(journal, again(journal, job), "why")
    assert ends(journal, other) == "discarded"
    assert ends(journal, replace(other, sha256=str(job.sha256))) == "published"


def test_an_original_has_a_name_that_nobody_guesses_and_tells_whose_it_is(journal: Journal) -> None:
    names = [claim_of(journal, hand_over(journal, number, identity=f"file:{number}")[0]).token for number in (1, 2)]
    origin, secret = names[0].split("/")
    assert origin == journal.machine_id() and len(bytes.fromhex(secret)) == 16
    assert names[0] != names[1]
