"""What a failure means: the service's or the job's own. A real journal, a settable clock, and services that are told
what to do with whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipc.jobs import Job
from ipc.journal import Journal
from ipc.retry import RetryPolicy
from tests.workers.desk import Desk
from workers.breaker import Breaker
from workers.service import SUSPECT_SECONDS, Service
from workers.storage import StorageFault

FAILURES = 3
TIMEOUT_SECONDS = 60.0
START = 1_800_000_000.0
MOST = 8

OUT = StorageFault("timed out")
KEY = StorageFault("unknown key", fatal=True)
BUSY = StorageFault("slow down", retry_after_seconds=7.0)


@dataclass
class Stage:
    """A service, the jobs that want something of it, and the time. `verdict` says how it fails with a job, if it does.

    As the uploader does, `round` gives it those that it takes, and records those that it has served.
    """

    journal: Journal
    now: float = 0.0
    rounds: list[list[int]] = field(default_factory=list)
    served: list[int] = field(default_factory=list)
    verdict: Callable[[Job], StorageFault | None] = lambda job: None

    def __post_init__(self) -> None:
        self.breaker = Breaker(FAILURES, TIMEOUT_SECONDS)
        self.service = Service(
            self.breaker,
            self.journal,
            RetryPolicy(max_attempts=2, base_seconds=100.0),
            clock=lambda: self.now,
            wall_clock=lambda: START + self.now,
        )

    def due(self, most: int, besides: Collection[int]) -> list[Job]:
        return self.journal.due("rendered", most, stored=False, besides=besides)

    def round(self) -> list[int]:
        """One round; the message ids that were given to the service."""
        jobs = self.service.take(MOST, self.due)
        if not jobs:
            return []
        self.rounds.append([job.message_id for job in jobs])
        fault = next(filter(None, map(self.verdict, jobs)), None)
        if fault:
            self.service.failed(jobs, fault)
        else:
            self.service.succeeded(jobs)
            self.journal.record_stored(jobs)
            self.served += [job.message_id for job in jobs]
        return self.rounds[-1]

    def rounds_until_idle(self) -> list[list[int]]:
        before = len(self.rounds)
        while self.round():
            assert len(self.rounds) < 1000
        return self.rounds[before:]

    def refuse(self, fault: StorageFault, *message_ids: int) -> None:
        """Fail with these messages; with all if none is named."""
        self.verdict = lambda job: fault if not message_ids or job.message_id in message_ids else None

    def serve_all(self) -> None:
        self.verdict = lambda job: None

    def attempts(self) -> dict[int, int]:
        """Of the jobs that have used any, by message id."""
        rows = self.journal._connection.execute("SELECT message_id, attempts FROM jobs WHERE attempts > 0")
        return {row["message_id"]: row["attempts"] for row in rows}

    def waiting_seconds(self, job: Job) -> float:
        now_job = self.journal.job(job.id)
        assert now_job is not None
        return max(0.0, now_job.next_at - START - self.now)


@pytest.fixture
def stage(desk: Desk) -> Iterator[Stage]:
    stages: list[Stage] = []
    journal = Journal.open(desk.state_dir / "journal.db", clock=lambda: START + stages[0].now, random=lambda: 0.5)
    stages.append(Stage(journal))
    yield stages[0]
    journal.close()


# All is well


def test_as_many_as_are_due_at_once_but_no_more_than_it_takes(desk: Desk, stage: Stage) -> None:
    for number in range(1, 11):
        desk.render(number)
    assert stage.rounds_until_idle() == [[1, 2, 3, 4, 5, 6, 7, 8], [9, 10]]
    assert stage.service.facts() == {"state": "closed", "since": None, "next_probe_at": None, "error": ""}


# Whose fault it was


def test_one_bad_job_of_a_batch_is_found_by_asking_for_each_once(desk: Desk, stage: Stage) -> None:
    for number in range(1, 7):
        desk.render(number)
    stage.refuse(OUT, 4)
    assert stage.rounds_until_idle() == [[1, 2, 3, 4, 5, 6], [1], [2], [3], [4], [5], [6]]
    assert stage.served == [1, 2, 3, 5, 6]
    assert stage.attempts() == {4: 1}
    desk.render(7)
    desk.render(8)
    desk.render(9)
    assert stage.rounds_until_idle() == [[7], [8, 9]], "one is left of the six that had to go singly"


def test_a_suspect_is_charged_only_when_another_one_succeeds(desk: Desk, stage: Stage) -> None:
    job = desk.render(1)
    stage.refuse(OUT, 1)
    assert stage.rounds_until_idle() == [[1]]
    assert stage.attempts() == {}
    assert stage.waiting_seconds(job) == SUSPECT_SECONDS
    desk.render(2)
    assert stage.rounds_until_idle() == [[2]]
    assert stage.attempts() == {1: 1}
    assert stage.waiting_seconds(job) == 100.0
    assert desk.of(1).reason == "timed out"
    assert desk.journal.totals()["retried"] == 1


def test_a_suspect_that_succeeds_itself_is_not_charged(desk: Desk, stage: Stage) -> None:
    desk.render(1)
    stage.refuse(OUT, 1)
    stage.round()
    stage.serve_all()
    stage.now += SUSPECT_SECONDS
    assert stage.round() == [1]
    desk.render(2)
    stage.rounds_until_idle()
    assert stage.served == [1, 2]
    assert stage.attempts() == {}


def test_when_the_breaker_opens_the_suspects_are_forgiven_and_wait_no_longer(desk: Desk, stage: Stage) -> None:
    jobs = [desk.render(number) for number in range(1, 6)]
    stage.refuse(OUT)
    assert stage.rounds_until_idle() == [[1, 2, 3, 4, 5], [1], [2]]
    assert stage.breaker.state(stage.now) == "open"
    assert stage.attempts() == {}
    assert [stage.waiting_seconds(job) for job in jobs] == [0.0] * 5
    stage.serve_all()
    stage.now += TIMEOUT_SECONDS
    assert stage.rounds_until_idle() == [[1], [3], [4], [5], [2]]
    assert stage.attempts() == {}


def test_a_suspect_that_has_another_picture_by_now_is_not_charged(desk: Desk, stage: Stage) -> None:
    job = desk.render(1)
    stage.refuse(OUT, 1)
    stage.round()
    desk.take(1, picture="b", edited_at=job.posted_at + 9)
    desk.render(2)
    stage.rounds_until_idle()
    assert (desk.of(1).generation, desk.of(1).state, stage.attempts()) == (2, "seen", {})


def test_a_job_of_which_the_service_never_does_what_it_wants_is_dead_in_the_end(desk: Desk, stage: Stage) -> None:
    desk.render(1)
    stage.refuse(OUT, 1)
    for number in range(2, 12):
        desk.render(number)
        stage.rounds_until_idle()
        stage.now += 1000.0
    assert stage.served == list(range(2, 12))
    job = desk.of(1)
    assert (job.state, job.dead_state, job.attempts) == ("dead", "rendered", 3)
    assert job.reason == "timed out (after 3 attempts)"


# Open, half-open


def test_while_it_is_open_nobody_is_taken(desk: Desk, stage: Stage) -> None:
    desk.render(1)
    stage.refuse(KEY)
    assert stage.round() == [1]
    stage.serve_all()
    stage.now += TIMEOUT_SECONDS - 0.1
    assert stage.round() == []
    stage.now += 0.1
    assert stage.round() == [1]


@pytest.mark.parametrize(("fault", "pause"), [(KEY, TIMEOUT_SECONDS), (BUSY, 7.0)])
def test_one_probe_at_a_time_each_with_another_job(desk: Desk, stage: Stage, fault: StorageFault, pause: float) -> None:
    for number in range(1, 5):
        desk.render(number)
    stage.refuse(fault)
    for probes in range(9):
        assert len(stage.rounds_until_idle()) == 1, probes
        stage.now += pause
    assert stage.rounds == [[1, 2, 3, 4], [1], [2], [3], [4], [1], [2], [3], [4]]
    assert stage.attempts() == {}
    stage.serve_all()
    stage.rounds_until_idle()
    assert sorted(stage.served) == [1, 2, 3, 4]


def test_since_when_it_is_out_and_when_it_is_asked_next(desk: Desk, stage: Stage) -> None:
    desk.render(1)
    stage.refuse(KEY)
    stage.now = 5.0
    stage.round()
    assert stage.service.facts() == {
        "state": "open",
        "since": START + 5,
        "next_probe_at": START + 5 + TIMEOUT_SECONDS,
        "error": "unknown key",
    }
    stage.refuse(BUSY)
    stage.now = 70.0
    assert stage.service.facts()["state"] == "half-open"
    stage.round()
    facts = stage.service.facts()
    assert (facts["since"], facts["next_probe_at"], facts["error"]) == (START + 5, START + 77, "slow down")
    stage.serve_all()
    stage.now = 77.0
    stage.round()
    assert stage.service.facts() == {"state": "closed", "since": None, "next_probe_at": None, "error": ""}


@pytest.mark.parametrize("bad", [1, 3, 6])
@pytest.mark.parametrize("fault", [OUT, KEY])
def test_what_the_service_never_takes_keeps_nobody_out(desk: Desk, stage: Stage, bad: int, fault: StorageFault) -> None:
    """Not even if it looks each time as if the whole service were out."""
    for number in range(1, 7):
        desk.render(number)
    stage.refuse(fault, bad)
    for _ in range(4):
        stage.rounds_until_idle()
        stage.now += TIMEOUT_SECONDS
    assert sorted(stage.served) == sorted({1, 2, 3, 4, 5, 6} - {bad})
    for number in range(7, 20):
        desk.render(number)
        stage.rounds_until_idle()
        stage.now += 1000.0
    assert set(range(7, 19)) <= set(stage.served)
    assert desk.of(bad).state == "dead"
    assert set(stage.attempts()) == {bad}


def test_a_service_that_is_busy_now_and_then_costs_nobody_an_attempt(desk: Desk, stage: Stage) -> None:
    """429 to whoever comes at the wrong moment, however often it is the same one."""
    for number in range(1, 5):
        desk.render(number)
    for round_number in range(40):
        stage.refuse(BUSY) if round_number % 2 == 0 else stage.serve_all()
        stage.round()
        stage.now += 7.0
    assert sorted(stage.served) == [1, 2, 3, 4]
    assert stage.attempts() == {}


def test_after_a_long_outage_the_backlog_goes_in_batches_again(desk: Desk, stage: Stage) -> None:
    """Each probe was made with another job. Those come last from then on, and take nobody's place in a batch."""
    for number in range(1, 41):
        desk.render(number)
    stage.refuse(BUSY)
    for _ in range(2 * MOST):
        stage.round()
        stage.now += 7.0
    stage.serve_all()
    rounds = stage.rounds_until_idle()
    assert sorted(stage.served) == list(range(1, 41))
    assert max(map(len, rounds)) == MOST


