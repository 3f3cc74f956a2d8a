"""Catalogues with many rows, and the pages of them that a site asks for."""

from __future__ import annotations

import sqlite3
from contextlib import closing
from pathlib import Path
from typing import Any

from tests.servers.rows import RowServer
from workers.publishing.catalog import SqliteCatalog

CHANNELS = 20

_RENDITIONS = ",".join(
    f'{{"width":{width},"height":{width},"format":"{format}","bytes":9000,"key":"k",'
    f'"url":"https://pictures.example.org/ab/{"ab" * 32}/{width}-0123abcd.{format}"}}'
    for width in (320, 640, 1280, 1920)
    for format in ("webp", "avif")
)
RENDITIONS = f"[{_RENDITIONS}]"

TAGS = ("common", "old", "rare")
"""A tag of every tenth picture, one of the oldest hundredth alone, and one of every 20,000th."""

_TAGS_OF = {
    "common": "number % 10 = 0",
    "old": "number < {count} / 100",
    "rare": "number % 20000 = 0",
}

_POSTGRES = """
insert into channels select n, 'Channel ' || n, 'channel' || n from generate_series(1, {channels}) as n;
insert into messages (channel_id, message_id, revision, grouped_id, caption, posted_at, tags)
select 1 + number % {channels}, 1 + number / {channels}, 1,
       case when number / {channels} % 3 = 0 then number / {channels} / 4 end,
       'caption ' || number, timestamptz '2017-01-01' + number * interval '5 minutes',
       array_remove(array[{tags}], null)
from generate_series(0, {count} - 1) as number;
insert into images (channel_id, message_id, sha256, mime, width, height, bytes, renditions, kind, phash)
select channel_id, message_id, md5(channel_id::text) || md5(message_id::text), 'image/jpeg', 1920, 1920, 9,
       '{renditions}', 'photo', ('x' || substr(md5(channel_id || '-' || message_id), 1, 16))::bit(64)::bigint
from messages;
analyze;
"""

_SQLITE = """
WITH RECURSIVE n (n) AS (VALUES (1) UNION ALL SELECT n + 1 FROM n WHERE n < {channels})
INSERT INTO channels SELECT n, 'Channel ' || n, 'channel' || n FROM n;
WITH RECURSIVE numbers (number) AS (VALUES (0) UNION ALL SELECT number + 1 FROM numbers WHERE number < {count} - 1)
INSERT INTO messages (channel_id, message_id, revision, grouped_id, caption, posted_at, tags)
SELECT 1 + number % {channels}, 1 + number / {channels}, 1,
       CASE WHEN number / {channels} % 3 = 0 THEN number / {channels} / 4 END,
       'caption ' || number, strftime('%Y-%m-%dT%H:%M:%SZ', 1483228800 + 300 * number, 'unixepoch'),
       (SELECT json_group_array(tag) FROM (SELECT column1 AS tag FROM (VALUES {tags})) WHERE tag IS NOT NULL)
FROM numbers;
INSERT INTO images (channel_id, message_id, sha256, mime, width, height, bytes, renditions, kind, phash)
SELECT channel_id, message_id, printf('%032x%032x', channel_id, message_id), 'image/jpeg', 1920, 1920, 9,
       '{renditions}', 'photo', random()
FROM messages;
INSERT INTO message_tags SELECT channel_id, message_id, value, posted_at FROM messages, json_each(tags);
"""


def fill_postgres(server: RowServer, count: int) -> None:
    """Put `count` pictures into an empty stack."""
    tags = ", ".join(f"case when {when} then '{tag}' end" for tag, when in _TAGS_OF.items()).format(count=count)
    server.sql(_POSTGRES.format(channels=CHANNELS, count=count, tags=tags, renditions=RENDITIONS))


def fill_sqlite(path: Path, count: int) -> None:
    """Make a file with `count` pictures."""
    SqliteCatalog(path).close()
    tags = ", ".join(f"(CASE WHEN {when} THEN '{tag}' END)" for tag, when in _TAGS_OF.items()).format(count=count)
    with closing(sqlite3.connect(path)) as database:
        database.executescript(_SQLITE.format(channels=CHANNELS, count=count, tags=tags, renditions=RENDITIONS))


def pages(count: int) -> dict[str, dict[str, Any]]:
    """What a site asks for, as arguments of `Catalog.pictures`, by name: first pages, and pages far behind."""
    at = f"{2017 + count // 105_192 // 2}-01-02T00:00:00Z"  # the middle of all, at five minutes a picture
    middle = (at, CHANNELS, 1)
    asked: dict[str, dict[str, Any]] = {"all": {}, "a channel": {"channel_id": 3}}
    asked |= {f"the tag {tag}": {"tag": tag} for tag in TAGS}
    asked["a channel's pictures of a tag"] = {"channel_id": 3, "tag": "old"}
    deep = {f"{name}, from the middle": {**one, "before": middle} for name, one in asked.items()}
    return {**asked, **deep, "a hundred messages of a channel": {"channel_id": 3, "between": (101, 200)}}
