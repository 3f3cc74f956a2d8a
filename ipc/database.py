"""SQLite as this program uses it: write-ahead log, explicit transactions, a version, writers that wait for their turn.

One connection a thread, opened by the process that uses it. All are made here; the other homes of sqlite3, which use
them and catch its errors, are `ipc.journal` and `workers.publishing.catalog.embedded`.
"""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from ipc import private_files

BUSY_SECONDS = 30.0
"""How long a writer waits for its turn. Turns take well under a millisecond; a slow disk may stretch them."""


Error = sqlite3.Error
"""What everything here raises, for modules that don't import sqlite3."""

_DISK = (sqlite3.SQLITE_FULL, sqlite3.SQLITE_IOERR, sqlite3.SQLITE_READONLY, sqlite3.SQLITE_CANTOPEN)
_DAMAGED = (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)
_VALUE = (sqlite3.SQLITE_CONSTRAINT, sqlite3.SQLITE_MISMATCH, sqlite3.SQLITE_TOOBIG)


class NewerVersion(Exception):
    """The file was written by a newer program; `version` is its version. It has been left as it is."""

    def __init__(self, version: int) -> None:
        super().__init__(f"of version {version}")
        self.version = version


def connect(path: Path, *, durable: bool, newest: int) -> sqlite3.Connection:
    """Open the database at `path` for writing, making it if there is none. Raises sqlite3.Error and NewerVersion.

    `durable` waits for the disk at every commit. Otherwise a power cut may take the last commits, never the rest.
    `newest` is the highest version that the caller understands.
    """
    _make_private(path)
    database = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    with closed_on_error(database):
        _refuse_newer(database, newest)  # first of all: a file that is not ours to use stays as it is
        _use_wal(database)
        database.execute(f"PRAGMA synchronous = {'FULL' if durable else 'NORMAL'}")
        database.execute("PRAGMA foreign_keys = ON")
        database.row_factory = sqlite3.Row
    return database


def _make_private(path: Path) -> None:
    """Make the file, its owner's alone, if it is not there: SQLite would let all users read it. Its -wal and -shm get
    the same mode. Any other trouble SQLite reports in its own words.
    """
    _ask(private_files.create_file, path)


def _ask(step: Callable[[Path], None], path: Path) -> None:
    """Run the step; a link or a FIFO is refused as SQLite refuses a file."""
    try:
        step(path)
    except private_files.IsLink as link:
        error = sqlite3.OperationalError(str(link))
        error.sqlite_errorcode = sqlite3.SQLITE_CANTOPEN
        raise error from link
    except OSError:
        pass


def connect_to_read(path: Path, *, newest: int) -> sqlite3.Connection:
    """Open an existing database for reading only. Raises as `connect` does."""
    _ask(private_files.refuse_link, path)
    address = f"{path.absolute().as_uri()}?mode=ro"
    database = sqlite3.connect(address, uri=True, timeout=1.0, isolation_level=None, check_same_thread=False)
    with closed_on_error(database):
        _refuse_newer(database, newest)
        database.row_factory = sqlite3.Row
    return database


def _refuse_newer(database: sqlite3.Connection, newest: int) -> None:
    version = version_of(database)
    if version > newest:
        raise NewerVersion(version)


@contextmanager
def transaction(database: sqlite3.Connection) -> Iterator[None]:
    """One write transaction. Keep it short: every other writer waits for it."""
    database.execute("BEGIN IMMEDIATE")
    try:
        yield
        database.execute("COMMIT")
    except BaseException:
        if database.in_transaction:  # SQLite itself ends it on some errors, a full disk for one
            database.execute("ROLLBACK")
        raise


@contextmanager
def closed_on_error(database: sqlite3.Connection) -> Iterator[None]:
    """Close the connection if what is done with it fails."""
    try:
        yield
    except BaseException:
        database.close()
        raise


def says_disk(error: BaseException) -> bool:
    """Whether SQLite says that the disk is full, read-only or failing, of a file that was written before."""
    return _code_of(error) in _DISK


def says_damaged(error: BaseException) -> bool:
    """Whether SQLite says that the file is damaged, or no database."""
    return _code_of(error) in _DAMAGED


def refuses_a_value(error: BaseException) -> bool:
    """Whether SQLite refuses the value that was to be written, or it is of no kind that goes into a database: another
    row may be accepted.
    """
    is_of_no_kind = isinstance(error, sqlite3.ProgrammingError) and str(error).startswith("Error binding parameter")
    return is_of_no_kind or _code_of(error) in _VALUE


def _code_of(error: BaseException) -> int:
    """SQLite's primary result code; 0 for an error of something else."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF if isinstance(error, sqlite3.Error) else 0


def version_of(database: sqlite3.Connection) -> int:
    """The version that the file's maker gave it; 0 for a new file."""
    version: int = database.execute("PRAGMA user_version").fetchone()[0]
    return version


def run_script(database: sqlite3.Connection, script: str) -> None:
    """Run the statements of an SQL script within the transaction that is open (executescript() would commit it)."""
    statement = ""
    for line in script.splitlines(keepends=True):
        statement += line
        if sqlite3.complete_statement(statement):
            database.execute(statement)
            statement = ""


def _use_wal(database: sqlite3.Connection) -> None:
    """Set the journal mode. SQLite does not wait for that: of several processes that do it to a new file, some fail."""
    until = time.monotonic() + BUSY_SECONDS
    while True:
        try:
            database.execute("PRAGMA journal_mode = WAL")
            return
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_BUSY or time.monotonic() > until:
                raise
        time.sleep(0.01)
