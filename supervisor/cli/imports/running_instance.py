"""`import DIR` beside a running instance, which takes in the export and is asked for its progress.

Nothing depends on this process: if it is killed, the import goes on. Ctrl-C stops the import and leaves the instance
alone.
"""

from __future__ import annotations

import os
import signal
import sys
import time
from functools import partial
from pathlib import Path
from types import FrameType
from typing import Any

from tqdm import tqdm

from ipc.transport import control_client
from supervisor.cli import terminal
from supervisor.cli.imports.report import ImportBar, ImportOutcome, how_far, is_over, summary
from supervisor.host.instance_lock import Card
from supervisor.processes.errors import CommandFailed
from supervisor.settings import Settings

LOOK_SECONDS = 0.25

GONE = (OSError, ValueError, LookupError, TypeError)
"""Errors of a conversation with an instance that ends meanwhile."""


def run(settings: Settings, card: Card, folder: Path) -> int:
    """Have the instance take in the export at `folder`. Returns the exit code."""
    answer = _ask(settings, card, {"action": "import", "path": os.path.abspath(folder)})  # noqa: PTH100 - links stay
    if not answer["ok"]:
        raise CommandFailed("\n".join(map(str, answer["lines"])))
    terminal.say(f"The running instance (pid {card.pid}) takes in {folder}; Ctrl-C stops that, and leaves it alone")
    asked: list[int] = []

    def stop(number: int, frame: FrameType | None) -> None:
        asked.append(number)

    before = {number: signal.signal(number, stop) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        with ImportBar() as progress:
            outcome = _follow(settings, int(answer["number"]), progress, asked)
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    terminal.say(outcome.text)
    return 0 if outcome.done else 1


def _ask(settings: Settings, card: Card, request: dict[str, Any]) -> dict[str, Any]:
    try:
        return control_client.ask(settings.state_dir, request)
    except PermissionError as error:
        why = "it takes operations from the user who runs it alone. Run this as that user"
        raise CommandFailed(f"the instance (pid {card.pid}) can't be asked: {error.strerror}: {why}") from error
    except GONE as error:
        raise CommandFailed(
            f"the instance (pid {card.pid}) does not answer: {error}. Try again, or see its log"
        ) from error


def _follow(settings: Settings, number: int, progress: ImportBar, asked: list[int]) -> ImportOutcome:
    """Show the progress until the import has ended."""
    source: dict[str, Any] = {}
    is_stopping, told_why = False, ""
    while True:
        try:
            if asked and not is_stopping:
                is_stopping = True
                control_client.ask(settings.state_dir, {"action": "import-stop", "number": number})
            answer = control_client.ask(settings.state_dir, {"action": "import-progress", "number": number})
            if not answer["ok"]:
                return ImportOutcome(False, f"{answer['lines'][0]}: {how_far(source)}")
            source, state = answer["facts"] or source, str(answer["state"])
        except GONE:
            return ImportOutcome(False, f"The instance has ended: {how_far(source)}")
        progress.show(source)
        why = str(answer.get("why", ""))
        if outcome := judge(source, state, why, is_stopping=is_stopping):
            return outcome
        if why != told_why:  # else one that crashes again and again would look slow
            told_why = why
            say = partial(tqdm.write, file=sys.stderr)
            terminal.say(f"Its process has ended ({why}), and is started again by itself", put=say)
        time.sleep(LOOK_SECONDS)


def judge(source: dict[str, Any], state: str, why: str, *, is_stopping: bool) -> ImportOutcome | None:
    """The outcome of an import by the state of its child; None while it goes on."""
    if source.get("error"):
        return ImportOutcome(False, f"Not imported: {source['error']}")
    if state == "held":
        return ImportOutcome(False, f"Not imported: {why}")
    if state in ("stopped", "finished", "gone"):  # not before the child has ended: until then another import is refused
        if is_over(source):
            return ImportOutcome(True, summary(source))
        return ImportOutcome(False, f"{'Stopped' if is_stopping else 'The import was stopped'}: {how_far(source)}")
    return None
