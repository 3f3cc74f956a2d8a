"""Every kind of problem of /status: when it is there, since when, and when it is gone."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from health.problems.detectors import find_problems
from health.problems.first_seen import FirstSeen
from health.problems.takedown import FAILING_SECONDS
from health.snapshot import Snapshot, Undelivered
from health.status import document
from health.view.figures import Standstill
from tests.health.snapshots import (
    AWAY,
    BREAKERS,
    FAILING,
    HELD,
    LATE,
    NODE,
    NOW,
    ORIGIN,
    SHORT,
    STOPPED,
    WEBHOOK,
    body_of,
    child,
    figures,
    in_a_loop,
    snapshot,
    whats,
)

FAILURE = {"opened_at": NOW - 4, "silent_until": NOW, "error": "403: no", "remedy": "Mend it"}
UNDELIVERED = Undelivered("notify.urls, number 1 (tgram://…)", "HTTP 401", waiting=2, since=NOW - 60)


@pytest.mark.parametrize(
    ("machine", "what"),
    [
        ({}, ""),
        (SHORT | {"rationed": False}, ""),
        (
            SHORT,
            "the machine is short of memory (99 MiB left, processes wait for it 12 % of the time):"
            " 1 image worker at work, nothing is fetched",
        ),
        (
            SHORT | {"state": "ok", "workers": 2, "intake": True, "pressure_percent": None},
            "the machine was short of memory until just now (99 MiB left):"
            " 2 image workers at work, pictures are fetched",
        ),
    ],
)
def test_a_machine_that_is_short_of_memory(machine: dict[str, Any], what: str) -> None:
    problems = [one for one in find_problems(snapshot(reports={"machine": machine})) if one.subject == "machine"]
    assert [(one.what, one.since) for one in problems] == ([(what, NOW - 7)] if what else [])


def test_workers_that_rest_meanwhile_are_no_problem_of_their_own() -> None:
    rests = child("stopped", last_cause="asked", last_exit="stopped as asked", since=int(NOW) - 60)
    assert [one.subject for one in find_problems(snapshot(tree={"image-2": rests}))] == ["child image-2"]
    assert not list(find_problems(snapshot(tree={"image-2": {**rests, "resting": True}})))


@pytest.mark.parametrize(
    ("more", "what", "since"),
    [
        ({"silent_seconds": 6.0}, "the root has not been heard of for 6 s", "2023-11-14T22:13:14Z"),
        ({"tree": {"connection": HELD}}, "connection is held: the account is banned", "2023-11-14T22:05:00Z"),
        ({"tree": {"pool": STOPPED}}, "pool is stopped: stopped as asked", "2023-11-14T22:13:14Z"),
        ({"tree": {"pool": LATE}}, "pool is not running (waiting) after: exit code 1", "2023-11-14T22:13:14Z"),
        (
            {"tree": {"pool": child("starting", since=int(NOW) - 46)}},
            "pool is not running (starting)",
            "2023-11-14T22:12:34Z",
        ),
        (
            {"tree": {"pool": child("starting", since=int(NOW) - 6, restarts=1)}},
            "pool is not running (starting)",
            "2023-11-14T22:13:14Z",
        ),
        (
            {"tree": {"pool": child("waiting", since=int(NOW) - 6, trouble="cannot be started: EAGAIN", remedy="x")}},
            "pool is not running (waiting): cannot be started: EAGAIN",
            "2023-11-14T22:13:14Z",
        ),
        (
            {"tree": {"own": in_a_loop("held", due=NOW + 9)}},
            "own is held: it has ended 9 times",
            "2023-11-14T22:13:14Z",
        ),
        (
            {"tree": {"own": in_a_loop("running")}},
            "own was held, and is tried once more: it has ended 9 times",
            "2023-11-14T22:13:14Z",
        ),
        (
            {"tree": {"pool": child(heard=NOW - 11, beats=True)}},
            "pool has given no sign of life for 11 s",
            "2023-11-14T22:13:09Z",
        ),
        ({"journal_error": "journal.db: cannot be read"}, "journal.db: cannot be read", "2023-11-14T22:13:20Z"),
        ({"reports": {"connection": AWAY}}, "the source is not connected: no route", "2023-11-14T22:13:20Z"),
        (
            {"reports": {"connection": {"connected": False, "error": ""}}},
            "the source is not connected: it is being opened",
            "2023-11-14T22:13:20Z",
        ),
        (
            {"reports": {"uploader": BREAKERS}},
            "the storage's circuit breaker is open: HTTP 503",
            "2023-11-14T22:13:20Z",
        ),
        (
            {"reports": {"uploader": {"supabase_circuit_breaker": "half-open", "catalog_error": "timeout"}}},
            "the catalogue's circuit breaker is half-open: timeout",
            "2023-11-14T22:13:20Z",
        ),
        (
            {
                "reports": {
                    "connection": {
                        "connected": True,
                        "fetch_error": "3 pictures can't be fetched: silence",
                        "fetch_error_since": "2023-11-14T22:05:00Z",
                        "fetch_error_remedy": "Wait",
                    }
                }
            },
            "3 pictures can't be fetched: silence",
            "2023-11-14T22:05:00Z",
        ),
        (
            {"reports": {"uploader": {"r2_silent_since": "2023-11-14T22:13:00Z"}}},
            "the storage has not answered since 2023-11-14T22:13:00Z: it is still waited for",
            "2023-11-14T22:13:00Z",
        ),
        (
            {"reports": {"uploader": {"r2_failing_since": "2023-11-14T22:13:17Z", "storage_error": "status 522"}}},
            "the storage fails: status 522",
            "2023-11-14T22:13:17Z",
        ),
        (
            {"reports": {"uploader": {"supabase_failing_since": "2023-11-14T23:13:19Z", "catalog_error": "paused"}}},
            "the catalogue fails: paused",  # the clock was set back meanwhile
            "2023-11-14T23:13:19Z",
        ),
        (
            {"reports": {"uploader": BREAKERS | {"r2_silent_since": "2023-11-14T22:13:00Z"}}, "unmoved_seconds": 999.0},
            "the storage's circuit breaker is open: HTTP 503",  # one problem, for one outage
            "2023-11-14T22:13:20Z",
        ),
        (
            {"unmoved_seconds": 181.0},
            "5 pictures wait, and none has been finished since 2023-11-14T22:10:19Z",
            "2023-11-14T22:13:20Z",
        ),
    ],
    ids=lambda value: value[:30] if isinstance(value, str) else "",
)
def test_each_problem_appears_and_is_remembered_and_disappears(more: dict[str, Any], what: str, since: str) -> None:
    first_seen = FirstSeen()
    bad = snapshot(**more)
    body = document(bad, first_seen)
    assert body["ok"] is False
    [problem] = body["problems"]
    assert problem.keys() == {"id", "subject", "what", "since", "remedy"} and problem["remedy"]
    assert (problem["what"], problem["since"]) == (what, since)

    [later] = document(replace(bad, now=NOW + 0.4), first_seen)["problems"]
    assert later["since"] == since

    assert document(snapshot(), first_seen)["problems"] == []
    assert first_seen.since == {}


def test_each_kind_of_problem_has_an_id_of_its_own() -> None:
    """Others rely on them: what is in this list stays."""
    troubles: dict[str, dict[str, Any]] = {
        "root.silent": {"silent_seconds": 6.0},
        "child.held": {"tree": {"connection": HELD}},
        "child.crash_looping": {"tree": {"own": in_a_loop("held", due=NOW + 9)}},
        "child.stopped": {"tree": {"pool": STOPPED}},
        "child.not_running": {"tree": {"pool": LATE}},
        "child.silent": {"tree": {"pool": child(heard=NOW - 11, beats=True)}},
        "journal.unreadable": {"journal_error": "gone"},
        "state_dir.not_writable": {"reports": {"disk pool": {"pid": 100, "error": "full"}}},
        "source.not_connected": {"reports": {"connection": AWAY}},
        "channel.unreadable": {
            "reports": {"channel 0": {"id": None, "address": "@x", "behind": None, "problem": "p", "remedy": "r"}}
        },
        "source.fetching_fails": {
            "reports": {
                "connection": {
                    **{"connected": True, "fetch_error": "x", "fetch_error_since": None, "fetch_error_remedy": "y"}
                }
            }
        },
        "telegram.flood": {"reports": {"connection": {"connected": True, "flooded_until": "2023-11-14T22:14:00Z"}}},
        "machine.short_of_memory": {"reports": {"machine": SHORT}},
        "spool.not_writable": {"reports": {"pool": {"spool_error": "full"}}},
        "sandbox.broken": {"ends": {"image-1": [{"at": NOW, "cause": "broke its sandbox", "what": "x"}]}},
        "sandbox.incomplete": {"tree": {"image-1": child(sandbox={"seccomp": False, "landlock": 7})}},
        "codec.broken": {"reports": {"pool": {"broken_codecs": {"WebP encoder": "x"}}}},
        "encoder.fallback": {"reports": {"pool": {"encoder_fallback": "x"}}},
        "service.breaker_open": {"reports": {"uploader": BREAKERS}},
        "service.silent": {"reports": {"uploader": {"r2_silent_since": "2023-11-14T22:13:00Z"}}},
        "service.failing": {"reports": {"uploader": {"r2_failing_since": "2023-11-14T22:13:00Z"}}},
        "pictures.standing_still": {"unmoved_seconds": 181.0},
        "takedown.rows_stay": {"figures": figures(still_shown=2)},
        "takedown.objects_stay": {"figures": figures(failures={"takedown": FAILURE})},
        "takedown.copies_stay": {"figures": figures(failures={"cdn": FAILURE})},
        "feeds.failing": {"reports": {"feeds": {"failing_since": "2023-11-14T22:13:00Z", "error": "full"}}},
        "site.failing": {"reports": {"site": {"failing_since": "2023-11-14T22:13:00Z", "error": "full"}}},
        "notify.undelivered": {"undelivered": (UNDELIVERED,)},
        "webhook.failing": {"figures": figures(webhooks=({**WEBHOOK, **FAILING},))},
        "webhook.gone": {"figures": figures(webhooks=({**WEBHOOK, "gone_at": 5},))},
        "machines.schema": {"reports": {"machines": {"is_schema_missing": True, "error": "x"}}},
        "machines.unreachable": {"machines": ORIGIN, "reports": {"machines": {"error": "HTTP 503"}}},
        "machines.node_silent": {
            "reports": {"machines": {"node_count": 1}, "machine 0": {**NODE, "last_seen_seconds": 180}}
        },
        "machines.queue_old": {
            "reports": {"machines": {"queues": [{"name": "x", "length": 1, "oldest_seconds": 600}]}}
        },
        "machines.other_bucket": {"reports": {"machines": {"other_bucket": True, "refused": "x"}}},
        "machines.not_understood": {"reports": {"machines": {"misread": "a result of version 2"}}},
    }
    for kind, more in troubles.items():
        assert [problem.id for problem in find_problems(snapshot(**more))] == [kind]


def test_pictures_that_readers_still_see_are_counted() -> None:
    (one,), (two,) = (find_problems(snapshot(figures=figures(still_shown=count))) for count in (1, 2))
    assert one.what.startswith("readers still see a deleted or hidden picture: the catalogue refused its row, and")
    assert two.what.startswith("readers still see 2 deleted or hidden pictures: the catalogue refused their rows")
    assert find_problems(snapshot(figures=figures(still_shown=0))) == []


def test_takedowns_that_fail_say_how_many_and_since_when() -> None:
    failures = {"takedown": FAILURE, "cdn": FAILURE}
    found = figures(failures=failures, takedowns={"waiting": 1, "leaving": 2, "purging": 9})
    objects, copies = find_problems(snapshot(figures=found))
    assert objects.what == "the objects of 3 deleted or hidden pictures can't be deleted: 403: no"
    assert copies.what == "9 deleted objects may still come from the CDN: 403: no"
    assert (objects.since, copies.since, copies.remedy) == (NOW - 4, NOW - 4, "Mend it")
    new = {"cdn": {**FAILURE, "opened_at": NOW - 1}}
    assert find_problems(snapshot(figures=figures(failures=new))) == [], "it may pass"
    lasting = {"cdn": {**FAILURE, "opened_at": NOW - FAILING_SECONDS}}
    assert len(find_problems(snapshot(figures=figures(failures=lasting)))) == 1


@pytest.mark.parametrize(
    ("more", "what", "remedy"),
    [
        ({}, None, ""),
        ({"failing_since": NOW - 59, "error": "HTTP 500"}, None, ""),
        (
            {"failing_since": NOW - 60, "error": "HTTP 500"},
            "accepts nothing: HTTP 500; 5 messages wait",
            "Nothing is lost",
        ),
        ({"failing_since": NOW - 60, "error": "HTTP 500", "waiting": 0, "behind": 0}, None, ""),
        (FAILING, "accepts nothing: it answered 404 (Not Found); 5 messages wait", "Check its url. After"),
        (
            {**FAILING, "waiting": 1, "behind": 0},
            "accepts nothing: it answered 404 (Not Found); 1 message waits",
            "Check",
        ),
        ({**FAILING, "kind": "rebuild"}, "accepts nothing: it answered 404 (Not Found); a rebuild waits", "Check"),
        ({**FAILING, "kind": "rebuild", "behind": 0}, None, ""),
        ({**FAILING, "gone_at": 5}, "wants nothing more: it answered 404 (Not Found); 5 messages wait", "Take it out"),
    ],
)
def test_a_webhook_that_fails(more: dict[str, Any], what: str | None, remedy: str) -> None:
    problems = find_problems(snapshot(figures=figures(webhooks=({**WEBHOOK, **more},))))
    assert [one.what for one in problems] == ([f"{WEBHOOK['label']} {what}"] if what else [])
    assert all(one.remedy.startswith(remedy) and one.subject == WEBHOOK["label"] for one in problems)


def test_messages_that_do_not_arrive_are_no_reason_for_anything_else() -> None:
    stuck, undelivered = find_problems(snapshot(unmoved_seconds=181.0, undelivered=(UNDELIVERED,)))
    assert (stuck.id, undelivered.id) == ("pictures.standing_still", "notify.undelivered")
    assert undelivered.what == "messages to notify.urls, number 1 (tgram://…) do not arrive: HTTP 401; 2 notices wait"
    assert undelivered.since == NOW - 60 and "check --notify" in undelivered.remedy
    (idle,) = find_problems(snapshot(undelivered=(replace(UNDELIVERED, waiting=0),)))
    assert idle.what.endswith("do not arrive: HTTP 401")


def test_problems_are_in_the_order_of_their_detectors() -> None:
    """What everything else hangs on comes first, the services last."""
    silent = {"silent_seconds": 6.0, "journal_error": "gone", "tree": {"connection": HELD, "pool": LATE}}
    reports = {"uploader": {**BREAKERS, "supabase_circuit_breaker": "open"}, "machine": SHORT}
    problems = find_problems(snapshot(**silent, reports=reports, unmoved_seconds=1e6))
    assert [one.subject for one in problems] == [
        *("root", "child connection", "child pool", "journal", "machine", "breaker r2", "breaker supabase")
    ]


def test_since_is_remembered_while_it_lasts_and_forgotten_after() -> None:
    first_seen = FirstSeen()
    bad = snapshot(journal_error="gone")
    for seconds in (0, 100):
        [problem] = document(replace(bad, now=NOW + seconds, monotonic=NOW + seconds), first_seen)["problems"]
        assert problem["since"] == "2023-11-14T22:13:20Z"
    document(snapshot(), first_seen)
    [problem] = document(replace(bad, now=NOW + 3), first_seen)["problems"]
    assert problem["since"] == "2023-11-14T22:13:23Z", "another time, another since"


def test_the_remedy_of_a_held_child_is_what_it_said() -> None:
    [problem] = body_of(snapshot(tree={"connection": HELD}))["problems"]
    assert problem["remedy"] == "Get another"
    [problem] = body_of(snapshot(tree={"connection": {**HELD, "remedy": ""}}))["problems"]
    assert "log" in problem["remedy"]


def test_the_remedy_of_one_that_is_never_replaced_is_to_start_it() -> None:
    crashed = child("stopped", last_cause="crashed", last_exit="exit code 1", since=int(NOW) - 6)
    [problem] = body_of(snapshot(tree={"own": crashed}))["problems"]
    assert (problem["what"], problem["remedy"]) == ("own is stopped: exit code 1", "bin/run start own")


def test_the_remedy_of_one_in_a_loop_says_when_it_is_tried_again() -> None:
    [problem] = body_of(snapshot(tree={"own": in_a_loop("held", due=NOW + 9, remedy="Mend it")}))["problems"]
    assert problem["remedy"] == "Mend it. Else it is tried again at 2023-11-14T22:13:29Z"


def test_the_remedy_of_one_that_waits_is_what_was_found_out() -> None:
    [problem] = body_of(snapshot(tree={"own": {**LATE, "remedy": "Install it"}}))["problems"]
    assert problem["remedy"] == "Install it"


@pytest.mark.parametrize(
    "more",
    [
        {"silent_seconds": 5.0},
        {"tree": {"pool": child("waiting", since=int(NOW) - 5)}},
        {"tree": {"pool": child("starting", since=int(NOW) - 45)}},
        {"tree": {"connection": child("waiting", since=int(NOW) - 45)}},
        {"tree": {"pool": child(heard=NOW - 10, beats=True)}},
        {"tree": {"pool": child("starting", since=NOW - 1, heard=NOW - 11, beats=True)}},
        {"tree": {"own": child(heard=NOW - 11, beats=False)}},
        {"tree": {"pool": child(heard=NOW - 99, beats=True)}, "awake_since": NOW - 9},
        {"tree": {"pool": child("stopping"), "x": child("stopped", since=int(NOW) - 5)}},
        {"tree": {"pool": child(last_exit="exit code 1", last_cause="crashed")}},
        {"tree": {"own": child("finished", last_exit="exit code 0", last_cause="finished", since=5)}},
        {"unmoved_seconds": 180.0},
        {"unmoved_seconds": 1e9, "figures": figures(states={"published": 9, "dead": 9}, waiting_for_retry=0)},
        {"unmoved_seconds": 1e9, "figures": figures(states={"seen": 3}, waiting_for_retry=3)},
        {"unmoved_seconds": 1e9, "figures": None},
        {"reports": {}},
        {"reports": {"uploader": {"r2_failing_since": "2023-11-14T22:13:18Z", "storage_error": "status 522"}}},
    ],
)
def test_what_is_no_problem(more: dict[str, Any]) -> None:
    assert whats(snapshot(**more)) == []


def test_a_held_connection_is_one_problem_and_not_two() -> None:
    given = snapshot(tree={"connection": HELD}, reports={"connection": AWAY})
    assert whats(given) == ["connection is held: the account is banned"]


def test_problems_add_up_and_each_has_its_own_since() -> None:
    first_seen = FirstSeen()
    first = snapshot(journal_error="gone")
    document(first, first_seen)
    both = replace(first, now=NOW + 2, monotonic=NOW + 2, reports={"uploader": BREAKERS, "connection": AWAY})
    problems = document(both, first_seen)["problems"]
    assert [problem["since"][-3:] for problem in problems] == ["20Z", "22Z", "22Z"]


def test_a_clock_that_is_set_hides_nothing_and_invents_nothing() -> None:
    first_seen = FirstSeen()
    down = snapshot(tree={"pool": LATE})
    assert document(down, first_seen)["problems"][0]["since"] == "2023-11-14T22:13:14Z"
    an_hour_back = document(replace(down, now=NOW - 3600), first_seen)
    assert [problem["since"] for problem in an_hour_back["problems"]] == ["2023-11-14T21:13:14Z"]
    unreadable = snapshot(journal_error="gone")
    for passed, now, since in ((0, NOW, "22:13:20"), (9, NOW + 9, "22:13:20"), (10, NOW + 3610, "23:13:20")):
        [problem] = document(replace(unreadable, now=now, monotonic=NOW + passed), first_seen)["problems"]
        assert problem["since"] == f"2023-11-14T{since}Z", "as long ago as it is"
    forward = body_of(replace(snapshot(), now=NOW + 3600))
    assert forward["ok"] is True
    assert [row["uptime_seconds"] for row in forward["tree"]][:2] == [60.0, 50.0]


def test_the_same_moment_is_told_as_one() -> None:
    first_seen = FirstSeen()
    down = snapshot(tree={"pool": {**LATE, "since": NOW - 6.0}})
    for jitter in (0.0, -0.001, 0.001, 0.5):
        assert document(replace(down, now=NOW + jitter), first_seen)["problems"][0]["since"] == "2023-11-14T22:13:14Z"


def test_who_is_down_with_its_supervisor_is_no_problem_of_its_own() -> None:
    tree = {"pool": LATE, "image-1": {**LATE, "under": "pool"}}
    assert whats(snapshot(tree=tree)) == ["pool is not running (waiting) after: exit code 1"]
    assert len(whats(snapshot(tree={**tree, "pool": child()}))) == 1


def test_of_a_frozen_pool_nobody_knows_how_its_workers_are() -> None:
    """They were last heard of through it: one problem, and rows that say how old they are."""
    worker = child(heard=NOW - 14, beats=True, under="pool")
    tree = {
        "pool": child(heard=NOW - 12, beats=True),
        "image-1": worker,
        "uploader": child(heard=NOW - 2.04, beats=True),
    }
    body = body_of(snapshot(tree=tree))
    assert [one["what"] for one in body["problems"]] == ["pool has given no sign of life for 12 s"]
    assert {row["name"]: row["last_seen_seconds"] for row in body["tree"]} == {
        "root": 1.0,
        "pool": 12.0,
        "image-1": 14.0,
        "uploader": 2.0,
    }
    assert not {"heard", "beats", "trouble", "due"} & body["tree"][1].keys()
    alone = {**tree, "pool": child(heard=NOW - 1, beats=True)}
    assert whats(snapshot(tree=alone)) == ["image-1 has given no sign of life for 14 s"]
    sooner = {**tree, "pool": child(heard=NOW - 9, beats=True)}
    assert whats(snapshot(tree=sooner)) == [], "it may have said more to the pool than the pool has told"
    assert whats(snapshot(tree=tree, silent_seconds=12.0)) == ["the root has not been heard of for 12 s"]


def test_those_who_wait_for_the_disk_are_one_problem_and_the_dead_wait_for_nothing() -> None:
    said = {name: {"pid": pid, "error": "disk is full"} for name, pid in (("pool", 100), ("uploader", 100), ("old", 7))}
    waiting = snapshot(reports={f"disk {name}": facts for name, facts in said.items()})
    assert whats(waiting) == ["state_dir cannot be written (disk is full): pool, uploader waiting"]
    replaced = snapshot(reports={"disk pool": {"pid": 99, "error": "disk is full"}})
    assert whats(replaced) == []


def test_a_flood_that_is_over_is_none() -> None:
    def flooded(until: str) -> Snapshot:
        return snapshot(reports={"connection": {"connected": True, "flooded_until": until}})

    assert len(whats(flooded("2023-11-14T22:13:21Z"))) == 1
    assert whats(flooded("2023-11-14T22:13:19Z")) == []


def test_a_broken_sandbox_is_a_problem_for_a_day() -> None:
    end = {"at": NOW - 60, "cause": "broke its sandbox", "what": "broke the rules", "job": 7}
    (problem,) = body_of(snapshot(ends={"image-1": [end, {**end, "cause": "crashed"}]}))["problems"]
    assert problem["what"].startswith("image-1 broke the rules of its sandbox on job 7 at 20")
    assert "set aside" in problem["remedy"]
    assert whats(snapshot(ends={"image-1": [{**end, "at": NOW - 86400}]})) == []


def test_a_broken_codec_and_an_encoder_that_stands_in_are_problems() -> None:
    why = {"WebP encoder": "our WebP encoder failed: AttributeError", "JPEG decoder": "x"}
    report = {"spool_error": "", "broken_codecs": why, "encoder_fallback": "SVT-AV1: not there"}
    body = body_of(snapshot(reports={"pool": report}))
    assert [one["what"] for one in body["problems"]] == [
        "the image workers' WebP encoder is broken, its pictures wait: our WebP encoder failed: AttributeError",
        "the image workers' JPEG decoder is broken, its pictures wait: x",
        "most AVIF renditions are made by the second-best encoder, and are up to 70 % larger: SVT-AV1: not there",
    ]
    assert all("Nothing is lost" in one["remedy"] for one in body["problems"])
    assert whats(snapshot(reports={"pool": {"spool_error": "", "broken_codecs": {}, "encoder_fallback": ""}})) == []
    body = body_of(snapshot(figures=figures(totals={"encoder_fallbacks": 3})))
    assert body["stats"]["encoder_fallbacks"] == 3


def test_what_nobody_could_fetch_does_not_stand_still() -> None:
    """Its channel is not configured any more, say."""
    idle = {"connection": {"connected": True, "nothing_to_fetch": True}}
    of_another = figures(states={"seen": 7}, waiting_for_retry=2)
    assert whats(snapshot(unmoved_seconds=1e6, figures=of_another, reports=idle)) == []
    rendered = figures(states={"seen": 7, "rendered": 2}, waiting_for_retry=8)
    [what] = whats(snapshot(unmoved_seconds=1e6, figures=rendered, reports=idle))
    assert what.startswith("1 pictures wait")


@pytest.mark.parametrize(
    "more",
    [
        {"tree": {"connection": child("held", last_cause="held", last_exit="banned", remedy="x", since=int(NOW) - 9)}},
        {"reports": {"connection": {"connected": False, "error": "no route"}}},
        {"reports": {"connection": {"connected": True, "spool_error": "full"}}},
        {"reports": {"uploader": BREAKERS}},
    ],
)
def test_work_that_stands_still_for_a_known_reason_is_no_second_problem(more: dict[str, Any]) -> None:
    assert len(whats(snapshot(unmoved_seconds=1e6, **more))) == 1


def test_a_breaker_that_only_somebody_can_close_says_what_to_do() -> None:
    report = {**BREAKERS, "storage_remedy": "check storage.access_key_id", "r2_next_probe_at": "2023-11-14T22:14:00Z"}
    [problem] = body_of(snapshot(reports={"uploader": report}))["problems"]
    assert problem["remedy"] == (
        "Check storage.access_key_id. After a change of the configuration: bin/run reload."
        " Nothing is lost; it is asked again by itself at 2023-11-14T22:14:00Z"
    )


def test_what_is_rendered_anew_moves_too() -> None:
    """Though no picture is published for the first time meanwhile."""
    progress = Standstill(0.0)
    waiting = figures(states={"fetched": 3}, totals={"processed": 9})
    assert progress.unmoved_seconds(waiting, {}, 10.0) == 0.0
    assert progress.unmoved_seconds(waiting, {}, 20.0) == 10.0
    assert progress.unmoved_seconds(replace(waiting, totals={"processed": 9, "renewed": 1}), {}, 30.0) == 0.0
    assert progress.unmoved_seconds(replace(waiting, renewals={"failed": 1}), {}, 40.0) == 0.0
