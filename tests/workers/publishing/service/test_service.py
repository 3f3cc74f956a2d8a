"""What a failure means: the service's or the job's own. A real journal, a settable clock, and services that are told
what to do with whom."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Collection, Iterator
from dataclasses import dataclass, field
from random import Random

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from ipc.intake import withdraw
from ipc.jobs import Job
from ipc.journal import Journal, figures, lookup, queue, transitions
from ipc.retry import RetryPolicy
from tests.ipc.tables import sql
from tests.workers.desk import CHANNEL, Desk
from workers.publishing.service.breaker import Breaker
from workers.publishing.service.service import DOUBT_SECONDS, SUSPECT_SECONDS, Service
from workers.publishing.storage import StorageFault

FAILURES = 3
TIMEOUT_SECONDS = 60.0
START = 1_800_000_000.0
MOST = 8

OUT = StorageFault("timed out")
KEY = StorageFault("unknown key", fatal=True, remedy="Check the key")
BUSY = StorageFault("slow down", retry_after_seconds=7.0)

CLOSED = {"state": "closed", "since": None, "next_probe_at": None, "error": "", "remedy": ""}


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
    fault_of_call: Callable[[], StorageFault | None] = lambda: None
    is_out: StorageFault | None = None
    probes: int = 0

    def __post_init__(self) -> None:
        self.service = self.another()

    def another(self) -> Service:
        """One that replaces the first, with a breaker of its own."""
        self.breaker = Breaker(FAILURES, TIMEOUT_SECONDS)
        return Service(
            "storage",
            self.breaker,
            self.journal,
            RetryPolicy(max_attempts=2, base_seconds=100.0),
            clock=lambda: self.now,
            wall_clock=lambda: START + self.now,
        )

    def due(self, most: int, exclude: Collection[int]) -> list[Job]:
        return queue.due(self.journal, "rendered", most, stored=False, exclude=exclude)

    def round(self) -> list[int]:
        """One round; the message ids that were given to the service."""
        jobs = self.service.take(MOST, self.due)
        if not jobs:
            self.probe()
            return []
        self.rounds.append([job.message_id for job in jobs])
        fault = self.fault_of_call() or next(filter(None, map(self.verdict, jobs)), None)
        if fault:
            self.service.failed(jobs, fault)
        else:
            self.service.succeeded(jobs)
            transitions.record_stored(self.journal, jobs)
            self.served += [job.message_id for job in jobs]
        return self.rounds[-1]

    def probe(self) -> None:
        """What is asked if no job asks; as it is answered in `is_out`."""
        if self.service.wants_probe:
            self.probes += 1
            if self.is_out:
                self.service.failed([], self.is_out)
            else:
                self.service.succeeded([])

    def multiply(self, count: int) -> None:
        """Have the first message's job that number of times, under the message ids from 1 on, all at once."""
        columns = [row[1] for row in sql(self.journal, "PRAGMA table_info(jobs)")]
        others = ", ".join(name for name in columns if name not in ("id", "message_id"))
        with self.journal.transaction():
            sql(
                self.journal,
                f"WITH RECURSIVE n (i) AS (SELECT 2 UNION ALL SELECT i + 1 FROM n WHERE i < {count})"
                f" INSERT INTO jobs (message_id, {others}) SELECT i, {others} FROM n, jobs WHERE message_id = 1",
            )

    def rounds_until_idle(self) -> list[list[int]]:
        before = len(self.rounds)
        while self.round():
            assert len(self.rounds) < 10_000
        return self.rounds[before:]

    def refuse(self, fault: StorageFault, *message_ids: int) -> None:
        """Fail with these messages; with all if none is named."""
        self.verdict = lambda job: fault if not message_ids or job.message_id in message_ids else None

    def serve_all(self) -> None:
        self.verdict = lambda job: None

    def attempts(self) -> dict[int, int]:
        """Of the jobs that have used any, by message id."""
        rows = sql(self.journal, "SELECT message_id, attempts FROM jobs WHERE attempts > 0")
        return {row["message_id"]: row["attempts"] for row in rows}

    def waiting_seconds(self, job: Job) -> float:
        now_job = lookup.job(self.journal, job.id)
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
    assert stage.service.facts() == CLOSED


# Whose fault it was


