"""Feeds the health process: the latest rows and reports, what is withdrawn, and how processes ended.

What does not get there (its inbox is full, or it is down) is sent again later, in its latest state.
"""

from __future__ import annotations

from collections import deque
from typing import Any

from ipc.transport.messages import ENDS, KILLS, ChildState, Ended, Report
from ipc.transport.router import Tree

HEALTH = "health"

MOST_UNSENT = 2000
"""Ends that wait for a health process to take them."""


class HealthFeed:
    """Remembers everything that a new health process has to know. `rows` and `reports` are the latest, by name."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self.rows: dict[str, dict[str, Any]] = {}
        self.reports: dict[str, Report] = {}
        self._unsent_rows: set[str] = set()
        self._unsent_reports: set[str] = set()
        self._withdrawn: list[ChildState | Report] = []
        self._ends: dict[str, deque[dict[str, Any]]] = {}
        self._kills: deque[tuple[str, dict[str, Any]]] = deque(maxlen=KILLS)
        self._unsent_ends: deque[Ended] = deque(maxlen=MOST_UNSENT)

    def start_over(self) -> None:
        """Send everything to a health process that is new: it knows all before it answers its first request."""
        self._withdrawn.clear()
        for topic in self.reports:
            self._send_report(topic)
        for name in self.rows:
            self._send_row(name)
        self._unsent_ends = deque(self._all_ends(), maxlen=MOST_UNSENT)
        self._send_ends()

    def go_on(self) -> None:
        """Send what could not be sent before."""
        for topic in tuple(self._unsent_reports):
            self._send_report(topic)
        for name in tuple(self._unsent_rows):
            self._send_row(name)
        self._send_ends()
        self._withdraw()

    def put_row(self, name: str, facts: dict[str, Any]) -> None:
        self.rows[name] = facts
        self._send_row(name)

    def withdraw_row(self, name: str) -> None:
        self.rows.pop(name, None)
        self._unsent_rows.discard(name)
        self._ends.pop(name, None)
        self._withdrawn.append(ChildState(name, {}))
        self._withdraw()

    def put_report(self, report: Report) -> None:
        self.reports[report.topic] = report
        self._send_report(report.topic)

    def repeat_report(self, topic: str) -> None:
        """Send the report again with the next `go_on`, though nothing in it has changed."""
        self._unsent_reports.add(topic)

    def withdraw_report(self, topic: str) -> None:
        del self.reports[topic]
        self._unsent_reports.discard(topic)
        self._withdrawn.append(Report(topic, {}))
        self._withdraw()

    def add_end(self, name: str, facts: dict[str, Any], *, is_kill: bool) -> None:
        """`is_kill`: for want of memory; these are remembered besides, of all children together."""
        self._ends.setdefault(name, deque(maxlen=ENDS)).append(facts)
        self._unsent_ends.append(Ended(name, facts))
        self._send_ends()
        if is_kill:
            self._kills.append((name, facts))

    def _withdraw(self) -> None:
        """Tell health what is no more, until it has been told; but for what is there again."""
        while self._withdrawn:
            match self._withdrawn[0]:
                case ChildState(name) if name in self.rows:
                    pass
                case Report(topic) if topic in self.reports:
                    pass
                case message if not self._tree.send(HEALTH, message):
                    return
            del self._withdrawn[0]

    def _send_row(self, name: str) -> None:
        if self._tree.send(HEALTH, ChildState(name, self.rows[name])):
            self._unsent_rows.discard(name)
        else:
            self._unsent_rows.add(name)

    def _send_report(self, topic: str) -> None:
        if self._tree.send(HEALTH, self.reports[topic]):
            self._unsent_reports.discard(topic)
        else:
            self._unsent_reports.add(topic)

    def _send_ends(self) -> None:
        """Send ends as far as the inbox has room: there may be many, with stacks."""
        while self._unsent_ends and self._tree.send(HEALTH, self._unsent_ends[0]):
            self._unsent_ends.popleft()

    def _all_ends(self) -> list[Ended]:
        """First the kills that are not among the last ends of their child any more: they push none of those out."""
        older = [(name, facts) for name, facts in self._kills if facts not in self._ends.get(name, ())]
        last = [(name, facts) for name, ends in self._ends.items() for facts in ends]
        return [Ended(name, facts) for name, facts in older + last]
