"""Does to a whole tree what a schedule says, with real services behind fault proxies, and sees what has become of it.

    with scene(folder, objects, rows) as chaos:
        chaos.begin()
        chaos.run(schedule.make(seed, 30, …))
        chaos.settle()
        chaos.assert_nothing_leaked()
        chaos.finish()

The tree reads a Telegram of its own and publishes to an S3 and a Supabase. Pictures are posted all the while, and some
that are meant to cost a worker its life. In the end every good one is published once, every bad one is dead with a
reason, and nothing else is left anywhere. A good picture may have been taken for poison, if its workers were shot twice
in a row: that is what the operator's `retry` is for, and then it is published as well.
"""

from __future__ import annotations

import contextlib
import functools
import heapq
import io
import itertools
import json
import random
import re
import signal
import sqlite3
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Any, Final

import psutil
from PIL import Image

from tests.chaos.schedule import Step
from tests.hosted import HostedInstance
from tests.instance import DEADLINE_SECONDS, wait_for
from tests.servers.faults import Answer, BlackHole, FaultProxy, Mode, Pass, Refuse, Reset
from tests.servers.objects import ObjectServer
from tests.servers.rows import RowServer
from tests.servers.telegram import TelegramServer
from tests.workers.sources.telegram.desk import settings_text

SETTINGS: Final = {
    "IMAGES__WIDTHS": json.dumps([100, 200, *range(1990, 2000)]),
    "POOL__JOB_SECONDS": "2",
    "POOL__MEMORY_CAP_MB": "180",
    "POOL__MEMORY_SOFT_MB": "150",
    "RETRY__MAX_ATTEMPTS": "1000",  # a kill from outside costs an attempt, and there are many
    "SUPERVISOR__MAX_RESTARTS": "100000",
}
"""With these large widths one large picture takes for ever; the small ones have none of them."""

FAULTS: Final[dict[str, Mode]] = {
    "refuse": Refuse(),
    "reset": Reset(),
    "error": Answer(503, b"a bad day"),
    "silence": BlackHole(),
}

COLLATERAL: Final = re.compile(r"poison.*(killed by SIG|hung)", re.DOTALL)
"""Why a good picture may be dead: its workers were shot or frozen, twice in a row."""

COUNTED: Final = ("root", "health", "uploader", "pool", "connection")
"""Whose file descriptors and memory are compared. Image workers are replaced all the time."""

TICK_SECONDS: Final = 0.02
SAMPLE_SECONDS: Final = 5.0


@dataclass(frozen=True, slots=True)
class Blow:
    """A signal that ended a process: whose, which process id, when (Unix seconds)."""

    name: str
    pid: int
    how: str
    at: float


@dataclass(frozen=True, slots=True)
class Sample:
    """One process at one moment (Unix seconds): how old it was, and what it held."""

    at: float
    name: str
    pid: int
    age_seconds: float
    rss_bytes: int
    fds: int


