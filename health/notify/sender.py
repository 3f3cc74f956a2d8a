"""The thread that sends: it alone waits for services, and nobody waits for it."""

from __future__ import annotations

import importlib
import queue
import threading
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
class Delivery:
    """A message for the recipient at `position` in notify.urls."""

    position: int
    title: str
    body: str
    is_bad: bool


@dataclass(frozen=True, slots=True)
class Answer:
    """What became of it: `reason` is why it was not accepted. `is_final`: the recipient can never be reached."""

    position: int
    reason: str
    is_final: bool = False


class Sender:
    """Takes messages, one a recipient at a time, so its queue is bounded by their number."""

    def __init__(self, urls: Sequence[str], state_dir: Path) -> None:
        self._urls = tuple(urls)
        self._state_dir = state_dir
        self._state: str | None = None
        self._jobs: queue.Queue[Delivery | None] = queue.Queue(maxsize=len(urls) + 1)
        self._answers: queue.SimpleQueue[Answer] = queue.SimpleQueue()
        self._is_failing = False
        # A daemon: the process ends without waiting for a service.
        threading.Thread(target=self._run, name="notify", daemon=True).start()

    def keep(self, state: str) -> None:
        """Have the state written, before any message that is given from now on is sent."""
        self._state = state
        self._put(None)

    def send(self, delivery: Delivery) -> None:
        self._put(delivery)

    def _put(self, job: Delivery | None) -> None:
        try:
            self._jobs.put_nowait(job)
        except queue.Full:
            assert job is None, (
                "one message a recipient at a time"
            )  # the thread has work, and looks at the state anyway

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
            job = self._jobs.get()
            self._save()
            if job is not None and services[job.position] is not None:
                reason = services[job.position].send(job.title, job.body, is_bad=job.is_bad)
                self._answers.put(Answer(job.position, reason))

    def _save(self) -> None:
        text, self._state = self._state, None
        if text is None:
            return
        try:
            state_file.write(self._state_dir, text)
            self._is_failing = False
        except OSError as error:
            if not self._is_failing:
                log.warning("notify.state_failed", path=state_file.NAME, error=str(error))
            self._is_failing = True


def make_service(url: str) -> tuple[Any, str]:
    """Apprise's service of the address, or None and why there is none."""
    try:
        return importlib.import_module(APPRISE).Service(url), ""
    except Exception as error:  # a damaged installation, too
        kind = type(error).__name__
        return None, str(error) if kind == "Unusable" else f"Apprise cannot be loaded ({kind})"
