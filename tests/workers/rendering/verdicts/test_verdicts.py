"""What an answer or an exit means for a job, as facts in and a verdict out. tests/workers/test_pool.py applies them."""

from __future__ import annotations

import signal
from dataclasses import replace
from typing import Any

import pytest

from ipc.jobs import Job
from ipc.transport.exits import Cause, Exit, Killer
from ipc.transport.messages import JobFailed
from tests.workers.desk import Desk
from workers.rendering.deadline import Timing
from workers.rendering.verdicts.verdicts import (
    Doubt,
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
    of_lending,
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


def judged(job: Job, end: Exit, **more: Any) -> Verdict:
    return of_exit(end, job, **{"timing": None, "seconds": 61.4, "poison_after": 2, **more})


KILLED = -signal.SIGKILL
CRASHED = Exit(Cause.CRASHED, 1)
HUNG = Exit(Cause.HUNG, KILLED, Killer.SUPERVISOR)
STARVED = Exit(Cause.OUT_OF_MEMORY, 1, said="full")


@pytest.mark.parametrize("cause", [Cause.ASKED, Cause.FINISHED, Cause.TERMINATED, Cause.SHORT])
def test_an_exit_that_says_nothing_against_the_job(job: Job, cause: Cause) -> None:
    assert judged(job, Exit(cause, KILLED), poison_after=1) == GiveBack()


def test_a_kill_from_outside(job: Job) -> None:
    expected = Retry("its worker was killed by SIGKILL from outside", at_once=True)
    assert judged(job, Exit(Cause.SIGNALLED, KILLED), poison_after=1) == expected


@pytest.mark.parametrize(
    "end", [Exit(Cause.MACHINE_OUT_OF_MEMORY, KILLED, Killer.KERNEL), Exit(Cause.PERHAPS_OUT_OF_MEMORY, KILLED)]
)
def test_the_machines_want_of_memory(job: Job, end: Exit) -> None:
    assert judged(job, end, poison_after=1) == Retry(f"its worker was lost: {end.text}", at_once=True, alone=True)


@pytest.mark.parametrize(
    ("timing", "expected"),
    [
        (Timing.HINDERED, Retry("its worker was kept from working, for 61 s in all, and was ended")),
        (Timing.OVER, Strike(f"its worker was lost: {HUNG.text}", alone=False)),
        (None, Strike(f"its worker was lost: {HUNG.text}", alone=False)),
    ],
)
def test_a_hang(job: Job, timing: Timing | None, expected: Verdict) -> None:
    assert judged(job, HUNG, timing=timing) == expected


def test_a_broken_sandbox_is_poison_at_once(job: Job) -> None:
    end = Exit(Cause.SANDBOX, -signal.SIGSYS, Killer.KERNEL)
    lost = "its worker was lost: broke the rules of its sandbox and was killed by the kernel"
    assert judged(job, end, poison_after=9) == SetAside(f"poison, set aside at once: {lost}")


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (FileNotFoundError(2, "gone"), FetchAgain()),
        (OSError(28, "full"), WaitForDisk("full")),
        (OSError(5, "failing"), Retry("cannot be given to an image worker: [Errno 5] failing")),
    ],
)
def test_an_original_that_cannot_be_lent(error: OSError, expected: Verdict) -> None:
    assert of_lending(error) == expected


def test_our_own_sigkill_is_no_kill_from_outside(job: Job) -> None:
    assert judged(job, HUNG) == Strike(f"its worker was lost: {HUNG.text}", alone=False)


def test_a_worker_that_crashes_while_it_is_being_ended_is_no_hang(job: Job) -> None:
    assert judged(job, CRASHED, timing=Timing.HINDERED) == Strike("its worker was lost: exit code 1", alone=False)


LOST = "its worker was lost: {}"
POISON = "poison, set aside after {} tries: its worker was lost: {}"


def by_signal(number: int) -> Exit:
    return Exit(Cause.SIGNALLED, -number)


@pytest.mark.parametrize(
    ("end", "deaths", "alone", "poison_after", "expected"),
    [
        # A crash that is no sign of short memory: the count alone decides.
        (CRASHED, 0, False, 2, Strike(LOST.format("exit code 1"), alone=False)),
        (CRASHED, 1, False, 2, SetAside(POISON.format(2, "exit code 1"))),
        (CRASHED, 0, False, 1, SetAside(POISON.format(1, "exit code 1"))),
        (CRASHED, 0, True, 2, Strike(LOST.format("exit code 1"), alone=False)),
        (by_signal(signal.SIGXCPU), 1, False, 2, SetAside(POISON.format(2, "killed by SIGXCPU"))),
        # Memory: one try alone, however high the count is, and no second one, however low it is.
        (STARVED, 0, False, 1, Strike(LOST.format("out of memory: full"), alone=True)),
        (STARVED, 7, False, 2, Strike(LOST.format("out of memory: full"), alone=True)),
        (STARVED, 1, True, 9, SetAside(POISON.format(2, "out of memory: full"))),
        # A crash that may have been for want of memory: one try alone, and then the count decides.
        *(
            row
            for number in (signal.SIGSEGV, signal.SIGABRT, signal.SIGBUS)
            for text in [f"killed by {number.name}"]
            for row in [
                (by_signal(number), 5, False, 2, Strike(LOST.format(text), alone=True)),
                (by_signal(number), 0, True, 2, Strike(LOST.format(text), alone=True)),
                (by_signal(number), 1, True, 2, SetAside(POISON.format(2, text))),
            ]
        ),
    ],
)
def test_a_strike_and_poison(
    job: Job, end: Exit, deaths: int, alone: bool, poison_after: int, expected: Verdict
) -> None:
    assert judged(replace(job, deaths=deaths, alone=alone), end, poison_after=poison_after) == expected
