"""ipc/journal/life.py: each arrow of the state machine adds its step to the job's own row, with time and process."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from ipc.intake import take, withdraw
from ipc.jobs import Job
from ipc.journal import Journal, life, transitions
from ipc.journal.life import KEPT, MEANINGS, Entry, LifeStep
from tests.ipc.builders import CHANNEL, NO_RETRY, NOW, RETRY, Clock, again, done, open_journal, page, post, put


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def journal(clock: Clock) -> Iterator[Journal]:
    journal = open_journal(None, clock)
    yield journal
    journal.close()


def steps(journal: Journal, job: Job) -> list[tuple[LifeStep, str]]:
    return [(one.step, one.process) for one in life.read(again(journal, job).life)]


def test_a_picture_s_way(journal: Journal, clock: Clock) -> None:
    clock.now = NOW + 0xFF  # a byte that is no UTF-8, beside some that are zero
    job = put(journal)
    transitions.record_fetched(journal, [(job, "5ha", 100, None)])
    transitions.claim(journal, job, "image-3")
    transitions.record_rendered(journal, done(job), "image-3")
    clock.now += 1
    transitions.record_stored(journal, [job])
    transitions.record_published(journal, [job])
    at = int(NOW) + 0xFF
    assert life.read(again(journal, job).life) == [
        Entry(int(NOW), LifeStep.SEEN, "connection"),
        Entry(at, LifeStep.FETCHED, "connection"),
        Entry(at, LifeStep.CLAIMED, "image-3"),
        Entry(at, LifeStep.RENDERED, "image-3"),
        Entry(at + 1, LifeStep.STORED, "uploader"),
        Entry(at + 1, LifeStep.PUBLISHED, "uploader"),
    ]


def test_every_other_arrow(journal: Journal) -> None:
    job = put(journal, 1, "fetched")
    transitions.claim(journal, job, "image-1")
    transitions.release(journal, job)
    transitions.claim(journal, job, "image-1")
    transitions.release_claims(journal)
    transitions.strike(journal, job, "why", alone=False)
    transitions.doubt(journal, job, "why")
    job = again(journal, job)
    transitions.fail(journal, job, "why", RETRY)
    transitions.fail(journal, job, "why", NO_RETRY)
    transitions.revive(journal, [job.id])
    take(journal, page(post(1, caption="edited")), NOW)
    take(journal, page(post(1, "id:1", caption="edited")), NOW)
    take(journal, page(post(1, "id:2", caption="edited")), NOW)
    withdraw(journal, CHANNEL, [1], NOW)
    assert steps(journal, job)[2:] == [
        (LifeStep.CLAIMED, "image-1"),
        (LifeStep.RELEASED, "pool"),
        (LifeStep.CLAIMED, "image-1"),
        (LifeStep.RELEASED, "pool"),
        (LifeStep.STRUCK, "pool"),
        (LifeStep.DOUBTED, "pool"),
        (LifeStep.RETRIED, "connection"),
        (LifeStep.DEAD, "connection"),
        (LifeStep.REVIVED, "operator"),
        (LifeStep.EDITED, "connection"),
        (LifeStep.MOVED, "connection"),
        (LifeStep.CHANGED, "connection"),
        (LifeStep.WITHDRAWN, "connection"),
    ]


def test_what_the_spool_has_lost_and_what_is_republished(journal: Journal) -> None:
    lost, published = put(journal, 1, "rendered"), put(journal, 2, "published")
    transitions.render_again(journal, lost)
    transitions.send_back(journal, again(journal, lost))
    transitions.write_again(journal, None, 1, 9)
    assert steps(journal, lost)[-2:] == [(LifeStep.RENDITIONS_LOST, "uploader"), (LifeStep.LOST, "pool")]
    assert steps(journal, published)[-1] == (LifeStep.REWRITTEN, "operator")


def test_the_last_steps_are_kept(journal: Journal, clock: Clock) -> None:
    job = put(journal)
    for _ in range(2 * KEPT):
        clock.now += 1
        transitions.fail(journal, job, "why", RETRY)
    kept = life.read(again(journal, job).life)
    assert len(kept) == KEPT and {one.step for one in kept} == {LifeStep.RETRIED}
    assert kept[-1].at == int(clock.now)


def test_an_outage_does_not_push_the_rest_out(journal: Journal, clock: Clock) -> None:
    job = put(journal, 1, "fetched")
    for _ in range(2 * KEPT):
        clock.now += 1
        transitions.postpone(journal, job, 60, "why")
    kept = life.read(again(journal, job).life)
    assert [one.step for one in kept] == [LifeStep.SEEN, LifeStep.FETCHED, LifeStep.POSTPONED]
    assert kept[-1] == Entry(int(clock.now), LifeStep.POSTPONED, "pool")


def test_every_step_has_a_meaning_and_a_number_of_its_own() -> None:
    assert set(MEANINGS) == set(LifeStep) and max(LifeStep) < 256
    assert sorted(LifeStep) == list(range(1, len(LifeStep) + 1)), "none is ever given to another meaning"


def test_a_record_of_another_version_or_a_torn_one_is_passed_over() -> None:
    record = life.record(LifeStep.SEEN, life.CONNECTION, 7.9)
    assert life.read(b"\x00" + bytes(4) + b"\xff\x01" + record) == [Entry(7, LifeStep.SEEN, "connection")]
    assert life.read(life.record(LifeStep.SEEN, 1, -5) + life.record(LifeStep.SEEN, 1, 2.0**40))[1].at == 2**32 - 1
