"""The root's router: passes hints to whoever takes them, and everything that /status shows on to health.

What a child has said holds until it or its successor says something else, or the successor has had the time to and has
not: so nothing stays in /status that nobody would say any more.
"""

from __future__ import annotations

import math
import os
import time
from collections import Counter, deque
from dataclasses import dataclass
from typing import Any

import structlog

from ipc.transport.exits import FOR_MEMORY, Cause, Exit
from ipc.transport.messages import ENDS, KILLS, ChildState, Command, Ended, Message, Report, Wake
from ipc.transport.router import Tree
from supervisor.resources import memory
from supervisor.resources.guard import Guard
from supervisor.resources.memory import History

TAKERS = {"seen": "connection", "fetched": "pool", "rendered": "uploader"}
"""Who takes the jobs in each state."""

DOWN = (
    "pid",
    "spawned",
    "rss_bytes",
    "peak_rss_bytes",
    "pss_bytes",
    "uss_bytes",
    "cgroup_peak_bytes",
    "rss_trend_bytes_per_hour",
    "job",
    "job_seconds",
    "beats",
)
"""What a row of /status has only while the child is up."""


MEMORY_SECONDS = 600.0
"""How often the log tells everyone's memory; besides, when somebody was killed for it."""

KILL_FACTS = ("cause", "what", "job", "peak_bytes", "cap_bytes")
"""What that record says of the one who was."""

MOST_UNSENT = 2000
"""Ends that wait for a health process to take them."""

ALIVE_SECONDS = 1.0
"""Health hears something of the root after that, at the next tick; after five it takes it for hung."""

RETELL_SECONDS = 10.0
"""How long a child that is ready has to say again what its predecessor has said."""

log = structlog.get_logger()


