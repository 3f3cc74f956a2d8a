"""workers/publishing/running/work_thread.py: work beside the stages goes round; a failing service puts it off alone."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from workers.publishing.running.work_thread import WorkThread
from workers.publishing.service.faults import ServiceFault


class Steps:
    """Does what it is told, step by step, and says when."""

    def __init__(self, *outcomes: int | Exception) -> None:
        self._outcomes = list(outcomes)
        self.is_done = threading.Event()
        self.closed = 0

    def step(self) -> int:
        if not self._outcomes:
            self.is_done.set()
            return 0
        outcome = self._outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def close(self) -> None:
        self.closed += 1


def run(
    steps: Steps, until: Callable[[WorkThread[Steps]], bool], poll_seconds: float = 0.01, pause_seconds: float = 60.0
) -> WorkThread[Steps]:
    stop = threading.Event()
    thread = WorkThread("work", lambda: steps, stop.is_set, lambda _: poll_seconds, pause_seconds)
    thread.start()
    try:
        assert until(thread)
    finally:
        stop.set()
        thread.stop()
        thread.join(10)
    assert not thread.is_alive()
    return thread


def test_it_goes_on_while_there_is_something() -> None:
    steps = Steps(1, 1, 0, 1)
    run(steps, lambda _: steps.is_done.wait(10)).check()
    assert steps.closed == 0


def test_it_rests_only_when_there_is_nothing() -> None:
    steps = Steps(1, 1)
    run(steps, lambda _: steps.is_done.wait(10), poll_seconds=3600).check()


@pytest.mark.parametrize("fault", [ServiceFault("out"), OSError("gone"), KeyError("unforeseen")])
def test_a_failure_puts_it_off_and_lets_go_of_the_services(fault: Exception) -> None:
    steps = Steps(fault, 1)
    run(steps, lambda _: steps.is_done.wait(10), pause_seconds=0.01).check()
    assert steps.closed == 1


def test_a_hint_is_no_reason_to_ask_again_after_a_failure() -> None:
    steps = Steps(ServiceFault("out"))

    def rings(thread: WorkThread[Steps]) -> bool:
        for _ in range(20):
            thread.ring()
            if steps.is_done.wait(0.01):
                return False
        return True

    run(steps, rings)


def test_a_hint_ends_the_wait() -> None:
    steps = Steps(0)

    def rings(thread: WorkThread[Steps]) -> bool:
        thread.ring()
        return steps.is_done.wait(10)

    run(steps, rings, poll_seconds=3600)


def test_what_concerns_the_whole_process_ends_it() -> None:
    steps = Steps(MemoryError())

    def ends(thread: WorkThread[Steps]) -> bool:
        thread.join(10)
        return not thread.is_alive()

    with pytest.raises(MemoryError):
        run(steps, ends).check()
