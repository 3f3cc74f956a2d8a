"""The embedded catalogue in SQLite, with the same tables, views and columns as the hosted one.

A batch is one transaction that survives a power cut.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from ipc import database
from ipc.process.checklist import Checklist
from workers.publishing.catalog.pictures import COLUMNS, Asked, Position
from workers.publishing.catalog.protocol import Catalog, CatalogFault, MessageRows, RowFault, WriteOutcome, refusal

VERSION = 2
"""`PRAGMA user_version` of the catalogue."""

_FROM_VERSION_0 = """
ALTER TABLE messages ADD COLUMN entities TEXT NOT NULL DEFAULT '[]' CHECK (json_type(entities) = 'array');
ALTER TABLE messages ADD COLUMN forwarded_from TEXT CHECK (json_type(forwarded_from) = 'object');
ALTER TABLE messages ADD COLUMN reply_to INTEGER;
"""

_FROM_VERSION_1 = """
ALTER TABLE channels ADD COLUMN name TEXT;
ALTER TABLE messages ADD COLUMN hidden_at TEXT;
ALTER TABLE messages ADD COLUMN alt TEXT;
ALTER TABLE messages ADD COLUMN tags TEXT CHECK (json_type(tags) = 'array');
ALTER TABLE messages ADD COLUMN is_cover INTEGER NOT NULL DEFAULT 0;
ALTER TABLE messages ADD COLUMN caption_html TEXT;
ALTER TABLE messages ADD COLUMN caption_shown TEXT;
ALTER TABLE images ADD COLUMN kind TEXT CHECK (kind IN ('photo', 'animation', 'video'));
ALTER TABLE images ADD COLUMN preview TEXT CHECK (json_type(preview) = 'object');
ALTER TABLE images ADD COLUMN thumbhash TEXT;
ALTER TABLE images ADD COLUMN color TEXT;
ALTER TABLE images ADD COLUMN phash INTEGER;
ALTER TABLE images ADD COLUMN has_alpha INTEGER;
ALTER TABLE images ADD COLUMN animated INTEGER;
ALTER TABLE images ADD COLUMN alt TEXT;
"""

_PUT_CHANNEL = """
INSERT INTO channels (id, title, name) VALUES (:id, :title, :name)
ON CONFLICT (id) DO UPDATE SET title = excluded.title, name = CASE WHEN :has_name THEN excluded.name ELSE name END
WHERE title <> excluded.title OR (:has_name AND name IS NOT excluded.name)
"""


def _upsert(table: str, columns: str, where: str = "") -> str:
    """Put the row with these columns into the table, in place of one that is there."""
    names = columns.split()
    values = ", ".join(f":{name}" for name in names)
    changes = ", ".join(f"{name} = excluded.{name}" for name in names if name not in ("channel_id", "message_id"))
    return (
        f"INSERT INTO {table} ({', '.join(names)}) VALUES ({values})"
        f" ON CONFLICT (channel_id, message_id) DO UPDATE SET {changes} {where}"
    )


_NEW_OF_MESSAGE = ("reply_to", "hidden_at", "alt", "tags", "is_cover", "caption_html", "caption_shown")
_NEW_OF_IMAGE = ("kind", "preview", "thumbhash", "color", "phash", "has_alpha", "animated", "alt")
"""Columns that the first versions did not have: they may be left out."""

_PUT_MESSAGE = _upsert(
    "messages",
    "channel_id message_id revision grouped_id caption entities forwarded_from posted_at edited_at deleted_at "
    + " ".join(_NEW_OF_MESSAGE),
    "WHERE excluded.revision > messages.revision",
)
_PUT_IMAGE = _upsert(
    "images",
    "channel_id message_id photo_id sha256 mime width height bytes renditions " + " ".join(_NEW_OF_IMAGE),
)
_DROP_TAGS = "DELETE FROM message_tags WHERE channel_id = :channel_id AND message_id = :message_id"
_PUT_TAGS = """
INSERT OR IGNORE INTO message_tags (channel_id, message_id, tag, posted_at)
SELECT :channel_id, :message_id, value, :posted_at FROM json_each(:tags)
"""
_DROP_IMAGE = "DELETE FROM images WHERE channel_id = :channel_id AND message_id = :message_id"
_REFERENCED = "SELECT DISTINCT sha256 FROM images WHERE sha256 IN (SELECT value FROM json_each(?))"

_NAMED = """
WITH asked AS (SELECT renditions, preview FROM images WHERE sha256 IN (SELECT value FROM json_each(?)))
SELECT json_extract(one.value, '$.key') AS key FROM asked, json_each(renditions) AS one
UNION
SELECT json_extract(preview, '$.key') FROM asked WHERE preview IS NOT NULL
"""

_URLS = _NAMED.replace("'$.key'", "'$.url'").replace("AS key", "AS url")

_ROW_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    OverflowError,  # an integer of more than 64 bits
)


class SqliteCatalog(Catalog):
    """The catalogue in the file at `path`, made if it is not there.

    A file that cannot be opened now is a passing fault as well: it is opened again at every batch until it can be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        with suppress(sqlite3.Error, database.NewerVersion):
            self._connection = self._connect()

    def write_many(self, batch: Sequence[MessageRows]) -> list[WriteOutcome]:
        outcomes: list[WriteOutcome] = [False] * len(batch)
        reasons = [refusal(entry) for entry in batch]
        # The last title of a channel is the one that stays, in whatever order its messages are written.
        channels = {e.channel["id"]: e.channel for e, reason in zip(batch, reasons, strict=True) if reason is None}
        with self._opened() as connection, database.transaction(connection):
            for place in _newest_first(batch):
                if (reason := reasons[place]) is not None:
                    outcomes[place] = self._row_fault(reason)
                    continue
                entry = batch[place]
                outcomes[place] = self._write(connection, replace(entry, channel=channels[entry.channel["id"]]))
        return outcomes

    def referenced(self, sha256s: Iterable[str]) -> set[str]:
        with self._opened() as connection:
            return {row["sha256"] for row in connection.execute(_REFERENCED, [json.dumps(list(sha256s))])}

    def named(self, sha256s: Iterable[str]) -> set[str]:
        with self._opened() as connection:
            return {row["key"] for row in connection.execute(_NAMED, [json.dumps(list(sha256s))])}

    def urls(self, sha256s: Iterable[str]) -> set[str]:
        with self._opened() as connection:
            return {row["url"] for row in connection.execute(_URLS, [json.dumps(list(sha256s))])}

    def pictures(
        self,
        *,
        channel_id: int | None = None,
        tag: str | None = None,
        before: Position | None = None,
        between: tuple[int, int] | None = None,
        message: int | None = None,
        most: int,
    ) -> list[dict[str, Any]]:
        asked = Asked(channel_id, tag, before, between, message, most)
        query, values = _query(asked)
        with self._opened() as connection:
            return [_picture(row) for row in connection.execute(query, values)]

    def probe(self) -> None:
        with self._opened() as connection, database.transaction(connection):
            pass

    def _write(self, connection: sqlite3.Connection, entry: MessageRows) -> WriteOutcome:
        """Write one entry; if it is refused, nothing of it stays behind."""
        connection.execute("SAVEPOINT entry")
        try:
            return _write(connection, entry)
        except _ROW_ERRORS as error:
            connection.execute("ROLLBACK TO entry")
            return self._row_fault(error)
        finally:
            if connection.in_transaction:
                connection.execute("RELEASE entry")

    def _row_fault(self, reason: object) -> RowFault:
        return RowFault(f"{self._path}: the row is refused: {reason}")

    @contextmanager
    def _opened(self) -> Iterator[sqlite3.Connection]:
        """The connection, opened anew if need be. Its errors become CatalogFaults."""
        try:
            if self._connection is not None and not self._is_in_place():
                self.close()
            connection = self._connection = self._connection or self._connect()
            yield connection
        except sqlite3.Error as error:
            self.close()
            raise CatalogFault(f"{self._path}: {error}. Check the disk and the file's owner") from error
        except database.NewerVersion as newer:
            raise CatalogFault(
                f"{self._path}: {newer}. Run the program that wrote it, or a newer one",
                fatal=True,
                remedy="Run the program that wrote it, or a newer one",
            ) from newer

    def _is_in_place(self) -> bool:
        """Whether the file that was opened is still the one at the path: rows in a deleted file would be lost."""
        try:
            found = self._path.stat()
        except OSError:
            return False
        return (found.st_dev, found.st_ino) == self._identity

    def _connect(self) -> sqlite3.Connection:
        connection = database.connect(self._path, durable=True, newest=VERSION)
        with database.closed_on_error(connection), database.transaction(connection):
            _prepare(connection)
        opened = self._path.stat()
        self._identity = (opened.st_dev, opened.st_ino)
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def check(path: Path, tried: Checklist) -> None:
    """Try the catalogue in that file, which need not be there yet; nothing is written."""
    if not path.exists():
        tried.ok(f"catalog: {path} is not there yet: it will be made")
        return
    try:
        connection = database.connect_to_read(path, newest=VERSION)
    except sqlite3.Error as error:
        tried.fail(f"catalog: {path}: {error}. Check the disk and the file's owner")
        return
    except database.NewerVersion as newer:
        tried.fail(f"catalog: {path}: {newer}. Run the program that wrote it, or a newer one")
        return
    version = database.version_of(connection)
    connection.close()
    tried.ok(f"catalog: {path}: schema version {version}" + ("" if version == VERSION else f", will be {VERSION}"))