class RootRouter:
    """Routes between the root's children. Remembers the last word on everything, for a health process that is new."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._states: dict[str, dict[str, Any]] = {}
        self._reports: dict[str, Report] = {}
        self._unsent: set[str] = set()
        self._unsent_rows: set[str] = set()
        self._told_at = time.monotonic()
        self._memory_told_at = time.monotonic()
        self._ends: dict[str, deque[dict[str, Any]]] = {}
        self._unsent_ends: deque[Ended] = deque(maxlen=MOST_UNSENT)
        self._past: dict[str, Past] = {}
        self._to_take_back: list[ChildState | Report] = []
        self._kills: deque[tuple[str, dict[str, Any]]] = deque(maxlen=KILLS)
        self._teller: dict[str, str] = {}
        self._inherited: dict[str, Inherited] = {}
        self._stopped: dict[str, set[str]] = {}
        self._own = History()
        self.guard: Guard | None = None

    # What a router does

    def on_message(self, child: str, message: Message) -> None:
        match message:
            case Wake(state) if state in TAKERS:
                self._tree.send(TAKERS[state], message)
            case Report():
                self._take_report(child, message)
            case Ended(name, facts):
                self.on_ended(name, facts)
            case ChildState(name, facts) if not facts:
                self._forget(name)
            case ChildState(name, facts):
                self._take_state(child, name, facts)
            case _:
                pass  # a hint for nobody; and every other type is between a supervisor and its own child

    def on_start(self, child: str) -> None:
        names = {name for name, facts in self._states.items() if facts.get("under") == child}
        topics = {topic for topic, teller in self._teller.items() if teller == child}
        self._inherited[child] = Inherited(names, topics)
        if child == "health":  # before it answers its first request, it knows everything
            self._to_take_back.clear()
            for topic in self._reports:
                self._send_report(topic)
            for name in self._states:
                self._send_row(name)
            self._unsent_ends = deque(self._all_ends(), maxlen=MOST_UNSENT)
            self._send_ends()
        if self.guard:
            self.guard.on_start(child)

    def on_ready(self, child: str) -> None:
        if inherited := self._inherited.get(child):
            inherited.until = time.monotonic() + RETELL_SECONDS
        for name in sorted(self._stopped.get(child, ())):
            self._tree.send(child, Command("stop", name))

    def on_exit(self, child: str, end: Exit) -> bool:
        for name, facts in list(self._states.items()):
            if facts.get("under") == child:
                if "pid" in facts:
                    self.on_ended(
                        name,
                        {"at": int(time.time()), "cause": end.cause.value, "what": f"went with {child}: {end.text}"},
                    )
                self._past[name] = Past.of(facts, end.cause)
                up = {key: value for key, value in facts.items() if key not in DOWN}
                self._remember(name, {**up, "state": "waiting", "since": round(time.monotonic(), 1)})
        return True

    def on_state(self, child: str, facts: dict[str, Any]) -> None:
        if facts:
            self._remember(child, {**facts, "order": self._order(child)})
        else:
            self._forget(child)
            for name in [name for name, known in self._states.items() if known.get("under") == child]:
                self._forget(name)

    def on_ended(self, child: str, facts: dict[str, Any]) -> None:
        self._ends.setdefault(child, deque(maxlen=ENDS)).append(facts)
        self._unsent_ends.append(Ended(child, facts))
        self._send_ends()
        if facts.get("cause") in FOR_MEMORY:
            self._kills.append((child, facts))
            self._log_memory(killed=child, **{key: facts[key] for key in KILL_FACTS if key in facts})

    def on_tick(self) -> None:
        now = time.monotonic()
        if self._own.is_due(now):
            self._own.add(now, memory.rss_bytes(os.getpid()), memory.share(os.getpid()))
            self.tell("root", **self._own.facts())
        if now - self._memory_told_at >= MEMORY_SECONDS:
            self._memory_told_at = now
            self._log_memory()
        if self.guard:
            self.guard.on_tick()
        if now - self._told_at >= ALIVE_SECONDS:
            self._told_at = now
            self._unsent.add("root")
        for topic in tuple(self._unsent):
            self._send_report(topic)
        for name in tuple(self._unsent_rows):
            self._send_row(name)
        self._send_ends()
        self._take_back()
        for child, inherited in list(self._inherited.items()):
            if now >= inherited.until:
                self._disinherit(inherited)
                del self._inherited[child]

    def is_busy(self) -> bool:
        return False

    # What is asked of it

    def tell(self, topic: str, **facts: Any) -> None:
        """Something of the root's own for /status."""
        self._reports[topic] = Report(topic, facts)
        self._send_report(topic)

    def latest(self, topic: str) -> dict[str, Any]:
        """What was last reported of it; empty if nothing was."""
        return self._reports[topic].facts if topic in self._reports else {}

    def known(self) -> list[str]:
        """Every child that there is, those of children too."""
        return sorted(self._states, key=lambda name: self._states[name]["order"])

    def above(self, name: str) -> str | None:
        """The child of ours that has a child of that name; None if nobody has."""
        return self._states.get(name, {}).get("under")

    def note_order(self, action: str, name: str, above: str) -> None:
        """The operator wants this of a child's child: what is stopped stays so when its supervisor is replaced."""
        stopped = self._stopped.setdefault(above, set())
        if action == "stop":
            stopped.add(name)
        else:
            stopped.discard(name)

    # What is known

    def _take_report(self, child: str, report: Report) -> None:
        self._reports[report.topic] = report
        self._teller[report.topic] = child
        if inherited := self._inherited.get(child):
            inherited.topics.discard(report.topic)
        self._send_report(report.topic)

    def _take_state(self, child: str, name: str, facts: dict[str, Any]) -> None:
        if inherited := self._inherited.get(child):
            inherited.names.discard(name)
        if past := self._past.get(name):
            facts = past.added_to(facts)
        self._remember(name, {**facts, "under": child, "order": [*self._order(child), *facts["order"]]})

    def _disinherit(self, inherited: Inherited) -> None:
        """What has not been said again is not so any more."""
        for name in inherited.names & self._states.keys():
            self._forget(name)
        for topic in inherited.topics:
            del self._reports[topic], self._teller[topic]
            self._unsent.discard(topic)
            self._to_take_back.append(Report(topic, {}))
        self._take_back()

    def _forget(self, name: str) -> None:
        self._states.pop(name, None)
        self._unsent_rows.discard(name)
        self._ends.pop(name, None)
        self._past.pop(name, None)
        self._to_take_back.append(ChildState(name, {}))
        self._take_back()

    def _take_back(self) -> None:
        """Tell health what is no more, until it has been told; but for what is again."""
        while self._to_take_back:
            match self._to_take_back[0]:
                case ChildState(name) if name in self._states:
                    pass
                case Report(topic) if topic in self._reports:
                    pass
                case message if not self._tree.send("health", message):
                    return
            del self._to_take_back[0]

    def _remember(self, name: str, facts: dict[str, Any]) -> None:
        self._states[name] = facts
        self._send_row(name)

    def _log_memory(self, **more: Any) -> None:
        """Everyone's memory, in one record."""
        rss = {"root": memory.rss_bytes(os.getpid())}
        rss |= {name: facts.get("rss_bytes", 0) for name, facts in self._states.items()}
        log.info("memory", rss_bytes=rss, total_bytes=sum(rss.values()), **more)

    def _order(self, child: str) -> list[int]:
        return [1 + self._tree.names().index(child)]

    # On to health

    def _send_row(self, name: str) -> None:
        """Send the child's row to health, or again at the next tick."""
        if self._tree.send("health", ChildState(name, self._states[name])):
            self._unsent_rows.discard(name)
        else:
            self._unsent_rows.add(name)

    def _send_report(self, topic: str) -> None:
        """Send the latest report to health; one that does not get there (its inbox is full) is sent again."""
        if self._tree.send("health", self._reports[topic]):
            self._unsent.discard(topic)
        else:
            self._unsent.add(topic)

    def _all_ends(self) -> list[Ended]:
        """First the kills that are not among the last ends of their child any more: they push none of those out."""
        older = [(name, facts) for name, facts in self._kills if facts not in self._ends.get(name, ())]
        last = [(name, facts) for name, ends in self._ends.items() for facts in ends]
        return [Ended(name, facts) for name, facts in older + last]

    def _send_ends(self) -> None:
        """Send what health has not been told yet, as far as its inbox has room: there may be many, with stacks."""
        while self._unsent_ends and self._tree.send("health", self._unsent_ends[0]):
            self._unsent_ends.popleft()


@dataclass(slots=True)
class Inherited:
    """What a child's predecessor has said and it has not yet said again: its children's names, topics of reports.

    `until` is when that is forgotten (monotonic seconds): some time after it is ready.
    """

    names: set[str]
    topics: set[str]
    until: float = math.inf


@dataclass(frozen=True, slots=True)
class Past:
    """What a child's child had been through when its supervisor died, which is all that its successor knows of."""

    restarts: int
    causes: Counter[str]

    @classmethod
    def of(cls, facts: dict[str, Any], cause: Cause) -> Past:
        """After an end of that cause, which it shares with its supervisor if it was up."""
        causes = Counter(facts.get("exit_causes", {}))
        went_with_it = "pid" in facts
        causes.update([cause.value] if went_with_it else [])
        return cls(facts.get("restarts", 0) + went_with_it, causes)

    def added_to(self, facts: dict[str, Any]) -> dict[str, Any]:
        """The same facts, counted from the program's start."""
        causes = self.causes + Counter(facts.get("exit_causes", {}))
        return {
            **facts,
            "restarts": facts.get("restarts", 0) + self.restarts,
            **({"exit_causes": dict(causes)} if causes else {}),
        }
