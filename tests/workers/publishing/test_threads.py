"""Several calls at once: all of them, no more at once than wanted, and nobody waits for a thread that hangs."""

from __future__ import annotations

import threading
from collections.abc import Callable

import pytest

from workers.publishing import threads as module
from workers.publishing.threads import Interrupted, Threads, never, run


def calling(*calls: Callable[[], int], threads: int = 4, stop: Callable[[], bool] = never) -> list[int]:
    done: list[int] = []
    run(calls, threads=threads, stop=stop, done=done.append)
    return done


@pytest.mark.parametrize("count", [0, 1, 4, 100])
def test_all_are_called(count: int) -> None:
    assert sorted(calling(*(lambda number=number: number for number in range(count)))) == list(range(count))


@pytest.mark.parametrize("threads", [1, 3])
def test_no_more_at_once_than_wanted(threads: int) -> None:
    together = threading.Barrier(threads)

    def meet() -> int:
        return together.wait(20)  # with fewer it would break, and with more the last ones would wait in vain

    assert len(calling(*[meet] * threads * 2, threads=threads)) == threads * 2


def test_results_are_told_in_the_callers_thread() -> None:
    told: list[bool] = []
    here = threading.get_ident()
    run(
        [threading.get_ident] * 3,
        threads=2,
        stop=never,
        done=lambda ident: told.append(ident != here == threading.get_ident()),
    )
    assert told == [True] * 3


def test_the_first_error_is_raised_when_those_under_way_are_back() -> None:
    begun: list[str] = []
    failed = threading.Event()

    def fail() -> int:
        begun.append("fail")
        failed.set()
        raise KeyError("first")

    def slow() -> int:
        begun.append("slow")
        assert failed.wait(20)
        threading.Event().wait(0.2)
        begun.append("back")
        return 1

    with pytest.raises(KeyError):
        calling(slow, fail, *[slow] * 5, threads=2)
    assert sorted(begun) == ["back", "fail", "slow"]


def test_a_stop_gives_those_who_can_time_to_finish() -> None:
    assert calling(*[lambda: 1] * 5, stop=lambda: True) == [1] * 5


def test_a_stop_leaves_the_others_behind(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "STOP_SECONDS", 0.2)
    never_set = threading.Event()
    begun: list[None] = []

    def hang() -> int:
        begun.append(None)
        return never_set.wait(60)

    with pytest.raises(Interrupted):
        calling(lambda: 1, hang, hang, hang, threads=2, stop=lambda: True)
    assert len(begun) == 2
    never_set.set()


def test_the_caller_may_do_something_else_meanwhile() -> None:
    """The call is under way before anybody waits for it."""
    begun, let_go = threading.Event(), threading.Event()
    results: list[bool] = []

    def call() -> bool:
        begun.set()
        return let_go.wait(20)

    one = Threads([call])
    assert begun.wait(20) and not results
    let_go.set()
    one.finish(done=results.append)
    assert results == [True]


def test_whoever_is_told_may_refuse() -> None:
    def refuse(result: int) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        run([lambda: 1] * 100, threads=2, stop=never, done=refuse)


@pytest.mark.parametrize("left", [0, 1, 2])
def test_without_threads_all_is_done_the_same(left: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """The number of threads that the machine has left."""
    real = threading.Thread.start
    started: list[threading.Thread] = []

    def start(thread: threading.Thread) -> None:
        if len(started) >= left:
            raise RuntimeError("can't start new thread")
        started.append(thread)
        real(thread)

    monkeypatch.setattr(threading.Thread, "start", start)
    assert sorted(calling(*(lambda number=number: number for number in range(20)))) == list(range(20))
    assert len(started) == left
    began: list[int] = []

    def fail() -> int:
        began.append(1)
        raise ValueError("as the test wants it")

    with pytest.raises(ValueError, match="as the test"):
        calling(*[fail] * 8, threads=1)
    assert len(began) == 1
    with pytest.raises(Interrupted):
        monkeypatch.setattr(module, "STOP_SECONDS", 0.0)
        hangs = threading.Event()
        calling(*[lambda: hangs.wait(0.05)] * 100, threads=1, stop=lambda: True)
