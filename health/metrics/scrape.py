"""What a scrape gets: the families of one snapshot, as text of the kind that it asks for."""

from __future__ import annotations

import time
from collections.abc import Callable

from health.snapshot import Snapshot

TEXT = b"text/plain; version=0.0.4; charset=utf-8"
OPENMETRICS = b"application/openmetrics-text; version=1.0.0; charset=utf-8"


class Scrapes:
    """The two texts, each made at most once in `cache_seconds`, however many ask."""

    def __init__(self, snapshot: Callable[[], Snapshot], cache_seconds: float) -> None:
        self._snapshot = snapshot
        self._cache_seconds = cache_seconds
        self._made: dict[bytes, tuple[float, bytes]] = {}

    def body(self, accept: str | None) -> tuple[bytes, bytes]:
        """Content type and body, for this Accept header."""
        content_type = OPENMETRICS if wants_openmetrics(accept or "") else TEXT
        now = time.monotonic()
        made_at, body = self._made.get(content_type, (float("-inf"), b""))
        if now - made_at >= self._cache_seconds:
            body = _make(self._snapshot(), content_type)
            self._made[content_type] = now, body
        return content_type, body


def _make(snapshot: Snapshot, content_type: bytes) -> bytes:
    from health.metrics import exposition  # noqa: PLC0415 - 40 ms and 3 MiB, for those who scrape

    return exposition.openmetrics(snapshot) if content_type is OPENMETRICS else exposition.text(snapshot)


def wants_openmetrics(accept: str) -> bool:
    """Whether an Accept header names OpenMetrics. Weights don't matter: Prometheus alone names it.

    >>> wants_openmetrics("application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.4")
    True
    >>> wants_openmetrics("*/*"), wants_openmetrics("")
    (False, False)
    """
    return any(part.partition(";")[0].strip().lower() == "application/openmetrics-text" for part in accept.split(","))
