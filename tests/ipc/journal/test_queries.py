"""ipc/journal/queries.sql: the names are the code's; no statement gets slower with what waits, is dead or published."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import pytest

from ipc.journal import QUERIES, Journal, figures, pictures, queue
from tests.ipc.builders import HOME, NOW, kept_counts, kept_reasons, open_journal, recounted_counts, recounted_reasons
from tests.ipc.tables import connection_of, sql

TEXT = (HOME / "ipc" / "journal" / "queries.sql").read_text(encoding="utf-8")

SCANS = {
    "count_as_is": "for `check`, a process of its own: reads an index without the jobs",
    "dead": "lists all dead letters for the operator, in a process of its own",
    "published_pictures": "for `gc`, a process of its own: from the newest job back to the first published ones",
    "quarantined": "reads the index of the poisonous ones from its end, as many as it is asked for",
    "rows_by_address": "for `check`, a process of its own: reads an index without the jobs",
    "release_claims": "reads the index of the claimed ones, as many as image workers, and some hundreds of nodes'",
    "still_shown": "reads the index of the refused rows of deleted and hidden posts, as many as it is asked for",
    "states": "reads the counts: five rows a channel",
    "waiting_for_retry": "reads the counts: five rows a channel",
}
"""The statements that go through jobs or counts, or an index of theirs, from one end, and why they may."""

READS_MORE = {
    "count_as_is": SCANS["count_as_is"],
    "dead": SCANS["dead"],
    "dead_deliveries": "lists all dead letters of webhooks for the operator, in a process of its own",
    "published_pictures": SCANS["published_pictures"],
    "rows_by_address": SCANS["rows_by_address"],
}
"""The statements that take longer where there is more of everything, and why they may."""

FEW, MANY = 100, 1500
KINDS = [
    ("seen", "telegram", 0, 0, None),
    ("seen", "export", 0, 0, None),
    ("fetched", "telegram", 0, 0, None),
    ("fetched", "telegram", 0, 1, None),
    ("rendered", "telegram", 0, 0, None),
    ("rendered", "telegram", 1, 0, None),
    ("published", "telegram", 1, 0, None),
    ("dead", "telegram", 0, 0, "failure"),
    ("dead", "telegram", 0, 0, "poison"),
]
"""State, source, stored, alone and cause: there are as many jobs of each, in each of two channels."""

ADD = """
INSERT INTO jobs (channel_id, message_id, state, revision, digest, caption, entities, posted_at, generation, identity,
                  source, locator, sha256, bytes, rendition_bytes, stored, priority, attempts, next_at, deaths, alone,
                  seen_at, dead_state, dead_cause, reason, published_at, renditions, original)
WITH RECURSIVE n (value) AS (SELECT :first UNION ALL SELECT value + 1 FROM n WHERE value < :last)
SELECT :channel, value, :state, 1, x'00', '', x'90', 1, 1, 'id:1', :source, x'80', value, 1, 1, :stored,
       value / 3 % 2, 0, iif(:state IN ('published', 'dead') OR value % 3 = 0, 0.0, :now + 60.0 * (value % 3)),
       0, :alone, 1, iif(:cause IS NULL, NULL, 'fetched'), :cause, iif(:cause IS NULL, NULL, 'why'),
       iif(:state = 'published', 1, NULL), x'90', iif(:stored, 'as_is', NULL)
