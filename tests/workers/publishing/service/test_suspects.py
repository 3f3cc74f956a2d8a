"""Which job pays for a service's failures: the rules alone, without a service."""

from __future__ import annotations

import pytest

from ipc.jobs import Job
from tests.workers.desk import Desk
from workers.publishing.service.suspects import ALONE_FAILURES, Suspects


@pytest.fixture
def jobs(desk: Desk) -> list[Job]:
    return [desk.render(number) for number in range(1, 4)]


def fail_alone(suspects: Suspects, job: Job, other: Job) -> list[tuple[Job, str]]:
    """The job fails alone, and another one is served next; the jobs that this costs an attempt."""
    suspects.add(job, "timed out")
    return suspects.served([other])


def test_a_job_that_fails_alone_time_and_again_is_charged(jobs: list[Job]) -> None:
    suspects = Suspects()
    for _ in range(2):
        for _ in range(ALONE_FAILURES - 1):
            assert fail_alone(suspects, jobs[0], jobs[1]) == []
        assert fail_alone(suspects, jobs[0], jobs[1]) == [(jobs[0], "timed out")]


def test_a_job_that_was_served_begins_anew(jobs: list[Job]) -> None:
    suspects = Suspects()
    for _ in range(3):
        for _ in range(ALONE_FAILURES - 1):
            assert fail_alone(suspects, jobs[0], jobs[1]) == []
        suspects.served([jobs[0]])


def test_an_answer_without_a_job_blames_no_suspect(jobs: list[Job]) -> None:
    suspects = Suspects()
    for _ in range(ALONE_FAILURES + 1):
        suspects.add(jobs[0], "timed out")
        assert suspects.served([]) == []
    assert suspects.acquit() == [(jobs[0], "timed out")]
    assert suspects.acquit() == []


@pytest.mark.parametrize("fatal", [False, True])
def test_only_what_opens_the_breaker_at_once_is_charged_by_itself(jobs: list[Job], fatal: bool) -> None:
    """A service that is out fails with its probes too, and others were served before it was."""
    suspects = Suspects()
    assert not suspects.put_last(jobs[0], fatal=fatal)
    assert not suspects.put_last(jobs[0], fatal=fatal), "no other was served meanwhile"
    suspects.served([jobs[1]])
    assert suspects.put_last(jobs[0], fatal=fatal) == fatal
    assert not suspects.put_last(jobs[0], fatal=fatal), "and only once for each time that others were"


def test_the_last_come_in_the_order_in_which_they_failed(jobs: list[Job]) -> None:
    suspects = Suspects()
    for job in (jobs[0], jobs[1], jobs[2], jobs[0]):
        suspects.put_last(job, fatal=True)
    assert list(suspects.last) == [jobs[1].id, jobs[2].id, jobs[0].id]
    suspects.served([jobs[2]])
    suspects.forget_all_but(lambda job_id: job_id != jobs[1].id)
    assert list(suspects.last) == [jobs[0].id]
