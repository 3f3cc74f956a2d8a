"""ipc/journal/migrations.sql: an older journal becomes one of this version with all that is in it, or not at all."""

from __future__ import annotations

import os
import re
import signal
import sqlite3
from collections import Counter
from collections.abc import Iterator
from hashlib import blake2b
from multiprocessing import get_context
from multiprocessing.synchronize import Barrier
from pathlib import Path
from typing import Any, get_args

import msgpack
import pytest

from ipc import database
from ipc.intake import Taken, take, withdraw
from ipc.jobs import Rendition
from ipc.journal import (
    MIGRATIONS,
    VERSION,
    Journal,
    JournalError,
    OlderJournal,
    addresses,
    figures,
    lookup,
    peers,
    queue,
    transitions,
)
from ipc.posts import Source
from ipc.retry import RetryPolicy
from tests.ipc.builders import (
    CHANNEL,
    HOME,
    NOW,
    WAITING,
    kept_counts,
    kept_reasons,
    open_journal,
    page,
    post,
    processes,
    push,
    recounted,
    recounted_counts,
    recounted_reasons,
)
from tests.ipc.tables import connection_of, scalar, sql

SCHEMA_1 = """
-- The journal: the only truth about which picture is where. One file, one transaction for cursor and job.

CREATE TABLE channels (
    id      INTEGER PRIMARY KEY,          -- Telegram's bare positive id
    title   TEXT    NOT NULL,
    cursor  INTEGER NOT NULL,             -- every message up to this id has been recorded
    ignored BLOB    NOT NULL              -- msgpack map: kind of message that is not taken -> how many were passed over
) STRICT;

-- A job is one photo message on its way: seen -> fetched -> rendered -> published, or dead.
CREATE TABLE jobs (
    id              INTEGER PRIMARY KEY,
    channel_id      INTEGER NOT NULL REFERENCES channels (id),
    message_id      INTEGER NOT NULL,
    state           TEXT    NOT NULL CHECK (state IN ('seen', 'fetched', 'rendered', 'published', 'dead')),
    -- the message
    revision        INTEGER NOT NULL,     -- grows with every change of the message; the row with the highest wins
    digest          BLOB    NOT NULL,     -- of what the row shows of the message: tells a change from a repetition
    grouped_id      INTEGER,
    caption         TEXT    NOT NULL,
    posted_at       INTEGER NOT NULL,     -- Unix seconds
    edited_at       INTEGER,
    deleted_at      INTEGER,
    -- the picture
    generation      INTEGER NOT NULL,     -- grows when the message gets another picture; names the spool folder
    photo_id        INTEGER,              -- Telegram's; NULL where the source does not know it
    identity        TEXT    NOT NULL,     -- changes exactly when the picture changes
    locator         BLOB    NOT NULL,     -- msgpack map: how the source finds the bytes again
    sha256          TEXT,                 -- of the original, from fetched on
    bytes           INTEGER,
    mime            TEXT,                 -- from rendered on
    extension       TEXT,
    width           INTEGER,              -- pixels, upright
    height          INTEGER,
    renditions      BLOB,                 -- msgpack array of [width, height, format, bytes]
    rendition_bytes INTEGER NOT NULL,
    stored          INTEGER NOT NULL,     -- 1: every object is in the storage
    -- the work
    attempts        INTEGER NOT NULL,     -- failures in this state
    next_at         REAL    NOT NULL,     -- Unix seconds: not before
    claimed_by      TEXT,                 -- the image worker that has it
    deaths          INTEGER NOT NULL,     -- image workers that this picture killed
    alone           INTEGER NOT NULL,     -- 1: its next try is by itself, under the larger memory cap
    dead_state      TEXT,                 -- the state in which it died
    reason          TEXT,                 -- of the last failure
    seen_at         INTEGER NOT NULL,
    published_at    INTEGER,              -- first time
    UNIQUE (channel_id, message_id)
) STRICT;

CREATE INDEX jobs_waiting ON jobs (state, id) WHERE state IN ('seen', 'fetched', 'rendered');
CREATE INDEX jobs_later ON jobs (next_at) WHERE next_at > 0;
CREATE INDEX jobs_dead ON jobs (id) WHERE state = 'dead';

-- How many jobs are in each state, kept by triggers, so that /status never counts a million rows.
CREATE TABLE states (state TEXT PRIMARY KEY, jobs INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO states VALUES ('seen', 0), ('fetched', 0), ('rendered', 0), ('published', 0), ('dead', 0);

CREATE TRIGGER job_appears AFTER INSERT ON jobs BEGIN
    UPDATE states SET jobs = jobs + 1 WHERE state = NEW.state;
END;

CREATE TRIGGER job_moves AFTER UPDATE OF state ON jobs WHEN OLD.state IS NOT NEW.state BEGIN
    UPDATE states SET jobs = jobs - 1 WHERE state = OLD.state;
    UPDATE states SET jobs = jobs + 1 WHERE state = NEW.state;
END;

-- What has ever happened: these only grow.
CREATE TABLE totals (name TEXT PRIMARY KEY, value INTEGER NOT NULL) STRICT, WITHOUT ROWID;
INSERT INTO totals VALUES ('processed', 0), ('failed', 0), ('retried', 0);

-- The newest failure of any job, for /status: one row, or none.
CREATE TABLE last_failure (
    one    INTEGER PRIMARY KEY CHECK (one = 1),
    at     INTEGER NOT NULL,              -- Unix seconds
    job    INTEGER NOT NULL REFERENCES jobs (id),
    reason TEXT    NOT NULL
) STRICT;
"""
"""What version 1 made a new journal with."""

