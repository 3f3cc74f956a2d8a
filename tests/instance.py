"""A real instance of the program for tests: started, asked, killed and stopped as a user would, on a state_dir of its
own. Nothing of it outlives the test."""

from __future__ import annotations

import io
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import chdir, closing, contextmanager, redirect_stderr, redirect_stdout, suppress
from pathlib import Path
from typing import Any, TypeVar
from unittest import mock

import psutil
from PIL import Image

from ipc.files.spool import WORKPLACES
from ipc.jobs import PREVIEW_SIZE
from supervisor import cli
from tests.pictures import message, write_result
from tests.servers.lasting import LASTING
from workers.stripping import strip

HOME = Path(__file__).resolve().parent.parent
T = TypeVar("T")

DEADLINE_SECONDS = 90.0
"""For everything that is waited for. Generous, because test machines are shared: no test asserts a speed."""

SHORTEST_PAUSE_SECONDS, LONG_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 0.02, 0.1, 0.4
"""Between two looks at what is waited for: at first, within a second, after ten."""

PROCESSES = {"root", "health", "uploader", "pool", "image-1", "connection"}
"""Of a tree with one image worker, as most tests have it: each process that is started takes its time."""

ANSWER_SECONDS = 30.0
"""For an answer of /status on a machine that is busy."""

TOLD_PROBLEMS = set[str]()
"""The ids of the problems that instances have told of since the test began: what `reaches` is held against."""

CONFIG = """
state_dir = "state"
[export]
path = {export}
[pool]
workers = {workers}
[retry]
base_seconds = 0.2
[supervisor]
restart_delay_seconds = 0.5
max_restarts = 1000
[health]
port = 0
[site]
enabled = false
[feeds]
enabled = false
[log]
level = "debug"
format = "json"
{more}
"""


def wait_for(what: str, look: Callable[[], T | None], seconds: float = DEADLINE_SECONDS) -> T:
    """What `look` gives as soon as it is not None or False; fails the test after `seconds`.

    It is looked at less often the longer it takes: an answer of /status costs 3 ms of a processor, which the tests that
    run beside this one could do with.
    """
    began, pause = time.monotonic(), SHORTEST_PAUSE_SECONDS
    while (waited := time.monotonic() - began) < seconds:
        found = look()
        if found:
            return found
        time.sleep(pause)
        pause = min(1.3 * pause, max(LONG_PAUSE_SECONDS, waited / 25), LONGEST_PAUSE_SECONDS)
    raise AssertionError(f"waited {seconds:.0f} s in vain for {what}")


