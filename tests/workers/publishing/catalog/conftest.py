"""Fixtures for the tests of the catalogues: one Supabase-like stack for all of them, emptied before each test."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.servers.faults import FaultProxy
from tests.servers.rows import RowServer
from workers.publishing.catalog import Catalog, SqliteCatalog
from workers.publishing.catalog.supabase import SupabaseCatalog
from workers.publishing.catalog.supabase.queues import Queues

IMPATIENT = httpx.Timeout(20.0, connect=2.0)
"""Tests that wait for a time-out set their own."""

MakeSupabase = Callable[..., SupabaseCatalog]
MakeQueues = Callable[..., Queues]


class Shelf:
    """A catalogue's rows, as they are: the same shape whichever it is. `another` opens the same catalogue again.

    `forbid` has a trigger of the operator's refuse messages with that caption, `execute` is whoever has its SQL.
    """

    def __init__(
        self,
        another: Callable[[], Catalog],
        select: Callable[[str], list[dict[str, Any]]],
        forbid: Callable[[str], None],
        execute: Callable[[str], object],
    ) -> None:
        self.another = another
        self._select = select
        self.forbid = forbid
        self.execute = execute

    def rows(self, table: str) -> list[dict[str, Any]]:
        found = self._select(f"SELECT * FROM {table} ORDER BY 1" + (", 2" if table != "channels" else ""))
        return [{name: _plain(name, value) for name, value in row.items()} for row in found]

    def revisions(self) -> list[tuple[int, int]]:
        """(revision of the message, that of its image) of every message, each with its image."""
        pairs = zip(self.rows("messages"), self.rows("images"), strict=True)
        return [(one["revision"], other["bytes"]) for one, other in pairs]


def _plain(name: str, value: Any) -> Any:
    if isinstance(value, datetime):
        return value.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if name in ("entities", "forwarded_from", "renditions", "tags", "preview") and isinstance(value, str):
        return json.loads(value)
    if name in ("is_cover", "has_alpha", "animated") and value is not None:
        return bool(value)
    return value


@pytest.fixture
def server(row_server: RowServer) -> RowServer:
    """The stack, with the schema and no rows."""
    row_server.empty()
    return row_server


@pytest.fixture
def bare_server(server: RowServer) -> Iterator[RowServer]:
    """The stack without a schema; the tests after this one find it as they expect it."""
    server.drop_schema()
    yield server
    server.renew_schema()


@pytest.fixture
def proxy(server: RowServer) -> Iterator[FaultProxy]:
    """A fault proxy in front of the stack; it passes everything on until it is told otherwise."""
    with FaultProxy(server.port) as proxy:
        yield proxy


@pytest.fixture
def make_supabase(server: RowServer) -> Iterator[MakeSupabase]:
    """Makes catalogues on the stack: by default with its own address and a key of the old kind."""
    made: list[SupabaseCatalog] = []

    def make(url: str = "", key: str = "", timeout: httpx.Timeout = IMPATIENT) -> SupabaseCatalog:
        made.append(SupabaseCatalog(url or server.url, key or server.keys.service_role, timeout))
        return made[-1]

    yield make
    for catalog in made:
        catalog.close()


@pytest.fixture
def queue_stack(queue_server: RowServer) -> RowServer:
    """The stack with the queues, and nothing in it."""
    queue_server.empty()
    queue_server.empty_queues()
    return queue_server


@pytest.fixture
def make_queues(queue_server: RowServer) -> Iterator[MakeQueues]:
    """Makes clients of the queues: by default as an origin."""
    made: list[Queues] = []

    def make(key: str = "", url: str = "") -> Queues:
        made.append(Queues(url or queue_server.url, key or queue_server.keys.service_role, IMPATIENT))
        return made[-1]

    yield make
    for queues in made:
        queues.close()


@pytest.fixture
def queues(make_queues: MakeQueues) -> Queues:
    return make_queues()


@pytest.fixture(params=["sqlite", "supabase"])
def shelf(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shelf]:
    """Each of the catalogues, empty."""
    made: list[SqliteCatalog] = []
    path = tmp_path / "catalog.db"

    def another() -> Catalog:
        made.append(SqliteCatalog(path))
        return made[-1]

    if request.param == "sqlite":
        yield Shelf(another, partial(select, path), partial(forbid_in_sqlite, path), partial(execute_in_sqlite, path))
    else:
        server: RowServer = request.getfixturevalue("server")
        make = request.getfixturevalue("make_supabase")
        yield Shelf(make, server.sql, partial(forbid_in_postgres, server), server.sql)
        server.sql("drop function if exists public.choosy() cascade")
    for catalog in made:
        catalog.close()


@pytest.fixture
def catalog(shelf: Shelf) -> Catalog:
    return shelf.another()


def select(path: Path, query: str) -> list[dict[str, Any]]:
    with closing(sqlite3.connect(path)) as database:
        database.row_factory = sqlite3.Row
        return [dict(row) for row in database.execute(query)]


def execute_in_sqlite(path: Path, statement: str) -> None:
    with closing(sqlite3.connect(path)) as database, database:
        database.execute(statement)


def forbid_in_sqlite(path: Path, caption: str) -> None:
    execute_in_sqlite(
        path,
        f"CREATE TRIGGER choosy BEFORE INSERT ON messages WHEN NEW.caption = '{caption}'"
        " BEGIN SELECT RAISE(ABORT, 'not this one'); END",
    )


def forbid_in_postgres(server: RowServer, caption: str) -> None:
    server.sql(
        "create or replace function public.choosy() returns trigger language plpgsql as"
        f" $$ begin if new.caption = '{caption}' then raise exception 'not this one'; end if; return new; end $$"
    )
    server.sql("create trigger choosy before insert on public.messages for each row execute function public.choosy()")