POSTED = 1_700_000_000
PICTURE = {
    "sha256": "5ha",
    "bytes": 100,
    "mime": "image/jpeg",
    "extension": "jpg",
    "width": 640,
    "height": 480,
    "renditions": msgpack.packb([[320, 240, "webp", 30]]),
    "rendition_bytes": 30,
}
FETCHED = {"sha256": "5ha", "bytes": 100}
DEAD = {"state": "dead", "reason": "why", "attempts": 1}

JOBS: dict[int, dict[str, Any]] = {
    1: {"state": "seen"},
    2: {"state": "seen", "attempts": 2, "next_at": NOW + 60, "reason": "why"},
    3: {"state": "fetched", **FETCHED},
    4: {"state": "fetched", **FETCHED, "claimed_by": "image-1", "deaths": 1, "alone": 1},
    5: {"state": "rendered", **PICTURE},
    6: {"state": "rendered", **PICTURE, "stored": 1},
    7: {"state": "published", **PICTURE, "stored": 1, "published_at": 9},
    8: {"state": "rendered", **PICTURE, "stored": 1, "published_at": 9, "revision": 10**13, "edited_at": POSTED + 9},
    9: {**DEAD, "dead_state": "seen"},
    10: {**DEAD, **FETCHED, "dead_state": "fetched", "photo_id": 2**62, "grouped_id": 9, "generation": 3},
    11: {**DEAD, **PICTURE, "dead_state": "rendered", "caption": "Grüße 🖼 \N{ZERO WIDTH JOINER}"},
    12: {"state": "seen", "identity": "id:12"},
    13: {**DEAD, **FETCHED, "dead_state": "fetched", "reason": "poison, set aside after 2 tries: hung"},
    14: {"state": "seen", "identity": "file:id:14"},
    15: {**DEAD, **FETCHED, "dead_state": "fetched", "reason": "not poison, set aside", "identity": "id:15"},
    16: {"state": "seen", "identity": "missing:16"},
}
"""Columns by message: a job in every state that version 1 knew, of both sources, and one that killed its workers."""

REASONS = Counter(job["reason"] for job in JOBS.values() if job["state"] == "dead")
NO_RENEWALS = {("wanted", 0), ("making", 0), ("moved", 0), ("failed", 0)}
MACHINES = ("claims", "claim_leftovers", "taken", "origins")
GALLERY = ("site", "site_blocks", "site_channels", "site_pages", "site_tasks")
NO_GALLERY = [{"name": "pages", "value": 0}, {"name": "tasks", "value": 0}]


def digest_1(job: dict[str, Any]) -> bytes:
    """As version 1 made it."""
    shown = [job["grouped_id"], job["caption"], job["posted_at"]]
    return blake2b(msgpack.packb(shown), digest_size=16).digest()