class Instance:
    """One state_dir in `folder`, and the tree that runs on it, if it does."""

    def __init__(self, folder: Path, export: Path, more: str = "", *, workers: int = 1) -> None:
        self.folder = folder
        self.processes = PROCESSES | {f"image-{number}" for number in range(1, workers + 1)}
        self.state_dir = folder / "state"
        self.config = folder / "config.toml"
        folder.mkdir(exist_ok=True)
        self.config.write_text(CONFIG.format(export=json.dumps(str(export)), workers=workers, more=more))
        self.log = folder / "log"
        self.root: subprocess.Popen[bytes] | None = None
        self.program = [sys.executable, "-P", "-m", "supervisor"]
        self.through: list[str] = []  # a command that ends by executing the one that follows it
        self._sessions: list[int] = []

    # Running

    def start(self, **environment: str) -> None:
        """Start the tree in a session of its own, so that whatever it leaves behind can be found."""
        with self.log.open("ab") as log:
            self.root = subprocess.Popen(
                [*self.through, *self.program, "start", "--config", str(self.config)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(**environment),
                cwd=self.folder,
                start_new_session=True,
            )
        self._sessions.append(self.root.pid)

    def environment(self, **more: str) -> dict[str, str]:
        ours = {name: value for name, value in os.environ.items() if not name.startswith("PICTUREDESK")}
        return {**ours, "PYTHONPATH": str(HOME), **more}

    def command(self, *words: str) -> subprocess.CompletedProcess[str]:
        """Run one of the program's commands to its end."""
        return subprocess.run(
            [*self.through, *self.program, *words, "--config", str(self.config)],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            env=self.environment(),
            cwd=self.folder,
            timeout=DEADLINE_SECONDS,
            check=False,
        )

    def answer(self, *words: str, lines: str = "") -> subprocess.CompletedProcess[str]:
        """As `command` with these lines as its input, but in this process, which has imported it all: for tests of what
        is said.
        """
        out, err = io.StringIO(), io.StringIO()
        with (
            mock.patch.dict(os.environ, self.environment(), clear=True),
            mock.patch("sys.stdin", io.StringIO(lines)),
            chdir(self.folder),
            redirect_stdout(out),
            redirect_stderr(err),
        ):
            code = _code_of([*words, "--config", str(self.config)])
        return subprocess.CompletedProcess(words, code, out.getvalue(), err.getvalue())

    def kill(self) -> None:
        """kill -9 the root."""
        assert self.root is not None
        self.root.kill()
        self.root.wait()

    def stop(self) -> int:
        """Ask the tree to stop; its exit code."""
        assert self.root is not None
        self.root.terminate()
        return self.wait()

    def wait(self) -> int:
        """Wait for the root's end; its exit code."""
        assert self.root is not None
        return self.root.wait(timeout=DEADLINE_SECONDS)

    def wait_until_gone(self) -> None:
        """Wait until no process of the tree is left."""
        wait_for("every process to be gone", lambda: not self.left_over())

    def strike(self, name: str, number: signal.Signals = signal.SIGKILL) -> int:
        """Send a signal to the process of that name, as soon as there is one; its process id.

        /status may be a moment old, and name a process that has just ended.
        """

        def hit() -> int | None:
            pid = self.pids().get(name)
            if pid is None:
                return None
            try:
                os.kill(pid, number)
            except ProcessLookupError:
                return None
            return pid

        return wait_for(f"{name} to be there for {number.name}", hit)

    def start_with_frozen_workers(self, export: Path) -> list[str]:
        """Start it on that export, its image workers frozen before the pictures come: so one is in hand, whatever a
        machine's speed, for as long as a test likes. The workers' names.
        """
        posts = (export / "result.json").read_bytes()
        write_result(export, [message(1)])
        self.start()
        workers = [name for name in self.wait_until_running() if name.startswith("image-")]
        for name in workers:
            self.strike(name, signal.SIGSTOP)
        (export / "result.json").write_bytes(posts)
        self.strike("connection")
        wait_for("a picture in hand", lambda: any(self.row(name).get("job") for name in workers))
        return workers

    def end(self) -> None:
        """After the test, whatever became of it: no process of ours is left."""
        if self.root and self.root.poll() is None:
            self.root.kill()
            self.root.wait()
        for pid in self.left_over():
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue

    def left_over(self) -> list[int]:
        """Every process of the sessions that this instance has started, the root included."""
        return [pid for pid in all_pids() if session_of(pid) in self._sessions]

    def records(self) -> list[dict[str, Any]]:
        """The log, as far as it is JSON."""
        lines = self.log.read_text(errors="replace").splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    # Asking

    def url(self) -> str | None:
        try:
            card = json.loads((self.state_dir / "instance.lock").read_text())
        except (OSError, ValueError):
            return None
        here = self.root is not None and self.root.poll() is None and card["pid"] == self.root.pid
        return str(card["url"]) if here and card["url"] else None

    def get(self, path: str, **headers: str) -> tuple[int, Any]:
        """Status code and body of a GET."""
        request = urllib.request.Request(f"{self.url()}{path}", headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=ANSWER_SECONDS) as response:
                code, body = response.status, json.load(response)
        except urllib.error.HTTPError as error:
            code, body = error.code, json.load(error)
        if isinstance(body, dict):
            TOLD_PROBLEMS.update(one["id"] for one in body.get("problems", ()))
        return code, body

    def status(self) -> dict[str, Any] | None:
        """/status, or None while nobody answers."""
        if not self.url():
            return None
        try:
            body: dict[str, Any] = self.get("/status")[1]
        except (OSError, ValueError):
            return None
        return body

    def row(self, name: str) -> dict[str, Any]:
        """A process' row of the tree; empty if it is not there."""
        body = self.status() or {"tree": []}
        return next((row for row in body["tree"] if row["name"] == name), {})

    def pids(self) -> dict[str, int]:
        """The process id by name of everything that runs."""
        body = self.status() or {"tree": []}
        return {row["name"]: row["pid"] for row in body["tree"] if "pid" in row}

    def wait_until_running(self) -> dict[str, int]:
        """Wait until every process of the tree is ready; their ids."""

        def look() -> dict[str, int] | None:
            rows = (self.status() or {"tree": []})["tree"]
            is_whole = {row["name"] for row in rows if row["state"] == "running"} >= self.processes
            return {row["name"]: row["pid"] for row in rows if "pid" in row} if is_whole else None

        return wait_for("every process to run", look)

    def is_done(self) -> bool:
        """Whether all of the export has been taken in and nothing waits any more.

        The journal is asked, too: /status may be a moment old, and tell of how it was before a command.
        """
        body = self.status()
        is_done = bool(body and body["stats"]["source"].get("exhausted") and body["stats"]["queue_size"] == 0)
        return is_done and not self._waiting()

    def _waiting(self) -> int:
        """How many pictures are on their way; 0 where it can't be opened from here: /status tells."""
        try:
            database = sqlite3.connect(f"file:{self.state_dir / 'journal.db'}?mode=ro", uri=True)
            with closing(database):
                query = "SELECT count(*) FROM jobs WHERE state NOT IN ('published', 'dead')"
                return int(database.execute(query).fetchone()[0])
        except sqlite3.OperationalError as error:
            if error.sqlite_errorcode & 0xFF != sqlite3.SQLITE_CANTOPEN:
                raise
            return 0

    def wait_until_done(self, seconds: float = DEADLINE_SECONDS) -> None:
        wait_for("all pictures to be published or dead", self.is_done, seconds)

    # What came of it

    def rows(self) -> list[dict[str, Any]]:
        """The published pictures: rows of `messages` and `images` joined."""
        database = sqlite3.connect(self.state_dir / "catalog.db")
        database.row_factory = sqlite3.Row
        try:
            query = "SELECT * FROM messages JOIN images USING (channel_id, message_id) ORDER BY message_id"
            return [{**row, "renditions": json.loads(row["renditions"])} for row in database.execute(query)]
        finally:
            database.close()

    def assert_published(self, message_ids: list[int]) -> None:
        """Exactly these messages have their one row, and every object that a row names is whole."""
        rows = self.rows()
        assert [row["message_id"] for row in rows] == message_ids
        named = set()
        for row in rows:
            folder = f"{row['sha256'][:2]}/{row['sha256']}"
            originals = list((self.state_dir / "media" / folder).glob("stripped.*"))
            assert len(originals) == (row["sha256"] not in self._unstrippable())
            for original in originals:
                assert strip(original.read_bytes(), original.suffix[1:]) == original.read_bytes()
            named |= {f"{folder}/{one.name}" for one in originals} | {one["key"] for one in row["renditions"]}
            named |= self._previews(row["renditions"])
            for one in row["renditions"]:
                file = self.state_dir / "media" / one["key"]
                assert file.stat().st_size == one["bytes"]
                with Image.open(file) as image:
                    image.load()
                    assert image.size == (one["width"], one["height"])
        media = self.state_dir / "media"
        assert {str(file.relative_to(media)) for file in media.rglob("*") if file.is_file()} == named

    def _previews(self, renditions: list[dict[str, Any]]) -> set[str]:
        """The key of the picture for link cards beside these renditions: of the same recipe, and of its sides."""
        keys = {re.sub(r"[0-9]+-([0-9a-f]{8})\.[a-z]+$", r"preview-\1.jpg", one["key"]) for one in renditions}
        for key in keys:
            with Image.open(self.state_dir / "media" / key) as image:
                image.load()
                assert (image.format, image.size) == ("JPEG", PREVIEW_SIZE)
        assert len(keys) == 1
        return keys

    def _unstrippable(self) -> set[str]:
        """The digests of the pictures whose originals can't be stripped, and so are not published."""
        database = sqlite3.connect(self.state_dir / "journal.db")
        try:
            return {sha256 for (sha256,) in database.execute("SELECT sha256 FROM jobs WHERE stripped_bytes = 0")}
        finally:
            database.close()

    def job_folders(self) -> list[Path]:
        """The spool's folders of jobs: all but the workplaces."""
        return [path for path in (self.state_dir / "spool").iterdir() if path.name != WORKPLACES]

    def assert_nothing_left(self, dead: int = 0) -> None:
        """No process, no stray spool file, no claim; a dead letter may keep its original."""
        self.wait_until_gone()
        assert len(self.job_folders()) <= dead
        assert not [path for path in (self.state_dir / "spool" / WORKPLACES).rglob("*") if not path.is_dir()]
        assert {file.name for file in (self.state_dir / "spool").rglob("*") if file.is_file()} <= {"original"}
        database = sqlite3.connect(self.state_dir / "journal.db")
        try:
            states = dict(database.execute("SELECT state, count(*) FROM jobs GROUP BY state"))
            assert set(states) <= {"published", "dead"} and states.get("dead", 0) == dead
            assert database.execute("SELECT count(*) FROM jobs WHERE claimed_by IS NOT NULL").fetchone() == (0,)
            counted = dict(database.execute("SELECT state, jobs FROM states WHERE jobs > 0"))
            assert counted == states
            assert database.execute("SELECT value FROM totals WHERE name = 'processed'").fetchone()[0] == states.get(
                "published", 0
            )
        finally:
            database.close()


@contextmanager
def lasting(instance: Instance, **environment: str) -> Iterator[Instance]:
    """Have it run for as long as the block lasts: an instance that outlives a test, for several to share."""
    instance.start(**environment)
    assert instance.root is not None
    root = instance.root.pid
    LASTING.add(root)
    try:
        instance.wait_until_running()
        yield instance
    finally:
        instance.end()
        LASTING.discard(root)


def _code_of(words: list[str]) -> int:
    """The exit code of one of the program's commands, run here: words that it does not know end it, too."""
    try:
        return cli.main(words, None)
    except SystemExit as ended:
        return int(ended.code or 0)


def children() -> list[psutil.Process]:
    """Every process below the tests, dead ones that nobody waited for included.

    Not multiprocessing's resource tracker: it is started where a test uses multiprocessing, and ends with the tests.
    Nor the servers that outlive a test, whose own children come and go.
    """
    found: list[psutil.Process] = []
    for pid in _children_of_ours() - LASTING:
        with suppress(psutil.NoSuchProcess):
            child = psutil.Process(pid)
            if not _is_resource_tracker(child):
                found += [child, *child.children(recursive=True)]
    return found


def _children_of_ours() -> set[int]:
    """Those of each thread. psutil would look at every process of the machine, after each of thousands of tests."""
    found: set[int] = set()
    for thread in Path("/proc/self/task").iterdir():
        with suppress(OSError):  # the thread has ended
            found |= set(map(int, (thread / "children").read_text().split()))
    return found


def _is_resource_tracker(process: psutil.Process) -> bool:
    try:
        return "resource_tracker" in " ".join(process.cmdline())
    except psutil.ZombieProcess:
        return False


def all_pids() -> list[int]:
    return [int(path.name) for path in Path("/proc").iterdir() if path.name.isdigit()]


def session_of(pid: int) -> int:
    """The session of a process; 0 if it is gone or only waits to be reaped by somebody else."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text()
    except OSError:
        return 0
    state, _, _, session = text.rsplit(")", 1)[1].split()[:4]
    return 0 if state == "Z" else int(session)
