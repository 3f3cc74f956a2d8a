"""ipc/queries.sql: the names are the code's, and no poll reads the published jobs."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from ipc.journal import QUERIES, Journal
from tests.ipc.builders import HOME, NOW, open_journal

TEXT = (HOME / "ipc" / "queries.sql").read_text(encoding="utf-8")
POLLS = [
    "due",
    "release_claims",
    "dead",
    "quarantined",
    "unfinished",
    "spool_bytes",
    "waiting_for_retry",
]
PUBLISHED = 3000
WAITING = 2000
VALUES = {
    "state": "fetched",
    "now": NOW,
    "farthest": 2 * NOW,
    "limit": 5,
    "stored": None,
    "source": None,
    "channels": None,
    "besides": None,
    "alone": None,
    "mark": "poison",
}
ADD = """
INSERT INTO jobs (channel_id, message_id, state, revision, digest, caption, entities, posted_at, generation, identity,
                  locator, sha256, bytes, rendition_bytes, stored, priority, attempts, next_at, deaths, alone, seen_at)
WITH RECURSIVE n (value) AS (SELECT :first UNION ALL SELECT value + 1 FROM n WHERE value < :last)
SELECT 1, value, {state}, 1, x'00', '', x'90', 1, 1, 'file:a', x'80', '5ha', 1, 0, 0, {priority}, 0, 0, 0, 0, 1 FROM n
"""


def used() -> set[str]:
    """Every name that the source runs."""
    sources = [path.read_text(encoding="utf-8") for path in (HOME / "ipc").glob("*.py")]
    return {name for source in sources for name in re.findall(r'\b(?:run|_change|_change_all)\(\s*"(\w+)"', source)}


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
    states = "CASE value % 4 WHEN 0 THEN 'seen' WHEN 1 THEN 'fetched' WHEN 2 THEN 'rendered' ELSE 'dead' END"
    add(journal, "'published'", "0", 1, PUBLISHED)
    add(journal, states, "value % 2", PUBLISHED + 1, PUBLISHED + 20)
    if request.param == "analyzed":
        journal._connection.execute("ANALYZE")
    yield journal
    journal.close()


@pytest.fixture(scope="module", params=["plain", "analyzed"])
def behind(tmp_path_factory: pytest.TempPathFactory, request: pytest.FixtureRequest) -> Iterator[Journal]:
    """A journal with more to do than one look takes in, backfill and new messages mixed."""
    journal = open_journal(tmp_path_factory.mktemp("behind"))
    add(journal, "'fetched'", "value % 2", 1, WAITING)
    if request.param == "analyzed":
        journal._connection.execute("ANALYZE")
    yield journal
    journal.close()


def add(journal: Journal, state: str, priority: str, first: int, last: int) -> None:
    with journal.transaction():
        if not journal.channels():
            journal.run("add_channel", id=1, title="", floor=1, cursor=0, ignored=b"\x80")
        journal._connection.execute(ADD.format(state=state, priority=priority), {"first": first, "last": last})


def plan(journal: Journal, query: str) -> list[str]:
    statement = QUERIES[query]
    values = {**dict.fromkeys(re.findall(r":(\w+)", without_comments(statement)), 1), **VALUES}
    return [row["detail"] for row in journal._connection.execute(f"EXPLAIN QUERY PLAN {statement}", values)]


def instructions(journal: Journal, query: str, **values: Any) -> int:
    """How many of SQLite's own instructions it takes, to the next ten."""
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    journal._connection.set_progress_handler(tick, 10)
    try:
        journal.run(query, **values).fetchall()
    finally:
        journal._connection.set_progress_handler(None, 0)
    return 10 * ticks


@pytest.mark.parametrize("query", POLLS)
def test_a_poll_goes_by_a_partial_index(query: str, large: Journal) -> None:
    steps = [step for step in plan(large, query) if re.search(r"\bjobs\b", step)]
    assert steps
    assert all(re.search(r"INDEX (jobs_waiting|jobs_dead)\b", step) for step in steps), steps


@pytest.mark.parametrize("query", POLLS)
def test_a_poll_does_not_read_the_published_jobs(query: str, large: Journal) -> None:
    """Counted in SQLite's own instructions: far fewer than one for each published job."""
    assert instructions(large, query, **VALUES) < PUBLISHED


def test_every_other_statement_on_jobs_goes_by_a_key(large: Journal) -> None:
    scans = {}
    for query in QUERIES:
        if query in POLLS or query == "published_pictures":  # which stops at the newest few
            continue
        if found := [step for step in plan(large, query) if step.startswith("SCAN jobs")]:
            scans[query] = found
    assert not scans


def test_nothing_is_sorted(large: Journal, behind: Journal) -> None:
    """The indexes give the order: with a million pictures waiting, the first ones are found as fast as with ten."""
    for journal in (large, behind):
        sorts = {query for query in QUERIES if any("TEMP B-TREE" in step for step in plan(journal, query))}
        assert not sorts


@pytest.mark.parametrize("priorities", [{0, 1}, {0}], ids=["mixed", "of one priority"])
@pytest.mark.parametrize("source", [None, "export"])
def test_the_first_that_are_due_are_found_without_reading_the_others(
    source: str | None, priorities: set[int], behind: Journal
) -> None:
    limit = 5 if priorities == {0} else WAITING // 2 + 5
    found = behind.run("due", **{**VALUES, "source": source, "limit": limit}).fetchall()
    assert ({row["priority"] for row in found}, len(found)) == (priorities, limit)
    assert instructions(behind, "due", **{**VALUES, "source": source, "limit": 5}) < WAITING


def test_a_part_of_a_channel_is_found_by_its_key(large: Journal) -> None:
    assert instructions(large, "messages_between", channel_id=1, low=PUBLISHED // 2, high=PUBLISHED // 2 + 9) < 300
    (step,) = plan(large, "messages_between")
    assert "(channel_id=? AND message_id>? AND message_id<?)" in step


def test_the_whole_table_is_not_needed_for_the_figures(large: Journal) -> None:
    assert large.states()["published"] == PUBLISHED
    assert not any("jobs" in step.split() for name in ("states", "totals") for step in plan(large, name))
