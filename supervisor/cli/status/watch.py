"""`status --watch` on a terminal: asks every second, in a thread, and has the newest answer shown until Ctrl-C."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Protocol

from supervisor.cli.client import NoInstance

LOOK_SECONDS = 0.1
"""Poll interval of the screen. A resized terminal is redrawn within it."""


@dataclass(frozen=True, slots=True)
class WatchView:
    """What is shown: the newest /status, when it came, and why none has come since (empty: nothing is wrong)."""

    body: dict[str, Any]
    received_at: float
    silence: str = ""


class Display(Protocol):
    """A context, within which the terminal is ours."""

    def __enter__(self) -> Display: ...
    def __exit__(self, *error: object) -> None: ...
    def show(self, view: WatchView, now: float) -> None: ...
    def size(self) -> tuple[int, int]: ...


def watch(ask: Callable[[], dict[str, Any]], body: dict[str, Any], display: Display, seconds: float) -> int:
    """Show `body`, then what `ask` gives every `seconds`, until Ctrl-C. Returns the exit code.

    A tree that does not answer any more is not the end of it: it may be about to be started again.
    """
    latest = _Latest(WatchView(body, time.time()))
    threading.Thread(target=latest.go_on, args=(ask, seconds), name="status", daemon=True).start()
    signal.signal(signal.SIGTERM, _leave)  # so that the terminal is given back
    signal.signal(signal.SIGHUP, _leave)
    try:
        with display:
            shown: tuple[object, ...] = ()
            while True:
                now = time.time()
                wanted = (latest.view, display.size(), int(now))  # durations grow by the second
                if wanted != shown:
                    display.show(latest.view, now)
                    shown = wanted
                time.sleep(LOOK_SECONDS)
    except KeyboardInterrupt:
        return 0


class _Latest:
    """The newest answer, for the thread that shows it."""

    def __init__(self, view: WatchView) -> None:
        self.view = view

    def go_on(self, ask: Callable[[], dict[str, Any]], seconds: float) -> None:
        """Ask for ever. A failure leaves the last answer, with its reason."""
        while True:
            time.sleep(seconds)
            try:
                self.view = WatchView(ask(), time.time())
            except NoInstance as error:
                self.view = WatchView(self.view.body, self.view.received_at, str(error))
            except Exception as error:  # no fault may end the watch unseen
                self.view = WatchView(self.view.body, self.view.received_at, f"{type(error).__name__}: {error}")


def _leave(number: int, frame: object) -> None:
    sys.exit(128 + number)
