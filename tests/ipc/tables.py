"""A journal's tables, as SQL sees them: the one place where tests reach past the queries by subject.

A test asks the queries first. It looks into the tables for what these cannot say: what they must not have changed, what
the triggers keep beside them, what SQLite itself is set to. And it changes them where no query may: an older program's
rows, a damaged file, a clock that was turned.
"""

from __future__ import annotations

import sqlite3
from typing import Any

from ipc.journal import Journal


def sql(journal: Journal, statement: str, /, *values: object, **named: object) -> list[sqlite3.Row]:
    """Run one statement with its values, for `?` or by name, and give all its rows: none where it only changes."""
    return connection_of(journal).execute(statement, named or values).fetchall()


def scalar(journal: Journal, statement: str, /, *values: object) -> Any:
    """The only value of a statement's first row. Raises IndexError where there is no row."""
    return sql(journal, statement, *values)[0][0]


def connection_of(journal: Journal) -> sqlite3.Connection:
    """SQLite's own connection, for what no statement gives: a trace, a copy, a limit, a script."""
    return journal._connection