def _prepare(connection: sqlite3.Connection) -> None:
    """Make what is not there, and bring a file of an earlier version up to this one."""
    if _has_messages(connection):
        version = database.version_of(connection)
        for number, script in enumerate((_FROM_VERSION_0, _FROM_VERSION_1)):
            if version <= number:
                database.run_script(connection, script)
    database.run_script(connection, Path(__file__).with_name("embedded.sql").read_text(encoding="utf-8"))
    connection.execute(f"PRAGMA user_version = {VERSION}")


def _has_messages(connection: sqlite3.Connection) -> bool:
    return connection.execute("SELECT 1 FROM sqlite_schema WHERE name = 'messages'").fetchone() is not None


def _newest_first(batch: Sequence[MessageRows]) -> list[int]:
    """The places of the batch with the highest revisions first: then the others of a message find theirs outdated."""

    def revision(place: int) -> int:
        found = batch[place].message.get("revision")
        return found if isinstance(found, int) else 0  # anything else is refused in its turn

    return sorted(range(len(batch)), key=revision, reverse=True)


def _write(connection: sqlite3.Connection, entry: MessageRows) -> bool:
    channel = {"name": None, **entry.channel, "has_name": "name" in entry.channel}
    connection.execute(_PUT_CHANNEL, channel)
    message = _message(entry.message)
    if connection.execute(_PUT_MESSAGE, message).rowcount == 0:
        return False
    connection.execute(_DROP_TAGS, message)
    if message["deleted_at"] is not None or message["hidden_at"] is not None:
        connection.execute(_DROP_IMAGE, message)
        return True
    if message["tags"] is not None:
        connection.execute(_PUT_TAGS, message)
    if entry.image is not None:
        connection.execute(_PUT_IMAGE, _image(entry.image))
    return True


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **dict.fromkeys(_NEW_OF_MESSAGE),
        **message,
        "entities": json.dumps(message.get("entities") or []),
        "forwarded_from": _json(message.get("forwarded_from")),
        "tags": _json(message.get("tags")),
        "is_cover": message.get("is_cover") or False,
        "deleted_at": message["deleted_at"] if message.get("hidden_at") is None else None,
    }