class Chaos:
    """One tree, and all that is done to it."""

    def __init__(
        self, instance: HostedInstance, telegram: TelegramServer, storage: FaultProxy, catalogue: FaultProxy
    ) -> None:
        self.instance = instance
        self.blows: list[Blow] = []
        self.roots: list[tuple[float, float]] = []
        self.samples: list[Sample] = []
        self.done: Counter[str] = Counter()
        self.kinds: dict[int, str] = {}
        self._telegram = telegram
        self._proxies = {"storage": storage, "catalogue": catalogue}
        self._channel = telegram.world.add_channel("Chaos", "chaosdesk")
        self._lasting: list[tuple[float, int, Callable[[], object]]] = []
        self._number = itertools.count()
        self._dice = random.Random(1)
        self._shared_memory = shared_memory()

    # The acts

    def begin(self) -> None:
        """Start the tree, and wait until it watches the channel."""
        for _ in range(3):
            self._channel.post_text("from before")
        self.instance.start()
        self.instance.wait_until_running()
        wait_for("the channel to be seen", lambda: any(one["cursor"] for one in self._status()["channels"]))

    def run(self, steps: list[Step], *, seconds: float, post_seconds: float) -> None:
        """Take the steps at their times, and post a good picture every so often."""
        started, left = time.monotonic(), steps[::-1]
        post_at = sample_at = 0.0
        while (now := time.monotonic() - started) < seconds:
            while self._lasting and self._lasting[0][0] <= time.monotonic():
                heapq.heappop(self._lasting)[2]()
            if left and left[-1].at_seconds <= now:
                self._take(left.pop())
            if now >= post_at:
                post_at = now + post_seconds
                self.post("good")
            if now >= sample_at:
                sample_at = now + SAMPLE_SECONDS
                self._sample()
            time.sleep(TICK_SECONDS)

    def settle(self, seconds: float = 2 * DEADLINE_SECONDS) -> None:
        """End what lasts, bring back the good pictures that were taken for poison, and wait until all is done."""
        for _, _, end in sorted(self._lasting, key=lambda one: one[:2]):
            end()
        self._lasting.clear()
        self._telegram.faults.clear()
        self._telegram.start()
        for _ in range(8):
            self.post("good")  # a process that is still frozen gets something to do, and is found
        wait_for("all to be published or dead", self._is_done, seconds)
        if shot := self._shot():
            assert self.instance.command("retry", *map(str, shot)).returncode == 0
            wait_for("those shot to be published", self._is_done, seconds)
        self.instance.wait_until_running()

    def assert_nothing_leaked(self) -> None:
        """Nobody holds more file descriptors than one who has just been started, and the sweep leaves no stray."""
        wait_for("the silent connections to be closed", self._is_quiet)
        worn = self.fds()
        assert self.instance.stop() == 0
        self._wait_until_gone()
        self.instance.start()
        self.instance.wait_until_running()
        wait_for("nothing to be under way", self._is_done)
        wait_for("the silent connections to be closed", self._is_quiet)
        fresh = self.fds()
        # Health has counted ends in the journal: SQLite keeps the descriptor of a connection that is closed beside
        # another one to the same file, and gives it to the next.
        spare = {"root": 0, "health": 1, "pool": 0}
        assert all(worn[name] <= fresh[name] + more for name, more in spare.items()), f"{worn}, afresh {fresh}"

    def finish(self) -> None:
        """Stop it. All there is now is what there should be."""
        assert self._telegram.unexpected == [] and self._telegram.duplicates == 0
        assert self.instance.stop() == 0
        bad = {one for one, kind in self.kinds.items() if kind != "good"}
        dead = {one: reason for one, (state, reason) in self.jobs().items() if state == "dead"}
        differences = {one: (self.kinds[one], *self.jobs()[one]) for one in dead.keys() ^ bad}
        assert not differences, differences
        assert all(dead.values()), dead
        self.instance.assert_published(sorted(self.kinds.keys() - bad))
        self.instance.assert_nothing_left(dead=len(bad))
        self._assert_no_strays()
        self._assert_calm()

    # Steps

    def _take(self, step: Step) -> None:
        self.done[f"{step.action} {step.detail or step.target}".strip()] += 1
        end = getattr(self, f"_{step.action}")(step)
        if end is not None and step.lasts_seconds != float("inf"):
            heapq.heappush(self._lasting, (time.monotonic() + step.lasts_seconds, next(self._number), end))

    def _kill(self, step: Step) -> None:
        if step.target != "root":
            self._strike(step.target, signal.SIGKILL)
            return
        assert self.instance.root is not None
        killed = time.time()
        self.instance.kill()
        self.blows.append(Blow("root", self.instance.root.pid, "SIGKILL", killed))
        self._wait_until_gone()
        self.instance.start(**({"PICTUREDESK_FAILPOINT": step.detail} if step.detail else {}))
        self.roots.append((killed, time.time()))

    def _crash(self, step: Step) -> None:
        self._strike(step.target, signal.SIGSEGV)

    def _freeze(self, step: Step) -> Callable[[], None] | None:
        """Only who has got so far as to have the kernel end it with its parent: its threads are made after that."""
        process = self.process(step.target)
        if process is None:
            return None
        with contextlib.suppress(psutil.NoSuchProcess):
            if process.num_threads() == 1 and step.target != "root":
                return None
            process.suspend()

        def thaw() -> None:
            with contextlib.suppress(psutil.NoSuchProcess):  # it checks that the process is still the same one
                process.resume()

        return thaw

    def _lock(self, step: Step) -> Callable[[], None]:
        """Somebody else has the journal."""
        journal = sqlite3.connect(self.instance.state_dir / "journal.db", timeout=5, isolation_level=None)
        try:
            journal.execute("BEGIN IMMEDIATE")
        except sqlite3.OperationalError:  # another process has the lock for long: it may be frozen
            self.done["lock not had"] += 1
        return journal.close

    def _fault(self, step: Step) -> Callable[[], None]:
        proxy = self._proxies[step.target]
        proxy.set(FAULTS[step.detail])
        return lambda: proxy.set(Pass())

    def _drop(self, step: Step) -> None:
        self._telegram.drop_connections()

    def _down(self, step: Step) -> Callable[[], None]:
        self._telegram.stop()
        return self._telegram.start

    def _flood(self, step: Step) -> None:
        self._telegram.faults.rpc("upload.getFile", error="FLOOD_WAIT_1", times=2)

    def _post(self, step: Step) -> None:
        self.post(step.target)

    def _strike(self, name: str, number: signal.Signals) -> None:
        process = self.process(name)
        if process is None:
            return
        with contextlib.suppress(psutil.NoSuchProcess):
            at = time.time()
            process.send_signal(number)
            self.blows.append(Blow(name, process.pid, number.name, at))

    # Pictures

    def post(self, kind: str) -> None:
        """Post one: "good", or one that is meant to end as a dead letter."""
        match kind:
            case "good":
                message = self._channel.post_photo(good_picture(self._dice), f"good {len(self.kinds)}")
            case "endless":
                message = self._channel.post_photo(endless_picture(), "takes for ever")
            case "hog":
                message = self._channel.post_document(hog_picture(), "image/png", "hog.png", "wants all memory")
            case _:
                message = self._channel.post_photo(b"\xff\xd8\xff" + self._dice.randbytes(500), "no picture")
        self.kinds[message] = kind

    # What has become of it

    def jobs(self) -> dict[int, tuple[str, str]]:
        """State and reason by message id."""
        with closing(sqlite3.connect(self.instance.state_dir / "journal.db", timeout=30)) as journal:
            found = journal.execute("SELECT message_id, state, reason FROM jobs").fetchall()
        return {message: (state, reason or "") for message, state, reason in found}

    def process(self, name: str) -> psutil.Process | None:
        """The process of that name, if there is one now: asked of the system, for /status may be out."""
        if name == "root":
            assert self.instance.root is not None
            return psutil.Process(self.instance.root.pid) if self.instance.root.poll() is None else None
        return next((process for one, process in self._processes() if one == name), None)

    def _processes(self) -> Iterator[tuple[str, psutil.Process]]:
        for pid in self.instance.left_over():
            with contextlib.suppress(psutil.Error):
                process = psutil.Process(pid)
                words = process.cmdline()
                if "supervisor.child.bootstrap" in words:
                    yield words[words.index("supervisor.child.bootstrap") + 1], process
                elif self.instance.root is not None and pid == self.instance.root.pid:
                    yield "root", process

    def _wait_until_gone(self) -> None:
        """Until no process of the tree is left."""
        until = time.monotonic() + DEADLINE_SECONDS
        while left := self.instance.left_over():
            named = [f"{name} {process.pid} {process.status()}" for name, process in self._processes()]
            assert time.monotonic() < until, f"{left}: {named}"
            time.sleep(TICK_SECONDS)

    def fds(self) -> dict[str, int]:
        """How many file descriptors each process holds."""
        return {name: process.num_fds() for name, process in self._processes()}

    def _sample(self) -> None:
        for name, process in self._processes():
            with contextlib.suppress(psutil.Error):
                now, born = time.time(), process.create_time()
                rss, fds = process.memory_info().rss, process.num_fds()
                self.samples.append(Sample(now, name, process.pid, now - born, rss, fds))

    def _status(self) -> dict[str, Any]:
        return self.instance.status() or {"channels": []}

    def _is_done(self) -> bool:
        jobs = self.jobs()
        if jobs.keys() != self.kinds.keys() or {state for state, _ in jobs.values()} - {"published", "dead"}:
            with closing(sqlite3.connect(self.instance.state_dir / "journal.db", timeout=30)) as journal, journal:
                journal.execute("UPDATE jobs SET next_at = 0 WHERE next_at > 0")  # what was put off: its time has come
            time.sleep(0.2)
            return False
        return True

    def _is_quiet(self) -> bool:
        """Whether the process that answers holds no connection: it closes those that say nothing."""
        health = self.process("health")
        return health is not None and not [one for one in health.net_connections() if one.status == "ESTABLISHED"]

    def _shot(self) -> list[int]:
        """Job ids of the good pictures that are dead. Each has to have a reason that we know of."""
        with closing(sqlite3.connect(self.instance.state_dir / "journal.db", timeout=30)) as journal:
            dead = journal.execute("SELECT id, message_id, reason FROM jobs WHERE state = 'dead'").fetchall()
        shot = [(job, reason) for job, message, reason in dead if self.kinds[message] == "good"]
        assert [reason for _, reason in shot if not COLLATERAL.search(reason)] == []
        self.done["good pictures taken for poison"] += len(shot)
        return [job for job, _ in shot]

    def _assert_no_strays(self) -> None:
        state = {path.name for path in self.instance.state_dir.iterdir()}
        locks = {name for name in state if re.fullmatch(r"session-[0-9a-f]+\.lock", name)}  # the session's, which stays
        assert len(locks) <= 1 and state - locks <= {"journal.db", "instance.lock", "spool"}, state
        assert [path.name for path in self.temporary.iterdir()] == []
        assert shared_memory() <= self._shared_memory

    @property
    def temporary(self) -> Path:
        return self.instance.folder / "tmp"

    def _assert_calm(self) -> None:
        """Whatever happened was foreseen: the only process that gives up is a pool whose workers are shot."""
        crashed = [one for one in self.instance.records() if one["event"] == "process.crashed"]
        assert [one["exception"] for one in crashed if "GaveUp" not in one["exception"]] == []