def test_one_bad_job_of_a_batch_is_found_in_a_few_rounds(desk: Desk, stage: Stage) -> None:
    for number in range(1, 7):
        desk.render(number)
    stage.refuse(OUT, 4)
    assert stage.rounds_until_idle() == [[1, 2, 3, 4, 5, 6], [1], [2, 3], [4, 5, 6], [4], [5], [6]]
    assert stage.served == [1, 2, 3, 5, 6]
    for number in range(7, 20):
        desk.render(number)
    assert [len(jobs) for jobs in stage.rounds_until_idle()] == [4, 8, 1]


def test_a_bad_job_in_a_large_backlog_costs_the_others_a_few_rounds(desk: Desk, stage: Stage) -> None:
    desk.render(1)
    stage.multiply(1000)
    stage.refuse(OUT, 555)
    rounds = stage.rounds_until_idle()
    assert sorted(stage.served) == sorted(set(range(1, 1001)) - {555})
    assert len(rounds) <= 1000 / MOST + 20


def test_a_suspect_is_charged_only_when_others_succeed_time_and_again(desk: Desk, stage: Stage) -> None:
    job = desk.render(1)
    stage.refuse(OUT, 1)
    for number in (2, 3, 4):
        assert stage.attempts() == {}
        assert stage.rounds_until_idle() == [[1]]
        assert stage.waiting_seconds(job) == SUSPECT_SECONDS
        desk.render(number)
        assert stage.rounds_until_idle() == [[number]]
        stage.now += SUSPECT_SECONDS
    assert stage.attempts() == {1: 1}
    assert stage.waiting_seconds(job) == 100.0 - SUSPECT_SECONDS
    assert desk.of(1).reason == "timed out"
    assert figures.totals(desk.journal)["retried"] == 1


@pytest.mark.parametrize("share", [0.1, 0.3])
def test_a_service_that_fails_now_and_then_costs_hardly_anybody_an_attempt(
    desk: Desk, stage: Stage, share: float
) -> None:
    """Of the calls, by chance; each that fails is one in a row, and each of a whole batch is one."""
    desk.render(1)
    stage.multiply(300)
    chance = Random(7)
    stage.fault_of_call = lambda: OUT if chance.random() < share else None
    opened = set[float]()
    while len(stage.served) < 300 and len(stage.rounds) < 3000:
        stage.rounds_until_idle()
        opened.add(stage.breaker.opened_at or 0.0)
        stage.now += SUSPECT_SECONDS
    assert sorted(stage.served) == list(range(1, 301))
    assert sum(stage.attempts().values()) + figures.totals(desk.journal)["retried"] <= (0 if share < 0.2 else 4)
    assert len(opened - {0.0}) <= (0 if share < 0.2 else 6)


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
    assert stage.rounds_until_idle() == [[1], [3, 4], [5], [2]]
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
    assert desk.of(1).attempts == 3
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
        "remedy": "Check the key",
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
    assert stage.service.facts() == CLOSED


@pytest.mark.parametrize("bad", [1, 3, 6])
@pytest.mark.parametrize("fault", [OUT, KEY])
def test_what_the_service_never_takes_keeps_nobody_out(desk: Desk, stage: Stage, bad: int, fault: StorageFault) -> None:
    """Not even if it looks each time as if the whole service were out."""
    for number in range(1, 7):
        desk.render(number)
    stage.refuse(fault, bad)
    for _ in range(6):
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
    """429 to a request at the wrong moment, however often it is the same one."""
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


def test_after_an_outage_ten_thousand_go_in_full_batches_at_once(desk: Desk, stage: Stage) -> None:
    """An hour of probes, every one with another job; and those that were probes go in batches as well."""
    desk.render(1)
    stage.multiply(10_000)
    stage.refuse(BUSY)
    while stage.now < 3600:
        stage.round()
        stage.now += 7.0
    probes = len(stage.rounds)
    assert probes > 500
    assert {len(jobs) for jobs in stage.rounds[1:]} == {1}
    stage.serve_all()
    rounds = stage.rounds_until_idle()
    assert sorted(stage.served) == list(range(1, 10_001))
    assert len(rounds) <= 10_000 / MOST + 10
    assert stage.attempts() == {}