def make_1(path: Path) -> None:
    """A journal as version 1 leaves it."""
    old = sqlite3.connect(path, isolation_level=None)
    old.execute("PRAGMA journal_mode = WAL")
    old.executescript(SCHEMA_1)
    old.execute("PRAGMA user_version = 1")
    ignored = msgpack.packb({"text": 4, "video": 1})
    old.execute("INSERT INTO channels VALUES (?, 'News 📰', 16, ?), (43, 'Empty', 0, x'80')", (CHANNEL, ignored))
    for number, fields in JOBS.items():
        plain = {
            "channel_id": CHANNEL,
            "message_id": number,
            "revision": 1000 * POSTED,
            "grouped_id": None,
            "caption": "caption",
            "posted_at": POSTED,
            "generation": 1,
            "identity": "file:a",
            "locator": msgpack.packb({"file": fields.get("identity", "file:a")}),
            **dict.fromkeys(("rendition_bytes", "stored", "attempts", "next_at", "deaths", "alone"), 0),
            "seen_at": 5,
        }
        job = plain | fields
        job["digest"] = digest_1(job)
        marks = ", ".join(f":{name}" for name in job)
        old.execute(f"INSERT INTO jobs ({', '.join(job)}) VALUES ({marks})", job)
    old.execute("UPDATE totals SET value = 7")
    old.execute("INSERT INTO last_failure VALUES (1, 77, 10, 'why')")
    old.close()


def in_this_version(job: dict[str, Any]) -> dict[str, Any]:
    """A job of an older version, brought up to date: until then originals were published as they came."""
    number = job["message_id"]
    cause = ("poison" if number == 13 else "failure") if job["state"] == "dead" else None
    source = "telegram" if number in (12, 15) else "export"
    new: dict[str, Any] = {
        "stripped_bytes": None,
        "original": "as_is",
        "address": None,
        "source": source,
        "dead_cause": cause,
    }
    new |= {"hidden_at": None, "hidden_by": None, "kind": "photo", "appearance": None, "preview_bytes": None}
    new["shown"] = int(job["published_at"] is not None and (job["deleted_at"] is None or job["state"] != "published"))
    new |= {"recipe": None, "waits_since": job["seen_at"] if job["state"] in WAITING else None, "life": b""}
    return {**job, **new}


def contents(path: Path) -> dict[str, list[dict[str, Any]]]:
    """Every row of every table, as it lies in the file, but for what follows from the others."""
    plain = sqlite3.connect(path)
    plain.row_factory = sqlite3.Row
    tables = [
        row[0]
        for row in plain.execute(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name != 'sqlite_sequence' ORDER BY name"
        )
    ]
    found = {table: [dict(row) for row in plain.execute(f"SELECT * FROM {table}")] for table in tables}
    for job in found["jobs"]:
        job.pop("queue", None)
    assert found.pop("hours", []) in ([], [{"channel_id": CHANNEL, "hour": 0, "published": 2, "last_at": 9}])
    for kept in ("durations", "outcomes", "minutes", "restarts", "counted_ends"):
        assert found.pop(kept, []) == []
    assert found.pop("origin", [{"version": 0}]) == [{"version": 0}], "it was there before"
    assert not any(one["rows"] for one in found.pop("takedown_counts", []))
    assert found.pop("takedowns", []) == found.pop("purges", []) == []
    for kept in ("states", "counts"):
        found.pop(kept, None)
    found["version"] = [dict(plain.execute("PRAGMA user_version").fetchone())]
    plain.close()
    return found


@pytest.fixture
def old(tmp_path: Path) -> Path:
    path = tmp_path / "journal.db"
    make_1(path)
    return path


@pytest.fixture
def journal(old: Path) -> Iterator[Journal]:
    journal = open_journal(old.parent)
    yield journal
    assert figures.states(journal) == recounted(journal)
    assert kept_counts(journal) == recounted_counts(journal)
    assert kept_reasons(journal) == recounted_reasons(journal)
    assert journal.check() == []
    assert sql(journal, "PRAGMA foreign_key_check") == []
    journal.close()


# --- the tables ---------------------------------------------------------------------------------------------


