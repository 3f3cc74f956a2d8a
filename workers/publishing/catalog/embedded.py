"""The embedded catalogue in SQLite, with the same tables and columns as the hosted one.

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
from ipc.checklist import Checklist
from workers.publishing.catalog.protocol import Catalog, CatalogFault, MessageRows, Outcome, RowFault, refusal

VERSION = 1
"""`PRAGMA user_version` of the catalogue."""

_FROM_VERSION_0 = """
ALTER TABLE messages ADD COLUMN entities TEXT NOT NULL DEFAULT '[]' CHECK (json_type(entities) = 'array');
ALTER TABLE messages ADD COLUMN forwarded_from TEXT CHECK (json_type(forwarded_from) = 'object');
ALTER TABLE messages ADD COLUMN reply_to INTEGER;
"""

_PUT_CHANNEL = """
INSERT INTO channels (id, title) VALUES (:id, :title)
ON CONFLICT (id) DO UPDATE SET title = excluded.title WHERE title <> excluded.title
"""
_PUT_MESSAGE = """
INSERT INTO messages (
    channel_id, message_id, revision, grouped_id, caption, entities, forwarded_from, reply_to,
    posted_at, edited_at, deleted_at
) VALUES (
    :channel_id, :message_id, :revision, :grouped_id, :caption, :entities, :forwarded_from, :reply_to,
    :posted_at, :edited_at, :deleted_at
)
ON CONFLICT (channel_id, message_id) DO UPDATE SET
    revision = excluded.revision, grouped_id = excluded.grouped_id, caption = excluded.caption,
    entities = excluded.entities, forwarded_from = excluded.forwarded_from, reply_to = excluded.reply_to,
    posted_at = excluded.posted_at, edited_at = excluded.edited_at, deleted_at = excluded.deleted_at
WHERE excluded.revision > messages.revision
"""
_PUT_IMAGE = """
INSERT INTO images (channel_id, message_id, photo_id, sha256, mime, width, height, bytes, renditions)
VALUES (:channel_id, :message_id, :photo_id, :sha256, :mime, :width, :height, :bytes, :renditions)
ON CONFLICT (channel_id, message_id) DO UPDATE SET
    photo_id = excluded.photo_id, sha256 = excluded.sha256, mime = excluded.mime, width = excluded.width,
    height = excluded.height, bytes = excluded.bytes, renditions = excluded.renditions
"""
_DROP_IMAGE = "DELETE FROM images WHERE channel_id = :channel_id AND message_id = :message_id"
_REFERENCED = "SELECT DISTINCT sha256 FROM images WHERE sha256 IN (SELECT value FROM json_each(?))"

_NAMED = """
SELECT DISTINCT json_extract(rendition.value, '$.key') AS key FROM images, json_each(images.renditions) AS rendition
WHERE sha256 IN (SELECT value FROM json_each(?))
"""

_URLS = _NAMED.replace("'$.key') AS key", "'$.url') AS url")

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

    def write_many(self, batch: Sequence[MessageRows]) -> list[Outcome]:
        outcomes: list[Outcome] = [False] * len(batch)
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

    def probe(self) -> None:
        with self._opened() as connection, database.transaction(connection):
            pass

    def _write(self, connection: sqlite3.Connection, entry: MessageRows) -> Outcome:
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
    """Make what is not there, and bring a file of version 0 up to this one."""
    is_old = database.version_of(connection) == 0 and _has_messages(connection)
    if is_old:
        database.run_script(connection, _FROM_VERSION_0)
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
    connection.execute(_PUT_CHANNEL, entry.channel)
    if connection.execute(_PUT_MESSAGE, _message(entry.message)).rowcount == 0:
        return False
    if entry.message["deleted_at"] is not None or (entry.image is None and entry.message.get("hidden_at") is not None):
        connection.execute(_DROP_IMAGE, entry.message)
    elif entry.image is not None:
        connection.execute(_PUT_IMAGE, {**entry.image, "renditions": json.dumps(entry.image["renditions"])})
    return True


def _message(message: Mapping[str, Any]) -> dict[str, Any]:
    forwarded_from = message.get("forwarded_from")
    return {
        "reply_to": None,
        **message,
        "entities": json.dumps(message.get("entities") or []),
        "forwarded_from": None if forwarded_from is None else json.dumps(forwarded_from),
    }
