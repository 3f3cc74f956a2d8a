"""The journal: every job's state, in SQLite, shared by all processes. The only truth of the program.

This module opens the file and runs statements. What they are for is in the modules beside it, by subject, as functions
of a journal: `transitions` (the state machine: every change of a job), `queue` (which job is next), `lookup` (what is
known of a message), `figures` (what /status shows), `statistics`, `life` (a job's last steps), `pictures` (by digest),
`renewals` (what is rendered anew), `addresses`, `peers`, `leases`, `breakers`; in `outputs` what follows from the rows,
in `machines` what is on its way between machines.
The statements are in `queries.sql`, the tables in `schema.sql`, the way from older versions in `migrations.sql`.

Rules: BEGIN IMMEDIATE for every write, no I/O inside a transaction, a transaction that is open is joined, one
connection a thread, opened by the process that uses it. `ipc.database` opens the file; the homes of sqlite3 are these
two and `workers.publishing.catalog.embedded`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from random import random
from typing import Any

from ipc import database

VERSION = 8
"""`PRAGMA user_version` of a journal that this program understands."""

_FOLDER = Path(__file__).parent


class JournalError(Exception):
    """The journal cannot be used: which file, why, and what to do."""


class UnfitJournal(JournalError):
    """The file is no journal, a damaged one, or one of a newer version: trying again cannot help."""


class OlderJournal(JournalError):
    """The file is of an older version. Opening it for writing brings it up to date."""


def _load(file: str, mark: str) -> dict[str, str]:
    """SQL by name, from the file's blocks, which begin with the mark and the name."""
    blocks = (_FOLDER / file).read_text(encoding="utf-8").split(mark)[1:]
    return {block.split("\n", 1)[0].strip(): block.split("\n", 1)[1] for block in blocks}


QUERIES = _load("queries.sql", "-- name: ")
MIGRATIONS = {int(version): script for version, script in _load("migrations.sql", "-- version: ").items()}


class Journal:
    """An open journal. `clock` gives Unix seconds, `random` gives [0, 1): tests set their own."""

    def __init__(
        self,
        connection: sqlite3.Connection,
        clock: Callable[[], float] = time.time,
        random: Callable[[], float] = random,
    ) -> None:
        self._connection = connection
        self.clock = clock
        self.random = random
        self._is_writing = False

    @classmethod
    def open(cls, path: Path, *, durable: bool = False, **sources: Any) -> Journal:
        """Open the journal at `path`; a missing one is made, an older one is migrated.

        `durable` waits for the disk at every commit: for a process that destroys something (a spool file) on the
        strength of what it has just recorded. `sources` are `clock` and `random`. Raises JournalError if the file is
        not a journal, is damaged so that it shows at once (`check` reads all of it), or is of a version that this
        program does not know.
        """
        try:
            connection = database.connect(path, durable=durable, newest=VERSION)
            journal = cls(connection, **sources)
            with database.closed_on_error(connection):
                journal._migrate()
        except database.NewerVersion as newer:
            raise _of_newer(path, newer) from newer
        except sqlite3.Error as error:
            is_unfit = error.sqlite_errorcode & 0xFF in (sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_CORRUPT)
            raise (UnfitJournal if is_unfit else JournalError)(
                f"{path}: cannot be opened as the journal: {error}. Check the disk and the folder's owner; if the file"
                " is damaged, move it aside and restore a copy, or start anew: what is published stays published"
            ) from error
        return journal

    @classmethod
    def open_to_read(cls, path: Path) -> Journal:
        """Open an existing journal for reading only.

        Raises JournalError if there is none, or as `open` does; OlderJournal if it has not been migrated yet.
        """
        try:
            connection = database.connect_to_read(path, newest=VERSION)
            with database.closed_on_error(connection):
                connection.execute("SELECT 1 FROM states")
                found = database.version_of(connection)
        except database.NewerVersion as newer:
            raise _of_newer(path, newer) from newer
        except sqlite3.Error as error:
            raise JournalError(f"{path}: cannot be read as the journal: {error}") from error
        if found < VERSION:
            connection.close()
            raise OlderJournal(
                f"{path}: the journal is of version {found}, older than this program's {VERSION}."
                " It is brought up to date when the program is started"
            )
        return cls(connection)

    def _migrate(self) -> None:
        """Make the tables, or bring those of an older version up to this one, unless another process was first."""
        with self.transaction():
            found = database.version_of(self._connection)
            if found == VERSION:
                return
            if found == 0:
                database.run_script(self._connection, (_FOLDER / "schema.sql").read_text(encoding="utf-8"))
            else:
                for version in range(found + 1, VERSION + 1):
                    database.run_script(self._connection, MIGRATIONS[version])
            self._connection.execute(f"PRAGMA user_version = {VERSION}")

    def close(self) -> None:
        self._connection.close()

    def machine_id(self) -> str:
        """What this machine is called among others: 12 hex digits, drawn when the journal was made."""
        return str(self.run("machine").fetchone()["id"])

    def check(self) -> list[str]:
        """What SQLite's own quick check finds wrong; empty when the file is sound."""
        try:
            found = [row[0] for row in self._connection.execute("PRAGMA quick_check")]
        except sqlite3.DatabaseError as error:  # some damage stops the check itself
            return [str(error)]
        return [] if found == ["ok"] else found

    def try_to_write(self) -> None:
        """Write something that changes nothing, to the disk. Raises `database.Error` if that cannot be done."""
        with self.transaction():
            self.run("add_total", name="processed", by=0)

    @contextmanager
    def transaction(self) -> Iterator[None]:
        """One write transaction, or a part of the one that its caller has begun. Keep it short: other writers wait.

        An error in a part is for the whole: it must not be caught in between, since nothing of the part is undone.
        """
        if self._is_writing:
            yield
            return
        with database.transaction(self._connection):
            self._is_writing = True
            try:
                yield
            finally:
                self._is_writing = False

    @contextmanager
    def reading(self) -> Iterator[None]:
        """Several figures of one moment. Raises JournalError if the file cannot be read."""
        try:
            self._connection.execute("BEGIN")
            try:
                yield
            finally:
                self._connection.execute("COMMIT")
        except sqlite3.Error as error:
            raise JournalError(f"the journal cannot be read: {error}") from error

    def run(self, query: str, /, **values: Any) -> sqlite3.Cursor:
        """Run the statement of that name from `queries.sql`."""
        return self._connection.execute(QUERIES[query], values)


def _of_newer(path: Path, newer: database.NewerVersion) -> UnfitJournal:
    return UnfitJournal(
        f"{path}: the journal is of version {newer.version}, this program understands {VERSION}."
        " Run the program that wrote it, or a newer one"
    )