class _Instance(HostedInstance):
    """Hosted, with the settings and the temporary folder of this suite."""

    more: Mapping[str, str] = MappingProxyType({})

    def environment(self, **more: str) -> dict[str, str]:
        settings = {f"PICTUREDESK__{name}": value for name, value in SETTINGS.items()}
        return super().environment(**{**settings, "TMPDIR": str(self.folder / "tmp"), **self.more, **more})


@contextlib.contextmanager
def scene(folder: Path, objects: ObjectServer, rows: RowServer, **environment: str) -> Iterator[Chaos]:
    """A tree that is not started yet, with services of its own; they go with all that is in them.

    `environment`: more variables of the tree.
    """
    with (
        objects.bucket() as bucket,
        TelegramServer() as telegram,
        FaultProxy(objects.port) as storage,
        FaultProxy(rows.port) as catalogue,
    ):
        rows.empty()
        text = settings_text(telegram, ["@chaosdesk"], {})
        instance = _Instance(
            folder,
            Path("/nonexistent"),
            objects,
            rows,
            bucket,
            endpoint=storage.url,
            url=catalogue.url,
            more=text,
            workers=2,
        )
        instance.more = environment
        config = instance.config.read_text().replace("\n[images]\nwidths = [100, 200]", "")
        instance.config.write_text(config)
        (folder / "tmp").mkdir(exist_ok=True)
        try:
            yield Chaos(instance, telegram, storage, catalogue)
        finally:
            instance.end()


def shared_memory() -> set[str]:
    """Python's blocks and semaphores in /dev/shm; those of databases are none of ours."""
    return {path.name for path in Path("/dev/shm").iterdir() if path.name.startswith(("psm_", "sem.", "wnsm_"))}


def good_picture(dice: random.Random) -> bytes:
    """A small JPEG that no other is like."""
    width, height = dice.randint(100, 240), dice.randint(90, 180)
    return _saved(Image.frombytes("L", (width, height), dice.randbytes(width * height)), "JPEG")


@functools.cache
def endless_picture() -> bytes:
    """Renders for some twelve seconds on a quiet machine, for six with two threads: three times what it may."""
    noise = random.Random(2).randbytes(2000 * 3000 * 3)
    return _saved(Image.frombytes("RGB", (2000, 3000), noise), "JPEG", quality=60)


@functools.cache
def hog_picture() -> bytes:
    """200 KB that take 480 MiB to be shrunk: more than twice the cap, which a second try alone has."""
    return _saved(Image.new("RGBA", (7000, 7000), (9, 9, 9, 100)), "PNG")


def _saved(image: Image.Image, form: str, **options: Any) -> bytes:
    with io.BytesIO() as buffer:
        image.save(buffer, form, **options)
        return buffer.getvalue()
