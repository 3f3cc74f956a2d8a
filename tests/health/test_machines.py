"""Other machines, as /status and the problems show them."""

from __future__ import annotations

from typing import Any

import pytest

from health.problems.detectors import find_problems
from tests.health.snapshots import NODE, NOW, OF_NODE, OF_ORIGIN, ORIGIN, TAKEN, body_of, snapshot

NODE_ROLE = {"role": "node", "name": "beta"}


def of_origin(node: dict[str, Any] | None = None, **more: Any) -> dict[str, Any]:
    """What makes a snapshot one of an origin, whose report has `more`, and its node has `node`."""
    return {"machines": ORIGIN, "reports": {"machines": {**OF_ORIGIN, **more}, "machine 0": {**NODE, **(node or {})}}}


def ids(**more: Any) -> list[str]:
    return [one.id for one in find_problems(snapshot(**more))]


def test_a_machine_alone_has_no_section() -> None:
    assert body_of(snapshot())["machines"] is None
    assert body_of(snapshot(machines={"role": "all"}, reports={"machines": OF_ORIGIN}))["machines"] is None


def test_an_origin_shows_queues_and_nodes() -> None:
    shown = body_of(snapshot(**of_origin()))["machines"]
    assert (shown["role"], shown["id"], shown["name"], shown["error"]) == ("origin", "00ff00ff00ff", "alpha", "")
    assert (shown["outstanding"], shown["results_waiting"], shown["needed_workers"]) == (7, 1, 9)
    assert shown["last_answer_seconds"] == 2.2
    assert shown["queues"] == OF_ORIGIN["queues"]
    assert shown["nodes"] == [{**NODE, "rate_per_minute": 81.2, "last_seen_seconds": 1.2}]


def test_every_node_has_a_report_and_those_of_earlier_ones_do_not_count() -> None:
    names = ("beta", "gamma", "gone")
    reports = {f"machine {number}": {**NODE, "name": name} for number, name in enumerate(names)}
    shown = body_of(snapshot(machines=ORIGIN, reports={**reports, "machines": {**OF_ORIGIN, "node_count": 2}}))
    assert [one["name"] for one in shown["machines"]["nodes"]] == ["beta", "gamma"]


def test_a_node_of_another_version_may_say_less() -> None:
    reports = {"machines": OF_ORIGIN, "machine 0": {"name": "old", "last_seen_seconds": 3}}
    shown = body_of(snapshot(machines=ORIGIN, reports=reports))["machines"]
    assert shown["nodes"] == [
        {
            **{"name": "old", "version": "", "workers": 0, "in_hand": 0, "rate_per_minute": 0.0},
            **{"problems": [], "last_seen_seconds": 3},
        }
    ]


def test_a_node_shows_for_whom_it_works() -> None:
    report = {**OF_NODE, "answered_at": NOW - 12}
    shown = body_of(snapshot(machines=NODE_ROLE, reports={"machines": report}))["machines"]
    assert (shown["role"], shown["name"], shown["in_hand"]) == ("node", "beta-aa00", 2)
    assert shown["last_answer_seconds"] == 12
    assert shown["taken"] == [{**TAKEN, "last_at": "2023-11-14T22:13:19Z"}]


@pytest.mark.parametrize("role", [ORIGIN, NODE_ROLE])
def test_before_the_first_report_all_is_empty(role: dict[str, Any]) -> None:
    shown = body_of(snapshot(machines=role))["machines"]
    assert shown["name"] == role["name"] and not shown["id"] and shown["last_answer_seconds"] is None


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"error": "HTTP 503", "last_answer_seconds": 14.0}, []),
        ({"error": "HTTP 503", "last_answer_seconds": 15.0}, ["machines.unreachable"]),
        ({"error": "HTTP 503", "last_answer_seconds": None}, ["machines.unreachable"]),
        ({"error": "no pd_take", "last_answer_seconds": None, "is_schema_missing": True}, ["machines.schema"]),
        ({"outdated": "machines.sql was applied by an earlier version"}, ["machines.schema"]),
        ({"node": {"last_seen_seconds": 179}}, []),
        ({"node": {"last_seen_seconds": 9999, "in_hand": 0}}, []),
        ({"node": {"last_seen_seconds": 180}}, ["machines.node_silent"]),
        ({"queues": [{"name": "live", "length": 1, "oldest_seconds": 599, "taken": 0}]}, []),
        ({"queues": [{"name": "live", "length": 1, "oldest_seconds": 600, "taken": 0}]}, ["machines.queue_old"]),
    ],
)
def test_problems_of_an_origin(more: dict[str, Any], told: list[str]) -> None:
    assert ids(**of_origin(**more)) == told


def test_a_stale_length_is_no_second_problem() -> None:
    old = [{"name": "live", "length": 1, "oldest_seconds": 900, "taken": 0}]
    assert ids(**of_origin(queues=old, error="HTTP 503", last_answer_seconds=60.0)) == ["machines.unreachable"]


def test_the_remedy_of_the_database_comes_through() -> None:
    (problem,) = find_problems(
        snapshot(**of_origin(error="HTTP 401", last_answer_seconds=60.0, remedy="check catalog.key"))
    )
    assert problem.remedy == "Nothing is lost. Check catalog.key" and problem.since == NOW - 60


def test_a_node_without_its_queue_has_one_problem() -> None:
    queue = {"source": "queue", "connected": False, "error": "HTTP 503"}
    reports = {"connection": queue, "machines": {**OF_NODE, "error": "HTTP 503"}}
    assert ids(machines=NODE_ROLE, reports=reports) == ["machines.unreachable"]
    assert ids(machines=NODE_ROLE, reports={"connection": {**queue, "error": ""}}) == ["source.not_connected"]


def test_an_origin_says_what_it_can_not_read_and_that_no_node_has_its_bucket() -> None:
    (problem,) = find_problems(snapshot(**of_origin(misread="a result of version 2, this program understands 1")))
    assert problem.id == "machines.not_understood" and "a result of version 2" in problem.what
    assert "Upgrade it to the version of its nodes" in problem.remedy
    (problem,) = find_problems(snapshot(**of_origin(other_bucket=True, refused="a has 'theirs'")))
    assert problem.id == "machines.other_bucket"
    assert problem.what == "no node can publish its pictures: a has 'theirs'"


def test_a_node_says_that_a_newer_one_is_needed() -> None:
    report = {**OF_NODE, "refused": "a hand-over of version 2, this program understands 1: it has to be upgraded"}
    (problem,) = find_problems(
        snapshot(machines=NODE_ROLE, reports={"connection": {"connected": True}, "machines": report})
    )
    assert problem.id == "machines.not_understood" and "of version 2" in problem.what


def test_a_node_says_which_pictures_it_gives_back() -> None:
    report = {**OF_NODE, "other_bucket": True, "refused": "the origin 00ff has the bucket pictures"}
    (problem,) = find_problems(
        snapshot(machines=NODE_ROLE, reports={"connection": {"connected": True}, "machines": report})
    )
    assert problem.id == "machines.other_bucket" and "the bucket pictures" in problem.what
