"""What the end of a fetch means for its job: each outcome, in the journal, the spool and the log."""

from __future__ import annotations

import errno
import os
import time
from typing import Any

import pytest
import structlog

from ipc.jobs import Job
from ipc.journal import figures
from ipc.retry import RetryPolicy
from tests.workers.desk import Desk
from workers.sources.settle import (
    Failed,
    Fetched,
    FetchEnd,
    Gone,
    LeftOut,
    NoRoom,
    PutOff,
    TooLarge,
    Withdrawn,
    of_os_error,
    record_fetched,
    settle,
)

POLICY = RetryPolicy(max_attempts=1, base_seconds=60.0)


def settled(desk: Desk, job: Job, outcome: FetchEnd) -> tuple[bool, list[Any]]:
    """Whether the job has moved, and what was logged: level, event and the fields of interest."""
    with structlog.testing.capture_logs() as logs:
        has_moved = settle(desk.journal, desk.spool, POLICY, job, outcome)
    return has_moved, [(one["log_level"], one["event"]) for one in logs]


def original_of(desk: Desk, job: Job) -> str:
    desk.spool.write_original(job.id, job.generation, lambda part: part.write_bytes(b"picture"))
    return f"{job.id}.{job.generation}/original"


def test_fetched(desk: Desk) -> None:
    job = desk.take(1)
    name = original_of(desk, job)
    assert settled(desk, job, Fetched("5ha", 7)) == (True, [("debug", "picture.fetched")])
    now = desk.of(1)
    assert (now.state, now.sha256, now.bytes, now.attempts) == ("fetched", "5ha", 7, 0)
    assert desk.spooled() == {name}


def test_of_several_that_were_fetched_those_that_are_not_wanted_leave_no_file(desk: Desk) -> None:
    jobs = [desk.take(number) for number in (1, 2)]
    names = [original_of(desk, job) for job in jobs]
    desk.take(1, picture="another", edited_at=2_000_000_000)
    with structlog.testing.capture_logs() as logs:
        wanted = record_fetched(desk.journal, desk.spool, [(job, Fetched("5ha", 7)) for job in jobs])
    assert wanted == {jobs[1].id} and desk.spooled() == {names[1]}
    assert [(one["event"], one["job"]) for one in logs] == [("picture.fetched", jobs[1].id)]
    assert (desk.of(1).state, desk.of(2).state) == ("seen", "fetched")


@pytest.mark.parametrize("outcome", [Withdrawn(), NoRoom("the spool cannot be written")])
def test_nothing_is_recorded(desk: Desk, outcome: FetchEnd) -> None:
    job = desk.take(1)
    has_moved, logs = settled(desk, job, outcome)
    assert not has_moved and desk.of(1) == job
    assert logs == ([("error", "fetching.paused")] if isinstance(outcome, NoRoom) else [])


def test_put_off_costs_no_attempt(desk: Desk) -> None:
    job = desk.take(1)
    assert settled(desk, job, PutOff("no answer", 90.0)) == (False, [("warning", "fetching.postponed")])
    now = desk.of(1)
    assert (now.state, now.attempts, now.reason) == ("seen", 0, "no answer")
    assert 80 < now.next_at - time.time() <= 90


def test_a_failure_costs_an_attempt_and_the_last_one_its_life(desk: Desk) -> None:
    job = desk.take(1)
    assert settled(desk, job, Failed("damaged")) == (False, [("warning", "fetching.failed")])
    now = desk.of(1)
    assert (now.state, now.attempts, now.reason) == ("seen", 1, "cannot be fetched: damaged")
    assert settled(desk, now, Failed("damaged")) == (True, [("warning", "fetching.failed")])
    assert (desk.of(1).state, desk.of(1).dead_state) == ("dead", "seen")
    assert (desk.of(1).reason or "").startswith("cannot be fetched: damaged")


@pytest.mark.parametrize(
    ("outcome", "reason", "level", "event"),
    [
        (TooLarge(11, 10), "too large: 11 bytes, at most 10 (MAX_IMAGE_SIZE_BYTES)", "error", "job.dead"),
        (Gone("no such file"), "no such file", "error", "job.dead"),
        (LeftOut("not in the export"), "not in the export", "info", "picture.left_out"),
    ],
)
def test_dead_at_once(desk: Desk, outcome: FetchEnd, reason: str, level: str, event: str) -> None:
    job = desk.take(1)
    assert settled(desk, job, outcome) == (True, [(level, event)])
    assert (desk.of(1).state, desk.of(1).reason) == ("dead", reason)
    assert (figures.last_failure(desk.journal) is None) == isinstance(outcome, LeftOut), (
        "what was left out is no failure"
    )


@pytest.mark.parametrize("outcome", [Fetched("5ha", 7), PutOff("x", 9.0), Failed("x"), Gone("x"), LeftOut("x")])
def test_a_job_that_has_moved_on_is_left_alone(desk: Desk, outcome: FetchEnd) -> None:
    job = desk.take(1)
    now = desk.take(1, picture="another", edited_at=2_000_000_000)
    has_moved, logs = settled(desk, job, outcome)
    assert not has_moved and desk.of(1) == now
    assert {event for _, event in logs} <= {"fetching.failed", "fetching.postponed"}, "and is not reported as dead"


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EDQUOT, errno.EROFS])
def test_a_full_disk_is_no_pictures_fault(number: int) -> None:
    outcome = of_os_error(OSError(number, os.strerror(number)), "why")
    assert outcome == NoRoom(f"the spool cannot be written: {os.strerror(number)}")


def test_any_other_error_of_the_disk_is_the_pictures() -> None:
    assert of_os_error(OSError(errno.EIO, "Input/output error"), "why") == Failed("why")
