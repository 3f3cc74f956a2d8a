"""`import DIR`: runs the tree on one export, with a progress bar, and sums up.

The tree is a process of its own; this one only watches its /status, passes signals on, and draws. Should this one
die, the tree stops in order: it holds the other end of a pipe.
"""

from __future__ import annotations

import math
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from ipc.journal import Journal
from supervisor.cli import client, terminal
from supervisor.instance import AlreadyRunning, running
from supervisor.policy import describe_returncode
from supervisor.settings import Settings

LOOK_SECONDS = 0.25
LINE_SECONDS = 5.0
"""How often a plain line says how far it is, where there is no terminal."""


def run(settings: Settings, config: Path | None, folder: Path, *, leave: bool) -> int:
    """Take in the export at `folder`; the exit code. With `leave`, stop when everything is published or dead."""
    if not folder.exists():
        terminal.complain("import", f"{folder}: no such folder")
        return 2
    other = running(settings.state_dir)
    if other:
        raise AlreadyRunning(settings.state_dir, other.pid)
    since = _next_second()
    with _tree(settings, config, folder) as process:
        outcome = _watch(settings, process, since)
        terminal.say(outcome.text)
        if leave or not outcome.done:
            process.send_signal(signal.SIGTERM)
        code = process.wait()
    return max(code, 0) if outcome.done else 1


def _next_second() -> int:
    """Wait for it: the journal dates in whole seconds, and what is published from now on has to be told from before."""
    second = math.floor(time.time()) + 1
    while (left := second - time.time()) > 0:
        time.sleep(left)
    return second


@dataclass(frozen=True, slots=True)
class Outcome:
    """How the import ended: `done`, or refused."""

    done: bool
    text: str


@contextmanager
def _tree(settings: Settings, config: Path | None, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The tree's root in a process group of its own (the terminal's Ctrl-C reaches only us), its log beside the bar."""
    reader, writer = os.pipe()
    command = [sys.executable, "-P", "-m", "supervisor", "start", f"--export={folder}", "--parent-fd", str(reader)]
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
        terminal.say(line.decode(errors="replace").rstrip("\n"), put=partial(tqdm.write, file=sys.stderr))


def _watch(settings: Settings, process: subprocess.Popen[bytes], since: int) -> Outcome:
    """Draw until the import has ended, one way or another."""
    finished = total = 0
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
            source, total = body["stats"]["source"], body["stats"]["source"].get("photos", 0)
            states, published = _outcome(settings, source.get("channel"), since)
            finished = min(total, states.get("published", 0) + states.get("dead", 0))
            progress.show(finished, total, body["stats"])
            if source.get("exhausted") and body["stats"]["queue_size"] == 0:
                return Outcome(True, summary(source, published, states.get("dead", 0)))
            time.sleep(LOOK_SECONDS)
    how = "Stopped" if process.returncode == 0 else f"The tree has ended ({describe_returncode(process.returncode)})"
    return Outcome(False, f"{how}: {finished} of {total} pictures are done. The same command goes on with the rest.")


def _outcome(settings: Settings, channel_id: int | None, since: int) -> tuple[dict[str, int], int]:
    """What has become of the channel's pictures so far, and how many were published since then."""
    path = settings.state_dir / "journal.db"
    if channel_id is None or not path.exists():
        return {}, 0
    journal = Journal.open_to_read(path)
    try:
        return journal.outcome(channel_id, since)
    finally:
        journal.close()


def summary(source: dict[str, Any], published: int, dead: int) -> str:
    """What became of the export's pictures; `source` is what the connection reports of it."""
    changed = f", {source['edited']} edited" if source["edited"] else ""
    hint = " (bin/run dead lists them)" if dead else ""
    nothing = " Nothing has changed." if not (published or source["new"] or source["edited"]) else ""
    return (
        f"{source['photos']} pictures: {published} published, {source['already_published']} already there{changed},"
        f" {dead} dead{hint}.{nothing}"
    )


class _Progress:
    """A bar on a terminal; elsewhere a plain line at once and then every few seconds."""

    def __init__(self) -> None:
        self._bar: tqdm[Any] | None = None
        self._said = -math.inf

    def __enter__(self) -> _Progress:
        return self

    def __exit__(self, *exc_info: object) -> None:
        if self._bar is not None:
            self._bar.close()

    def show(self, finished: int, total: int, stats: dict[str, Any]) -> None:
        """Show how far it is: of all the export's pictures, those that are published or dead."""
        if not total:
            return
        dead, waiting = stats["dead"], stats["waiting_for_retry"]
        if sys.stderr.isatty():
            if self._bar is None:
                self._bar = tqdm(total=total, unit="picture", dynamic_ncols=True)
            self._bar.set_postfix(dead=dead, retry=waiting, refresh=False)
            self._bar.update(finished - self._bar.n)
        elif time.monotonic() - self._said >= LINE_SECONDS:
            self._said = time.monotonic()
            text = f"{finished} of {total} pictures, {dead} dead, {waiting} wait for another try"
            terminal.say(text, out=sys.stderr)