def _image(image: Mapping[str, Any]) -> dict[str, Any]:
    return {
        **dict.fromkeys(_NEW_OF_IMAGE),
        **image,
        "renditions": json.dumps(image["renditions"]),
        "preview": _json(image.get("preview")),
    }


def _json(value: Any) -> str | None:
    return None if value is None else json.dumps(value)


def _query(asked: Asked) -> tuple[str, dict[str, Any]]:
    """The statement for these pictures, and its values. Each form is read from an index that begins with it."""
    conditions = {
        "channel_id = :channel_id": asked.channel_id,
        "tag = :tag": asked.tag,
        "(posted_at, channel_id, message_id) < (:before_at, :before_channel, :before_message)": asked.before,
        "message_id BETWEEN :low AND :high": asked.between,
        "message_id = :message": asked.message,
    }
    where = " AND ".join(condition for condition, value in conditions.items() if value is not None)
    order = "message_id" if asked.between else "posted_at DESC, channel_id DESC, message_id DESC"
    query = (
        f"SELECT {', '.join(COLUMNS)} FROM {asked.view} {f'WHERE {where}' if where else ''}"
        f" ORDER BY {order} LIMIT :most"
    )
    at, channel, number = asked.before or (None, None, None)
    low, high = asked.between or (None, None)
    return query, {
        **{"channel_id": asked.channel_id, "tag": asked.tag, "message": asked.message, "most": asked.most},
        **{"before_at": at, "before_channel": channel, "before_message": number, "low": low, "high": high},
    }


def _picture(row: sqlite3.Row) -> dict[str, Any]:
    picture = dict(row)
    picture["tags"] = None if picture["tags"] is None else json.loads(picture["tags"])
    for name in ("has_alpha", "animated"):
        picture[name] = None if picture[name] is None else bool(picture[name])
    return picture