def shape(connection: sqlite3.Connection) -> dict[str, Any]:
    """All that matters of the schema: the order of columns does not, nor that an added one has a default."""
    connection.row_factory = sqlite3.Row
    found: dict[str, Any] = {}
    for kind, name, text in connection.execute("SELECT type, name, sql FROM sqlite_master").fetchall():
        if kind == "table":
            columns = connection.execute(f"PRAGMA table_xinfo({name})").fetchall()
            (options,) = connection.execute(f"PRAGMA table_list({name})").fetchall()
            found[f"table {name}"] = {
                "columns": {
                    column["name"]: (column["type"], column["notnull"], column["pk"], column["hidden"])
                    for column in columns
                },
                "generated": re.findall(r"GENERATED ALWAYS AS .*? END", " ".join(re.sub("--.*", "", text).split())),
                "options": (options["strict"], options["wr"]),
                "keys": [tuple(row) for row in connection.execute(f"PRAGMA foreign_key_list({name})")],
                "checks": sorted(re.findall(r"CHECK \([^)]*\)+", text)),
            }
        else:
            found[f"{kind} {name}"] = text and " ".join(re.sub("--.*", "", text).split())
    for table in [name.split()[1] for name in found if name.startswith("table")]:
        for index in connection.execute(f"PRAGMA index_list({table})").fetchall():
            columns = [row["name"] for row in connection.execute(f"PRAGMA index_info({index['name']})")]
            found[f"columns of {index['name']}"] = (index["unique"], index["partial"], columns)
    return found


def test_it_has_the_shape_of_a_new_one(journal: Journal) -> None:
    new = open_journal(None)
    expected = shape(connection_of(new))
    assert shape(connection_of(journal)) == expected
    assert {
        "index jobs_ready",
        "trigger job_moves",
        "view states",
        "table counts",
        "table peers",
        "table sightings",
        "columns of jobs_ready_by_channel",
    } <= set(expected)
    assert scalar(journal, "PRAGMA user_version") == VERSION
    new.close()


def test_the_shape_tells_journals_apart() -> None:
    """Or the test above would say nothing."""
    changes = [
        "DROP INDEX jobs_later",
        "DROP TRIGGER job_moves",
        "DROP TABLE peers",
        "ALTER TABLE jobs ADD COLUMN more TEXT",
        "DROP INDEX jobs_ready; CREATE INDEX jobs_ready ON jobs (queue, id) WHERE queue IS NOT NULL",
        "DROP INDEX jobs_ready; CREATE INDEX jobs_ready ON jobs (queue, priority, id) WHERE next_at = 0",
        "ALTER TABLE channels DROP COLUMN floor",
    ]
    for change in changes:
        new, other = open_journal(None), open_journal(None)
        connection_of(other).executescript(change)
        assert shape(connection_of(other)) != shape(connection_of(new)), change
        new.close()
        other.close()


def test_there_is_a_step_from_every_version() -> None:
    assert sorted(MIGRATIONS) == list(range(2, VERSION + 1))
    text = (HOME / "ipc" / "journal" / "migrations.sql").read_text(encoding="utf-8")
    assert [int(version) for version in re.findall(r"^-- version: (\d+)$", text, re.MULTILINE)] == sorted(MIGRATIONS)


# --- what is in them ----------------------------------------------------------------------------------------


def test_everything_is_kept_and_what_is_new_says_nothing(old: Path) -> None:
    before = contents(old)
    open_journal(old.parent).close()
    after = contents(old)
    plain = {"entities": b"\x90", "forwarded_from": None, "reply_to": None, "doubted": None, "doubts": 0, "priority": 0}
    assert after.pop("jobs") == [in_this_version({**job, **plain}) for job in before.pop("jobs")]
    # Version 1 let a cursor pass gaps: whatever lies below it may be read once more.
    channels = [{**one, "name": None, "floor": one["cursor"] + 1, "backfilled": 0} for one in before.pop("channels")]
    assert after.pop("channels") == channels
    assert [after.pop(table) for table in ("peers", "sightings", "breakers", "removals")] == [[], [], [], []]
    assert [after.pop(table) for table in ("addresses", "renewals", "changes", "consumers")] == [[]] * 4
    assert [after.pop(table) for table in ("blocked", "blocked_posts")] == [[], []]
    assert [after.pop(table) for table in ("webhooks", "deliveries")] == [[], []]
    assert [after.pop(table) for table in GALLERY] == [[]] * 5
    assert after.pop("site_counts") == NO_GALLERY
    assert {one["reason"]: one["jobs"] for one in after.pop("dead_reasons")} == REASONS
    assert {(one["step"], one["jobs"]) for one in after.pop("renewal_counts")} == NO_RENEWALS
    assert [after.pop(table) for table in MACHINES] == [[]] * 4
    assert re.fullmatch("[0-9a-f]{12}", after.pop("machine")[0]["id"])
    assert (before.pop("version"), after.pop("version")) == ([{"user_version": 1}], [{"user_version": VERSION}])
    assert after == before
    assert {"totals", "last_failure"} <= set(after)


