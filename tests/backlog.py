"""Journals and catalogues with very many pictures in them, made by SQL in seconds."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping
from contextlib import closing
from pathlib import Path

import msgpack

from ipc.intake import take
from ipc.journal import Journal
from ipc.posts import Channel, Page
from workers.publishing.catalog.embedded import SqliteCatalog

CHANNELS = (1, 2, 3, 4)
REASONS = ("not a picture", "truncated", "too large", "no such file")
RENDITIONS = [[width, width * 3 // 4, name, 40_000] for width in (320, 640, 1280) for name in ("webp", "avif")]
STATES = {"telegram": "seen", "export": "seen", "render": "fetched", "alone": "fetched", "published": "published"}
"""The state of what waits in a queue; of the others, `rendered`."""

_FILL = """
INSERT INTO jobs (channel_id, message_id, state, revision, digest, caption, entities, posted_at, generation, identity,
                  locator, sha256, bytes, mime, extension, width, height, renditions, rendition_bytes, stored, priority,
                  attempts, next_at, deaths, alone, dead_state, reason, seen_at, published_at,
                  source, dead_cause)
WITH RECURSIVE numbers (n) AS (SELECT :first UNION ALL SELECT n + 1 FROM numbers WHERE n < :last)
SELECT n % 4 + 1, n, :state, 1, randomblob(16), 'caption ' || n, x'90', 1738404000, 1, :kind || n, x'80',
       lower(hex(randomblob(32))), 200000, 'image/jpeg', 'jpg', 1280, 960, :renditions, 0, :stored, n / 4 % 2, 0,
       iif(:waits, CASE n % 3 WHEN 0 THEN 0.0 WHEN 1 THEN :now - 1 + n * 1e-7 ELSE :now + 3600 + n END, 0.0), 0, :alone,
       iif(:state = 'dead', 'fetched', NULL),
       iif(:state = 'dead', json_extract(:reasons, '$[' || (n % 4) || ']'), NULL),
       0, 0, iif(:kind = 'id:', 'telegram', 'export'), iif(:state = 'dead', 'failure', NULL)
FROM numbers
"""

_CATALOGUE = """
ATTACH ? AS journal;
INSERT INTO channels (id, title) SELECT id, title FROM journal.channels;
INSERT INTO messages (channel_id, message_id, revision, caption, posted_at)
SELECT channel_id, message_id, revision, caption, '2025-02-01T10:00:00Z' FROM journal.jobs WHERE state = 'published';
INSERT INTO images (channel_id, message_id, sha256, mime, width, height, bytes, renditions)
SELECT channel_id, message_id, sha256, mime, width, height, bytes, '[]' FROM journal.jobs WHERE state = 'published'
"""


def fill_journal(path: Path, counts: Mapping[str, int]) -> None:
    """Make a journal with so many pictures of each kind: waiting in a queue (`telegram`, `export`, `render`, `alone`,
    `store`, `write`), `dead` or `published`. They are in four channels. Of three that wait, one was never put off, one
    is put off for an hour, and one was put off and its time has come.
    """
    with closing(Journal.open(path)) as journal:
        for channel in CHANNELS:
            take(journal, Page(Channel(channel, f"Channel {channel}"), (), low=1, high=0, ignored={}), time.time())
    with closing(sqlite3.connect(path)) as database:
        last = 0
        for kind, count in counts.items():
            first, last = last + 1, last + count
            is_queue = kind not in ("dead", "published")
            values = {
                "state": STATES.get(kind, "rendered" if is_queue else kind),
                "kind": "file:" if kind == "export" else "id:",
                "stored": kind in ("write", "published"),
                "alone": kind == "alone",
                "waits": is_queue,
                "renditions": msgpack.packb(RENDITIONS),
                "reasons": json.dumps(REASONS),
            }
            database.execute(_FILL, {**values, "first": first, "last": last, "now": time.time()})
        processed = (counts.get("published", 0),)
        database.execute("UPDATE totals SET value = ? WHERE name = 'processed'", processed)
        database.commit()
        database.execute("PRAGMA wal_checkpoint(TRUNCATE)")


def fill_catalogue(path: Path, journal: Path) -> None:
    """Make a catalogue with a row for each published picture of the journal. They name no renditions."""
    SqliteCatalog(path).close()
    with closing(sqlite3.connect(path)) as database:
        attach, *inserts = _CATALOGUE.split(";")
        database.execute(attach, (str(journal),))
        for insert in inserts:
            database.execute(insert)
        database.commit()
