"""The root's router: passes hints to the child that takes them, and on to health everything that /status shows.

What a child has said holds until it or its successor says something else, or the successor has had the time to and has
not. So /status shows nothing that no process would still say.
"""

from __future__ import annotations

import time
from typing import Any

import structlog

from ipc.kernel import proc
from ipc.transport.exits import FOR_MEMORY, Exit
from ipc.transport.messages import ChildState, Ended, Message, OperationRequest, Report, Wake
from ipc.transport.router import Tree
from supervisor.processes.health_feed import HEALTH, HealthFeed
from supervisor.processes.predecessors import Inherited, Past
from supervisor.resources import memory
from supervisor.resources.guard import Guard
from supervisor.resources.memory import MemoryHistory

TAKERS = {"seen": "connection", "fetched": "pool", "rendered": "uploader"}
"""Which child takes the jobs in each state."""

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
"""How often the memory of all processes is logged; besides, when one was killed for it."""

KILL_FACTS = ("cause", "what", "job", "peak_bytes", "cap_bytes")
"""What that record says of the process that was killed."""

ALIVE_SECONDS = 1.0
"""How often health hears of the root, at the next tick; after five seconds it takes the root for hung."""

REPEAT_SECONDS = 10.0
"""How long a child that is ready has to say again what its predecessor has said."""

log = structlog.get_logger()


class RootRouter:
    """Routes between the root's children, and keeps what a new health process has to know."""

    def __init__(self, tree: Tree) -> None:
        self._tree = tree
        self._feed = HealthFeed(tree)
        self._alive_at = time.monotonic()
        self._memory_logged_at = time.monotonic()
        self._past: dict[str, Past] = {}
        self._teller: dict[str, str] = {}
        self._inherited: dict[str, Inherited] = {}
        self._stopped: dict[str, set[str]] = {}
        self._own = MemoryHistory()
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
                self._take_row(child, name, facts)
            case _:
                pass  # a hint for no child; and every other type is between a supervisor and its own child

    def on_start(self, child: str) -> None:
        names = {name for name, facts in self._feed.rows.items() if facts.get("under") == child}
        topics = {topic for topic, teller in self._teller.items() if teller == child}
        self._inherited[child] = Inherited(names, topics)
        if child == HEALTH:
            self._feed.start_over()
        if self.guard:
            self.guard.on_start(child)

    def on_ready(self, child: str) -> None:
        if inherited := self._inherited.get(child):
            inherited.until = time.monotonic() + REPEAT_SECONDS
        for name in sorted(self._stopped.get(child, ())):
            self._tree.send(child, OperationRequest("stop", name))

    def on_exit(self, child: str, end: Exit) -> bool:
        for name, facts in list(self._feed.rows.items()):
            if facts.get("under") == child:
                if "pid" in facts:
                    what = f"went with {child}: {end.text}"
                    self.on_ended(name, {"at": int(time.time()), "cause": end.cause.value, "what": what})
                self._past[name] = Past.of(facts, end.cause)
                up = {key: value for key, value in facts.items() if key not in DOWN}
                self._feed.put_row(name, {**up, "state": "waiting", "since": round(time.monotonic(), 1)})
        return True

    def on_state(self, child: str, facts: dict[str, Any]) -> None:
        if facts:
            self._feed.put_row(child, {**facts, "order": self._order(child)})
        else:
            self._forget(child)
            for name in [name for name, known in self._feed.rows.items() if known.get("under") == child]:
                self._forget(name)

    def on_ended(self, child: str, facts: dict[str, Any]) -> None:
        is_kill = facts.get("cause") in FOR_MEMORY
        self._feed.add_end(child, facts, is_kill=is_kill)
        if is_kill:
            self._log_memory(killed=child, **{key: facts[key] for key in KILL_FACTS if key in facts})

    def on_tick(self) -> None:
        now = time.monotonic()
        if self._own.is_due(now):
            self._own.add(now, proc.rss_bytes(), memory.share())
            self.report("root", **self._own.facts())
        if now - self._memory_logged_at >= MEMORY_SECONDS:
            self._memory_logged_at = now
            self._log_memory()
        if self.guard:
            self.guard.on_tick()
        if now - self._alive_at >= ALIVE_SECONDS:
            self._alive_at = now
            self._feed.repeat_report("root")
        self._feed.go_on()
        for child, inherited in list(self._inherited.items()):
            if now >= inherited.until:
                self._disinherit(inherited)
                del self._inherited[child]

    def is_busy(self) -> bool:
        return False

    # What is asked of it

    def report(self, topic: str, **facts: Any) -> None:
        """Put something of the root's own into /status."""
        self._feed.put_report(Report(topic, facts))

    def latest(self, topic: str) -> dict[str, Any]:
        """What was last reported of the topic; empty if nothing was."""
        return self._feed.reports[topic].facts if topic in self._feed.reports else {}

    def known(self) -> list[str]:
        """The names of all children, and of the children's children."""
        return sorted(self._feed.rows, key=lambda name: self._feed.rows[name]["order"])

    def above(self, name: str) -> str | None:
        """The child of ours that has a child of that name; None if none has."""
        return self._feed.rows.get(name, {}).get("under")

    def note_operation(self, action: str, name: str, above: str) -> None:
        """Remember what the operator asked of a child's child: a new supervisor keeps stopped what was stopped."""
        stopped = self._stopped.setdefault(above, set())
        if action == "stop":
            stopped.add(name)
        else:
            stopped.discard(name)

    # What is known

    def _take_report(self, child: str, report: Report) -> None:
        self._teller[report.topic] = child
        if inherited := self._inherited.get(child):
            inherited.topics.discard(report.topic)
        self._feed.put_report(report)

    def _take_row(self, child: str, name: str, facts: dict[str, Any]) -> None:
        if inherited := self._inherited.get(child):
            inherited.names.discard(name)
        if past := self._past.get(name):
            facts = past.added_to(facts)
        self._feed.put_row(name, {**facts, "under": child, "order": [*self._order(child), *facts["order"]]})

    def _disinherit(self, inherited: Inherited) -> None:
        """Withdraw what has not been said again."""
        for name in inherited.names & self._feed.rows.keys():
            self._forget(name)
        for topic in inherited.topics:
            del self._teller[topic]
            self._feed.withdraw_report(topic)

    def _forget(self, name: str) -> None:
        self._past.pop(name, None)
        self._feed.withdraw_row(name)

    def _order(self, child: str) -> list[int]:
        return [1 + self._tree.names().index(child)]

    def _log_memory(self, **killed: Any) -> None:
        """The memory of all processes in one record; `killed` says which one was killed for it."""
        rss = {"root": proc.rss_bytes()}
        rss |= {name: facts.get("rss_bytes", 0) for name, facts in self._feed.rows.items()}
        log.info("memory.sampled", rss_bytes_by_process=rss, total_bytes=sum(rss.values()), **killed)
