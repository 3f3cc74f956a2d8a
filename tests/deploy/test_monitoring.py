"""deploy/alerts.yml and deploy/grafana.json: sound, about real metrics, a section of the runbook for each alert."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from typing import Any

import pytest

from health.metrics.families import FAMILIES
from ipc.transport.exits import Cause
from supervisor.tree import IMPORT
from tests.docs.test_pages import anchors
from tests.instance import HOME
from tests.promtool import promtool

ALERTS = HOME / "deploy" / "alerts.yml"
CASES = HOME / "tests" / "deploy" / "alerts.test.yml"
DASHBOARD = HOME / "deploy" / "grafana.json"

OF_HISTOGRAMS = ("_bucket", "_count", "_sum")
LABELS = {
    f"{family.name}{suffix}": {"job", "instance", *family.labels, *(["le"] if suffix == "_bucket" else [])}
    for family in FAMILIES
    for suffix in (OF_HISTOGRAMS if family.kind == "histogram" else ("",))
}
"""By metric: the labels that it has once it is scraped."""


def blocks() -> list[str]:
    """The text of each alert."""
    return ALERTS.read_text(encoding="utf-8").split("- alert: ")[1:]


def names() -> list[str]:
    return [block.split("\n", 1)[0] for block in blocks()]


def expressions(value: Any) -> Iterator[str]:
    """Every PromQL expression of the dashboard."""
    if isinstance(value, dict):
        for key, content in value.items():
            if key in ("expr", "query", "definition") and isinstance(content, str):
                yield content
            else:
                yield from expressions(content)
    elif isinstance(value, list):
        for item in value:
            yield from expressions(item)


def used(text: str) -> list[tuple[str, set[str]]]:
    """Each metric with the labels that its braces name."""
    found = re.findall(r"(picturedesk_\w+)(?:\{([^}]*)\})?", text)
    return [(name, set(re.findall(r"(\w+)\s*(?:=|!=|=~|!~)", matchers))) for name, matchers in found]


def dashboard() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(DASHBOARD.read_text(encoding="utf-8"))
    return found


def test_promtool_finds_no_fault_in_the_alerts() -> None:
    done = promtool("check", "rules", "--lint=all", "--lint-fatal", ALERTS)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_alerts_fire_when_they_should_and_not_else() -> None:
    done = promtool("test", "rules", CASES)
    assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_has_a_case() -> None:
    cases = CASES.read_text(encoding="utf-8")
    assert [name for name in names() if name not in cases] == []


@pytest.mark.parametrize("block", blocks(), ids=names())
def test_an_alert_waits_and_says_what_to_do(block: str) -> None:
    name = block.split("\n", 1)[0]
    assert re.search(r"^ +for: \d+[mh]$", block, re.MULTILINE)
    assert re.search(r"^ +severity: (critical|warning)$", block, re.MULTILINE)
    for annotation in ("summary", "description"):
        assert re.search(rf"^ +{annotation}: \S", block, re.MULTILINE)
    [(page, anchor)] = re.findall(r"^ +runbook_url: (\S+\.md)#(\S+)$", block, re.MULTILINE)
    assert anchor == name.lower() and anchor in anchors(HOME / page)


def test_the_runbook_has_no_section_without_an_alert() -> None:
    text = (HOME / "docs" / "alerts.md").read_text(encoding="utf-8")
    assert re.findall(r"^## (Picturedesk\w+)$", text, re.MULTILINE) == names()


def test_every_metric_and_label_exists() -> None:
    texts = {"alerts": ALERTS.read_text(encoding="utf-8"), "dashboard": "\n".join(expressions(dashboard()))}
    for where, text in texts.items():
        assert used(text), where
        for name, labels in used(text):
            assert name in LABELS, f"{where}: {name}"
            assert labels <= LABELS[name], f"{where}: {name} has no {labels - LABELS[name]}"


def test_the_values_of_labels_that_the_alerts_name_exist() -> None:
    text = ALERTS.read_text(encoding="utf-8")
    own, left_out = re.findall(r'id[!=]~"([^"]+)"', text)
    assert set(own.split("|")) < set(left_out.split("|")), "no problem has two alerts"
    detectors = "".join(path.read_text(encoding="utf-8") for path in (HOME / "health" / "problems").glob("*.py"))
    assert [one for one in left_out.split("|") if f'"{one}"' not in detectors] == []
    [causes] = re.findall(r'cause!~"([^"]+)"', text)
    assert set(causes.split("|")) <= set(Cause)
    assert re.findall(r'child="([^"]+)"', text) == [IMPORT]


def test_the_dashboard_takes_any_data_source() -> None:
    board = dashboard()
    [source] = [one for one in board["templating"]["list"] if one["type"] == "datasource"]
    assert source["query"] == "prometheus" and "uid" in board
    uids = set(re.findall(r'"uid": "([^"]*)"', json.dumps([board["panels"], board["templating"]])))
    assert uids == {f"${{{source['name']}}}"}
    assert len({panel["id"] for panel in board["panels"]}) == len(board["panels"])
