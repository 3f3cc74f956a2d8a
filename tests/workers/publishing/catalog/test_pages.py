"""The plans of pages: each is read from an index in its order, whatever is behind it."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from tests.lengths import length
from tests.many_rows import fill_postgres, fill_sqlite, pages
from tests.servers.rows import RowServer
from workers.publishing.catalog.embedded import SqliteCatalog, _query
from workers.publishing.catalog.pictures import Asked

COUNT = length(20_000, 1_000_000)
NAMES = list(pages(COUNT))
TABLES = ("messages", "images", "message_tags")


@pytest.fixture(scope="module")
def path(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("pages") / "catalog.db"
    fill_sqlite(path, COUNT)
    return path


@pytest.mark.parametrize("name", NAMES)
def test_sqlite_sorts_nothing_and_walks_nothing(path: Path, name: str) -> None:
    asked = {"channel_id": None, "tag": None, "before": None, "between": None, "message": None, **pages(COUNT)[name]}
    query, values = _query(Asked(**asked, most=50))
    with closing(sqlite3.connect(path)) as database:
        plan = [(row[1], row[3]) for row in database.execute(f"EXPLAIN QUERY PLAN {query}", values)]
    top = [step for parent, step in plan if parent == 0]
    sorted_by = {step.removeprefix("USE TEMP B-TREE FOR ") for step in top if step.startswith("USE TEMP B-TREE")}
    ties = {"RIGHT PART OF ORDER BY"} if "channel's pictures of a tag" in name else set()
    assert sorted_by <= ties, "but for those of one second, of a channel and a tag"
    assert not [step for step in top if step.startswith("SCAN") and "USING INDEX messages_posted_at" not in step]
    with closing(SqliteCatalog(path)) as catalog:
        assert catalog.pictures(**pages(COUNT)[name], most=50)


@pytest.fixture(scope="module")
def full_server(row_server: RowServer) -> Iterator[RowServer]:
    row_server.empty()
    fill_postgres(row_server, COUNT)
    yield row_server
    row_server.empty()
    row_server.sql("analyze")


@pytest.mark.parametrize("role", ["anon", "service_role"])
@pytest.mark.parametrize("name", NAMES)
def test_postgres_sorts_no_more_than_a_page_and_walks_nothing(full_server: RowServer, name: str, role: str) -> None:
    """As anonymous too, whose rows are judged one by one by row level security."""
    found = full_server.sql(
        f"begin; set local role {role}; explain (analyze, format json) {_statement(pages(COUNT)[name])}"
    )
    (plan,) = json.loads(json.dumps(found[0]["QUERY PLAN"]))
    nodes = list(_nodes(plan["Plan"]))
    walked = [node for node in nodes if node["Node Type"] == "Seq Scan" and node["Relation Name"] in TABLES]
    assert not walked, json.dumps(plan, indent=1)
    rows = [node["Actual Rows"] for node in nodes if node["Node Type"].endswith(("Scan", "Sort"))]
    assert max(rows) <= 500, json.dumps(plan, indent=1)


def _nodes(node: dict[str, Any]) -> Iterator[dict[str, Any]]:
    yield node
    for child in node.get("Plans", ()):
        yield from _nodes(child)


def _statement(asked: dict[str, Any]) -> str:
    """What the interface makes of the question."""
    conditions = [f"channel_id = {asked['channel_id']}"] if "channel_id" in asked else []
    if "tag" in asked:
        conditions.append(f"tag = '{asked['tag']}'")
    if "before" in asked:
        at, channel, number = asked["before"]
        conditions.append(
            f"posted_at <= '{at}' and (posted_at < '{at}' or (posted_at = '{at}'"
            f" and (channel_id < {channel} or (channel_id = {channel} and message_id < {number}))))"
        )
    order = "posted_at desc, channel_id desc, message_id desc"
    if "between" in asked:
        conditions.append("message_id >= {} and message_id <= {}".format(*asked["between"]))
        order = "message_id"
    view = "pictures_by_tag" if "tag" in asked else "pictures"
    where = f"where {' and '.join(conditions)}" if conditions else ""
    return f"select * from {view} {where} order by {order} limit 50"
