"""A half of the uploader seen from outside: whether it goes round, and whether its service is silent."""

from __future__ import annotations

import threading
import time

import pytest

from tests.instance import wait_for
from workers import crew, halves
from workers.crew import Interrupted, never
from workers.halves import Watch


def test_a_half_that_asks_gives_signs_of_life() -> None:
    """However long the service takes to answer: the process that waits for it does not hang."""
    watch, answer = Watch(never), threading.Event()
    asking = threading.Thread(target=watch.ask, args=(lambda: answer.wait(30),))
    asking.start()
    try:
        asked_at = watch._alive
        wait_for("a sign of life", lambda: watch._alive > asked_at)
        watch._alive -= 1000.0
        wait_for("another one", lambda: watch.quiet_seconds < 500.0)
    finally:
        answer.set()
        asking.join(30)


def test_a_service_that_does_not_answer_holds_no_stop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(crew, "STOP_SECONDS", 0.1)
    answer = threading.Event()
    with pytest.raises(Interrupted):
        Watch(lambda: True).ask(lambda: answer.wait(30))
    answer.set()


def test_what_the_service_says_is_raised() -> None:
    def refuse() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Watch(never).ask(refuse)


@pytest.mark.parametrize("skipped_seconds", [3600.0, -3600.0])
def test_a_clock_that_is_set_makes_nobody_silent_and_hides_nobody(
    monkeypatch: pytest.MonkeyPatch, skipped_seconds: float
) -> None:
    """And since when it has been silent is told by the clock as it is now."""
    watch, real = Watch(never), time.time
    with watch.asking():
        monkeypatch.setattr(time, "time", lambda: real() + skipped_seconds)
        assert watch.look() is None
        monkeypatch.setattr(watch, "_patience", 0.0)
        time.sleep(0.01)
        assert watch.look() == pytest.approx(real() + skipped_seconds, abs=60.0)


def test_who_answers_while_somebody_looks_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(halves, "SILENT_SECONDS", 0.0)
    watch, real = Watch(never), time.time
    answering = threading.Thread(target=watch.answered)

    def look_at_the_clock() -> float:
        """In the middle of `look`."""
        if not answering.ident:
            answering.start()
            answering.join(0.2)
        return real()

    with watch.asking():
        time.sleep(0.01)
        monkeypatch.setattr(time, "time", look_at_the_clock)
        watch.look()
        answering.join(30)
    assert watch.look() is None
