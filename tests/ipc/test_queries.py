"""ipc/queries.sql: the names are the code's, and no poll reads the published jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator

import pytest

from ipc.journal import QUERIES, Journal
from tests.ipc.builders import HOME, NOW, open_journal

TEXT = (HOME / "ipc" / "queries.sql").read_text(encoding="utf-8")
POLLS = [
    "due",
    "release_claims",
    "dead",
    "unfinished",
    "spool_bytes",
    "waiting_for_retry",
]
PUBLISHED = 3000
VALUES = {"state": "fetched", "now": NOW, "farthest": 2 * NOW, "limit": 5, "stored": None}


def used() -> set[str]:
    """Every name that the source runs."""
    sources = [path.read_text(encoding="utf-8") for path in (HOME / "ipc").glob("*.py")]
    return {name for source in sources for name in re.findall(r'\b(?:run|_change)\(\s*"(\w+)"', source)}


def test_every_statement_is_used_and_every_name_is_a_statement() -> None:
    assert used() == set(QUERIES)


def test_no_name_is_given_twice_and_each_block_is_one_statement() -> None:
    names = re.findall(r"^-- name: (\w+)$", TEXT, re.MULTILINE)
    assert names == list(QUERIES)
    assert all(statement.count(";") == 1 for statement in map(without_comments, QUERIES.values()))


def without_comments(statement: str) -> str:
    return re.sub("--.*", "", statement)


@pytest.fixture(scope="module", params=["plain", "analyzed"])
def large(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Journal]:
    """A journal of many published jobs and a few that wait, with and without SQLite's statistics."""
    journal = open_journal(tmp_path_factory.mktemp("large"))
    insert = (
        "INSERT INTO jobs SELECT NULL, 1, value, {state}, 1, x'00', NULL, '', 1, NULL, NULL, 1, NULL, 'file:a', x'80',"
        " '5ha', 1, NULL, NULL, NULL, NULL, NULL, 0, 0, 0, 0, NULL, 0, 0, 'seen', NULL, 1, NULL"
        " FROM (WITH RECURSIVE n(value) AS (SELECT {first} UNION ALL SELECT value + 1 FROM n WHERE value < {last})"
        " SELECT value FROM n)"
    )
    states = "CASE value % 4 WHEN 0 THEN 'seen' WHEN 1 THEN 'fetched' WHEN 2 THEN 'rendered' ELSE 'dead' END"
    with journal.transaction():
        journal.run("put_channel", id=1, title="", cursor=0, ignored=b"\x80")
        journal._connection.execute(insert.format(state="'published'", first=1, last=PUBLISHED))
        journal._connection.execute(insert.format(state=states, first=PUBLISHED + 1, last=PUBLISHED + 20))
    if request.param == "analyzed":
        journal._connection.execute("ANALYZE")
    yield journal
    journal.close()


def plan(journal: Journal, query: str) -> list[str]:
    rows = journal._connection.execute(f"EXPLAIN QUERY PLAN {QUERIES[query]}", VALUES)
    return [row["detail"] for row in rows]


@pytest.mark.parametrize("query", POLLS)
def test_a_poll_goes_by_a_partial_index(query: str, large: Journal) -> None:
    steps = [step for step in plan(large, query) if re.search(r"\bjobs\b", step)]
    assert steps
    assert all(re.search(r"INDEX (jobs_waiting|jobs_dead)\b", step) for step in steps), steps


@pytest.mark.parametrize("query", POLLS)
def test_a_poll_does_not_read_the_published_jobs(query: str, large: Journal) -> None:
    """Counted in SQLite's own instructions: far fewer than one for each published job."""
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    large._connection.set_progress_handler(tick, 10)
    try:
        large.run(query, **VALUES).fetchall()
    finally:
        large._connection.set_progress_handler(None, 0)
    assert 10 * ticks < PUBLISHED


def test_every_other_statement_on_jobs_goes_by_a_key(large: Journal) -> None:
    scans = {}
    for query, statement in QUERIES.items():
        if query in POLLS or query == "outcome":  # an import's sum, made by its own process: it says that it reads all
            continue
        values = dict.fromkeys(re.findall(r":(\w+)", without_comments(statement)), 1)
        details = [row["detail"] for row in large._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]
        scans[query] = [detail for detail in details if detail.startswith("SCAN jobs")]
    assert not any(scans.values()), scans


def test_the_whole_table_is_not_needed_for_the_figures(large: Journal) -> None:
    assert large.states()["published"] == PUBLISHED
    assert not any("jobs" in step.split() for name in ("states", "totals") for step in plan(large, name))
