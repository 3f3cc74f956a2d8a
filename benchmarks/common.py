"""What the benchmarks share: the machine, photographs and an export of them, a tree to measure, tables.

Everything happens in a temporary folder (TMPDIR chooses the disk) and on the loopback interface. Whatever becomes of
a benchmark, its processes end: those of a tree in order at the end of a pipe that only the benchmark holds.
"""

from __future__ import annotations

import math
import os
import platform
import random
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from types import FrameType
from typing import Any

from PIL import Image, ImageOps

from supervisor import child_options
from supervisor import tree as tree_page
from supervisor.home import HOME
from supervisor.processes.spec import ChildSpec, numbered
from supervisor.settings import Settings, load
from tests.instance import Instance, wait_for
from tests.pictures import message, write_result

PYTHON = (sys.executable, "-P", "-m", "supervisor")
BIN_RUN = (str(HOME / "bin" / "run"),)

SETTLE_SECONDS = 2.5
"""From the end of the last job to a tree at rest: longer than any of its processes' polls and ticks."""


# The machine and the report


def machine() -> str:
    """The machine, in one line: what a figure means nothing without."""
    cpus = [
        line.split(":", 1)[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    cores = len(os.sched_getaffinity(0))
    return (
        f"{cores} cores of {cpus[0] if cpus else platform.machine()}, Python {platform.python_version()},"
        f" Linux {platform.release()}, {_file_system(Path(tempfile.gettempdir()))}, load {os.getloadavg()[0]:.2f} at"
        " the start"
    )


def _file_system(path: Path) -> str:
    """The type of the file system that `path` is on."""
    mounts = [line.split()[1:3] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    around = [(point, kind) for point, kind in mounts if path.resolve().is_relative_to(point)]
    return max(around, key=lambda mount: len(mount[0]))[1] if around else "unknown file system"


def heading(name: str, text: str) -> None:
    """Begin a script's section of the report."""
    print(f"## {name}\n\n{text}\n\n{machine()}\n", flush=True)


def table(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print a Markdown table; all columns but the first are figures, set to the right."""
    marks = ["---", *["---:"] * (len(titles) - 1)]
    for row in (titles, marks, *rows):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def spread(values: Sequence[float], digits: int = 2) -> tuple[str, str, str]:
    """Median, least and greatest, as text."""
    chosen = (statistics.median(values), min(values), max(values))
    return (f"{chosen[0]:,.{digits}f}", f"{chosen[1]:,.{digits}f}", f"{chosen[2]:,.{digits}f}")


def percentile(values: Sequence[float], part: float) -> float:
    """The value that this part of them does not exceed.

    >>> percentile([1.0, 2.0, 3.0, 4.0], 0.5), percentile([1.0, 2.0, 3.0, 4.0], 0.99)
    (2.0, 4.0)
    """
    ordered = sorted(values)
    return ordered[max(0, math.ceil(part * len(ordered)) - 1)]


def say(text: str) -> None:
    """Tell who waits how far it is; standard output is the report's."""
    print(f"picturedesk: {text}", file=sys.stderr, flush=True)


@contextmanager
def workplace(most_seconds: int) -> Iterator[Path]:
    """A temporary folder; after `most_seconds`, or at SIGTERM, the benchmark ends and cleans up."""

    def end(number: int, frame: FrameType | None) -> None:
        raise SystemExit(f"picturedesk: ended by {signal.Signals(number).name} (time limit: {most_seconds} s)")

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGALRM, end)
    signal.alarm(most_seconds)
    with tempfile.TemporaryDirectory(prefix="picturedesk-benchmark-") as folder:
        yield Path(folder)
    signal.alarm(0)


# Photographs


def make_photographs(folder: Path, count: int, seed: int = 1) -> list[Path]:
    """Distinct JPEGs of 1280 pixels (Telegram's size for photos) cut from the real photographs of the example export.

    Each is a part of one of them, 80 to 98 % a side, every other one mirrored, quality 87: the same seed makes the same
    pictures.
    """
    folder.mkdir(parents=True)
    sources = sorted((HOME / "examples" / "export" / "photos").glob("*.jpg"))
    dice = random.Random(seed)
    made = []
    for number in range(1, count + 1):
        with Image.open(sources[number % len(sources)]) as source:
            picture = source.convert("RGB")
        width, height = (round(side * dice.uniform(0.80, 0.98)) for side in picture.size)
        left, top = dice.randrange(picture.width - width), dice.randrange(picture.height - height)
        cut = picture.crop((left, top, left + width, top + height))
        if number % 2:
            cut = ImageOps.mirror(cut)
        scale = 1280 / max(cut.size)
        cut = cut.resize((round(cut.width * scale), round(cut.height * scale)), Image.Resampling.LANCZOS)
        made.append(folder / f"photo_{number}@01-02-2025_10-00-00.jpg")
        cut.save(made[-1], quality=87)
    return made


@dataclass(frozen=True, slots=True)
class Export:
    """A Telegram Desktop export of photographs, one a message, behind one text message."""

    folder: Path
    photographs: tuple[Path, ...]

    def fill(self) -> None:
        """List the photographs in result.json."""
        posts: list[dict[str, Any]] = [message(1)]
        for number, path in enumerate(self.photographs, 2):
            with Image.open(path) as picture:
                sides = {"width": picture.width, "height": picture.height}
            posts.append(message(number, photo=f"photos/{path.name}", **sides))
        write_result(self.folder, posts)

    def empty(self) -> None:
        """List the text message only."""
        write_result(self.folder, [message(1)])


def make_export(folder: Path, count: int) -> Export:
    """An export that lists `count` photographs; with none, it is one text message."""
    export = Export(folder, tuple(make_photographs(folder / "photos", count)))
    export.fill()
    return export


# A tree


def settings() -> Settings:
    """The defaults, whatever the environment of this process says."""
    return load(HOME / "config.toml", {}, HOME, HOME)


def image_specs() -> tuple[ChildSpec, ...]:
    """The tree's image workers, one a core: what they are told, and how nice they are."""
    given = settings()
    return numbered(tree_page.image_worker(given), child_options.worker_count(given))


def names() -> set[str]:
    """Every child of the tree."""
    return {"health", "uploader", "pool", "connection", *(spec.name for spec in image_specs())}


def kind_of(child: str) -> str:
    """A child's kind: the image workers are one.

    >>> kind_of("image-2"), kind_of("pool")
    ('image', 'pool')
    """
    return child.partition("-")[0]


class Tree(Instance):
    """The real program on a state_dir of its own, with a user's defaults in all that is measured (the tests' shorter
    pauses between retries and restarts are never waited for). Its log says when what happened, which costs it nothing.
    """

    def __init__(self, folder: Path, export: Export) -> None:
        super().__init__(folder, export.folder)
        self._parent_fd = -1

    def launch(self, program: Sequence[str] = PYTHON, **more: str) -> float:
        """Start it, with `more` in its environment; when that was (Unix seconds)."""
        reader, self._parent_fd = os.pipe()
        ours = {"PICTUREDESK__POOL__WORKERS": str(len(image_specs())), "PICTUREDESK__LOG__LEVEL": "info"}
        with self.log.open("wb") as log:
            started = time.time()
            self.root = subprocess.Popen(
                [*program, "start", "--config", str(self.config), "--parent-fd", str(reader)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                env=self.environment(**{**ours, **more}),
                cwd=self.folder,
                start_new_session=True,
                pass_fds=(reader,),
            )
        os.close(reader)
        self._sessions.append(self.root.pid)
        return started

    def shut(self) -> None:
        """Stop it in order, or by force."""
        try:
            if self.root is not None and self.root.poll() is None:
                self.stop()
        finally:
            self.end()
            os.close(self._parent_fd)

    def events(self, event: str) -> list[dict[str, Any]]:
        """The log records of that name so far."""
        return [record for record in self.records() if record["event"] == event]

    def wait_for_events(self, event: str, enough: Callable[[list[dict[str, Any]]], bool]) -> list[dict[str, Any]]:
        """Wait until the log has enough records of that name; them."""
        size = -1

        def look() -> list[dict[str, Any]] | None:
            nonlocal size
            before, size = size, self.log.stat().st_size
            if size == before:
                return None
            found = self.events(event)
            return found if enough(found) else None

        return wait_for(f"enough log records {event!r}", look)

    def wait_until_ready(self, wanted: set[str] | None = None) -> list[dict[str, Any]]:
        """Wait until every child is ready (`wanted`: these, where it has other workers than one a core); the records
        that say so. SystemExit if one of them needed two tries.
        """
        all_of_them = wanted or names()
        ready = self.wait_for_events("child.ready", lambda found: {record["child"] for record in found} >= all_of_them)
        for record in self.events("child.exited"):
            raise SystemExit(f"picturedesk: not a clean start, {record['child']} {record['what']}; nothing is measured")
        return ready

    def wait_until_published(self, count: int) -> list[dict[str, Any]]:
        """Wait until `count` pictures are published; the records that say so."""
        return self.wait_for_events("job.published", lambda found: len(found) >= count)

    def wait_until_idle(self) -> None:
        """Wait until the export is taken in and published, and a little longer, until all has settled."""
        wait_for("the tree to have nothing to do", self.is_done)
        time.sleep(SETTLE_SECONDS)

    def kill_child(self, name: str) -> float:
        """kill -9 a child; when that was (Unix seconds)."""
        pid = self.living()[name]
        killed = time.time()
        os.kill(pid, signal.SIGKILL)
        return killed

    def wait_until_replaced(self, name: str, after: float) -> dict[str, Any]:
        """Wait until a child says that it is ready later than `after` (Unix seconds); the record."""

        def newer(found: list[dict[str, Any]]) -> list[dict[str, Any]]:
            return [record for record in found if record["child"] == name and moment(record) > after]

        return newer(self.wait_for_events("child.ready", lambda found: bool(newer(found))))[-1]

    def feed(self, export: Export) -> dict[str, Any]:
        """Let the tree, at rest on the empty export, take in its photographs: the connection, which reads an export
        once, is replaced. The record that says that it is ready again: from here on pictures come in."""
        export.fill()
        return self.wait_until_replaced("connection", self.kill_child("connection"))

    def count_events(self, event: str) -> int:
        """How many log records of that name there are so far."""
        return self.log.read_bytes().count(b'"event": "%s"' % event.encode())

    def living(self) -> dict[str, int]:
        """The process id of the root and of every child, by name."""
        assert self.root is not None
        return {"root": self.root.pid, **{record["child"]: record["pid"] for record in self.events("child.ready")}}


@contextmanager
def running(folder: Path, export: Export, program: Sequence[str] = PYTHON, **more: str) -> Iterator[tuple[Tree, float]]:
    """A tree that runs on `export`, with `more` in its environment, and when it was started (Unix seconds)."""
    tree = Tree(folder, export)
    started = tree.launch(program, **more)
    try:
        yield tree, started
    finally:
        tree.shut()


def moment(record: dict[str, Any]) -> float:
    """When a log record was written, in Unix seconds, to the microsecond."""
    return datetime.fromisoformat(record["timestamp"]).timestamp()


def cpu_seconds(pid: int, *, with_children: bool = False) -> float:
    """User and system time of a process, to the hundredth; `with_children`: of those it has outlived too."""
    fields = Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rsplit(")", 1)[1].split()
    return sum(map(int, fields[11 : 15 if with_children else 13])) / os.sysconf("SC_CLK_TCK")
