"""Every field of /status is documented, and every documented field appears."""

from __future__ import annotations

import doctest
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from health import fields
from health.fields import FIELDS, SOURCES, schema, source, table
from health.problems.first_seen import FirstSeen
from health.snapshot import Snapshot
from health.status import document
from ipc.journal.statistics import STAGES
from tests.health.snapshots import (
    BREAKERS,
    CHANNEL,
    FAILING,
    NOW,
    OF_NODE,
    OF_ORIGINS,
    ORIGIN,
    SHORT,
    WEBHOOK,
    child,
    figures,
    snapshot,
)
from tests.instance import Instance, wait_for
from tests.pictures import make_export

DOCS = Path(__file__).parents[2] / "docs"
BEGIN, END = "<!-- status: begin -->\n", "\n<!-- status: end -->"

TELEGRAM = {
    "source": "telegram",
    "connected": True,
    "error": "",
    "channels": 2,
    "behind": 4,
    "flooded_until": "2023-11-14T22:14:00Z",
    "spool_full": True,
    "spool_error": "the spool cannot be written: full",
    "nothing_to_fetch": False,
    "fetch_error": "3 pictures can't be fetched: silence",
    "fetch_error_since": "2023-11-14T22:05:00Z",
    "fetch_error_remedy": "Wait",
    "proven_at": "2023-11-14T22:13:10Z",
    "last_heartbeat_at": "2023-11-14T22:13:10Z",
}
EXPORT = {
    **{"source": "export", "number": 0, "path": "/photos", "connected": True, "error": "", "messages": 9, "photos": 8},
    **{"channel": 77, "behind": 1, "exhausted": False, "published": 1, "already_there": 1, "dead": 1, "waiting": 1},
    **{"waiting_for_retry": 1, "spool_full": False, "spool_error": "", "new": 1, "edited": 1, "already_published": 1},
    **{"already_dead": 1, "already_pending": 1, "last_heartbeat_at": "2023-11-14T22:13:10Z"},
}
READ = {
    **{"id": 77, "address": "@wires", "title": "Wires", "state": "read", "behind": 4, "is_member": True},
    **{"backfilled": 1, "backfill_left": 2, "problem": "", "remedy": ""},
}
FEEDS = {"waiting": 3, "written_at": "2023-11-14T22:13:00Z", "failing_since": None, "error": ""}
UNKNOWN = {
    **{"id": None, "address": "@gone", "title": "", "state": "closed", "behind": None, "is_member": None},
    **{"backfilled": None, "backfill_left": None, "problem": "there is none", "remedy": "Correct the name"},
}
ENDED = {
    **{"at": NOW - 60, "cause": "out of memory", "what": "it outgrew its cap", "lived_seconds": 9.1},
    **{"peak_bytes": 600, "cap_bytes": 500, "job": 8},
}
SERVICES = {
    **{"r2_circuit_breaker": "open", "r2_circuit_breaker_since": "2023-11-14T22:13:00Z", "storage_error": "HTTP 503"},
    **{"r2_next_probe_at": "2023-11-14T22:14:00Z", "storage_remedy": "", "supabase_circuit_breaker": "half-open"},
    **{"supabase_circuit_breaker_since": "2023-11-14T22:13:00Z", "supabase_next_probe_at": "2023-11-14T22:14:00Z"},
}


def everything(**more: Any) -> Snapshot:
    """Whatever can be there is: breakers are open, pictures are set aside, processes have ended and are held."""
    memory = {"pss_bytes": 9, "uss_bytes": 8, "rss_trend_bytes_per_hour": None}
    worker: dict[str, Any] = {
        **{
            "job": 8,
            "job_seconds": 0.5,
            "enforced_by": "cgroup",
            "sandbox": {"seccomp": True, "landlock": 7},
            "cgroup_peak_bytes": 99,
            "cap_bytes": 500,
        },
        **{"heard": NOW - 1, "beats": True, "last_exit": "x", "last_cause": "crashed", "remedy": ""},
        **{"exit_causes": {"out of memory": 1}, "under": "pool", **memory},
    }
    tree = {
        "pool": child(order=[3]),
        "image-1": child(order=[3, 1], **worker),
        "image-2": child("stopped", order=[3, 2], resting=True),
        "connection": child(order=[4]),
        "own": child("held", order=[5], trouble="it has ended 9 times", due=NOW + 9, since=NOW - 6, last_exit="x"),
    }
    tree["own"]["last_cause"] = "crashed"
    given = {
        "tree": tree,
        "ends": {"image-1": [{**ENDED, "stacks": "long"}]},
        "kills": [{"process": "image-1", **ENDED}],
        "reports": {
            "connection": TELEGRAM,
            "channel 0": READ,
            "channel 1": UNKNOWN,
            "uploader": SERVICES,
            "machine": SHORT,
        },
        "figures": figures(
            channels=(CHANNEL, {**CHANNEL, "id": 78}),
            last_failure="HTTP 500",
            outcomes={("fetch", "done"): 9, **{(stage, "dead"): 1 for stage in STAGES}},
            webhooks=({**WEBHOOK, **FAILING}, {**WEBHOOK, "kind": "rebuild", "gone_at": int(NOW) - 5}),
            quarantined=({"job": 8, "channel": 77, "message": 5, "reason": "poison", "file": "8.1"},),
        ),
    }
    return snapshot(**{**given, **more})


