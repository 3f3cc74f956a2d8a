"""The body of /status, field by field."""

from __future__ import annotations

import copy
from typing import Any

import pytest

from health import status
from ipc.journal.statistics import STAGES, Histogram, Outcome, Stage
from ipc.posts import MORE
from tests.health.snapshots import CHANNEL, NOW, body_of, child, figures, snapshot


def test_all_is_well() -> None:
    body = body_of(snapshot())
    assert list(body) == [
        "ok",
        "problems",
        "stats",
        "tree",
        "memory",
        "channels",
        "reloads",
        "quarantine",
        "stages",
        "webhooks",
        "machines",
    ]
    assert body["ok"] is True and body["problems"] == []


def test_it_is_pure() -> None:
    given = snapshot(tree={"pool": child("held", last_exit="x", last_cause="held", remedy="y")})
    before = copy.deepcopy((given.tree, given.reports, given.root))
    assert body_of(given) == body_of(given)
    assert (given.tree, given.reports, given.root) == before


def test_stats() -> None:
    assert body_of(snapshot())["stats"] == {
        "started_at": "2023-11-14T22:12:20Z",
        "processed": 44,
        "failed": 6,
        "retried": 7,
        "dead": 5,
        "encoder_fallbacks": 0,
        "renewing": 0,
        "not_renewed": 0,
        "taken_down": 0,
        "takedowns": 0,
        "purges": 0,
        "connected": True,
        "queue_size": 6,
        "r2_circuit_breaker": "closed",
        "r2_circuit_breaker_since": None,
        "r2_next_probe_at": None,
        "supabase_circuit_breaker": "closed",
        "supabase_circuit_breaker_since": None,
        "supabase_next_probe_at": None,
        "last_error": None,
        "last_heartbeat_at": "2023-11-14T22:13:00Z",
        "seen": 1,
        "fetched": 2,
        "rendered": 3,
        "published": 40,
        "waiting_for_retry": 1,
        "spool_bytes": 999,
        "oldest_waiting_seconds": 0.0,
        "published_per_minute": 0.0,
        "post_to_row_seconds": {"p50": None, "p99": None, "count": 0},
        "source": {"connected": True, "channel": 77, "behind": 4},
        "feeds": {},
        "site": {},
    }


def test_stats_before_anybody_has_said_anything() -> None:
    stats = body_of(snapshot(tree={}, reports={}, figures=None))["stats"]
    assert stats["processed"] == stats["queue_size"] == stats["dead"] == 0
    assert stats["connected"] is False and stats["last_heartbeat_at"] is None and stats["last_error"] is None
    assert stats["r2_circuit_breaker"] == stats["supabase_circuit_breaker"] == "closed"
    assert stats.keys() == body_of(snapshot())["stats"].keys()


@pytest.mark.parametrize("state", ["waiting", "starting", "held", "stopping", "stopped"])
def test_not_connected_while_the_connection_is_down(state: str) -> None:
    """Whatever it said last."""
    given = snapshot(tree={"connection": child(state)})
    assert body_of(given)["stats"]["connected"] is False


@pytest.mark.parametrize(
    ("more", "expected"),
    [
        ({}, "a: killed by SIGKILL"),
        ({"figures": figures(last_failure="HTTP 500")}, "HTTP 500"),
        ({"figures": figures(last_failure="HTTP 500"), "reports": {"uploader": {"catalog_error": "down"}}}, "down"),
        ({"reports": {"uploader": {"storage_error": "away", "catalog_error": "down"}}}, "away"),
        ({"tree": {"c": child(last_exit="stopped as asked", last_cause="asked")}}, None),
        ({"tree": {"c": child("finished", last_exit="exit code 0", last_cause="finished")}}, None),
        ({"tree": {"c": child("running", last_exit="exit code 0", last_cause="finished")}}, "c: exit code 0"),
    ],
)
def test_the_last_error_is_the_one_that_matters_most(more: dict[str, Any], expected: str | None) -> None:
    ends = {
        "b": child(last_exit="exit code 1", last_cause="crashed", since=5),
        "a": child(last_exit="killed by SIGKILL", last_cause="signalled", since=9),
        "c": child(last_exit="stopped as asked", last_cause="asked", since=99),
    }
    assert body_of(snapshot(**{"tree": ends, **more}))["stats"]["last_error"] == expected


def test_the_tree_begins_with_root_and_is_in_order() -> None:
    rows = body_of(snapshot())["tree"]
    assert [row["name"] for row in rows] == ["root", "health", "uploader", "pool", "image-1", "image-2", "connection"]
    assert rows[0] == {
        "name": "root",
        "pid": 1,
        "state": "running",
        "restarts": 0,
        "uptime_seconds": 60.0,
        "rss_bytes": 5,
        "peak_rss_bytes": 6,
        "cap_bytes": 0,
        "last_seen_seconds": 1.0,
    }
    assert rows[4] == {
        "name": "image-1",
        "state": "running",
        "restarts": 0,
        "cap_bytes": 500,
        "pid": 100,
        "rss_bytes": 10,
        "peak_rss_bytes": 90,
        "job": 8,
        "job_seconds": 0.5,
        "uptime_seconds": 50.0,
    }


