"""`import DIR`: runs the tree on one export, with a progress bar, and sums up.

The tree is a process of its own; this one only watches its /status, passes signals on, and draws. Should this one
die, the tree stops in order: it holds the other end of a pipe.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from ipc.journal import Journal
from supervisor.cli import client
from supervisor.instance import AlreadyRunning, running
from supervisor.settings import Settings

LOOK_SECONDS = 0.25
LINE_SECONDS = 5.0
"""How often a plain line says how far it is, where there is no terminal."""


@dataclass(frozen=True, slots=True)
class Totals:
    """What the journal had counted before."""

    processed: int = 0
    failed: int = 0


def run(settings: Settings, config: Path | None, folder: Path, *, leave: bool) -> int:
    """Take in the export at `folder`; the exit code. With `leave`, stop when everything is published or dead."""
    if not folder.exists():
        print(f"picturedesk: import: {folder}: no such folder", file=sys.stderr)
        return 2
    other = running(settings.state_dir)
    if other:
        raise AlreadyRunning(settings.state_dir, other.pid)
    before = _totals(settings)
    with _tree(settings, config, folder) as process:
        outcome = _watch(settings, process, before)
        if outcome is None:
            return process.wait()
        print(outcome.text, flush=True)
        if leave or not outcome.done:
            process.send_signal(signal.SIGTERM)
        code = process.wait()
        return code if outcome.done else 1


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the import ended: `done`, or refused."""

    done: bool
    text: str


@contextmanager
def _tree(settings: Settings, config: Path | None, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The tree's root in a process group of its own (the terminal's Ctrl-C reaches only us), its log beside the bar."""
    reader, writer = os.pipe()
    command = [sys.executable, "-P", "-m", "supervisor", "start", "--export", str(folder), "--parent-fd", str(reader)]
    if config is not None:
        command += ["--config", str(config)]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        pass_fds=(reader,),
        process_group=0,
        env=_environment(settings),
    )
    os.close(reader)

    def pass_on(number: int, frame: FrameType | None) -> None:
        process.send_signal(number)

    signal.signal(signal.SIGINT, pass_on)
    signal.signal(signal.SIGTERM, pass_on)
    printer = threading.Thread(target=_print_log, args=(process,), daemon=True)
    printer.start()
    try:
        yield process
    finally:
        process.wait()
        printer.join(timeout=2.0)
        os.close(writer)


def _environment(settings: Settings) -> dict[str, str]:
    """The tree's environment. Above a bar, its log is for a person: only what is wrong, unless more was asked for."""
    ours: dict[str, str] = {}
    if sys.stderr.isatty():
        if settings.log.format == "auto":
            ours["PICTUREDESK__LOG__FORMAT"] = "console"
        if settings.log.level == "info":
            ours["PICTUREDESK__LOG__LEVEL"] = "warning"
    return {**os.environ, **ours}


def _print_log(process: subprocess.Popen[bytes]) -> None:
    """Print the tree's log records above the bar."""
    assert process.stderr is not None
    for line in process.stderr:
        tqdm.write(line.decode(errors="replace").rstrip("\n"), file=sys.stderr)


def _watch(settings: Settings, process: subprocess.Popen[bytes], before: Totals) -> Outcome | None:
    """Draw until the import has ended; None if the tree was stopped meanwhile."""
    with _Progress() as progress:
        while process.poll() is None:
            try:
                body = client.get_status(settings)
            except client.Unreachable:
                time.sleep(LOOK_SECONDS)
                continue
            connection: dict[str, Any] = next((row for row in body["tree"] if row["name"] == "connection"), {})
            if connection.get("state") == "held":
                return Outcome(False, f"Not imported: {connection['last_exit']['what']}")
            source = body["stats"]["source"]
            if source.get("exhausted") and body["stats"]["queue_size"] == 0:
                progress.show(body["stats"])
                return Outcome(True, summary(body["stats"], before))
            progress.show(body["stats"])
            time.sleep(LOOK_SECONDS)
    return None


def summary(stats: dict[str, Any], before: Totals) -> str:
    """What became of the export's pictures."""
    source = stats["source"]
    published = stats["processed"] - before.processed
    changed = f", {source['edited']} edited" if source["edited"] else ""
    dead = stats["failed"] - before.failed + source["already_dead"]
    hint = " (bin/run dead lists them)" if dead else ""
    nothing = " Nothing has changed." if not (published or source["new"] or source["edited"]) else ""
    return (
        f"{source['photos']} pictures: {published} published, {source['already_published']} already there{changed},"
        f" {dead} dead{hint}.{nothing}"
    )


class _Progress:
    """A bar on a terminal; elsewhere a plain line every few seconds."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._said = time.monotonic()

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, stats: dict[str, Any]) -> None:
        """Show how far it is: of all the export's pictures, those that are published or dead."""
        source = stats["source"]
        if not source.get("photos"):
            return
        names = ("new", "edited", "already_published", "already_dead", "already_pending")
        finished = max(0, sum(source[name] for name in names) - stats["queue_size"])
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(total=source["photos"], unit="picture", dynamic_ncols=True)
            self._bar.set_postfix(dead=stats["dead"], retry=stats["waiting_for_retry"], refresh=False)
            self._bar.update(finished - self._bar.n)
        elif time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            print(
                f"{finished} of {source['photos']} pictures, {stats['dead']} dead,"
                f" {stats['waiting_for_retry']} wait for another try",
                file=sys.stderr,
                flush=True,
            )


def _totals(settings: Settings) -> Totals:
    path = settings.state_dir / "journal.db"
    if not path.exists():
        return Totals()
    journal = Journal.open_to_read(path)
    totals = journal.totals()
    journal.close()
    return Totals(totals["processed"], totals["failed"])
