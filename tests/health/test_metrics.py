"""/metrics: every family, in both formats, as Prometheus' own tools want them."""

from __future__ import annotations

import asyncio
import doctest
import math
import subprocess
import sys
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client import REGISTRY, Metric
from prometheus_client.openmetrics.parser import text_string_to_metric_families as read_openmetrics
from prometheus_client.parser import text_string_to_metric_families as read_text

import health.metrics.scrape
from health.application import Application
from health.metrics.exposition import openmetrics, text
from health.metrics.families import FAMILIES
from health.snapshot import Snapshot
from ipc.journal.statistics import OUTCOMES, STAGES, Histogram
from supervisor.version import VERSION
from tests.health.snapshots import NOW, OF_NODE, OF_ORIGINS, ORIGIN, WEBHOOK, child, figures, snapshot
from tests.health.test_fields import SERVICES, everything
from tests.instance import Instance, wait_for
from tests.pictures import make_export
from tests.promtool import promtool

Values = dict[tuple[str, tuple[tuple[str, str], ...]], float]

CONTRACT = {
    "picturedesk_pictures_total": ["outcome"],
    "picturedesk_queue_pictures": ["state"],
    "picturedesk_oldest_waiting_seconds": [],
    "picturedesk_post_to_row_seconds": [],
    "picturedesk_stage_seconds": ["stage"],
    "picturedesk_channel_behind_messages": ["channel"],
    "picturedesk_breaker_open": ["service"],
    "picturedesk_child_restarts_total": ["child", "cause"],
    "picturedesk_child_memory_bytes": ["child"],
    "picturedesk_child_memory_cap_bytes": ["child"],
    "picturedesk_spool_bytes": [],
    "picturedesk_connected": [],
    "picturedesk_info": ["version"],
}
"""What other people's dashboards rely on."""

TIMES = Histogram((0.5, 2.0), (3, 1, 2), 17.5)


def values(metrics: Sequence[Metric]) -> Values:
    return {(one.name, tuple(sorted(one.labels.items()))): one.value for metric in metrics for one in metric.samples}


def read(given: Snapshot) -> Values:
    return values(list(read_text(text(given).decode())))


def counted(**more: Any) -> Any:
    """Figures with something in each."""
    of_stages = {
        "stages": dict.fromkeys(STAGES, TIMES),
        "post_to_row": TIMES,
        "outcomes": {(stage, outcome): 2 for stage in STAGES for outcome in OUTCOMES},
        "restarts": {("image-1", "out of memory"): 3, ("pool", "asked"): 1},
        "oldest_waiting_seconds": 61.5,
        "webhooks": (WEBHOOK,),
    }
    return figures(**{**of_stages, **more})


def full() -> Snapshot:
    services = {**SERVICES, "r2_answered_at": "2023-11-14T22:13:10Z", "supabase_answered_at": None}
    reports = {**everything().reports, "uploader": services, **OF_ORIGINS}
    return everything(
        version="1.2.3",
        spool_limit_bytes=5000,
        disk_free_bytes=700,
        disk_reserve_bytes=200,
        reports=reports,
        figures=counted(),
        machines=ORIGIN,
    )


def of_node() -> Snapshot:
    return snapshot(machines={"role": "node", "name": "beta"}, reports={"machines": OF_NODE})


# --- what is there ----------------------------------------------------------------------------------------------


def test_the_names_that_others_rely_on() -> None:
    given = {family.name: list(family.labels) for family in FAMILIES}
    assert {name: given.get(name) for name in CONTRACT} == CONTRACT


