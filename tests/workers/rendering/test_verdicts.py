"""What an answer or an exit means for a job, as facts in and a verdict out. tests/workers/test_pool.py applies them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from ipc.jobs import Job
from ipc.transport.messages import JobFailed
from tests.workers.desk import Desk
from workers.rendering.deadline import Timing
from workers.rendering.verdicts import (
    Doubt,
    Exit,
    FetchAgain,
    GiveBack,
    Retry,
    SetAside,
    Strike,
    Verdict,
    WaitForCodec,
    WaitForDisk,
    of_exit,
    of_failure,
)


@pytest.fixture
def job(desk: Desk) -> Job:
    return desk.fetch(1)


@pytest.mark.parametrize(
    ("verdict", "is_spoilt", "expected"),
    [
        ("bad", False, Doubt("why")),
        ("missing", False, FetchAgain()),
        ("machine", False, WaitForDisk("why")),
        ("broken", False, WaitForCodec("why")),
        ("broken", True, Retry("why")),
        ("passing", False, Retry("why")),
        ("a word of another version", False, Retry("why")),
        ("memory", False, Strike("out of memory: why", alone=True)),
    ],
)
def test_an_answer(job: Job, verdict: str, is_spoilt: bool, expected: Verdict) -> None:
    failed = JobFailed(job.id, job.generation, 0, verdict, "why")
    assert of_failure(failed, job, poison_after=2, is_worker_spoilt=is_spoilt) == expected


def judged(job: Job, cause: str, text: str, **more: Any) -> Verdict:
    return of_exit(Exit(cause, text), job, **{"timing": None, "seconds": 61.4, "poison_after": 2, **more})


@pytest.mark.parametrize("cause", ["asked", "finished", "terminated", "short of processes"])
def test_an_exit_that_says_nothing_against_the_job(job: Job, cause: str) -> None:
    assert judged(job, cause, "killed by SIGKILL", poison_after=1) == GiveBack()


def test_a_kill_from_outside(job: Job) -> None:
    expected = Retry("its worker was killed by SIGKILL from outside", at_once=True)
    assert judged(job, "signalled", "killed by SIGKILL", poison_after=1) == expected


@pytest.mark.parametrize("cause", ["machine out of memory", "perhaps out of memory"])
def test_the_machines_want_of_memory(job: Job, cause: str) -> None:
    assert judged(job, cause, "gone", poison_after=1) == Retry("its worker was lost: gone", at_once=True, alone=True)


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        (Timing.HINDERED, Retry("its worker was kept from working, for 61 s in all, and was ended")),
        (Timing.OVER, Strike("its worker was lost: hung", alone=False)),
        (None, Strike("its worker was lost: hung", alone=False)),
    ],
)
def test_a_hang(job: Job, timing: Timing | None, expected: Verdict) -> None:
    assert judged(job, "hung", "hung", timing=timing) == expected


def test_our_own_sigkill_is_no_kill_from_outside(job: Job) -> None:
    text = "made no progress, killed by SIGKILL"
    assert judged(job, "hung", text) == Strike(f"its worker was lost: {text}", alone=False)


def test_a_worker_that_crashes_while_it_is_being_ended_is_no_hang(job: Job) -> None:
    assert judged(job, "crashed", "exit code 1", timing=Timing.HINDERED) == Strike(
        "its worker was lost: exit code 1", alone=False
    )


POISON = "poison, set aside after {} tries: its worker was lost: {}"


@pytest.mark.parametrize(
    ("cause", "text", "deaths", "alone", "poison_after", "expected"),
    [
        # A crash that is no sign of short memory: the count alone decides.
        ("crashed", "exit code 1", 0, False, 2, Strike("its worker was lost: exit code 1", alone=False)),
        ("crashed", "exit code 1", 1, False, 2, SetAside(POISON.format(2, "exit code 1"))),
        ("crashed", "exit code 1", 0, False, 1, SetAside(POISON.format(1, "exit code 1"))),
        ("crashed", "exit code 1", 0, True, 2, Strike("its worker was lost: exit code 1", alone=False)),
        ("signalled", "killed by SIGXCPU", 1, False, 2, SetAside(POISON.format(2, "killed by SIGXCPU"))),
        # Memory: one try alone, however high the count is, and no second one, however low it is.
        ("out of memory", "full", 0, False, 1, Strike("its worker was lost: full", alone=True)),
        ("out of memory", "full", 7, False, 2, Strike("its worker was lost: full", alone=True)),
        ("out of memory", "full", 1, True, 9, SetAside(POISON.format(2, "full"))),
        # A crash that may have been for want of memory: one try alone, and then the count decides.
        *(
            row
            for signal in ("SIGSEGV", "SIGABRT", "SIGBUS")
            for text in [f"killed by {signal}"]
            for row in [
                ("signalled", text, 5, False, 2, Strike(f"its worker was lost: {text}", alone=True)),
                ("signalled", text, 0, True, 2, Strike(f"its worker was lost: {text}", alone=True)),
                ("signalled", text, 1, True, 2, SetAside(POISON.format(2, text))),
            ]
        ),
    ],
)
def test_a_strike_and_poison(
    job: Job, cause: str, text: str, deaths: int, alone: bool, poison_after: int, expected: Verdict
) -> None:
    assert judged(replace(job, deaths=deaths, alone=alone), cause, text, poison_after=poison_after) == expected
