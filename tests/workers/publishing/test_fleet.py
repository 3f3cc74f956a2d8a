"""workers/publishing/machines/fleet.py: which nodes there are, how fast they are, and what goes wrong."""

from __future__ import annotations

from typing import Any

import pytest

from tests.workers.publishing.machines_desk import Clock
from workers.publishing.catalog.protocol import CatalogFault
from workers.publishing.catalog.supabase.answers import APPLY, Missing
from workers.publishing.catalog.supabase.queues import Machines, Node
from workers.publishing.machines.fleet import (
    ALIVE_SECONDS,
    MISREAD_SECONDS,
    MOST_WORKERS,
    RATE_SECONDS,
    Fleet,
    Trouble,
    workers_of,
)


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def fleet(clock: Clock) -> Fleet:
    return Fleet("ours", clock)


def node(name: str = "beta", seen: float = 1.0, finished: int = 0, **about: Any) -> Node:
    return Node(name, about, seen, 2, finished)


def said(*nodes: Node) -> Machines:
    return Machines(list(nodes), [], 0)


def told(fleet: Fleet) -> Trouble | None:
    return fleet.trouble


def test_only_nodes_that_are_alive_have_workers(fleet: Fleet, clock: Clock) -> None:
    assert fleet.workers() == 0, "nobody has told yet"
    fleet.note(said(node("a", 1, workers=4), node("b", ALIVE_SECONDS - 10, workers=2), node("c", 999, workers=8)))
    assert fleet.workers() == 6
    clock.now += 20
    assert fleet.workers() == 4, "what was told grows old"
    clock.now += ALIVE_SECONDS
    assert fleet.workers() == 0


def test_nodes_of_another_bucket_do_not_count(fleet: Fleet) -> None:
    assert fleet.other_bucket == "", "there is none"
    fleet.note(said(node("a", workers=4, bucket="theirs")))
    assert fleet.workers() == 0
    assert fleet.other_bucket == "this machine has the bucket 'ours', but a has 'theirs'"
    fleet.note(said(node("a", workers=4, bucket="theirs"), node("b", workers=2), node("c", workers=1, bucket="ours")))
    assert fleet.workers() == 3, "one of a version before finds out by itself"
    assert fleet.other_bucket == ""
    fleet.note(said(node("a", 999, bucket="theirs")))
    assert fleet.other_bucket == ""


def test_what_can_not_be_read_is_told_for_a_while(fleet: Fleet, clock: Clock) -> None:
    assert fleet.misread == ""
    fleet.note_misread("a result of version 2")
    clock.now += MISREAD_SECONDS - 1
    assert fleet.misread == "a result of version 2"
    fleet.note_misread("a result of version 3")
    clock.now += MISREAD_SECONDS - 1
    assert fleet.misread == "a result of version 3"
    clock.now += 1
    assert fleet.misread == ""


HUGE = pytest.param(10**400, MOST_WORKERS, id="huge")


@pytest.mark.parametrize(("told", "workers"), [(3, 3), (0, 1), (-5, 1), ("many", 1), (None, 1), (2.5, 1), HUGE])
def test_a_node_has_a_number_of_workers_whatever_it_says(told: object, workers: int) -> None:
    assert workers_of(node(workers=told)) == workers
    assert workers_of(node()) == 1


def test_the_rate_is_that_of_the_last_two_minutes(fleet: Fleet, clock: Clock) -> None:
    fleet.note(said(node(finished=100)))
    assert fleet.rate_per_minute("beta") == 0.0, "one sample is no rate"
    for _ in range(60):
        clock.now += 10
        fleet.note(said(node(finished=100)))
    assert fleet.rate_per_minute("beta") == 0.0
    for number in range(1, 13):
        clock.now += 10
        fleet.note(said(node(finished=100 + 5 * number)))
    assert fleet.rate_per_minute("beta") == 30.0
    assert len(fleet._finished["beta"]) <= RATE_SECONDS / 10 + 2
    assert fleet.rate_per_minute("nobody") == 0.0


def test_a_node_that_is_counted_anew_has_no_negative_rate(fleet: Fleet, clock: Clock) -> None:
    fleet.note(said(node(finished=500)))
    clock.now += 10
    fleet.note(said(node(finished=1)))
    assert fleet.rate_per_minute("beta") == 0.0
    clock.now += 10
    fleet.note(said(node(finished=3)))
    assert fleet.rate_per_minute("beta") == 12.0


def test_nodes_that_are_gone_leave_nothing(fleet: Fleet) -> None:
    fleet.note(said(*(node(f"node-{number}") for number in range(50))))
    fleet.note(said(node("beta")))
    assert fleet._finished.keys() == {"beta"} and len(fleet.rows()) == 1


def test_a_row_bears_what_a_node_says_of_itself_cut_short(fleet: Fleet) -> None:
    long = "é" * 9000
    fleet.note(said(node("old", 50.04), node(long, 0.06, version=7, workers=4, problems=[long, 5, *"abcdefgh"])))
    first, last = fleet.rows()
    assert last["name"] == "old" and (last["last_seen_seconds"], last["version"], last["problems"]) == (50.0, "", [])
    assert (first["version"], first["workers"], first["in_hand"], first["last_seen_seconds"]) == ("7", 4, 2, 0.1)
    assert len(first["problems"]) == 5 and first["problems"][1] == "5"
    assert all(len(str(one).encode()) < 500 for one in (first["name"], *first["problems"]))
    fleet.note(said(node(problems="all of it")))
    assert fleet.rows()[0]["problems"] == []


def test_what_goes_wrong_is_told_until_it_goes_well(fleet: Fleet, clock: Clock) -> None:
    assert (told(fleet), fleet.last_answer_seconds) == (None, None)
    with pytest.raises(CatalogFault), fleet.telling("results"):
        raise CatalogFault("it is away", remedy="Wait")
    with pytest.raises(OSError, match="disk"), fleet.telling("hand-over"):
        raise OSError("the disk")
    assert told(fleet) == Trouble("it is away", "Wait", is_schema=False)
    with fleet.telling("results"):
        fleet.answered()
    clock.now += 2.5
    assert told(fleet) == Trouble("the disk", "", is_schema=False)
    assert fleet.last_answer_seconds == 2.5
    with pytest.raises(Missing), fleet.telling("hand-over"):
        raise Missing("no function", is_function=True, retry_after_seconds=None)
    assert told(fleet) == Trouble("no function", APPLY, is_schema=True)
    with pytest.raises(KeyError), fleet.telling("hand-over"):
        raise KeyError("x")
    assert told(fleet) == Trouble("an unforeseen error, see the log: KeyError: 'x'", "", is_schema=False)
    with fleet.telling("hand-over"):
        pass
    assert told(fleet) is None