def test_every_figure() -> None:
    found = read(full())

    def value(name: str, **labels: str) -> float | None:
        return found.get((f"picturedesk_{name}", tuple(sorted(labels.items()))))

    assert value("pictures_total", outcome="published") == 44 and value("pictures_total", outcome="dead") == 6
    assert [value("queue_pictures", state=state) for state in ("seen", "fetched", "rendered")] == [1, 2, 3]
    assert value("retries_total") == 7 and value("dead_pictures") == 5 and value("retry_pictures") == 1
    assert value("workable_pictures") == 5 and value("oldest_waiting_seconds") == 61.5
    assert value("stage_outcomes_total", stage="store", outcome="retried") == 2
    assert value("child_restarts_total", child="image-1", cause="out of memory") == 3
    assert value("info", version="1.2.3") == 1 and value("start_time_seconds") == NOW - 60
    assert value("connected") == 1 and value("ok") == 0 and value("problems", id="channel.unreadable") == 1
    assert value("channel_behind_messages", channel="77") == 4 and value("flood_wait_seconds") == 40
    assert value("breaker_open", service="storage") == value("breaker_open", service="catalog") == 1
    assert value("service_last_success_timestamp_seconds", service="storage") == NOW - 10
    assert value("service_last_success_timestamp_seconds", service="catalog") is None
    assert value("spool_bytes") == 999 and value("spool_limit_bytes") == 5000
    assert value("disk_free_bytes") == 700 and value("disk_reserve_bytes") == 200
    assert value("child_memory_bytes", child="image-1") == 10 and value("child_memory_bytes", child="root") == 5
    assert value("child_memory_cap_bytes", child="image-1") == 500
    assert value("child_memory_cap_bytes", child="root") is None, "nothing may be divided by a cap of 0"
    assert value("child_up", child="image-1") == 1 and value("child_up", child="own") == 0
    of_webhook = {"webhook": str(WEBHOOK["label"])}
    assert value("webhook_attempts_total", **of_webhook, outcome="delivered") == 50
    assert value("webhook_attempts_total", **of_webhook, outcome="failed") == 6
    assert value("webhook_waiting_messages", **of_webhook) == 5 and value("webhook_dead_messages", **of_webhook) == 4
    assert value("webhook_breaker_open", **of_webhook) == 0
    assert value("machines_nodes") == 1 and value("machines_node_workers", node="beta") == 4
    assert value("machines_node_in_hand_pictures", node="beta") == 2
    assert value("machines_queue_pictures", queue="live") == 3 and value("machines_oldest_seconds", queue="live") == 4.5
    assert value("machines_oldest_seconds", queue="backfill") == 0
    assert value("machines_outstanding_pictures") == 7 and value("machines_results_waiting") == 1
    assert value("machines_needed_workers") == 9 and value("machines_taken_pictures") is None
    assert value("root_silent_seconds") == 1 and value("machine_memory_available_bytes") == 12345


@pytest.mark.parametrize(("name", "labels"), [("post_to_row_seconds", {}), ("stage_seconds", {"stage": "render"})])
def test_a_histogram_counts_upwards(name: str, labels: dict[str, str]) -> None:
    found = read(full())

    def value(suffix: str, **more: str) -> float:
        return found[f"picturedesk_{name}_{suffix}", tuple(sorted({**labels, **more}.items()))]

    assert [value("bucket", le=bound) for bound in ("0.5", "2.0", "+Inf")] == [3, 4, 6]
    assert (value("count"), value("sum")) == (6, 17.5)


BARE = (
    snapshot(),
    snapshot(figures=None, journal_error="it cannot be read", reports={}, tree={}),
    snapshot(reports={"connection": {"connected": False, "channel": None}}, tree={"pool": child("held")}),
)


@pytest.mark.parametrize("given", [full(), of_node(), *BARE])
def test_every_family_is_always_there_in_both_formats(given: Snapshot) -> None:
    names = [family.name for family in FAMILIES]
    lines = text(given).decode().splitlines()
    assert [line.split()[2] for line in lines if line.startswith("# TYPE")] == names
    read_families = list(read_openmetrics(openmetrics(given).decode()))
    stems = [name.removesuffix("_total").removesuffix("_info") for name in names]
    assert [family.name for family in read_families] == stems
    assert [family.type for family in read_families] == [family.kind for family in FAMILIES]
    assert values(read_families) == read(given)


def test_every_family_has_a_sample_when_everything_is_there() -> None:
    found = {name for given in (full(), of_node()) for name, _ in read(given)}
    assert [one.name for one in FAMILIES if not {one.name, f"{one.name}_bucket"} & found] == []


def test_counters_are_left_out_while_the_journal_cannot_be_read() -> None:
    """A zero would look like a restart of the counter: the whole count would be an increase afterwards."""
    found = {name for name, _ in read(BARE[1])}
    kinds = {family.kind for family in FAMILIES if {family.name, f"{family.name}_count"} & found}
    assert kinds == {"gauge", "info"}
    assert "picturedesk_spool_bytes" not in found, "nor is the spool empty"


def test_nobody_knows_how_far_behind_without_a_line() -> None:
    away = {"connection": {"connected": False, "channel": 77, "behind": 4}}
    assert not any("behind" in name for name, _ in read(snapshot(reports=away)))


def test_names_of_others_are_escaped() -> None:
    tree = {'a"b\\c\n': child(order=[5])}
    found = read(snapshot(tree=tree))
    assert found["picturedesk_child_up", (("child", 'a"b\\c\n'),)] == 1


def test_the_global_registry_is_not_asked() -> None:
    ours = {name for name, _ in read(snapshot())}
    assert not ours & {sample.name for metric in REGISTRY.collect() for sample in metric.samples}


# --- over HTTP --------------------------------------------------------------------------------------------------


