"""How long a job may take, and who is to blame when it takes longer: pure."""

from __future__ import annotations

import pytest

from ipc.transport.router import CpuUsage
from workers.rendering.deadline import LATE_SECONDS, Deadline, Timing

JOB_SECONDS = 60.0
DEADLINE_MULTIPLIER = 4


def watched(
    seconds: int,
    *,
    cpu: float = 0.0,
    queued: float = 0.0,
    every: float = 1.0,
    disk: bool = False,
    stopped: bool = False,
) -> Deadline:
    """A job after that number of seconds, in each of which it has used or waited for so much of the processors."""
    watch = Deadline.start(1000.0, CpuUsage(7.0, 3.0))
    looks = int(seconds / every)
    for look in range(1, looks + 1):
        passed = look * every
        cpu_usage = CpuUsage(7.0 + cpu * passed, 3.0 + queued * passed, waits_for_disk=disk, is_stopped=stopped)
        watch = watch.look(1000.0 + passed, cpu_usage)
    return watch


@pytest.mark.parametrize(
    ("watch", "verdict"),
    [
        pytest.param(watched(59, cpu=1.0), Timing.WITHIN, id="at work"),
        pytest.param(watched(61, cpu=1.0), Timing.OVER, id="at work for too long"),
        pytest.param(watched(61), Timing.OVER, id="waits for nothing: a deadlock"),
        pytest.param(watched(30, cpu=2.1), Timing.OVER, id="on two processors"),
        pytest.param(watched(59, cpu=1.0, queued=1.0), Timing.WITHIN, id="two threads on one processor"),
        pytest.param(watched(61, cpu=1.0, queued=1.0), Timing.OVER, id="no longer than one thread"),
        pytest.param(watched(98, cpu=0.6, queued=1.4), Timing.WITHIN, id="two threads, starved"),
        pytest.param(watched(70, cpu=0.5, queued=0.5), Timing.WITHIN, id="starved by half"),
        pytest.param(watched(130, cpu=0.5, queued=0.5), Timing.OVER, id="starved by half, and slow"),
        pytest.param(watched(200, cpu=0.05, queued=0.95), Timing.WITHIN, id="starved"),
        pytest.param(watched(241, cpu=0.05, queued=0.95), Timing.HINDERED, id="starved for ever"),
        pytest.param(watched(200, disk=True), Timing.WITHIN, id="the disk is slow"),
        pytest.param(watched(241, disk=True), Timing.HINDERED, id="the disk hangs"),
        pytest.param(watched(60, stopped=True), Timing.WITHIN, id="stopped"),
        pytest.param(watched(61, stopped=True), Timing.HINDERED, id="stopped: it won't go on by itself"),
        pytest.param(watched(200, every=LATE_SECONDS + 1), Timing.WITHIN, id="nobody has come round"),
        pytest.param(watched(120, every=20.0, cpu=1.0), Timing.OVER, id="nobody but the job has come round"),
    ],
)
def test_what_its_time_says(watch: Deadline, verdict: Timing) -> None:
    assert watch.timing(JOB_SECONDS, DEADLINE_MULTIPLIER) is verdict


def test_a_suspended_machine_is_no_fault_of_the_jobs() -> None:
    """It was at work for 10 s when the machine stood still for an hour."""
    watch = watched(10, cpu=1.0).look(1010.0 + 3600.0, CpuUsage(17.0, 3.0))
    assert watch.withheld_seconds == 3600.0
    assert watch.timing(JOB_SECONDS, DEADLINE_MULTIPLIER) is Timing.HINDERED, "longer than anybody waits, and no strike"
    watch = watched(10, cpu=1.0).look(1010.0 + 100.0, CpuUsage(17.0, 3.0))
    assert watch.timing(JOB_SECONDS, DEADLINE_MULTIPLIER) is Timing.WITHIN, "it goes on where it was"


def test_what_is_withheld_is_never_more_than_what_was_not_used() -> None:
    watch = Deadline.start(0.0, CpuUsage(0.0, 0.0)).look(1.0, CpuUsage(0.7, 5.0))
    assert watch.withheld_seconds == pytest.approx(0.3), "five threads wait for one processor"
    watch = Deadline.start(0.0, CpuUsage(0.0, 9.0)).look(1.0, CpuUsage(0.2, 4.0))
    assert watch.withheld_seconds == 0.0, "a thread has ended, and its time is counted no more"


def test_without_figures_wall_time_is_all_there_is() -> None:
    watch = Deadline.start(0.0, None)
    assert watch.look(59.0, None).timing(JOB_SECONDS, DEADLINE_MULTIPLIER) is Timing.WITHIN
    assert watch.look(61.0, None).timing(JOB_SECONDS, DEADLINE_MULTIPLIER) is Timing.OVER
    watch = Deadline.start(0.0, CpuUsage(1.0, 0.0)).look(61.0, None)
    assert watch.timing(JOB_SECONDS, DEADLINE_MULTIPLIER) is Timing.OVER, "it is just about to end"
