"""Which problems are told, and when."""

from __future__ import annotations

import random
from collections.abc import Sequence

import pytest

from health.notify.decisions import GONE_SECONDS, HIDDEN_BY_OTHERS, Told, decide
from health.notify.notices import Notice
from health.problems.first_seen import Dated
from health.problems.problem import Problem
from tests.lengths import length

AFTER = 120.0


def dated(subject: str, id: str = "child.held", since: float = 0.0) -> Dated:
    return Dated(Problem(id, subject, f"{subject} is bad", "mend it"), since)


class Watch:
    """Looks every two seconds, as health does, and notes down what is told and when."""

    def __init__(self, after: float = AFTER) -> None:
        self.now = 1000.0
        self.told = Told()
        self.after = after
        self.said: list[tuple[float, Notice]] = []

    def look(self, *problems: Dated) -> list[Notice]:
        self.told, notices = decide(self.told, problems, self.now, self.after)
        self.said += [(self.now, one) for one in notices]
        return notices

    def pass_time(self, seconds: float, *problems: Dated) -> list[str]:
        """What is told in that time while these problems are there."""
        before = len(self.said)
        until = self.now + seconds
        while self.now < until:
            self.look(*problems)
            self.now += 2
        return [f"{one.kind} {one.what}" for _, one in self.said[before:]]


def test_a_problem_is_told_once_when_it_has_lasted_and_its_end_once_when_it_has_been_gone_as_long() -> None:
    watch = Watch()
    assert watch.pass_time(AFTER, dated("pool", since=990)) == []
    assert watch.pass_time(3600, dated("pool", since=990)) == ["problem pool is bad"]
    assert watch.pass_time(AFTER) == []
    assert watch.pass_time(3600) == ["over pool is bad"]
    (told_at, begun), (over_at, over) = watch.said
    assert (told_at, begun) == (1000 + AFTER, Notice("problem", "pool is bad", "mend it", 990))
    assert over == Notice("over", "pool is bad", since=990, until=1000 + AFTER + 3600)
    assert over_at == 1000 + 2 * AFTER + 3600
    assert watch.told == Told()


def test_what_comes_and_goes_is_told_to_nobody() -> None:
    watch = Watch()
    for _ in range(50):
        assert watch.pass_time(AFTER - 2, dated("pool")) == []
        assert watch.pass_time(2) == []


def test_what_was_told_and_comes_and_goes_is_no_news() -> None:
    watch = Watch()
    watch.pass_time(AFTER + 2, dated("pool"))
    for _ in range(50):
        assert watch.pass_time(AFTER, dated("pool")) == []
        assert watch.pass_time(AFTER - 2) == []
    assert watch.pass_time(AFTER + 4) == ["over pool is bad"]


def test_another_kind_of_problem_of_the_same_subject_is_told_once_too() -> None:
    watch = Watch()
    down, held = dated("pool", "child.not_running"), dated("pool", "child.held")
    assert watch.pass_time(AFTER + 2, down) == ["problem pool is bad"]
    assert watch.pass_time(AFTER, held) == []
    assert watch.pass_time(10, held) == ["problem pool is bad"], "a person has to act now"
    assert watch.pass_time(3 * AFTER, down) == []
    assert watch.pass_time(3 * AFTER, held) == []
    assert watch.pass_time(AFTER + 4) == ["over pool is bad"], "one end for all of them"


def test_a_kind_that_nobody_looks_for_is_not_over() -> None:
    watch = Watch()
    stuck = dated("stuck", HIDDEN_BY_OTHERS)
    assert watch.pass_time(AFTER + 2, stuck) == ["problem stuck is bad"]
    assert watch.pass_time(2 * AFTER, dated("pool")) == ["problem pool is bad"]
    assert watch.pass_time(2 * AFTER) == ["over stuck is bad", "over pool is bad"]


def test_problems_that_are_due_together_are_told_together() -> None:
    watch = Watch()
    watch.pass_time(AFTER, dated("pool"), dated("connection"))
    assert [one.what for one in watch.look(dated("pool"), dated("connection"))] == ["pool is bad", "connection is bad"]


def test_with_no_delay_a_process_that_knows_nothing_yet_ends_nothing() -> None:
    watch = Watch(after=0)
    assert watch.pass_time(2, dated("pool")) == ["problem pool is bad"]
    assert watch.pass_time(GONE_SECONDS) == []  # health was replaced, and has not heard of the others
    assert watch.pass_time(60, dated("pool")) == []
    assert watch.pass_time(GONE_SECONDS + 2) == ["over pool is bad"]


@pytest.mark.parametrize("jump", [-86400.0, 86400.0])
def test_a_clock_that_is_set_ends_nothing_and_repeats_nothing(jump: float) -> None:
    watch = Watch()
    watch.pass_time(AFTER + 2, dated("pool"))
    watch.now += jump
    assert watch.pass_time(AFTER, dated("pool"), dated("connection")) == []
    assert watch.pass_time(4, dated("pool"), dated("connection")) == ["problem connection is bad"]
    watch.pass_time(2)
    watch.now -= jump
    assert watch.pass_time(2 * AFTER, dated("pool"), dated("connection")) == []


@pytest.mark.parametrize("seed", range(length(30, 1000)))
def test_every_problem_that_is_told_is_told_to_be_over_and_none_twice(seed: int) -> None:
    chance, watch = random.Random(seed), Watch()
    subjects = ["pool", "connection", "uploader"]
    for _ in range(60):
        some: Sequence[Dated] = [dated(one) for one in subjects if chance.random() < 0.5]
        watch.pass_time(chance.choice([2, 20, 118, 124, 300]), *some)
    watch.pass_time(2 * AFTER)
    for subject in subjects:
        kinds = [one.kind for _, one in watch.said if one.what == f"{subject} is bad"]
        assert kinds == ["problem", "over"] * (len(kinds) // 2)
    times = [at for at, _ in watch.said]
    assert times == sorted(times)