def test_a_child_that_is_down_has_no_pid_and_says_how_it_ended() -> None:
    down = child("waiting", last_exit="killed by SIGKILL", last_cause="signalled", remedy="", restarts=2)
    [_, row] = body_of(snapshot(tree={"pool": down}))["tree"]
    assert row == {
        "name": "pool",
        "state": "waiting",
        "restarts": 2,
        "cap_bytes": 0,
        "last_exit": {"cause": "signalled", "what": "killed by SIGKILL"},
    }


def test_memory() -> None:
    assert body_of(snapshot())["memory"] == {
        "rss_bytes": 5 + 6 * 10,
        "peak_process_rss_bytes": 90,
        "cap_bytes": 1000,
        "available_bytes": 12345,
        "enforced_by": "sampling",
        "kills": [],
    }


@pytest.mark.parametrize(
    ("ways", "enforced_by"),
    [
        ((), "sampling"),
        (("sampling",), "sampling"),
        (("cgroup", "cgroup"), "cgroup"),
        (("cgroup", "sampling"), "sampling"),
    ],
)
def test_who_holds_the_workers_to_their_caps(ways: tuple[str, ...], enforced_by: str) -> None:
    tree = {f"image-{number}": child("running", enforced_by=way) for number, way in enumerate(ways)}
    assert body_of(snapshot(tree=tree))["memory"]["enforced_by"] == enforced_by


def test_the_kills_for_memory_are_shown_with_their_time() -> None:
    kill = {"process": "image-1", "at": 1_700_000_000, "what": "out of memory", "job": 7}
    assert body_of(snapshot(kills=[kill]))["memory"]["kills"] == [{**kill, "at": "2023-11-14T22:13:20Z"}]


def test_channels_and_how_far_behind() -> None:
    other = {**CHANNEL, "id": 78}
    channels = body_of(snapshot(figures=figures(channels=(CHANNEL, other))))["channels"]
    assert [(one["id"], one["title"], one["behind"]) for one in channels] == [
        (77, "Wires", 4),
        (78, "Wires", None),
    ]
    assert [one["ignored"] for one in channels] == [CHANNEL["ignored"], other["ignored"]]
    assert body_of(snapshot(figures=None))["channels"] == []
    assert [one["behind"] for one in body_of(snapshot(reports={}))["channels"]] == [None]
    assert body_of(snapshot(reports={"connection": {"channel": None}}))["channels"][0]["behind"] is None


@pytest.mark.parametrize(
    "more",
    [
        {"reports": {"connection": {"connected": False, "error": "no route", "channel": 77, "behind": 4}}},
        {"tree": {"connection": child("waiting", last_cause="killed", last_exit="signal 9")}},
        {"tree": {"connection": child("held", last_cause="held", last_exit="banned")}},
    ],
)
def test_nobody_knows_how_far_behind_while_there_is_no_line(more: dict[str, Any]) -> None:
    source = {"connection": {"connected": True, "channel": 77, "behind": 4}}
    told = {"channel 0": {"id": 78, "address": "@other", "behind": 3, "problem": ""}}
    both = figures(channels=(CHANNEL, {**CHANNEL, "id": 78}))
    body = body_of(snapshot(figures=both, reports={**source, **told}))
    assert [one["behind"] for one in body["channels"]] == [4, 3]
    reports = {**source, **more.get("reports", {}), **told}
    body = body_of(snapshot(figures=both, **{**more, "reports": reports}))
    assert [one["behind"] for one in body["channels"]] == [None, None]


def test_channels_that_are_not_configured_any_more_are_not_shown() -> None:
    told = {
        f"channel {n}": {"id": None, "address": f"@n{n}", "behind": None, "problem": "gone", "remedy": ""}
        for n in range(3)
    }
    cases: list[tuple[dict[str, int], list[str]]] = [({}, ["@n0", "@n1", "@n2"]), ({"channels": 1}, ["@n0"])]
    for source, addresses in cases:
        body = body_of(snapshot(figures=None, reports={"connection": {"connected": True, **source}, **told}))
        assert [one["address"] for one in body["channels"]] == addresses
        assert len(body["problems"]) == len(addresses)


@pytest.mark.parametrize(
    ("reports", "state"),
    [
        ({"connection": {"source": "telegram", "channels": 1, "connected": True}}, None),  # it has not told yet
        ({"connection": {"source": "export", "channel": 77, "behind": 0, "connected": True}}, "not configured"),
        (
            {
                "connection": {"source": "telegram", "channels": 1, "connected": True},
                "channel 0": {"id": 77, "address": "@wires", "state": "read", "behind": 4, "problem": ""},
            },
            "not configured",
        ),
    ],
)
def test_a_channel_that_is_not_configured_is_called_so(reports: dict[str, Any], state: str | None) -> None:
    """Also one that was imported from an export."""
    former = {**CHANNEL, "id": 5, "title": "Former"}
    body = body_of(snapshot(figures=figures(channels=(former, CHANNEL)), reports=reports))
    row = next(one for one in body["channels"] if one["id"] == 5)
    assert (row.get("state"), row["behind"]) == (state, None) and not body["problems"]


