"""Where rows go. Here: an embedded catalogue in SQLite, with the same tables and columns as the hosted one.

A catalogue's promise: rows of one job are written in one transaction that survives a power cut, and only a higher
revision replaces what is there. So a repeated or a late write changes nothing.
"""

from __future__ import annotations

import json
import sqlite3
from contextlib import suppress
from pathlib import Path
from typing import Any, Protocol

from ipc import database

VERSION = 0
"""`PRAGMA user_version` of the catalogue."""


class CatalogFault(Exception):
    """The catalogue itself fails (full, locked, gone): no fault of the row. It counts for the breaker."""


class RowFault(Exception):
    """The catalogue refuses this row: the row's own fault."""


class Catalog(Protocol):
    """Rows by (channel, message)."""

    def write(self, channel: dict[str, Any], message: dict[str, Any], image: dict[str, Any]) -> bool:
        """Write one job's rows; False if the same or a newer revision is there already.

        Raises CatalogFault if the catalogue fails, RowFault if it refuses the row.
        """


_PUT_CHANNEL = """
INSERT INTO channels (id, title) VALUES (:id, :title)
ON CONFLICT (id) DO UPDATE SET title = excluded.title WHERE title <> excluded.title
"""
_PUT_MESSAGE = """
INSERT INTO messages (channel_id, message_id, revision, grouped_id, caption, posted_at, edited_at, deleted_at)
VALUES (:channel_id, :message_id, :revision, :grouped_id, :caption, :posted_at, :edited_at, :deleted_at)
ON CONFLICT (channel_id, message_id) DO UPDATE SET
    revision = excluded.revision, grouped_id = excluded.grouped_id, caption = excluded.caption,
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


_ROW_ERRORS = (
    sqlite3.IntegrityError,
    sqlite3.DataError,
    sqlite3.ProgrammingError,
    UnicodeError,  # text that is no UTF-8
    OverflowError,  # an integer of more than 64 bits
)


class SqliteCatalog:
    """The catalogue in the file at `path`, made if it is not there.

    A file that cannot be opened now is a passing fault as well: it is opened again at every row until it can be.
    """

    def __init__(self, path: Path) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._identity = (0, 0)
        with suppress(sqlite3.Error, database.NewerVersion):
            self._connection = self._connect()

    def write(self, channel: dict[str, Any], message: dict[str, Any], image: dict[str, Any]) -> bool:
        try:
            if self._connection is not None and not self._is_in_place():
                self.close()
            connection = self._connection = self._connection or self._connect()
            with database.transaction(connection):
                return _write(connection, channel, message, image)
        except _ROW_ERRORS as error:
            raise RowFault(f"{self._path}: the row is refused: {error}") from error
        except sqlite3.Error as error:
            self.close()
            raise CatalogFault(f"{self._path}: {error}. Check the disk and the file's owner") from error
        except database.NewerVersion as newer:
            raise CatalogFault(f"{self._path}: {newer}. Run the program that wrote it, or a newer one") from newer

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
            database.run_script(connection, Path(__file__).with_name("catalog.sql").read_text(encoding="utf-8"))
        opened = self._path.stat()
        self._identity = (opened.st_dev, opened.st_ino)
        return connection

    def close(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None


def _write(
    connection: sqlite3.Connection, channel: dict[str, Any], message: dict[str, Any], image: dict[str, Any]
) -> bool:
    connection.execute(_PUT_CHANNEL, channel)
    if connection.execute(_PUT_MESSAGE, message).rowcount == 0:
        return False
    connection.execute(_PUT_IMAGE, {**image, "renditions": json.dumps(image["renditions"])})
    return True