class Source:
    """Counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0

    def snapshot(self) -> Snapshot:
        self.asked += 1
        return snapshot()

    def look(self) -> dict[str, Any]:
        raise AssertionError("/metrics is made from the snapshot")

    def is_live(self) -> bool:
        return True

    def changes(self) -> int:
        return 0


def scrape(source: Source, accepts: Sequence[str]) -> list[httpx.Response]:
    async def run() -> list[httpx.Response]:
        application: Any = Application(source, "", (), 1000)
        async with httpx.AsyncClient(transport=httpx.ASGITransport(application), base_url="http://localhost") as client:
            return [await client.get("/metrics", headers={b"accept": accept.encode("latin-1")}) for accept in accepts]

    return asyncio.run(run())


OF_PROMETHEUS = (
    "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.5,"
    "application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)


@pytest.mark.parametrize("accept", [OF_PROMETHEUS, "application/openmetrics-text", "Application/OpenMetrics-Text;v=x"])
def test_openmetrics_for_those_who_ask_for_it(accept: str) -> None:
    [answer] = scrape(Source(), [accept])
    assert answer.headers["content-type"] == "application/openmetrics-text; version=1.0.0; charset=utf-8"
    assert answer.text.endswith("# EOF\n") and list(read_openmetrics(answer.text))


@pytest.mark.parametrize("accept", ["", "*/*", "text/plain;version=1.0.0", "application/json", "\xff;=,,;"])
def test_text_for_the_others(accept: str) -> None:
    [answer] = scrape(Source(), [accept])
    assert answer.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert answer.headers["cache-control"] == "no-store" and "# EOF" not in answer.text


def test_many_scrapes_cost_one_look_a_format() -> None:
    source = Source()
    answers = scrape(source, [OF_PROMETHEUS, "", *[f"text/plain;version={n}" for n in range(20)], OF_PROMETHEUS])
    assert {answer.status_code for answer in answers} == {200} and source.asked == 2


def test_accept_by_example() -> None:
    assert doctest.testmod(health.metrics.scrape).failed == 0


def test_the_library_is_loaded_at_the_first_scrape() -> None:
    """It costs memory in a process that many never scrape."""
    code = "import health.server, sys; sys.exit('prometheus_client' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0


# --- promtool ---------------------------------------------------------------------------------------------------


def test_promtool_would_find_something() -> None:
    done = promtool("check", "metrics", given="# TYPE picturedesk_wrong counter\npicturedesk_wrong 1\n")
    assert done.returncode != 0 and "_total" in done.stdout + done.stderr


@pytest.mark.parametrize("given", [full(), *BARE])
def test_promtool_has_nothing_to_say(given: Snapshot) -> None:
    done = promtool("check", "metrics", given=text(given).decode())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")


@pytest.mark.tree
def test_a_scrape_of_a_real_instance(tmp_path: Path, make_instance: Callable[..., Instance]) -> None:
    """Counters go on where they were after a kill -9 of everything."""
    instance: Instance = make_instance(make_export(tmp_path / "export", 2))

    def scraped() -> Values | None:
        known = scraped_now(instance)
        has_answered = any(name == "picturedesk_service_last_success_timestamp_seconds" for name, _ in known)
        return known if has_answered else None

    instance.start()
    instance.wait_until_done()
    done = promtool("check", "metrics", given=get(instance).decode())
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    known = wait_for("the services' last success", scraped)
    assert known["picturedesk_pictures_total", (("outcome", "published"),)] == 2
    assert known["picturedesk_info", (("version", VERSION),)] == 1
    assert known["picturedesk_connected", ()] == 1 and known["picturedesk_oldest_waiting_seconds", ()] == 0
    assert known["picturedesk_spool_limit_bytes", ()] == 2**31 and known["picturedesk_disk_free_bytes", ()] > 0
    assert known["picturedesk_post_to_row_seconds_count", ()] == 0, "an export's posts are years old"
    assert all(math.isfinite(value) for value in known.values())
    instance.strike("uploader")
    struck = "picturedesk_child_restarts_total", (("cause", "signalled"), ("child", "uploader"))
    wait_for("the restart to be counted", lambda: scraped_now(instance).get(struck) == 1)
    instance.kill()
    instance.wait_until_gone()
    instance.start()
    instance.wait_until_running()
    again = scraped_now(instance)
    assert again["picturedesk_pictures_total", (("outcome", "published"),)] == 2 and again[struck] == 1


def scraped_now(instance: Instance) -> Values:
    return values(list(read_text(get(instance).decode())))


def get(instance: Instance) -> bytes:
    with urllib.request.urlopen(f"{instance.url()}/metrics", timeout=30) as answer:
        body: bytes = answer.read()
    return body