FROM n
"""
VALUES = {
    "name": "hook",
    "webhook": "hook",
    "label": "webhook 1",
    "token": "0a",
    "kind": "photo",
    "what": "changed",
    "hidden_by": "operator",
    "grouped_id": 7,
    "state": "fetched",
    "queues": "[]",
    "now": NOW,
    "farthest": 2 * NOW,
    "limit": 5,
    "exclude": "[]",
    "channels": "[1, 2, 99]",
    "sha256s": '["7", "8", "unknown"]',
    "ids": "[1, 2, 3]",
    "jobs": "[[1, 1, 1]]",
    "original": "stripped",
    "after": "",
    "address": None,
    "low": 20,
    "high": 29,
    "source": "export",
    "cause": "failure",
    "queue": "render",
    "stage": "wanted",
    "next_stage": "failed",
    "recipe": "0a1b2c3d",
    "width": 100,
    "step": bytes(6),
    **dict.fromkeys(
        ("digest", "entities", "forwarded_from", "locator", "ignored", "renditions", "appearance", "terms"), b"\x80"
    ),
}


def used() -> set[str]:
    """Every name that the source runs."""
    sources = [path.read_text(encoding="utf-8") for path in (HOME / "ipc").rglob("*.py")]
    calls = r'\b(?:run|apply|apply_to_all|move)\((?:\s*journal,)?\s*"(\w+)"'
    return {name for source in sources for name in re.findall(calls, source)}


def test_every_statement_is_used_and_every_name_is_a_statement() -> None:
    assert used() == set(QUERIES)


def test_no_name_is_given_twice_and_each_block_is_one_statement() -> None:
    names = re.findall(r"^-- name: (\w+)$", TEXT, re.MULTILINE)
    assert names == list(QUERIES)
    assert all(statement.count(";") == 1 for statement in map(without_comments, QUERIES.values()))


def without_comments(statement: str) -> str:
    return re.sub("--.*", "", statement)


def a_journal(count: int) -> Journal:
    """That number of jobs of each kind; of those that wait, a third is put off for a minute, and another for two."""
    journal = open_journal(None)
    with journal.transaction():
        for channel in (1, 2):
            journal.run("add_channel", id=channel, title="", name=None, floor=1, cursor=0, ignored=b"\x80")
            for number, (state, source, stored, alone, cause) in enumerate(KINDS):
                values = {"state": state, "source": source, "stored": stored, "alone": alone, "cause": cause}
                span = {"first": number * count + 1, "last": (number + 1) * count}
                sql(journal, ADD, **{**values, **span, "channel": channel, "now": NOW})
        sql(
            journal,
            """INSERT INTO renewals (job, step, recipe, next_at)
               SELECT id, CASE id % 4 WHEN 0 THEN 'wanted' WHEN 1 THEN 'making' WHEN 2 THEN 'moved' ELSE 'failed' END,
                      '0a1b2c3d', :now + id % 7
               FROM jobs WHERE state = 'published'""",
            now=NOW,
        )
        sql(journal, "INSERT INTO webhooks (name, kind, label, token) VALUES ('hook', 'events', 'webhook 1', '0a')")
        sql(journal, "INSERT INTO consumers (name, position) VALUES ('hook', 0)")
        sql(
            journal,
            """INSERT INTO deliveries (webhook, change, channel_id, message_id, what, at, state, next_at)
               SELECT 'hook', id, channel_id, message_id, 'changed', 1, iif(id % 2, 'waiting', 'dead'), next_at
               FROM jobs WHERE state = 'seen' OR state = 'dead'""",
        )
        sql(
            journal,
            """INSERT INTO changes (channel_id, message_id, what, at)
               SELECT channel_id, message_id, 'changed', 1 FROM jobs WHERE state = 'published'""",
        )
        handed_over = "SELECT id FROM jobs WHERE state = 'fetched' AND next_at = 0 ORDER BY id DESC LIMIT 3"
        sql(journal, f"UPDATE jobs SET claimed_by = 'machines' WHERE id IN ({handed_over})")
        sql(
            journal,
            f"""INSERT INTO claims (job, generation, revision, token, step, at)
                SELECT id, 1, 1, 'token ' || id, 'handed', 1 FROM jobs WHERE id IN ({handed_over})""",
        )
        sql(journal, "INSERT INTO claim_leftovers VALUES ('token', 'key')")
        claimed = "SELECT id FROM jobs WHERE state = 'fetched' AND next_at = 0 LIMIT 2"
        sql(journal, f"UPDATE jobs SET claimed_by = 'image-1' WHERE id IN ({claimed})")
    return journal


@pytest.fixture(scope="module", params=["plain", "analyzed"])
def large(request: pytest.FixtureRequest) -> Iterator[Journal]:
    """A journal with many jobs of every kind, with and without SQLite's statistics."""
    journal = a_journal(MANY)
    if request.param == "analyzed":
        sql(journal, "ANALYZE")
    yield journal
    journal.close()


@pytest.fixture(scope="module")
def small() -> Iterator[Journal]:
    journal = a_journal(FEW)
    yield journal
    journal.close()


def values_of(query: str) -> dict[str, Any]:
    names = re.findall(r":(\w+)", without_comments(QUERIES[query]))
    return {name: VALUES.get(name, 1) for name in names}


def plan(journal: Journal, query: str) -> list[str]:
    rows = sql(journal, f"EXPLAIN QUERY PLAN {QUERIES[query]}", **values_of(query))
    return [row["detail"] for row in rows]


def instructions(journal: Journal, query: str, **values: Any) -> int:
    """How many of SQLite's own instructions it takes, to the next ten. What it changes is undone."""
    ticks = 0

    def tick() -> int:
        nonlocal ticks
        ticks += 1
        return 0

    sql(journal, "BEGIN")
    connection_of(journal).set_progress_handler(tick, 10)
    try:
        journal.run(query, **values_of(query) | values).fetchall()
    finally:
        connection_of(journal).set_progress_handler(None, 0)
        sql(journal, "ROLLBACK")
    return 10 * ticks


