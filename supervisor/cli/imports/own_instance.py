"""`import DIR` where no instance runs: starts one on the export.

The tree is a process of its own. This process watches its /status, passes signals on, and draws. If this process dies,
the tree notices the end of a pipe and stops in order.
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
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from ipc.transport.exits import describe_returncode
from supervisor.cli import client, terminal
from supervisor.cli.imports.report import ImportBar, ImportOutcome, how_far, is_over, summary
from supervisor.settings import Settings

LOOK_SECONDS = 0.25


def run(settings: Settings, config: Path | None, folder: Path, *, leave: bool) -> int:
    """Take in the export at `folder`; the exit code. With `leave`, stop when everything is published or dead."""
    _wait_for_the_next_second()
    with _tree(settings, config, folder) as process:
        outcome = _watch(settings, process)
        terminal.say(outcome.text)
        if leave or not outcome.done:
            process.send_signal(signal.SIGTERM)
        code = process.wait()
    return max(code, 0) if outcome.done else 1


def _wait_for_the_next_second() -> None:
    """The journal dates in whole seconds: so what was published before has an earlier date."""
    second = math.floor(time.time()) + 1
    while (left := second - time.time()) > 0:
        time.sleep(left)


@contextmanager
def _tree(settings: Settings, config: Path | None, folder: Path) -> Iterator[subprocess.Popen[bytes]]:
    """The tree's root, in a process group of its own: Ctrl-C reaches this process alone. Its log goes above the bar."""
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
    """The tree's environment. Above a bar its log is for people, and from level warning unless another is set."""
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


def _watch(settings: Settings, process: subprocess.Popen[bytes]) -> ImportOutcome:
    """Draw until the import has ended."""
    source: dict[str, Any] = {}
    with ImportBar() as progress:
        while process.poll() is None:
            try:
                body = client.get_status(settings)
            except client.NoInstance:
                time.sleep(LOOK_SECONDS)
                continue
            connection: dict[str, Any] = next((row for row in body["tree"] if row["name"] == "connection"), {})
            if connection.get("state") == "held":
                return ImportOutcome(False, f"Not imported: {connection['last_exit']['what']}")
            source = body["stats"]["source"]
            progress.show(source)
            if is_over(source):
                return ImportOutcome(True, summary(source))
            time.sleep(LOOK_SECONDS)
    how = "Stopped" if process.returncode == 0 else f"The tree has ended ({describe_returncode(process.returncode)})"
    return ImportOutcome(False, f"{how}: {how_far(source)}")
