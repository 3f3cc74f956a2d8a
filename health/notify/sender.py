"""The thread that sends: it alone waits for services, and no thread waits for it."""

from __future__ import annotations

import importlib
import queue
import threading
from collections import deque
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import structlog

from health.notify import state_file

log = structlog.get_logger()

APPRISE = "health.notify.apprise_service"
"""Named, and imported by the thread: while it loads, the server answers."""


@dataclass(frozen=True, slots=True)
class Notification:
    """A message for the recipient at `position` in notify.urls."""

    position: int
    title: str
    body: str
    is_bad: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """How sending ended: `reason` is why it was not accepted. `is_final`: the recipient can never be reached."""

    position: int
    reason: str
    is_final: bool = False


class Sender:
    """Takes one message a recipient at a time, and one state: so what waits for the thread is bounded, however long a
    service keeps it.
    """

    def __init__(self, urls: Sequence[str], state_dir: Path) -> None:
        self._urls = tuple(urls)
        self._state_dir = state_dir
        self._states: deque[str] = deque(maxlen=1)
        self._deliveries: dict[int, Notification] = {}
        self._wake = threading.Event()
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._is_failing = False
        # A daemon: the process ends without waiting for a service.
        threading.Thread(target=self._run, name="notify", daemon=True).start()

    def keep(self, state: str) -> None:
        """Have the state written, before any message that is given from now on is sent."""
        self._states.append(state)
        self._wake.set()

    def send(self, delivery: Notification) -> None:
        """Have the message sent. The one before for this recipient must have been answered."""
        self._deliveries[delivery.position] = delivery
        self._wake.set()

    def answers(self) -> Iterator[Answer]:
        """What has become known since the last call."""
        while True:
            try:
                yield self._answers.get_nowait()
            except queue.Empty:
                return

    def _run(self) -> None:
        services: list[Any] = []
        for position, url in enumerate(self._urls):
            service, why = make_service(url)
            services.append(service)
            if why:
                self._answers.put(Answer(position, why, is_final=True))
        while True:
            self._wake.wait()
            self._wake.clear()
            self._save()
            while self._deliveries:
                position, delivery = self._deliveries.popitem()
                self._save()  # what was given before it
                if service := services[position]:
                    reason = service.send(delivery.title, delivery.body, is_bad=delivery.is_bad)
                    self._answers.put(Answer(position, reason))

    def _save(self) -> None:
        try:
            state_file.write(self._state_dir, self._states.pop())
            self._is_failing = False
        except IndexError:
            return  # there is no new one
        except OSError as error:
            if not self._is_failing:
                log.warning("notify.state_failed", path=state_file.NAME, error=str(error))
            self._is_failing = True


def make_service(url: str) -> tuple[Any, str]:
    """Apprise's service of the address, or None and why there is none."""
    try:
        return importlib.import_module(APPRISE).AppriseService(url), ""
    except Exception as error:  # a damaged installation, too
        kind = type(error).__name__
        return None, str(error) if kind == "Unusable" else f"Apprise cannot be loaded ({kind})"
