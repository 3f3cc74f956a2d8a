"""What the root has told this process of the tree."""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable
from typing import Any

from ipc.transport.exits import FOR_MEMORY
from ipc.transport.mailbox import Closed, Inbox
from ipc.transport.messages import ENDS, KILLS, ChildState, Ended, Message, Report


class Messages:
    """The latest message on each child and each topic, and how children ended.

    `received_at` is when the last one came (monotonic seconds). `changes` counts those that show another process, or
    one in another state. `on_end` is called with every end, as name and facts.
    """

    def __init__(
        self, inbox: Inbox, monotonic: Callable[[], float], on_end: Callable[[str, dict[str, Any]], object]
    ) -> None:
        self._inbox = inbox
        self._monotonic = monotonic
        self._on_end = on_end
        self.received_at = monotonic()
        self.changes = 0
        self.tree: dict[str, dict[str, Any]] = {}
        self.reports: dict[str, dict[str, Any]] = {}
        self.ends: dict[str, deque[dict[str, Any]]] = {}
        self.kills: list[dict[str, Any]] = []

    def receive(self) -> None:
        """Take in all that has come."""
        with contextlib.suppress(Closed):
            while (message := self._inbox.receive()) is not None:
                self.received_at = self._monotonic()
                self._take(message)

    def _take(self, message: Message) -> None:
        match message:
            case ChildState(name, facts):
                self._take_state(name, facts)
            case Ended(name, facts):
                self._take_end(name, facts)
                self._on_end(name, facts)
            case Report(topic, facts) if facts:
                self.reports[topic] = facts
            case Report(topic):
                self.reports.pop(topic, None)
            case _:
                pass

    def _take_state(self, name: str, facts: dict[str, Any]) -> None:
        """Take a child's facts. Without any, the child is gone."""
        if not facts:
            self.changes += 1
            self.tree.pop(name, None)
            self.ends.pop(name, None)
            return
        self.changes += _is_other(self.tree.get(name, {}), facts)
        self.tree[name] = facts

    def _take_end(self, name: str, facts: dict[str, Any]) -> None:
        self.ends.setdefault(name, deque(maxlen=ENDS)).append(facts)
        if facts.get("cause") in FOR_MEMORY:
            kill = {"process": name, **{key: value for key, value in facts.items() if key != "stacks"}}
            # Sorted: a new health process gets the older ones first, child by child.
            self.kills = sorted([*self.kills, kill], key=lambda one: float(one["at"]))[-KILLS:]


def _is_other(before: dict[str, Any], after: dict[str, Any]) -> bool:
    """Whether a row is of another process, or of one in another state."""
    return any(before.get(key) != after.get(key) for key in ("state", "pid", "restarts"))
