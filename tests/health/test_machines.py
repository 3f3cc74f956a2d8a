"""Other machines, as /status and the problems show them."""

from __future__ import annotations

from typing import Any

import pytest

from health.problems.detectors import find_problems
from ipc.journal.statistics import Histogram
from tests.health.snapshots import NODE, NOW, OF_NODE, OF_ORIGIN, ORIGIN, TAKEN, body_of, figures, snapshot

NODE_ROLE = {"role": "node", "name": "beta"}


def of_origin(**more: Any) -> dict[str, Any]:
    """What makes a snapshot one of an origin, whose report has `more`."""
    return {"machines": ORIGIN, "reports": {"machines": {**OF_ORIGIN, **more}}}


def ids(**more: Any) -> list[str]:
    return [one.id for one in find_problems(snapshot(**more))]


def test_a_machine_alone_has_no_section() -> None:
    assert body_of(snapshot())["machines"] is None
    assert body_of(snapshot(machines={"role": "all"}, reports={"machines": OF_ORIGIN}))["machines"] is None


def test_an_origin_shows_queues_and_nodes() -> None:
    shown = body_of(snapshot(**of_origin()))["machines"]
    assert (shown["role"], shown["id"], shown["name"], shown["error"]) == ("origin", "00ff00ff00ff", "alpha", "")
    assert shown["last_answer_seconds"] == pytest.approx(2.2, abs=0.1)
    assert (shown["outstanding"], shown["results_waiting"]) == (7, 1)
    assert shown["queues"] == OF_ORIGIN["queues"]
    assert shown["nodes"] == [{**NODE, "rate_per_minute": 81.2, "last_seen_seconds": 1.2}]


def test_nodes_come_in_as_many_reports_as_are_needed() -> None:
    reports = {
        "machines": {**OF_ORIGIN, "node_reports": 2},
        "machines nodes 1": {"nodes": [{**NODE, "name": "gamma"}]},
        "machines nodes 2": {"nodes": [{**NODE, "name": "delta"}]},
        "machines nodes 3": {"nodes": [{**NODE, "name": "of a time when there were more"}]},
    }
    shown = body_of(snapshot(machines=ORIGIN, reports=reports))["machines"]
    assert [one["name"] for one in shown["nodes"]] == ["beta", "gamma", "delta"]


def test_a_node_of_another_version_may_say_less() -> None:
    shown = body_of(snapshot(**of_origin(nodes=[{"name": "old", "last_seen_seconds": 3}])))["machines"]
    assert shown["nodes"] == [
        {
            **{"name": "old", "version": "", "workers": 0, "in_hand": 0, "rate_per_minute": 0.0},
            **{"problems": [], "last_seen_seconds": 3},
        }
    ]


def test_a_node_shows_for_whom_it_works() -> None:
    shown = body_of(snapshot(machines=NODE_ROLE, reports={"machines": OF_NODE}))["machines"]
    assert (shown["role"], shown["name"], shown["in_hand"], shown["last_answer_seconds"]) == (
        "node",
        "beta-aa00",
        2,
        None,
    )
    assert shown["taken"] == [{**TAKEN, "last_at": "2023-11-14T22:13:19Z"}]


@pytest.mark.parametrize("role", [ORIGIN, NODE_ROLE])
def test_before_the_first_report_all_is_empty(role: dict[str, Any]) -> None:
    shown = body_of(snapshot(machines=role))["machines"]
    assert shown["name"] == role["name"] and not shown["id"] and shown["last_answer_seconds"] is None


def test_needed_workers_are_those_that_render_what_is_fetched_in_time() -> None:
    def needed(fetched: int, **stages: Histogram) -> int:
        found = figures(states={"seen": 10**6, "fetched": fetched}, stages=stages)
        return int(body_of(snapshot(**of_origin(), figures=found))["machines"]["needed_workers"])

    assert needed(0) == 0
    assert needed(61) == 2, "a second a picture, while none was rendered yet"
    measured = Histogram((1.0,), (4, 0), 2.0)
    assert (needed(120, render=measured), needed(121, render=measured)) == (1, 2)


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"error": "HTTP 503", "answered_at": NOW - 14}, []),
        ({"error": "HTTP 503", "answered_at": NOW - 15}, ["machines.unreachable"]),
        ({"error": "HTTP 503", "answered_at": None}, ["machines.unreachable"]),
        ({"error": "HTTP 404", "answered_at": None, "schema": "no pd_take"}, ["machines.schema"]),
        ({"nodes": [{**NODE, "last_seen_seconds": 179}]}, []),
        ({"nodes": [{**NODE, "last_seen_seconds": 9999, "in_hand": 0}]}, []),
        ({"nodes": [{**NODE, "last_seen_seconds": 180}]}, ["machines.node_silent"]),
        ({"queues": [{"name": "live", "length": 1, "oldest_seconds": 599, "taken": 0}]}, []),
        ({"queues": [{"name": "live", "length": 1, "oldest_seconds": 600, "taken": 0}]}, ["machines.queue_old"]),
    ],
)
def test_problems_of_an_origin(more: dict[str, Any], told: list[str]) -> None:
    assert ids(**of_origin(**more)) == told


def test_a_stale_length_is_no_second_problem() -> None:
    old = [{"name": "live", "length": 1, "oldest_seconds": 900, "taken": 0}]
    assert ids(**of_origin(queues=old, error="HTTP 503", answered_at=NOW - 60)) == ["machines.unreachable"]


def test_the_remedy_of_the_database_comes_through() -> None:
    (problem,) = find_problems(
        snapshot(**of_origin(error="HTTP 401", answered_at=NOW - 60, remedy="check catalog.key"))
    )
    assert problem.remedy == "Nothing is lost; check catalog.key" and problem.since == NOW - 60


def test_a_node_without_its_queue_has_one_problem() -> None:
    queue = {"source": "queue", "connected": False, "error": "HTTP 503"}
    reports = {"connection": queue, "machines": {**OF_NODE, "error": "HTTP 503"}}
    assert ids(machines=NODE_ROLE, reports=reports) == ["machines.unreachable"]
    assert ids(machines=NODE_ROLE, reports={"connection": {**queue, "error": ""}}) == ["source.not_connected"]


def test_a_node_says_which_pictures_it_gives_back() -> None:
    report = {**OF_NODE, "other_bucket": True, "refused": "the origin 00ff has the bucket pictures"}
    (problem,) = find_problems(
        snapshot(machines=NODE_ROLE, reports={"connection": {"connected": True}, "machines": report})
    )
    assert problem.id == "machines.other_bucket" and "the bucket pictures" in problem.what