# Whatever happens


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data(), count=st.integers(1, 12), outages=st.lists(st.sampled_from([None, OUT, KEY, BUSY]), max_size=25))
def test_an_outage_costs_nobody_an_attempt_and_ends_for_all(
    tmp_path_factory: pytest.TempPathFactory, data: st.DataObject, count: int, outages: list[StorageFault | None]
) -> None:
    """However long it lasts and whatever it looks like, as long as it is the service's, for all alike."""
    desk = Desk(tmp_path_factory.mktemp("outage"))
    stages: list[Stage] = []
    journal = Journal.open(desk.state_dir / "journal.db", clock=lambda: START + stages[0].now)
    stage = Stage(journal)
    stages.append(stage)
    try:
        for number in range(1, count + 1):
            desk.render(number)
        for fault in filter(None, outages):
            stage.refuse(fault)
            stage.round()
            stage.now += data.draw(st.sampled_from([0.0, 1.0, 6.0, 61.0]))
        assert stage.attempts() == {}
        assert stage.served == []
        stage.serve_all()
        stage.now += TIMEOUT_SECONDS
        while len(stage.served) < count:
            assert stage.rounds_until_idle(), "nobody is taken though some wait"
            stage.now += SUSPECT_SECONDS
        assert Counter(stage.served) == Counter(range(1, count + 1))
        # Who was a suspect when the service came back may have been charged, once.
        assert sum(stage.attempts().values()) <= FAILURES
    finally:
        journal.close()
        desk.close()
