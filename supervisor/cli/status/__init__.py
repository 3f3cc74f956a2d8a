"""`status`: shows the running instance's tree and figures.

plain.py     for a pipe or a file: lines that scripts read
screen.py    for a terminal: the home of rich
words.py     what the screen says, without rich
watch.py     asks again and again, and has it shown
"""

from __future__ import annotations

import os
import sys
import time

from supervisor.cli import client, terminal
from supervisor.cli.status import plain, watch
from supervisor.settings import Settings

WATCH_SECONDS = 1.0


def run(settings: Settings, *, as_json: bool, watch_it: bool) -> int:
    """Print once, or with `watch_it` every second; the exit code. Raises client.NoInstance."""
    if not as_json and _is_screen():
        return _on_screen(settings, watch_it=watch_it)
    while True:
        body = client.get_status(settings)
        if as_json:
            terminal.say_json(body)
        else:
            terminal.say(*plain.describe(body))
        if not watch_it:
            return 0
        time.sleep(WATCH_SECONDS)


def _is_screen() -> bool:
    """Whether standard output is a terminal that can move its cursor."""
    return sys.stdout.isatty() and os.environ.get("TERM", "dumb") not in ("", "dumb", "unknown")


def _on_screen(settings: Settings, *, watch_it: bool) -> int:
    body = client.get_status(settings)  # before rich is loaded: nothing may be running
    # 330 ms and 10 MiB that no other command pays for, and no process of the tree.
    from supervisor.cli.status import screen  # noqa: PLC0415

    if watch_it:
        return watch.watch(lambda: client.get_status(settings), body, screen.Screen(), WATCH_SECONDS)
    screen.print_once(body)
    return 0