def test_a_connection_that_has_just_begun_is_no_problem_yet() -> None:
    opening = {"connection": {"connected": False, "error": ""}}
    for age, restarts, count in ((44, 0, 0), (46, 0, 1), (3, 1, 0), (6, 1, 1)):
        given = snapshot(reports=opening, tree={"connection": child(spawned=NOW - age, restarts=restarts)})
        body = body_of(given)
        assert body["stats"]["connected"] is False and len(body["problems"]) == count


def test_pictures_that_were_set_aside_are_named_with_their_file() -> None:
    row = {"job": 8, "channel": 77, "message": 5, "reason": "poison, set aside after 2 tries: hung", "file": "8.1"}
    [found] = body_of(snapshot(figures=figures(quarantined=(row,))))["quarantine"]
    assert found == {**row, "file": "spool/8.1/original"}
    assert body_of(snapshot())["quarantine"] == body_of(snapshot(figures=None))["quarantine"] == []


def test_the_summary_is_one_line() -> None:
    body = body_of(snapshot())
    assert status.summarize(body) == "connected, 6 pictures waiting, 5 dead"
    report = {**snapshot().reports["connection"], "connected": False, "error": "no route"}
    body = body_of(snapshot(reports={"connection": report}, figures=figures(states={"seen": 1})))
    assert status.summarize(body) == ("not connected, 1 picture waiting, 0 dead; the source is not connected: no route")
    body = body_of(snapshot(reports={"connection": report}, journal_error="x" * 5000))
    assert status.summarize(body).endswith(f"; {'x' * 300} (and 1 more)")


def test_how_long_it_takes_and_how_it_ends() -> None:
    stages: dict[Stage, Histogram] = {"render": Histogram((1.0, 2.0), (1, 1, 0), 2.4)}
    outcomes: dict[tuple[Stage, Outcome], int] = {("render", "done"): 2, ("render", "dead"): 1, ("render", "lost"): 0}
    took = Histogram((1.0, 3.0), (0, 4, 0), 8.0)
    minutes = ((int(NOW) - 120, 90), (int(NOW) - 60, 30))
    body = body_of(
        snapshot(
            figures=figures(
                stages=stages,
                outcomes=outcomes,
                post_to_row=took,
                published_by_minute=minutes,
                oldest_waiting_seconds=12.34,
            )
        )
    )
    assert body["stages"]["render"] == {"count": 2, "seconds": 2.4, "failures": {"dead": 1}}
    assert body["stages"]["write"] == {"count": 0, "seconds": 0.0, "failures": {}}
    stats = body["stats"]
    assert stats["post_to_row_seconds"] == {"p50": 2.0, "p99": 2.98, "count": 4}
    assert (stats["published_per_minute"], stats["oldest_waiting_seconds"]) == (2.0, 12.3)


def test_every_figure_is_there_without_a_journal() -> None:
    body = body_of(snapshot(figures=None, journal_error="gone"))
    assert body["stats"]["post_to_row_seconds"] == {"p50": None, "p99": None, "count": 0}
    assert (body["stats"]["oldest_waiting_seconds"], set(body["stages"])) == (0.0, set(STAGES))


def test_which_ids_of_a_channel_are_accounted_for() -> None:
    (row,) = body_of(snapshot(figures=figures(channels=({**CHANNEL, "ignored": {"text": 3, MORE: 5}},))))["channels"]
    assert (row["ids_accounted"], row["pictures"], row["ids_absent"], row["ids_total"]) == (40, 30, 7, None)
    assert (row["last_post_at"], row["last_published_at"]) == ("2023-11-14T22:12:10Z", "2023-11-14T22:12:20Z")


def test_how_many_ids_there_are_is_known_with_a_line_to_telegram() -> None:
    report = {
        "id": 77,
        "address": "@wires",
        "title": "Wires",
        "state": "read",
        "behind": 4,
        "problem": "",
        "remedy": "",
    }
    source = {"source": "telegram", "connected": True, "channels": 1, "behind": 4}
    known = snapshot(reports={"connection": source, "channel 0": report})
    assert body_of(known)["channels"][0]["ids_total"] == 44
    lost = snapshot(reports={"connection": {**source, "connected": False}, "channel 0": report})
    assert body_of(lost)["channels"][0]["ids_total"] is None


def test_a_silent_root_is_silent_since_it_was_last_heard() -> None:
    (problem,) = [one for one in body_of(snapshot(silent_seconds=30.0))["problems"] if one["id"] == "root.silent"]
    assert problem["since"] == "2023-11-14T22:12:50Z"
    assert "kill -CONT 1." in problem["remedy"]
