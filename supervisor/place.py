"""A child's place in the tree: it outlives the incarnations that fill it, and remembers how they ended."""

from __future__ import annotations

import enum
import time
from collections import Counter
from collections.abc import Callable
from typing import Any

from supervisor import policy
from supervisor.child import Incarnation
from supervisor.policy import Cause, Exit
from supervisor.spec import ChildSpec, Intensity


class Standing(enum.Enum):
    """How a place stands; the value is the `state` in /status."""

    WAITING = "waiting"
    STARTING = "starting"
    RUNNING = "running"
    STOPPING = "stopping"
    STOPPED = "stopped"
    FINISHED = "finished"
    HELD = "held"


class Place:
    """One child spec's place. Times in monotonic seconds, those in its facts too: health tells them by its own clock.

    `wanted`: nobody has ordered it to stop. `rests`: there is no work for it for now. `recycled`: it is replaced,
    whatever its end will be. `retired`: there shall be no such child any more. `told`: its facts as its
    router knows them.
    """

    def __init__(self, spec: ChildSpec) -> None:
        self.spec = spec
        self.incarnation: Incarnation | None = None
        self.count = 0
        self.restarts = 0
        self.due_at = 0.0
        self.stop_until = 0.0
        self.recycled = False
        self.retired = False
        self.wanted = True
        self.rests = False
        self.told: dict[str, Any] = {}
        self.told_at = 0.0
        self.deaths: tuple[float, ...] = ()
        self._in_a_row = 0
        self._row_began = 0.0
        self._resting: Standing = Standing.WAITING
        self._since = time.monotonic()
        self._last_exit: Exit | None = None
        self._causes: Counter[str] = Counter()

    @property
    def standing(self) -> Standing:
        if self.incarnation is None:
            return self._resting
        if self.incarnation.intent is policy.Intent.STOP:
            return Standing.STOPPING
        return Standing.RUNNING if self.incarnation.ready else Standing.STARTING

    @property
    def started_before(self) -> bool:
        return self.count > 0

    def is_due(self, now: float) -> bool:
        """Whether to start an incarnation now."""
        return self.standing is Standing.WAITING and now >= self.due_at

    def had_its_chance(self) -> bool:
        """Whether those that wait for it may stop waiting: it is ready, or it has been and is no more."""
        return self.count > 1 or self.standing in (
            Standing.RUNNING,
            Standing.HELD,
            Standing.STOPPED,
            Standing.FINISHED,
        )

    def begin(self, incarnation: Incarnation) -> None:
        self.incarnation = incarnation
        self.count += 1
        self.restarts = self.count - 1

    def now_ready(self) -> None:
        assert self.incarnation is not None
        self.incarnation.ready_at = time.monotonic()
        self._since = time.monotonic()

    def put_off(self, until: float) -> None:
        """It could not be started; try again at `until`."""
        self.due_at = until

    def release(self) -> None:
        """Start it now, whatever it has been waiting for, with a clean record; one that rests, when it is woken."""
        if self.incarnation is None and not self.rests:
            self._resting = Standing.WAITING
        self.due_at = 0.0
        self.deaths, self._in_a_row = (), 0

    def call_off(self) -> None:
        """What is not running is not started any more: the tree is being stopped, or the operator has said so."""
        if self.incarnation is None and self._resting is Standing.WAITING:
            self._resting = Standing.STOPPED

    def after_exit(
        self, end: Exit, now: float, *, counts: bool, intensity: Intensity, random: Callable[[], float]
    ) -> bool:
        """The incarnation is gone. Decide what follows; True if it is replaced.

        `counts`: whether this death speaks against the child (and not against the work that it had in hand).
        """
        assert self.incarnation is not None
        was_ready, served = self.incarnation.ready, max(0.0, now - self.incarnation.ready_at)
        self.incarnation, self._last_exit = None, end
        self._causes[end.cause.value] += 1
        self.deaths = policy.recent(self.deaths, now, intensity.window_seconds)
        replaced = (
            self.wanted and not self.rests and (self.recycled or policy.is_replaced(end.cause, self.spec.restart))
        )
        recycled, self.recycled = self.recycled, False
        if not replaced:
            self._resting = self._at_rest(end.cause)
            self._since = time.monotonic()
            return False
        self._resting = Standing.WAITING
        if was_ready:  # else it has been down all the time: a child that never gets ready is not down "since just now"
            self._since = time.monotonic()
        self.due_at = now
        if counts and not recycled:
            if policy.is_death(end.cause):
                self.deaths = (*self.deaths, now)
            self._in_a_row = policy.deaths_in_a_row(self._in_a_row, served)
            if self._in_a_row == 1:
                self._row_began = time.monotonic()
            self.due_at = now + policy.restart_delay_seconds(self._in_a_row, intensity, random)
        return True

    def _at_rest(self, cause: Cause) -> Standing:
        if cause is Cause.HELD:
            return Standing.HELD
        return Standing.FINISHED if cause is Cause.FINISHED and self.spec.restart != "permanent" else Standing.STOPPED

    def _since_when(self) -> float:
        """Since when it stands so. A row of quick deaths is one trouble, however often it is ready for a moment."""
        if self._in_a_row > 1 and self.standing in (Standing.WAITING, Standing.STARTING):
            return min(self._since, self._row_began)
        return self._since

    def has_outrun(self, intensity: Intensity) -> bool:
        """Whether it has died too often to be replaced once more."""
        return self.incarnation is None and policy.outruns(self.deaths, intensity)

    def facts(self) -> dict[str, Any]:
        """The place's row of /status; a child that is down has no pid."""
        facts: dict[str, Any] = {
            "state": self.standing.value,
            "restarts": self.restarts,
            "since": round(self._since_when(), 1),
            "cap_bytes": self.spec.cap_bytes,
        }
        if self.rests:
            facts["resting"] = True
        if self.incarnation is not None:
            facts |= {
                "pid": self.incarnation.pid,
                "spawned": self.incarnation.spawned,
                "rss_bytes": self.incarnation.rss_bytes,
                "peak_rss_bytes": self.incarnation.peak_rss_bytes,
                **self.incarnation.history.facts(),
                "cap_bytes": self.incarnation.cap_bytes,
            }
            if self.incarnation.cap_bytes:
                facts["enforced_by"] = "cgroup" if self.incarnation.leaf else "sampling"
            if self.incarnation.leaf_peak_bytes:
                facts["cgroup_peak_bytes"] = self.incarnation.leaf_peak_bytes
        if self._last_exit is not None:
            facts |= {
                "last_exit": self._last_exit.text[:300],
                "last_cause": self._last_exit.cause.value,
                "remedy": self._last_exit.remedy[:500],
                "exit_causes": dict(self._causes),
            }
        return facts