def test_no_more_come_last_than_can_be_kept_in_mind(desk: Desk, stage: Stage, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workers.publishing.service.suspects.LAST_JOBS", 5)
    desk.render(1)
    stage.multiply(30)
    stage.refuse(BUSY)
    for _ in range(40):
        stage.round()
        stage.now += 7.0
    assert len(stage.service._suspects.last) == 5
    stage.serve_all()
    stage.rounds_until_idle()
    assert sorted(stage.served) == list(range(1, 31))


def test_who_has_moved_on_meanwhile_is_forgotten(desk: Desk, stage: Stage) -> None:
    for number in range(1, 4):
        desk.render(number)
    stage.refuse(BUSY)
    for _ in range(3):
        stage.round()
        stage.now += 7.0
    withdraw(desk.journal, CHANNEL, [1], START)
    desk.take(2, picture="b", edited_at=desk.of(2).posted_at + 9)
    stage.serve_all()
    stage.rounds_until_idle()
    assert stage.served == [3]
    assert set(stage.service._suspects.last) <= {desk.of(1).id}, "its tombstone still waits for its row"


# With nobody there who could ask


def test_if_nobody_is_left_to_ask_a_question_of_ours_finds_out(desk: Desk, stage: Stage) -> None:
    """The failed job was deleted, or died: /status must not say half-open for ever."""
    job = desk.render(1)
    stage.refuse(KEY)
    stage.is_out = KEY
    stage.round()
    assert transitions.bury(desk.journal, job, "by the operator")
    for expected in (1, 2):
        stage.now += TIMEOUT_SECONDS
        assert stage.service.wants_probe
        assert stage.round() == []
        assert (stage.probes, stage.service.facts()["state"]) == (expected, "open")
    stage.is_out = None
    stage.now += TIMEOUT_SECONDS
    stage.round()
    assert stage.service.facts() == CLOSED
    assert not stage.service.wants_probe


def test_while_somebody_can_ask_nothing_else_is_asked(desk: Desk, stage: Stage) -> None:
    desk.render(1)
    stage.refuse(KEY)
    for _ in range(3):
        stage.round()
        stage.now += TIMEOUT_SECONDS
    assert (stage.probes, len(stage.rounds)) == (0, 3)


def test_of_one_that_has_failed_once_a_question_of_ours_finds_out_if_nobody_else_does(desk: Desk, stage: Stage) -> None:
    """Its job has gone since: /status must not say that it fails for ever."""
    job = desk.render(1)
    stage.refuse(OUT)
    stage.round()
    assert transitions.bury(desk.journal, job, "by the operator")
    stage.now += DOUBT_SECONDS - 1
    assert not stage.service.wants_probe
    stage.now += 1
    stage.round()
    assert stage.probes == 1
    assert stage.service.facts() == CLOSED
    assert not stage.service.wants_probe


def test_an_answer_that_refuses_the_job_is_an_answer(desk: Desk, stage: Stage) -> None:
    desk.render(1)
    stage.refuse(OUT)
    stage.round()
    stage.refuse(KEY)
    stage.now += SUSPECT_SECONDS
    stage.round()
    stage.now += TIMEOUT_SECONDS
    assert stage.service.take(MOST, stage.due)
    stage.service.answered()
    assert stage.service.facts() == CLOSED
    assert stage.attempts() == {}


# Replaced in the middle


def test_one_that_replaces_it_goes_on_with_its_breaker(desk: Desk, stage: Stage) -> None:
    desk.render(1)
    stage.now = 5.0
    stage.refuse(BUSY)
    stage.round()
    stage.now = 8.0
    stage.service = stage.another()
    stage.service.restore()
    assert stage.service.facts() == {
        "state": "open",
        "since": START + 5,
        "next_probe_at": START + 12,
        "error": "slow down",
        "remedy": "",
    }
    assert stage.round() == []
    stage.now = 12.0
    assert stage.service.facts()["state"] == "half-open"
    stage.serve_all()
    assert stage.round() == [1]
    stage.service = stage.another()
    stage.service.restore()
    assert stage.service.facts() == CLOSED


def test_one_that_replaces_it_asks_at_once_where_the_settings_were_wrong(desk: Desk, stage: Stage) -> None:
    """They may have been mended: that is what it was replaced for."""
    desk.render(1)
    stage.refuse(KEY)
    stage.round()
    stage.service = stage.another()
    stage.service.restore()
    facts = stage.service.facts()
    assert (facts["state"], facts["since"], facts["remedy"]) == ("half-open", START, "Check the key")
    stage.serve_all()
    assert stage.round() == [1]


def test_a_new_process_gives_a_service_the_pause_that_it_asked_for(desk: Desk, stage: Stage) -> None:
    """Even if the settings may have been mended."""
    desk.render(1)
    stage.refuse(StorageFault("unknown key", fatal=True, retry_after_seconds=500.0))
    stage.round()
    stage.service = stage.another()
    stage.service.restore()
    assert stage.service.facts()["state"] == "open"
    stage.now += 500.0
    assert stage.service.facts()["state"] == "half-open"


# Whatever happens


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
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
