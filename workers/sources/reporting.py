"""Reports of a source to /status: what has changed at once, all else once in a heartbeat."""

from __future__ import annotations

import math
import time
from typing import Any

from ipc.text.timestamps import iso
from ipc.transport.context import Context


class Reporter:
    """`heartbeat_seconds`: between two equal reports. Those on `topic`, the source itself, say when they were sent."""

    def __init__(self, context: Context, topic: str, heartbeat_seconds: float) -> None:
        self._context = context
        self._topic = topic
        self._heartbeat_seconds = heartbeat_seconds
        self._last: dict[str, tuple[float, dict[str, Any]]] = {}

    def report(self, facts: dict[str, Any], topic: str | None = None) -> None:
        """Report these facts, unless the same were reported less than a heartbeat ago."""
        now = time.monotonic()
        topic = topic or self._topic
        last_at, last = self._last.get(topic, (-math.inf, {}))
        if facts == last and now - last_at < self._heartbeat_seconds:
            return
        self._last[topic] = (now, facts)
        if topic == self._topic:
            facts = {**facts, "last_heartbeat_at": iso(time.time())}
        self._context.report(topic, **facts)
