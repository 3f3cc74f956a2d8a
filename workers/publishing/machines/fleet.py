"""The nodes, as far as is known: what the database last said of them, for both threads and for /status."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from ipc.transport.messages import clip
from workers.publishing.catalog.supabase.answers import Missing
from workers.publishing.catalog.supabase.queues import Machines, Node
from workers.publishing.service.faults import JobFault, ServiceFault
from workers.unforeseen import Unforeseen

ALIVE_SECONDS = 180.0
"""A node that was not seen for longer counts as gone."""

RATE_SECONDS = 120.0
"""The time over which a node's rate is taken."""

MISREAD_SECONDS = 600.0
"""For how long nothing is handed over after a result that can't be read: all that comes back may be like it."""

MOST_WORKERS = 10_000
"""Of one node: what says more is no number of workers."""

_TEXT_BYTES = 400
_PROBLEMS = 5


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why the database, or the bucket, was asked in vain. `is_schema`: functions are missing."""

    text: str
    remedy: str
    is_schema: bool


class Fleet:
    """Read by any thread: each fact is replaced whole, by one of the two threads that machines are talked with by.

    `bucket` is ours, `clock` is monotonic.
    """

    def __init__(self, bucket: str, clock: Callable[[], float] = time.monotonic) -> None:
        self._bucket = bucket
        self._clock = clock
        self._said: Machines | None = None
        self._said_at = 0.0
        self._finished: dict[str, deque[tuple[float, int]]] = {}
        self._troubles: dict[str, Trouble] = {}
        self._answered_at: float | None = None
        self._misread = ""
        self._misread_at = 0.0
        self.changes = 0
        """A counter that grows whenever a fact changes, in either thread."""

    def note(self, said: Machines) -> None:
        """The database has answered."""
        now = self._clock()
        for node in said.nodes:
            samples = self._finished.setdefault(node.node, deque())
            if samples and samples[-1][1] > node.finished:
                samples.clear()  # it was counted anew
            samples.append((now, node.finished))
            while now - samples[0][0] > RATE_SECONDS and len(samples) > 2:
                samples.popleft()
        for gone in self._finished.keys() - {node.node for node in said.nodes}:
            del self._finished[gone]
        self._said, self._said_at = said, now
        self.changes += 1

    @property
    def said(self) -> Machines | None:
        """The database's last answer."""
        return self._said

    def workers(self) -> int:
        """Number of workers of all live nodes with our bucket, as they say; 0 if none has said so lately."""
        return sum(workers_of(node) for node in self._alive() if self._can_publish(node))

    @property
    def other_bucket(self) -> str:
        """What keeps all nodes that are alive from our pictures; "" if one can publish them, or there is none."""
        nodes = self._alive()
        if not nodes or any(map(self._can_publish, nodes)):
            return ""
        theirs = ", ".join(f"{node.node} has {node.about['bucket']!r}" for node in nodes[:_PROBLEMS])
        return clip(f"this machine has the bucket {self._bucket!r}, but {theirs}", _TEXT_BYTES)

    def _alive(self) -> list[Node]:
        age = self._clock() - self._said_at
        return [node for node in self._said.nodes if node.last_seen_seconds + age < ALIVE_SECONDS] if self._said else []

    def _can_publish(self, node: Node) -> bool:
        """One that names no bucket, as those of an earlier version, finds out by itself."""
        return node.about.get("bucket") in (None, self._bucket)

    def rate_per_minute(self, name: str) -> float:
        """How many pictures that node has finished a minute, of late."""
        samples = list(self._finished.get(name, ()))
        if len(samples) < 2:
            return 0.0
        (began, before), (ended, after) = samples[0], samples[-1]
        return round(60.0 * (after - before) / max(ended - began, 1.0), 1)

    # What goes wrong

    @contextmanager
    def telling(self, who: str) -> Iterator[None]:
        """Note what keeps that thread from its work, or that nothing does."""
        try:
            yield
        except Exception as error:
            remedy = error.remedy if isinstance(error, ServiceFault) else ""
            said = error if isinstance(error, ServiceFault | JobFault | OSError) else Unforeseen(error)
            self._troubles[who] = Trouble(clip(str(said), _TEXT_BYTES), remedy, isinstance(error, Missing))
            self.changes += 1
            raise
        if self._troubles.pop(who, None):
            self.changes += 1

    def answered(self) -> None:
        """The database has answered, whatever it was asked."""
        self._answered_at = self._clock()

    @property
    def last_answer_seconds(self) -> float | None:
        """How long ago that was; None: it never has."""
        return None if self._answered_at is None else round(self._clock() - self._answered_at, 1)

    def note_misread(self, why: str) -> None:
        """A result can't be read: nodes are of another version than this machine, or something is wrong with one."""
        self._misread, self._misread_at = clip(why, _TEXT_BYTES), self._clock()
        self.changes += 1

    @property
    def misread(self) -> str:
        """Why the last one could not, while nothing is handed over for it; "" else."""
        is_over = self._clock() - self._misread_at >= MISREAD_SECONDS
        return "" if is_over else self._misread

    @property
    def trouble(self) -> Trouble | None:
        """The first of what goes wrong."""
        return next(iter(list(self._troubles.values())), None)

    # For /status

    def rows(self) -> list[dict[str, Any]]:
        """A row for each node, the last seen first."""
        nodes = self._said.nodes if self._said else []
        return [self._row(node) for node in sorted(nodes, key=lambda node: (node.last_seen_seconds, node.node))]

    def _row(self, node: Node) -> dict[str, Any]:
        about = node.about
        problems = about.get("problems")
        texts = [str(one) for one in problems] if isinstance(problems, list) else []
        return {
            "name": clip(node.node, 80),
            "version": clip(str(about.get("version", "")), 40),
            "workers": workers_of(node),
            "in_hand": node.in_hand,
            "rate_per_minute": self.rate_per_minute(node.node),
            "problems": [clip(one, _TEXT_BYTES) for one in texts[:_PROBLEMS]],
            "last_seen_seconds": round(node.last_seen_seconds, 1),
        }


def workers_of(node: Node) -> int:
    """Its image workers, as it says: at least one, at most MOST_WORKERS."""
    workers = node.about.get("workers")
    return min(max(1, workers), MOST_WORKERS) if isinstance(workers, int) else 1