def test_the_figures_are_counted_once_and_kept_from_then_on(journal: Journal) -> None:
    assert kept_counts(journal) == recounted_counts(journal) != {}
    assert figures.waiting_for_retry(journal) == (1, NOW + 60)
    push(journal, queue.due(journal, "seen", 1)[0], "rendered")
    take(journal, page(post(99), low=99), NOW)


def as_version(version: int, old: Path) -> None:
    """Bring a journal of version 1 up to that one."""
    database = sqlite3.connect(old)
    for step in range(2, version + 1):
        database.executescript(f"BEGIN; {MIGRATIONS[step]}; PRAGMA user_version = {step}; COMMIT")
    database.close()


@pytest.mark.parametrize("version", [2, 3, 4, 5])
def test_a_later_version_is_kept_as_well(version: int, old: Path) -> None:
    as_version(version, old)
    database = sqlite3.connect(old)
    database.execute("INSERT INTO peers VALUES ('name:news', 7, 42, 99)")
    database.commit()
    database.close()
    before = contents(old)
    journal = open_journal(old.parent)
    assert peers.get(journal, "name:news", 7) == (42, 99)
    assert peers.first_configured(journal, "name:news", 5.0) == 5.0
    journal.close()
    after = contents(old)
    assert after.pop("sightings") == [{"address": "name:news", "configured_at": 5.0}]
    assert [after.pop(table) for table in ("breakers", "removals", "addresses", "renewals")] == [[]] * 4
    assert [
        after.pop(table) for table in ("changes", "consumers", "blocked", "blocked_posts", "webhooks", "deliveries")
    ] == [[]] * 6
    assert [after.pop(table) for table in GALLERY] == [[]] * 5
    assert after.pop("site_counts") == NO_GALLERY
    assert {one["reason"]: one["jobs"] for one in after.pop("dead_reasons")} == REASONS
    assert {(one["step"], one["jobs"]) for one in after.pop("renewal_counts")} == NO_RENEWALS
    assert [after.pop(table) for table in MACHINES] == [[]] * 4
    assert re.fullmatch("[0-9a-f]{12}", after.pop("machine")[0]["id"])
    for table in ("renewals", "renewal_counts"):
        before.pop(table, None)
    assert [before.pop(table, []) for table in ("sightings", "breakers", "removals", "addresses")] == [[], [], [], []]
    assert after.pop("jobs") == [in_this_version(job) for job in before.pop("jobs")]
    assert after.pop("channels") == [{**one, "name": None} for one in before.pop("channels")]
    assert (before.pop("version"), after.pop("version")) == ([{"user_version": version}], [{"user_version": VERSION}])
    assert after == before


@pytest.mark.parametrize("version", [4, 5])
def test_the_addresses_of_published_rows_are_kept(version: int, old: Path) -> None:
    """Their table is made anew, while jobs point into it."""
    as_version(version, old)
    database = sqlite3.connect(old)
    database.execute("PRAGMA foreign_keys = ON")
    database.executescript(
        "INSERT INTO addresses (id, url, prefix) VALUES (3, 'https://a.org/', ''), (7, 'https://a.org/p/', 'p/');"
        "UPDATE jobs SET address = 7 WHERE state = 'published'; UPDATE jobs SET address = 3 WHERE state = 'rendered'"
    )
    database.close()
    journal = open_journal(old.parent)
    assert [tuple(one) for one in addresses.published(journal)] == [(7, "https://a.org/p/", "p/", 1, 1)]
    assert {one["address"] for one in contents(old)["jobs"]} == {None, 3, 7}
    assert sql(journal, "PRAGMA foreign_key_check") == []
    assert addresses.number_of(journal, "https://a.org/p/", "p/", 1) == 7
    assert addresses.number_of(journal, "https://a.org/p/", "p/", 2) > 7
    with pytest.raises(sqlite3.IntegrityError, match="FOREIGN KEY"):
        sql(journal, "UPDATE jobs SET address = 99")
    journal.close()


