"""The root's router: passes hints to whoever takes them, and everything that /status shows on to health."""

from __future__ import annotations

import time
from collections import deque
from typing import Any

import structlog

from ipc.messages import ENDS, ChildState, Ended, Message, Report, Wake
from ipc.routing import Tree

TAKERS = {"seen": "connection", "fetched": "pool", "rendered": "uploader"}
"""Who takes the jobs in each state."""

DOWN = (
    "pid",
    "started_at",
    "rss_bytes",
    "peak_rss_bytes",
    "pss_bytes",
    "rss_trend_bytes_per_hour",
    "job",
    "job_seconds",
)
"""What a row of /status has only while the child is up."""


MEMORY_SECONDS = 600.0
"""How often the log tells everyone's memory."""

log = structlog.get_logger()


class RootRouter:
    """Routes between the root's children. Remembers the last word on everything, for a health process that is new."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._states: dict[str, dict[str, Any]] = {}
        self._reports: dict[str, Report] = {}
        self._unsent: set[str] = set()
        self._memory_told_at = time.monotonic()
        self._ends: dict[str, deque[dict[str, Any]]] = {}

    def on_message(self, child: str, message: Message) -> None:
        match message:
            case Wake(state) if state in TAKERS:
                self._tree.send(TAKERS[state], message)
            case Report(topic):
                self._reports[topic] = message
                self._send_report(topic)
            case Ended(name, facts):
                self.on_ended(name, facts)
            case ChildState(name, facts) if not facts:
                self._forget(name)
            case ChildState(name, facts):
                self._remember(name, {**facts, "under": child, "order": [*self._order(child), *facts["order"]]})
            case _:
                pass  # a hint for nobody; and every other type is between a supervisor and its own child

    def on_start(self, child: str) -> None:
        if child == "health":  # before it answers its first request, it knows everything
            for topic in self._reports:
                self._send_report(topic)
            for name, facts in self._states.items():
                self._tree.send("health", ChildState(name, facts))
            for name, ends in self._ends.items():
                for facts in ends:
                    self._tree.send("health", Ended(name, facts))

    def on_ready(self, child: str) -> None:
        pass

    def on_exit(self, child: str, cause: str, text: str) -> bool:
        for name, facts in list(self._states.items()):
            if facts.get("under") == child:
                up = {key: value for key, value in facts.items() if key not in DOWN}
                self._remember(name, {**up, "state": "waiting", "since": int(time.time())})
        return True

    def on_state(self, child: str, facts: dict[str, Any]) -> None:
        if facts:
            self._remember(child, {**facts, "order": self._order(child)})
        else:
            self._forget(child)

    def on_ended(self, child: str, facts: dict[str, Any]) -> None:
        self._ends.setdefault(child, deque(maxlen=ENDS)).append(facts)
        self._tree.send("health", Ended(child, facts))

    def on_tick(self) -> None:
        if time.monotonic() - self._memory_told_at >= MEMORY_SECONDS:
            self._memory_told_at = time.monotonic()
            rss = {name: facts.get("rss_bytes", 0) for name, facts in self._states.items()}
            log.info("memory", rss_bytes=rss, total_bytes=sum(rss.values()))
        for topic in tuple(self._unsent):
            self._send_report(topic)

    def is_busy(self) -> bool:
        return False

    def _send_report(self, topic: str) -> None:
        """Send the latest report to health; one that does not get there (its inbox is full) is sent again."""
        if self._tree.send("health", self._reports[topic]):
            self._unsent.discard(topic)
        else:
            self._unsent.add(topic)

    def _order(self, child: str) -> list[int]:
        return [1 + self._tree.names().index(child)]

    def known(self) -> list[str]:
        """Every child that there is, those of children too."""
        return sorted(self._states, key=lambda name: self._states[name]["order"])

    def above(self, name: str) -> str | None:
        """The child of ours that has a child of that name; None if nobody has."""
        return self._states.get(name, {}).get("under")

    def _forget(self, name: str) -> None:
        self._states.pop(name, None)
        self._ends.pop(name, None)
        self._tree.send("health", ChildState(name, {}))

    def _remember(self, name: str, facts: dict[str, Any]) -> None:
        self._states[name] = facts
        self._tree.send("health", ChildState(name, facts))
