"""A dead man's ping: a service that hears nothing for some minutes tells people so, which a dead program can't do.

It is sent every minute, while all is well and only then.
"""

from __future__ import annotations

import contextlib
import queue
import threading

import structlog

log = structlog.get_logger()

PERIOD_SECONDS = 60.0
ANSWER_SECONDS = 10.0


class Heartbeat:
    """Decides when to ping; a thread of its own does, so that no other message can keep it waiting.

    `first_at` is when the first ping is due (monotonic seconds): a minute after the start of the tree, so that one
    which dies again and again within that time is missed.
    """

    def __init__(self, url: str, first_at: float, period_seconds: float = PERIOD_SECONDS) -> None:
        self._url = url
        self._due_at = first_at
        self._period = period_seconds
        self._jobs: queue.Queue[None] = queue.Queue(maxsize=1)
        self._was_failing = False
        threading.Thread(target=self._run, name="heartbeat", daemon=True).start()

    def look(self, *, ok: bool, now: float) -> None:
        """Ping if it is time. Called every few seconds."""
        if not ok or now < self._due_at:
            return
        self._due_at = max(self._due_at + self._period, now + self._period / 2)
        with contextlib.suppress(queue.Full):  # the last one is still under way
            self._jobs.put_nowait(None)

    def _run(self) -> None:
        while True:
            self._jobs.get()
            why = ping(self._url)
            if why and not self._was_failing:
                log.warning("heartbeat.failed", why=why)
            elif self._was_failing and not why:
                log.info("heartbeat.recovered")
            self._was_failing = bool(why)


def ping(url: str) -> str:
    """Ask for the address; why that failed, or an empty text. The texts of the library's errors may hold the address,
    so only a status or the kind of an error is taken from them.
    """
    import urllib.error  # noqa: PLC0415 - not loaded without heartbeat_url
    import urllib.request  # noqa: PLC0415

    try:
        with urllib.request.urlopen(url, timeout=ANSWER_SECONDS):
            return ""
    except urllib.error.HTTPError as error:
        error.close()
        return f"HTTP {error.code}"
    except Exception as error:
        cause = error.reason if isinstance(error, urllib.error.URLError) else error
        words = cause.strerror if isinstance(cause, OSError) else None
        return words or type(cause).__name__