@pytest.mark.parametrize("version", [1, 2, 3, 4, 5])
def test_what_was_read_out_of_texts_is_in_columns(version: int, old: Path) -> None:
    as_version(version, old)
    journal = open_journal(old.parent)
    due = {source: queue.due(journal, "seen", 99, source=source) for source in get_args(Source)}
    assert due.pop("queue") == []
    found = {source: [job.message_id for job in jobs] for source, jobs in due.items()}
    assert found == {"telegram": [12], "export": [1, 14, 16]}
    assert [one["message"] for one in figures.quarantined(journal, 99)] == [13]
    take(journal, page(post(13, caption="edited"), post(10, caption="edited")), NOW)
    assert figures.states(journal)["dead"] == 4, "what killed its workers stays dead"
    journal.close()


@pytest.mark.parametrize("version", [4, 7])
def test_that_a_picture_is_blocked_is_a_cause_of_its_own(version: int, old: Path) -> None:
    as_version(version, old)
    database = sqlite3.connect(old)
    database.execute("UPDATE jobs SET reason = 'blocked by the operator' WHERE message_id IN (2, 10)")
    database.commit()
    database.close()
    journal = open_journal(old.parent)
    causes = {job.message_id: job.dead_cause for job in lookup.dead(journal)}
    assert causes == {9: "failure", 10: "blocked", 11: "failure", 13: "poison", 15: "failure"}
    waits = lookup.known(journal, CHANNEL, 2)
    assert waits is not None and waits.dead_cause is None
    with pytest.raises(sqlite3.IntegrityError, match="CHECK"):
        sql(journal, "UPDATE jobs SET dead_cause = 'other' WHERE message_id = 9")
    journal.close()


def test_its_jobs_are_read_as_any(journal: Journal) -> None:
    jobs = {number: lookup.known(journal, CHANNEL, number) for number in JOBS}
    for number, fields in JOBS.items():
        job = jobs[number]
        assert job is not None and job.state == fields["state"]
        assert (job.entities, job.forwarded_from, job.reply_to, job.priority, job.doubted) == ((), None, None, 0, None)
    dead = jobs[11]
    assert dead is not None
    assert (dead.caption, dead.renditions) == (JOBS[11]["caption"], (Rendition(320, 240, "webp", 30),))
    assert [job.message_id for job in lookup.dead(journal)] == [9, 10, 11, 13, 15]
    assert figures.states(journal) == {"seen": 5, "fetched": 2, "rendered": 3, "published": 1, "dead": 5}
    assert figures.totals(journal) == {"processed": 7, "failed": 7, "retried": 7}
    assert figures.last_failure(journal) == "channel 42, message 10: why"
    assert [(one["id"], one["floor"], one["cursor"], one["backfilled"]) for one in figures.channels(journal)] == [
        (CHANNEL, 17, 16, 0),
        (43, 1, 0, 0),
    ]


def test_the_same_pages_again_change_nothing(journal: Journal, old: Path) -> None:
    """What version 1 has taken in is not edited for want of what it didn't look at."""
    before = contents(old)["jobs"]
    posts = [
        post(number, job["identity"], caption=job["caption"], grouped_id=job["grouped_id"], edited_at=job["edited_at"])
        for number, job in enumerate(before, 1)
    ]
    taken = take(journal, page(*posts, high=16, ignored={"text": 5}), NOW)
    assert taken == Taken(published=1, dead=5, pending=10)
    assert contents(old)["jobs"] == before
    (channel, _) = figures.channels(journal)
    assert (channel["floor"], channel["cursor"]) == (1, 16)


def test_the_work_goes_on(journal: Journal) -> None:
    assert transitions.release_claims(journal) == 1
    assert len(transitions.revive(journal, (job.id for job in lookup.dead(journal)))) == 5
    take(journal, page(post(17), post(18), low=17), NOW)
    assert withdraw(journal, CHANNEL, [7, 18], NOW) == [7, 18]
    for job in queue.due(journal, "seen", 99):
        push(journal, job, "published")
    for job in queue.due(journal, "fetched", 99):
        assert transitions.send_back(journal, job)
    for job in queue.due(journal, "seen", 99):
        push(journal, job, "published")
    for job in queue.due(journal, "rendered", 99):
        assert transitions.record_stored(journal, [job])
        assert transitions.record_published(journal, [job])
    waits = lookup.known(journal, CHANNEL, 2)
    assert waits is not None
    assert figures.waiting_for_retry(journal) == (1, NOW + 60)
    assert transitions.fail(journal, waits, "why", RetryPolicy(2, 1)) == "dead"
    assert figures.states(journal) == {"seen": 0, "fetched": 0, "rendered": 0, "published": 17, "dead": 1}
    assert figures.totals(journal)["processed"] == 7 + 14, (
        "all but the two that had been published and the one that is gone"
    )


