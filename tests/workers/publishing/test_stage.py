"""A stage of the uploader seen from outside: whether it goes round, and whether its service is silent."""

from __future__ import annotations

import sqlite3
import threading
import time

import pytest

from ipc.journal import JournalError
from ipc.process.holds import Hold
from ipc.transport.mailbox import Closed
from tests.instance import wait_for
from workers import uploader
from workers.publishing import stage, threads
from workers.publishing.running import liveness as module
from workers.publishing.running.liveness import Liveness
from workers.publishing.service.faults import JobFault, ServiceFault
from workers.publishing.stage import unforeseen_as
from workers.publishing.threads import Interrupted, never


def test_a_stage_that_asks_gives_signs_of_life() -> None:
    """However long the service takes to answer: the process that waits for it does not hang."""
    liveness, answer = Liveness(never), threading.Event()
    asking = threading.Thread(target=liveness.ask, args=(lambda: answer.wait(30),))
    asking.start()
    try:
        for _ in range(2):
            wait_for("it to be quiet", lambda: liveness.quiet_seconds > 0.05)
            wait_for("a sign of life", lambda: liveness.quiet_seconds < 0.05)
    finally:
        answer.set()
        asking.join(30)


def test_a_service_that_does_not_answer_holds_no_stop_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(threads, "STOP_SECONDS", 0.1)
    answer = threading.Event()
    with pytest.raises(Interrupted):
        Liveness(lambda: True).ask(lambda: answer.wait(30))
    answer.set()


def test_what_the_service_says_is_raised() -> None:
    def refuse() -> None:
        raise ValueError("no")

    with pytest.raises(ValueError, match="no"):
        Liveness(never).ask(refuse)


@pytest.mark.parametrize("skipped_seconds", [3600.0, -3600.0])
def test_a_clock_that_is_set_makes_nobody_silent_and_hides_nobody(
    monkeypatch: pytest.MonkeyPatch, skipped_seconds: float
) -> None:
    """And since when it has been silent is told by the clock as it is now."""
    liveness, real = Liveness(never), time.time
    with liveness.asking():
        monkeypatch.setattr(time, "time", lambda: real() + skipped_seconds)
        assert liveness.look() is None
        monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)
        time.sleep(0.01)  # for the clock to go on
        assert liveness.look() == pytest.approx(real() + skipped_seconds, abs=60.0)


class Clock:
    """Both clocks of the stages: monotonic and Unix seconds."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 1000.0
        monkeypatch.setattr(time, "monotonic", lambda: self.now)
        monkeypatch.setattr(time, "time", lambda: self.now + 1e9)


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    return Clock(monkeypatch)


def test_a_silent_service_is_told_within_twelve_seconds_of_what_is_due() -> None:
    """Though nobody hints at what is due, and the main thread has only just looked; something is left for /status."""
    assert stage.POLL_SECONDS + module.SILENT_SECONDS + uploader.LOOK_SECONDS <= 11.5


def test_a_service_is_silent_after_nine_seconds_whatever_its_time_out_is(clock: Clock) -> None:
    liveness = Liveness(never)
    with liveness.asking():
        clock.now += 8.9
        assert liveness.look() is None
        clock.now += 0.1
        assert liveness.look() == 1e9 + 1000.0
        clock.now += 60.0
    assert liveness.look() == 1e9 + 1000.0, "the time-out is no answer"
    liveness.answered()
    assert liveness.look() is None


def test_whoever_takes_or_gives_anything_is_not_silent(clock: Clock) -> None:
    signs = [0.0]
    liveness = Liveness(never, lambda: signs[0])
    with liveness.asking():
        clock.now += 300.0
        signs[0] = clock.now - 8.0
        assert liveness.look() is None
        clock.now += 1.0
        assert liveness.look() == pytest.approx(1e9 + signs[0])


def test_who_is_not_asked_is_not_silent(clock: Clock) -> None:
    liveness = Liveness(never)
    with liveness.asking():
        liveness.answered()
        with liveness.busy():
            clock.now += 30.0  # for the journal
            assert liveness.look() is None
        clock.now += 8.0
        assert liveness.look() is None
    clock.now += 100.0
    assert liveness.look() is None


def test_a_service_fails_since_it_was_first_asked_in_vain(clock: Clock) -> None:
    liveness = Liveness(never)
    for _ in range(2):
        with pytest.raises(ServiceFault), liveness.asking():
            clock.now += 10.0
            raise ServiceFault("no answer in time")
        assert liveness.failing_since == 1e9 + 1000.0
    with liveness.asking():
        clock.now += 1.0
        liveness.answered()
    assert liveness.failing_since is None


def refused_value() -> sqlite3.Error:
    """SQLite's word for a value that does not fit: the next job's may."""
    with pytest.raises(sqlite3.IntegrityError) as caught:
        sqlite3.connect(":memory:").execute("CREATE TABLE t (x NOT NULL)").connection.execute(
            "INSERT INTO t VALUES (NULL)"
        )
    return caught.value


@pytest.mark.parametrize("error", [KeyError("ContentLength"), RecursionError("too deep"), EOFError(), refused_value()])
def test_an_error_that_nobody_foresaw_is_the_services_failure(error: Exception) -> None:
    def fail() -> None:
        raise error

    liveness = Liveness(never)
    with pytest.raises(
        ServiceFault, match=f"unforeseen error, see the log: {type(error).__name__}.*report it"
    ) as caught:
        liveness.ask(unforeseen_as(ServiceFault)(fail))
    assert caught.value.__cause__ is error
    assert liveness.failing_since is not None


@pytest.mark.parametrize(
    "error",
    [
        OSError("no space left"),
        Closed(),
        Hold("what", "what to do"),
        JournalError("damaged"),
        sqlite3.OperationalError("disk I/O error"),
        MemoryError(),
        RuntimeError("can't start new thread"),
        ServiceFault("503"),
        JobFault("too large"),
        Interrupted("stopped"),
    ],
    ids=lambda error: type(error).__name__,
)
def test_the_process_and_the_services_errors_stay_what_they_are(error: Exception) -> None:
    with pytest.raises(type(error)) as caught, unforeseen_as(ServiceFault):
        raise error
    assert caught.value is error


def test_who_answers_while_somebody_looks_is_not_silent(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SILENT_SECONDS", 0.0)
    liveness, real = Liveness(never), time.time
    answering = threading.Thread(target=liveness.answered)

    def look_at_the_clock() -> float:
        """In the middle of `look`."""
        if not answering.ident:
            answering.start()
            answering.join(0.2)
        return real()

    with liveness.asking():
        time.sleep(0.01)  # for the clock to go on
        monkeypatch.setattr(time, "time", look_at_the_clock)
        liveness.look()
        answering.join(30)
    assert liveness.look() is None