def test_the_journals_have_what_they_are_about(large: Journal) -> None:
    assert kept_counts(large) == recounted_counts(large)
    assert kept_reasons(large) == recounted_reasons(large)
    assert len(queue.due(large, "fetched", 10**6)) + 5 == figures.states(large)["fetched"] // 3
    assert figures.states(large) == {
        "seen": 4 * MANY,
        "fetched": 4 * MANY,
        "rendered": 4 * MANY,
        "published": 2 * MANY,
        "dead": 4 * MANY,
    }


def test_no_statement_goes_through_jobs_or_counts_but_those_that_say_why(large: Journal) -> None:
    scans = {query for query in QUERIES if any(re.match(r"SCAN (jobs|counts)\b", step) for step in plan(large, query))}
    assert scans == set(SCANS)


def test_nothing_is_sorted(large: Journal) -> None:
    """The indexes give the order: with a million pictures waiting, the first ones are found as fast as with ten."""
    sorts = {query for query in QUERIES if any("TEMP B-TREE" in step for step in plan(large, query))}
    assert sorts == {"due", "newest_published"}, "they sort the few that they have found"


def test_the_queues_go_by_their_own_indexes(large: Journal) -> None:
    for query, index in (
        ("due", "jobs_ready (queue=?)"),
        ("due", "jobs_put_off (queue=? AND priority=? AND next_at>? AND next_at<?)"),
        ("first_to_fetch", "jobs_ready_by_channel (channel_id=?)"),
        ("first_to_fetch", "jobs_put_off_by_channel (channel_id=? AND priority=? AND next_at>? AND next_at<?)"),
    ):
        assert any(step.endswith(f"INDEX {index}") for step in plan(large, query)), (query, plan(large, query))


READS = [query for query, text in QUERIES.items() if without_comments(text).lstrip().startswith(("SELECT", "WITH"))]


def looks(query: str) -> Iterator[tuple[str, float]]:
    """Of which queues it may be asked, and when: none that is put off is due, half of them are, all are."""
    queues = ('["telegram", "export"]', '["render", "alone"]', '["alone"]', '["store"]', '["write"]', "[]")
    for some in queues if ":queues" in QUERIES[query] else [""]:
        for now in (NOW, NOW + 90, NOW + 999):
            yield some, now


def is_slower(query: str, little: int, much: int) -> bool:
    if query == "waiting_for_retry":  # it reads a thousand at most
        return much >= 20 * 1000
    return much > 1.2 * little + 50


def test_a_look_takes_no_longer_where_more_waits_is_dead_and_is_published(small: Journal, large: Journal) -> None:
    """Counted in SQLite's own instructions, with fifteen times as much of everything."""
    slower: dict[str, list[tuple[str, float, int, int]]] = {}
    for query in READS:
        for some, now in looks(query):
            little, much = (instructions(one, query, queues=some, now=now) for one in (small, large))
            if query in READS_MORE:
                assert much > 2 * little or query == "published_pictures", query
            elif is_slower(query, little, much):
                slower.setdefault(query, []).append((some, now, little, much))
    assert slower == {}


NEW: dict[str, dict[str, Any]] = {
    "add_channel": {"id": 3},
    "add_consumer": {"name": "new"},
    "add_job": {"message_id": 10**6},
    "add_delivery": {"change": 10**6},
    "add_webhook": {"name": "another", "kind": "events"},
    "drop_webhook": {"name": "none that is told anything"},
    "add_sighting": {"address": "name:news"},
    "put_peer": {"address": "name:news"},
    "put_takedown": {"stage": "waiting"},
    "add_site_task": {"what": "block"},
    "put_site_page": {"kind": "page"},
}
"""What a statement has to be given to make a new row."""


OF_ALL = {
    "drop_deliveries": "all that a webhook was to be told, when it leaves the settings",
    "revive_deliveries": "all of its dead letters, for the operator, in a process of its own",
}
"""The changes that are of all there is."""


def change_one_of_each(journal: Journal, query: str, count: int) -> int:
    """How many instructions the statement takes for the first job of each kind, together."""
    (sha256,) = pictures.as_is(journal, "", 1)
    total = 0
    for number in range(len(KINDS)):
        job_id = number * count + 1
        job = {"id": job_id, "job": job_id, "jobs": f"[[{job_id}, 1, 1]]", "sha256": sha256}
        total += instructions(journal, query, **job | NEW.get(query, {}))
    return total


def test_a_change_takes_no_longer_where_more_waits_is_dead_and_is_published(small: Journal, large: Journal) -> None:
    slower: dict[str, tuple[int, int]] = {}
    for query in (one for one in QUERIES if one not in READS and one not in OF_ALL):
        little, much = change_one_of_each(small, query, FEW), change_one_of_each(large, query, MANY)
        if much > 1.2 * little + 50 * len(KINDS):
            slower[query] = (little, much)
    assert slower == {}


def test_all_that_killed_their_workers_are_found(large: Journal) -> None:
    assert len(figures.quarantined(large, 10**6)) == 2 * MANY