def bodies() -> list[dict[str, Any]]:
    reloads = {"last": [[1_700_000_000, 0]]}
    imported = everything(
        reports={"connection": EXPORT, "uploader": BREAKERS, "feeds": FEEDS, "site": FEEDS, "reloads": reloads}
    )
    origin = snapshot(machines=ORIGIN, reports=OF_ORIGINS)
    node = snapshot(machines={"role": "node", "name": "beta"}, reports={"machines": OF_NODE})
    return [document(one, FirstSeen()) for one in (everything(), imported, snapshot(), origin, node)]


def paths(value: Any, above: str = "") -> Iterator[str]:
    """The path of every field, as `FIELDS` names them."""
    if isinstance(value, dict):
        for name, content in value.items():
            is_data = f"{above}.*" in FIELDS
            yield from paths(content, f"{above}.{'*' if is_data else name}" if above else name)
    elif isinstance(value, list):
        for item in value:
            yield from paths(item, f"{above}[]")
    else:
        yield above


TYPES: dict[str, type | tuple[type, ...]] = {
    **{"object": dict, "array": list, "string": str, "boolean": bool, "null": type(None)},
    **{"integer": int, "number": (int, float)},
}


def faults(value: Any, shape: dict[str, Any], where: str = "") -> Iterator[str]:
    """What of JSON Schema the fields use: types, required names, items."""
    kinds = [shape["type"]] if isinstance(shape["type"], str) else shape["type"]
    is_number = isinstance(value, bool) and "boolean" not in kinds
    if is_number or not any(isinstance(value, TYPES[kind]) for kind in kinds):
        yield f"{where}: {value!r} is no {shape['type']}"
    elif isinstance(value, dict):
        yield from (f"{where}.{name} is missing" for name in shape.get("required", ()) if name not in value)
        for name, content in value.items():
            inside = shape.get("properties", {}).get(name) or shape.get("additionalProperties")
            if inside is None:
                yield f"{where}.{name} is unknown"
            else:
                yield from faults(content, inside, f"{where}.{name}")
    elif isinstance(value, list):
        for item in value:
            yield from faults(item, shape["items"], f"{where}[]")


def test_each_field_is_documented_and_each_documented_field_appears() -> None:
    found = {path for body in bodies() for path in paths(body)}
    assert found - FIELDS.keys() == set(), "not documented"
    assert FIELDS.keys() - found == set(), "never there"


def test_each_field_has_a_source_and_each_source_a_field() -> None:
    assert {one for one in SOURCES if not any(path.startswith(one) for path in FIELDS)} == set()
    assert source("stats.source.behind") == "connection" and source("channels[].pictures") == "journal"
    assert doctest.testmod(fields).failed == 0


def test_a_body_is_as_the_schema_says() -> None:
    for body in bodies():
        assert list(faults(json.loads(json.dumps(body)), schema())) == []


@pytest.mark.parametrize(
    ("change", "fault"),
    [
        ({"ok": 1}, ".ok: 1 is no boolean"),
        ({"problems": [{"subject": "x", "what": "x", "since": "x", "remedy": "x"}]}, ".problems[].id is missing"),
        ({"more": 1}, ".more is unknown"),
    ],
)
def test_the_schema_refuses(change: dict[str, Any], fault: str) -> None:
    assert list(faults({**bodies()[0], **change}, schema())) == [fault]


@pytest.mark.tree
def test_the_fields_of_a_real_instance(tmp_path: Path, make_instance: Callable[..., Instance]) -> None:
    instance: Instance = make_instance(make_export(tmp_path / "export", 1))
    instance.start(WORKER_SCRIPT="sleep 1000")
    instance.wait_until_done()

    def complete() -> dict[str, Any] | None:
        body = instance.status()
        return body if body and all("pid" in row for row in body["tree"]) else None

    body = wait_for("all processes to run", complete)
    assert set(paths(body)) - FIELDS.keys() == set()
    assert list(faults(body, schema())) == []
    stats = body["stats"]
    assert [stats[state] for state in ("seen", "fetched", "rendered", "published", "dead")] == [0, 0, 0, 1, 0]


def test_the_reference_has_the_table() -> None:
    page = (DOCS / "reference.md").read_text(encoding="utf-8")
    assert page.partition(BEGIN)[2].partition(END)[0] == table(), "put there what health.fields.table() gives"


def test_the_schema_in_docs_is_that_of_the_fields() -> None:
    written = (DOCS / "status.schema.json").read_text(encoding="utf-8")
    text = json.dumps(schema(), indent=1, ensure_ascii=False) + "\n"
    assert written == text, "write there what health.fields.schema() gives"