# --- all or nothing -----------------------------------------------------------------------------------------


def test_opened_again_nothing_is_written(old: Path) -> None:
    open_journal(old.parent).close()
    before = old.read_bytes()
    second = open_journal(old.parent)
    wal = old.with_name("journal.db-wal")
    assert not wal.exists() or wal.stat().st_size == 0
    second.close()
    assert old.read_bytes() == before


def statements(script: str) -> list[str]:
    """A migration's statements."""
    return [f"{statement};\n" for statement in script.split(";\n") if statement.strip()]


STEPS = len(statements(MIGRATIONS[2]))


@pytest.mark.parametrize("done", range(STEPS + 1))
def test_a_step_that_fails_leaves_the_version_before(done: int, old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before, bytes_before = contents(old), old.read_bytes()
    broken = "".join(statements(MIGRATIONS[2])[:done]) + "INSERT INTO no_such_table VALUES (1);\n"
    with monkeypatch.context() as patched:
        patched.setitem(MIGRATIONS, 2, broken)
        with pytest.raises(JournalError, match="no such table: no_such_table") as caught:
            Journal.open(old)
    assert str(caught.value).startswith(f"{old}: cannot be opened as the journal")
    assert contents(old) == before
    assert old.read_bytes() == bytes_before
    open_journal(old.parent).close()
    assert contents(old)["version"] == [{"user_version": VERSION}]


def test_a_full_disk_leaves_the_version_before(old: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = contents(old)
    connect = database.connect

    def cramped(path: Path, **options: Any) -> sqlite3.Connection:
        connection = connect(path, **options)
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        connection.execute(f"PRAGMA max_page_count = {pages}")
        return connection

    with monkeypatch.context() as patched:
        patched.setattr(database, "connect", cramped)
        with pytest.raises(JournalError, match="full"):
            Journal.open(old)
    assert contents(old) == before


def die_in_the_middle(path: Path, done: int) -> None:
    """Open the journal, and be killed after that number of statements of the migration, or when all are done."""
    run_script = database.run_script

    def killed(database: sqlite3.Connection, script: str) -> None:
        run_script(database, "".join(statements(script)[:done]))
        os.kill(os.getpid(), signal.SIGKILL)

    database.run_script = killed
    Journal.open(path)


@pytest.mark.tree
@pytest.mark.parametrize("done", [1, STEPS - 1, STEPS])
def test_a_process_that_is_killed_in_the_middle_leaves_the_version_before(done: int, old: Path) -> None:
    before = contents(old)
    with processes(die_in_the_middle, [(old, done)]) as (process,):
        process.join(60)
        assert process.exitcode == -signal.SIGKILL
    assert contents(old) == before
    journal = open_journal(old.parent)
    assert (journal.check(), figures.states(journal)) == ([], recounted(journal))
    journal.close()


FILES = 8
PROCESSES = 2


def open_each(folder: Path, barrier: Barrier) -> None:
    for number in range(FILES):
        barrier.wait(60)
        journal = Journal.open(folder / f"{number}.db")
        assert figures.states(journal)["published"] == 1
        assert lookup.known(journal, CHANNEL, 7) is not None
        journal.close()


@pytest.mark.tree
def test_several_processes_that_open_it_at_once(tmp_path: Path) -> None:
    for number in range(FILES):
        make_1(tmp_path / f"{number}.db")
    barrier = get_context("spawn").Barrier(PROCESSES)
    with processes(open_each, [(tmp_path, barrier)] * PROCESSES) as started:
        for process in started:
            process.join(60)
        assert [process.exitcode for process in started] == [0] * PROCESSES
    new = open_journal(None)
    for number in range(FILES):
        journal = Journal.open(tmp_path / f"{number}.db")
        assert shape(connection_of(journal)) == shape(connection_of(new))
        journal.close()
    new.close()


def test_an_old_one_is_not_read_before_it_has_been_brought_up_to_date(old: Path) -> None:
    with pytest.raises(OlderJournal, match="of version 1, older than this program's"):
        Journal.open_to_read(old)
    open_journal(old.parent).close()
    reader = Journal.open_to_read(old)
    assert figures.states(reader)["seen"] == 5
    reader.close()
